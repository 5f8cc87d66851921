//! The plain meaning of int8 blocks, and of their products with quantized weights.
//!
//! `kernels/quantized` writes the arithmetic down; this is the same in plain loops over the files' bytes.

use half::f16;

use super::tensor::{Data, Tensor};
use crate::blocks::BlockFormat;
use crate::kernels::quantized::{BLOCK, BLOCK_WORDS};

/// 32 activations as bytes, and what multiplies them.
struct Activations {
    scale: f32,
    quants: [i32; BLOCK],
}

impl Activations {
    fn of(x: &[f32]) -> Activations {
        let magnitude = |x: &f32| if x.is_nan() { f32::INFINITY } else { x.abs() };
        let largest = x.iter().map(magnitude).fold(0f32, f32::max);
        let inverse = 127.0 / largest;
        let mut quants = [0; BLOCK];
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

    fn words(&self) -> [i32; BLOCK_WORDS] {
        let mut words = [0; BLOCK_WORDS];
        let scaled_sum = self.scale * self.sum(0..BLOCK) as f32;
        words[0] = self.scale.to_bits().cast_signed();
        words[1] = scaled_sum.to_bits().cast_signed();
        words[2] = self.sum(0..16) & 0xffff | self.sum(16..32) << 16;
        for (word, quants) in words[3..].iter_mut().zip(self.quants.as_chunks().0) {
            *word = i32::from_le_bytes(quants.map(|quant: i32| quant as u8));
        }
        words
    }

    fn from_words(words: &[i32; BLOCK_WORDS]) -> Activations {
        let bytes = words[3..].iter().flat_map(|word| word.to_le_bytes());
        let mut quants = [0; BLOCK];
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
    let blocks = floats.as_chunks::<BLOCK>().0.iter();
    let words = blocks.flat_map(|x| Activations::of(x).words()).collect();
    Tensor {
        shape: x.shape.clone(),
        data: Data::Int8(words),
    }
}

/// What a format takes off 32 weights.
enum Minimum {
    /// Nothing.
    None,
    /// The same of each.
    Whole(f32),
    /// A multiple of the float of each, one for the first and one for the last 16.
    Halves(f32, [i32; 2]),
}

/// 32 weights: element i is d · ints[i] less the minimum.
struct Weights {
    ints: [i32; BLOCK],
    d: f32,
    minimum: Minimum,
}

impl Weights {
    /// The `number`-th 32 weights of a block.
    fn of(format: BlockFormat, block: &[u8], number: usize) -> Weights {
        let float = |at: usize| f16::from_le_bytes([block[at], block[at + 1]]).to_f32();
        let byte = |at: usize| i32::from(block[at]);
        // 16 bytes from `at` on, the first 16 elements in low and the last in high nibbles.
        let nibble = |at: usize, i: usize| byte(at + i % 16) >> (4 * (i / 16)) & 15;
        // 32 bytes from `at` on, two 32-blocks side by side in low and high nibbles.
        let pair = |at: usize, i: usize| byte(at + number / 2 * 32 + i) >> (4 * (number % 2)) & 15;
        // 32 bytes from `at` on, four 32-blocks side by side in two bits each.
        let two_bits = |at: usize, i: usize| {
            let (half, quarter) = (number / 4, number % 4);
            byte(at + 32 * half + i) >> (2 * quarter) & 3
        };
        // One bit of each of 32 elements.
        let bit = |at: usize, i: usize| byte(at + i / 8) >> (i % 8) & 1;
        // The 6-bit scale and minimum of eight in twelve bytes.
        let six_bits = |at: usize| match number {
            0..4 => (byte(at + number) & 63, byte(at + number + 4) & 63),
            _ => {
                let low = byte(at + number + 4);
                let (scale, minimum) = (byte(at + number - 4) >> 6, byte(at + number) >> 6);
                (low & 15 | scale << 4, low >> 4 | minimum << 4)
            }
        };
        let ints = |int: &dyn Fn(usize) -> i32| std::array::from_fn(int);
        let plain = |ints, d| Weights {
            ints,
            d,
            minimum: Minimum::None,
        };
        match format {
            BlockFormat::Q4_0 => plain(ints(&|i| nibble(2, i) - 8), float(0)),
            BlockFormat::Q5_0 => {
                let int = |i| (nibble(6, i) | bit(2, i) << 4) - 16;
                plain(ints(&int), float(0))
            }
            BlockFormat::Q8_0 => plain(ints(&|i| i32::from(block[2 + i] as i8)), float(0)),
            BlockFormat::Iq4Nl => plain(ints(&|i| LEVELS[nibble(2, i) as usize]), float(0)),
            BlockFormat::Q4_1 => Weights {
                ints: ints(&|i| nibble(4, i)),
                d: float(0),
                minimum: Minimum::Whole(-float(2)),
            },
            BlockFormat::Q5_1 => Weights {
                ints: ints(&|i| nibble(8, i) | bit(4, i) << 4),
                d: float(0),
                minimum: Minimum::Whole(-float(2)),
            },
            BlockFormat::Q4K => {
                let (scale, minimum) = six_bits(4);
                Weights {
                    ints: ints(&|i| pair(16, i)),
                    d: float(0) * scale as f32,
                    minimum: Minimum::Whole(float(2) * minimum as f32),
                }
            }
            BlockFormat::Q5K => {
                let (scale, minimum) = six_bits(4);
                Weights {
                    ints: ints(&|i| pair(48, i) | (byte(16 + i) >> number & 1) << 4),
                    d: float(0) * scale as f32,
                    minimum: Minimum::Whole(float(2) * minimum as f32),
                }
            }
            BlockFormat::Iq4Xs => {
                let low = byte(4 + number / 2) >> (4 * (number % 2)) & 15;
                let high = (byte(2) | byte(3) << 8) >> (2 * number) & 3;
                let int = |i| LEVELS[nibble(8 + 16 * number, i) as usize];
                plain(ints(&int), float(0) * ((low | high << 4) - 32) as f32)
            }
            BlockFormat::Q6K => {
                let int = |i: usize| {
                    let (half, quarter) = (number / 4, number % 4);
                    let low = byte(64 * half + 32 * (quarter % 2) + i) >> (4 * (quarter / 2)) & 15;
                    let scale = i32::from(block[192 + 2 * number + i / 16] as i8);
                    scale * ((low | two_bits(128, i) << 4) - 32)
                };
                plain(ints(&int), float(208))
            }
            BlockFormat::Q3K => {
                let scale = |which: usize| {
                    let low = byte(96 + which % 8) >> (4 * (which / 8)) & 15;
                    let high = byte(104 + which % 4) >> (2 * (which / 4)) & 3;
                    (low | high << 4) - 32
                };
                let int = |i: usize| {
                    let high = byte(i) >> number & 1;
                    scale(2 * number + i / 16) * ((two_bits(32, i) | high << 2) - 4)
                };
                plain(ints(&int), float(108))
            }
            BlockFormat::Q2K => {
                let scales = |i: usize| byte(2 * number + i);
                Weights {
                    ints: ints(&|i| (scales(i / 16) & 15) * two_bits(16, i)),
                    d: float(80),
                    minimum: Minimum::Halves(float(82), [scales(0) >> 4, scales(1) >> 4]),
                }
            }
        }
    }

    /// `sum` and the product with 32 activations.
    fn add_to(&self, sum: f32, x: &Activations) -> f32 {
        let products = self.ints.iter().zip(&x.quants);
        let dot: i32 = products.map(|(w, x)| w * x).sum();
        let sum = (self.d * x.scale).mul_add(dot as f32, sum);
        match self.minimum {
            Minimum::None => sum,
            Minimum::Whole(m) => (-m).mul_add(x.scale * x.sum(0..BLOCK) as f32, sum),
            Minimum::Halves(m, [first, last]) => {
                let dot = first * x.sum(0..16) + last * x.sum(16..32);
                (-(m * x.scale)).mul_add(dot as f32, sum)
            }
        }
    }
}

/// What the 4-bit numbers of `IQ4_NL` and `IQ4_XS` stand for.
const LEVELS: [i32; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

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
    let groups = format.elements() / BLOCK;
    let bias = bias.map(Tensor::floats);
    let mut y = Vec::new();
    for row in words.chunks_exact(k / BLOCK * BLOCK_WORDS) {
        let row: Vec<Activations> = row
            .as_chunks()
            .0
            .iter()
            .map(Activations::from_words)
            .collect();
        let weights = blocks.chunks_exact(k / format.elements() * format.bytes());
        for (j, weights) in weights.enumerate() {
            let sum = row.iter().enumerate().fold(0f32, |sum, (b, x)| {
                let block = &weights[b / groups * format.bytes()..][..format.bytes()];
                Weights::of(format, block, b % groups).add_to(sum, x)
            });
            y.push(bias.as_ref().map_or(sum, |bias| sum + bias[j]));
        }
    }
    let mut shape = x.shape.clone();
    shape.pop();
    shape.push(n);
    Tensor::f32(shape, y)
}
