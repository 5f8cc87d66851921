//! Integer lanes: what products of quantized weights with int8 activations need.
//!
//! A lane is read as one i32, as two i16 or as four bytes, the low ones first. Everything is exact, so that the ways of
//! the instruction sets differ and their results don't.

use std::cell::Cell;

use super::{LANES, Lanes};

/// Sixteen integer lanes. Every method is `#[inline(always)]`.
///
/// Activations are bytes in −127..=127, the same four in every lane.
pub trait Int8: Lanes {
    /// Tokens at once in products with one panel of 16 rows.
    const INT8_TOKENS: usize;
    /// What [`Int8::signed_bytes`] adds to each weight, and [`Int8::dot_signed`] leaves in.
    const SIGNED_OFFSET: i32;

    /// Lane `i` is `from[i]`.
    fn load_u32(self, from: &[u32; LANES]) -> Self::I32;
    /// The nearest f32, ties to even.
    fn to_f32(self, x: Self::I32) -> Self::F32;
    /// a | b.
    fn or_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// a · b, wrapping.
    fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Bits moved left by `count`, below 32.
    fn shift_left_by(self, a: Self::I32, count: usize) -> Self::I32;
    /// Bits moved right by `count`, below 32; zeros come in.
    fn shift_right_by(self, a: Self::I32, count: usize) -> Self::I32;
    /// Bits moved right by `count`, below 32; copies of the sign come in.
    fn shift_right_signed(self, a: Self::I32, count: usize) -> Self::I32;
    /// The sum of the lanes, wrapping.
    fn sum_i32(self, x: Self::I32) -> i32;
    /// The sum of two products of i16; not both pairs are of two −32768.
    fn dot_i16(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Each byte of `index`, below 16, becomes the byte of `table` with that number.
    fn lookup(self, table: [i8; LANES], index: Self::I32) -> Self::I32;
    /// The low bytes of the lanes, which are within i8: byte `i` of the 16 is lane `i`.
    fn store_bytes(self, to: &[Cell<i32>; 4], x: Self::I32);

    /// acc + the sum over N words of four products of a byte of `w`, unsigned and below 2^BITS, and one of `x`, signed.
    /// `BITS` is at most 6, and the result fits an i32.
    fn dot_unsigned<const BITS: u32, const N: usize>(
        self,
        acc: Self::I32,
        w: [Self::I32; N],
        x: [Self::I32; N],
    ) -> Self::I32;
    /// Signed bytes as [`Int8::dot_signed`] takes them: each with [`Int8::SIGNED_OFFSET`] added.
    fn signed_bytes(self, w: Self::I32) -> Self::I32;
    /// acc + the sum over N words of four products of a byte that went through [`Int8::signed_bytes`], its offset still
    /// in it, and one of `x`, signed.
    fn dot_signed<const N: usize>(
        self,
        acc: Self::I32,
        w: [Self::I32; N],
        x: [Self::I32; N],
    ) -> Self::I32;
}

/// How many words' sums of two products fit an i16, when weights are below 2^bits and activations at most 127.
#[cfg(target_arch = "x86_64")]
pub(super) const fn words_within_i16(bits: u32) -> usize {
    i16::MAX as usize / (2 * 127 * ((1 << bits) - 1))
}
