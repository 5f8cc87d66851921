//! Memory for packed weights.
//!
//! The matrices of a model lie one after another in one mapping, so that matrices smaller than a huge page also lie in huge
//! pages.

use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use memmap2::{MmapMut, MmapRaw};

/// Every matrix begins at a multiple of this many bytes: a cache line, and a 16-lane vector.
const ALIGNMENT: usize = 64;
/// Size of a huge page, and the alignment of memory that can hold one, in bytes.
pub(crate) const HUGE_PAGE: usize = 2 << 20;

/// Memory that is handed out piece by piece and never returned.
#[derive(Debug, Default)]
pub struct PanelMemory {
    /// The unused rest of the mapping.
    rest: Option<PanelStorage>,
}

impl PanelMemory {
    /// Reserves memory for matrices whose [`PanelMemory::size_for`] adds up to `bytes`.
    ///
    /// # Errors
    /// If the system refuses the memory.
    pub fn reserve(bytes: usize) -> io::Result<PanelMemory> {
        let rest = Some(PanelStorage::map(bytes)?);
        Ok(PanelMemory { rest })
    }

    /// The bytes that a matrix of `bytes` bytes takes from the reserve.
    pub fn size_for(bytes: usize) -> usize {
        bytes.saturating_add(ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT
    }

    /// `bytes` zero bytes, not yet touched; `None` means more bytes than there are addresses. If the reserve has too little
    /// left, the bytes get a mapping of their own.
    ///
    /// # Errors
    /// If the system refuses the memory.
    pub fn take(&mut self, bytes: Option<usize>) -> io::Result<PanelStorage> {
        let bytes = bytes.ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let size = PanelMemory::size_for(bytes);
        match self.rest.take() {
            Some(rest) if rest.bytes >= size => {
                let (taken, rest) = rest.split(size);
                self.rest = Some(rest);
                Ok(taken.split(bytes).0)
            }
            rest => {
                self.rest = rest;
                PanelStorage::map(bytes)
            }
        }
    }
}

/// The bytes of one matrix, at a multiple of 64, owned exclusively.
#[derive(Debug)]
pub struct PanelStorage {
    start: NonNull<u8>,
    bytes: usize,
    /// The mapping that contains the bytes.
    mapping: Arc<MmapRaw>,
}

// SAFETY: the bytes are plain memory that only this value accesses, and the mapping belongs to no thread.
unsafe impl Send for PanelStorage {}
// SAFETY: a shared reference only reads.
unsafe impl Sync for PanelStorage {}

impl PanelStorage {
    /// A mapping of its own with `bytes` zero bytes.
    fn map(bytes: usize) -> io::Result<PanelStorage> {
        let spare = if bytes >= HUGE_PAGE { HUGE_PAGE } else { 0 };
        let length = bytes
            .checked_add(spare)
            .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let mapping = MmapMut::map_anon(length.max(1))?;
        #[cfg(target_os = "linux")]
        if spare > 0 {
            // This is only advice: a system without huge pages refuses it, and the matrices work all the same.
            let _ = mapping.advise(memmap2::Advice::HugePage);
        }
        let mapping = MmapRaw::from(mapping);
        let address = mapping.as_mut_ptr();
        let skip = match spare {
            0 => 0,
            page => address.addr().next_multiple_of(page) - address.addr(),
        };
        // A mapping begins at a page, which is aligned enough; `skip` is smaller than the spare bytes.
        let start = NonNull::new(address.wrapping_add(skip))
            .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(PanelStorage {
            start,
            bytes,
            mapping: Arc::new(mapping),
        })
    }

    /// The first `bytes` bytes (no more than there are), and the rest.
    fn split(self, bytes: usize) -> (PanelStorage, PanelStorage) {
        let bytes = bytes.min(self.bytes);
        let rest = PanelStorage {
            // SAFETY: `bytes` is at most the length of the memory at `start`.
            start: unsafe { self.start.add(bytes) },
            bytes: self.bytes - bytes,
            mapping: self.mapping.clone(),
        };
        (PanelStorage { bytes, ..self }, rest)
    }
}

impl Deref for PanelStorage {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        // SAFETY: `bytes` bytes from `start` on lie in `mapping`, which lives as long as this value; they were zeroed by
        // the system, and only the exclusive borrow writes them.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

impl DerefMut for PanelStorage {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: the same as for `deref`; `split` never assigns a byte to two values.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(memory: &mut PanelMemory, bytes: usize) -> PanelStorage {
        memory.take(Some(bytes)).unwrap()
    }

    #[test]
    fn pieces_are_aligned_zero_and_apart() {
        let sizes = [100, 64, 0, 3 << 20, 1, 65];
        let whole = sizes.iter().map(|&size| PanelMemory::size_for(size)).sum();
        let mut memory = PanelMemory::reserve(whole).unwrap();
        let mut pieces: Vec<_> = sizes.iter().map(|&size| take(&mut memory, size)).collect();
        for (i, (piece, size)) in pieces.iter_mut().zip(sizes).enumerate() {
            assert_eq!(
                (piece.len(), piece.as_ptr().addr() % ALIGNMENT),
                (size, 0),
                "{i}"
            );
            assert!(piece.iter().all(|&byte| byte == 0), "{i}");
            piece.fill(i as u8 + 1);
        }
        let owner = Arc::as_ptr(&pieces[0].mapping);
        for (i, piece) in pieces.iter().enumerate() {
            assert!(piece.iter().all(|&byte| byte == i as u8 + 1), "{i}");
            assert_eq!(Arc::as_ptr(&piece.mapping), owner, "{i}");
        }
    }

    #[test]
    fn what_was_not_reserved_gets_its_own_memory() {
        let mut memory = PanelMemory::reserve(128).unwrap();
        let first = take(&mut memory, 100);
        let large = take(&mut memory, 5000);
        assert_eq!(large.len(), 5000);
        assert_ne!(Arc::as_ptr(&first.mapping), Arc::as_ptr(&large.mapping));
        assert_eq!(take(&mut PanelMemory::default(), 7).len(), 7);
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let mut memory = PanelMemory::default();
        for bytes in [None, Some(usize::MAX), Some(usize::MAX / 2)] {
            assert!(memory.take(bytes).is_err(), "{bytes:?}");
        }
        assert!(PanelMemory::reserve(usize::MAX).is_err());
    }
}
