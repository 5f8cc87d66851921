//! The bytes of a weight file: mapped read-only from disk, compiled into the binary, or made at load.

use std::fmt;
use std::fs::File;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

/// Why a file could not be mapped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// The operating system refused to open, inspect or map the file.
    #[error("cannot {action} {}: {source}", path.display())]
    Os {
        /// The file.
        path: PathBuf,
        /// What was tried: "open", "inspect" or "map".
        action: &'static str,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The path names a directory, a device or another thing without contents to map.
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
}

/// Read-only bytes that live as long as anything refers to them. Cloning shares them.
#[derive(Clone)]
pub struct Mapped(Backing);

#[derive(Clone)]
enum Backing {
    File(Arc<Mmap>),
    Static(&'static [u8]),
    Owned(Arc<Vec<u8>>),
}

impl Mapped {
    /// Maps the regular file at `path`, which must not be empty.
    ///
    /// Nothing is read yet: pages come in as they are touched. The file must not be shortened or rewritten in place
    /// while it is mapped; replacing it by a rename is harmless.
    pub fn open(path: &Path) -> Result<Self, MapError> {
        let os = |action| {
            move |source| MapError::Os {
                path: path.to_path_buf(),
                action,
                source,
            }
        };
        let file = File::open(path).map_err(os("open"))?;
        let metadata = file.metadata().map_err(os("inspect"))?;
        if !metadata.is_file() {
            return Err(MapError::NotAFile {
                path: path.to_path_buf(),
            });
        }
        if metadata.len() == 0 {
            return Err(MapError::Empty {
                path: path.to_path_buf(),
            });
        }
        // SAFETY: the mapping is private and read-only, and is only ever shown as `&[u8]`. Another process that writes to
        // the file or shortens it meanwhile would break this, as it would for every program that maps its weights; the
        // documentation above asks users not to, and this program itself never writes over a file in place.
        let map = unsafe { Mmap::map(&file) }.map_err(os("map"))?;
        Ok(Mapped(Backing::File(Arc::new(map))))
    }

    /// Bytes compiled into the binary.
    pub fn from_static(bytes: &'static [u8]) -> Self {
        Mapped(Backing::Static(bytes))
    }

    /// Bytes made at load.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Mapped(Backing::Owned(Arc::new(bytes)))
    }

    /// Let the operating system take back the memory behind `range` of a mapped file: it comes in again if it is read.
    /// Does nothing for other bytes, or past the end.
    pub fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Backing::File(map) = &self.0
            && range.start < range.end
            && range.end <= map.len()
        {
            // SAFETY: the mapping is read-only and of a file, so that no change is lost: pages that are dropped have the
            // file's bytes when they are read again.
            let advised = unsafe {
                map.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    range.start,
                    range.len(),
                )
            };
            // Advice only: where it is refused, the pages stay until they are wanted for something else.
            let _ = advised;
        }
        #[cfg(not(unix))]
        let _ = range;
    }

    /// Whether the bytes were made at load, and so take memory of their own.
    pub fn is_made(&self) -> bool {
        matches!(self.0, Backing::Owned(_))
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Backing::File(map) => map,
            Backing::Static(bytes) => bytes,
            Backing::Owned(bytes) => bytes,
        }
    }
}

impl PartialEq for Mapped {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Mapped {}

impl fmt::Debug for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Backing::File(_) => "file",
            Backing::Static(_) => "static",
            Backing::Owned(_) => "owned",
        };
        write!(f, "Mapped({kind}, {} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn released_bytes_are_read_again_from_the_file() {
        let bytes: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let mapped = Mapped::open(file.path()).unwrap();
        assert_eq!(mapped[..], bytes);
        for range in [0..bytes.len(), 5000..20_000, 7..7, 0..usize::MAX] {
            mapped.release(range);
            assert_eq!(mapped[..], bytes);
        }
        Mapped::from_vec(bytes).release(0..10);
    }
}
