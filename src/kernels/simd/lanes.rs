//! Lanes of f32, and arithmetic on them.

/// Lanes of a [`Simd`](super::Simd).
pub const LANES: usize = 16;

/// Lanes of f32, and arithmetic on them: sixteen lanes, or one ([`Single`](super::Single)).
///
/// Every method is `#[inline(always)]`. Minimum and maximum are `a < b ? a : b` and `a > b ? a : b` (the second operand if
/// they compare equal or unordered), as on x86. Comparisons with NaN are false.
pub trait Lanes: Copy + Send + Sync + 'static {
    /// The lanes as f32.
    type F32: Copy;
    /// The lanes as i32.
    type I32: Copy;
    /// A boolean for each lane.
    type Mask: Copy;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::F32;
    /// All lanes +0.
    #[inline(always)]
    fn zero(self) -> Self::F32 {
        self.splat(0.0)
    }
    /// a + b.
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a − b.
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a · b.
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a / b, correctly rounded.
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// √a, correctly rounded.
    fn sqrt(self, a: Self::F32) -> Self::F32;
    /// a · b + c, rounded once.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// c − a · b, rounded once.
    fn neg_mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `a > b ? a : b`.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a < b ? a : b`.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// −a: the sign bit flipped.
    fn neg(self, a: Self::F32) -> Self::F32;
    /// |a|: the sign bit cleared.
    fn abs(self, a: Self::F32) -> Self::F32;
    /// Rounded to the nearest integer, ties to even.
    fn round(self, a: Self::F32) -> Self::F32;
    /// a > b.
    fn gt(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `mask ? a : b`.
    fn select(self, mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32;

    /// All lanes `x`.
    fn splat_i32(self, x: i32) -> Self::I32;
    /// The nearest integers for lanes that are integral and within i32; for other lanes, some integer.
    fn to_i32(self, x: Self::F32) -> Self::I32;
    /// The bits as integers.
    fn bits(self, x: Self::F32) -> Self::I32;
    /// The bits as floats.
    #[expect(clippy::wrong_self_convention, reason = "`self` is only the token")]
    fn from_bits(self, x: Self::I32) -> Self::F32;
    /// a + b, wrapping.
    fn add_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// a & b.
    fn and_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// a ^ b.
    fn xor_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Bits shifted left by `N`.
    fn shift_left<const N: i32>(self, a: Self::I32) -> Self::I32;
    /// Bits shifted right by `N`, with zeros shifted in.
    fn shift_right<const N: i32>(self, a: Self::I32) -> Self::I32;
    /// a == b.
    fn eq_i32(self, a: Self::I32, b: Self::I32) -> Self::Mask;
    /// a · 2ⁿ for whole n, exact if both `a` and the result are normal; otherwise the value is meaningless.
    #[inline(always)]
    fn scale(self, a: Self::F32, n: Self::F32) -> Self::F32 {
        let exponent = self.shift_left::<23>(self.to_i32(n));
        self.from_bits(self.add_i32(self.bits(a), exponent))
    }
}
