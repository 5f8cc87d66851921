//! Replacements for functions of the standard library whose results differ between platforms: exp, tanh, erf, sine and
//! cosine, and functions built from them, as polynomials with the same IEEE operations on every instruction set.
//!
//! What belongs here: f32 functions over [`Lanes`](super::simd::Lanes) (`functions`), and the same functions for one f32
//! (`*_f32`, for the reference ops and the sampler). What is absent: f64 functions (`math/`), and anything that walks a
//! tensor.

mod functions;

pub use functions::*;

use super::simd::Single;

/// [`exp`] of one f32.
pub fn exp_f32(x: f32) -> f32 {
    exp(Single, x)
}

/// [`tanh`] of one f32.
#[cfg(any(test, feature = "internals"))]
pub fn tanh_f32(x: f32) -> f32 {
    tanh(Single, x)
}

/// [`sin_cos`] of one f32.
pub fn sin_cos_f32(x: f32) -> (f32, f32) {
    sin_cos(Single, x)
}
