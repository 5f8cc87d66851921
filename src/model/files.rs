//! Finding and opening a model's files.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::configuration::Configuration;
use super::file_names::{CONFIG, GENERATION, LARGEST_TEXT};
use super::graphs::{GraphOrigin, choose_graph};
use super::source::{Place, Source, gguf_in_memory};
use super::text_model;
#[cfg(feature = "tokenizer")]
use super::vocabulary::Vocabulary;
use super::{ModelError, Options, WeightAccess};
use crate::architecture::ast::ModelFile;
use crate::architecture::bind::{Headers, headers};
use crate::architecture::parameters::ConfigJson;
use crate::files::folder::{Folder, read_text};
use crate::files::gguf::open_parts;
use crate::files::json;
use crate::files::weight_file::WeightFile;
use crate::files::weight_files::{Open, WeightFiles, WeightFilesError};
use crate::kernels::float_environment::FloatEnvironment;
use crate::language::diagnostics::{Position, Problem, Problems};

/// A model's files, found and opened, with the weights not yet read.
pub struct ModelFiles {
    /// The model's folder or file, as the caller named it.
    pub path: PathBuf,
    /// The parameters and special tokens.
    pub config: Configuration,
    /// The weights; `None` if only the configuration is at hand.
    pub weights: Option<WeightFiles>,
    /// The graph file.
    pub graph: ModelFile,
    /// Where the graph file comes from.
    #[cfg_attr(not(feature = "internals"), allow(dead_code))] // Shown by the program.
    pub graph_origin: GraphOrigin,
    /// The model's folder, on disk or in memory, if it has one.
    pub folder: Option<Folder>,
    /// The beginnings of the model's tensor names, if the files also contain other models' tensors.
    beginnings: Option<Vec<String>>,
}

impl ModelFiles {
    /// Find and open the files of a model.
    ///
    /// # Errors
    /// If there is no model, a file can't be read, or no graph file describes the architecture.
    pub fn open(source: &Source, options: &Options) -> Result<ModelFiles, ModelError> {
        let open = match options.weight_access {
            WeightAccess::Mapped => Open::Data,
            WeightAccess::Read => Open::Read,
        };
        ModelFiles::find(source, options, open)
    }

    /// The same, but with only the headers of the weights: enough to compile and plan.
    ///
    /// # Errors
    /// The errors of [`ModelFiles::open`].
    #[cfg(feature = "internals")]
    pub fn open_headers(source: &Source, options: &Options) -> Result<ModelFiles, ModelError> {
        ModelFiles::find(source, options, Open::Headers)
    }

    fn find(source: &Source, options: &Options, open: Open) -> Result<ModelFiles, ModelError> {
        let _environment = FloatEnvironment::set_default();
        let given = options.graph.as_deref();
        match Place::of(source)? {
            Place::Folder(folder) => ModelFiles::of_folder(folder, given, open),
            Place::Config(path) => {
                let text = read_text(&path, LARGEST_TEXT)?;
                // Without weights, no names are looked for.
                let (config, _) = configuration(&path.display().to_string(), &text, None)?;
                ModelFiles::new(path, config, None, None, given)
            }
            Place::Gguf(path) => {
                let (first, others) = open_parts(&path, open).map_err(WeightFilesError::File)?;
                let config = Configuration::Gguf(first.metadata().clone());
                let parts = [first].into_iter().chain(others);
                let weights = WeightFiles::from_files(parts.map(WeightFile::Gguf).collect())?;
                ModelFiles::new(path, config, Some(weights), None, given)
            }
            Place::GgufBytes(folder) => {
                let file = gguf_in_memory(&folder).map_err(WeightFilesError::File)?;
                let config = Configuration::Gguf(file.metadata().clone());
                let weights = WeightFiles::from_files(vec![WeightFile::Gguf(file)])?;
                ModelFiles::new(folder.name(), config, Some(weights), Some(folder), given)
            }
        }
    }

    fn of_folder(
        folder: Folder,
        given: Option<&Path>,
        open: Open,
    ) -> Result<ModelFiles, ModelError> {
        let text = folder.text(CONFIG, LARGEST_TEXT)?;
        let weights = match WeightFiles::open_folder(&folder, open) {
            Ok(files) => Some(files),
            Err(WeightFilesError::NoWeights { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let generation = folder.has(GENERATION);
        let generation = generation.then(|| read_json(&folder, GENERATION));
        let label = folder.path(CONFIG).display().to_string();
        let generation = generation.transpose()?;
        let (config, is_part) = configuration(&label, &text, generation)?;
        let mut files = ModelFiles::new(folder.name(), config, weights, Some(folder), given)?;
        if is_part {
            files.beginnings = Some(text_model::beginnings(&files.graph));
            text_model::add_prefixes(&mut files.graph.prefixes);
        }
        Ok(files)
    }

    fn new(
        path: PathBuf,
        config: Configuration,
        weights: Option<WeightFiles>,
        folder: Option<Folder>,
        given: Option<&Path>,
    ) -> Result<ModelFiles, ModelError> {
        let (graph, graph_origin) = choose_graph(&config, folder.as_ref(), given)?;
        Ok(ModelFiles {
            path,
            config,
            weights,
            graph,
            graph_origin,
            folder,
            beginnings: None,
        })
    }

    /// What the weight files say about the model's tensors; `None` if there are none.
    pub fn headers(&self) -> Option<Headers> {
        let mut headers = headers(self.weights.as_ref()?);
        if let Some(beginnings) = &self.beginnings {
            headers.retain(|name, _| beginnings.iter().any(|own| name.starts_with(own)));
        }
        Some(headers)
    }

    /// The text of the folder's own graph file, if the model uses it.
    #[cfg(feature = "tokenizer")]
    pub(crate) fn own_graph(&self) -> Result<Option<String>, ModelError> {
        use super::file_names::OWN_GRAPH;
        match (&self.graph_origin, &self.folder) {
            (GraphOrigin::Own, Some(folder)) if folder.has(OWN_GRAPH) => {
                Ok(Some(folder.text(OWN_GRAPH, LARGEST_TEXT)?.into_owned()))
            }
            _ => Ok(None),
        }
    }

    /// Where the chat template may be.
    #[cfg(feature = "tokenizer")]
    pub(crate) fn template_files(&self) -> crate::text::template_files::TemplateFiles {
        use crate::text::template_files::TemplateFiles;
        match (&self.config, &self.folder) {
            (Configuration::Gguf(metadata), _) => TemplateFiles::Gguf(metadata.clone()),
            (_, Some(folder)) => TemplateFiles::Folder(folder.clone()),
            (_, None) => TemplateFiles::Folder(Folder::Disk(self.path.clone())),
        }
    }

    /// The approximate size of the tokenizer in bytes; 0 if there is no tokenizer.
    #[cfg(feature = "tokenizer")]
    pub fn tokenizer_estimate(&self) -> usize {
        self.vocabulary().estimate()
    }

    /// Where the tokenizer comes from.
    #[cfg(feature = "tokenizer")]
    pub(super) fn vocabulary(&self) -> Vocabulary {
        match (&self.config, &self.folder) {
            (Configuration::Gguf(metadata), _) => Vocabulary::Gguf(metadata.clone()),
            (_, Some(folder)) => Vocabulary::Folder(folder.clone()),
            (_, None) => Vocabulary::Folder(Folder::Disk(self.path.clone())),
        }
    }
}

/// The configuration in the text of a config.json, and whether it is only a part of it: the text model's configuration.
/// Messages call it `name`.
fn configuration(
    name: &str,
    text: &str,
    generation: Option<Json>,
) -> Result<(Configuration, bool), ModelError> {
    let inner = text_model::configuration(text)?;
    let (config, json) = ConfigJson::with_json(name, inner.as_deref().unwrap_or(text))?;
    let config = Configuration::Folder {
        config,
        json,
        generation,
    };
    Ok((config, inner.is_some()))
}

/// A JSON file of a folder, of at most [`LARGEST_TEXT`] bytes.
pub(crate) fn read_json(folder: &Folder, file: &str) -> Result<Json, ModelError> {
    read_json_up_to(folder, file, LARGEST_TEXT)
}

/// A JSON file of a folder, of at most `most` bytes.
pub(crate) fn read_json_up_to(folder: &Folder, file: &str, most: u64) -> Result<Json, ModelError> {
    let text = folder.text(file, most)?;
    json::parse(&text).map_err(|error| {
        let position = Position {
            line: error.line,
            column: error.column,
        };
        let problem = Problem::new(position, error.message);
        Problems::one(folder.path(file).display().to_string(), problem).into()
    })
}
