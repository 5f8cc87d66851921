//! Integer lanes, for products of quantized weights with int8 activations.
//!
//! A lane is read as one i32, as two i16 or as four bytes, the low ones first. Everything is exact, so the instruction sets
//! may compute in different ways and still return the same results.

use std::cell::Cell;

use super::{LANES, Lanes};

/// Sixteen integer lanes. Every method is `#[inline(always)]`.
///
/// Activations are bytes in −127..=127, the same four in every lane.
pub trait Int8: Lanes {
    /// The number of tokens that are multiplied together with one panel of 16 rows.
    const INT8_TOKENS: usize;
    /// The most tokens whose sums stay in registers while the blocks of a panel are unpacked for them: 1, 4, 8 or 16.
    const INT8_FEW_TOKENS: usize;
    /// Whether signed weights are multiplied with several tokens as i16, [widened](Int8::widened): products of signed bytes
    /// need more instructions.
    const WIDENS_SIGNED: bool = false;
    /// The offset that [`Int8::signed_bytes`] adds to each weight, and that [`Int8::dot_signed`] does not remove.
    const SIGNED_OFFSET: i32;

    /// Lane `i` is `from[i]`.
    fn load_u32(self, from: &[u32; LANES]) -> Self::I32;
    /// The nearest f32, ties to even.
    fn to_f32(self, x: Self::I32) -> Self::F32;
    /// a | b.
    fn or_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// a · b, wrapping.
    fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Bits shifted left by `count`, below 32.
    fn shift_left_by(self, a: Self::I32, count: usize) -> Self::I32;
    /// Bits shifted right by `count`, below 32, with zeros shifted in.
    fn shift_right_by(self, a: Self::I32, count: usize) -> Self::I32;
    /// Bits shifted right by `count`, below 32, with copies of the sign shifted in.
    fn shift_right_signed(self, a: Self::I32, count: usize) -> Self::I32;
    /// The sum of the lanes, wrapping.
    fn sum_i32(self, x: Self::I32) -> i32;
    /// The sum of the two products of i16 in each lane; the factors of both products must not all be −32768.
    fn dot_i16(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Each byte of `index`, below 16, is replaced by the byte of `table` at that index.
    fn lookup(self, table: [i8; LANES], index: Self::I32) -> Self::I32;
    /// Stores the lanes, which are within i8, as bytes: byte `i` of the 16 is lane `i`.
    fn store_bytes(self, to: &[Cell<i32>; 4], x: Self::I32);

    /// acc plus the sum over N words of four products of bytes, where the byte of `w` is unsigned and below 2^BITS and the
    /// byte of `x` is signed. `BITS` is at most 6, and the result fits into an i32.
    fn dot_unsigned<const BITS: u32, const N: usize>(
        self,
        acc: Self::I32,
        w: [Self::I32; N],
        x: [Self::I32; N],
    ) -> Self::I32;
    /// Signed bytes in the form that [`Int8::dot_signed`] expects: each with [`Int8::SIGNED_OFFSET`] added.
    fn signed_bytes(self, w: Self::I32) -> Self::I32;
    /// The bytes of each word as i16: bytes 0 and 2, and bytes 1 and 3.
    #[inline(always)]
    fn widened(self, w: Self::I32) -> [Self::I32; 2] {
        let byte = |place: usize| {
            let high = self.shift_left_by(w, 24 - 8 * place);
            self.shift_right_signed(high, 24)
        };
        let pair = |first: Self::I32, second: Self::I32| {
            let first = self.and_i32(first, self.splat_i32(0xffff));
            self.or_i32(first, self.shift_left_by(second, 16))
        };
        [pair(byte(0), byte(2)), pair(byte(1), byte(3))]
    }
    /// For each token: the sum over 8 words of four products of bytes, where `even` and `odd` have the [widened](Int8::widened)
    /// words of weights, as bits, and the bytes of `x` are signed.
    #[inline(always)]
    fn dot_widened<const T: usize>(
        self,
        even: &[[Cell<f32>; LANES]; 8],
        odd: &[[Cell<f32>; LANES]; 8],
        x: [&[Cell<i32>; 8]; T],
    ) -> [Self::I32; T] {
        x.map(|x| {
            let mut sum = self.splat_i32(0);
            for ((even, odd), x) in even.iter().zip(odd).zip(x) {
                let x = self.widened(self.splat_i32(x.get()));
                let even = self.load_u32(&even.each_ref().map(|x| x.get().to_bits()));
                let odd = self.load_u32(&odd.each_ref().map(|x| x.get().to_bits()));
                sum = self.add_i32(sum, self.dot_i16(even, x[0]));
                sum = self.add_i32(sum, self.dot_i16(odd, x[1]));
            }
            sum
        })
    }
    /// acc plus the sum over N words of four products of bytes, where the byte of `w` was returned by
    /// [`Int8::signed_bytes`], still with its offset, and the byte of `x` is signed.
    fn dot_signed<const N: usize>(
        self,
        acc: Self::I32,
        w: [Self::I32; N],
        x: [Self::I32; N],
    ) -> Self::I32;
}

/// How many words can be added up as sums of two products in i16, if weights are below 2^bits and activations at most 127.
#[cfg(target_arch = "x86_64")]
pub(super) const fn words_within_i16(bits: u32) -> usize {
    i16::MAX as usize / (2 * 127 * ((1 << bits) - 1))
}
