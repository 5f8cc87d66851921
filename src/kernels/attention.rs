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
//! The lanes are 16 keys while scoring and 16 elements of the head while adding values, so that nothing departs from
//! this order (the lane's maximum is s > lane ? s : lane). Keys that are not visible may be loaded beside visible ones
//! in a panel of 16, and their lanes are masked; their values are never read. The walk itself is in `attend.rs`.

use std::cell::Cell;
use std::ops::Range;

use super::attend::{Context, Queries, attend};
use super::call::{Call, Kernel, View};
use super::kv_cache::{BLOCK, KvCache};
use super::math;
use super::rotary;
use super::simd::{LANES, Simd};

pub use super::attend::scratch_floats;

/// How dot products become scores, and which keys have one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scoring {
    pub scale: f32,
    pub causal: bool,
    pub window: Option<usize>,
    pub softcap: Option<f32>,
}

impl Scoring {
    /// The keys below `context` that the query at `position` sees.
    #[inline(always)]
    pub fn visible(&self, position: usize, context: usize) -> Range<usize> {
        if !self.causal {
            return 0..context;
        }
        let end = context.min(position + 1);
        let start = self
            .window
            .map_or(0, |window| (position + 1).saturating_sub(window));
        start.min(end)..end
    }

    /// The scores of dot products.
    #[inline(always)]
    pub fn apply<S: Simd>(&self, simd: S, dot: S::F32) -> S::F32 {
        let score = simd.mul(dot, simd.splat(self.scale));
        match self.softcap {
            Some(softcap) => {
                let softcap = simd.splat(softcap);
                simd.mul(softcap, math::tanh(simd, simd.div(score, softcap)))
            }
            None => score,
        }
    }
}

/// Attention over plain tensors.
///
/// Inputs: q [T, H, D], k [S, KV, D], v [S, KV, D], where H is a multiple of KV. Output: [T, H, D]. Token t stands at
/// position past + t, key s at position s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// Multiplies each dot product.
    pub scale: f32,
    /// Whether a token sees only itself and what comes before.
    pub causal: bool,
    /// How many keys a token sees, itself included; at least 1. Only where `causal`.
    pub window: Option<usize>,
    /// Scores are squeezed smoothly into ± this.
    pub softcap: Option<f32>,
}

// SAFETY: a thread writes only the rows (token, head) of its share.
unsafe impl Kernel for Attention {
    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let (k, v) = (call.tensor(1), call.tensor(2));
        let [context, kv_heads, dim] = *k.shape() else {
            unreachable!("k is [S, KV, D]")
        };
        let queries = Queries {
            q: call.tensor(0).cells,
            table: None,
            output: call.outputs[0].cells,
            heads: call.tensor(0).cells.len() / (call.tokens * dim).max(1),
            scoring: Scoring {
                scale: self.scale,
                causal: self.causal,
                window: self.window,
                softcap: self.softcap,
            },
        };
        attend(simd, call, &queries, |kv_head| Dense {
            k: k.cells,
            v: v.cells,
            context,
            kv_heads,
            dim,
            kv_head,
        });
    }
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
    fn keys<'s>(&'s self, block: usize, scratch: &'s [Cell<f32>]) -> &'s [Cell<f32>] {
        for j in 0..BLOCK.min(self.context - block) {
            let key = ((block + j) * self.kv_heads + self.kv_head) * self.dim;
            let to = &scratch[j / LANES * LANES * self.dim + j % LANES..];
            for (to, from) in to.iter().step_by(LANES).zip(&self.k[key..key + self.dim]) {
                to.set(from.get());
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

/// Writes a step's keys and values to the cache, the keys rotated to their positions.
///
/// Inputs: k [T, KV, D], v [T, KV, D], and with `rotary` the table [T, 2n] of the step's positions. No output.
/// Scratch: head_dim floats with `rotary`. [`AttendCached`] may follow once every thread is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreKv {
    /// Rotate keys: whether the two elements of a pair are adjacent, or half the rotated part apart.
    pub rotary: Option<bool>,
}

// SAFETY: a thread writes only the (token, head) rows of its share, and reads nothing of the cache.
unsafe impl Kernel for StoreKv {
    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let Some(cache) = call.cache else {
            unreachable!("StoreKv without a cache")
        };
        let (k, v) = (call.tensor(0).cells, call.tensor(1).cells);
        let (heads, dim) = (cache.layout.kv_heads(), cache.layout.head_dim());
        for row in call.share(call.tokens * heads) {
            let (token, head) = (row / heads, row % heads);
            let position = call.past + token;
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
            for (from, to) in key.iter().zip(cache.key(head, position)) {
                to.set(from.get());
            }
            for (from, to) in v[from].iter().zip(cache.value(head, position)) {
                to.set(from.get());
            }
        }
    }
}

/// Causal attention over the cache, in which [`StoreKv`] has already put the step's own keys and values.
///
/// Inputs: q [T, H, D], and with `rotary` the table [T, 2n] of the step's positions. Output: [T, H, D], flat or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttendCached {
    /// Multiplies each dot product.
    pub scale: f32,
    /// How many keys a token sees, itself included; at least 1.
    pub window: Option<usize>,
    /// Scores are squeezed smoothly into ± this.
    pub softcap: Option<f32>,
    /// Rotate queries: whether the two elements of a pair are adjacent, or half the rotated part apart.
    pub rotary: Option<bool>,
}

// SAFETY: a thread writes only the rows (token, head) of its share; nothing writes the cache.
unsafe impl Kernel for AttendCached {
    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
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
            heads: q.len() / (call.tokens * cache.layout.head_dim()).max(1),
            scoring: Scoring {
                scale: self.scale,
                causal: true,
                window: self.window,
                softcap: self.softcap,
            },
        };
        let context = call.past + call.tokens;
        attend(simd, call, &queries, |kv_head| Cached {
            cache,
            context,
            kv_head,
        });
    }
}

/// One KV head of a cache that holds `context` positions.
#[derive(Clone, Copy)]
pub(super) struct Cached<'a> {
    cache: KvCache<'a>,
    context: usize,
    kv_head: usize,
}

impl Context for Cached<'_> {
    #[inline(always)]
    fn size(&self) -> (usize, usize, usize) {
        (
            self.context,
            self.cache.layout.kv_heads(),
            self.cache.layout.head_dim(),
        )
    }

    #[inline(always)]
    fn keys<'s>(&'s self, block: usize, _scratch: &'s [Cell<f32>]) -> &'s [Cell<f32>] {
        let start = self.cache.layout.key_panel(self.kv_head, block);
        &self.cache.keys[start..start + BLOCK * self.cache.layout.head_dim()]
    }

    #[inline(always)]
    fn values(&self, block: usize) -> (&[Cell<f32>], usize) {
        let start = self.cache.layout.value(self.kv_head, block);
        (&self.cache.values[start..], self.cache.layout.head_dim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::call::Operand;
    use crate::kernels::kv_cache::KvLayout;
    use crate::kernels::math::{exp_f32, tanh_f32};
    use crate::kernels::simd::{Isa, tree};
    use crate::kernels::testing::{bits, bits_of, cells, everywhere, random, run, unwritten};

    /// A whole sequence: q [T, H, D], k and v [T, KV, D].
    struct Sequence {
        heads: usize,
        kv_heads: usize,
        dim: usize,
        tokens: usize,
        q: Vec<f32>,
        k: Vec<f32>,
        v: Vec<f32>,
    }

    impl Sequence {
        fn new(heads: usize, kv_heads: usize, dim: usize, tokens: usize) -> Self {
            let (q, k) = (
                random(tokens * heads * dim, 1),
                random(tokens * kv_heads * dim, 2),
            );
            Sequence {
                heads,
                kv_heads,
                dim,
                tokens,
                q,
                k,
                v: random(tokens * kv_heads * dim, 3),
            }
        }

        /// The scalar pseudocode at the top of this file, for all tokens at positions 0..T.
        fn expected(&self, scoring: &Scoring) -> Vec<f32> {
            let mut out = Vec::new();
            for n in 0..self.tokens {
                for h in 0..self.heads {
                    let q = &self.q[(n * self.heads + h) * self.dim..][..self.dim];
                    out.extend(self.attend_one(q, n, h / (self.heads / self.kv_heads), scoring));
                }
            }
            out
        }

        fn attend_one(&self, q: &[f32], n: usize, kv_head: usize, scoring: &Scoring) -> Vec<f32> {
            let sees = |j: usize| {
                !scoring.causal || (j <= n && scoring.window.is_none_or(|window| j + window > n))
            };
            let row = |data: &'_ [f32], j: usize, d: usize| {
                data[(j * self.kv_heads + kv_head) * self.dim + d]
            };
            let mut state: Option<(f32, f32, Vec<f32>)> = None;
            for b in (0..self.tokens).step_by(64) {
                let seen: Vec<usize> = (b..self.tokens.min(b + 64)).filter(|&j| sees(j)).collect();
                if seen.is_empty() {
                    continue;
                }
                let score = |j: usize| {
                    let dot =
                        (0..self.dim).fold(0.0f32, |sum, d| q[d].mul_add(row(&self.k, j, d), sum));
                    let score = dot * scoring.scale;
                    scoring
                        .softcap
                        .map_or(score, |softcap| softcap * tanh_f32(score / softcap))
                };
                let mut largest = [f32::NEG_INFINITY; 16];
                for &j in &seen {
                    largest[j % 16] = if score(j) > largest[j % 16] {
                        score(j)
                    } else {
                        largest[j % 16]
                    };
                }
                let block_max = tree(largest, |a, b| if a > b { a } else { b });
                let (mut sums, mut block_out) = ([0.0; 16], vec![0.0; self.dim]);
                for &j in &seen {
                    let p = exp_f32(score(j) - block_max);
                    sums[j % 16] += p;
                    for (d, out) in block_out.iter_mut().enumerate() {
                        *out = p.mul_add(row(&self.v, j, d), *out);
                    }
                }
                let block_sum = tree(sums, |a, b| a + b);
                state = Some(match state {
                    None => (block_max, block_sum, block_out),
                    Some((max, sum, out)) => {
                        let both = if max > block_max { max } else { block_max };
                        let (a, c) = (exp_f32(max - both), exp_f32(block_max - both));
                        let out = out
                            .iter()
                            .zip(&block_out)
                            .map(|(o, new)| o.mul_add(a, new * c))
                            .collect();
                        (both, sum.mul_add(a, block_sum * c), out)
                    }
                });
            }
            let (_, sum, out) = state.unwrap();
            out.iter().map(|o| o / sum).collect()
        }

        /// Tokens `part` of `data` [T, heads, D] as arena memory.
        fn part(&self, data: &[f32], heads: usize, part: &Range<usize>) -> Vec<Cell<f32>> {
            cells(&data[part.start * heads * self.dim..part.end * heads * self.dim])
        }

        /// All tokens through a cache in steps of these sizes. `between` may spoil the cache before each attending:
        /// it is told how many positions are stored.
        fn cached(
            &self,
            (isa, threads): (Isa, usize),
            kernel: AttendCached,
            table: Option<&[f32]>,
            steps: &[usize],
            between: impl Fn(KvCache<'_>, usize),
        ) -> Vec<u32> {
            let layout = KvLayout::new(self.kv_heads, self.dim, self.tokens);
            let (keys, values) = (unwritten(layout.floats()), unwritten(layout.floats()));
            let cache = KvCache {
                keys: &keys,
                values: &values,
                layout,
            };
            let (mut past, mut out) = (0, Vec::new());
            for &tokens in steps {
                let part = past..past + tokens;
                let (q, k, v) = (
                    self.part(&self.q, self.heads, &part),
                    self.part(&self.k, self.kv_heads, &part),
                    self.part(&self.v, self.kv_heads, &part),
                );
                let table = table.map(|table| {
                    let width = table.len() / self.tokens;
                    (
                        cells(&table[part.start * width..part.end * width]),
                        [tokens, width],
                    )
                });
                let table = table.as_ref().map_or(Operand::Absent, |(cells, shape)| {
                    Operand::Tensor(View::new(cells, shape))
                });
                let (shape, kv_shape) = (
                    [tokens, self.heads, self.dim],
                    [tokens, self.kv_heads, self.dim],
                );
                let stored = [
                    Operand::Tensor(View::new(&k, &kv_shape)),
                    Operand::Tensor(View::new(&v, &kv_shape)),
                    table,
                ];
                let mut call = crate::kernels::testing::call(&stored, &[]);
                (call.tokens, call.past, call.cache) = (tokens, past, Some(cache));
                run(
                    &StoreKv {
                        rotary: kernel.rotary,
                    },
                    isa,
                    threads,
                    self.dim,
                    &call,
                );
                between(cache, past + tokens);
                let y = unwritten(q.len());
                let outputs = [View::new(&y, &[tokens, self.heads * self.dim])];
                let asked = [Operand::Tensor(View::new(&q, &shape)), table];
                (call.inputs, call.outputs) = (&asked, &outputs);
                run(&kernel, isa, threads, scratch_floats(self.dim), &call);
                out.extend(bits(&y));
                past += tokens;
            }
            out
        }
    }

    fn scoring_of(kernel: AttendCached) -> Scoring {
        Scoring {
            scale: kernel.scale,
            causal: true,
            window: kernel.window,
            softcap: kernel.softcap,
        }
    }

    const PLAIN: AttendCached = AttendCached {
        scale: 0.25,
        window: None,
        softcap: None,
        rotary: None,
    };

    #[test]
    fn plain_tensors_give_the_bits_of_the_pseudocode() {
        for (heads, kv_heads, dim, tokens) in [
            (1, 1, 1, 1),
            (2, 1, 20, 17),
            (6, 2, 16, 63),
            (3, 3, 64, 66),
            (4, 1, 80, 130),
        ] {
            let sequence = Sequence::new(heads, kv_heads, dim, tokens);
            for (causal, window, softcap) in [
                (false, None, None),
                (true, None, None),
                (true, Some(10), Some(1.5)),
                (true, Some(65), None),
            ] {
                let kernel = Attention {
                    scale: 0.25,
                    causal,
                    window,
                    softcap,
                };
                let expected = bits_of(&sequence.expected(&Scoring {
                    scale: 0.25,
                    causal,
                    window,
                    softcap,
                }));
                everywhere(|isa, threads| {
                    // Without a mask every query needs all keys at once; with one, the last tokens alone give the same.
                    for past in if causal { vec![0, tokens / 2] } else { vec![0] } {
                        let part = past..tokens;
                        let q = sequence.part(&sequence.q, heads, &part);
                        let (k, v, y) =
                            (cells(&sequence.k), cells(&sequence.v), unwritten(q.len()));
                        let (shape, kv_shape) = ([part.len(), heads, dim], [tokens, kv_heads, dim]);
                        let inputs = [
                            Operand::Tensor(View::new(&q, &shape)),
                            Operand::Tensor(View::new(&k, &kv_shape)),
                            Operand::Tensor(View::new(&v, &kv_shape)),
                        ];
                        let outputs = [View::new(&y, &shape)];
                        let mut call = crate::kernels::testing::call(&inputs, &outputs);
                        call.past = past;
                        run(&kernel, isa, threads, scratch_floats(dim), &call);
                        let tail = &expected[past * heads * dim..];
                        assert!(
                            bits(&y) == tail,
                            "{heads} {dim} {tokens} {kernel:?} {past} {isa:?} {threads}"
                        );
                    }
                });
            }
        }
    }

    #[test]
    fn a_prompt_gives_the_same_bits_in_one_chunk_or_many() {
        for (heads, kv_heads, dim) in [(2, 1, 8), (6, 2, 20), (3, 3, 64)] {
            let sequence = Sequence::new(heads, kv_heads, dim, 140);
            for (window, softcap) in [(None, None), (Some(20), Some(2.0)), (Some(70), None)] {
                let kernel = AttendCached {
                    window,
                    softcap,
                    ..PLAIN
                };
                let expected = bits_of(&sequence.expected(&scoring_of(kernel)));
                everywhere(|isa, threads| {
                    for steps in [
                        &[140][..],
                        &[63, 1, 1, 62, 2, 11],
                        &[15, 2, 100, 1, 1, 1, 20],
                    ] {
                        let y = sequence.cached((isa, threads), kernel, None, steps, |_, _| {});
                        assert!(
                            y == expected,
                            "{heads} {dim} {kernel:?} {steps:?} {isa:?} {threads}"
                        );
                    }
                });
            }
        }
    }

    #[test]
    fn stale_values_of_positions_that_are_not_visible_never_reach_the_output() {
        let sequence = Sequence::new(4, 2, 16, 100);
        let kernel = AttendCached {
            window: Some(18),
            ..PLAIN
        };
        let expected = bits_of(&sequence.expected(&scoring_of(kernel)));
        everywhere(|isa, threads| {
            let y = sequence.cached(
                (isa, threads),
                kernel,
                None,
                &[80, 9, 1, 10],
                |cache, stored| {
                    // No later step is longer than ten tokens, so that the oldest key any of them sees is known.
                    let oldest = if stored > 80 { stored - 10 - 17 } else { 0 };
                    for head in 0..2 {
                        for position in (0..oldest).chain(stored..cache.layout.capacity()) {
                            cache
                                .key(head, position)
                                .chain(cache.value(head, position))
                                .for_each(|cell| cell.set(f32::NAN));
                        }
                    }
                },
            );
            assert!(y == expected, "{isa:?} {threads}");
        });
    }

    #[test]
    fn rotating_inside_gives_the_bits_of_rotating_before() {
        let (heads, kv_heads, dim, tokens) = (4, 2, 24, 70);
        for (adjacent, pairs) in [(false, 12), (false, 5), (true, 12), (true, 5)] {
            let mut sequence = Sequence::new(heads, kv_heads, dim, tokens);
            let table = random(tokens * 2 * pairs, 9);
            let kernel = AttendCached {
                rotary: Some(adjacent),
                ..PLAIN
            };
            let rotated = everything(&sequence, kernel, Some(&table));
            let apply = rotary::ApplyRotary { adjacent };
            for (heads, data) in [(heads, &mut sequence.q), (kv_heads, &mut sequence.k)] {
                let (x, y, table) = (cells(data), unwritten(data.len()), cells(&table));
                let shape = [tokens, heads, dim];
                let inputs = [
                    Operand::Tensor(View::new(&x, &shape)),
                    Operand::Tensor(View::new(&table, &[tokens, 2 * pairs])),
                ];
                let outputs = [View::new(&y, &shape)];
                run(
                    &apply,
                    Isa::detect(),
                    1,
                    0,
                    &crate::kernels::testing::call(&inputs, &outputs),
                );
                *data = y.iter().map(Cell::get).collect();
            }
            let expected = bits_of(&sequence.expected(&scoring_of(kernel)));
            assert!(rotated.iter().all(|y| *y == expected), "{adjacent} {pairs}");
        }
    }

    /// The results on every instruction set and with every number of threads.
    fn everything(
        sequence: &Sequence,
        kernel: AttendCached,
        table: Option<&[f32]>,
    ) -> Vec<Vec<u32>> {
        let results = std::cell::RefCell::new(Vec::new());
        everywhere(|isa, threads| {
            let y = sequence.cached((isa, threads), kernel, table, &[50, 1, 19], |_, _| {});
            results.borrow_mut().push(y);
        });
        results.into_inner()
    }
}
