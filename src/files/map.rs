//! The bytes of a weight file: mapped read-only from disk, compiled into the binary, or created while loading.

use std::fmt;
use std::hint::black_box;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

pub use super::opened::MapError;
use super::opened::{OpenFile, os};

/// The size of the smallest pages of memory, in bytes.
const PAGE: usize = 4096;

/// Read-only bytes that live as long as there is a reference to them. Cloning shares them.
#[derive(Clone)]
pub struct Mapped(Backing);

#[derive(Clone)]
enum Backing {
    File(Arc<FileMap>),
    Static(&'static [u8]),
    Owned(Arc<Vec<u8>>),
}

struct FileMap {
    map: Mmap,
    file: OpenFile,
}

impl Mapped {
    /// Maps the regular file at `path`, which must not be empty.
    ///
    /// Nothing is read yet: pages are loaded when they are touched. The file must not be shortened or overwritten in place
    /// while it is mapped; replacing it by renaming another file is harmless.
    pub fn open(path: &Path) -> Result<Self, MapError> {
        let file = OpenFile::open(path)?;
        // SAFETY: the mapping is private and read-only, and is only ever exposed as `&[u8]`. Another process that writes to
        // the file or shortens it meanwhile would break this, as it would for every program that maps its weights; the
        // documentation above asks users not to do so, and this program itself never overwrites a file in place.
        let map = unsafe { Mmap::map(&*file.file()) }.map_err(os(path, "map"))?;
        Ok(Mapped(Backing::File(Arc::new(FileMap { map, file }))))
    }

    /// Fails if the bytes belong to a file that was written to, cut off or replaced since it was opened.
    pub fn check(&self) -> Result<(), MapError> {
        match &self.0 {
            Backing::File(mapped) => mapped.file.check(),
            Backing::Static(_) | Backing::Owned(_) => Ok(()),
        }
    }

    /// Bytes compiled into the binary.
    pub fn from_static(bytes: &'static [u8]) -> Self {
        Mapped(Backing::Static(bytes))
    }

    /// Bytes created while loading.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Mapped(Backing::Owned(Arc::new(bytes)))
    }

    /// Lets the operating system reclaim the memory with `range` of a mapped file: the bytes are loaded again when they are
    /// read. Does nothing for other bytes, or past the end.
    pub fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Backing::File(mapped) = &self.0
            && range.start < range.end
            && range.end <= mapped.map.len()
        {
            // SAFETY: the mapping is a read-only mapping of a file, so no change is lost: dropped pages have the bytes of
            // the file when they are read again.
            let advised = unsafe {
                mapped.map.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    range.start,
                    range.len(),
                )
            };
            // This is only advice: if it is refused, the pages stay until their memory is needed.
            let _ = advised;
        }
        #[cfg(not(unix))]
        let _ = range;
    }

    /// Loads the bytes `range` of a mapped file into memory now, so that nobody waits for them later. Does nothing for other
    /// bytes.
    pub fn fetch(&self, range: Range<usize>) {
        if let Backing::File(_) = &self.0 {
            let bytes = self.get(range).unwrap_or_default();
            let pages = bytes.iter().step_by(PAGE).map(|&byte| usize::from(byte));
            // The compiler would remove reads whose result is not used.
            black_box(pages.sum::<usize>());
        }
    }

    /// Whether the bytes were created while loading, and so take memory of their own.
    pub fn is_made(&self) -> bool {
        matches!(self.0, Backing::Owned(_))
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Backing::File(mapped) => &mapped.map,
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
