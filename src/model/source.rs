//! Where a model comes from, and which kind of files is there.

use std::path::{Path, PathBuf};

use super::bytes::ModelBytes;
use super::error::ModelError;
use super::file_names::{CONFIG, GGUF};
use crate::files::folder::Folder;
use crate::files::gguf::{GgufFile, is_gguf};
use crate::files::weight_file::{Open, TensorFileError, WeightFile};

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The model that the library carries, where it was built with the feature `demo`.
    Demo,
    /// A folder, a GGUF file, or a `config.json` alone (which is enough to compile, but not to run).
    Path(PathBuf),
    /// Files that the program holds.
    Bytes(ModelBytes),
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

impl From<ModelBytes> for Source {
    fn from(bytes: ModelBytes) -> Self {
        Source::Bytes(bytes)
    }
}

impl Source {
    /// The model's folder; `None` for a file on disk, and for what is not there.
    ///
    /// # Errors
    /// If it is the demo, and the library was built without it.
    pub fn folder(&self) -> Result<Option<Folder>, ModelError> {
        Ok(match self {
            Source::Demo => Some(demo()?.folder()),
            Source::Path(path) => Some(Folder::Disk(path.clone())).filter(|_| path.is_dir()),
            Source::Bytes(bytes) => Some(bytes.folder()),
        })
    }
}

/// What kind of files is at a source.
pub(super) enum Place {
    /// A folder with a config.json.
    Folder(Folder),
    /// A config.json alone.
    Config(PathBuf),
    /// A GGUF file.
    Gguf(PathBuf),
    /// A GGUF file in memory, with what was given besides it.
    GgufBytes(Folder),
}

impl Place {
    /// Looks at what is there; opens nothing but the beginning of a file.
    pub(super) fn of(source: &Source) -> Result<Place, ModelError> {
        let refuse = |path: PathBuf, problem: &str| ModelError::NoModel {
            path,
            problem: problem.to_string(),
        };
        if let Source::Path(path) = source {
            if !path.exists() {
                let problem = "there is no such file or folder";
                return Err(refuse(path.clone(), problem));
            }
            if is_gguf_file(path) {
                return Ok(Place::Gguf(path.clone()));
            }
            if path.is_file() && path.extension().is_some_and(|e| e == "json") {
                return Ok(Place::Config(path.clone()));
            }
        }
        match source.folder()? {
            Some(folder) if matches!(source, Source::Bytes(_)) && folder.has(GGUF) => {
                Ok(Place::GgufBytes(folder))
            }
            Some(folder) if folder.has(CONFIG) => Ok(Place::Folder(folder)),
            folder => {
                let name = match (folder, source) {
                    (Some(folder), _) => folder.name(),
                    (None, Source::Path(path)) => path.clone(),
                    (None, _) => PathBuf::new(),
                };
                let problem = "no model: expected a folder with config.json and safetensors files, or a GGUF file";
                Err(refuse(name, problem))
            }
        }
    }
}

/// Whether a path is that of a GGUF file, by its name or by its first bytes.
pub(super) fn is_gguf_file(path: &Path) -> bool {
    let named_gguf = path.extension().is_some_and(|e| e == "gguf");
    path.is_file() && (named_gguf || is_gguf(path))
}

/// The GGUF file of a model in memory, which is whole.
pub(super) fn gguf_in_memory(folder: &Folder) -> Result<GgufFile, TensorFileError> {
    match WeightFile::open_in(folder, GGUF, Open::Data)? {
        WeightFile::Gguf(file) => file.refuse_part(),
        WeightFile::Safetensors(file) => Err(TensorFileError::Malformed {
            file: file.path().to_path_buf(),
            problem: "no GGUF file: it does not begin with \"GGUF\"".to_string(),
        }),
    }
}

/// The demo's files.
#[cfg(feature = "demo")]
fn demo() -> Result<ModelBytes, ModelError> {
    let bytes = ModelBytes::new()
        .named("demo")
        .config(include_bytes!("../../demo/config.json"))
        .weights(include_bytes!("../../demo/model.safetensors"))
        .tokenizer(include_bytes!("../../demo/tokenizer.json"));
    Ok(bytes)
}

/// The demo's files, which this build does not have.
#[cfg(not(feature = "demo"))]
fn demo() -> Result<ModelBytes, ModelError> {
    Err(ModelError::NoDemo)
}
