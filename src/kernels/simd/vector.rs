//! Sixteen lanes, with loads and stores.

use std::cell::Cell;

use super::int8::Int8;
use super::lanes::{LANES, Lanes};

/// The transposition of a block of sixteen rows.
pub trait Transpose: Lanes {
    /// Lane j of row i becomes lane i of row j.
    fn transpose(self, rows: [Self::F32; LANES]) -> [Self::F32; LANES];
}

/// Work that is written over [`Simd`] and compiled once per instruction set.
pub trait Work {
    /// Does the work. Implementations are `#[inline(always)]`, and so is everything they call with `S`.
    fn run<S: Simd>(self, simd: S);
}

/// Sixteen [`Lanes`], with loads and stores. Every method but [`Simd::run`] is `#[inline(always)]`.
pub trait Simd: Lanes + Int8 + Transpose {
    /// The register tile of matrix products: how many tokens, for one or [`Simd::TILE_PANELS`] panels of 16 rows.
    const TILE_TOKENS: usize;
    /// The number of panels of 16 rows in a tile of several tokens.
    const TILE_PANELS: usize;

    /// A hint that the cache line at `at` will be read soon, which loads it into the second-level cache. Any address is
    /// allowed.
    #[inline(always)]
    fn prefetch(self, _at: *const u8) {}

    /// Does `work` in a function of its own that is compiled with the features of this instruction set.
    fn run<W: Work>(self, work: W);

    /// Lane `i` is `from[i]`.
    fn load(self, from: &[f32; LANES]) -> Self::F32;
    /// Lane `i` is `from[i]`.
    fn load_cells(self, from: &[Cell<f32>; LANES]) -> Self::F32;
    /// Lane `i` is `from[i]`; lanes past its end are +0. `from` has at most 16 elements.
    fn load_partial(self, from: &[Cell<f32>]) -> Self::F32;
    /// Like [`Simd::load_partial`], from constants.
    fn load_slice_partial(self, from: &[f32]) -> Self::F32;
    /// Sixteen IEEE half floats, given as bits.
    fn load_f16(self, from: &[u16; LANES]) -> Self::F32;
    /// Sixteen bfloat16, given as bits.
    fn load_bf16(self, from: &[u16; LANES]) -> Self::F32;
    /// Stores lane `i` to `to[i]`.
    fn store(self, to: &[Cell<f32>; LANES], x: Self::F32);
    /// Stores the first `to.len()` lanes (at most 16).
    fn store_partial(self, to: &[Cell<f32>], x: Self::F32);
    /// The lanes as an array.
    fn to_array(self, x: Self::F32) -> [f32; LANES];
    /// The lanes whose number is in `from..to`.
    fn lanes_between(self, from: usize, to: usize) -> Self::Mask;

    /// The block of `from` that begins at `at`: lane `i` is `from[at + i]`; lanes past its end are +0.
    #[inline(always)]
    fn load_at(self, from: &[Cell<f32>], at: usize) -> Self::F32 {
        let from = &from[at..];
        match from.first_chunk() {
            Some(block) => self.load_cells(block),
            None => self.load_partial(from),
        }
    }
    /// Like [`Simd::load_at`], from constants.
    #[inline(always)]
    fn load_slice_at(self, from: &[f32], at: usize) -> Self::F32 {
        let from = &from[at..];
        match from.first_chunk() {
            Some(block) => self.load(block),
            None => self.load_slice_partial(from),
        }
    }
    /// Writes the block of `to` that begins at `at`; lanes past its end are discarded.
    #[inline(always)]
    fn store_at(self, to: &[Cell<f32>], at: usize, x: Self::F32) {
        let to = &to[at..];
        match to.first_chunk() {
            Some(block) => self.store(block, x),
            None => self.store_partial(to, x),
        }
    }

    /// The sum of the lanes by the fixed tree: i + (i + 8), then i + (i + 4), i + (i + 2), 0 + 1.
    #[inline(always)]
    fn sum(self, x: Self::F32) -> f32 {
        tree(self.to_array(x), |a, b| a + b)
    }
    /// The largest lane, by the same tree.
    #[inline(always)]
    fn largest(self, x: Self::F32) -> f32 {
        tree(self.to_array(x), |a, b| if a > b { a } else { b })
    }
}

/// The fixed tree over 16 lanes: lane i is combined with lane i + 8, then i + 4, i + 2, and finally lane 0 with lane 1.
#[inline(always)]
pub fn tree(mut lanes: [f32; LANES], join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = join(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}
