//! Norms whose result is quantized as it is made: the bits of the norm, then [`QuantizeActivations`].
//!
//! [`QuantizeActivations`]: super::QuantizeActivations

use crate::kernels::call::{Call, Kernel};
use crate::kernels::norm;
use crate::kernels::simd::Simd;

/// [`RmsNorm`](norm::RmsNorm) with a quantized `y`: inputs `[x, gain]`, no f32 output; with a residual, inputs
/// `[x, residual, gain]` and the f32 output `[sum]`. The width is a multiple of 32, and `y` in other memory.
#[derive(Clone, Copy, Debug)]
pub struct QuantizedRmsNorm {
    /// Added to the mean of squares.
    pub eps: f32,
    /// Whether a second input is added first, and the sum given out too.
    pub residual: bool,
}

// SAFETY: a thread reads and writes the rows of its share alone; `gain` is written by nobody.
unsafe impl Kernel for QuantizedRmsNorm {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        norm::rms_norm(
            simd,
            call,
            (self.eps, self.residual),
            call.quantized_output(),
        );
    }
}

/// [`LayerNorm`](norm::LayerNorm) with a quantized `y`: inputs `[x, gain]` or `[x, gain, bias]`, no f32 output; with a
/// residual, inputs `[x, residual, gain]` or `[x, residual, gain, bias]` and the f32 output `[sum]`. The width is a
/// multiple of 32, and `y` in other memory.
#[derive(Clone, Copy, Debug)]
pub struct QuantizedLayerNorm {
    /// Added to the variance.
    pub eps: f32,
    /// Whether a second input is added first, and the sum given out too.
    pub residual: bool,
}

// SAFETY: a thread reads and writes the rows of its share alone; `gain` and `bias` are written by nobody.
unsafe impl Kernel for QuantizedLayerNorm {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        norm::layer_norm(
            simd,
            call,
            (self.eps, self.residual),
            call.quantized_output(),
        );
    }
}
