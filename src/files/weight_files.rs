//! The weights of a model as one collection of named tensors, whether in one file or in shards with an index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::folder::Folder;
use super::json;
use super::map::{MapError, Mapped};
use super::safetensors::TensorFile;
use super::weight::Weight;
pub use super::weight_file::Open;
use super::weight_file::{TensorFileError, TensorHeader, WeightFile};
use crate::language::diagnostics::shortened;

/// The single weight file of a model folder.
pub const SINGLE_FILE: &str = "model.safetensors";
/// The beginning and the end of the names of shards; in between are the number of the shard and the number of shards.
const SHARD: &str = "model-";
const SHARD_ENDING: &str = ".safetensors";
/// The longest list of names in a message, in characters.
const LONGEST_LIST: usize = 400;
/// The largest index that is read, in bytes.
const LARGEST_INDEX: u64 = 256 << 20;
/// The index of a model folder whose weights are in shards.
pub const INDEX_FILE: &str = "model.safetensors.index.json";

/// Why the weights of a model could not be opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightFilesError {
    /// One of the files is unusable, or a tensor does not have the requested type.
    #[error(transparent)]
    File(#[from] TensorFileError),
    /// The folder contains no weights.
    #[error("{} has neither {SINGLE_FILE} nor {INDEX_FILE}", folder.display())]
    NoWeights {
        /// The folder.
        folder: PathBuf,
    },
    /// The index cannot be read.
    #[error("{}: {problem}", index.display())]
    Index {
        /// The index file.
        index: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The index names a shard outside its own folder.
    #[error("{}: shard `{shard}` (of tensor `{tensor}`) does not lie in the index's folder", index.display())]
    ShardOutside {
        /// The index file.
        index: PathBuf,
        /// The name of the shard in the index.
        shard: String,
        /// A tensor that the index places in the shard.
        tensor: String,
    },
    /// The index names a shard that cannot be opened.
    #[error("{}: shard `{shard}` (of tensor `{tensor}`): {source}", index.display())]
    Shard {
        /// The index file.
        index: PathBuf,
        /// The name of the shard in the index.
        shard: String,
        /// A tensor that the index places in the shard.
        tensor: String,
        /// What is wrong with the shard.
        source: Box<TensorFileError>,
    },
    /// Files that the index names, or that belong to the others according to their names, are missing.
    #[error("{}: {} of {all} files of weights are missing: {}. Download them too, each whole", folder.display(), missing.len(), shortened(&missing.join(", "), LONGEST_LIST))]
    MissingShards {
        /// The folder.
        folder: PathBuf,
        /// The names of the files.
        missing: Vec<String>,
        /// How many files there should be.
        all: usize,
    },
    /// The index places a tensor in a shard that does not contain it.
    #[error("{}: tensor `{tensor}` is not in shard `{shard}`", index.display())]
    NotInShard {
        /// The index file.
        index: PathBuf,
        /// The tensor.
        tensor: String,
        /// The name of the shard in the index.
        shard: String,
    },
    /// Two files contain a tensor with the same name.
    #[error("tensor `{tensor}` is both in {} and in {}", first.display(), second.display())]
    Duplicate {
        /// The tensor.
        tensor: String,
        /// One file.
        first: PathBuf,
        /// The other file.
        second: PathBuf,
    },
    /// No file contains a tensor with that name.
    #[error("the weights have no tensor `{tensor}`{}", nearest.as_ref().map(|n| format!("; the nearest name is `{n}`")).unwrap_or_default())]
    NotFound {
        /// The requested name.
        tensor: String,
        /// The most similar existing name.
        nearest: Option<String>,
    },
}

/// All tensors of a model.
#[derive(Debug)]
pub struct WeightFiles {
    files: Vec<WeightFile>,
    /// For each tensor, which of `files` contains it.
    places: BTreeMap<String, usize>,
}

impl WeightFiles {
    /// Opens a model folder ([`SINGLE_FILE`], otherwise [`INDEX_FILE`]), an index (`*.json`), a single safetensors or GGUF
    /// file, or all parts of a GGUF model, given one of them.
    #[cfg(any(test, feature = "internals"))]
    pub fn open(path: &Path, open: Open) -> Result<Self, WeightFilesError> {
        if path.is_dir() {
            return Self::open_folder(&Folder::Disk(path.to_path_buf()), open);
        }
        let name = path.file_name().and_then(|name| name.to_str());
        match name.filter(|name| name.ends_with(".json")) {
            Some(index) => {
                let folder = path.parent().unwrap_or(Path::new(""));
                Self::open_index(&Folder::Disk(folder.to_path_buf()), index, open)
            }
            None => Self::from_files(WeightFile::open_all(path, open)?),
        }
    }

    /// Opens the weights in the folder of a model: [`SINGLE_FILE`], otherwise [`INDEX_FILE`], otherwise shards without an
    /// index.
    pub fn open_folder(folder: &Folder, open: Open) -> Result<Self, WeightFilesError> {
        if folder.has(SINGLE_FILE) {
            Self::from_files(vec![WeightFile::open_in(folder, SINGLE_FILE, open)?])
        } else if folder.has(INDEX_FILE) {
            Self::open_index(folder, INDEX_FILE, open)
        } else if let Some(shards) = shards(&folder.names()) {
            check_shards(folder, &shards)?;
            let open = |shard: &String| WeightFile::open_in(folder, shard, open);
            let files: Result<Vec<_>, _> = shards.iter().map(open).collect();
            Self::from_files(files?)
        } else {
            let folder = folder.name();
            Err(WeightFilesError::NoWeights { folder })
        }
    }

    /// A safetensors file in memory; `label` replaces the path of the file in errors.
    #[cfg(any(test, feature = "internals"))]
    pub fn from_bytes(label: &str, bytes: Mapped) -> Result<Self, WeightFilesError> {
        let file = TensorFile::from_bytes(Path::new(label), bytes)?;
        Self::from_files(vec![WeightFile::Safetensors(file)])
    }

    /// All tensors of several files.
    pub fn from_files(files: Vec<WeightFile>) -> Result<Self, WeightFilesError> {
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for (place, file) in files.iter().enumerate() {
            for name in file.names() {
                if let Some(first) = places.insert(name.to_string(), place) {
                    let path = |i: usize| {
                        files
                            .get(i)
                            .map(|file| file.path().to_path_buf())
                            .unwrap_or_default()
                    };
                    let (first, second) = (path(first), path(place));
                    return Err(WeightFilesError::Duplicate {
                        tensor: name.to_string(),
                        first,
                        second,
                    });
                }
            }
        }
        Ok(WeightFiles { files, places })
    }

    fn open_index(folder: &Folder, file: &str, open: Open) -> Result<Self, WeightFilesError> {
        let index = folder.path(file);
        let bad = |problem| WeightFilesError::Index {
            index: index.clone(),
            problem: format!("cannot read the index: {problem}"),
        };
        let text = folder.text(file, LARGEST_INDEX);
        let text = text.map_err(|error| bad(error.problem))?;
        let Index { weight_map } = json::parse(&text).map_err(|error| bad(error.message))?;
        let named: BTreeSet<&String> = weight_map.values().collect();
        let named: Vec<String> = named.into_iter().cloned().collect();
        // A single missing shard is reported below, with its tensor.
        if named.iter().all(|shard| is_inside(shard)) && missing(folder, &named).len() > 1 {
            check_shards(folder, &named)?;
        }
        let mut shards: BTreeMap<&str, WeightFile> = BTreeMap::new();
        for (tensor, shard) in &weight_map {
            let names = || (index.clone(), tensor.clone(), shard.clone());
            if !shards.contains_key(shard.as_str()) {
                let (index, tensor, name) = names();
                if !is_inside(shard) {
                    return Err(WeightFilesError::ShardOutside {
                        index,
                        tensor,
                        shard: name,
                    });
                }
                let file = WeightFile::open_in(folder, shard, open);
                let file = file.map_err(|source| WeightFilesError::Shard {
                    index,
                    tensor,
                    shard: name,
                    source: Box::new(source),
                })?;
                shards.insert(shard, file);
            }
            if shards
                .get(shard.as_str())
                .is_none_or(|file| file.header(tensor).is_none())
            {
                let (index, tensor, shard) = names();
                return Err(WeightFilesError::NotInShard {
                    index,
                    tensor,
                    shard,
                });
            }
        }
        Self::from_files(shards.into_values().collect())
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// The type and the shape of a tensor.
    pub fn header(&self, name: &str) -> Option<TensorHeader> {
        self.holder(name)?.header(name)
    }

    /// The number of bytes of a tensor in its file; `None` if there is no tensor with that name, or if its type is unknown.
    #[cfg(any(test, feature = "internals"))]
    pub fn stored_bytes(&self, name: &str) -> Option<usize> {
        self.holder(name)?.stored_bytes(name)
    }

    /// A tensor as a weight: a view of its file, or of the part that is read here.
    pub fn weight(&self, name: &str) -> Result<Weight, WeightFilesError> {
        Ok(self.file(name)?.weight(name)?)
    }

    /// Fails if a file has changed since it was opened.
    pub fn check(&self) -> Result<(), MapError> {
        self.files.iter().try_for_each(WeightFile::check)
    }

    /// Lets the system reclaim the memory of what was read of the files: it is loaded again when it is read.
    pub fn release(&self) {
        self.files.iter().for_each(WeightFile::release);
    }

    /// The bytes of a tensor, as in its file.
    #[cfg(any(test, feature = "internals"))]
    pub fn bytes(&self, name: &str) -> Result<&[u8], WeightFilesError> {
        Ok(self.file(name)?.bytes(name)?)
    }

    /// The file that contains a tensor.
    pub fn file(&self, name: &str) -> Result<&WeightFile, WeightFilesError> {
        self.holder(name).ok_or_else(|| {
            let similarity = |other: &&str| (strsim::jaro_winkler(name, other) * 1e6) as u32;
            let nearest = self.names().max_by_key(similarity).map(str::to_string);
            WeightFilesError::NotFound {
                tensor: name.to_string(),
                nearest,
            }
        })
    }

    fn holder(&self, name: &str) -> Option<&WeightFile> {
        self.files.get(*self.places.get(name)?)
    }
}

/// Fails if any of these files is missing in the folder.
fn check_shards(folder: &Folder, shards: &[String]) -> Result<(), WeightFilesError> {
    match missing(folder, shards) {
        missing if missing.is_empty() => Ok(()),
        missing => Err(WeightFilesError::MissingShards {
            folder: folder.name(),
            missing,
            all: shards.len(),
        }),
    }
}

/// The given files that are missing in the folder.
fn missing(folder: &Folder, shards: &[String]) -> Vec<String> {
    let missing = shards.iter().filter(|shard| !folder.has(shard));
    missing.cloned().collect()
}

/// All shards of the model, if one of these names is the name of a shard: `model-00001-of-00003.safetensors` and so on.
fn shards(names: &[String]) -> Option<Vec<String>> {
    let count = names.iter().find_map(|name| {
        let numbers = name.strip_prefix(SHARD)?.strip_suffix(SHARD_ENDING)?;
        let (number, count) = numbers.split_once("-of-")?;
        let is_number = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
        let both = is_number(number) && is_number(count);
        count.parse::<u32>().ok().filter(|_| both)
    })?;
    let name = |number: u32| format!("{SHARD}{number:05}-of-{count:05}{SHARD_ENDING}");
    Some((1..=count).map(name).collect())
}

/// The part of the index file that is used.
#[derive(Deserialize)]
struct Index {
    /// The name of the shard for the name of each tensor.
    weight_map: BTreeMap<String, String>,
}

/// Whether the name of a shard leads to a place below its folder. Links are followed later: caches of downloaded models
/// consist of links.
fn is_inside(shard: &str) -> bool {
    !shard.is_empty()
        && Path::new(shard)
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
}
