//! A model in memory.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::file_names::{CONFIG, GGUF, OWN_GRAPH, TOKENIZER};
use crate::files::folder::Folder;
use crate::files::map::Mapped;
use crate::files::weight_files::SINGLE_FILE;

/// A model whose files are in the program's memory: the files of a Hugging Face folder, or a GGUF file. Opening it reads no
/// file from disk.
///
/// Bytes are `'static` ([`include_bytes!`]) or owned; weights that products don't repack are read in place.
///
/// ```no_run
/// # fn read(_: &str) -> Vec<u8> { Vec::new() }
/// use smallmind::{Model, ModelBytes, Options};
///
/// let bytes = ModelBytes::new()
///     .config(read("config.json"))
///     .weights(read("model.safetensors"))
///     .tokenizer(read("tokenizer.json"));
/// let model = Model::from_bytes(bytes, &Options::default())?;
/// # Ok::<(), smallmind::ModelError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelBytes {
    name: PathBuf,
    files: BTreeMap<String, Mapped>,
}

impl ModelBytes {
    /// A model without files yet.
    pub fn new() -> ModelBytes {
        ModelBytes::default()
    }

    /// A GGUF file: parameters, weights and vocabulary in one. A model in several parts must be merged first.
    pub fn gguf(bytes: impl Into<Cow<'static, [u8]>>) -> ModelBytes {
        ModelBytes::new().file(GGUF, bytes)
    }

    /// The name that messages use for the model, before the names of its files.
    pub fn named(mut self, name: impl Into<PathBuf>) -> ModelBytes {
        self.name = name.into();
        self
    }

    /// `config.json`: the parameters.
    pub fn config(self, json: impl Into<Cow<'static, [u8]>>) -> ModelBytes {
        self.file(CONFIG, json)
    }

    /// `model.safetensors`: the weights. For weights in shards, add each shard under its own name, and
    /// `model.safetensors.index.json`, with [`ModelBytes::file`].
    pub fn weights(self, bytes: impl Into<Cow<'static, [u8]>>) -> ModelBytes {
        self.file(SINGLE_FILE, bytes)
    }

    /// The graph file, if the architecture is not built in.
    pub fn graph(self, ron: impl Into<Cow<'static, [u8]>>) -> ModelBytes {
        self.file(OWN_GRAPH, ron)
    }

    /// `tokenizer.json`: the tokenizer.
    pub fn tokenizer(self, json: impl Into<Cow<'static, [u8]>>) -> ModelBytes {
        self.file(TOKENIZER, json)
    }

    /// Any file that a model's folder may have, under the name that it has there: `generation_config.json`,
    /// `chat_template.jinja`, `1_Pooling/config.json`. It replaces a file that was added before under the same name.
    pub fn file(
        mut self,
        name: impl Into<String>,
        bytes: impl Into<Cow<'static, [u8]>>,
    ) -> ModelBytes {
        let bytes = match bytes.into() {
            Cow::Borrowed(bytes) => Mapped::from_static(bytes),
            Cow::Owned(bytes) => Mapped::from_vec(bytes),
        };
        self.files.insert(name.into(), bytes);
        self
    }

    /// All files.
    pub(super) fn folder(&self) -> Folder {
        Folder::Memory {
            name: self.name.clone(),
            files: self.files.clone(),
        }
    }
}
