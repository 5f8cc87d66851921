//! Rotary position embedding: the table of cosines and sines, its application, and both in one kernel.
//!
//! ```text
//! RotaryTable(positions, [factors]) -> table [T, 2n]:          n = inv_freq.len()
//!     for t in 0..T, i in 0..n:
//!         angle = f32(positions[t]) * (inv_freq[i] / factors[i])      // or inv_freq[i] without factors
//!         table[t, i] = cos(angle); table[t, n + i] = sin(angle)
//!
//! ApplyRotary(x [T, heads, dim], table [T, 2n]) -> y [T, heads, dim]:
//!     for t, head, i in 0..n:
//!         (j, k) = (i, i + n), or (2i, 2i + 1) if adjacent
//!         a, b, cos, sin = x[t, head, j], x[t, head, k], table[t, i], table[t, n + i]
//!         y[t, head, j] = fma(-b, sin, a * cos)
//!         y[t, head, k] = fma(a, sin, b * cos)
//!     the other elements of a head are copied
//!
//! Rope(x, positions, [factors]) -> y: ApplyRotary(x, RotaryTable(positions, factors)), a table row at a time in scratch
//! ```
//!
//! Sixteen pairs are rotated at once; adjacent pairs are rotated one at a time, with the same operations. The order does not
//! matter. Threads share the tokens of a table, or the heads of all tokens when a table is applied. `y` may be in the memory
//! of `x`.

use std::cell::Cell;
use std::f64::consts::PI;

use super::call::{Call, Kernel, View};
use super::math::sin_cos;
use super::simd::{LANES, Simd};
use crate::math::pow_f64;

/// How a model stretches its rotary frequencies to contexts longer than the one it was first trained on. The formulas
/// are the same as in `modeling_rope_utils.py` of Hugging Face transformers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// No scaling.
    Default,
    /// Every frequency divided by `factor`.
    Linear {
        /// At least 1.
        factor: f64,
    },
    /// Llama 3.1: low frequencies (long wavelengths) divided by `factor`, high ones kept, those between interpolated.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f64,
        /// Wavelengths above `original_context / low_freq_factor` are long.
        low_freq_factor: f64,
        /// Wavelengths below `original_context / high_freq_factor` are short.
        high_freq_factor: f64,
        /// The context length of the first training, in tokens.
        original_context: f64,
    },
}

/// The `dims / 2` frequencies `base^(−2i / dims)` in radians per position, scaled. Computed in f64 and rounded once (Hugging
/// Face computes in f32, so the last bit may differ).
pub fn inverse_frequencies(base: f64, dims: usize, scaling: &RopeScaling) -> Vec<f32> {
    let scaled = |i: usize| {
        let frequency = 1.0 / pow_f64(base, (2 * i) as f64 / dims as f64);
        match *scaling {
            RopeScaling::Default => frequency,
            RopeScaling::Linear { factor } => frequency / factor,
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_context,
            } => {
                let wavelength = 2.0 * PI / frequency;
                if wavelength > original_context / low_freq_factor {
                    frequency / factor
                } else if wavelength < original_context / high_freq_factor {
                    frequency
                } else {
                    let turns = original_context / wavelength;
                    let smooth = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor);
                    (1.0 - smooth) * frequency / factor + smooth * frequency
                }
            }
        }
    };
    (0..dims / 2).map(|i| scaled(i) as f32).collect()
}

/// Writes the cosines and then the sines of the angles of one position to `out`, `2 * inv_freq.len()` elements.
#[inline(always)]
fn table_row<S: Simd>(
    simd: S,
    inv_freq: &[f32],
    factors: Option<&[f32]>,
    position: i32,
    out: &[Cell<f32>],
) {
    let (cosines, sines) = out.split_at(inv_freq.len());
    let position = simd.splat(position as f32);
    for at in (0..inv_freq.len()).step_by(LANES) {
        let mut frequency = simd.load_slice_at(inv_freq, at);
        if let Some(factors) = factors {
            frequency = simd.div(frequency, simd.load_slice_at(factors, at));
        }
        let (sin, cos) = sin_cos(simd, simd.mul(position, frequency));
        simd.store_at(cosines, at, cos);
        simd.store_at(sines, at, sin);
    }
}

/// Rotates the first `table.len()` elements of the head `x` by a table row, and copies the others.
#[inline(always)]
pub(super) fn turn<S: Simd>(
    simd: S,
    adjacent: bool,
    x: &[Cell<f32>],
    table: &[Cell<f32>],
    y: &[Cell<f32>],
) {
    let pairs = table.len() / 2;
    let (cosines, sines) = table.split_at(pairs);
    if adjacent {
        for (i, (cos, sin)) in cosines.iter().zip(sines).enumerate() {
            let (a, b) = (x[2 * i].get(), x[2 * i + 1].get());
            y[2 * i].set((-b).mul_add(sin.get(), a * cos.get()));
            y[2 * i + 1].set(a.mul_add(sin.get(), b * cos.get()));
        }
    } else {
        let ((x_low, x_high), (y_low, y_high)) = (
            x[..2 * pairs].split_at(pairs),
            y[..2 * pairs].split_at(pairs),
        );
        for at in (0..pairs).step_by(LANES) {
            let (a, b) = (simd.load_at(x_low, at), simd.load_at(x_high, at));
            let (cos, sin) = (simd.load_at(cosines, at), simd.load_at(sines, at));
            simd.store_at(y_low, at, simd.neg_mul_add(b, sin, simd.mul(a, cos)));
            simd.store_at(y_high, at, simd.mul_add(a, sin, simd.mul(b, cos)));
        }
    }
    for (x, y) in x[2 * pairs..].iter().zip(&y[2 * pairs..]) {
        y.set(x.get());
    }
}

/// The rows of all heads of a token: `x` is [T, heads, dim].
#[inline(always)]
fn heads_of(x: View<'_>) -> usize {
    match x.shape() {
        [_, heads, _] => *heads,
        _ => unreachable!("rotary embedding of a tensor that is not [tokens, heads, dim]"),
    }
}

/// Inputs `[positions, factors]`, the latter optional (a constant `[n]` by which the frequencies are divided); output [T,
/// 2n].
#[derive(Clone, Debug)]
pub struct RotaryTable {
    /// The n frequencies, in radians per position.
    pub inv_freq: Vec<f32>,
}

// SAFETY: a piece writes only the rows of its share; nobody writes positions or factors.
unsafe impl Kernel for RotaryTable {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let (positions, factors) = (call.ints(0), call.optional_constant(1));
        let table = call.outputs[0];
        for t in call.share(table.rows()) {
            table_row(
                simd,
                &self.inv_freq,
                factors,
                positions[t].get(),
                table.row(t),
            );
        }
    }
}

/// Inputs `[x, table]`, [T, heads, dim] and [T, 2n] with 2n ≤ dim; the output has the shape of `x`, in place or not.
#[derive(Clone, Copy, Debug)]
pub struct ApplyRotary {
    /// Whether pairs are (2i, 2i + 1), as in GGUF files of Llama, instead of (i, i + n).
    pub adjacent: bool,
}

// SAFETY: a piece reads and writes only the heads of its share; nobody writes the table.
unsafe impl Kernel for ApplyRotary {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let (x, table, y) = (call.tensor(0), call.tensor(1), call.outputs[0]);
        let heads = heads_of(x);
        for row in call.share(x.rows()) {
            turn(
                simd,
                self.adjacent,
                x.row(row),
                table.row(row / heads),
                y.row(row),
            );
        }
    }
}

/// Inputs `[x, positions, factors]`, the last optional; the output has the shape of `x` [T, heads, dim], in place or not.
#[derive(Clone, Debug)]
pub struct Rope {
    /// The n frequencies, in radians per position; 2n ≤ dim.
    pub inv_freq: Vec<f32>,
    /// Whether pairs are (2i, 2i + 1), instead of (i, i + n).
    pub adjacent: bool,
}

impl Rope {
    /// The scratch that each thread needs, in floats.
    pub fn scratch(&self) -> usize {
        2 * self.inv_freq.len()
    }
}

// SAFETY: a piece reads and writes only the heads of its share and its own scratch; nobody writes positions or factors.
unsafe impl Kernel for Rope {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let (x, y) = (call.tensor(0), call.outputs[0]);
        let (positions, factors) = (call.ints(1), call.optional_constant(2));
        let table = &call.scratch[..self.scratch()];
        let heads = heads_of(x);
        let mut table_is_of = None;
        for row in call.share(x.rows()) {
            let token = row / heads;
            if table_is_of != Some(token) {
                table_row(simd, &self.inv_freq, factors, positions[token].get(), table);
                table_is_of = Some(token);
            }
            turn(simd, self.adjacent, x.row(row), table, y.row(row));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::call::Operand;
    use crate::kernels::math::sin_cos_f32;
    use crate::kernels::testing::*;

    const POSITIONS: [i32; 4] = [0, 3, 4095, 100_000];
    const HEADS: usize = 3;

    fn table(inv_freq: &[f32], factors: Option<&[f32]>) -> Vec<f32> {
        let angle =
            |p: i32, i: usize| p as f32 * factors.map_or(inv_freq[i], |f| inv_freq[i] / f[i]);
        let row = |&p: &i32| {
            let (sin, cos): (Vec<f32>, Vec<f32>) = (0..inv_freq.len())
                .map(|i| sin_cos_f32(angle(p, i)))
                .unzip();
            [cos, sin].concat()
        };
        POSITIONS.iter().flat_map(row).collect()
    }

    fn turned(x: &[f32], dim: usize, table: &[f32], n: usize, adjacent: bool) -> Vec<f32> {
        let mut y = x.to_vec();
        for (row, y) in y.chunks_mut(dim).enumerate() {
            let table = &table[row / HEADS * 2 * n..][..2 * n];
            for i in 0..n {
                let (j, k) = if adjacent {
                    (2 * i, 2 * i + 1)
                } else {
                    (i, i + n)
                };
                let (a, b, cos, sin) = (y[j], y[k], table[i], table[n + i]);
                y[j] = (-b).mul_add(sin, a * cos);
                y[k] = a.mul_add(sin, b * cos);
            }
        }
        y
    }

    #[test]
    fn a_table_holds_cosines_then_sines() {
        for n in WIDTHS {
            let inv_freq = inverse_frequencies(10_000.0, 2 * n, &RopeScaling::Default);
            let factors: Vec<f32> = random(n, 1).iter().map(|x| x.abs() + 1.0).collect();
            let (shape, kernel) = (
                [n],
                RotaryTable {
                    inv_freq: inv_freq.clone(),
                },
            );
            for factors in [None, Some(&factors[..])] {
                let want = bits_of(&table(&inv_freq, factors));
                everywhere(|isa, threads| {
                    let (positions, out) = (int_cells(&POSITIONS), unwritten(want.len()));
                    let factors = factors.map_or(Operand::Absent, |f| Operand::Constant(f, &shape));
                    let inputs = [Operand::Ints(&positions), factors];
                    let outputs = [View::new(&out, &[POSITIONS.len(), 2 * n])];
                    run(&kernel, isa, threads, 0, &call(&inputs, &outputs));
                    assert_eq!(bits(&out), want, "{n} {isa:?}");
                });
            }
        }
    }

    #[test]
    fn rope_is_the_table_applied_and_both_equal_the_plain_loop() {
        for (n, rest, adjacent) in WIDTHS
            .iter()
            .flat_map(|&n| [(n, 0, false), (n, 5, false), (n, 5, true)])
        {
            let dim = 2 * n + rest;
            let inv_freq = inverse_frequencies(500_000.0, 2 * n, &RopeScaling::Default);
            let (x, factors) = (random(POSITIONS.len() * HEADS * dim, 2), vec![1.5; n]);
            let table = table(&inv_freq, Some(&factors));
            let want = bits_of(&turned(&x, dim, &table, n, adjacent));
            let shape = [POSITIONS.len(), HEADS, dim];
            let rope = Rope { inv_freq, adjacent };
            everywhere(|isa, threads| {
                let (positions, table) = (int_cells(&POSITIONS), cells(&table));
                for in_place in [false, true] {
                    let input = cells(&x);
                    let out = if in_place {
                        input.clone()
                    } else {
                        unwritten(x.len())
                    };
                    let from = View::new(if in_place { &out } else { &input }, &shape);
                    let to = [View::new(&out, &shape)];
                    let table = Operand::Tensor(View::new(&table, &[POSITIONS.len(), 2 * n]));
                    let inputs = [Operand::Tensor(from), table];
                    run(
                        &ApplyRotary { adjacent },
                        isa,
                        threads,
                        0,
                        &call(&inputs, &to),
                    );
                    assert_eq!(bits(&out), want, "applied {n} {adjacent} {isa:?}");

                    out.iter().zip(&x).for_each(|(cell, x)| cell.set(*x));
                    let factor_shape = [n];
                    let factors = Operand::Constant(&factors, &factor_shape);
                    let inputs = [Operand::Tensor(from), Operand::Ints(&positions), factors];
                    run(&rope, isa, threads, rope.scratch(), &call(&inputs, &to));
                    assert_eq!(bits(&out), want, "rope {n} {adjacent} {isa:?}");
                }
            });
        }
    }

    #[test]
    fn frequencies_follow_the_published_formulas() {
        let close = |got: f32, want: f64| (f64::from(got) - want).abs() <= 6e-8 * want;
        let plain = inverse_frequencies(10_000.0, 128, &RopeScaling::Default);
        let linear = inverse_frequencies(10_000.0, 128, &RopeScaling::Linear { factor: 4.0 });
        assert_eq!((plain.len(), plain[0]), (64, 1.0));
        for i in 0..64 {
            let want = 10_000f64.powf(-(2.0 * i as f64) / 128.0);
            assert!(close(plain[i], want), "{i}");
            assert!(close(linear[i], want / 4.0), "{i}");
        }
    }

    #[test]
    fn llama3_scaling_keeps_short_waves_divides_long_ones_and_blends_between() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 8192.0,
        };
        let plain = inverse_frequencies(500_000.0, 128, &RopeScaling::Default);
        let scaled = inverse_frequencies(500_000.0, 128, &scaling);
        let ratio: Vec<f32> = plain.iter().zip(&scaled).map(|(p, s)| p / s).collect();
        let wavelength = |i: usize| 2.0 * PI / f64::from(plain[i]);
        let mut between = 0;
        for (i, ratio) in ratio.into_iter().enumerate() {
            match wavelength(i) {
                w if w < 2048.0 => assert_eq!(ratio, 1.0, "{i}"),
                w if w > 8192.0 => assert_eq!(ratio, 8.0, "{i}"),
                w => {
                    between += 1;
                    let smooth = (8192.0 / w - 1.0) / 3.0;
                    let want = 1.0 / ((1.0 - smooth) / 8.0 + smooth);
                    assert!((f64::from(ratio) - want).abs() < 1e-5 * want, "{i}");
                }
            }
        }
        assert!(between > 3);
    }
}
