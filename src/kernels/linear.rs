//! Linear layers: a single layer, several layers over the same activations in one step, and the gated pair of feed-forward
//! blocks.
//!
//! ```text
//! linear(x, w, bias, residual): for each token t, for each row r of w:
//!     sum = +0
//!     for c in 0..cols: sum = fma(x[t][c], w[r][c], sum)
//!     if bias:       sum = sum + bias[r]
//!     if activation: sum = activation(sum)
//!     if residual:   sum = sum + residual[t][r]
//!     y[t][r] = sum
//!
//! MergedLinear(x, w_i, bias_i):        y_i = linear(x, w_i, bias_i)
//! GatedLinear(x, gate, up, biases):    y = activation(linear(x, gate, gate_bias)) · linear(x, up, up_bias)
//! ```
//!
//! The lanes are 16 rows of the weights, so that each output's operations are exactly these. The chain is in `tile.rs`.
//! Pieces share the panels of 16 rows, and the tokens where there are many. The kernels are written once for every kind of
//! [`Weights`]: floats have the chain above, in `tile.rs`; quantized blocks have the sum of int8 blocks that `quantized`
//! writes down.

use super::call::{Call, Kernel, View};
use super::elementwise::UnaryFunction;
use super::packed::{PackedMatrix, PanelWeights};
use super::simd::{LANES, Simd};
use super::tile;
use super::weights::{Floats, Product, Sums, Weights};

impl Weights for Floats {
    type Matrix = PackedMatrix;
    type Panel<'a> = PanelWeights<'a>;
    const INT8: bool = false;

    fn scratch_floats(cols: usize, tokens: usize) -> usize {
        tile::scratch_floats(cols, tokens)
    }

    #[inline(always)]
    fn operand<'a>(call: &Call<'a>, i: usize) -> &'a PackedMatrix {
        call.packed(i)
    }

    #[inline(always)]
    fn panels(matrix: &PackedMatrix) -> usize {
        matrix.panels()
    }

    #[inline(always)]
    fn panel(matrix: &PackedMatrix, panel: usize) -> PanelWeights<'_> {
        matrix.panel(panel)
    }

    fn pieces<const U: usize>(call: &Call<'_>, units: usize) -> usize {
        tile::pieces::<U>(call, units)
    }

    #[inline(always)]
    fn products<S: Simd, const U: usize, P: Product<U, Self>>(
        simd: S,
        call: &Call<'_>,
        units: usize,
        product: &P,
    ) {
        tile::products(simd, call, units, product);
    }
}

/// y = activation(x · wᵀ + bias) + residual.
///
/// Inputs: x [.., cols], w [rows, cols], bias `[rows]` or absent, residual [.., rows] or absent. Output: [.., rows],
/// which may be the residual's memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear<W> {
    /// The function that is applied after the bias.
    pub activation: Option<UnaryFunction>,
    /// The kind of weights.
    pub weights: W,
}

// SAFETY: a piece writes only the columns of its panels for its tokens, and reads the residual only there.
unsafe impl<W: Weights> Kernel for Linear<W> {
    const INT8: bool = W::INT8;

    fn pieces(&self, call: &Call<'_>) -> usize {
        W::pieces::<1>(call, W::panels(W::operand(call, 1)))
    }

    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let one = One::<W> {
            weights: W::operand(call, 1),
            bias: call.optional_constant(2),
            activation: self.activation,
            residual: call.optional_tensor(3),
            output: call.outputs[0],
        };
        W::products(simd, call, W::panels(one.weights), &one);
    }
}

struct One<'a, W: Weights> {
    weights: &'a W::Matrix,
    bias: Option<&'a [f32]>,
    activation: Option<UnaryFunction>,
    residual: Option<View<'a>>,
    output: View<'a>,
}

impl<W: Weights> Product<1, W> for One<'_, W> {
    #[inline(always)]
    fn panels(&self, unit: usize) -> [W::Panel<'_>; 1] {
        [W::panel(self.weights, unit)]
    }

    #[inline(always)]
    fn finish<S: Simd>(&self, simd: S, unit: usize, first: usize, [sums]: [Sums<'_>; 1]) {
        let bias = bias_of(simd, self.bias, unit);
        for (token, sum) in (first..).zip(sums) {
            let mut y = add(simd, simd.load_cells(sum), bias);
            if let Some(activation) = self.activation {
                y = activation.apply(simd, y);
            }
            if let Some(residual) = self.residual {
                y = simd.add(y, simd.load_at(residual.row(token), unit * LANES));
            }
            simd.store_at(self.output.row(token), unit * LANES, y);
        }
    }
}

/// Several linear layers of the same activations; the threads share their panels as if they belonged to one layer.
///
/// Inputs: x [.., cols], then `segments` weights [rows_i, cols], then as many biases `[rows_i]`, each of which may be
/// absent. Outputs: [.., rows_i].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergedLinear<W> {
    /// The number of layers.
    pub segments: usize,
    /// The kind of weights.
    pub weights: W,
}

// SAFETY: a piece writes only the columns of its panels for its tokens.
unsafe impl<W: Weights> Kernel for MergedLinear<W> {
    const INT8: bool = W::INT8;

    fn pieces(&self, call: &Call<'_>) -> usize {
        W::pieces::<1>(call, self.panels(call))
    }

    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let segments = self.segments;
        let merged = Merged { call, segments };
        W::products(simd, call, self.panels(call), &merged);
    }
}

impl<W: Weights> MergedLinear<W> {
    /// The panels of all layers.
    #[inline(always)]
    fn panels(&self, call: &Call<'_>) -> usize {
        (0..self.segments)
            .map(|i| W::panels(W::operand(call, 1 + i)))
            .sum()
    }
}

struct Merged<'a> {
    call: &'a Call<'a>,
    segments: usize,
}

impl Merged<'_> {
    /// The segment that contains panel `unit` of all panels, its weights, and the number of the panel within the segment.
    #[inline(always)]
    fn find<W: Weights>(&self, mut unit: usize) -> (usize, &W::Matrix, usize) {
        for segment in 0..self.segments {
            let weights = W::operand(self.call, 1 + segment);
            let panels = W::panels(weights);
            if unit < panels {
                return (segment, weights, unit);
            }
            unit -= panels;
        }
        unreachable!("more panels than the segments hold")
    }
}

impl<W: Weights> Product<1, W> for Merged<'_> {
    #[inline(always)]
    fn panels(&self, unit: usize) -> [W::Panel<'_>; 1] {
        let (_, weights, panel) = self.find::<W>(unit);
        [W::panel(weights, panel)]
    }

    #[inline(always)]
    fn finish<S: Simd>(&self, simd: S, unit: usize, first: usize, [sums]: [Sums<'_>; 1]) {
        let (segment, _, panel) = self.find::<W>(unit);
        let bias = self.call.optional_constant(1 + self.segments + segment);
        let (bias, output) = (bias_of(simd, bias, panel), self.call.outputs[segment]);
        for (token, sum) in (first..).zip(sums) {
            let y = add(simd, simd.load_cells(sum), bias);
            simd.store_at(output.row(token), panel * LANES, y);
        }
    }
}

/// y = activation(x · gateᵀ + gate_bias) · (x · upᵀ + up_bias).
///
/// Inputs: x [.., cols], gate and up [rows, cols], gate_bias and up_bias `[rows]`, each of which may be absent. Output:
/// [.., rows].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GatedLinear<W> {
    /// The function that is applied to the gate.
    pub activation: UnaryFunction,
    /// The kind of weights.
    pub weights: W,
}

// SAFETY: a piece writes only the columns of its panels for its tokens.
unsafe impl<W: Weights> Kernel for GatedLinear<W> {
    const INT8: bool = W::INT8;

    fn pieces(&self, call: &Call<'_>) -> usize {
        W::pieces::<2>(call, W::panels(W::operand(call, 1)))
    }

    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let gated = Gated::<W> {
            gate: W::operand(call, 1),
            up: W::operand(call, 2),
            gate_bias: call.optional_constant(3),
            up_bias: call.optional_constant(4),
            activation: self.activation,
            output: call.outputs[0],
        };
        W::products(simd, call, W::panels(gated.gate), &gated);
    }
}

struct Gated<'a, W: Weights> {
    gate: &'a W::Matrix,
    up: &'a W::Matrix,
    gate_bias: Option<&'a [f32]>,
    up_bias: Option<&'a [f32]>,
    activation: UnaryFunction,
    output: View<'a>,
}

impl<W: Weights> Product<2, W> for Gated<'_, W> {
    #[inline(always)]
    fn panels(&self, unit: usize) -> [W::Panel<'_>; 2] {
        [W::panel(self.gate, unit), W::panel(self.up, unit)]
    }

    #[inline(always)]
    fn finish<S: Simd>(&self, simd: S, unit: usize, first: usize, [gates, ups]: [Sums<'_>; 2]) {
        let gate_bias = bias_of(simd, self.gate_bias, unit);
        let up_bias = bias_of(simd, self.up_bias, unit);
        for (token, (gate, up)) in (first..).zip(gates.iter().zip(ups)) {
            let gate = add(simd, simd.load_cells(gate), gate_bias);
            let gate = self.activation.apply(simd, gate);
            let up = add(simd, simd.load_cells(up), up_bias);
            simd.store_at(self.output.row(token), unit * LANES, simd.mul(gate, up));
        }
    }
}

/// The biases for the rows of a panel, if there are any.
#[expect(
    clippy::manual_map,
    reason = "a closure is not compiled with the features"
)]
#[inline(always)]
fn bias_of<S: Simd>(simd: S, bias: Option<&[f32]>, panel: usize) -> Option<S::F32> {
    match bias {
        Some(bias) => Some(simd.load_slice_at(bias, panel * LANES)),
        None => None,
    }
}

/// The sums of the rows of a panel, plus the biases if there are any.
#[inline(always)]
fn add<S: Simd>(simd: S, sum: S::F32, bias: Option<S::F32>) -> S::F32 {
    match bias {
        Some(bias) => simd.add(sum, bias),
        None => sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::call::Operand;
    use crate::kernels::packed::{PackSource, to_f32};
    use crate::kernels::panel_memory::PanelMemory;
    use crate::kernels::simd::Single;
    use crate::kernels::testing::{bits, bits_of, cells, everywhere, random, run, unwritten};
    use crate::types::DType;

    const TYPES: [DType; 3] = [DType::F32, DType::F16, DType::BF16];

    /// Weights [rows, cols] that are exact in their type.
    struct Weights {
        rows: usize,
        cols: usize,
        weight_type: DType,
        bits: Vec<u32>,
    }

    impl Weights {
        fn new(rows: usize, cols: usize, weight_type: DType, seed: u32) -> Self {
            let bits = random(rows * cols, seed)
                .into_iter()
                .map(|x| match weight_type {
                    DType::F32 => x.to_bits(),
                    DType::F16 => half::f16::from_f32(x).to_bits().into(),
                    _ => half::bf16::from_f32(x).to_bits().into(),
                })
                .collect();
            Weights {
                rows,
                cols,
                weight_type,
                bits,
            }
        }

        fn packed(&self) -> PackedMatrix {
            PackedMatrix::pack(&mut PanelMemory::default(), self, 1).unwrap()
        }

        /// The chains of [tokens, cols] activations, plus the bias: [tokens, rows].
        fn chains(&self, x: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
            let mut y = Vec::new();
            for x in x.chunks_exact(self.cols) {
                for r in 0..self.rows {
                    let mut sum = 0.0f32;
                    for (c, x) in x.iter().enumerate() {
                        sum =
                            x.mul_add(to_f32(self.weight_type, self.bits[r * self.cols + c]), sum);
                    }
                    y.push(bias.map_or(sum, |bias| sum + bias[r]));
                }
            }
            y
        }
    }

    impl PackSource for Weights {
        fn rows(&self) -> usize {
            self.rows
        }
        fn cols(&self) -> usize {
            self.cols
        }
        fn dtype(&self) -> DType {
            self.weight_type
        }
        fn copy_bits(&self, row: usize, start: usize, out: &mut [u32]) {
            out.copy_from_slice(&self.bits[row * self.cols + start..][..out.len()]);
        }
    }

    fn optional(values: Option<&[f32]>) -> Operand<'_> {
        values.map_or(Operand::Absent, |values| Operand::Constant(values, &[]))
    }

    /// Runs `kernel` on x [tokens, cols] with `operands` after x, for outputs of these widths.
    fn outputs_of<K: Kernel + Clone>(
        kernel: &K,
        (isa, threads): (crate::kernels::simd::Isa, usize),
        (x, tokens): (&[f32], usize),
        operands: &[Operand<'_>],
        widths: &[usize],
    ) -> Vec<Vec<u32>> {
        let x = cells(x);
        let cols = x.len() / tokens;
        let mut inputs = vec![Operand::Tensor(View::new(&x, &[tokens, cols]))];
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
        let call = crate::kernels::testing::call(&inputs, &views);
        run(
            kernel,
            isa,
            threads,
            <Floats as super::Weights>::scratch_floats(cols, tokens),
            &call,
        );
        memory.iter().map(|y| bits(y)).collect()
    }

    #[test]
    fn every_output_is_one_chain_over_the_columns() {
        for (tokens, rows, cols) in [
            (1, 1, 1),
            (1, 17, 33),
            (1, 80, 600),
            (1, 150, 16),
            (2, 33, 7),
            (5, 48, 16),
            (12, 32, 513),
            (23, 50, 64),
            (100, 33, 1030),
        ] {
            for weight_type in TYPES {
                let weights = Weights::new(rows, cols, weight_type, 1);
                let x = random(tokens * cols, 2);
                let expected = bits_of(&weights.chains(&x, None));
                let packed = weights.packed();
                everywhere(|isa, threads| {
                    let kernel = Linear {
                        activation: None,
                        weights: Floats,
                    };
                    let operands = [Operand::Packed(&packed), Operand::Absent, Operand::Absent];
                    let y = outputs_of(&kernel, (isa, threads), (&x, tokens), &operands, &[rows]);
                    assert!(
                        y[0] == expected,
                        "{tokens} {rows} {cols} {weight_type:?} {isa:?} {threads}"
                    );
                });
            }
        }
    }

    #[test]
    fn bias_activation_and_residual_follow_in_this_order_even_in_the_residuals_memory() {
        for (tokens, rows) in [(1, 37), (14, 37)] {
            let cols = 520;
            let weights = Weights::new(rows, cols, DType::F32, 3);
            let (x, bias, residual) = (
                random(tokens * cols, 4),
                random(rows, 5),
                random(tokens * rows, 6),
            );
            let expected: Vec<f32> = weights
                .chains(&x, Some(&bias))
                .iter()
                .zip(&residual)
                .map(|(sum, residual)| UnaryFunction::Silu.apply(Single, *sum) + residual)
                .collect();
            let packed = weights.packed();
            everywhere(|isa, threads| {
                let (x, y) = (cells(&x), cells(&residual));
                let y = View::new(&y, &[tokens, rows]);
                let inputs = [
                    Operand::Tensor(View::new(&x, &[tokens, cols])),
                    Operand::Packed(&packed),
                    Operand::Constant(&bias, &[]),
                    Operand::Tensor(y),
                ];
                let kernel = Linear {
                    weights: Floats,
                    activation: Some(UnaryFunction::Silu),
                };
                let outputs = [y];
                let call = crate::kernels::testing::call(&inputs, &outputs);
                run(
                    &kernel,
                    isa,
                    threads,
                    <Floats as super::Weights>::scratch_floats(cols, tokens),
                    &call,
                );
                assert!(
                    bits(y.cells) == bits_of(&expected),
                    "{tokens} {isa:?} {threads}"
                );
            });
        }
    }

    #[test]
    fn merged_layers_equal_separate_layers_for_all_types() {
        let cols = 70;
        let parts = [
            Weights::new(40, cols, DType::F16, 7),
            Weights::new(16, cols, DType::F32, 8),
            Weights::new(9, cols, DType::BF16, 9),
        ];
        let packed: Vec<_> = parts.iter().map(Weights::packed).collect();
        let bias = random(16, 10);
        for tokens in [1, 13] {
            let x = random(tokens * cols, 11);
            let expected: Vec<_> = parts
                .iter()
                .map(|part| bits_of(&part.chains(&x, (part.rows == 16).then_some(&bias[..]))))
                .collect();
            let mut operands: Vec<_> = packed.iter().map(Operand::Packed).collect();
            operands.extend([Operand::Absent, optional(Some(&bias)), Operand::Absent]);
            everywhere(|isa, threads| {
                let kernel = MergedLinear {
                    segments: 3,
                    weights: Floats,
                };
                let y = outputs_of(
                    &kernel,
                    (isa, threads),
                    (&x, tokens),
                    &operands,
                    &[40, 16, 9],
                );
                assert!(y == expected, "{tokens} {isa:?} {threads}");
            });
        }
    }

    #[test]
    fn the_gate_is_activated_and_multiplies_the_other_layer() {
        let (rows, cols) = (41, 90);
        let bias = random(rows, 14);
        for (gate_type, up_type) in [(DType::F32, DType::F32), (DType::F16, DType::BF16)] {
            let (gate, up) = (
                Weights::new(rows, cols, gate_type, 12),
                Weights::new(rows, cols, up_type, 13),
            );
            let (gate_packed, up_packed) = (gate.packed(), up.packed());
            for (tokens, gate_bias) in [
                (1, None),
                (1, Some(&bias[..])),
                (13, None),
                (13, Some(&bias[..])),
            ] {
                let x = random(tokens * cols, 15);
                let expected: Vec<f32> = gate
                    .chains(&x, gate_bias)
                    .iter()
                    .zip(up.chains(&x, None))
                    .map(|(gate, up)| UnaryFunction::GeluTanh.apply(Single, *gate) * up)
                    .collect();
                let operands = [
                    Operand::Packed(&gate_packed),
                    Operand::Packed(&up_packed),
                    optional(gate_bias),
                    Operand::Absent,
                ];
                everywhere(|isa, threads| {
                    let kernel = GatedLinear {
                        weights: Floats,
                        activation: UnaryFunction::GeluTanh,
                    };
                    let y = outputs_of(&kernel, (isa, threads), (&x, tokens), &operands, &[rows]);
                    assert!(y[0] == bits_of(&expected), "{tokens} {isa:?} {threads}");
                });
            }
        }
    }
}
