//! The loops of quantized products: which 32-blocks are multiplied with which tokens, and in which order. The chain is in
//! `chain.rs`.
//!
//! Few tokens, whose sums all fit into registers: a panel is read once, front to back, and each 32-block is unpacked in
//! registers and multiplied with all of them immediately. Many tokens: a panel is unpacked once for [`BLOCK_TOKENS`] tokens,
//! into scratch, and then multiplied with a few tokens at a time, whose sums stay in registers over all columns. AVX2 has no
//! products of signed bytes, so signed weights are unpacked as i16 there.

use std::cell::Cell;
use std::ops::Range;

use super::activations::{INT8_BLOCK, INT8_BLOCK_WORDS};
use super::chain::{Block, Kind, MOST_STORED, stored};
use super::formats::{Format, FormatWork, KindWork, for_format, for_kind};
use super::matrix::QuantizedPanel;
use super::regroup;
use crate::kernels::call::{Call, QuantizedView};
use crate::kernels::simd::{LANES, Simd};
use crate::kernels::weights::{Blocks, Product, Sums, row_pieces};

/// Tokens that share one unpacking of a panel: with far fewer tokens the unpacking becomes noticeable, with far more the
/// activations no longer fit into the second-level cache. A multiple of `INT8_TOKENS` of every instruction set.
const BLOCK_TOKENS: usize = 64;
/// The approximate number of pieces of a step per thread.
const PIECES: usize = 16;
/// How many vectors of words ahead a panel is prefetched. Past the end of a panel this is what follows in memory: usually the
/// panel that is read next.
const AHEAD: usize = 128;
/// The most panels per unit.
const MOST_PANELS: usize = 2;

/// Floats of scratch that one thread needs for `tokens` rows of `cols` activations.
pub(super) fn scratch_floats(cols: usize, tokens: usize) -> usize {
    let stored = if tokens > 1 {
        cols / INT8_BLOCK * MOST_STORED
    } else {
        0
    };
    (stored + MOST_PANELS * tokens.clamp(1, BLOCK_TOKENS)) * LANES
}

/// Into how many pieces to cut `units` units of `U` panels.
pub(super) fn pieces<const U: usize>(call: &Call<'_>, units: usize) -> usize {
    let x = call.quantized_tensor(0);
    match x.rows() {
        0 => 1,
        1 => row_pieces(call.threads, units, U * LANES * x.cols()),
        _ => units.min(PIECES * call.threads),
    }
}

/// Computes the call's piece of `units` units for every row of operand 0.
#[inline(always)]
pub(super) fn products<S: Simd, const U: usize, P: Product<U, Blocks>>(
    simd: S,
    call: &Call<'_>,
    units: usize,
    product: &P,
) {
    let x = call.quantized_tensor(0);
    if x.rows() > 0 {
        units_for(simd, x, call.share(units), call.scratch, product);
    }
}

/// Computes the units `units` for every row of `x`, which has at least one.
#[inline(always)]
fn units_for<S: Simd, const U: usize, P: Product<U, Blocks>>(
    simd: S,
    x: QuantizedView<'_>,
    units: Range<usize>,
    scratch: &[Cell<f32>],
    product: &P,
) {
    let scratch = scratch.as_chunks::<LANES>().0;
    let rows = x.rows().min(BLOCK_TOKENS);
    let (sums, stored) = scratch.split_at(U * rows);
    for start in (0..x.rows()).step_by(rows) {
        let tokens = start..x.rows().min(start + rows);
        for unit in units.clone() {
            for (panel, sums) in product.panels(unit).into_iter().zip(sums.chunks(rows)) {
                match x.rows() {
                    many if many > S::INT8_FEW_TOKENS => {
                        many_tokens(simd, panel, x, tokens.clone(), stored, sums);
                    }
                    1 => one_token(simd, panel, x.row(0), &sums[0]),
                    2..=4 => one_tile::<S, 4>(simd, panel, x, sums),
                    5..=8 => one_tile::<S, 8>(simd, panel, x, sums),
                    _ => one_tile::<S, 16>(simd, panel, x, sums),
                }
            }
            let mut parts: [Sums<'_>; U] = [&[]; U];
            for (part, sums) in parts.iter_mut().zip(sums.chunks(rows)) {
                *part = &sums[..tokens.len()];
            }
            product.finish(simd, unit, start, parts);
        }
    }
}

/// The sums of the rows of one panel with one token.
#[inline(always)]
fn one_token<S: Simd>(
    simd: S,
    panel: QuantizedPanel<'_>,
    x: &[[Cell<i32>; INT8_BLOCK_WORDS]],
    sum: &[Cell<f32>; LANES],
) {
    for_format(simd, panel.format, OneToken { panel, x, sum });
}

/// The loop of [`OneTile`] for one token, whose blocks are walked by an iterator: the indices of several rows would cost as
/// much as the products of one.
struct OneToken<'a> {
    panel: QuantizedPanel<'a>,
    x: &'a [[Cell<i32>; INT8_BLOCK_WORDS]],
    sum: &'a [Cell<f32>; LANES],
}

impl FormatWork for OneToken<'_> {
    #[inline(always)]
    fn run<S: Simd, F: Format>(self, simd: S) {
        let mut sum = simd.zero();
        let (count, lines) = const { (small_blocks::<F>(), regroup::words(F::FORMAT)) };
        let blocks = file_blocks::<F>(self.panel);
        for ((words, halves), x) in blocks.zip(self.x.chunks_exact(count)) {
            for (i, x) in x.iter().enumerate() {
                for line in i * lines / count..(i + 1) * lines / count {
                    simd.prefetch(words.as_ptr().wrapping_add(AHEAD + line).cast());
                }
                let block = F::unpack(simd, words, halves, i);
                sum = block.add::<F::Kind>(simd, x, sum);
            }
        }
        simd.store(self.sum, sum);
    }
}

/// The sums of the rows of one panel with all tokens of `x`, at most `T`: `[tokens][16]`.
#[inline(always)]
fn one_tile<S: Simd, const T: usize>(
    simd: S,
    panel: QuantizedPanel<'_>,
    x: QuantizedView<'_>,
    sums: &[[Cell<f32>; LANES]],
) {
    for_format(simd, panel.format, OneTile::<T> { panel, x, sums });
}

struct OneTile<'a, const T: usize> {
    panel: QuantizedPanel<'a>,
    x: QuantizedView<'a>,
    sums: &'a [[Cell<f32>; LANES]],
}

impl<const T: usize> FormatWork for OneTile<'_, T> {
    #[inline(always)]
    fn run<S: Simd, F: Format>(self, simd: S) {
        let (count, lines) = const { (small_blocks::<F>(), regroup::words(F::FORMAT)) };
        let x = tile_rows::<T>(self.x, 0, self.x.rows());
        let mut acc = [simd.zero(); T];
        let blocks = x[0].len() / count;
        for (at, (words, halves)) in file_blocks::<F>(self.panel).take(blocks).enumerate() {
            for i in 0..count {
                for line in i * lines / count..(i + 1) * lines / count {
                    simd.prefetch(words.as_ptr().wrapping_add(AHEAD + line).cast());
                }
                let block = F::unpack(simd, words, halves, i);
                for t in 0..T {
                    // SAFETY: every row has as many 32-blocks as row 0, and `at * count + i` is below `blocks * count`,
                    // which is at most that number.
                    let x = unsafe { x[t].get_unchecked(at * count + i) };
                    acc[t] = block.add::<F::Kind>(simd, x, acc[t]);
                }
            }
        }
        for (acc, sums) in acc.into_iter().zip(self.sums) {
            simd.store(sums, acc);
        }
    }
}

/// The rows of `x` from `first` on, `count` of them. Missing rows of the tile repeat the last row; their sums are discarded.
#[inline(always)]
fn tile_rows<const T: usize>(
    x: QuantizedView<'_>,
    first: usize,
    count: usize,
) -> [&[[Cell<i32>; INT8_BLOCK_WORDS]]; T] {
    let blocks = x.cols() / INT8_BLOCK;
    std::array::from_fn(|t| &x.row(first + t.min(count - 1))[..blocks])
}

/// The words and halves of each file block.
#[inline(always)]
fn file_blocks<'a, F: Format>(
    panel: QuantizedPanel<'a>,
) -> impl Iterator<Item = (&'a [[u32; LANES]], &'a [[u16; LANES]])> {
    let words = panel
        .words
        .chunks_exact(const { regroup::words(F::FORMAT) });
    words.zip(
        panel
            .halves
            .chunks_exact(const { regroup::halves(F::FORMAT) }),
    )
}

/// The number of 32-blocks in a file block.
const fn small_blocks<F: Format>() -> usize {
    F::FORMAT.elements() / INT8_BLOCK
}

/// The sums of the rows of one panel with `tokens`, `[tokens][16]`; `stored` has room for the unpacked panel.
#[inline(always)]
fn many_tokens<S: Simd>(
    simd: S,
    panel: QuantizedPanel<'_>,
    x: QuantizedView<'_>,
    tokens: Range<usize>,
    stored: &[[Cell<f32>; LANES]],
    sums: &[[Cell<f32>; LANES]],
) {
    for_format(simd, panel.format, TakeApart { panel, stored });
    let tiles = Tiles {
        stored,
        x,
        tokens,
        sums,
    };
    for_kind(simd, panel.format, tiles);
}

struct TakeApart<'a> {
    panel: QuantizedPanel<'a>,
    stored: &'a [[Cell<f32>; LANES]],
}

impl FormatWork for TakeApart<'_> {
    #[inline(always)]
    fn run<S: Simd, F: Format>(self, simd: S) {
        let (count, lines) = const { (small_blocks::<F>(), regroup::words(F::FORMAT)) };
        let block_vectors = const { stored::<S, F::Kind>() };
        let stored = self.stored.chunks_exact(count * block_vectors);
        for ((words, halves), stored) in file_blocks::<F>(self.panel).zip(stored) {
            for (i, stored) in stored.chunks_exact(block_vectors).enumerate() {
                for line in i * lines / count..(i + 1) * lines / count {
                    simd.prefetch(words.as_ptr().wrapping_add(AHEAD + line).cast());
                }
                let block = F::unpack(simd, words, halves, i);
                block.store::<F::Kind>(simd, stored);
            }
        }
    }
}

/// The product of `tokens` with an unpacked panel.
struct Tiles<'a> {
    /// `[32-blocks]`, in the layout of [`Block::store`].
    stored: &'a [[Cell<f32>; LANES]],
    x: QuantizedView<'a>,
    tokens: Range<usize>,
    /// `[tokens][16]`.
    sums: &'a [[Cell<f32>; LANES]],
}

impl KindWork for Tiles<'_> {
    #[inline(always)]
    fn run<S: Simd, K: Kind>(self, simd: S) {
        for first in self.tokens.clone().step_by(S::INT8_TOKENS) {
            let count = S::INT8_TOKENS.min(self.tokens.end - first);
            let sums = &self.sums[first - self.tokens.start..][..count];
            if S::INT8_TOKENS == 8 {
                self.tile::<S, K, 8>(simd, first, sums);
            } else {
                self.tile::<S, K, 4>(simd, first, sums);
            }
        }
    }
}

impl Tiles<'_> {
    /// The sums of `sums.len()` tokens, at most `T`, beginning with token number `first`.
    #[inline(always)]
    fn tile<S: Simd, K: Kind, const T: usize>(
        &self,
        simd: S,
        first: usize,
        sums: &[[Cell<f32>; LANES]],
    ) {
        let blocks = self.x.cols() / INT8_BLOCK;
        let x = tile_rows::<T>(self.x, first, sums.len());
        let mut acc = [simd.zero(); T];
        let block_vectors = const { stored::<S, K>() };
        let stored = self.stored.chunks_exact(block_vectors).take(blocks);
        for (i, stored) in stored.enumerate() {
            // SAFETY: every row was cut to `blocks` above, and `i` is below it.
            let x = x.map(|x| unsafe { x.get_unchecked(i) });
            Block::add_stored::<K, T>(simd, stored, x, &mut acc);
        }
        for (acc, sums) in acc.into_iter().zip(sums) {
            simd.store(sums, acc);
        }
    }
}
