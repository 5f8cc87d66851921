//! Products of activations with packed weights: the loops that every linear kernel shares.
//!
//! ```text
//! for each token t, for each row r of the weights:
//!     sum = +0
//!     for c in 0..cols: sum = fma(x[t][c], w[r][c], sum)
//! ```
//!
//! One chain for each output, with the columns in order. The lanes are 16 rows, so nothing departs from this order; more
//! chains at once come from more panels and more tokens. If many tokens are processed in column blocks, partial sums are
//! stored and loaded again as f32, which changes nothing.

use std::cell::Cell;
use std::ops::Range;

use super::call::{Call, View};
use super::packed::PanelWeights;
use super::simd::{LANES, Simd};
use super::weights::{Floats, Product, Sums, row_pieces};

/// Columns per block: a token tile's part of the activations fits into the first-level cache, and the part of two panels of
/// weights into the second.
const BLOCK_COLS: usize = 768;
/// Distance between copied activation rows: one cache line more than a block, so that rows fall into different cache sets.
const STRIDE: usize = BLOCK_COLS + LANES;
/// The most tokens that share one pass over the weights. A multiple of [`TOKEN_STEP`].
const BLOCK_TOKENS: usize = 192;
/// A multiple of the token tiles of every instruction set.
const TOKEN_STEP: usize = 12;
/// The fewest tokens for which another pass over the weights pays.
const LEAST_TOKENS: usize = 36;
/// The most panels that one token processes together.
const ROW_PANELS: usize = 4;
/// Panels that a block of tokens processes before its next columns: the number of times that loaded activations are used. A
/// multiple of the panels per tile of every instruction set.
const SPAN: usize = 8;
/// The approximate number of pieces of a step per thread: few enough that a thread seldom copies activations, and enough
/// that no thread waits long for the last piece of another.
const PIECES: usize = 32;
/// The number of pieces per thread for which spans and blocks of tokens are divided: with fewer pieces, threads wait for the
/// last piece of another.
const EVEN_PIECES: usize = 32;

/// Floats of scratch that one thread needs for up to `tokens` rows of `cols` activations.
pub(super) fn scratch_floats(cols: usize, tokens: usize) -> usize {
    // Fewer rows may be divided into fewer and larger blocks.
    let rows = match tokens {
        0 | 1 => 1,
        _ => tokens.min(BLOCK_TOKENS).next_multiple_of(TOKEN_STEP),
    };
    let copied = if tokens > 1 {
        cols.div_ceil(BLOCK_COLS).max(1) * rows * STRIDE
    } else {
        0
    };
    copied + sum_floats(rows)
}

/// The scratch for sums, in floats, if blocks have `rows` tokens.
fn sum_floats(rows: usize) -> usize {
    let panels = if rows > 1 { SPAN } else { ROW_PANELS };
    panels * rows * LANES
}

/// Rows of scratch for a block of tokens: whole tiles on every instruction set. Blocks have about equal lengths. Weights
/// with few panels are processed in more blocks, so that there are enough pieces to share: `pairs` of panels for `threads`
/// threads.
fn block_rows(tokens: usize, pairs: usize, threads: usize) -> usize {
    if tokens > 1 {
        let wanted = (EVEN_PIECES * threads).div_ceil(pairs.max(1));
        let blocks = wanted
            .min(tokens / LEAST_TOKENS)
            .max(tokens.div_ceil(BLOCK_TOKENS));
        tokens.div_ceil(blocks).next_multiple_of(TOKEN_STEP)
    } else {
        1
    }
}

/// How products with several rows are cut: into blocks of tokens, and for each block the units into parts.
struct Cut {
    /// Rows of scratch for a block.
    rows: usize,
    blocks: usize,
    /// Pairs of panels; parts consist of these.
    pairs: usize,
    parts: usize,
}

impl Cut {
    /// The cut of `units` units of `U` panels.
    #[inline(always)]
    fn of<const U: usize>(call: &Call<'_>, units: usize) -> Cut {
        let tokens = call.tensor(0).rows();
        let pairs = units.div_ceil(2 / U);
        let rows = block_rows(tokens, pairs, call.threads);
        let (blocks, spans) = (tokens.div_ceil(rows).max(1), units.div_ceil(SPAN / U));
        let even = (EVEN_PIECES * call.threads).div_ceil(blocks);
        let parts = (PIECES * call.threads).div_ceil(blocks);
        Cut {
            rows,
            blocks,
            pairs,
            parts: parts.min(spans.max(even)).min(pairs),
        }
    }
}

/// Into how many pieces to cut the products of `units` units of `U` panels.
pub(super) fn pieces<const U: usize>(call: &Call<'_>, units: usize) -> usize {
    let x = call.tensor(0);
    if x.rows() == 1 {
        let group = ROW_PANELS / U;
        let elements = group * U * LANES * x.width();
        return row_pieces(call.threads, units.div_ceil(group), elements);
    }
    let cut = Cut::of::<U>(call, units);
    cut.blocks * cut.parts
}

/// Computes the call's piece of `units` units for every row of operand 0.
///
/// One row: the piece is some of the units. Several: it is some parts of blocks of tokens, one after the other.
#[inline(always)]
pub(super) fn products<S: Simd, const U: usize, P: Product<U, Floats>>(
    simd: S,
    call: &Call<'_>,
    units: usize,
    product: &P,
) {
    let x = call.tensor(0);
    if x.rows() == 0 {
        return;
    }
    if x.rows() == 1 {
        let sums = call.scratch[..sum_floats(1)].as_chunks::<LANES>().0;
        let units = call.share_groups(units, ROW_PANELS / U);
        for first in units.clone().step_by(ROW_PANELS / U) {
            let span = Span::new(product, first..units.end.min(first + ROW_PANELS / U), 0, 1);
            one_row(simd, x.row(0), span.panels(), sums);
            span.finish(simd, sums, 0..span.panels().len(), 0..1);
        }
        return;
    }
    let Cut {
        rows,
        blocks,
        pairs,
        parts,
    } = Cut::of::<U>(call, units);
    let (sums, copied) = call.scratch.split_at(sum_floats(rows));
    let copies = x.width().div_ceil(BLOCK_COLS) * rows * STRIDE;
    let enough = copied.len() >= copies;
    assert!(enough, "a defect of the plan: too little scratch");
    let sums = sums.as_chunks::<LANES>().0;
    for number in call.share(blocks * parts) {
        let (start, part) = (number / parts * rows, number % parts);
        let count = rows.min(x.rows() - start);
        // Consecutive pieces usually belong to one block, whose tokens are copied once.
        if call.kept.replace(start) != start {
            copy_rows(simd, x, start..start + count, rows, copied);
        }
        let block = Block {
            cells: copied,
            cols: x.width(),
            rows,
            count,
        };
        let pair = 2 / U;
        let end = units.min(pairs * (part + 1) / parts * pair);
        let units = pairs * part / parts * pair..end;
        for first in units.clone().step_by(SPAN / U) {
            let span = Span::new(product, first..units.end.min(first + SPAN / U), start, rows);
            block.products(simd, &span, sums);
        }
    }
}

/// Units that are processed together.
struct Span<'a, const U: usize, P> {
    product: &'a P,
    units: Range<usize>,
    /// The panels of the units; the remaining elements are empty.
    panels: [PanelWeights<'a>; SPAN],
    /// The token to which the first sums belong.
    start: usize,
    /// The number of tokens from the sums of one panel to the sums of the next.
    rows: usize,
}

impl<'a, const U: usize, P: Product<U, Floats>> Span<'a, U, P> {
    #[inline(always)]
    fn new(product: &'a P, units: Range<usize>, start: usize, rows: usize) -> Self {
        let mut panels = [PanelWeights::F32(&[]); SPAN];
        for (unit, panels) in units.clone().zip(panels.chunks_exact_mut(U)) {
            panels.copy_from_slice(&product.panels(unit));
        }
        Span {
            product,
            units,
            panels,
            start,
            rows,
        }
    }

    #[inline(always)]
    fn panels(&self) -> &[PanelWeights<'a>] {
        &self.panels[..self.units.len() * U]
    }

    /// Passes to the product the sums of whole units' `panels` for `tokens` of the block. `sums` are all sums,
    /// `[panel][rows][16]`.
    #[inline(always)]
    fn finish<S: Simd>(&self, simd: S, sums: Sums<'_>, panels: Range<usize>, tokens: Range<usize>) {
        for panel in panels.step_by(U) {
            let mut parts: [Sums<'_>; U] = [&[]; U];
            for (i, part) in parts.iter_mut().enumerate() {
                let row = (panel + i) * self.rows;
                *part = &sums[row + tokens.start..row + tokens.end];
            }
            let (unit, token) = (self.units.start + panel / U, self.start + tokens.start);
            self.product.finish(simd, unit, token, parts);
        }
    }
}

/// Copies rows `tokens` of `x` as `[column blocks][rows][STRIDE]`, and fills the missing rows of the last tile with zeros.
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

/// The sums of one row and up to [`ROW_PANELS`] panels, `[panel][16]`.
#[inline(always)]
fn one_row<S: Simd>(
    simd: S,
    x: &[Cell<f32>],
    panels: &[PanelWeights<'_>],
    sums: &[[Cell<f32>; LANES]],
) {
    match *panels {
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
    }
}

/// The element type of a weight, which is loaded as f32.
trait Element {
    /// The bits of one element.
    type Bits;
    /// Loads sixteen elements.
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
    /// The number of rows that contain tokens.
    count: usize,
}

impl Block<'_> {
    /// The products of a span's units, through `sums`, `[panel][rows][16]`. After the span's last pair of panels, the
    /// pair that follows it in memory is usually read next.
    #[inline(always)]
    fn products<S: Simd, const U: usize, P: Product<U, Floats>>(
        self,
        simd: S,
        span: &Span<'_, U, P>,
        sums: Sums<'_>,
    ) {
        let blocks = self.cols.div_ceil(BLOCK_COLS).max(1);
        let panels = span.panels();
        let parts = self.cells.chunks_exact(self.rows * STRIDE).take(blocks);
        for (block, x) in parts.enumerate() {
            let (start, last) = (block * BLOCK_COLS, block + 1 == blocks);
            let end = self.cols.min(start + BLOCK_COLS);
            for at in (0..panels.len()).step_by(2) {
                let pair = &panels[at..panels.len().min(at + 2)];
                let mut part = Part {
                    x,
                    start,
                    end,
                    sums: &sums[at * self.rows..],
                    next: [std::ptr::null(); 2],
                };
                for (i, next) in part.next.iter_mut().enumerate() {
                    *next = match panels.get(at + 2 + i) {
                        Some(panel) => panel.address(start),
                        None if !last => panels[i % panels.len()].address(end),
                        // These addresses are right if the panels follow each other in memory.
                        None => pair[i % pair.len()].address(self.cols * (2 / U)),
                    };
                }
                let finish = if last { Some((span, sums, at)) } else { None };
                match *pair {
                    [PanelWeights::F32(a), PanelWeights::F32(b)] if S::TILE_PANELS == 2 => {
                        self.tiles::<S, Single, 2, U, P>(simd, part, [a, b], finish);
                    }
                    [PanelWeights::F16(a), PanelWeights::F16(b)] if S::TILE_PANELS == 2 => {
                        self.tiles::<S, Half, 2, U, P>(simd, part, [a, b], finish);
                    }
                    [PanelWeights::BF16(a), PanelWeights::BF16(b)] if S::TILE_PANELS == 2 => {
                        self.tiles::<S, BFloat, 2, U, P>(simd, part, [a, b], finish);
                    }
                    _ => {
                        for (i, panel) in pair.iter().enumerate() {
                            let part = Part {
                                sums: &part.sums[i * self.rows..],
                                next: [part.next[i]; 2],
                                ..part
                            };
                            match *panel {
                                PanelWeights::F32(a) => {
                                    self.tiles::<S, Single, 1, U, P>(simd, part, [a], None);
                                }
                                PanelWeights::F16(a) => {
                                    self.tiles::<S, Half, 1, U, P>(simd, part, [a], None);
                                }
                                PanelWeights::BF16(a) => {
                                    self.tiles::<S, BFloat, 1, U, P>(simd, part, [a], None);
                                }
                            }
                        }
                        if last {
                            span.finish(simd, sums, at..at + pair.len(), 0..self.count);
                        }
                    }
                }
            }
        }
    }

    /// Adds one column block to the sums of `P` panels for all tokens.
    ///
    /// If a span is given (with all its sums, and the index of the first panel in it), it is finished tile by tile: the sums
    /// are still in the cache, and writing outputs overlaps with the work on the next tile.
    #[inline(always)]
    fn tiles<S: Simd, E: Element, const P: usize, const U: usize, Q: Product<U, Floats>>(
        self,
        simd: S,
        part: Part<'_>,
        panels: [&[[E::Bits; LANES]]; P],
        finish: Option<(&Span<'_, U, Q>, Sums<'_>, usize)>,
    ) {
        let panels = panels.map(|panel| &panel[part.start..part.end]);
        let (rows, first) = (self.rows, part.start == 0);
        let mut token = 0;
        while token < self.count {
            let x = &part.x[token * STRIDE..];
            let sums = &part.sums[token..];
            let left = self.count - token;
            let ahead = Ahead::new::<E::Bits, P>(part.next, panels[0].len(), token, self.count);
            let advance = match (S::TILE_TOKENS, left) {
                (12, 9..) => tile::<S, E, 12, P>(simd, x, panels, sums, rows, first, ahead),
                (12, 5..) => tile::<S, E, 8, P>(simd, x, panels, sums, rows, first, ahead),
                (6, 5..) => tile::<S, E, 6, P>(simd, x, panels, sums, rows, first, ahead),
                (12, _) | (4, _) | (6, 3..) => {
                    tile::<S, E, 4, P>(simd, x, panels, sums, rows, first, ahead)
                }
                _ => tile::<S, E, 2, P>(simd, x, panels, sums, rows, first, ahead),
            };
            if let Some((span, all, at)) = finish {
                let tokens = token..self.count.min(token + advance);
                span.finish(simd, all, at..at + P, tokens);
            }
            token += advance;
        }
    }
}

/// One column block of a block of tokens, and the memory for its sums.
#[derive(Clone, Copy)]
struct Part<'a> {
    /// The columns of the tokens, `[rows][STRIDE]`.
    x: &'a [Cell<f32>],
    /// The first column.
    start: usize,
    /// One past the last column.
    end: usize,
    /// `[panel][rows][16]`, beginning with the first panel that is being processed.
    sums: Sums<'a>,
    /// The addresses of the parts of two panels that are read next.
    next: [*const u8; 2],
}

/// Weights that a tile prefetches: the tiles of a block of tokens together prefetch one column block of each panel. The
/// addresses are only hints and may lie past the weights.
#[derive(Clone, Copy)]
struct Ahead {
    start: *const u8,
    /// Bytes from the prefetch of one column to the next.
    step: usize,
}

impl Ahead {
    /// The part for the tile that begins at `token` of `count`. At each address in `next` begin `cols` columns of a
    /// panel, each with sixteen elements of type `B`.
    #[inline(always)]
    fn new<B, const P: usize>(
        next: [*const u8; 2],
        cols: usize,
        token: usize,
        count: usize,
    ) -> Self {
        let bytes = size_of::<B>() * LANES;
        // The number of tokens during which one panel is prefetched.
        let share = count.div_ceil(P).max(1);
        let (panel, within) = (token / share, token % share);
        Ahead {
            start: next[panel.min(P - 1)].wrapping_add(cols * bytes / share * within),
            step: (bytes * TOKEN_STEP / share).clamp(1, bytes),
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
    ahead: Ahead,
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
    let mut soon = ahead.start;
    for col in 0..cols {
        simd.prefetch(soon);
        soon = soon.wrapping_add(ahead.step);
        let mut w = [simd.zero(); P];
        for p in 0..P {
            // SAFETY: every panel is `cols` long.
            w[p] = E::load(simd, unsafe { panels[p].get_unchecked(col) });
        }
        for (t, acc) in acc.iter_mut().enumerate() {
            // SAFETY: `x` has T rows that are STRIDE apart, and `cols` is at most STRIDE.
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

#[cfg(test)]
mod tests;
