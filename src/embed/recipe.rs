//! What happens to hidden states, according to a model's files.
//!
//! A folder of sentence-transformers has `modules.json`, the list of its modules: the transformer, which is the graph, then a
//! pooling, then dense layers and normalising, each with its own folder. A GGUF file has `{arch}.pooling_type`. If neither
//! says anything, the embedding is the mean of an encoder's hidden states, or the last of a causal model's, normalised to length 1.

use std::path::Path;

use serde_json::Value as Json;

use super::dense::{Dense, activation};
use super::pooling::{Pooling, normalize};
use super::{EmbedError, EmbedOptions};
use crate::files::folder::Folder;
use crate::kernels::finite::{NonFinite, non_finite};
#[cfg(feature = "tokenizer")]
use crate::model::ModelFiles;
use crate::model::{RecipeSource, read_json};

/// The file that lists a folder's modules.
const MODULES: &str = "modules.json";
/// The file with the prompts that may be put before texts.
const PROMPTS: &str = "config_sentence_transformers.json";

/// A module after pooling.
#[derive(Debug)]
pub(super) enum Layer {
    Dense(Dense),
    Normalize,
}

/// How a text is prepared and limited, and how its hidden states become the embedding.
#[derive(Debug)]
pub(super) struct Recipe {
    /// The text that is put before each text.
    pub prompt: String,
    /// Whether text is converted to lower case before the tokenizer sees it.
    pub lower_case: bool,
    /// The most tokens of a text, special ones included; longer texts are cut.
    pub max_tokens: Option<usize>,
    pub pooling: Pooling,
    pub layers: Vec<Layer>,
}

impl Recipe {
    /// The recipe that follows from a model's files and the caller's options, for hidden states of `width` elements. The
    /// pooling is `unstated` if neither says what it is.
    pub fn read(
        source: &RecipeSource,
        options: &EmbedOptions,
        unstated: Pooling,
        width: usize,
    ) -> Result<Recipe, EmbedError> {
        let folder = source.folder.as_ref();
        let mut recipe = match folder.filter(|folder| folder.has(MODULES)) {
            Some(folder) => of_folder(folder, options.pooling, width)?,
            None => Recipe {
                prompt: String::new(),
                lower_case: false,
                max_tokens: None,
                pooling: match (options.pooling, source.pooling_type) {
                    (Some(pooling), _) => pooling,
                    (None, Some(pooling_type)) => of_type(pooling_type)?,
                    (None, None) => unstated,
                },
                layers: vec![Layer::Normalize],
            },
        };
        match options.normalize {
            Some(false) => recipe
                .layers
                .retain(|layer| !matches!(layer, Layer::Normalize)),
            Some(true) if !matches!(recipe.layers.last(), Some(Layer::Normalize)) => {
                recipe.layers.push(Layer::Normalize);
            }
            _ => {}
        }
        Ok(recipe)
    }

    /// The embedding of text `number`, whose pooled row is `row`. The hidden states were finite, but sums of them, and
    /// products with a dense layer's weights, may not be.
    pub fn finish(&self, mut row: Vec<f32>, number: usize) -> Result<Vec<f32>, EmbedError> {
        for layer in &self.layers {
            match layer {
                Layer::Dense(dense) => row = dense.apply(&row),
                Layer::Normalize => normalize(&mut row),
            }
        }
        match non_finite(&row) {
            None => Ok(row),
            Some(NonFinite { first, count }) => Err(EmbedError::NotFinite {
                text: number,
                count,
                width: row.len(),
                first,
            }),
        }
    }
}

/// GGUF's number for the pooling of a folder of sentence-transformers; `None` for other folders. Anything else that such a
/// folder asks for and that no GGUF file can express is an error, except for the maximum number of tokens of a text.
#[cfg(feature = "tokenizer")]
pub(crate) fn pooling_type(files: &ModelFiles) -> Result<Option<u32>, EmbedError> {
    let Some(folder) = files.folder.as_ref().filter(|folder| folder.has(MODULES)) else {
        return Ok(None);
    };
    let path = folder.path(MODULES);
    let json = read_json(folder, MODULES)?;
    let refuse = |what: &str| Err(problem(&path, format!("a GGUF file can't express {what}")));
    let kinds = json.as_array().into_iter().flatten();
    let mut kinds = kinds.filter_map(|module| module.get("type")?.as_str());
    if kinds.any(|kind| kind.ends_with("Dense")) {
        return refuse("that a Dense module follows");
    }
    let recipe = of_folder(folder, None, 0)?;
    if !matches!(recipe.layers[..], [Layer::Normalize]) {
        return refuse("that embeddings are not normalised to length 1");
    }
    if !recipe.prompt.is_empty() {
        return refuse(&format!("that {:?} is put before each text", recipe.prompt));
    }
    if recipe.lower_case {
        return refuse("that texts are converted to lower case before they are read");
    }
    match recipe.pooling {
        Pooling::Mean => Ok(Some(1)),
        Pooling::Cls => Ok(Some(2)),
        Pooling::Last => Ok(Some(3)),
        Pooling::Max => refuse("that pooling uses the largest element of each column"),
    }
}

/// The pooling with GGUF's number.
fn of_type(pooling_type: i64) -> Result<Pooling, EmbedError> {
    match pooling_type {
        1 => Ok(Pooling::Mean),
        2 => Ok(Pooling::Cls),
        3 => Ok(Pooling::Last),
        _ => Err(EmbedError::NotPooled { pooling_type }),
    }
}

fn problem(path: &Path, problem: impl Into<String>) -> EmbedError {
    EmbedError::File {
        path: path.to_path_buf(),
        problem: problem.into(),
    }
}

/// The contents of a file; null if the file is missing.
fn read_optional(folder: &Folder, file: &str) -> Result<Json, EmbedError> {
    match folder.has(file) {
        true => Ok(read_json(folder, file)?),
        false => Ok(Json::Null),
    }
}

/// The recipe of a folder with a [`MODULES`].
fn of_folder(folder: &Folder, given: Option<Pooling>, width: usize) -> Result<Recipe, EmbedError> {
    let path = &folder.path(MODULES);
    let json = read_json(folder, MODULES)?;
    let Some(modules) = json.as_array() else {
        return Err(problem(path, "expected a list of modules"));
    };
    let mut pooling = None;
    let mut layers = Vec::new();
    let (mut width, mut excludes_prompt) = (width, false);
    for (number, module) in modules.iter().enumerate() {
        let text = |key: &str| module.get(key).and_then(Json::as_str);
        let (Some(name), Some(place)) = (text("type"), text("path")) else {
            let message = format!("module {number} (from 0) needs the texts \"type\" and \"path\"");
            return Err(problem(path, message));
        };
        let stays = Path::new(place)
            .components()
            .all(|c| matches!(c, std::path::Component::Normal(_)));
        if !stays {
            let message = format!("the module's path \"{place}\" leads out of the folder");
            return Err(problem(path, message));
        }
        // New versions of the program move its classes but keep their names.
        let kind = name.rsplit('.').next().unwrap_or(name);
        match kind {
            "Transformer" if number == 0 && place.is_empty() => {}
            "Transformer" => {
                let message = format!(
                    "module {number} (from 0) is a Transformer in \"{place}\": expected it first, and in the folder itself"
                );
                return Err(problem(path, message));
            }
            "Pooling" if number == 1 => {
                let file = within(place, "config.json");
                let path = folder.path(&file);
                let config = read_json(folder, &file)?;
                excludes_prompt =
                    config.get("include_prompt").and_then(Json::as_bool) == Some(false);
                pooling = Some(match given {
                    Some(pooling) => pooling,
                    None => pooling_of(&path, &config)?,
                });
            }
            "Dense" if pooling.is_some() => {
                let dense = dense_of(folder, place)?;
                if dense.inputs() != width {
                    let message = format!(
                        "the module in \"{place}\" takes rows of {} elements, but it receives rows of {width}",
                        dense.inputs()
                    );
                    return Err(problem(path, message));
                }
                width = dense.outputs();
                layers.push(Layer::Dense(dense));
            }
            "Normalize" if pooling.is_some() => layers.push(Layer::Normalize),
            "Pooling" | "Dense" | "Normalize" => {
                let message = format!(
                    "module {number} (from 0) is {kind}: expected one Pooling as module 1, then Dense and Normalize"
                );
                return Err(problem(path, message));
            }
            _ => {
                let message = format!(
                    "unknown module {name}: known are Transformer, Pooling, Dense and Normalize"
                );
                return Err(problem(path, message));
            }
        }
    }
    let Some(pooling) = pooling else {
        return Err(problem(
            path,
            "no module is a Pooling, so a text has no single embedding",
        ));
    };
    let limits = read_optional(folder, "sentence_bert_config.json")?;
    let max_tokens = limits.get("max_seq_length").and_then(Json::as_u64);
    let prompt = default_prompt(folder)?;
    if excludes_prompt && !prompt.is_empty() {
        let message = "the pooling leaves out the prompt's tokens, which is not supported";
        return Err(problem(&folder.path(PROMPTS), message));
    }
    Ok(Recipe {
        prompt,
        lower_case: limits.get("do_lower_case").and_then(Json::as_bool) == Some(true),
        max_tokens: max_tokens.map(|most| usize::try_from(most).unwrap_or(usize::MAX)),
        pooling,
        layers,
    })
}

/// The name of a module's file in the model's folder.
fn within(place: &str, file: &str) -> String {
    match place.trim_end_matches('/') {
        "" => file.to_string(),
        place => format!("{place}/{file}"),
    }
}

/// The prompt that is put before texts if the caller chooses none.
fn default_prompt(folder: &Folder) -> Result<String, EmbedError> {
    let config = read_optional(folder, PROMPTS)?;
    let Some(name) = config.get("default_prompt_name").and_then(Json::as_str) else {
        return Ok(String::new());
    };
    let prompt = config.get("prompts").and_then(|prompts| prompts.get(name));
    match prompt.and_then(Json::as_str) {
        Some(prompt) => Ok(prompt.to_string()),
        None => Err(problem(
            &folder.path(PROMPTS),
            format!("default_prompt_name is '{name}', which is not one of the prompts"),
        )),
    }
}

/// What a Pooling module's config.json asks for: `pooling_mode_…` flags, or the text `pooling_mode`.
fn pooling_of(path: &Path, config: &Json) -> Result<Pooling, EmbedError> {
    const FLAG: &str = "pooling_mode_";
    let mut modes: Vec<&str> = Vec::new();
    modes.extend(config.get("pooling_mode").and_then(Json::as_str));
    if let Some(fields) = config.as_object() {
        let set = fields
            .iter()
            .filter(|(_, value)| value.as_bool() == Some(true));
        modes.extend(set.filter_map(|(key, _)| key.strip_prefix(FLAG)));
    }
    let &[mode] = modes.as_slice() else {
        let message = match modes.is_empty() {
            true => "no pooling mode is chosen".to_string(),
            false => format!(
                "several pooling modes ({}) at once: expected one",
                modes.join(", ")
            ),
        };
        return Err(problem(path, message));
    };
    match mode {
        "mean_tokens" | "mean" => Ok(Pooling::Mean),
        "cls_token" | "cls" => Ok(Pooling::Cls),
        "lasttoken" => Ok(Pooling::Last),
        "max_tokens" | "max" => Ok(Pooling::Max),
        _ => Err(problem(
            path,
            format!(
                "unknown pooling mode '{mode}': known are mean_tokens, cls_token, lasttoken and max_tokens"
            ),
        )),
    }
}

/// The dense layer of a Dense module, whose files are in `place`.
fn dense_of(folder: &Folder, place: &str) -> Result<Dense, EmbedError> {
    let file = within(place, "config.json");
    let path = folder.path(&file);
    let config = read_json(folder, &file)?;
    let name = config
        .get("activation_function")
        .and_then(Json::as_str)
        .unwrap_or("Tanh");
    let activation = activation(name).map_err(|message| problem(&path, message))?;
    let biased = config.get("bias").and_then(Json::as_bool) != Some(false);
    let weights = within(place, "model.safetensors");
    Dense::read(folder, &weights, biased, activation)
}
