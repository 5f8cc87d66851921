//! Reductions over the last axis: RMSNorm, LayerNorm, softmax; mean, sum and maximum.
//!
//! ```text
//! lanes(row, f):                              // 16 virtual lanes and one fixed tree, whatever the row's width
//!     lane[0..16] = +0
//!     for j in 0..width: lane[j % 16] = f(lane[j % 16], row[j])
//!     return tree(lane)                       // i + (i + 8), i + (i + 4), i + (i + 2), 0 + 1
//!
//! RmsNorm(x, [residual,] [gain]) -> [sum,] y, for each row:    // an absent gain is 1
//!     s = x + residual, or x;                 sum = s
//!     r = 1 / sqrt(lanes(s, fma(s, s, lane)) / width + eps)
//!     y = (s * r) * gain, or s * r
//!
//! LayerNorm(x, [residual,] [gain], [bias]) -> [sum,] y, for each row:
//!     s = x + residual, or x;                 sum = s
//!     mean = lanes(s, lane + s) / width
//!     d = s - mean
//!     r = 1 / sqrt(lanes(d, fma(d, d, lane)) / width + eps)
//!     y = fma(d * r, gain, bias), (d * r) * gain, (d * r) + bias or d * r
//!
//! Softmax(x) -> y, for each row:
//!     max = the largest, lane by lane and by the tree
//!     if max is -inf: y = 0                   // every element masked
//!     e = exp(x - max)                        // exactly 0 where x is -inf
//!     y = e / lanes(e, lane + e)
//!
//! Reduce(x) -> y [.., 1]: lanes(x, lane + x) / width, the sum alone, or the largest, lane by lane and by the tree
//! ```
//!
//! The SIMD does just this: a virtual lane is a lane, and lanes past a row's end add +0, which changes no sum here (none
//! is ever −0). Pieces consist of whole rows. A row is read whole before the pass that overwrites it, so that `sum` may be the
//! memory of `x` or `residual`, and `y` any of them that `sum` is not.

use std::cell::Cell;
use std::marker::PhantomData;

use super::call::{Call, Kernel, View};
use super::math;
use super::simd::{LANES, Simd};

/// The kind of rows to which the result of a norm is written.
pub trait NormOutput: Copy + Send + Sync + 'static {
    /// The rows.
    type Rows<'a>: NormRows;

    /// The rows of `call`: its output `i` if that is floats, otherwise its quantized output.
    fn rows<'a>(call: &Call<'a>, i: usize) -> Self::Rows<'a>;
}

/// Rows to which the result of a norm is written.
pub trait NormRows {
    /// Writes row `row`, sixteen elements at a time: `each(at)` returns the elements from `at` on, where `at` is a multiple
    /// of 16; it is called once for each `at`, in order.
    fn write_row<S: Simd>(&self, simd: S, row: usize, each: impl Fn(usize) -> S::F32);
}

/// Rows of f32 elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floats;

impl NormOutput for Floats {
    type Rows<'a> = View<'a>;

    #[inline(always)]
    fn rows<'a>(call: &Call<'a>, i: usize) -> View<'a> {
        call.outputs[i]
    }
}

impl NormRows for View<'_> {
    #[inline(always)]
    fn write_row<S: Simd>(&self, simd: S, row: usize, each: impl Fn(usize) -> S::F32) {
        let row = self.row(row);
        for at in (0..row.len()).step_by(LANES) {
            simd.store_at(row, at, each(at));
        }
    }
}

/// Calls `each` with each block of a row of `x`; if there is a residual, adds it first and writes the result to `sum`.
#[inline(always)]
fn add_residual<S: Simd>(
    simd: S,
    x: &[Cell<f32>],
    residual: Option<&[Cell<f32>]>,
    sum: &[Cell<f32>],
    mut each: impl FnMut(S::F32),
) {
    for at in (0..x.len()).step_by(LANES) {
        let mut s = simd.load_at(x, at);
        if let Some(residual) = residual {
            s = simd.add(s, simd.load_at(residual, at));
            simd.store_at(sum, at, s);
        }
        each(s);
    }
}

/// The gains of a block; 1 if there are none.
#[inline(always)]
fn gain_at<S: Simd>(simd: S, gain: Option<&[f32]>, at: usize) -> S::F32 {
    match gain {
        Some(gain) => simd.load_slice_at(gain, at),
        None => simd.splat(1.0),
    }
}

/// Root mean square norm: inputs `[x, gain]`, outputs `[y]`; with a residual, inputs `[x, residual, gain]` and outputs
/// `[sum, y]`. Tensors are [.., width]; `gain` is a constant `[width]`, or absent, which means 1. A quantized `y` is not in
/// `outputs`, has a width that is a multiple of 32, and is in other memory than the inputs.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm<Y> {
    /// Added to the mean of squares.
    pub eps: f32,
    /// Whether a second input is added first, with the sum as another output.
    pub residual: bool,
    /// The kind of `y`.
    pub output: PhantomData<Y>,
}

// SAFETY: a piece reads and writes only the rows of its share; `gain` is written by nobody.
unsafe impl<Y: NormOutput> Kernel for RmsNorm<Y> {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let y = Y::rows(call, usize::from(self.residual));
        let x = call.tensor(0);
        let gain = call.optional_constant(1 + usize::from(self.residual));
        let residual = self.residual.then(|| call.tensor(1));
        for row in call.share(x.rows()) {
            // Without a residual, the sum is x itself and is not written.
            let sum = match residual {
                Some(_) => call.outputs[0].row(row),
                None => x.row(row),
            };
            let residual = residual.map(|residual| residual.row(row));
            let mut squares = simd.zero();
            add_residual(simd, x.row(row), residual, sum, |s| {
                squares = simd.mul_add(s, s, squares)
            });
            let scale = 1.0 / (simd.sum(squares) / x.width() as f32 + self.eps).sqrt();
            let scale = simd.splat(scale);
            y.write_row(simd, row, |at| {
                let s = simd.mul(simd.load_at(sum, at), scale);
                simd.mul(s, gain_at(simd, gain, at))
            });
        }
    }
}

/// Layer norm: inputs `[x, gain]` or `[x, gain, bias]`, outputs `[y]`; with a residual, inputs `[x, residual, gain]` or `[x,
/// residual, gain, bias]` and outputs `[sum, y]`. Tensors are [.., width]; `gain` and `bias` are constants `[width]`; an
/// absent `gain` means 1. For a quantized `y` see [`RmsNorm`].
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<Y> {
    /// Added to the variance.
    pub eps: f32,
    /// Whether a second input is added first, with the sum as another output.
    pub residual: bool,
    /// The kind of `y`.
    pub output: PhantomData<Y>,
}

// SAFETY: a piece reads and writes only the rows of its share; `gain` and `bias` are written by nobody.
unsafe impl<Y: NormOutput> Kernel for LayerNorm<Y> {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let y = Y::rows(call, usize::from(self.residual));
        let x = call.tensor(0);
        let gain = call.optional_constant(1 + usize::from(self.residual));
        let bias = call.optional_constant(2 + usize::from(self.residual));
        let residual = self.residual.then(|| call.tensor(1));
        let width = x.width();
        for row in call.share(x.rows()) {
            let sum = match residual {
                Some(_) => call.outputs[0].row(row),
                None => x.row(row),
            };
            let residual = residual.map(|residual| residual.row(row));
            let mut total = simd.zero();
            add_residual(simd, x.row(row), residual, sum, |s| {
                total = simd.add(total, s)
            });
            let mean = simd.splat(simd.sum(total) / width as f32);
            let mut squares = simd.zero();
            for at in (0..width).step_by(LANES) {
                let d = simd.sub(simd.load_at(sum, at), mean);
                // Lanes past the end would contain −mean.
                let d = simd.select(simd.lanes_between(0, width - at), d, simd.zero());
                squares = simd.mul_add(d, d, squares);
            }
            let scale = 1.0 / (simd.sum(squares) / width as f32 + self.eps).sqrt();
            let scale = simd.splat(scale);
            y.write_row(simd, row, |at| {
                let d = simd.mul(simd.sub(simd.load_at(sum, at), mean), scale);
                let gain = gain_at(simd, gain, at);
                match bias {
                    Some(bias) => simd.mul_add(d, gain, simd.load_slice_at(bias, at)),
                    None => simd.mul(d, gain),
                }
            });
        }
    }
}

/// Softmax over the last axis, in place or not. An element of −∞ becomes exactly 0, and a row of only −∞ becomes all zeros.
#[derive(Clone, Copy, Debug)]
pub struct Softmax;

// SAFETY: a piece reads and writes only the rows of its share.
unsafe impl Kernel for Softmax {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let x = call.tensor(0);
        let y = call.outputs[0];
        let width = x.width();
        for row in call.share(x.rows()) {
            let (x, y) = (x.row(row), y.row(row));
            let max = largest(simd, x);
            if max == f32::NEG_INFINITY {
                y.iter().for_each(|y| y.set(0.0));
                continue;
            }
            let max = simd.splat(max);
            let mut total = simd.zero();
            for at in (0..width).step_by(LANES) {
                let e = math::exp_not_above_one(simd, simd.sub(simd.load_at(x, at), max));
                simd.store_at(y, at, e);
                let inside = simd.lanes_between(0, width - at);
                total = simd.add(total, simd.select(inside, e, simd.zero()));
            }
            let total = simd.splat(simd.sum(total));
            for at in (0..width).step_by(LANES) {
                simd.store_at(y, at, simd.div(simd.load_at(y, at), total));
            }
        }
    }
}

/// What [`Reduce`] computes for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// The sum divided by the width.
    Mean,
    /// The sum.
    Sum,
    /// The largest element.
    Max,
}

/// The mean, sum or maximum of each row; the axis keeps one element: `[.., width]` becomes `[.., 1]`. Not in place.
#[derive(Clone, Copy, Debug)]
pub struct Reduce {
    /// The value that is computed.
    pub reduction: Reduction,
}

// SAFETY: a piece writes one element for each row of its share, and nobody writes the input.
unsafe impl Kernel for Reduce {
    fn pieces(&self, call: &Call<'_>) -> usize {
        let x = call.tensor(0);
        call.even_pieces(x.rows(), x.width())
    }

    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let x = call.tensor(0);
        let y = call.outputs[0].cells;
        for row in call.share(x.rows()) {
            y[row].set(match self.reduction {
                Reduction::Max => largest(simd, x.row(row)),
                Reduction::Sum => total(simd, x.row(row)),
                Reduction::Mean => total(simd, x.row(row)) / x.width() as f32,
            });
        }
    }
}

/// The sum of a row.
#[inline(always)]
fn total<S: Simd>(simd: S, row: &[Cell<f32>]) -> f32 {
    let mut total = simd.zero();
    for at in (0..row.len()).step_by(LANES) {
        total = simd.add(total, simd.load_at(row, at));
    }
    simd.sum(total)
}

/// The largest element of a row; lanes past the end of the row count as −∞.
#[inline(always)]
fn largest<S: Simd>(simd: S, row: &[Cell<f32>]) -> f32 {
    let lowest = simd.splat(f32::NEG_INFINITY);
    let mut largest = lowest;
    for at in (0..row.len()).step_by(LANES) {
        let inside = simd.lanes_between(0, row.len() - at);
        largest = simd.max(largest, simd.select(inside, simd.load_at(row, at), lowest));
    }
    simd.largest(largest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::call::{Operand, View};
    use crate::kernels::math::exp_f32;
    use crate::kernels::simd::tree;
    use crate::kernels::testing::*;

    const ROWS: usize = 4;

    fn lanes(row: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
        let mut lane = [0.0; LANES];
        for (j, &x) in row.iter().enumerate() {
            lane[j % LANES] = f(lane[j % LANES], x);
        }
        tree(lane, |a, b| a + b)
    }

    fn rms_norm(row: &[f32], gain: &[f32], eps: f32) -> Vec<f32> {
        let mean = lanes(row, |lane, s| s.mul_add(s, lane)) / row.len() as f32;
        let r = 1.0 / (mean + eps).sqrt();
        row.iter().zip(gain).map(|(s, g)| (s * r) * g).collect()
    }

    fn layer_norm(row: &[f32], gain: &[f32], bias: Option<&[f32]>, eps: f32) -> Vec<f32> {
        let mean = lanes(row, |lane, s| lane + s) / row.len() as f32;
        let d: Vec<f32> = row.iter().map(|s| s - mean).collect();
        let r = 1.0 / (lanes(&d, |lane, d| d.mul_add(d, lane)) / row.len() as f32 + eps).sqrt();
        let each = |j: usize| match bias {
            Some(bias) => (d[j] * r).mul_add(gain[j], bias[j]),
            None => (d[j] * r) * gain[j],
        };
        (0..row.len()).map(each).collect()
    }

    fn softmax(row: &[f32]) -> Vec<f32> {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if max == f32::NEG_INFINITY {
            return vec![0.0; row.len()];
        }
        let e: Vec<f32> = row.iter().map(|x| exp_f32(x - max)).collect();
        let total = lanes(&e, |lane, e| lane + e);
        e.iter().map(|e| e / total).collect()
    }

    fn by_rows(x: &[f32], width: usize, f: impl Fn(&[f32]) -> Vec<f32>) -> Vec<u32> {
        bits_of(&x.chunks(width).flat_map(f).collect::<Vec<_>>())
    }

    /// Runs a norm on x, with a residual if there is one, with every allowed sharing of memory between outputs and inputs,
    /// and compares the results with `want`, the norm of one row. Empty constants mean absent ones.
    fn check_norm<K: Kernel + Clone>(
        kernel: &K,
        residual: bool,
        constants: &[&[f32]],
        width: usize,
        want: impl Fn(&[f32]) -> Vec<f32>,
    ) {
        let shape = [ROWS, width];
        let x_data = random(ROWS * width, 1);
        let r_data = random(ROWS * width, 2);
        let mut sums = x_data.clone();
        if residual {
            sums = x_data.iter().zip(&r_data).map(|(x, r)| x + r).collect();
        }
        let want = by_rows(&sums, width, want);
        // Which of [x, residual, new memory, more new memory] the sum and y use.
        let places: &[(usize, usize)] = match residual {
            true => &[(2, 3), (0, 1), (1, 0), (0, 2), (1, 2), (2, 0), (2, 1)],
            false => &[(0, 2), (0, 0)],
        };
        for &(sum, y) in places {
            everywhere(|isa, threads| {
                let memory = [
                    cells(&x_data),
                    cells(&r_data),
                    unwritten(sums.len()),
                    unwritten(sums.len()),
                ];
                let view = |i: usize| View::new(&memory[i], &shape);
                let mut inputs = vec![Operand::Tensor(view(0))];
                let mut outputs = vec![view(y)];
                if residual {
                    inputs.push(Operand::Tensor(view(1)));
                    outputs.insert(0, view(sum));
                }
                let constant_shape = [width];
                inputs.extend(constants.iter().map(|data| match data.is_empty() {
                    true => Operand::Absent,
                    false => Operand::Constant(data, &constant_shape),
                }));
                run(kernel, isa, threads, 0, &call(&inputs, &outputs));
                assert_eq!(
                    bits(&memory[y]),
                    want,
                    "y over {y}, sum over {sum}, {width} {isa:?}"
                );
                if residual {
                    assert_eq!(
                        bits(&memory[sum]),
                        bits_of(&sums),
                        "sum over {sum} {width} {isa:?}"
                    );
                }
            });
        }
    }

    #[test]
    fn rms_norm_equals_the_plain_loop() {
        for width in WIDTHS {
            let gain = random(width, 9);
            for residual in [false, true] {
                let kernel = RmsNorm {
                    eps: 1e-5,
                    residual,
                    output: PhantomData::<Floats>,
                };
                check_norm(&kernel, residual, &[&gain], width, |row| {
                    rms_norm(row, &gain, 1e-5)
                });
                let ones = vec![1.0; width];
                check_norm(&kernel, residual, &[], width, |row| {
                    rms_norm(row, &ones, 1e-5)
                });
            }
        }
    }

    #[test]
    fn layer_norm_equals_the_plain_loop_with_and_without_gain_and_bias() {
        for width in WIDTHS {
            let (gain, bias) = (random(width, 9), random(width, 10));
            for residual in [false, true] {
                let kernel = LayerNorm {
                    eps: 1e-5,
                    residual,
                    output: PhantomData::<Floats>,
                };
                let plain = |row: &[f32]| layer_norm(row, &gain, None, 1e-5);
                check_norm(&kernel, residual, &[&gain], width, plain);
                let biased = |row: &[f32]| layer_norm(row, &gain, Some(&bias), 1e-5);
                check_norm(&kernel, residual, &[&gain, &bias], width, biased);
                let ones = vec![1.0; width];
                let bare = |row: &[f32]| layer_norm(row, &ones, None, 1e-5);
                check_norm(&kernel, residual, &[], width, bare);
            }
        }
    }

    #[test]
    fn norms_without_gain_equal_norms_with_a_gain_of_one() {
        for width in WIDTHS {
            let (ones, bias) = (vec![1.0; width], random(width, 10));
            for residual in [false, true] {
                let eps = 1e-5;
                check_norm(
                    &RmsNorm {
                        eps,
                        residual,
                        output: PhantomData::<Floats>,
                    },
                    residual,
                    &[],
                    width,
                    |row| rms_norm(row, &ones, eps),
                );
                let kernel = LayerNorm {
                    eps,
                    residual,
                    output: PhantomData::<Floats>,
                };
                let plain = |row: &[f32]| layer_norm(row, &ones, None, eps);
                check_norm(&kernel, residual, &[], width, plain);
                let biased = |row: &[f32]| layer_norm(row, &ones, Some(&bias), eps);
                check_norm(&kernel, residual, &[&[], &bias], width, biased);
            }
        }
    }

    #[test]
    fn softmax_equals_the_plain_loop_and_masked_elements_are_zero() {
        for width in WIDTHS {
            let mut x = random(ROWS * width, 4);
            // Row 1 is partly masked, row 2 is wholly masked, and row 3 is all negative.
            x[width..2 * width]
                .iter_mut()
                .skip(1)
                .step_by(3)
                .for_each(|x| *x = f32::NEG_INFINITY);
            x[2 * width..3 * width].fill(f32::NEG_INFINITY);
            x[3 * width..].iter_mut().for_each(|x| *x -= 50.0);
            let want = by_rows(&x, width, softmax);
            everywhere(|isa, threads| {
                let (input, fresh) = (cells(&x), unwritten(x.len()));
                for out in [&fresh, &input] {
                    let inputs = [Operand::Tensor(View::new(&input, &[ROWS, width]))];
                    let outputs = [View::new(out, &[ROWS, width])];
                    run(&Softmax, isa, threads, 0, &call(&inputs, &outputs));
                    assert_eq!(bits(out), want, "{width} {isa:?}");
                }
                for (x, y) in x.iter().zip(&fresh) {
                    assert!(*x != f32::NEG_INFINITY || y.get().to_bits() == 0);
                }
            });
        }
    }

    #[test]
    fn reductions_equal_the_plain_loop() {
        let reductions = [Reduction::Mean, Reduction::Sum, Reduction::Max];
        for (width, reduction) in WIDTHS.iter().flat_map(|&w| reductions.map(|r| (w, r))) {
            // All elements are negative, so that no maximum comes from lanes past the end.
            let mut x = random(2 * ROWS * width, 5);
            x.iter_mut().for_each(|x| *x -= 50.0);
            let want = by_rows(&x, width, |row| {
                let sum = lanes(row, |lane, x| lane + x);
                vec![match reduction {
                    Reduction::Mean => sum / width as f32,
                    Reduction::Sum => sum,
                    Reduction::Max => row.iter().copied().fold(f32::NEG_INFINITY, f32::max),
                }]
            });
            everywhere(|isa, threads| {
                let (input, out) = (cells(&x), unwritten(2 * ROWS));
                let inputs = [Operand::Tensor(View::new(&input, &[2, ROWS, width]))];
                let outputs = [View::new(&out, &[2, ROWS, 1])];
                run(
                    &Reduce { reduction },
                    isa,
                    threads,
                    0,
                    &call(&inputs, &outputs),
                );
                assert_eq!(bits(&out), want, "{reduction:?} {width} {isa:?}");
            });
        }
    }
}
