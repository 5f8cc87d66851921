//! Finding a model's files.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::graphs::{builtin_graphs, demo};
use super::{ModelError, Options};
use crate::load::ast::ModelFile;
use crate::load::bind::{Headers, headers};
use crate::load::diagnostics::{Position, Problem, Problems, nearest};
use crate::load::map::Mapped;
use crate::load::parameters::{ConfigJson, ParameterSource};
use crate::load::syntax;
use crate::load::value::Value;
use crate::load::weight_files::{Open, WeightFiles, WeightFilesError};

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The model that the library carries.
    Demo,
    /// A folder, or a `config.json` alone (which is enough to compile, but not to run).
    Path(PathBuf),
}

impl From<&str> for Source {
    fn from(text: &str) -> Self {
        if text == "demo" {
            Source::Demo
        } else {
            Source::Path(text.into())
        }
    }
}

impl From<&Path> for Source {
    fn from(path: &Path) -> Self {
        Source::Path(path.into())
    }
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        Source::Path(path)
    }
}

impl From<&PathBuf> for Source {
    fn from(path: &PathBuf) -> Self {
        Source::Path(path.clone())
    }
}

/// The largest graph or configuration file that is read, in bytes.
const LARGEST_TEXT: u64 = 16 << 20;

/// A model's files, found and opened, the weights not yet read.
pub struct ModelFiles {
    /// The model's folder or file, as the caller named it.
    pub path: PathBuf,
    /// The parameters.
    pub config: ConfigJson,
    /// The configuration as it stands, for what is no parameter of the graph (special tokens).
    pub json: Json,
    /// What generation_config.json says, if there is one.
    pub generation: Option<Json>,
    /// The weights; `None` where only the configuration is at hand.
    pub weights: Option<WeightFiles>,
    /// The graph file.
    pub graph: ModelFile,
}

impl ModelFiles {
    /// Find and open the files of a model.
    pub fn open(source: &Source, options: &Options) -> Result<ModelFiles, ModelError> {
        ModelFiles::find(source, options, Open::Data)
    }

    /// The same, but of the weights only the headers: enough to compile and plan.
    pub fn open_headers(source: &Source, options: &Options) -> Result<ModelFiles, ModelError> {
        ModelFiles::find(source, options, Open::Headers)
    }

    fn find(source: &Source, options: &Options, open: Open) -> Result<ModelFiles, ModelError> {
        let path = match source {
            Source::Demo => return ModelFiles::demo(options),
            Source::Path(path) => path,
        };
        if !path.exists() {
            let problem = "there is no such file or folder".to_string();
            return Err(ModelError::NoModel {
                path: path.clone(),
                problem,
            });
        }
        let (folder, config) = if path.is_dir() {
            (Some(path.as_path()), path.join("config.json"))
        } else {
            (None, path.clone())
        };
        if !config.is_file() || config.extension().is_none_or(|e| e != "json") {
            let problem =
                "no model: expected a folder with config.json and safetensors files".to_string();
            return Err(ModelError::NoModel {
                path: path.clone(),
                problem,
            });
        }
        let text = read_text(&config)?;
        let weights = match folder {
            None => None,
            Some(folder) => match WeightFiles::open(folder, open) {
                Ok(files) => Some(files),
                Err(WeightFilesError::NoWeights { .. }) => None,
                Err(error) => return Err(error.into()),
            },
        };
        let generation = folder
            .map(|f| f.join("generation_config.json"))
            .filter(|p| p.is_file());
        let generation = generation
            .and_then(|p| read_text(&p).ok())
            .and_then(|t| serde_json::from_str(&t).ok());
        ModelFiles::new(
            path.clone(),
            &config.display().to_string(),
            &text,
            generation,
            weights,
            options,
        )
    }

    fn demo(options: &Options) -> Result<ModelFiles, ModelError> {
        let weights = WeightFiles::from_bytes(
            "graphs/demo/model.safetensors",
            Mapped::from_static(demo::WEIGHTS),
        )?;
        ModelFiles::new(
            demo::NAME.into(),
            "graphs/demo/config.json",
            demo::CONFIG,
            None,
            Some(weights),
            options,
        )
    }

    fn new(
        path: PathBuf,
        config_name: &str,
        text: &str,
        generation: Option<Json>,
        weights: Option<WeightFiles>,
        options: &Options,
    ) -> Result<ModelFiles, ModelError> {
        let config = ConfigJson::parse(config_name, text)?;
        // `ConfigJson::parse` has read the same text.
        let json = serde_json::from_str(text).unwrap_or(Json::Null);
        let graph = choose_graph(&config, options.graph.as_deref())?;
        Ok(ModelFiles {
            path,
            config,
            json,
            generation,
            weights,
            graph,
        })
    }

    /// What the weight files say of their tensors; `None` where there are none.
    pub fn headers(&self) -> Option<Headers> {
        self.weights.as_ref().map(headers)
    }

    /// The tokenizer, if the model has one.
    #[cfg(feature = "tokenizer")]
    pub fn tokenizer(
        &self,
    ) -> Result<Option<crate::load::tokenizer::Tokenizer>, crate::load::tokenizer::TokenizerError>
    {
        use crate::load::tokenizer::Tokenizer;
        if self.path == Path::new(demo::NAME) && !self.path.join("tokenizer.json").is_file() {
            return Tokenizer::from_bytes(Path::new("graphs/demo/tokenizer.json"), demo::TOKENIZER)
                .map(Some);
        }
        let path = self.path.join("tokenizer.json");
        if path.is_file() {
            Tokenizer::open(&path).map(Some)
        } else {
            Ok(None)
        }
    }
}

fn read_text(path: &Path) -> Result<String, ModelError> {
    let fail = |problem: String| ModelError::NoModel {
        path: path.to_path_buf(),
        problem,
    };
    let size = std::fs::metadata(path)
        .map_err(|e| fail(format!("can't be read: {e}")))?
        .len();
    if size > LARGEST_TEXT {
        return Err(fail(format!("{size} bytes are too many for a text file")));
    }
    std::fs::read_to_string(path).map_err(|e| fail(format!("can't be read: {e}")))
}

/// The graph file that the caller named, or the built-in one for the architecture that the configuration names.
fn choose_graph(config: &ConfigJson, given: Option<&Path>) -> Result<ModelFile, ModelError> {
    if let Some(path) = given {
        return Ok(syntax::parse(
            &path.display().to_string(),
            &read_text(path)?,
        )?);
    }
    let mut names: Vec<String> = match config.get("architectures") {
        Some(Value::List(names)) => names
            .iter()
            .filter_map(|n| n.as_str().map(str::to_string))
            .collect(),
        _ => Vec::new(),
    };
    names.extend(
        config
            .get("model_type")
            .and_then(|n| n.as_str().map(str::to_string)),
    );
    let mut known = Vec::new();
    let mut files = Vec::new();
    for (file, text) in builtin_graphs() {
        let graph = syntax::parse(file, text)?;
        known.extend(graph.architectures.clone());
        files.push(graph);
    }
    for name in &names {
        if let Some(at) = files
            .iter()
            .position(|graph| graph.architectures.contains(name))
        {
            return Ok(files.swap_remove(at));
        }
    }
    let message = match names.first() {
        None => "neither \"architectures\" nor \"model_type\" names the architecture".to_string(),
        Some(name) => {
            let near = nearest(name, known.iter().map(String::as_str));
            let near = near.map_or(String::new(), |near| format!(", the nearest is '{near}'"));
            format!(
                "no graph file for the architecture '{name}'{near}; known are {}. A graph file of your own can be given (--graph FILE; graphs/README.md tells how to write one)",
                known.join(", ")
            )
        }
    };
    Err(Problems::one(config.describe(), Problem::new(Position::START, message)).into())
}
