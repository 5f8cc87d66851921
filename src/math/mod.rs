//! Math: f64 functions of our own, that agree on every machine.
//!
//! What belongs here: logarithm, exponential and power for constants and scores. What is absent: f32 lanes
//! (`kernels/math`), and anything that walks a tensor.

mod double;

pub use double::{exp_f64, ln_f64, pow_f64, sum_exp_f64};
