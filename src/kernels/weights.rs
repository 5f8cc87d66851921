//! The kinds of weights with which linear layers multiply, and what a layer does with the sums.

use std::cell::Cell;

use super::call::Call;
use super::simd::{LANES, Simd};

/// A kind of weights [rows, cols] in panels of 16 rows, and how activations are multiplied with them.
pub trait Weights: Copy + Send + Sync + 'static {
    /// A matrix of these weights.
    type Matrix: 'static;
    /// One panel.
    type Panel<'a>: Copy;
    /// Whether int8 is multiplied: see [`Kernel::INT8`](super::call::Kernel::INT8).
    const INT8: bool;

    /// Floats of scratch that each thread of a linear kernel needs for `tokens` rows of `cols` activations.
    fn scratch_floats(cols: usize, tokens: usize) -> usize;
    /// Input `i` of `call` as a matrix of these weights.
    fn operand<'a>(call: &Call<'a>, i: usize) -> &'a Self::Matrix;
    /// The number of panels of a matrix.
    fn panels(matrix: &Self::Matrix) -> usize;
    /// Panel `panel` of a matrix.
    fn panel(matrix: &Self::Matrix, panel: usize) -> Self::Panel<'_>;
    /// Into how many pieces to cut products of `units` units, of `U` panels each.
    fn pieces<const U: usize>(call: &Call<'_>, units: usize) -> usize;
    /// Computes the call's piece of the `units` units of `product` for every row of input 0.
    fn products<S: Simd, const U: usize, P: Product<U, Self>>(
        simd: S,
        call: &Call<'_>,
        units: usize,
        product: &P,
    );
}

/// Approximate number of elements of weights that a piece multiplies with one row: some microseconds of work.
const ROW_PIECE: usize = 128 << 10;
/// The most pieces per thread for one row's products.
const ROW_PIECES: usize = 64;
/// Elements of weights for which a second thread pays.
const LEAST_ELEMENTS: usize = 16 << 10;

/// Into how many pieces to cut one row's products with `units` units of `elements` elements each: as many as there are
/// threads, or more where there are many units.
pub(super) fn row_pieces(threads: usize, units: usize, elements: usize) -> usize {
    let elements = units.saturating_mul(elements);
    if elements < LEAST_ELEMENTS {
        return 1;
    }
    let pieces = (elements / ROW_PIECE).clamp(threads, ROW_PIECES * threads);
    // Threads that are not disturbed then all get equally many.
    pieces.next_multiple_of(threads).min(units)
}

/// Sums of 16 rows for tokens one after the other.
pub type Sums<'a> = &'a [[Cell<f32>; LANES]];

/// What a linear kernel computes, in units of `U` panels whose sums belong together.
pub trait Product<const U: usize, W: Weights> {
    /// The panels of unit `unit`, each as long as the activations' rows.
    fn panels(&self, unit: usize) -> [W::Panel<'_>; U];
    /// Receives the sums of the unit for the tokens from `first` on, one slice per panel, and writes their outputs.
    fn finish<S: Simd>(&self, simd: S, unit: usize, first: usize, sums: [Sums<'_>; U]);
}

/// Weights of floats; activations are f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floats;

/// Weights in quantized blocks, where each matrix has its own format; activations are int8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks;
