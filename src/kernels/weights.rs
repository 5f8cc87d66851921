//! The kinds of weights that linear layers multiply with, and what a layer does with the sums.

use std::cell::Cell;

use super::call::Call;
use super::simd::{LANES, Simd};

/// A kind of weights [rows, cols] in panels of 16 rows, and how activations are multiplied with them.
pub trait Weights: Copy + Send + Sync + 'static {
    /// A matrix of them.
    type Matrix: 'static;
    /// One panel.
    type Panel<'a>: Copy;
    /// Whether int8 is multiplied: see [`Kernel::INT8`](super::call::Kernel::INT8).
    const INT8: bool;

    /// Floats of scratch that each thread of a linear kernel needs for `tokens` rows of `cols` activations.
    fn scratch_floats(cols: usize, tokens: usize) -> usize;
    /// Input `i` of `call`.
    fn operand<'a>(call: &Call<'a>, i: usize) -> &'a Self::Matrix;
    /// How many panels a matrix has.
    fn panels(matrix: &Self::Matrix) -> usize;
    /// Panel `panel` of a matrix.
    fn panel(matrix: &Self::Matrix, panel: usize) -> Self::Panel<'_>;
    /// Computes this thread's part of the `units` units of `product` for every row of input 0.
    fn products<S: Simd, const U: usize, P: Product<U, Self>>(
        simd: S,
        call: &Call<'_>,
        units: usize,
        product: &P,
    );
}

/// Sums of 16 rows for tokens one after the other.
pub type Sums<'a> = &'a [[Cell<f32>; LANES]];

/// What a linear kernel computes, in units of `U` panels whose sums belong together.
pub trait Product<const U: usize, W: Weights> {
    /// The panels of unit `unit`, each as long as the activations' rows.
    fn panels(&self, unit: usize) -> [W::Panel<'_>; U];
    /// Takes the unit's sums for the tokens from `first` on, each panel's in a slice, and writes their outputs.
    fn finish<S: Simd>(&self, simd: S, unit: usize, first: usize, sums: [Sums<'_>; U]);
}

/// Weights of floats; activations are f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floats;

/// Weights of quantized blocks, each matrix in a format of its own; activations are int8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks;
