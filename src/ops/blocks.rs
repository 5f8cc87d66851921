//! The plain meaning of int8 blocks and of their products with quantized weights.
//!
//! `kernels/quantized` documents the arithmetic; this is the same arithmetic in plain loops over the decoded blocks.

use super::tensor::{Data, Tensor};
use crate::blocks::{BlockFormat, Group, Minimum};
use crate::kernels::quantized::{INT8_BLOCK, INT8_BLOCK_WORDS};

/// 32 activations as signed bytes, and their scale.
struct Activations {
    scale: f32,
    quants: [i32; INT8_BLOCK],
}

impl Activations {
    fn of(x: &[f32]) -> Activations {
        let magnitude = |x: &f32| if x.is_nan() { f32::INFINITY } else { x.abs() };
        let largest = x.iter().map(magnitude).fold(0f32, f32::max);
        let inverse = 127.0 / largest;
        let mut quants = [0; INT8_BLOCK];
        let scale = if largest == f32::INFINITY {
            f32::NAN
        } else if inverse == f32::INFINITY {
            0.0
        } else {
            for (quant, x) in quants.iter_mut().zip(x) {
                *quant = (x * inverse).round_ties_even() as i32;
            }
            largest / 127.0
        };
        Activations { scale, quants }
    }

    fn sum(&self, elements: std::ops::Range<usize>) -> i32 {
        self.quants[elements].iter().sum()
    }

    fn words(&self) -> [i32; INT8_BLOCK_WORDS] {
        let mut words = [0; INT8_BLOCK_WORDS];
        let scaled_sum = self.scale * self.sum(0..INT8_BLOCK) as f32;
        words[0] = self.scale.to_bits().cast_signed();
        words[1] = scaled_sum.to_bits().cast_signed();
        words[2] = self.sum(0..16) & 0xffff | self.sum(16..32) << 16;
        for (word, quants) in words[3..].iter_mut().zip(self.quants.as_chunks().0) {
            *word = i32::from_le_bytes(quants.map(|quant: i32| quant as u8));
        }
        words
    }

    fn from_words(words: &[i32; INT8_BLOCK_WORDS]) -> Activations {
        let bytes = words[3..].iter().flat_map(|word| word.to_le_bytes());
        let mut quants = [0; INT8_BLOCK];
        for (quant, byte) in quants.iter_mut().zip(bytes) {
            *quant = i32::from(byte as i8);
        }
        let scale = f32::from_bits(words[0].cast_unsigned());
        Activations { scale, quants }
    }
}

/// The rows of `x`, which are whole blocks of 32, as int8 blocks.
pub(super) fn quantize(x: &Tensor) -> Tensor {
    let floats = x.floats();
    let blocks = floats.as_chunks::<INT8_BLOCK>().0.iter();
    let words = blocks.flat_map(|x| Activations::of(x).words()).collect();
    Tensor {
        shape: x.shape.clone(),
        data: Data::Int8(words),
    }
}

/// `sum` plus the product of 32 weights with 32 activations.
fn add_to(sum: f32, w: &Group, x: &Activations) -> f32 {
    let products = w.ints.iter().zip(&x.quants);
    let products = products.map(|(&w, x)| i32::from(w) * x).collect::<Vec<_>>();
    let halves = products.chunks_exact(INT8_BLOCK / 2).zip(w.factors);
    let dot: i32 = halves
        .map(|(products, factor)| i32::from(factor) * products.iter().sum::<i32>())
        .sum();
    let sum = (w.d * x.scale).mul_add(dot as f32, sum);
    match w.minimum {
        Minimum::None => sum,
        Minimum::Whole(m) => (-m).mul_add(x.scale * x.sum(0..INT8_BLOCK) as f32, sum),
        Minimum::Halves(m, factors) => {
            let [first, last] = factors.map(i32::from);
            let dot = first * x.sum(0..16) + last * x.sum(16..32);
            (-(m * x.scale)).mul_add(dot as f32, sum)
        }
    }
}

/// x [rows, k] in int8 blocks · wᵀ [k, n] in quantized blocks + bias `[n]`.
pub(super) fn quantized_product(
    x: &Tensor,
    words: &[i32],
    weight: &Tensor,
    format: BlockFormat,
    blocks: &[u8],
    bias: Option<&Tensor>,
) -> Tensor {
    let (k, n) = (x.width(), weight.shape[0]);
    let groups = format.elements() / INT8_BLOCK;
    let bias = bias.map(Tensor::floats);
    let mut y = Vec::new();
    for row in words.chunks_exact(k / INT8_BLOCK * INT8_BLOCK_WORDS) {
        let row: Vec<Activations> = row
            .as_chunks()
            .0
            .iter()
            .map(Activations::from_words)
            .collect();
        let weights = blocks.chunks_exact(k / format.elements() * format.bytes());
        for (j, weights) in weights.enumerate() {
            let sum = row.iter().enumerate().fold(0f32, |sum, (b, x)| {
                let block = &weights[b / groups * format.bytes()..];
                let group = format.group(block, b % groups);
                group.map_or(f32::NAN, |group| add_to(sum, &group, x))
            });
            y.push(bias.as_ref().map_or(sum, |bias| sum + bias[j]));
        }
    }
    let mut shape = x.shape.clone();
    shape.pop();
    shape.push(n);
    Tensor::f32(shape, y)
}
