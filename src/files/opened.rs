//! A file that stays open while a model is loaded, and a check that it has not changed.

use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// Why a file could not be mapped or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// The operating system refused to open, inspect, map or read the file.
    #[error("cannot {action} {}: {source}", path.display())]
    Os {
        /// The file.
        path: PathBuf,
        /// The attempted action: "open", "inspect", "map" or "read".
        action: &'static str,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The path names a directory, a device or something else without contents to map.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file has no bytes.
    #[error("{} is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Another program wrote to the file or replaced it after it was opened.
    #[error("{} changed while the model was loaded: {change}. Load the model again when nothing writes to the file", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// How the file changed.
        change: String,
    },
}

/// A regular file that is not empty, and its properties when it was opened.
#[derive(Debug)]
pub struct OpenFile {
    path: PathBuf,
    file: Mutex<File>,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl OpenFile {
    /// Opens the regular file at `path`, which must not be empty.
    pub fn open(path: &Path) -> Result<OpenFile, MapError> {
        let path = path.to_path_buf();
        let file = File::open(&path).map_err(os(&path, "open"))?;
        let metadata = file.metadata().map_err(os(&path, "inspect"))?;
        if !metadata.is_file() {
            return Err(MapError::NotAFile { path });
        }
        if metadata.len() == 0 {
            return Err(MapError::Empty { path });
        }
        Ok(OpenFile {
            path,
            file: Mutex::new(file),
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }

    /// The file itself.
    pub fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails if the file was written to, cut off or replaced since it was opened. If it was only removed, that does no harm.
    pub fn check(&self) -> Result<(), MapError> {
        let now = self.file().metadata().map_err(os(&self.path, "inspect"))?;
        if now.len() != self.bytes {
            let change = format!("it had {} bytes and has {}", self.bytes, now.len());
            return Err(self.changed(change));
        }
        if now.modified().ok() != self.modified {
            return Err(self.changed("it was written to".to_string()));
        }
        match fs::metadata(&self.path) {
            Ok(other) if !is_same(&now, &other) => {
                Err(self.changed("another file took its place".to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Reads the bytes `range`.
    pub fn read(&self, range: Range<usize>) -> Result<Vec<u8>, MapError> {
        let fail = os(&self.path, "read");
        let mut bytes = Vec::new();
        let reserved = bytes.try_reserve_exact(range.len());
        reserved.map_err(|_| fail(ErrorKind::OutOfMemory.into()))?;
        bytes.resize(range.len(), 0);
        let mut file = self.file();
        let read = file
            .seek(SeekFrom::Start(range.start as u64))
            .and_then(|_| file.read_exact(&mut bytes));
        drop(file);
        match read {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                self.check()?;
                Err(fail(error))
            }
            Err(error) => Err(fail(error)),
        }
    }

    fn changed(&self, change: String) -> MapError {
        let path = self.path.clone();
        MapError::Changed { path, change }
    }
}

/// Creates the errors for one file and action.
pub(super) fn os<'a>(
    path: &'a Path,
    action: &'static str,
) -> impl Fn(std::io::Error) -> MapError + 'a {
    move |source| MapError::Os {
        path: path.to_path_buf(),
        action,
        source,
    }
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Where the standard library has no identifying number for files, the size and the time must be enough.
#[cfg(not(unix))]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    one.len() == other.len() && one.modified().ok() == other.modified().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "0123456789").unwrap();
        (folder, path)
    }

    #[test]
    fn a_file_that_stays_the_same_is_read() {
        let (_folder, path) = file();
        let open = OpenFile::open(&path).unwrap();
        assert!(open.check().is_ok());
        assert_eq!(open.read(2..5).unwrap(), b"234");
        assert_eq!(open.read(0..10).unwrap(), b"0123456789");
        fs::remove_file(&path).unwrap();
        assert!(open.check().is_ok());
        assert_eq!(open.read(0..1).unwrap(), b"0");
    }

    #[test]
    fn a_change_of_the_file_is_reported() {
        type Change = fn(&Path);
        let changes: [(&str, Change); 3] = [
            ("it had 10 bytes and has 4", |path| {
                File::options()
                    .write(true)
                    .open(path)
                    .unwrap()
                    .set_len(4)
                    .unwrap();
            }),
            ("it was written to", |path| {
                let file = File::options().write(true).open(path).unwrap();
                file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
            }),
            ("another file took its place", |path| {
                let other = path.with_extension("other");
                fs::write(&other, "abcdefghij").unwrap();
                fs::rename(other, path).unwrap();
            }),
        ];
        for (expected, change) in changes {
            let (_folder, path) = file();
            let open = OpenFile::open(&path).unwrap();
            change(&path);
            let message = open.check().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn reading_beyond_the_end_is_an_error() {
        let (_folder, path) = file();
        let open = OpenFile::open(&path).unwrap();
        assert!(open.read(5..11).is_err());
    }
}
