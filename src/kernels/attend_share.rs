//! How the queries of attention are cut into units of up to [`UNIT`], which walk the context together, and units shared
//! out to pieces.
//!
//! The order of additions of a query does not depend on its unit, so everything here affects only the running time.

use std::ops::Range;

use super::call::{Call, Sequence};

/// The most queries that walk the context together, which is one unit of work.
pub(super) const UNIT: usize = 64;
/// The most queries in a register tile.
pub(super) const TILE: usize = 8;
/// The fewest elements of keys that a piece multiplies with one token's queries: with far fewer, handing the piece to
/// another thread takes longer than computing it.
const LEAST_ELEMENTS: usize = 8192;

/// How many of the `left` queries the next tile computes: a tile of eight with two unused rows costs more than two smaller
/// tiles.
#[inline(always)]
pub(super) fn tile_queries(left: usize) -> usize {
    if left > TILE - 2 {
        left.min(TILE)
    } else {
        left.min(TILE / 2)
    }
}

/// Rows of the register tile that computes `queries` queries, at most [`TILE`].
#[inline(always)]
pub(super) fn tile_rows(queries: usize) -> usize {
    match queries {
        5.. => TILE,
        3.. => TILE / 2,
        _ => queries,
    }
}

/// Queries of one sequence and KV head that walk the context together.
pub(super) struct Unit {
    /// The sequence.
    pub sequence: Sequence,
    pub kv_head: usize,
    /// Member i is token i / group of the sequence, with head i % group of the group.
    pub members: Range<usize>,
}

/// The units of the call's piece. Later tokens see more keys, so each sequence's last units are handed out first.
pub(super) struct Units<'a> {
    call: &'a Call<'a>,
    /// Query heads per KV head.
    group: usize,
    kv_heads: usize,
    /// The most queries per unit.
    size: usize,
    /// Units of all sequences.
    count: usize,
    /// Units of the piece that are not yet handed out.
    left: Range<usize>,
    /// The sequence of the last unit, and the number of units of the sequences before it.
    sequence: usize,
    before: usize,
}

impl<'a> Units<'a> {
    /// The units of the call's piece.
    #[inline(always)]
    pub fn of(call: &'a Call<'a>, group: usize, kv_heads: usize) -> Units<'a> {
        let mut units = Units::all(call, group, kv_heads);
        units.left = call.share(units.count);
        units
    }

    /// The units of the whole step.
    #[inline(always)]
    fn all(call: &'a Call<'a>, group: usize, kv_heads: usize) -> Units<'a> {
        let several = call.sequences.len() > 1;
        let size = match several {
            true => UNIT,
            false => unit_size(call.tokens * group, kv_heads, call.threads),
        };
        let mut units = Units {
            call,
            group,
            kv_heads,
            size,
            count: 0,
            left: 0..0,
            sequence: 0,
            before: 0,
        };
        units.count = (0..call.sequences.len())
            .map(|sequence| units.count_of(sequence))
            .sum();
        units.left = 0..units.count;
        units
    }

    /// The tiles of a sequence's queries, for each KV head.
    #[inline(always)]
    fn tiles(&self, sequence: usize) -> usize {
        (self.call.sequences[sequence].tokens() * self.group).div_ceil(self.size)
    }

    /// The number of units of a sequence.
    #[inline(always)]
    fn count_of(&self, sequence: usize) -> usize {
        self.tiles(sequence) * self.kv_heads
    }
}

impl Iterator for Units<'_> {
    type Item = Unit;

    #[inline(always)]
    fn next(&mut self) -> Option<Unit> {
        let number = self.left.next()?;
        // Unit numbers rise, and so do sequence numbers.
        while number - self.before >= self.count_of(self.sequence) {
            self.before += self.count_of(self.sequence);
            self.sequence += 1;
        }
        let (sequence, number) = (self.call.sequences[self.sequence], number - self.before);
        let tile = self.tiles(self.sequence) - 1 - number / self.kv_heads;
        let queries = sequence.tokens() * self.group;
        Some(Unit {
            sequence,
            kv_head: number % self.kv_heads,
            members: tile * self.size..queries.min((tile + 1) * self.size),
        })
    }
}

/// Into how many pieces to cut a step whose queries see `context` keys of `dim` elements: one for each unit. A step of one
/// token may have too little work for that.
pub(super) fn pieces(call: &Call<'_>, heads: usize, kv_heads: usize, context: [usize; 2]) -> usize {
    let kv_heads = kv_heads.max(1);
    let units = Units::all(call, heads / kv_heads, kv_heads).count;
    if call.tokens > 1 {
        return units;
    }
    let elements = context.into_iter().fold(heads, usize::saturating_mul);
    units.min(elements / LEAST_ELEMENTS).max(1)
}

/// Queries per unit, chosen so that the threads finish early: large units load keys for many queries, small ones keep
/// all threads busy. Loading a block is counted as the work of two queries.
fn unit_size(total: usize, kv_heads: usize, threads: usize) -> usize {
    let mut best = (usize::MAX, UNIT);
    let mut size = UNIT;
    while size > 0 {
        let rounds = (total.div_ceil(size) * kv_heads).div_ceil(threads);
        let queries = size.min(total);
        // A single query takes as long as two: its chains are too few to fill the pipeline.
        let (mut rows, mut left) = (0, queries);
        while left > 0 {
            let tile = tile_queries(left);
            rows += tile_rows(tile.next_multiple_of(2));
            left -= tile;
        }
        let time = rounds * (rows + 2);
        if time < best.0 {
            best = (time, size);
        }
        size /= 2;
    }
    best.1
}
