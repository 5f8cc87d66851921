//! The walk of attention over key blocks, for plain tensors and for the cache.
//!
//! The order of operations for one query is written at the top of `attention.rs`. Queries that share a KV head (neighbouring
//! tokens, and the heads of one group) are walked together, so that each key and value is loaded once for several queries;
//! the order of a query does not depend on the queries beside it.

use std::cell::Cell;
use std::ops::Range;

use super::attend_share::{TILE, UNIT, Unit, Units, tile_queries, tile_rows};
use super::call::{Call, Sequence, View};
use super::kv_cache::KEY_BLOCK;
use super::math;
use super::rotary;
use super::scoring::Scoring;
use super::simd::{LANES, Simd};

/// The queries of a step, and where their results go.
pub(super) struct Queries<'a> {
    /// [tokens, heads, dim].
    pub q: &'a [Cell<f32>],
    /// The rotary table [tokens, 2n] and whether pairs are adjacent, if the queries have not been rotated yet.
    pub table: Option<(View<'a>, bool)>,
    /// [tokens, heads, dim].
    pub output: &'a [Cell<f32>],
    /// Query heads.
    pub heads: usize,
    /// Scale, softcap and visibility.
    pub scoring: Scoring,
}

/// The keys and values of one KV head.
pub(super) trait Context {
    /// The number of positions, of KV heads, and of elements per head.
    fn size(&self) -> (usize, usize, usize);
    /// The keys at `block..block + KEY_BLOCK` as `[KEY_BLOCK / 16][dim][16]`; the keys past the context have no meaning.
    /// They may be built in `scratch`, which has the same length.
    fn keys<'s, S: Simd>(
        &'s self,
        simd: S,
        block: usize,
        scratch: &'s [Cell<f32>],
    ) -> &'s [Cell<f32>];
    /// The values from `block` on, and the distance from the value of one position to the next.
    fn values(&self, block: usize) -> (&[Cell<f32>], usize);
}

/// Floats of scratch that each thread of an attention kernel needs, for heads of `dim` elements.
pub fn scratch_floats(dim: usize) -> usize {
    let wide = dim.next_multiple_of(LANES);
    UNIT * wide + TILE * wide + TILE * KEY_BLOCK + KEY_BLOCK * dim + UNIT * dim + 2 * UNIT
}

/// The scratch of one thread, divided into its parts.
struct Scratch<'a> {
    /// o of every query, `[UNIT][wide]`, where wide is dim rounded up to whole lanes.
    out: &'a [Cell<f32>],
    /// o_b of a tile, `[TILE][wide]`.
    block_out: &'a [Cell<f32>],
    /// s_j, then p_j of a tile, `[TILE][KEY_BLOCK]`.
    scores: &'a [Cell<f32>],
    /// The keys of a block, if they must be packed first.
    keys: &'a [Cell<f32>],
    /// The rotated queries, `[UNIT][dim]`.
    q: &'a [Cell<f32>],
    /// m of every query.
    max: &'a [Cell<f32>],
    /// l of every query.
    sum: &'a [Cell<f32>],
    /// Elements of a head.
    dim: usize,
    /// `dim` rounded up to whole lanes.
    wide: usize,
}

impl<'a> Scratch<'a> {
    #[inline(always)]
    fn divide(scratch: &'a [Cell<f32>], dim: usize) -> Self {
        let wide = dim.next_multiple_of(LANES);
        let (out, rest) = scratch.split_at(UNIT * wide);
        let (block_out, rest) = rest.split_at(TILE * wide);
        let (scores, rest) = rest.split_at(TILE * KEY_BLOCK);
        let (keys, rest) = rest.split_at(KEY_BLOCK * dim);
        let (q, rest) = rest.split_at(UNIT * dim);
        let (max, rest) = rest.split_at(UNIT);
        Scratch {
            out,
            block_out,
            scores,
            keys,
            q,
            max,
            sum: &rest[..UNIT],
            dim,
            wide,
        }
    }
}

/// Computes the queries of the call's piece. `context_of` returns the keys and values of a sequence's KV head; there are
/// `kv_heads` of `dim` elements.
#[inline(always)]
pub(super) fn attend<S: Simd, C: Context>(
    simd: S,
    call: &Call<'_>,
    queries: &Queries<'_>,
    (kv_heads, dim): (usize, usize),
    context_of: impl Fn(&Sequence, usize) -> C,
) {
    if dim == 0 {
        return;
    }
    let scratch = Scratch::divide(call.scratch, dim);
    for unit in Units::of(call, queries.heads / kv_heads, kv_heads) {
        let context = context_of(&unit.sequence, unit.kv_head);
        unit.attend(simd, queries, &context, &scratch);
    }
}

impl Unit {
    /// Computes the outputs of the members.
    #[inline(always)]
    fn attend<S: Simd, C: Context>(
        self,
        simd: S,
        queries: &Queries<'_>,
        context: &C,
        scratch: &Scratch<'_>,
    ) {
        let Unit {
            sequence,
            kv_head,
            members,
        } = self;
        let (positions, kv_heads, dim) = context.size();
        let group = queries.heads / kv_heads;
        let token = |member: usize| sequence.start + member / group;
        let row = |member: usize| {
            let start = (token(member) * queries.heads + kv_head * group + member % group) * dim;
            start..start + dim
        };
        let visible = |member: usize| {
            queries
                .scoring
                .visible(sequence.past + member / group, positions)
        };

        for (member, to) in members.clone().zip(scratch.q.chunks_exact(dim)) {
            let from = &queries.q[row(member)];
            match queries.table {
                Some((table, adjacent)) => {
                    rotary::turn(simd, adjacent, from, table.row(token(member)), to)
                }
                None => {
                    for d in (0..dim).step_by(LANES) {
                        simd.store_at(to, d, simd.load_at(from, d));
                    }
                }
            }
        }
        // The missing rows of the last tile are computed along with the others and discarded.
        for to in scratch
            .q
            .chunks_exact(dim)
            .take(members.len().next_multiple_of(TILE))
            .skip(members.len())
        {
            to.iter().for_each(|cell| cell.set(0.0));
        }

        let first = visible(members.start).start / KEY_BLOCK * KEY_BLOCK;
        let end = visible(members.end - 1).end;
        for block in (first..end).step_by(KEY_BLOCK) {
            let keys = context.keys(simd, block, scratch.keys);
            let (values, stride) = context.values(block);
            let mut next = members.start;
            while next < members.end {
                let start = next;
                let count = tile_queries(members.end - start);
                next += count;
                let mut tile = Tile {
                    first: start - members.start,
                    count,
                    visible: [const { 0..0 }; TILE],
                    opens: [false; TILE],
                };
                let (mut position, mut head) = (sequence.past + start / group, start % group);
                for i in 0..count {
                    let seen = queries.scoring.visible(position, positions);
                    tile.visible[i] = seen.start.max(block) - block
                        ..seen.end.clamp(block, block + KEY_BLOCK) - block;
                    tile.opens[i] = seen.start >= block;
                    head += 1;
                    if head == group {
                        (position, head) = (position + 1, 0);
                    }
                }
                if tile.visible.iter().any(|seen| !seen.is_empty()) {
                    tile.score(simd, keys, scratch);
                    let merge = tile.soften(simd, &queries.scoring, scratch);
                    tile.add_values(simd, values, stride, scratch);
                    tile.merge(simd, merge, scratch);
                }
            }
        }

        for (i, member) in members.enumerate() {
            let sum = simd.splat(scratch.sum[i].get());
            let to = &queries.output[row(member)];
            let from = &scratch.out[i * scratch.wide..];
            for d in (0..dim).step_by(LANES) {
                simd.store_at(to, d, simd.div(simd.load_at(from, d), sum));
            }
        }
    }
}

/// Up to [`TILE`] queries and one block of keys.
struct Tile {
    /// The number of the first query in the unit.
    first: usize,
    count: usize,
    /// The keys of the block that each query sees, within 0..KEY_BLOCK; possibly none.
    visible: [Range<usize>; TILE],
    /// For each query, whether this is the first block that it sees.
    opens: [bool; TILE],
}

/// The factors of o and o_b of a query when they are merged.
#[derive(Clone, Copy, Default)]
struct Merge {
    old: f32,
    new: f32,
}

impl Tile {
    /// The dot products of all queries with every key in the panels that at least one of the queries sees.
    #[inline(always)]
    fn score<S: Simd>(&self, simd: S, keys: &[Cell<f32>], scratch: &Scratch<'_>) {
        let dim = scratch.dim;
        let seen = self.visible.iter().filter(|seen| !seen.is_empty());
        let from = seen
            .clone()
            .map(|seen| seen.start / LANES)
            .min()
            .unwrap_or(0);
        let to = seen.map(|seen| seen.end.div_ceil(LANES)).max().unwrap_or(0);
        let q = &scratch.q[self.first * dim..];
        let mut panel = from;
        while panel < to {
            let product = Product {
                a: q,
                a_stride: dim,
                b: &keys[panel * dim * LANES..],
                b_stride: LANES,
                b_panel: dim * LANES,
                sums: &scratch.scores[panel * LANES..],
                sums_stride: KEY_BLOCK,
            };
            panel += product.advance(simd, tile_rows(self.count), to - panel, 0..dim, true);
        }
    }

    /// Turns dot products into p_j, updates m and l, and returns how o is to be merged.
    #[inline(always)]
    fn soften<S: Simd>(&self, simd: S, scoring: &Scoring, scratch: &Scratch<'_>) -> [Merge; TILE] {
        // A query that sees no key of this block keeps its m and l: the merge then multiplies by 1 and adds 0.
        let block_max = [const { Cell::new(f32::NEG_INFINITY) }; LANES];
        let block_sum = [const { Cell::new(0.0) }; LANES];
        for (i, seen) in self.visible[..self.count].iter().enumerate() {
            let panels = seen.start / LANES..seen.end.div_ceil(LANES);
            let scores = &scratch.scores[i * KEY_BLOCK..(i + 1) * KEY_BLOCK];
            let mut largest = simd.splat(f32::NEG_INFINITY);
            for panel in panels {
                let cells = &scores.as_chunks::<LANES>().0[panel];
                let mut score = scoring.apply(simd, simd.load_cells(cells));
                if seen.start > panel * LANES || seen.end < (panel + 1) * LANES {
                    let mask = lanes_of(simd, seen, panel);
                    score = simd.select(mask, score, simd.splat(f32::NEG_INFINITY));
                }
                largest = simd.max(score, largest);
                simd.store(cells, score);
            }
            block_max[i].set(simd.largest(largest));
        }
        for (i, seen) in self.visible[..self.count].iter().enumerate() {
            let panels = seen.start / LANES..seen.end.div_ceil(LANES);
            let scores = &scratch.scores[i * KEY_BLOCK..(i + 1) * KEY_BLOCK];
            let largest = simd.splat(block_max[i].get());
            let mut lanes = simd.zero();
            for panel in panels {
                let cells = &scores.as_chunks::<LANES>().0[panel];
                // A key that is not visible has -inf here, so its p_j is +0.
                let p = math::exp_not_above_one(simd, simd.sub(simd.load_cells(cells), largest));
                lanes = simd.add(lanes, p);
                simd.store(cells, p);
            }
            block_sum[i].set(simd.sum(lanes));
        }

        let mut merge = [Merge::default(); TILE];
        let max = &scratch.max[self.first..self.first + self.count];
        let sum = &scratch.sum[self.first..self.first + self.count];
        let (mut new_max, mut new_sum) = (simd.load_cells(&block_max), simd.load_cells(&block_sum));
        if self.opens[..self.count].contains(&false) {
            // Lanes are queries. Before its first block, a query has m = -inf and l = 0.
            let old_max = [const { Cell::new(f32::NEG_INFINITY) }; LANES];
            let old_sum = [const { Cell::new(0.0) }; LANES];
            for i in (0..self.count).filter(|&i| !self.opens[i]) {
                old_max[i].set(max[i].get());
                old_sum[i].set(sum[i].get());
            }
            let both = simd.max(simd.load_cells(&old_max), new_max);
            let old = math::exp_not_above_one(simd, simd.sub(simd.load_cells(&old_max), both));
            let new = math::exp_not_above_one(simd, simd.sub(new_max, both));
            new_sum = simd.mul_add(simd.load_cells(&old_sum), old, simd.mul(new_sum, new));
            new_max = both;
            simd.store(&old_max, old);
            simd.store(&old_sum, new);
            for (i, merge) in merge.iter_mut().enumerate() {
                *merge = Merge {
                    old: old_max[i].get(),
                    new: old_sum[i].get(),
                };
            }
        }
        simd.store_at(max, 0, new_max);
        simd.store_at(sum, 0, new_sum);
        merge
    }

    /// Computes o_b of every query that sees a key.
    #[inline(always)]
    fn add_values<S: Simd>(
        &self,
        simd: S,
        values: &[Cell<f32>],
        stride: usize,
        scratch: &Scratch<'_>,
    ) {
        // Keys that all queries see are added for all queries together; the keys before and after them are added query by
        // query.
        let (mut from, mut to) = (0, KEY_BLOCK);
        for seen in &self.visible[..self.count] {
            (from, to) = (from.max(seen.start), to.min(seen.end));
        }
        let together = from < to;
        let mut rows = 0;
        if together {
            rows = tile_rows(self.count);
            // Rows without a query are computed along with the others and discarded.
            for cell in scratch.scores[self.count * KEY_BLOCK..rows * KEY_BLOCK]
                .as_chunks::<LANES>()
                .0
            {
                simd.store(cell, simd.zero());
            }
        } else {
            (from, to) = (KEY_BLOCK, KEY_BLOCK);
        }
        // If no query sees a key before the shared keys, the shared keys start the sums.
        let fresh = together
            && self.visible[..self.count]
                .iter()
                .all(|seen| seen.start == from);
        if !fresh {
            for cell in scratch.block_out.as_chunks::<LANES>().0 {
                simd.store(cell, simd.zero());
            }
        }
        for part in if fresh { TILE } else { 0 }..2 * TILE + 1 {
            let (query, rows, keys) = if part < TILE {
                let seen = &self.visible[part];
                (part, 1, seen.start..seen.end.min(from))
            } else if part == TILE {
                (0, rows, from..to)
            } else {
                let seen = &self.visible[part - TILE - 1];
                (part - TILE - 1, 1, seen.start.max(to)..seen.end)
            };
            if !keys.is_empty() {
                add_range(
                    simd,
                    (query, rows, fresh && part == TILE),
                    keys,
                    (values, stride),
                    scratch,
                );
            }
        }
    }

    /// Merges o_b into o.
    #[inline(always)]
    fn merge<S: Simd>(&self, simd: S, merge: [Merge; TILE], scratch: &Scratch<'_>) {
        let wide = scratch.wide;
        for i in (0..self.count).filter(|&i| !self.visible[i].is_empty()) {
            let block = scratch.block_out[i * wide..(i + 1) * wide]
                .as_chunks::<LANES>()
                .0;
            let out = scratch.out[(self.first + i) * wide..][..wide]
                .as_chunks::<LANES>()
                .0;
            for (out, block) in out.iter().zip(block) {
                let mut o = simd.load_cells(block);
                if !self.opens[i] {
                    let new = simd.mul(o, simd.splat(merge[i].new));
                    o = simd.mul_add(simd.load_cells(out), simd.splat(merge[i].old), new);
                }
                simd.store(out, o);
            }
        }
    }
}

/// Adds the values of `keys`, which are `stride` apart, to the o_b of `rows` queries from `query` on; starts from +0 if
/// `fresh`.
#[inline(always)]
fn add_range<S: Simd>(
    simd: S,
    (query, rows, fresh): (usize, usize, bool),
    keys: Range<usize>,
    (values, stride): (&[Cell<f32>], usize),
    scratch: &Scratch<'_>,
) {
    let whole = scratch.dim / LANES;
    let mut panel = 0;
    while panel < whole {
        let product = Product {
            a: &scratch.scores[query * KEY_BLOCK..],
            a_stride: KEY_BLOCK,
            b: &values[panel * LANES..],
            b_stride: stride,
            b_panel: LANES,
            sums: &scratch.block_out[query * scratch.wide + panel * LANES..],
            sums_stride: scratch.wide,
        };
        panel += product.advance(simd, rows, whole - panel, keys.clone(), fresh);
    }
    let rest = scratch.dim % LANES;
    if rest > 0 {
        for i in query..query + rows {
            let sums = &scratch.block_out[i * scratch.wide + whole * LANES..][..rest];
            let mut sum = if fresh {
                simd.zero()
            } else {
                simd.load_partial(sums)
            };
            for j in keys.clone() {
                let p = simd.splat(scratch.scores[i * KEY_BLOCK + j].get());
                let value = simd.load_partial(&values[j * stride + whole * LANES..][..rest]);
                sum = simd.mul_add(p, value, sum);
            }
            simd.store_partial(sums, sum);
        }
    }
}

/// The lanes of `panel` whose keys are in `seen`.
#[inline(always)]
fn lanes_of<S: Simd>(simd: S, seen: &Range<usize>, panel: usize) -> S::Mask {
    simd.lanes_between(
        seen.start.saturating_sub(panel * LANES),
        seen.end.saturating_sub(panel * LANES),
    )
}

/// Chains of products: `sums[q][p][lane] += a[q][i] · b[i][p][lane]`, for i in order.
#[derive(Clone, Copy)]
struct Product<'a> {
    /// The rows are `a_stride` apart.
    a: &'a [Cell<f32>],
    a_stride: usize,
    /// Step i of panel p is at i · b_stride + p · b_panel.
    b: &'a [Cell<f32>],
    b_stride: usize,
    b_panel: usize,
    /// The rows are `sums_stride` apart, the panels 16.
    sums: &'a [Cell<f32>],
    sums_stride: usize,
}

impl Product<'_> {
    /// [`Product::add`] for `rows` rows (1, 2, 4 or 8) and as many of the `left` panels as fit into the registers.
    #[inline(always)]
    fn advance<S: Simd>(
        self,
        simd: S,
        rows: usize,
        left: usize,
        steps: Range<usize>,
        fresh: bool,
    ) -> usize {
        let wide = S::TILE_PANELS > 1;
        match (rows, left) {
            (1, 4..) => self.add::<S, 1, 4>(simd, steps, fresh),
            (1, _) => self.add::<S, 1, 1>(simd, steps, fresh),
            (2, 4..) if wide => self.add::<S, 2, 4>(simd, steps, fresh),
            (2, 2..) => self.add::<S, 2, 2>(simd, steps, fresh),
            (2, _) => self.add::<S, 2, 1>(simd, steps, fresh),
            (4, 4..) if wide => self.add::<S, 4, 4>(simd, steps, fresh),
            (4, 2..) if wide => self.add::<S, 4, 2>(simd, steps, fresh),
            (4, _) => self.add::<S, 4, 1>(simd, steps, fresh),
            (_, 2..) if wide => self.add::<S, TILE, 2>(simd, steps, fresh),
            _ if wide => self.add::<S, TILE, 1>(simd, steps, fresh),
            _ => {
                let (half, rows) = (TILE / 2, steps.clone());
                let second = Product {
                    a: &self.a[half * self.a_stride..],
                    sums: &self.sums[half * self.sums_stride..],
                    ..self
                };
                self.add::<S, 4, 1>(simd, rows, fresh);
                second.add::<S, 4, 1>(simd, steps, fresh)
            }
        }
    }

    /// Continues the chains of `Q` rows and `P` panels over `steps` (not empty), or starts them from +0. Returns `P`.
    #[inline(always)]
    fn add<S: Simd, const Q: usize, const P: usize>(
        self,
        simd: S,
        steps: Range<usize>,
        fresh: bool,
    ) -> usize {
        assert!((Q - 1) * self.a_stride + steps.end <= self.a.len());
        assert!((steps.end - 1) * self.b_stride + (P - 1) * self.b_panel + LANES <= self.b.len());
        let mut sums = [[simd.zero(); P]; Q];
        if !fresh {
            for (q, sums) in sums.iter_mut().enumerate() {
                let from = self.sums[q * self.sums_stride..].as_chunks::<LANES>().0;
                for (p, sum) in sums.iter_mut().enumerate() {
                    *sum = simd.load_cells(&from[p]);
                }
            }
        }
        for i in steps {
            let mut b = [simd.zero(); P];
            for (p, b) in b.iter_mut().enumerate() {
                // SAFETY: the assertion above covers the last step and panel; a cell array has its cells' alignment.
                *b = simd.load_cells(unsafe {
                    &*self
                        .b
                        .as_ptr()
                        .add(i * self.b_stride + p * self.b_panel)
                        .cast()
                });
            }
            for (q, sums) in sums.iter_mut().enumerate() {
                // SAFETY: the assertion above covers the last step and row.
                let a = simd.splat(unsafe { self.a.get_unchecked(q * self.a_stride + i) }.get());
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = simd.mul_add(a, b, *sum);
                }
            }
        }
        for (q, sums) in sums.iter().enumerate() {
            let to = self.sums[q * self.sums_stride..].as_chunks::<LANES>().0;
            for (p, sum) in sums.iter().enumerate() {
                simd.store(&to[p], *sum);
            }
        }
        P
    }
}
