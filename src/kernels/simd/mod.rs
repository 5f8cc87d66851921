//! Sixteen f32 lanes on every CPU.
//!
//! [`Simd`] is a token that only detection can make: holding an [`Avx2`] proves that the CPU has AVX2, FMA and F16C.
//! Kernels are written over the trait; every method does the same IEEE operations in the same order on each of them, so
//! that results agree to the bit. What does not belong here: anything that knows an op.

#[cfg(not(target_arch = "x86_64"))]
mod absent;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod int8;
mod scalar;
mod transpose;

use std::cell::Cell;

#[cfg(not(target_arch = "x86_64"))]
pub use absent::{Avx2, Avx512, Vnni};
#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::{Avx512, Vnni};
pub use int8::Int8;
pub use scalar::{Scalar, Single};
pub use transpose::Transpose;

/// Lanes of a [`Simd`].
pub const LANES: usize = 16;

/// Lanes of f32, and the arithmetic that can be done with them: sixteen, or one ([`Single`]).
///
/// Every method is `#[inline(always)]`. Minimum and maximum are `a < b ? a : b` and `a > b ? a : b` (the second operand
/// where they compare equal or unordered), as on x86. Comparisons with NaN are false.
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
    /// The nearest integers of lanes that are already integral and within i32; of other lanes, some integer.
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
    /// Bits moved left by `N`.
    fn shift_left<const N: i32>(self, a: Self::I32) -> Self::I32;
    /// Bits moved right by `N`; zeros come in.
    fn shift_right<const N: i32>(self, a: Self::I32) -> Self::I32;
    /// a == b.
    fn eq_i32(self, a: Self::I32, b: Self::I32) -> Self::Mask;
    /// a · 2ⁿ for whole n, exact where both `a` and the result are normal; else the value means nothing.
    #[inline(always)]
    fn scale(self, a: Self::F32, n: Self::F32) -> Self::F32 {
        let exponent = self.shift_left::<23>(self.to_i32(n));
        self.from_bits(self.add_i32(self.bits(a), exponent))
    }
}

/// Work that is written over [`Simd`] and compiled once for each instruction set.
pub trait Work {
    /// Does it. Implementations are `#[inline(always)]`, as is everything they call over `S`.
    fn run<S: Simd>(self, simd: S);
}

/// Sixteen [`Lanes`], and the ways between them and memory. Every method but [`Simd::run`] is `#[inline(always)]`.
pub trait Simd: Lanes + Int8 + Transpose {
    /// The register tile of matrix products: tokens at once, for one or [`Simd::TILE_PANELS`] panels of 16 rows.
    const TILE_TOKENS: usize;
    /// Panels of 16 rows at once in a tile of several tokens.
    const TILE_PANELS: usize;

    /// A hint that the cache line with `at` is to be read soon, by way of the second cache. Any address will do.
    #[inline(always)]
    fn prefetch(self, _at: *const u8) {}

    /// Does `work` in a function of its own that is compiled with this instruction set's features.
    fn run<W: Work>(self, work: W);

    /// Lane `i` is `from[i]`.
    fn load(self, from: &[f32; LANES]) -> Self::F32;
    /// Lane `i` is `from[i]`.
    fn load_cells(self, from: &[Cell<f32>; LANES]) -> Self::F32;
    /// Lane `i` is `from[i]`; lanes past its end are +0. `from` holds at most 16 elements.
    fn load_partial(self, from: &[Cell<f32>]) -> Self::F32;
    /// As [`Simd::load_partial`], from constants.
    fn load_slice_partial(self, from: &[f32]) -> Self::F32;
    /// Sixteen IEEE half floats, given as bits.
    fn load_f16(self, from: &[u16; LANES]) -> Self::F32;
    /// Sixteen bfloat16, given as bits.
    fn load_bf16(self, from: &[u16; LANES]) -> Self::F32;
    /// `to[i]` becomes lane `i`.
    fn store(self, to: &[Cell<f32>; LANES], x: Self::F32);
    /// The first `to.len()` lanes (at most 16).
    fn store_partial(self, to: &[Cell<f32>], x: Self::F32);
    /// The lanes as an array.
    fn to_array(self, x: Self::F32) -> [f32; LANES];
    /// Lanes whose number is in `from..to`.
    fn lanes_between(self, from: usize, to: usize) -> Self::Mask;

    /// The block of `from` that begins at `at`: lane `i` is `from[at + i]`; lanes past its end are +0.
    #[inline(always)]
    fn load_at(self, from: &[Cell<f32>], at: usize) -> Self::F32 {
        let from = &from[at..];
        match from.first_chunk() {
            Some(block) => self.load_cells(block),
            None => self.load_partial(from),
        }
    }
    /// As [`Simd::load_at`], from constants.
    #[inline(always)]
    fn load_slice_at(self, from: &[f32], at: usize) -> Self::F32 {
        let from = &from[at..];
        match from.first_chunk() {
            Some(block) => self.load(block),
            None => self.load_slice_partial(from),
        }
    }
    /// Writes the block of `to` that begins at `at`; lanes past its end go nowhere.
    #[inline(always)]
    fn store_at(self, to: &[Cell<f32>], at: usize, x: Self::F32) {
        let to = &to[at..];
        match to.first_chunk() {
            Some(block) => self.store(block, x),
            None => self.store_partial(to, x),
        }
    }

    /// The sum of the lanes by the fixed tree: i + (i + 8), then i + (i + 4), i + (i + 2), 0 + 1.
    #[inline(always)]
    fn sum(self, x: Self::F32) -> f32 {
        tree(self.to_array(x), |a, b| a + b)
    }
    /// The largest lane, by the same tree.
    #[inline(always)]
    fn largest(self, x: Self::F32) -> f32 {
        tree(self.to_array(x), |a, b| if a > b { a } else { b })
    }
}

/// The fixed tree over 16 lanes: lane i joins lane i + 8, then i + 4, i + 2, and 0 joins 1.
#[inline(always)]
pub fn tree(mut lanes: [f32; LANES], join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = join(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// The instruction set a model's kernels run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Plain Rust: the oracle, and what any CPU can run.
    Scalar(Scalar),
    /// AVX2, FMA and F16C.
    Avx2(Avx2),
    /// AVX-512 F, BW, VL and DQ; products of int8 use VNNI where the CPU has it.
    Avx512(Avx512),
}

/// An instruction set that was asked for and can't be had.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IsaError {
    /// Not a name of an instruction set.
    #[error("unknown instruction set '{0}': expected scalar, avx2 or avx512")]
    Unknown(String),
    /// The CPU lacks it.
    #[error("this CPU lacks {0}")]
    Missing(&'static str),
}

impl Isa {
    /// The widest that this CPU has.
    pub fn detect() -> Isa {
        if let Some(simd) = Avx512::detect() {
            Isa::Avx512(simd)
        } else if let Some(simd) = Avx2::detect() {
            Isa::Avx2(simd)
        } else {
            Isa::Scalar(Scalar)
        }
    }

    /// The one of that name: `scalar`, `avx2` or `avx512`.
    pub fn named(name: &str) -> Result<Isa, IsaError> {
        match name {
            "scalar" => Ok(Isa::Scalar(Scalar)),
            "avx2" => Avx2::detect()
                .map(Isa::Avx2)
                .ok_or(IsaError::Missing("AVX2, FMA or F16C")),
            "avx512" => Avx512::detect()
                .map(Isa::Avx512)
                .ok_or(IsaError::Missing("AVX-512 F, BW, VL or DQ")),
            other => Err(IsaError::Unknown(other.to_string())),
        }
    }

    /// Every one that this CPU has, the plain one first.
    pub fn available() -> Vec<Isa> {
        ["scalar", "avx2", "avx512"]
            .iter()
            .filter_map(|name| Isa::named(name).ok())
            .collect()
    }

    /// Its name, as [`Isa::named`] takes it.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar(_) => "scalar",
            Isa::Avx2(_) => "avx2",
            Isa::Avx512(_) => "avx512",
        }
    }
}

#[cfg(test)]
mod tests;
