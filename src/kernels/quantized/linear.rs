//! Linear layers of int8 activations and quantized weights: the layers of [`linear`](crate::kernels::linear), whose bias,
//! activation and residual these share, with the sum at this room's top in place of its chain.
//!
//! Threads share the panels of 16 rows; each thread walks all tokens.

use super::matrix::{QuantizedMatrix, QuantizedPanel};
use super::tile;
use crate::kernels::call::{Call, Kernel};
use crate::kernels::elementwise::UnaryFunction;
use crate::kernels::linear::{self, Product, Weights};
use crate::kernels::simd::Simd;

/// Floats of scratch that each thread of a quantized linear kernel needs for `tokens` rows of `cols` activations.
pub fn scratch_floats(cols: usize, tokens: usize) -> usize {
    tile::scratch_floats(cols, tokens)
}

impl Weights for QuantizedMatrix {
    type Panel<'a> = QuantizedPanel<'a>;

    #[inline(always)]
    fn operand<'a>(call: &Call<'a>, i: usize) -> &'a Self {
        call.quantized(i)
    }

    #[inline(always)]
    fn panels(&self) -> usize {
        self.panels()
    }

    #[inline(always)]
    fn panel(&self, panel: usize) -> QuantizedPanel<'_> {
        self.panel(panel)
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
/// Inputs: x quantized [.., cols], w quantized [rows, cols], bias `[rows]` or absent, residual [.., rows] or absent.
/// Output: [.., rows], which may be the residual's memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizedLinear {
    /// Applied after the bias.
    pub activation: Option<UnaryFunction>,
}

// SAFETY: a thread writes only the columns of its share of panels, and reads the residual only there.
unsafe impl Kernel for QuantizedLinear {
    const INT8: bool = true;

    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        linear::linear::<S, QuantizedMatrix>(simd, call, self.activation);
    }
}

/// Several linear layers of the same activations; their panels are shared out as if they were one layer's.
///
/// Inputs: x quantized [.., cols], then `segments` quantized weights [rows_i, cols], each in a format of its own, then as
/// many biases `[rows_i]`, each of which may be absent. Outputs: [.., rows_i].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantizedMergedLinear {
    /// How many layers.
    pub segments: usize,
}

// SAFETY: a thread writes only the columns of its share of panels.
unsafe impl Kernel for QuantizedMergedLinear {
    const INT8: bool = true;

    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        linear::merged::<S, QuantizedMatrix>(simd, call, self.segments);
    }
}

/// y = activation(x · gateᵀ + gate_bias) · (x · upᵀ + up_bias).
///
/// Inputs: x quantized [.., cols], gate and up quantized [rows, cols], each in a format of its own, gate_bias and up_bias
/// `[rows]`, each of which may be absent. Output: [.., rows].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizedGatedLinear {
    /// Applied to the gate.
    pub activation: UnaryFunction,
}

// SAFETY: a thread writes only the columns of its share of panels.
unsafe impl Kernel for QuantizedGatedLinear {
    const INT8: bool = true;

    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        linear::gated::<S, QuantizedMatrix>(simd, call, self.activation);
    }
}
