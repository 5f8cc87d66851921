//! Products of int8 activations with weights in quantized blocks, which keep the bits of their formats.
//!
//! What belongs here: how activations are quantized, how blocks are laid out in panels of 16 rows and unpacked in registers,
//! and the linear layers over both. What is absent: the meaning of a block in a file (`blocks`), and what a linear layer
//! does after the sum (`linear`, which these layers share).
//!
//! ```text
//! quantize(x [32]) -> scale, q [32]:          // a block: 32 consecutive elements of a row
//!     amax = the largest |x|;  inverse = 127 / amax
//!     if amax is infinite or an x is NaN: scale = NaN, q = 0     // so that every sum with this block becomes NaN
//!     if inverse is infinite:             scale = 0,   q = 0     // amax is 0, or below 127 / f32::MAX
//!     else: scale = amax / 127;  q[i] = round(x[i] · inverse)    // half to even; within −127..=127
//!
//! sum(x, w): for each token t, for each row r of w:
//!     sum = +0
//!     for each block b of 32 columns, in order:
//!         dot = Σ over i in 0..32: q[t][b][i] · int(w[r][b][i])             // an exact integer
//!         sum = fma(d · scale[t][b], f32(dot), sum)
//!         if the format has minimums: sum = fma(−m, scale[t][b] · f32(Σ q[t][b]), sum)
//! ```
//!
//! The values of int, d and m, with the names of the scales in the formats (D and M are the f16 scale and minimum, s and m
//! the integers of the sub-block; their products are exact in f32):
//!
//! ```text
//!              int                                            d          m
//! Q4_0         q − 8                                          D
//! Q5_0         q − 16                                         D
//! Q8_0         q                                              D
//! IQ4_NL       level(q)                                       D
//! MXFP4        level(q)                                       D, a power of two
//! Q4_1, Q5_1   q                                              D          −M
//! Q4_K, Q5_K   q                                              D · s      M · m
//! IQ4_XS       level(q)                                       D · (s − 32)
//! Q6_K         s · (q − 32), one s per 16 elements            D
//! Q3_K         (s − 32) · (q − 4), one s per 16 elements      D
//! Q2_K         s · q, one s per 16 elements                   D
//!     and then sum = fma(−(M · scale), f32(Σ over both 16 elements: m · Σ q[t][b]), sum)
//! ```
//!
//! The lanes are 16 rows, so that each output's operations are exactly these, on every instruction set, for one token or
//! many. No intermediate integer can overflow: |dot| stays below 2^24, so f32(dot) is exact too.

#[cfg(test)]
mod activation_tests;
mod activations;
mod chain;
mod formats;
mod linear;
mod matrix;
mod regroup;
#[cfg(test)]
mod tests;
mod tile;

pub use crate::kernels::weights::Blocks;
pub use activations::{INT8_BLOCK, INT8_BLOCK_WORDS, Int8, QuantizeActivations, activation_words};
pub use matrix::{BlockSource, QuantizedMatrix, QuantizedPanel, QuantizedPanelMut};
