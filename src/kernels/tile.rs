//! Products of activations with packed weights: the loops that every linear kernel shares.
//!
//! ```text
//! for each token t, for each row r of the weights:
//!     sum = +0
//!     for c in 0..cols: sum = fma(x[t][c], w[r][c], sum)
//! ```
//!
//! One chain for each output, columns in order. The lanes are 16 rows, so that nothing departs from this order; more
//! chains at once come from more panels and more tokens. Where many tokens are walked in column blocks, partial sums are
//! stored and loaded again as f32, which changes nothing.

use std::cell::Cell;
use std::ops::Range;

use super::call::View;
use super::linear::Product;
use super::packed::{PackedMatrix, PanelWeights};
use super::simd::{LANES, Simd};

/// Columns in a block: a token tile's part of the activations stays in the first cache, and two panels' in the second.
const BLOCK_COLS: usize = 512;
/// Distance of the copied activation rows: one cache line more than a block, so that rows fall into different sets.
const STRIDE: usize = BLOCK_COLS + LANES;
/// Tokens that share one walk over the weights. A multiple of [`TOKEN_STEP`].
const BLOCK_TOKENS: usize = 96;
/// A multiple of every instruction set's token tiles.
const TOKEN_STEP: usize = 12;
/// Panels that are worked on together, at most.
const GROUP: usize = 4;

/// Floats of scratch that one thread needs for `tokens` rows of `cols` activations.
pub(super) fn scratch_floats(cols: usize, tokens: usize) -> usize {
    let rows = block_rows(tokens);
    let copied = if tokens > 1 {
        cols.div_ceil(BLOCK_COLS).max(1) * rows * STRIDE
    } else {
        0
    };
    copied + GROUP * rows * LANES
}

/// Rows of scratch for a block of tokens: whole tiles, whatever the instruction set.
fn block_rows(tokens: usize) -> usize {
    if tokens > 1 {
        tokens.min(BLOCK_TOKENS).next_multiple_of(TOKEN_STEP)
    } else {
        1
    }
}

/// Computes units `units` for every row of `x`.
#[inline(always)]
pub(super) fn products<S: Simd, const U: usize, P: Product<U, PackedMatrix>>(
    simd: S,
    x: View<'_>,
    units: Range<usize>,
    scratch: &[Cell<f32>],
    product: &P,
) {
    if units.is_empty() {
        return;
    }
    let rows = block_rows(x.rows());
    let (sums, copied) = scratch.split_at(GROUP * rows * LANES);
    let sums = sums.as_chunks::<LANES>().0;
    for start in (0..x.rows()).step_by(rows) {
        let count = rows.min(x.rows() - start);
        let block = if x.rows() > 1 {
            copy_rows(simd, x, start..start + count, rows, copied);
            Activations::Copied {
                cells: copied,
                rows,
                count,
            }
        } else {
            Activations::One(x.row(0))
        };
        let group = if x.rows() > 1 { GROUP / 2 } else { GROUP } / U;
        for first in units.clone().step_by(group) {
            let here = group.min(units.end - first);
            let mut panels = [PanelWeights::F32(&[]); GROUP];
            for unit in 0..here {
                panels[unit * U..(unit + 1) * U].copy_from_slice(&product.panels(first + unit));
            }
            group_sums(simd, block, x.width(), &panels[..here * U], sums);
            for unit in 0..here {
                for token in 0..count {
                    let mut lanes = [simd.zero(); U];
                    for (i, lanes) in lanes.iter_mut().enumerate() {
                        *lanes = simd.load_cells(&sums[(unit * U + i) * rows + token]);
                    }
                    product.finish(simd, first + unit, start + token, lanes);
                }
            }
        }
    }
}

/// Activations as the tiles read them.
#[derive(Clone, Copy)]
enum Activations<'a> {
    /// One row where it stands.
    One(&'a [Cell<f32>]),
    /// `count` rows copied by [`copy_rows`].
    Copied {
        cells: &'a [Cell<f32>],
        rows: usize,
        count: usize,
    },
}

/// Copies rows `tokens` of `x` as `[column blocks][rows][STRIDE]`, and fills the tiles' last rows with zeros.
#[inline(always)]
fn copy_rows<S: Simd>(
    simd: S,
    x: View<'_>,
    tokens: Range<usize>,
    rows: usize,
    copied: &[Cell<f32>],
) {
    for (block, block_rows) in copied.chunks_exact(rows * STRIDE).enumerate() {
        let start = block * BLOCK_COLS;
        if start >= x.width() {
            break;
        }
        let cols = BLOCK_COLS.min(x.width() - start);
        for (i, to) in block_rows.chunks_exact(STRIDE).enumerate() {
            if i < tokens.len() {
                let (from, rest) =
                    x.row(tokens.start + i)[start..start + cols].as_chunks::<LANES>();
                let to = to.as_chunks::<LANES>().0;
                for (from, to) in from.iter().zip(to) {
                    simd.store(to, simd.load_cells(from));
                }
                if !rest.is_empty() {
                    simd.store(&to[from.len()], simd.load_partial(rest));
                }
            } else {
                to[..cols].iter().for_each(|cell| cell.set(0.0));
            }
        }
    }
}

/// The sums of up to [`GROUP`] panels, `[panel][rows][16]`.
#[inline(always)]
fn group_sums<S: Simd>(
    simd: S,
    x: Activations<'_>,
    cols: usize,
    panels: &[PanelWeights<'_>],
    sums: &[[Cell<f32>; LANES]],
) {
    match x {
        Activations::One(x) => match *panels {
            [
                PanelWeights::F32(a),
                PanelWeights::F32(b),
                PanelWeights::F32(c),
                PanelWeights::F32(d),
            ] => {
                one_token::<S, Single, 4>(simd, x, [a, b, c, d], sums);
            }
            [
                PanelWeights::F16(a),
                PanelWeights::F16(b),
                PanelWeights::F16(c),
                PanelWeights::F16(d),
            ] => {
                one_token::<S, Half, 4>(simd, x, [a, b, c, d], sums);
            }
            [
                PanelWeights::BF16(a),
                PanelWeights::BF16(b),
                PanelWeights::BF16(c),
                PanelWeights::BF16(d),
            ] => {
                one_token::<S, BFloat, 4>(simd, x, [a, b, c, d], sums);
            }
            _ => {
                for (panel, sums) in panels.iter().zip(sums.chunks(1)) {
                    match *panel {
                        PanelWeights::F32(a) => one_token::<S, Single, 1>(simd, x, [a], sums),
                        PanelWeights::F16(a) => one_token::<S, Half, 1>(simd, x, [a], sums),
                        PanelWeights::BF16(a) => one_token::<S, BFloat, 1>(simd, x, [a], sums),
                    }
                }
            }
        },
        Activations::Copied { cells, rows, count } => {
            let block = Block {
                cells,
                cols,
                rows,
                count,
            };
            match *panels {
                [PanelWeights::F32(a), PanelWeights::F32(b)] if S::TILE_PANELS == 2 => {
                    block.sums::<S, Single, 2>(simd, [a, b], sums);
                }
                [PanelWeights::F16(a), PanelWeights::F16(b)] if S::TILE_PANELS == 2 => {
                    block.sums::<S, Half, 2>(simd, [a, b], sums);
                }
                [PanelWeights::BF16(a), PanelWeights::BF16(b)] if S::TILE_PANELS == 2 => {
                    block.sums::<S, BFloat, 2>(simd, [a, b], sums);
                }
                _ => {
                    for (panel, sums) in panels.iter().zip(sums.chunks(rows)) {
                        match *panel {
                            PanelWeights::F32(a) => block.sums::<S, Single, 1>(simd, [a], sums),
                            PanelWeights::F16(a) => block.sums::<S, Half, 1>(simd, [a], sums),
                            PanelWeights::BF16(a) => block.sums::<S, BFloat, 1>(simd, [a], sums),
                        }
                    }
                }
            }
        }
    }
}

/// A weight's element type, loaded as f32.
trait Element {
    /// One element's bits.
    type Bits;
    /// Sixteen elements.
    fn load<S: Simd>(simd: S, from: &[Self::Bits; LANES]) -> S::F32;
}

struct Single;
struct Half;
struct BFloat;

impl Element for Single {
    type Bits = f32;
    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[f32; LANES]) -> S::F32 {
        simd.load(from)
    }
}

impl Element for Half {
    type Bits = u16;
    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[u16; LANES]) -> S::F32 {
        simd.load_f16(from)
    }
}

impl Element for BFloat {
    type Bits = u16;
    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[u16; LANES]) -> S::F32 {
        simd.load_bf16(from)
    }
}

/// One token times `P` panels.
#[inline(always)]
fn one_token<S: Simd, E: Element, const P: usize>(
    simd: S,
    x: &[Cell<f32>],
    panels: [&[[E::Bits; LANES]]; P],
    sums: &[[Cell<f32>; LANES]],
) {
    let panels = panels.map(|panel| &panel[..x.len()]);
    let mut acc = [simd.zero(); P];
    for (col, x) in x.iter().enumerate() {
        let x = simd.splat(x.get());
        for p in 0..P {
            // SAFETY: every panel was cut to the length of `x` above.
            let column = unsafe { panels[p].get_unchecked(col) };
            acc[p] = simd.mul_add(x, E::load(simd, column), acc[p]);
        }
    }
    for p in 0..P {
        simd.store(&sums[p], acc[p]);
    }
}

/// A block of copied tokens.
#[derive(Clone, Copy)]
struct Block<'a> {
    /// `[column blocks][rows][STRIDE]`.
    cells: &'a [Cell<f32>],
    cols: usize,
    rows: usize,
    /// Rows that hold tokens.
    count: usize,
}

impl Block<'_> {
    /// The sums of `P` panels, `[panel][rows][16]`.
    #[inline(always)]
    fn sums<S: Simd, E: Element, const P: usize>(
        self,
        simd: S,
        panels: [&[[E::Bits; LANES]]; P],
        sums: &[[Cell<f32>; LANES]],
    ) {
        for (block, x) in self.cells.chunks_exact(self.rows * STRIDE).enumerate() {
            let start = block * BLOCK_COLS;
            if start >= self.cols && block > 0 {
                break;
            }
            let part = panels.map(|panel| &panel[start..self.cols.min(start + BLOCK_COLS)]);
            let mut token = 0;
            while token < self.count {
                let x = &x[token * STRIDE..];
                let sums = &sums[token..];
                let left = self.count - token;
                let first = block == 0;
                token += match (S::TILE_TOKENS, left) {
                    (12, 9..) => tile::<S, E, 12, P>(simd, x, part, sums, self.rows, first),
                    (12, 5..) => tile::<S, E, 8, P>(simd, x, part, sums, self.rows, first),
                    (6, 5..) => tile::<S, E, 6, P>(simd, x, part, sums, self.rows, first),
                    (12, _) | (4, _) | (6, 3..) => {
                        tile::<S, E, 4, P>(simd, x, part, sums, self.rows, first)
                    }
                    _ => tile::<S, E, 2, P>(simd, x, part, sums, self.rows, first),
                };
            }
        }
    }
}

/// Adds one column block to the sums of `T` tokens and `P` panels; the first block starts from +0. Returns `T`.
#[inline(always)]
fn tile<S: Simd, E: Element, const T: usize, const P: usize>(
    simd: S,
    x: &[Cell<f32>],
    panels: [&[[E::Bits; LANES]]; P],
    sums: &[[Cell<f32>; LANES]],
    rows: usize,
    first: bool,
) -> usize {
    let cols = panels[0].len();
    assert!(
        x.len() >= T * STRIDE && cols <= STRIDE && panels.iter().all(|panel| panel.len() == cols)
    );
    let mut acc = [[simd.zero(); P]; T];
    if !first {
        for (t, acc) in acc.iter_mut().enumerate() {
            for (p, acc) in acc.iter_mut().enumerate() {
                *acc = simd.load_cells(&sums[p * rows + t]);
            }
        }
    }
    for col in 0..cols {
        let mut w = [simd.zero(); P];
        for p in 0..P {
            // SAFETY: every panel is `cols` long.
            w[p] = E::load(simd, unsafe { panels[p].get_unchecked(col) });
        }
        for (t, acc) in acc.iter_mut().enumerate() {
            // SAFETY: `x` holds T rows STRIDE apart, and `cols` is at most STRIDE.
            let x = simd.splat(unsafe { x.get_unchecked(t * STRIDE + col) }.get());
            for p in 0..P {
                acc[p] = simd.mul_add(x, w[p], acc[p]);
            }
        }
    }
    for (t, acc) in acc.iter().enumerate() {
        for (p, acc) in acc.iter().enumerate() {
            simd.store(&sums[p * rows + t], *acc);
        }
    }
    T
}
