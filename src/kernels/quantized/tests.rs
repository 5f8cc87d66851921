//! Do the linear kernels equal the formulas in `mod.rs`, to the bit?
//!
//! The oracle decodes each block element by element, in the order of the file and without panels.

use std::sync::Arc;

use half::f16;

use super::activation_tests::{Quants, quantized_words};
use super::*;
use crate::blocks::{BlockFormat, Group, Minimum};
use crate::kernels::call::{Call, Kernel, Operand, QuantizedView, View};
use crate::kernels::elementwise::UnaryFunction;
use crate::kernels::linear::{GatedLinear, Linear, MergedLinear};
use crate::kernels::packed::{RowSource, RowTable};
use crate::kernels::panel_memory::PanelMemory;
use crate::kernels::simd::{Isa, Simd, Single};
use crate::kernels::testing::{
    bits, bits_of, call, cells, everywhere, int_cells, random, run, unwritten,
};
use crate::kernels::weights::Weights as _;

/// Writes `scale(i)` as scale number i of a block; a format of powers of two gets a power of about that size.
fn put_scales(format: BlockFormat, block: &mut [u8], scale: impl Fn(usize) -> f32) {
    for (i, at) in format.scales().enumerate() {
        block[at..at + 2].copy_from_slice(&f16::from_f32(scale(i)).to_le_bytes());
    }
    if format.panel().powers > 0 {
        block[0] = (128 + scale(0).abs().max(1e-6).log2() as i32) as u8;
    }
}

/// Random blocks [rows, cols]: every bit is random except the bits of the f16 scales, which are below 0.1.
struct Weights {
    rows: usize,
    cols: usize,
    format: BlockFormat,
    bytes: Vec<u8>,
}

impl Weights {
    fn new(rows: usize, cols: usize, format: BlockFormat, seed: u32) -> Weights {
        let blocks = rows * cols / format.elements();
        let mut bytes: Vec<u8> = random(blocks * format.bytes(), seed)
            .into_iter()
            .map(|x| (x.to_bits() >> 8) as u8 ^ x.to_bits() as u8)
            .collect();
        let scales = random(2 * blocks, seed + 1);
        for (block, scales) in bytes
            .chunks_exact_mut(format.bytes())
            .zip(scales.chunks_exact(2))
        {
            put_scales(format, block, |i| scales[i] / 40.0);
        }
        Weights {
            rows,
            cols,
            format,
            bytes,
        }
    }

    fn row(&self, row: usize) -> &[u8] {
        let bytes = self.cols / self.format.elements() * self.format.bytes();
        &self.bytes[row * bytes..(row + 1) * bytes]
    }

    /// The 32-blocks of a row.
    fn groups(&self, row: usize) -> Vec<Group> {
        let (format, count) = (self.format, self.format.elements() / 32);
        let blocks = self.row(row).chunks_exact(format.bytes());
        let groups = |block| (0..count).map(move |number| format.group(block, number).unwrap());
        blocks.flat_map(groups).collect()
    }

    fn packed(&self) -> QuantizedMatrix {
        QuantizedMatrix::pack(&mut PanelMemory::default(), self, 1).unwrap()
    }

    /// The sums of [tokens, cols] activations, plus the bias: [tokens, rows].
    fn sums(&self, x: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let rows: Vec<_> = (0..self.rows).map(|row| self.groups(row)).collect();
        let mut y = Vec::new();
        for x in x.chunks_exact(self.cols) {
            let x: Vec<_> = x.chunks_exact(32).map(Quants::of).collect();
            for (r, row) in rows.iter().enumerate() {
                let sum = row.iter().zip(&x).fold(0.0, |sum, (w, x)| {
                    let by_halves = |weights: &dyn Fn(usize) -> i32| -> i32 {
                        (0..32).map(|i| weights(i) * x.quants[i]).sum()
                    };
                    let dot = by_halves(&|i| i32::from(w.factors[i / 16]) * i32::from(w.ints[i]));
                    let sum = (w.d * x.scale).mul_add(dot as f32, sum);
                    match w.minimum {
                        Minimum::None => sum,
                        Minimum::Whole(m) => {
                            let total: i32 = x.quants.iter().sum();
                            (-m).mul_add(x.scale * total as f32, sum)
                        }
                        Minimum::Halves(m, factors) => {
                            let minimums = by_halves(&|i| i32::from(factors[i / 16]));
                            (-(m * x.scale)).mul_add(minimums as f32, sum)
                        }
                    }
                });
                y.push(bias.map_or(sum, |bias| sum + bias[r]));
            }
        }
        y
    }
}

impl BlockSource for Weights {
    fn rows(&self) -> usize {
        self.rows
    }
    fn cols(&self) -> usize {
        self.cols
    }
    fn format(&self) -> BlockFormat {
        self.format
    }
    fn copy_blocks(&self, row: usize, first: usize, out: &mut [u8]) {
        out.copy_from_slice(&self.row(row)[first * self.format.bytes()..][..out.len()]);
    }
}

/// A kernel that does not use VNNI even if the CPU has it.
#[derive(Clone)]
struct WithoutVnni<K>(K);

// SAFETY: the same as for `K`.
unsafe impl<K: Kernel> Kernel for WithoutVnni<K> {
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        // SAFETY: the caller makes the promise that is required here.
        unsafe { self.0.run(simd, call) };
    }
}

/// Runs `kernel` on x [tokens, cols] with `operands` after x, for outputs of these widths.
fn outputs_of<K: Kernel + Clone>(
    kernel: &K,
    (isa, threads): (Isa, usize),
    (x, tokens): (&[f32], usize),
    operands: &[Operand<'_>],
    widths: &[usize],
) -> Vec<Vec<u32>> {
    let cols = x.len() / tokens;
    let words = int_cells(&quantized_words(x));
    let mut inputs = vec![Operand::QuantizedTensor(QuantizedView::new(
        &words, tokens, cols,
    ))];
    inputs.extend(operands);
    let memory: Vec<_> = widths
        .iter()
        .map(|width| unwritten(tokens * width))
        .collect();
    let views: Vec<_> = memory
        .iter()
        .zip(widths)
        .map(|(y, width)| View::new(y, &[tokens, *width]))
        .collect();
    let call = call(&inputs, &views);
    run(
        kernel,
        isa,
        threads,
        Blocks::scratch_floats(cols, tokens),
        &call,
    );
    memory.iter().map(|y| bits(y)).collect()
}

fn optional(values: Option<&[f32]>) -> Operand<'_> {
    values.map_or(Operand::Absent, |values| Operand::Constant(values, &[]))
}

/// Row lengths of whole blocks; for short blocks they are not multiples of 256.
fn cols_of(format: BlockFormat) -> [usize; 2] {
    [format.elements(), format.elements() * 3]
}

#[test]
fn every_format_sums_as_its_formula_says() {
    let kernel = Linear {
        activation: None,
        weights: Blocks,
    };
    for format in BlockFormat::ALL {
        for cols in cols_of(format) {
            let weights = Weights::new(35, cols, format, 3);
            let packed = weights.packed();
            let operands = [Operand::Quantized(&packed), Operand::Absent];
            for tokens in [1, 2, 4, 5, 9, 13, 16, 17] {
                let x = random(tokens * cols, 5);
                let want = bits_of(&weights.sums(&x, None));
                everywhere(|isa, threads| {
                    let y = outputs_of(&kernel, (isa, threads), (&x, tokens), &operands, &[35]);
                    assert!(y[0] == want, "{format} {cols} {tokens} {isa:?} {threads}");
                });
                let plain = WithoutVnni(kernel);
                for isa in Isa::available() {
                    let y = outputs_of(&plain, (isa, 1), (&x, tokens), &operands, &[35]);
                    assert!(
                        y[0] == want,
                        "{format} {cols} {tokens} {isa:?} without VNNI"
                    );
                }
            }
        }
    }
}

#[test]
fn sums_stay_exact_where_every_product_is_the_largest() {
    let kernel = Linear {
        activation: None,
        weights: Blocks,
    };
    for format in BlockFormat::ALL {
        let cols = format.elements();
        let mut weights = Weights::new(16, cols, format, 3);
        // Rows of all ones and rows of all zeros, except for the f16 scales.
        for (row, bytes) in weights
            .bytes
            .chunks_exact_mut(cols / format.elements() * format.bytes())
            .enumerate()
        {
            bytes.fill([0xff, 0x00, 0x80, 0x7f][row % 4]);
            put_scales(format, bytes, |_| 0.5);
        }
        let packed = weights.packed();
        let operands = [Operand::Quantized(&packed), Operand::Absent];
        for (tokens, value) in [(1, 3.0), (1, -3.0), (2, -3.0)] {
            let x = vec![value; tokens * cols];
            let want = bits_of(&weights.sums(&x, None));
            everywhere(|isa, threads| {
                let y = outputs_of(&kernel, (isa, threads), (&x, tokens), &operands, &[16]);
                assert!(y[0] == want, "{format} {value} {isa:?} {threads}");
            });
        }
    }
}

#[test]
fn each_of_many_tokens_is_computed_as_if_alone() {
    let kernel = Linear {
        activation: None,
        weights: Blocks,
    };
    for (format, cols) in [(BlockFormat::Q5_0, 672), (BlockFormat::Q6K, 512)] {
        let weights = Weights::new(17, cols, format, 8);
        let packed = weights.packed();
        let operands = [Operand::Quantized(&packed), Operand::Absent];
        for tokens in [64, 65, 135] {
            let x = random(tokens * cols, 5);
            everywhere(|isa, threads| {
                let many = outputs_of(&kernel, (isa, threads), (&x, tokens), &operands, &[17]);
                for (x, many) in x.chunks_exact(cols).zip(many[0].chunks_exact(17)) {
                    let one = outputs_of(&kernel, (isa, 1), (x, 1), &operands, &[17]);
                    assert!(one[0] == many, "{format} {tokens} {isa:?} {threads}");
                }
            });
        }
    }
}

#[test]
fn the_sum_is_near_the_sum_of_the_unquantized_activations() {
    for format in BlockFormat::ALL {
        let (rows, cols) = (16, 512);
        let weights = Weights::new(rows, cols, format, 21);
        let packed = weights.packed();
        let x = random(cols, 22);
        let y = outputs_of(
            &Linear {
                activation: None,
                weights: Blocks,
            },
            (Isa::detect(), 1),
            (&x, 1),
            &[Operand::Quantized(&packed), Operand::Absent],
            &[rows],
        );
        for (row, y) in y[0].iter().enumerate() {
            let mut values = vec![0.0; cols];
            format.dequantize(weights.row(row), &mut values);
            let exact: f64 = values
                .iter()
                .zip(&x)
                .map(|(w, x)| f64::from(*w) * f64::from(*x))
                .sum();
            // Each activation is off by at most half a step; the rounding of f32 sums adds little to that.
            let bound: f64 = values
                .chunks(32)
                .zip(x.chunks(32))
                .map(|(w, x)| {
                    let half = Quants::of(x).scale / 2.0;
                    w.iter().map(|w| f64::from(w.abs() * half)).sum::<f64>()
                })
                .sum();
            let got = f64::from(f32::from_bits(*y));
            assert!(
                (got - exact).abs() <= bound * 1.001,
                "{format}: {got} is not {exact} ± {bound}"
            );
        }
    }
}

#[test]
fn packed_rows_read_as_the_files_floats() {
    for format in BlockFormat::ALL {
        for (cols, rows, threads) in [(512, 33, 1), (768, 50, 3)] {
            let weights = Weights::new(rows, cols, format, 11);
            let packed =
                QuantizedMatrix::pack(&mut PanelMemory::default(), &weights, threads).unwrap();
            let table = RowTable::new(Arc::new(packed));
            for row in 0..rows {
                let mut want = vec![0.0; cols];
                format.dequantize(weights.row(row), &mut want);
                let got = unwritten(cols);
                table.copy_row(row, &got);
                assert!(bits(&got) == bits_of(&want), "{format} {row}");
            }
        }
    }
}

#[test]
fn parts_of_rows_begin_and_end_within_blocks() {
    for format in [BlockFormat::Q4_0, BlockFormat::Q4K] {
        let weights = Weights::new(20, 512, format, 12);
        let packed = weights.packed();
        let mut want = vec![0.0; 512];
        format.dequantize(weights.row(18), &mut want);
        for (start, count) in [(0, 512), (1, 40), (31, 2), (255, 257), (300, 0)] {
            let mut got = vec![f32::NAN; count];
            packed.copy_part(18, start, &mut got);
            assert_eq!(got, want[start..start + count], "{format} {start} {count}");
        }
    }
}

#[test]
fn a_packed_matrix_is_as_long_as_the_file_plus_powers_of_two() {
    for format in BlockFormat::ALL {
        let packed = Weights::new(32, 512, format, 1).packed();
        let blocks = 32 * 512 / format.elements();
        // A power of two takes one byte more than in the file.
        let bytes = blocks * (format.bytes() + format.panel().powers);
        assert!(packed.bytes() >= bytes && packed.bytes() < bytes + 2 * 64);
        assert_eq!(
            packed.bytes(),
            QuantizedMatrix::bytes_for(32, 512, format),
            "{format}"
        );
        assert_eq!((packed.panels(), packed.panel_rows(1)), (2, 16..32));
    }
}

#[test]
fn an_impossible_shape_is_an_error() {
    let zeroed = |rows, cols| {
        QuantizedMatrix::zeroed(&mut PanelMemory::default(), rows, cols, BlockFormat::Q4K)
    };
    assert!(zeroed(16, 128).is_err());
    assert!(zeroed(usize::MAX, 256).is_err());
    assert!(zeroed(16, usize::MAX & !255).is_err());
    assert!(zeroed(0, 256).is_ok());
}

#[test]
fn segments_and_gates_may_differ_in_format() {
    let cols = 512;
    let formats = [BlockFormat::Q4K, BlockFormat::Q6K, BlockFormat::Q8_0];
    let rows = [40, 16, 9];
    let weights: Vec<_> = (0..3)
        .map(|i| Weights::new(rows[i], cols, formats[i], 30 + i as u32))
        .collect();
    let packed: Vec<_> = weights.iter().map(Weights::packed).collect();
    let bias = random(rows[2], 7);
    let biases = [None, None, Some(&bias[..])];
    let (gate, up) = (&weights[0], Weights::new(40, cols, formats[1], 40));
    let up_packed = up.packed();
    for tokens in [1, 11] {
        let x = random(tokens * cols, 6);
        let merged: Vec<_> = weights
            .iter()
            .zip(biases)
            .map(|(weights, bias)| bits_of(&weights.sums(&x, bias)))
            .collect();
        let mut operands: Vec<_> = packed.iter().map(Operand::Quantized).collect();
        operands.extend(biases.map(optional));
        let gated: Vec<f32> = gate
            .sums(&x, None)
            .iter()
            .zip(up.sums(&x, None))
            .map(|(gate, up)| UnaryFunction::Silu.apply(Single, *gate) * up)
            .collect();
        let gated_operands = [
            Operand::Quantized(&packed[0]),
            Operand::Quantized(&up_packed),
        ];
        everywhere(|isa, threads| {
            let kernel = MergedLinear {
                segments: 3,
                weights: Blocks,
            };
            let y = outputs_of(&kernel, (isa, threads), (&x, tokens), &operands, &rows);
            assert!(y == merged, "{tokens} {isa:?} {threads}");
            let kernel = GatedLinear {
                weights: Blocks,
                activation: UnaryFunction::Silu,
            };
            let y = outputs_of(
                &kernel,
                (isa, threads),
                (&x, tokens),
                &gated_operands,
                &[40],
            );
            assert!(y[0] == bits_of(&gated), "{tokens} {isa:?} {threads}");
        });
    }
}

#[test]
fn bias_activation_and_residual_follow_the_sum() {
    let (rows, cols, tokens) = (33, 64, 5);
    let weights = Weights::new(rows, cols, BlockFormat::Q4_0, 50);
    let packed = weights.packed();
    let (x, bias) = (random(tokens * cols, 1), random(rows, 2));
    let residual = random(tokens * rows, 3);
    let want: Vec<f32> = weights
        .sums(&x, Some(&bias))
        .iter()
        .zip(&residual)
        .map(|(sum, residual)| UnaryFunction::Silu.apply(Single, *sum) + residual)
        .collect();
    everywhere(|isa, threads| {
        let residual = cells(&residual);
        let kernel = Linear {
            weights: Blocks,
            activation: Some(UnaryFunction::Silu),
        };
        let operands = [
            Operand::Quantized(&packed),
            Operand::Constant(&bias, &[]),
            Operand::Tensor(View::new(&residual, &[tokens, rows])),
        ];
        let y = outputs_of(&kernel, (isa, threads), (&x, tokens), &operands, &[rows]);
        assert!(y[0] == bits_of(&want), "{isa:?} {threads}");
    });
}

#[test]
fn a_block_that_is_not_finite_makes_every_sum_it_meets_nan() {
    let weights = Weights::new(16, 96, BlockFormat::Q4_1, 2);
    let packed = weights.packed();
    let mut x = random(2 * 96, 1);
    x[40] = f32::INFINITY;
    everywhere(|isa, threads| {
        let kernel = Linear {
            activation: None,
            weights: Blocks,
        };
        let operands = [Operand::Quantized(&packed), Operand::Absent];
        let y = outputs_of(&kernel, (isa, threads), (&x, 2), &operands, &[16]);
        let nan = |y: &[u32]| y.iter().filter(|y| f32::from_bits(**y).is_nan()).count();
        assert_eq!((nan(&y[0][..16]), nan(&y[0][16..])), (16, 0), "{isa:?}");
    });
}
