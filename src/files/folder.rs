//! The folder of a model: files by name, on disk or in memory.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::map::Mapped;

/// Why a file in a folder cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct FolderError {
    /// The name of the file in messages.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: String,
}

/// Files by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folder {
    /// A folder of the file system.
    Disk(PathBuf),
    /// Files in the memory of the program. Cloning shares their bytes.
    Memory {
        /// The name of the folder in messages; empty if it has no name.
        name: PathBuf,
        /// The files by name. A name may contain folders, separated by `/`.
        files: BTreeMap<String, Mapped>,
    },
}

impl Folder {
    /// The name of the folder in messages; on disk, its path.
    pub fn name(&self) -> PathBuf {
        match self {
            Folder::Memory { name, .. } if name.as_os_str().is_empty() => "model in memory".into(),
            Folder::Disk(name) | Folder::Memory { name, .. } => name.clone(),
        }
    }

    /// The name of a file of the folder in messages; on disk, its path.
    pub fn path(&self, file: &str) -> PathBuf {
        match self {
            Folder::Disk(path) => path.join(file),
            Folder::Memory { name, .. } => name.join(file),
        }
    }

    /// Whether there is a file with that name.
    pub fn has(&self, file: &str) -> bool {
        match self {
            Folder::Disk(path) => path.join(file).is_file(),
            Folder::Memory { files, .. } => files.contains_key(file),
        }
    }

    /// The size of the file with that name, in bytes; `None` if there is none.
    pub fn size(&self, file: &str) -> Option<u64> {
        match self {
            Folder::Disk(path) => Some(std::fs::metadata(path.join(file)).ok()?.len()),
            Folder::Memory { files, .. } => Some(files.get(file)?.len() as u64),
        }
    }

    /// The names of all files and folders in the folder, sorted; empty if it cannot be read.
    pub fn names(&self) -> Vec<String> {
        let files = match self {
            Folder::Disk(path) => std::fs::read_dir(path),
            Folder::Memory { files, .. } => return files.keys().cloned().collect(),
        };
        let entries = files.into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// The text of a file that has at most `most` bytes.
    ///
    /// # Errors
    /// If there is no such file, if it is longer, or if it is not UTF-8.
    pub fn text(&self, file: &str, most: u64) -> Result<Cow<'_, str>, FolderError> {
        let files = match self {
            Folder::Disk(path) => return read_text(&path.join(file), most).map(Cow::Owned),
            Folder::Memory { files, .. } => files,
        };
        let fail = |problem: String| FolderError {
            path: self.path(file),
            problem,
        };
        let Some(bytes) = files.get(file) else {
            return Err(fail("there is no such file".to_string()));
        };
        check_size(bytes.len() as u64, most).map_err(fail)?;
        let text = std::str::from_utf8(bytes);
        text.map(Cow::Borrowed)
            .map_err(|error| fail(format!("can't be read: {error}")))
    }
}

/// The text of a file on disk that has at most `most` bytes.
///
/// # Errors
/// If there is no such file, if it is longer, or if it is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> Result<String, FolderError> {
    let fail = |problem: String| FolderError {
        path: path.to_path_buf(),
        problem,
    };
    let metadata =
        std::fs::metadata(path).map_err(|error| fail(format!("can't be read: {error}")))?;
    check_size(metadata.len(), most).map_err(fail)?;
    std::fs::read_to_string(path).map_err(|error| fail(format!("can't be read: {error}")))
}

fn check_size(bytes: u64, most: u64) -> Result<(), String> {
    match bytes > most {
        true => Err(format!("{bytes} bytes are too many for a text file")),
        false => Ok(()),
    }
}
