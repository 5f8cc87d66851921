//! Activations quantized to int8, 32 consecutive elements with one scale: see `mod.rs` for the arithmetic.
//!
//! A block is [`INT8_BLOCK_WORDS`] words of 4 bytes: everything that a product needs from the block, in one place:
//!
//! ```text
//! word 0      the scale, an f32
//! word 1      scale · f32(the sum of the 32 quants), an f32
//! word 2      the sums of the first and of the last 16 quants, two i16, the first in the low half
//! word 3..11  the quants, i8, the first in the lowest byte
//! ```
//!
//! One thread computes a whole block, and the integer sums are exact, so the order does not matter.

use std::cell::Cell;

use crate::kernels::call::{Call, Kernel, QuantizedView};
use crate::kernels::norm::{NormOutput, NormRows};
use crate::kernels::simd::{LANES, Simd};
pub use crate::types::{INT8_BLOCK, INT8_BLOCK_WORDS};

/// The number of 4-byte words of quantized activations [rows, cols]; `cols` is a multiple of 32.
pub const fn activation_words(rows: usize, cols: usize) -> usize {
    rows * (cols / INT8_BLOCK) * INT8_BLOCK_WORDS
}

/// Quantizes the 32 elements of `x`, the first 16 of them in `x[0]`, into `block`.
#[inline(always)]
pub(super) fn quantize_block<S: Simd>(
    simd: S,
    x: [S::F32; 2],
    block: &[Cell<i32>; INT8_BLOCK_WORDS],
) {
    let magnitudes = [magnitude(simd, x[0]), magnitude(simd, x[1])];
    let amax = simd.largest(simd.max(magnitudes[0], magnitudes[1]));
    let inverse = 127.0 / amax;
    if amax == f32::INFINITY || inverse == f32::INFINITY {
        let scale: f32 = if amax == f32::INFINITY { f32::NAN } else { 0.0 };
        let bits = scale.to_bits().cast_signed();
        block.iter().for_each(|word| word.set(0));
        block[0].set(bits);
        block[1].set(bits);
        return;
    }
    let [scale_word, scaled_sum_word, sums_word, quant_words @ ..] = block;
    let inverse = simd.splat(inverse);
    let mut sums = [0; 2];
    for ((x, words), sum) in x.into_iter().zip(quant_words.as_chunks().0).zip(&mut sums) {
        let quants = simd.to_i32(simd.round(simd.mul(x, inverse)));
        simd.store_bytes(words, quants);
        *sum = simd.sum_i32(quants);
    }
    let scale = amax / 127.0;
    let scaled_sum = scale * (sums[0] + sums[1]) as f32;
    scale_word.set(scale.to_bits().cast_signed());
    scaled_sum_word.set(scaled_sum.to_bits().cast_signed());
    sums_word.set(pair(sums[0], sums[1]));
}

/// |x|, with infinity for NaN, so that a maximum does not depend on the position of a NaN.
#[inline(always)]
fn magnitude<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let (magnitude, infinity) = (simd.abs(x), simd.splat(f32::INFINITY));
    simd.select(simd.gt(infinity, magnitude), magnitude, infinity)
}

/// Two i16 as one i32, the first in the low half.
#[inline(always)]
pub(super) const fn pair(low: i32, high: i32) -> i32 {
    (low & 0xffff) | (high << 16)
}

/// Quantizes activations: input x [.., k], k a multiple of 32; quantized output [.., k], in other memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantizeActivations;

// SAFETY: a piece writes only the blocks of its share, and nobody writes the input.
unsafe impl Kernel for QuantizeActivations {
    fn pieces(&self, call: &Call<'_>) -> usize {
        call.element_pieces(call.tensor(0).cells.len())
    }

    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let x = call.tensor(0).cells.as_chunks::<INT8_BLOCK>().0;
        let y = call.quantized_output().blocks;
        let share = call.share(y.len());
        for (x, y) in x[share.clone()].iter().zip(&y[share]) {
            let halves = [simd.load_at(x, 0), simd.load_at(x, LANES)];
            quantize_block(simd, halves, y);
        }
    }
}

/// Rows of int8 blocks: the result of a norm in floats, quantized with the bits of [`QuantizeActivations`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Int8;

impl NormOutput for Int8 {
    type Rows<'a> = QuantizedView<'a>;

    #[inline(always)]
    fn rows<'a>(call: &Call<'a>, _: usize) -> QuantizedView<'a> {
        call.quantized_output()
    }
}

impl NormRows for QuantizedView<'_> {
    #[inline(always)]
    fn write_row<S: Simd>(&self, simd: S, row: usize, each: impl Fn(usize) -> S::F32) {
        for (i, block) in self.row(row).iter().enumerate() {
            let at = i * INT8_BLOCK;
            quantize_block(simd, [each(at), each(at + LANES)], block);
        }
    }
}
