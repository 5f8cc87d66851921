//! Attention: scores, softmax and values in one walk over the keys.
//!
//! ```text
//! attention of one query at position n, over keys k[0..S] and values v[0..S] of its KV head, B = 64:
//! visible(j) = not causal, or j <= n and (no window, or j + window > n)
//! for each b in 0, B, 2B, .. that has a visible key in b..b + B:
//!     for each visible j in b..b + B:
//!         s_j = +0; for d in 0..D: s_j = fma(q[d], k[j][d], s_j)
//!         s_j = s_j · scale; if softcap: s_j = softcap · tanh(s_j / softcap)
//!     m_b = the largest s_j                      (16 lanes by j % 16, from -inf, then the fixed tree)
//!     p_j = exp(s_j - m_b); 0 where j is not visible
//!     l_b = the sum of p_j                       (16 lanes by j % 16, from +0, in order, then the fixed tree)
//!     for each d: o_b[d] = +0; for each visible j in order: o_b[d] = fma(p_j, v[j][d], o_b[d])
//!     if b is the first: (m, l, o) = (m_b, l_b, o_b)
//!     else:
//!         m' = m > m_b ? m : m_b; a = exp(m - m'); c = exp(m_b - m')
//!         l = fma(l, a, l_b · c); o[d] = fma(o[d], a, o_b[d] · c); m = m'
//! out[d] = o[d] / l
//! ```
//!
//! The lanes are 16 keys while scoring and 16 elements of the head while adding values, so nothing departs from this order
//! (the maximum of a lane is s > lane ? s : lane). Keys that are not visible may be loaded together with visible ones in a
//! panel of 16, and their lanes are masked; their values are never read. The walk itself is in `attend.rs`.

use std::cell::Cell;

use super::attend::{Context, Queries, attend};
use super::attend_share;
use super::call::{Call, Kernel, Sequence, View};
use super::kv_cache::{KEY_BLOCK, SequenceCache};
use super::rotary;
use super::scoring::Scoring;
use super::simd::{LANES, Simd};

pub use super::attend::scratch_floats;

/// Attention over plain tensors.
///
/// Inputs: q [T, H, D], k [S, KV, D], v [S, KV, D], where H is a multiple of KV. Output: [T, H, D]. Token t is at
/// position past + t, key s at position s. In a step of several sequences S is T, and nothing was read before: the
/// tokens of a sequence see only that sequence's keys, and the positions of both count from the sequence's start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// The factor of each dot product.
    pub scale: f32,
    /// Whether a token sees only itself and earlier tokens.
    pub causal: bool,
    /// How many keys a token sees, including its own; at least 1. Only if `causal`.
    pub window: Option<usize>,
    /// Scores are limited smoothly to ± this value.
    pub softcap: Option<f32>,
}

// SAFETY: a piece writes only the rows (token, head) of its share.
unsafe impl Kernel for Attention {
    fn pieces(&self, call: &Call<'_>) -> usize {
        let [context, kv_heads, dim] = *call.tensor(1).shape() else {
            unreachable!("k is [S, KV, D]")
        };
        attend_share::pieces(call, heads(call, dim), kv_heads, [context, dim])
    }

    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let (k, v) = (call.tensor(1), call.tensor(2));
        let [context, kv_heads, dim] = *k.shape() else {
            unreachable!("k is [S, KV, D]")
        };
        let queries = Queries {
            q: call.tensor(0).cells,
            table: None,
            output: call.outputs[0].cells,
            heads: heads(call, dim),
            scoring: Scoring {
                scale: self.scale,
                causal: self.causal,
                window: self.window,
                softcap: self.softcap,
            },
        };
        attend(
            simd,
            call,
            &queries,
            (kv_heads, dim),
            |sequence, kv_head| {
                // If there are several sequences, each has the keys of its own tokens.
                let (first, context) = match call.sequences {
                    [_] => (0, context),
                    _ => (sequence.start, sequence.tokens()),
                };
                let start = first * kv_heads * dim;
                Dense {
                    k: &k.cells[start..],
                    v: &v.cells[start..],
                    context,
                    kv_heads,
                    dim,
                    kv_head,
                }
            },
        );
    }
}

/// Query heads of `dim` elements in operand 0.
#[inline(always)]
fn heads(call: &Call<'_>, dim: usize) -> usize {
    call.tensor(0).cells.len() / (call.tokens * dim).max(1)
}

/// One KV head of plain tensors [context, kv_heads, dim].
#[derive(Clone, Copy)]
pub(super) struct Dense<'a> {
    k: &'a [Cell<f32>],
    v: &'a [Cell<f32>],
    context: usize,
    kv_heads: usize,
    dim: usize,
    kv_head: usize,
}

impl Context for Dense<'_> {
    #[inline(always)]
    fn size(&self) -> (usize, usize, usize) {
        (self.context, self.kv_heads, self.dim)
    }

    #[inline(always)]
    fn keys<'s, S: Simd>(
        &'s self,
        simd: S,
        block: usize,
        scratch: &'s [Cell<f32>],
    ) -> &'s [Cell<f32>] {
        let count = KEY_BLOCK.min(self.context - block);
        let row = |j: usize| {
            // Past the context, any row will do.
            let key = block + j.min(count - 1);
            let start = (key * self.kv_heads + self.kv_head) * self.dim;
            &self.k[start..start + self.dim]
        };
        for panel in (0..count).step_by(LANES) {
            for d in (0..self.dim).step_by(LANES) {
                let rows = std::array::from_fn(|j| simd.load_at(row(panel + j), d));
                let to = &scratch[(panel / LANES * self.dim + d) * LANES..];
                let to = to.as_chunks::<LANES>().0;
                let columns = simd.transpose(rows);
                for (to, column) in to.iter().zip(columns).take(self.dim - d) {
                    simd.store(to, column);
                }
            }
        }
        scratch
    }

    #[inline(always)]
    fn values(&self, block: usize) -> (&[Cell<f32>], usize) {
        (
            &self.v[(block * self.kv_heads + self.kv_head) * self.dim..],
            self.kv_heads * self.dim,
        )
    }
}

/// Writes the keys and values of a step to the cache, with the keys rotated to their positions.
///
/// Inputs: k [T, KV, D], v [T, KV, D], and with `rotary` the table [T, 2n] of the step's positions. No output.
/// Scratch: head_dim floats with `rotary`. [`AttendCached`] may follow once every piece is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreKv {
    /// If keys are to be rotated: whether the two elements of a pair are adjacent, or half the rotated part apart.
    pub rotary: Option<bool>,
}

// SAFETY: a piece writes only the (token, head) rows of its share, and reads nothing of the cache.
unsafe impl Kernel for StoreKv {
    fn pieces(&self, call: &Call<'_>) -> usize {
        let Some(cache) = call.cache else {
            unreachable!("StoreKv without a cache")
        };
        let (heads, dim) = (cache.layout.kv_heads(), cache.layout.head_dim());
        call.even_pieces(call.tokens * heads, 2 * dim)
    }

    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let Some(cache) = call.cache else {
            unreachable!("StoreKv without a cache")
        };
        let (k, v) = (call.tensor(0).cells, call.tensor(1).cells);
        let (heads, dim) = (cache.layout.kv_heads(), cache.layout.head_dim());
        let mut sequences = call.sequences.iter();
        let mut sequence = call.sequences[0];
        for row in call.share(call.tokens * heads) {
            let (token, head) = (row / heads, row % heads);
            // Row numbers rise, and so do sequence numbers.
            while token >= sequence.end
                && let Some(&next) = sequences.next()
            {
                sequence = next;
            }
            let rows = cache.of(sequence.table);
            let position = sequence.past + token - sequence.start;
            let from = row * dim..(row + 1) * dim;
            let key = match self.rotary {
                Some(adjacent) => {
                    let turned = &call.scratch[..dim];
                    rotary::turn(
                        simd,
                        adjacent,
                        &k[from.clone()],
                        call.tensor(2).row(token),
                        turned,
                    );
                    turned
                }
                None => &k[from.clone()],
            };
            for (from, to) in key.iter().zip(rows.key(head, position)) {
                to.set(from.get());
            }
            for (from, to) in v[from].iter().zip(rows.value(head, position)) {
                to.set(from.get());
            }
        }
    }
}

/// Causal attention over the cache, to which [`StoreKv`] has already written the keys and values of the step.
///
/// Inputs: q [T, H, D], and with `rotary` the table [T, 2n] of the positions of the step. Output: [T, H, D], flat or not.
/// With a window, the cache needs positions for the window and for all tokens of the step except one, otherwise for the
/// whole context.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttendCached {
    /// The factor of each dot product.
    pub scale: f32,
    /// How many keys a token sees, including its own; at least 1.
    pub window: Option<usize>,
    /// Scores are limited smoothly to ± this value.
    pub softcap: Option<f32>,
    /// If queries are to be rotated: whether the two elements of a pair are adjacent, or half the rotated part apart.
    pub rotary: Option<bool>,
}

// SAFETY: a piece writes only the rows (token, head) of its share; nothing writes the cache.
unsafe impl Kernel for AttendCached {
    fn pieces(&self, call: &Call<'_>) -> usize {
        let Some(cache) = call.cache else {
            unreachable!("AttendCached without a cache")
        };
        let (kv_heads, dim) = (cache.layout.kv_heads(), cache.layout.head_dim());
        let positions = call.sequences.iter().map(Sequence::positions);
        let end = positions.max().unwrap_or(0);
        let context = self.window.map_or(end, |window| window.min(end));
        attend_share::pieces(call, heads(call, dim), kv_heads, [context, dim])
    }

    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let Some(cache) = call.cache else {
            unreachable!("AttendCached without a cache")
        };
        let q = call.tensor(0).cells;
        let table: Option<(View<'_>, bool)> =
            self.rotary.map(|adjacent| (call.tensor(1), adjacent));
        let queries = Queries {
            q,
            table,
            output: call.outputs[0].cells,
            heads: heads(call, cache.layout.head_dim()),
            scoring: Scoring {
                scale: self.scale,
                causal: true,
                window: self.window,
                softcap: self.softcap,
            },
        };
        let size = (cache.layout.kv_heads(), cache.layout.head_dim());
        attend(simd, call, &queries, size, |sequence, kv_head| Cached {
            rows: cache.of(sequence.table),
            context: sequence.positions(),
            kv_head,
        });
    }
}

/// One KV head of a cache that contains the visible part of `context` positions.
#[derive(Clone, Copy)]
pub(super) struct Cached<'a> {
    rows: SequenceCache<'a>,
    context: usize,
    kv_head: usize,
}

impl Context for Cached<'_> {
    #[inline(always)]
    fn size(&self) -> (usize, usize, usize) {
        (
            self.context,
            self.rows.layout().kv_heads(),
            self.rows.layout().head_dim(),
        )
    }

    #[inline(always)]
    fn keys<'s, S: Simd>(
        &'s self,
        _simd: S,
        block: usize,
        _scratch: &'s [Cell<f32>],
    ) -> &'s [Cell<f32>] {
        self.rows.block_keys(self.kv_head, block)
    }

    #[inline(always)]
    fn values(&self, block: usize) -> (&[Cell<f32>], usize) {
        let values = self.rows.block_values(self.kv_head, block);
        (values, self.rows.layout().head_dim())
    }
}

#[cfg(test)]
mod tests;
