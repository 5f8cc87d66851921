//! The contents of a weight file: mapped, read piece by piece on demand, or not needed.

use std::ops::Range;

use super::map::Mapped;
use super::opened::{MapError, OpenFile};

/// The source of the bytes of a weight file.
#[derive(Debug)]
pub(super) enum Contents {
    /// The whole file.
    Whole(Mapped),
    /// The file is read on demand.
    Read(OpenFile),
    /// Only the header was opened.
    HeaderOnly,
}

impl Contents {
    /// The whole file, if it is mapped or in memory.
    pub fn whole(&self) -> Option<&Mapped> {
        match self {
            Contents::Whole(bytes) => Some(bytes),
            Contents::Read(_) | Contents::HeaderOnly => None,
        }
    }

    /// Bytes that contain `range` of the file, and where `range` starts in them; `None` if only the header was opened.
    pub fn part(&self, range: Range<usize>) -> Result<Option<(Mapped, usize)>, MapError> {
        Ok(match self {
            Contents::Whole(bytes) => Some((bytes.clone(), range.start)),
            Contents::Read(file) => Some((Mapped::from_vec(file.read(range)?), 0)),
            Contents::HeaderOnly => None,
        })
    }

    /// The bytes `range` of the file, read or copied; `None` if only the header was opened.
    pub fn copy(&self, range: Range<usize>) -> Result<Option<Vec<u8>>, MapError> {
        let length = range.len();
        let part = self.part(range)?;
        Ok(part.map(|(bytes, start)| {
            let bytes = bytes.get(start..start.saturating_add(length));
            bytes.unwrap_or_default().to_vec()
        }))
    }

    /// Fails if the file has changed since it was opened.
    pub fn check(&self) -> Result<(), MapError> {
        match self {
            Contents::Whole(bytes) => bytes.check(),
            Contents::Read(file) => file.check(),
            Contents::HeaderOnly => Ok(()),
        }
    }

    /// Lets the system reclaim the memory of everything that was read: see [`Mapped::release`].
    pub fn release(&self) {
        if let Contents::Whole(bytes) = self {
            bytes.release(0..bytes.len());
        }
    }
}
