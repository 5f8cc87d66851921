//! Attention compared with its pseudocode as plain loops, bit for bit.

use std::ops::Range;

use super::*;
use crate::kernels::call::{self, Operand};
use crate::kernels::kv_cache::{KvCache, KvLayout};
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

    /// The scalar pseudocode of `attention.rs`, for all tokens at positions 0..T.
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

    /// Tokens `part` of `data` [T, heads, D], as arena memory.
    fn part(&self, data: &[f32], heads: usize, part: &Range<usize>) -> Vec<Cell<f32>> {
        cells(&data[part.start * heads * self.dim..part.end * heads * self.dim])
    }

    /// Runs all tokens in steps of these sizes through a cache with room for all of them. `between` may overwrite parts of
    /// the cache before each attention; its argument is the number of stored positions.
    fn cached(
        &self,
        (isa, threads): (Isa, usize),
        kernel: AttendCached,
        table: Option<&[f32]>,
        steps: &[usize],
        between: impl Fn(KvCache<'_>, usize),
    ) -> Vec<u32> {
        self.cached_in(self.tokens, (isa, threads), kernel, table, steps, between)
    }

    /// The same with a cache of the given capacity.
    fn cached_in(
        &self,
        capacity: usize,
        (isa, threads): (Isa, usize),
        kernel: AttendCached,
        table: Option<&[f32]>,
        steps: &[usize],
        between: impl Fn(KvCache<'_>, usize),
    ) -> Vec<u32> {
        let layout = KvLayout::new(self.kv_heads, self.dim, capacity);
        let pool = unwritten(layout.blocks() * layout.block_floats());
        // The last page comes first.
        let tables: Vec<u32> = (0..layout.blocks() as u32).rev().collect();
        let cache = KvCache {
            pool: &pool,
            tables: &tables,
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
            let sequences = [call::Sequence::alone(tokens, past)];
            (call.tokens, call.sequences, call.cache) = (tokens, &sequences, Some(cache));
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
fn plain_tensors_match_the_pseudocode_to_the_bit() {
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
                // Without a mask every query needs all keys in one step; with one, a step of only the last tokens must
                // return the same.
                for past in if causal { vec![0, tokens / 2] } else { vec![0] } {
                    let part = past..tokens;
                    let q = sequence.part(&sequence.q, heads, &part);
                    let (k, v, y) = (cells(&sequence.k), cells(&sequence.v), unwritten(q.len()));
                    let (shape, kv_shape) = ([part.len(), heads, dim], [tokens, kv_heads, dim]);
                    let inputs = [
                        Operand::Tensor(View::new(&q, &shape)),
                        Operand::Tensor(View::new(&k, &kv_shape)),
                        Operand::Tensor(View::new(&v, &kv_shape)),
                    ];
                    let outputs = [View::new(&y, &shape)];
                    let mut call = crate::kernels::testing::call(&inputs, &outputs);
                    let sequences = [call::Sequence::alone(part.len(), past)];
                    call.sequences = &sequences;
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
fn a_ring_matches_a_cache_of_all_positions_to_the_bit() {
    let (heads, kv_heads, dim, tokens) = (4, 2, 20, 450);
    let sequence = Sequence::new(heads, kv_heads, dim, tokens);
    for window in [1, 16, 64, 65, 100] {
        let kernel = AttendCached {
            window: Some(window),
            ..PLAIN
        };
        let expected = bits_of(&sequence.expected(&scoring_of(kernel)));
        everywhere(|isa, threads| {
            for steps in [
                &[1; 450][..],
                &[60, 1, 1, 90, 7, 100, 2, 99, 90],
                &[193, 64, 193],
            ] {
                let longest = steps.iter().max().unwrap();
                let capacity = window + longest - 1;
                let y =
                    sequence.cached_in(capacity, (isa, threads), kernel, None, steps, |_, _| {});
                assert!(y == expected, "{window} {longest} {isa:?} {threads}");
            }
        });
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
                // No later step is longer than ten tokens, so the oldest key that any of them sees is known.
                let oldest = if stored > 80 { stored - 10 - 17 } else { 0 };
                for head in 0..2 {
                    for position in (0..oldest).chain(stored..cache.layout.capacity()) {
                        let rows = cache.of(0);
                        rows.key(head, position)
                            .chain(rows.value(head, position))
                            .for_each(|cell| cell.set(f32::NAN));
                    }
                }
            },
        );
        assert!(y == expected, "{isa:?} {threads}");
    });
}

#[test]
fn rotating_inside_matches_rotating_before_to_the_bit() {
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
fn everything(sequence: &Sequence, kernel: AttendCached, table: Option<&[f32]>) -> Vec<Vec<u32>> {
    let results = std::cell::RefCell::new(Vec::new());
    everywhere(|isa, threads| {
        let y = sequence.cached((isa, threads), kernel, table, &[50, 1, 19], |_, _| {});
        results.borrow_mut().push(y);
    });
    results.into_inner()
}

#[test]
fn sequences_of_one_step_match_each_sequence_alone_to_the_bit() {
    let lengths = [1, 7, 64, 128, 65, 300, 20];
    let starts: Vec<usize> = (0..=lengths.len())
        .map(|count| lengths[..count].iter().sum())
        .collect();
    for (heads, kv_heads, dim) in [(3, 3, 32), (6, 2, 20), (4, 1, 16)] {
        let all = Sequence::new(heads, kv_heads, dim, starts[lengths.len()]);
        for causal in [false, true] {
            let kernel = Attention {
                scale: 0.25,
                causal,
                window: None,
                softcap: None,
            };
            let scoring = Scoring {
                scale: 0.25,
                causal,
                window: None,
                softcap: None,
            };
            let mut expected = Vec::new();
            for part in starts.windows(2) {
                let of = |data: &[f32], heads: usize| {
                    data[part[0] * heads * dim..part[1] * heads * dim].to_vec()
                };
                let alone = Sequence {
                    tokens: part[1] - part[0],
                    q: of(&all.q, heads),
                    k: of(&all.k, kv_heads),
                    v: of(&all.v, kv_heads),
                    ..all
                };
                expected.extend(bits_of(&alone.expected(&scoring)));
            }
            everywhere(|isa, threads| {
                let (q, k, v) = (cells(&all.q), cells(&all.k), cells(&all.v));
                let y = unwritten(q.len());
                let (shape, kv_shape) = ([all.tokens, heads, dim], [all.tokens, kv_heads, dim]);
                let inputs = [
                    Operand::Tensor(View::new(&q, &shape)),
                    Operand::Tensor(View::new(&k, &kv_shape)),
                    Operand::Tensor(View::new(&v, &kv_shape)),
                ];
                let outputs = [View::new(&y, &shape)];
                let mut call = crate::kernels::testing::call(&inputs, &outputs);
                let sequences = starts.windows(2).map(|ends| call::Sequence {
                    start: ends[0],
                    end: ends[1],
                    past: 0,
                    table: 0,
                });
                let sequences: Vec<_> = sequences.collect();
                call.sequences = &sequences;
                run(&kernel, isa, threads, scratch_floats(dim), &call);
                assert!(
                    bits(&y) == expected,
                    "{heads} {kv_heads} {dim} {causal} {isa:?} {threads}"
                );
            });
        }
    }
}
