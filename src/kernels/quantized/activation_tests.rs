//! Are activations quantized to the bit as the formula in `mod.rs` says?

use std::cell::Cell;

use super::*;
use crate::kernels::call::{Kernel, Operand, QuantizedView, View};
use crate::kernels::norm::{self, LayerNorm, RmsNorm};
use crate::kernels::simd::Isa;
use crate::kernels::testing::{bits, call, cells, everywhere, int_cells, random, run, unwritten};

/// A block of activations.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quants {
    pub(super) scale: f32,
    pub(super) quants: [i32; 32],
}

impl Quants {
    /// The formula of `mod.rs`.
    pub(super) fn of(x: &[f32]) -> Quants {
        let nothing = |scale| Quants {
            scale,
            quants: [0; 32],
        };
        if x.iter().any(|x| !x.is_finite()) {
            return nothing(f32::NAN);
        }
        let amax = x.iter().fold(0.0, |max: f32, x| max.max(x.abs()));
        let inverse = 127.0 / amax;
        if inverse.is_infinite() {
            return nothing(0.0);
        }
        Quants {
            scale: amax / 127.0,
            quants: std::array::from_fn(|i| (x[i] * inverse).round_ties_even() as i32),
        }
    }

    /// The words of the block in its layout; NaN as its usual bits.
    fn words(&self) -> [i32; INT8_BLOCK_WORDS] {
        let halves = [&self.quants[..16], &self.quants[16..]].map(|half| half.iter().sum::<i32>());
        let scaled_sum = self.scale * (halves[0] + halves[1]) as f32;
        let bits = |x: f32| {
            let bits = if x.is_nan() { f32::NAN } else { x }.to_bits();
            bits.cast_signed()
        };
        let mut words = [0; INT8_BLOCK_WORDS];
        words[0] = bits(self.scale);
        words[1] = bits(scaled_sum);
        words[2] = (halves[0] & 0xffff) | halves[1] << 16;
        for (word, quants) in words[3..].iter_mut().zip(self.quants.chunks(4)) {
            *word = i32::from_le_bytes(std::array::from_fn(|i| quants[i] as u8));
        }
        words
    }
}

/// The words of [rows, cols] activations.
pub(super) fn quantized_words(x: &[f32]) -> Vec<i32> {
    x.chunks_exact(32)
        .flat_map(|x| Quants::of(x).words())
        .collect()
}

/// The words that `kernel` writes to a quantized output [rows, cols].
fn quantized_by<K: Kernel + Clone>(
    kernel: &K,
    (isa, threads): (Isa, usize),
    (rows, cols): (usize, usize),
    inputs: &[Operand<'_>],
    outputs: &[View<'_>],
) -> Vec<i32> {
    let words = int_cells(&vec![-1; activation_words(rows, cols)]);
    let mut call = call(inputs, outputs);
    call.quantized_output = Some(QuantizedView::new(&words, rows, cols));
    run(kernel, isa, threads, 0, &call);
    words.iter().map(Cell::get).collect()
}

#[test]
fn activations_are_quantized_as_the_formula_says() {
    let mut blocks: Vec<Vec<f32>> = vec![
        vec![0.0; 32],
        vec![-0.0; 32],
        // Ties, where 127 / amax is 1.
        (0..32).map(|i| [127.0, 0.5, 1.5, -2.5][i % 4]).collect(),
        (0..32).map(|i| f32::from_bits(i as u32 * 3)).collect(),
        (0..32).map(|i| i as f32 * 1e-38).collect(),
        // The smallest amax with a finite inverse, and the largest without one.
        vec![127.0 / f32::MAX * 1.01; 32],
        vec![127.0 / f32::MAX * 0.99; 32],
        (0..32).map(|i| f32::MAX / (i as f32 - 15.5)).collect(),
        vec![f32::MAX; 32],
        vec![-f32::MAX; 32],
    ];
    for (at, value) in [
        (0, f32::NAN),
        (15, f32::NAN),
        (31, f32::NAN),
        (7, f32::INFINITY),
        (16, f32::NEG_INFINITY),
    ] {
        let mut block = random(32, 9);
        block[at] = value;
        blocks.push(block);
    }
    blocks.extend((0..21).map(|i| random(32, 60 + i)));
    let x = blocks.concat();
    let (rows, cols) = (3, x.len() / 3);
    let want = quantized_words(&x);
    everywhere(|isa, threads| {
        let x = cells(&x);
        let inputs = [Operand::Tensor(View::new(&x, &[rows, cols]))];
        let kernel = QuantizeActivations;
        let got = quantized_by(&kernel, (isa, threads), (rows, cols), &inputs, &[]);
        for (i, (got, want)) in got.chunks(11).zip(want.chunks(11)).enumerate() {
            assert_eq!(got, want, "block {i} {isa:?} {threads}");
        }
    });
}

/// Checks that `fused` returns what `norm` returns, quantized, with the same sum if there is a residual.
fn check_norm<N: Kernel + Clone, F: Kernel + Clone>(
    norm: &N,
    fused: &F,
    residual: bool,
    (rows, width): (usize, usize),
) {
    let (gain, bias) = (random(width, 1), random(width, 2));
    let (x, r) = (random(rows * width, 3), random(rows * width, 4));
    let (x, r) = (cells(&x), cells(&r));
    let shape = [rows, width];
    let mut inputs = vec![Operand::Tensor(View::new(&x, &shape))];
    if residual {
        inputs.push(Operand::Tensor(View::new(&r, &shape)));
    }
    inputs.extend([Operand::Constant(&gain, &[]), Operand::Constant(&bias, &[])]);
    everywhere(|isa, threads| {
        let (sum, y) = (unwritten(x.len()), unwritten(x.len()));
        let views = [View::new(&sum, &shape), View::new(&y, &shape)];
        let call = call(&inputs, &views[usize::from(!residual)..]);
        run(norm, isa, threads, 0, &call);
        let y: Vec<f32> = y.iter().map(Cell::get).collect();
        let fused_sum = unwritten(x.len());
        let views = [View::new(&fused_sum, &shape)];
        let outputs = &views[usize::from(!residual)..];
        let got = quantized_by(fused, (isa, threads), (rows, width), &inputs, outputs);
        assert!(got == quantized_words(&y), "{width} {isa:?} {threads}");
        assert!(bits(&fused_sum) == bits(&sum), "{width} {isa:?} {threads}");
    });
}

#[test]
fn quantized_norms_are_the_norm_and_then_the_quantizer() {
    let eps = 1e-5;
    for width in [32, 96, 640] {
        for residual in [false, true] {
            check_norm(
                &RmsNorm {
                    eps,
                    residual,
                    output: std::marker::PhantomData::<norm::Floats>,
                },
                &RmsNorm {
                    eps,
                    residual,
                    output: std::marker::PhantomData::<Int8>,
                },
                residual,
                (4, width),
            );
            check_norm(
                &LayerNorm {
                    eps,
                    residual,
                    output: std::marker::PhantomData::<norm::Floats>,
                },
                &LayerNorm {
                    eps,
                    residual,
                    output: std::marker::PhantomData::<Int8>,
                },
                residual,
                (4, width),
            );
        }
    }
}
