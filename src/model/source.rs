//! Where a model comes from, and which kind of files it has.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::bytes::ModelBytes;
use super::error::ModelError;
use super::file_names::{CONFIG, GGUF};
use super::lacking::instead_of_model;
use crate::files::folder::Folder;
use crate::files::foreign::{BEGINNING, foreign};
use crate::files::gguf::{GgufFile, is_gguf, models_among};
use crate::files::weight_file::{Open, TensorFileError, WeightFile};
use crate::files::weight_files::INDEX_FILE;

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The model that is part of the library, if it was built with the feature `demo`.
    Demo,
    /// A folder (with `config.json` and weights, or with one GGUF file), a GGUF file, or only a `config.json` (which is enough
    /// to compile, but not to run).
    Path(PathBuf),
    /// Files in the program's memory.
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
    /// The model's folder; `None` for a file on disk, or if nothing is there.
    ///
    /// # Errors
    /// If the source is the demo, and the library was built without it.
    pub fn folder(&self) -> Result<Option<Folder>, ModelError> {
        Ok(match self {
            Source::Demo => Some(demo()?.folder()),
            Source::Path(path) => Some(Folder::Disk(path.clone())).filter(|_| path.is_dir()),
            Source::Bytes(bytes) => Some(bytes.folder()),
        })
    }
}

/// The smallest size of a GGUF file in bytes: its magic, version and two counts.
const LEAST_GGUF: u64 = 24;

/// The kind of files at a source.
pub(super) enum Place {
    /// A folder with a config.json.
    Folder(Folder),
    /// Only a config.json.
    Config(PathBuf),
    /// A GGUF file.
    Gguf(PathBuf),
    /// A GGUF file in memory, with the other files that were given.
    GgufBytes(Folder),
}

impl Place {
    /// Looks at what is there; reads only the beginning of a file.
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
            Some(folder) if folder.has(CONFIG) && has_weights(&folder) => Ok(Place::Folder(folder)),
            folder => {
                if let Some(Folder::Disk(path)) = &folder
                    && let Some(file) = gguf_of(path)?
                {
                    return Ok(Place::Gguf(file));
                }
                let (name, instead) = match (folder, source) {
                    (Some(folder), _) if folder.has(CONFIG) => return Ok(Place::Folder(folder)),
                    (Some(folder), _) => (folder.name(), instead_of_model(&folder)),
                    (None, Source::Path(path)) => (path.clone(), instead_of_file(path)),
                    (None, _) => (PathBuf::new(), String::new()),
                };
                let problem = "no model: expected a folder with config.json and safetensors files, or a GGUF file";
                Err(refuse(name, &format!("{problem}{instead}")))
            }
        }
    }
}

/// Whether a folder has safetensors weights.
fn has_weights(folder: &Folder) -> bool {
    folder
        .names()
        .iter()
        .any(|name| name.ends_with(".safetensors"))
        || folder.has(INDEX_FILE)
}

/// The GGUF file of a folder with one GGUF model; `None` if it has none.
fn gguf_of(folder: &Path) -> Result<Option<PathBuf>, ModelError> {
    let mut models = models_among(&Folder::Disk(folder.to_path_buf()).names());
    // A file that is shorter than a header is an unfinished download.
    models.retain(|name| {
        let file = fs::metadata(folder.join(name));
        file.is_ok_and(|file| file.len() >= LEAST_GGUF)
    });
    match &models[..] {
        [] => Ok(None),
        [one] => Ok(Some(folder.join(one))),
        _ => Err(ModelError::NoModel {
            path: folder.to_path_buf(),
            problem: format!(
                "there are {} models: choose one of the files {}",
                models.len(),
                models.join(", ")
            ),
        }),
    }
}

/// What kind of file a file is that is not a model, after "; " if that is known.
fn instead_of_file(path: &Path) -> String {
    let mut beginning = Vec::new();
    let read = File::open(path).and_then(|file| {
        let mut file = file.take(BEGINNING as u64);
        file.read_to_end(&mut beginning)
    });
    let told = read.ok().and_then(|_| foreign(&beginning));
    let folder = path.parent().filter(|folder| folder.join(CONFIG).is_file());
    match (folder, told) {
        (Some(folder), _) if path.extension().is_some_and(|e| e == "safetensors") => {
            let folder = match folder.as_os_str().is_empty() {
                true => Path::new("."),
                false => folder,
            };
            format!(
                "; it has weights, but the model is its folder: {}",
                folder.display()
            )
        }
        (_, Some(told)) => format!("; {told}"),
        _ => String::new(),
    }
}

/// Whether a path leads to a GGUF file, judging by its name or its first bytes.
pub(super) fn is_gguf_file(path: &Path) -> bool {
    let named_gguf = path.extension().is_some_and(|e| e == "gguf");
    path.is_file() && (named_gguf || is_gguf(path))
}

/// The GGUF file of a model in memory, which is in one part.
pub(super) fn gguf_in_memory(folder: &Folder) -> Result<GgufFile, TensorFileError> {
    match WeightFile::open_in(folder, GGUF, Open::Data)? {
        WeightFile::Gguf(file) => file.refuse_part(),
        WeightFile::Safetensors(file) => Err(TensorFileError::Malformed {
            file: file.path().to_path_buf(),
            problem: "not a GGUF file: it does not begin with \"GGUF\"".to_string(),
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
