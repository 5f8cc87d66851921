//! Linear layers of int8 activations and quantized weights: the layers of [`linear`](crate::kernels::linear), with the sum
//! of `mod.rs` in place of the chain.
//!
//! Pieces share the panels of 16 rows; each walks all tokens.

use super::matrix::{QuantizedMatrix, QuantizedPanel};
use super::tile;
use crate::kernels::call::Call;
use crate::kernels::simd::Simd;
use crate::kernels::weights::{Blocks, Product, Weights};

impl Weights for Blocks {
    type Matrix = QuantizedMatrix;
    type Panel<'a> = QuantizedPanel<'a>;
    const INT8: bool = true;

    fn scratch_floats(cols: usize, tokens: usize) -> usize {
        tile::scratch_floats(cols, tokens)
    }

    #[inline(always)]
    fn operand<'a>(call: &Call<'a>, i: usize) -> &'a QuantizedMatrix {
        call.quantized(i)
    }

    #[inline(always)]
    fn panels(matrix: &QuantizedMatrix) -> usize {
        matrix.panels()
    }

    #[inline(always)]
    fn panel(matrix: &QuantizedMatrix, panel: usize) -> QuantizedPanel<'_> {
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
