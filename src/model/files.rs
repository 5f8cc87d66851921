//! Finding a model's files.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::configuration::Configuration;
use super::graphs::{builtin_graphs, demo};
#[cfg(feature = "tokenizer")]
use super::vocabulary::Vocabulary;
use super::{ModelError, Options};
use crate::architecture::ast::ModelFile;
use crate::architecture::bind::{Headers, headers};
use crate::architecture::parameters::{ConfigJson, ParameterSource};
use crate::architecture::syntax;
use crate::files::gguf::{is_gguf, open_parts};
use crate::files::map::Mapped;
use crate::files::weight_file::WeightFile;
use crate::files::weight_files::{Open, WeightFiles, WeightFilesError};
use crate::language::diagnostics::{Position, Problem, Problems, nearest, shortened};

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The model that the library carries.
    Demo,
    /// A folder, a GGUF file, or a `config.json` alone (which is enough to compile, but not to run).
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
    /// The parameters and special tokens.
    pub config: Configuration,
    /// The weights; `None` where only the configuration is at hand.
    pub weights: Option<WeightFiles>,
    /// The graph file.
    pub graph: ModelFile,
    /// What the caller named.
    pub source: Source,
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
        if is_gguf_file(path) {
            return ModelFiles::gguf(path, options, open);
        }
        let (folder, config) = if path.is_dir() {
            (Some(path.as_path()), path.join("config.json"))
        } else {
            (None, path.clone())
        };
        if !config.is_file() || config.extension().is_none_or(|e| e != "json") {
            let problem =
                "no model: expected a folder with config.json and safetensors files, or a GGUF file"
                    .to_string();
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
        let generation = generation.map(|path| read_json(&path)).transpose()?;
        let config = configuration(&config.display().to_string(), &text, generation)?;
        ModelFiles::new(source.clone(), config, weights, options)
    }

    fn gguf(path: &Path, options: &Options, open: Open) -> Result<ModelFiles, ModelError> {
        let (first, others) = open_parts(path, open).map_err(WeightFilesError::File)?;
        let config = Configuration::Gguf(first.metadata().clone());
        let parts = [first].into_iter().chain(others);
        let weights = WeightFiles::from_files(parts.map(WeightFile::Gguf).collect())?;
        ModelFiles::new(path.into(), config, Some(weights), options)
    }

    fn demo(options: &Options) -> Result<ModelFiles, ModelError> {
        let weights =
            WeightFiles::from_bytes("demo/model.safetensors", Mapped::from_static(demo::WEIGHTS))?;
        let config = configuration("demo/config.json", demo::CONFIG, None)?;
        ModelFiles::new(Source::Demo, config, Some(weights), options)
    }

    fn new(
        source: Source,
        config: Configuration,
        weights: Option<WeightFiles>,
        options: &Options,
    ) -> Result<ModelFiles, ModelError> {
        let graph = choose_graph(&config, options.graph.as_deref())?;
        let path = match &source {
            Source::Demo => demo::NAME.into(),
            Source::Path(path) => path.clone(),
        };
        Ok(ModelFiles {
            path,
            source,
            config,
            weights,
            graph,
        })
    }

    /// What the weight files say of their tensors; `None` where there are none.
    pub fn headers(&self) -> Option<Headers> {
        self.weights.as_ref().map(headers)
    }

    /// Where the chat template may stand.
    #[cfg(feature = "tokenizer")]
    pub(crate) fn template_files(&self) -> crate::text::template_files::TemplateFiles {
        use crate::text::template_files::TemplateFiles;
        match (&self.config, &self.source) {
            (Configuration::Gguf(metadata), _) => TemplateFiles::Gguf(metadata.clone()),
            (Configuration::Folder { .. }, Source::Demo) => TemplateFiles::Demo,
            (Configuration::Folder { .. }, Source::Path(path)) => {
                TemplateFiles::Folder(path.clone())
            }
        }
    }

    /// Where the tokenizer comes from.
    #[cfg(feature = "tokenizer")]
    pub(super) fn vocabulary(&self) -> Vocabulary {
        match (&self.config, &self.source) {
            (Configuration::Gguf(metadata), _) => Vocabulary::Gguf(metadata.clone()),
            (Configuration::Folder { .. }, Source::Demo) => Vocabulary::Demo,
            (Configuration::Folder { .. }, Source::Path(path)) => Vocabulary::Folder(path.clone()),
        }
    }
}

/// Whether a path is that of a GGUF file, by its name or by its first bytes.
pub(super) fn is_gguf_file(path: &Path) -> bool {
    let named_gguf = path.extension().is_some_and(|e| e == "gguf");
    path.is_file() && (named_gguf || is_gguf(path))
}

/// The configuration that a config.json's text gives; `name` is what messages call it.
fn configuration(
    name: &str,
    text: &str,
    generation: Option<Json>,
) -> Result<Configuration, ModelError> {
    let config = ConfigJson::parse(name, text)?;
    // `ConfigJson::parse` has read the same text.
    let json = serde_json::from_str(text).unwrap_or(Json::Null);
    Ok(Configuration::Folder {
        config,
        json,
        generation,
    })
}

fn read_text(path: &Path) -> Result<String, ModelError> {
    read_text_up_to(path, LARGEST_TEXT)
}

fn read_text_up_to(path: &Path, most: u64) -> Result<String, ModelError> {
    let fail = |problem: String| ModelError::NoModel {
        path: path.to_path_buf(),
        problem,
    };
    let size = std::fs::metadata(path)
        .map_err(|e| fail(format!("can't be read: {e}")))?
        .len();
    if size > most {
        return Err(fail(format!("{size} bytes are too many for a text file")));
    }
    std::fs::read_to_string(path).map_err(|e| fail(format!("can't be read: {e}")))
}

/// A JSON file, of no more than [`LARGEST_TEXT`] bytes.
pub(crate) fn read_json(path: &Path) -> Result<Json, ModelError> {
    read_json_up_to(path, LARGEST_TEXT)
}

/// A JSON file, of no more than `most` bytes.
pub(crate) fn read_json_up_to(path: &Path, most: u64) -> Result<Json, ModelError> {
    let text = read_text_up_to(path, most)?;
    serde_json::from_str(&text).map_err(|error| {
        let position = Position {
            line: error.line().max(1),
            column: error.column().max(1),
        };
        Problems::one(
            path.display().to_string(),
            Problem::new(position, error.to_string()),
        )
        .into()
    })
}

/// The graph file that the caller named, or the built-in one for the architecture that the configuration names.
pub(crate) fn choose_graph(
    config: &Configuration,
    given: Option<&Path>,
) -> Result<ModelFile, ModelError> {
    if let Some(path) = given {
        return Ok(syntax::parse(
            &path.display().to_string(),
            &read_text(path)?,
        )?);
    }
    let names = config.architectures();
    for name in &names {
        // A file that lists the name has it in quotes: the others need not be parsed.
        let quoted = format!("\"{name}\"");
        for (file, text) in builtin_graphs().filter(|(_, text)| text.contains(&quoted)) {
            let graph = syntax::parse(&file, text)?;
            if graph.architectures.contains(name) {
                return Ok(graph);
            }
        }
    }
    let mut known = Vec::new();
    for (file, text) in builtin_graphs() {
        known.extend(syntax::parse(&file, text)?.architectures);
    }
    let message = match names.first() {
        None => match config {
            Configuration::Folder { .. } => {
                "neither \"architectures\" nor \"model_type\" names the architecture".to_string()
            }
            Configuration::Gguf(_) => {
                "no text \"general.architecture\" names the architecture".to_string()
            }
        },
        Some(name) => {
            let near = nearest(name, known.iter().map(String::as_str));
            let near = near.map_or(String::new(), |near| format!(", the nearest is '{near}'"));
            let name = shortened(name, 100);
            format!(
                "no graph file for the architecture '{name}'{near}; known are {}. A graph file of your own can be given (--graph FILE; the guide to graph files, src/guide/graphs.md, tells how to write one)",
                known.join(", ")
            )
        }
    };
    Err(Problems::one(config.describe(), Problem::new(Position::START, message)).into())
}
