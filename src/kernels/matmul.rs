//! Products of two computed tensors, for attention that is written out in primitive ops.
//!
//! ```text
//! MatMul(a [.., n, k], b [.., m, k] or [.., k, m]): for each batch, i in 0..n, j in 0..m:
//!     sum = +0
//!     for d in 0..k: sum = fma(a[batch][i][d], b[batch / group][j][d] or [d][j], sum)
//!     y[batch][i][j] = sum
//!
//! AttentionScores(q [T, H, D], k [S, KV, D]): for each head h, token t, key s:
//!     sum = +0
//!     for d in 0..D: sum = fma(q[t][h][d], k[s][h / (H / KV)][d], sum)
//!     sum = sum · scale
//!     if softcap: sum = softcap · tanh(sum / softcap)
//!     y[h][t][s] = s is visible to t ? sum : -inf
//! ```
//!
//! The lanes are 16 columns of the output (j or s), so that each output's operations are exactly these. Threads share the
//! rows of the output.

use std::cell::Cell;

use super::call::{Call, Kernel, Operand};
use super::scoring::Scoring;
use super::simd::{LANES, Simd};

/// Output rows that are computed together.
const ROWS: usize = 4;

/// y = a · b, or a · bᵀ, batch by batch.
///
/// Inputs: a [.., n, k]; b [.., m, k] with `transpose_b`, otherwise [.., k, m], a tensor or a constant. The number of
/// batches of `a` is a multiple of the number of batches of `b`; each batch of `b` serves consecutive batches of `a`.
/// Output: [.., n, m].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatMul {
    /// Whether `b` is [.., m, k].
    pub transpose_b: bool,
}

// SAFETY: a piece writes only the rows of its share.
unsafe impl Kernel for MatMul {
    fn pieces(&self, call: &Call<'_>) -> usize {
        let (a, y) = (call.tensor(0), call.outputs[0]);
        call.even_pieces(a.rows(), a.width().saturating_mul(y.width()))
    }

    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        match call.inputs[1] {
            Operand::Constant(data, shape) => self.multiply(simd, call, data, shape),
            _ => {
                let b = call.tensor(1);
                self.multiply(simd, call, b.cells, b.shape());
            }
        }
    }
}

impl MatMul {
    #[inline(always)]
    fn multiply<S: Simd, B: RightFactor + ?Sized>(
        &self,
        simd: S,
        call: &Call<'_>,
        b: &B,
        b_shape: &[usize],
    ) {
        let (a, y) = (call.tensor(0), call.outputs[0]);
        let [.., outer, inner] = *b_shape else {
            unreachable!("a matrix has two dimensions")
        };
        let [.., n, _] = *a.shape() else {
            unreachable!("a matrix has two dimensions")
        };
        let m = y.width();
        let b_batches: usize = b_shape[..b_shape.len() - 2].iter().product();
        let group = (a.rows() / n.max(1) / b_batches.max(1)).max(1);
        let (column_step, depth_step) = if self.transpose_b {
            (inner, 1)
        } else {
            (1, inner)
        };
        let mut rows = call.share(a.rows());
        while !rows.is_empty() {
            let batch = rows.start / n;
            let count = ROWS.min(rows.len()).min((batch + 1) * n - rows.start);
            let a_rows = std::array::from_fn(|i| a.row(rows.start + i.min(count - 1)));
            for column in (0..m).step_by(LANES) {
                let columns = Columns {
                    start: batch / group * outer * inner + column * column_step,
                    count: LANES.min(m - column),
                    column_step,
                    depth_step,
                };
                let sums = columns.chains(simd, a_rows, b);
                for (i, sum) in sums.into_iter().take(count).enumerate() {
                    simd.store_at(y.row(rows.start + i), column, sum);
                }
            }
            rows.start += count;
        }
    }
}

/// The scores of every query against every key, for attention that is not fused.
///
/// Inputs: q [T, H, D], k [S, KV, D]. Output: [H, T, S]. If `causal`, key s is visible to token t if s ≤ past + t and, with
/// a window, s + window > past + t; otherwise every key is visible.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionScores {
    /// The factor of each dot product.
    pub scale: f32,
    /// Whether a token sees only itself and earlier tokens.
    pub causal: bool,
    /// How many keys a token sees, including its own; at least 1. Only if `causal`.
    pub window: Option<usize>,
    /// Scores are limited smoothly to ± this value.
    pub softcap: Option<f32>,
}

// SAFETY: a piece writes only the rows of its share.
unsafe impl Kernel for AttentionScores {
    fn pieces(&self, call: &Call<'_>) -> usize {
        let (q, y) = (call.tensor(0), call.outputs[0]);
        call.even_pieces(y.rows(), q.width().saturating_mul(y.width()))
    }

    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let scoring = Scoring {
            scale: self.scale,
            causal: self.causal,
            window: self.window,
            softcap: self.softcap,
        };
        let (q, k, y) = (call.tensor(0), call.tensor(1), call.outputs[0]);
        let [tokens, heads, dim] = *q.shape() else {
            unreachable!("q is [T, H, D]")
        };
        let [context, kv_heads, _] = *k.shape() else {
            unreachable!("k is [S, KV, D]")
        };
        let mut rows = call.share(heads * tokens);
        while !rows.is_empty() {
            let head = rows.start / tokens;
            let first = rows.start % tokens;
            let count = ROWS.min(rows.len()).min(tokens - first);
            let queries = std::array::from_fn(|i| q.row((first + i.min(count - 1)) * heads + head));
            for key in (0..context).step_by(LANES) {
                let columns = Columns {
                    start: (key * kv_heads + head / (heads / kv_heads)) * dim,
                    count: LANES.min(context - key),
                    column_step: kv_heads * dim,
                    depth_step: 1,
                };
                let sums = columns.chains(simd, queries, k.cells);
                for (i, sum) in sums.into_iter().take(count).enumerate() {
                    let visible = scoring.visible(call.past() + first + i, context);
                    let mask = simd.lanes_between(
                        visible.start.saturating_sub(key),
                        visible.end.saturating_sub(key),
                    );
                    let score = simd.select(
                        mask,
                        scoring.apply(simd, sum),
                        simd.splat(f32::NEG_INFINITY),
                    );
                    simd.store_at(y.row(rows.start + i), key, score);
                }
            }
            rows.start += count;
        }
    }
}

/// The source of the elements of the second factor.
trait RightFactor {
    /// Element `i`.
    fn get(&self, i: usize) -> f32;
    /// Elements `i..i + 16`.
    fn load<S: Simd>(&self, simd: S, i: usize) -> S::F32;
}

impl RightFactor for [Cell<f32>] {
    #[inline(always)]
    fn get(&self, i: usize) -> f32 {
        self[i].get()
    }
    #[inline(always)]
    fn load<S: Simd>(&self, simd: S, i: usize) -> S::F32 {
        simd.load_at(self, i)
    }
}

impl RightFactor for [f32] {
    #[inline(always)]
    fn get(&self, i: usize) -> f32 {
        self[i]
    }
    #[inline(always)]
    fn load<S: Simd>(&self, simd: S, i: usize) -> S::F32 {
        simd.load_slice_at(self, i)
    }
}

/// Up to 16 columns of the second factor: element (column j, depth d) is at start + j · column_step + d · depth_step.
#[derive(Clone, Copy)]
struct Columns {
    start: usize,
    count: usize,
    column_step: usize,
    depth_step: usize,
}

impl Columns {
    /// The chains of `ROWS` rows over the whole depth; lanes from `count` on are meaningless.
    #[inline(always)]
    fn chains<S: Simd, B: RightFactor + ?Sized>(
        self,
        simd: S,
        a: [&[Cell<f32>]; ROWS],
        b: &B,
    ) -> [S::F32; ROWS] {
        let mut sums = [simd.zero(); ROWS];
        for d in 0..a[0].len() {
            let from = self.start + d * self.depth_step;
            let column = if self.column_step == 1 && self.count == LANES {
                b.load(simd, from)
            } else {
                let mut lanes = [0.0; LANES];
                for (j, lane) in lanes.iter_mut().take(self.count).enumerate() {
                    *lane = b.get(from + j * self.column_step);
                }
                simd.load(&lanes)
            };
            for (sum, a) in sums.iter_mut().zip(a) {
                *sum = simd.mul_add(simd.splat(a[d].get()), column, *sum);
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::call::{Sequence, View};
    use crate::kernels::math::tanh_f32;
    use crate::kernels::testing::{bits, bits_of, call, cells, everywhere, random, run, unwritten};

    fn chain(depth: usize, a: impl Fn(usize) -> f32, b: impl Fn(usize) -> f32) -> f32 {
        (0..depth).fold(0.0, |sum, d| a(d).mul_add(b(d), sum))
    }

    #[test]
    fn every_product_is_one_chain_and_batches_of_b_are_shared_by_groups() {
        for (batches, b_batches, n, k, m) in [
            (1, 1, 1, 1, 1),
            (2, 2, 5, 16, 17),
            (6, 3, 4, 9, 33),
            (4, 1, 3, 20, 48),
        ] {
            for transpose_b in [false, true] {
                let (a, b) = (random(batches * n * k, 1), random(b_batches * k * m, 2));
                let (column, depth) = if transpose_b { (k, 1) } else { (1, m) };
                let mut expected = Vec::new();
                for row in 0..batches * n {
                    let start = row / n / (batches / b_batches) * k * m;
                    for j in 0..m {
                        expected.push(chain(
                            k,
                            |d| a[row * k + d],
                            |d| b[start + j * column + d * depth],
                        ));
                    }
                }
                let b_shape = if transpose_b {
                    [b_batches, m, k]
                } else {
                    [b_batches, k, m]
                };
                everywhere(|isa, threads| {
                    let (a, b_cells) = (cells(&a), cells(&b));
                    for second in [
                        Operand::Tensor(View::new(&b_cells, &b_shape)),
                        Operand::Constant(&b, &b_shape),
                    ] {
                        let y = unwritten(batches * n * m);
                        let inputs = [Operand::Tensor(View::new(&a, &[batches, n, k])), second];
                        let outputs = [View::new(&y, &[batches, n, m])];
                        run(
                            &MatMul { transpose_b },
                            isa,
                            threads,
                            0,
                            &call(&inputs, &outputs),
                        );
                        assert!(
                            bits(&y) == bits_of(&expected),
                            "{batches} {n} {k} {m} {transpose_b} {isa:?} {threads}"
                        );
                    }
                });
            }
        }
    }

    #[test]
    fn scores_are_scaled_then_capped_then_masked() {
        let (heads, kv_heads, dim) = (4, 2, 12);
        for (tokens, past, causal, window, softcap) in [
            (1, 0, true, None, None),
            (7, 20, true, None, Some(2.0)),
            (18, 3, true, Some(5), None),
            (6, 11, false, None, Some(3.0)),
        ] {
            let context = past + tokens;
            let (q, k) = (
                random(tokens * heads * dim, 3),
                random(context * kv_heads * dim, 4),
            );
            let kernel = AttentionScores {
                scale: 0.3,
                causal,
                window,
                softcap,
            };
            let mut expected = Vec::new();
            for h in 0..heads {
                for t in 0..tokens {
                    for s in 0..context {
                        let visible = !causal
                            || (s <= past + t && window.is_none_or(|window| s + window > past + t));
                        let (a, b) = ((t * heads + h) * dim, (s * kv_heads + h / 2) * dim);
                        let score = chain(dim, |d| q[a + d], |d| k[b + d]) * 0.3;
                        let score =
                            softcap.map_or(score, |softcap| softcap * tanh_f32(score / softcap));
                        expected.push(if visible { score } else { f32::NEG_INFINITY });
                    }
                }
            }
            everywhere(|isa, threads| {
                let (q, k, y) = (cells(&q), cells(&k), unwritten(expected.len()));
                let inputs = [
                    Operand::Tensor(View::new(&q, &[tokens, heads, dim])),
                    Operand::Tensor(View::new(&k, &[context, kv_heads, dim])),
                ];
                let outputs = [View::new(&y, &[heads, tokens, context])];
                let mut call = call(&inputs, &outputs);
                let sequences = [Sequence::alone(tokens, past)];
                (call.tokens, call.sequences) = (tokens, &sequences);
                run(&kernel, isa, threads, 0, &call);
                assert!(bits(&y) == bits_of(&expected), "{tokens} {isa:?} {threads}");
            });
        }
    }
}
