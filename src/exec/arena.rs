//! The arena: all memory of a run, in one piece that cannot grow.
//!
//! The planner decides what lies where; the arena only knows bytes. It is one `bumpalo` slab that holds one layout, with
//! its allocation limit set to what it has already taken.

use std::alloc::Layout;
use std::cell::Cell;
use std::ops::Range;
use std::ptr::NonNull;

use bumpalo::Bump;

use super::machine;
use crate::kernels::panel_memory::HUGE_PAGE;
use crate::types::ALIGNMENT;

/// From this size on an arena is compared with the memory that the process may use: a system that promises more than it
/// has would kill the process when the arena is filled.
const CHECKED: usize = 1 << 30;

/// Why there is no arena.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArenaError {
    /// The system has no memory for the arena.
    #[error("the plan needs an arena of {bytes} bytes ({} MiB), and the system does not give that much memory", bytes >> 20)]
    NoMemory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// No allocation can be that large.
    #[error("the plan needs an arena of {bytes} bytes, more than this machine can address")]
    TooLarge {
        /// Bytes asked for.
        bytes: usize,
    },
}

/// What the arena's memory may be seen as.
///
/// # Safety
/// Every bit pattern is a value of the type, it has no padding, and its alignment divides [`ALIGNMENT`].
pub unsafe trait Plain: Copy + 'static {}
// SAFETY: any 32 bits are an f32.
unsafe impl Plain for f32 {}
// SAFETY: any 32 bits are an i32.
unsafe impl Plain for i32 {}

/// Bytes of fixed number and place, zero at first, seen through [`Arena::cells`].
pub struct Arena {
    base: NonNull<u8>,
    bytes: usize,
    /// Owns the memory; never asked for more after construction.
    bump: Bump,
}

// SAFETY: the arena owns its memory, and nothing in it belongs to a thread.
unsafe impl Send for Arena {}
// SAFETY: `bump` is not touched through a shared reference. The bytes are reached through `cells`, whose contract forbids
// races, and through `copy_range`, whose exclusive and shared borrows that contract includes.
unsafe impl Sync for Arena {}

impl Arena {
    /// An arena of `bytes` zero bytes, aligned to [`ALIGNMENT`], or to 2 MiB where it is at least 4 MiB long.
    pub fn new(bytes: usize) -> Result<Arena, ArenaError> {
        let alignment = if bytes >= 2 * HUGE_PAGE {
            HUGE_PAGE
        } else {
            ALIGNMENT
        };
        // The slab adds less than two alignments for rounding and its own record.
        if bytes > isize::MAX as usize - 2 * HUGE_PAGE {
            return Err(ArenaError::TooLarge { bytes });
        }
        let layout = Layout::from_size_align(bytes, alignment)
            .map_err(|_| ArenaError::TooLarge { bytes })?;
        if bytes >= CHECKED && machine::memory().is_some_and(|memory| bytes > memory) {
            return Err(ArenaError::NoMemory { bytes });
        }
        let bump = Bump::new();
        let base = bump
            .try_alloc_layout(layout)
            .map_err(|_| ArenaError::NoMemory { bytes })?;
        bump.set_allocation_limit(Some(bump.allocated_bytes()));
        if alignment == HUGE_PAGE {
            ask_for_huge_pages(base, bytes);
        }
        // SAFETY: `base` is the start of `bytes` bytes that only this function has.
        unsafe { base.write_bytes(0, bytes) };
        Ok(Arena { base, bytes, bump })
    }

    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes taken from the system for this arena: `bytes()` and what rounding added.
    pub fn allocated_bytes(&self) -> usize {
        self.bump.allocated_bytes()
    }

    /// `len` elements from byte `offset` on.
    ///
    /// # Safety
    /// The caller has the arena to itself (it holds the exclusive borrow, perhaps through an owner of the arena), or
    /// the holder of that borrow let it use these cells, as with the threads of one job. While the cells live, no other
    /// thread writes an element that this thread reads or writes, nor reads one that this thread writes, unless the end
    /// of a phase lies between the two. `f32` and `i32` cells may show the same bytes; a value is then read as the bits
    /// of the other type.
    ///
    /// # Panics
    /// If the elements are not within the arena or `offset` is not a multiple of their alignment: a defect of the plan.
    #[inline]
    pub unsafe fn cells<T: Plain>(&self, offset: usize, len: usize) -> &[Cell<T>] {
        let end = len
            .checked_mul(size_of::<T>())
            .and_then(|bytes| bytes.checked_add(offset));
        if end.is_none_or(|end| end > self.bytes) || !offset.is_multiple_of(align_of::<T>()) {
            misplaced(offset, len, size_of::<T>(), self.bytes);
        }
        // SAFETY: checked above: the elements lie within the allocation, which lives as long as `self`, and are aligned,
        // as its start is aligned to at least 64 bytes. They are initialised and valid as any `Plain` type. `Cell<T>` has
        // T's layout and allows others to write; the caller forbids races.
        unsafe { std::slice::from_raw_parts(self.base.add(offset).cast::<Cell<T>>().as_ptr(), len) }
    }

    /// Copy the bytes `range` of `from` to byte `to` of this arena: what a forked session does with the filled part of
    /// the key-value cache.
    ///
    /// # Panics
    /// If either range is not within its arena: a defect of the plan.
    pub fn copy_range(&mut self, to: usize, from: &Arena, range: Range<usize>) {
        let len = range.end.saturating_sub(range.start);
        if range.end > from.bytes {
            misplaced(range.start, len, 1, from.bytes);
        }
        if to.checked_add(len).is_none_or(|end| end > self.bytes) {
            misplaced(to, len, 1, self.bytes);
        }
        if len == 0 {
            return;
        }
        // SAFETY: both ranges are within their allocations, checked above, and the allocations differ, since one is
        // borrowed exclusively. Nobody writes to `from` or uses `self` meanwhile, by the contract of `cells`.
        unsafe {
            from.base
                .add(range.start)
                .copy_to_nonoverlapping(self.base.add(to), len)
        };
    }
}

/// A plan and its arena disagree.
#[cold]
fn misplaced(offset: usize, len: usize, size: usize, bytes: usize) -> ! {
    panic!(
        "defect of the plan: {len} elements of {size} bytes at byte {offset} of an arena of {bytes} bytes"
    )
}

/// Ask the system to back the memory with huge pages once it is touched. A refusal affects only speed.
#[cfg(target_os = "linux")]
fn ask_for_huge_pages(base: NonNull<u8>, bytes: usize) {
    use std::ffi::{c_int, c_void};
    const MADV_HUGEPAGE: c_int = 14;
    // SAFETY: the signature of madvise(2) in the C library that std links.
    unsafe extern "C" {
        fn madvise(address: *mut c_void, length: usize, advice: c_int) -> c_int;
    }
    // SAFETY: the whole huge pages within one allocation, whose start is aligned to huge pages; this advice never changes
    // what the memory holds.
    unsafe {
        madvise(
            base.as_ptr().cast(),
            bytes / HUGE_PAGE * HUGE_PAGE,
            MADV_HUGEPAGE,
        )
    };
}

/// Other systems choose page sizes by themselves.
#[cfg(not(target_os = "linux"))]
fn ask_for_huge_pages(_base: NonNull<u8>, _bytes: usize) {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn set(arena: &mut Arena, offset: usize, values: &[i32]) {
        // SAFETY: this thread borrows the arena exclusively.
        let cells = unsafe { arena.cells::<i32>(offset, values.len()) };
        for (cell, &value) in cells.iter().zip(values) {
            cell.set(value);
        }
    }

    fn get(arena: &mut Arena, offset: usize, len: usize) -> Vec<i32> {
        // SAFETY: this thread borrows the arena exclusively.
        unsafe { arena.cells::<i32>(offset, len) }
            .iter()
            .map(Cell::get)
            .collect()
    }

    #[test]
    fn the_slab_cannot_grow() {
        for bytes in [1, 64, 1000, 4096, 100_000, 5 << 20] {
            let arena = Arena::new(bytes).unwrap();
            let allocated = arena.allocated_bytes();
            assert!(allocated >= bytes);
            let more = Layout::from_size_align(arena.bump.chunk_capacity() + 1, 1).unwrap();
            assert!(arena.bump.try_alloc_layout(more).is_err(), "{bytes} bytes");
            assert_eq!(arena.allocated_bytes(), allocated);
        }
    }

    #[test]
    fn memory_is_aligned_and_zero() {
        for (bytes, alignment) in [
            (1, 64),
            (777, 64),
            (1 << 20, 64),
            (4 << 20, HUGE_PAGE),
            ((5 << 20) + 64, HUGE_PAGE),
        ] {
            let mut arena = Arena::new(bytes).unwrap();
            assert_eq!(arena.base.as_ptr() as usize % alignment, 0, "{bytes} bytes");
            assert!(
                get(&mut arena, 0, bytes / 4)
                    .iter()
                    .all(|&value| value == 0),
                "{bytes} bytes"
            );
        }
    }

    #[test]
    fn an_impossible_size_is_an_error() {
        for bytes in [
            usize::MAX,
            usize::MAX / 2,
            usize::MAX / 2 - HUGE_PAGE,
            1 << 62,
            1 << 50,
        ] {
            let error = Arena::new(bytes)
                .err()
                .expect("this is more memory than any machine has");
            assert!(error.to_string().contains(&bytes.to_string()), "{error}");
        }
    }

    #[test]
    fn an_empty_arena_has_empty_cells() {
        let mut arena = Arena::new(0).unwrap();
        assert!(get(&mut arena, 0, 0).is_empty());
    }

    #[test]
    fn floats_and_ints_show_the_same_bytes() {
        let mut arena = Arena::new(128).unwrap();
        set(&mut arena, 64, &[1.5f32.to_bits() as i32]);
        // SAFETY: this thread owns the arena.
        assert_eq!(unsafe { arena.cells::<f32>(64, 1) }[0].get(), 1.5);
    }

    #[test]
    fn cells_outside_or_unaligned_panic() {
        let arena = Arena::new(256).unwrap();
        for (offset, len) in [
            (0, 65),
            (256, 1),
            (2, 1),
            (usize::MAX - 3, 1),
            (4, usize::MAX / 2),
        ] {
            let look = || {
                // SAFETY: this thread owns the arena.
                unsafe { arena.cells::<f32>(offset, len) }.len()
            };
            let result = catch_unwind(AssertUnwindSafe(look));
            assert!(result.is_err(), "{len} elements at byte {offset}");
        }
    }

    #[test]
    fn copying_moves_the_range_and_nothing_else() {
        let mut source = Arena::new(64).unwrap();
        set(&mut source, 0, &[1, 2, 3, 4]);
        let mut target = Arena::new(64).unwrap();
        target.copy_range(8, &source, 4..12);
        assert_eq!(get(&mut target, 0, 6), [0, 0, 2, 3, 0, 0]);
    }

    #[test]
    fn copying_outside_panics() {
        let source = Arena::new(64).unwrap();
        for (to, range) in [(0, 0..65), (60, 0..8), (usize::MAX, 0..8)] {
            let mut target = Arena::new(64).unwrap();
            let result = catch_unwind(AssertUnwindSafe(|| {
                target.copy_range(to, &source, range.clone())
            }));
            assert!(result.is_err(), "{range:?} to byte {to}");
        }
    }
}
