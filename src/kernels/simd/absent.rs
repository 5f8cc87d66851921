//! For architectures other than x86-64: the tokens of its instruction sets exist as types, but cannot be made.

use std::cell::Cell;
use std::convert::Infallible;

use super::{Int8, LANES, Lanes, Simd, Work};

/// An instruction set of another architecture, `BITS` wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent<const BITS: usize>(Infallible);

/// AVX2, which this architecture lacks.
pub type Avx2 = Absent<256>;
/// AVX-512, which this architecture lacks.
pub type Avx512 = Absent<512>;
/// AVX-512 with VNNI, which this architecture lacks.
pub type Vnni = Absent<512>;

impl<const BITS: usize> Absent<BITS> {
    /// `None`.
    pub fn detect() -> Option<Self> {
        None
    }

    /// Never called.
    pub fn vnni(self) -> Option<Vnni> {
        match self.0 {}
    }
}

impl<const BITS: usize> Lanes for Absent<BITS> {
    type F32 = [f32; LANES];
    type I32 = [i32; LANES];
    type Mask = [bool; LANES];

    fn splat(self, _: f32) -> Self::F32 {
        match self.0 {}
    }
    fn add(self, _: Self::F32, _: Self::F32) -> Self::F32 {
        match self.0 {}
    }
    fn sub(self, _: Self::F32, _: Self::F32) -> Self::F32 {
        match self.0 {}
    }
    fn mul(self, _: Self::F32, _: Self::F32) -> Self::F32 {
        match self.0 {}
    }
    fn div(self, _: Self::F32, _: Self::F32) -> Self::F32 {
        match self.0 {}
    }
    fn sqrt(self, _: Self::F32) -> Self::F32 {
        match self.0 {}
    }
    fn mul_add(self, _: Self::F32, _: Self::F32, _: Self::F32) -> Self::F32 {
        match self.0 {}
    }
    fn neg_mul_add(self, _: Self::F32, _: Self::F32, _: Self::F32) -> Self::F32 {
        match self.0 {}
    }
    fn max(self, _: Self::F32, _: Self::F32) -> Self::F32 {
        match self.0 {}
    }
    fn min(self, _: Self::F32, _: Self::F32) -> Self::F32 {
        match self.0 {}
    }
    fn neg(self, _: Self::F32) -> Self::F32 {
        match self.0 {}
    }
    fn abs(self, _: Self::F32) -> Self::F32 {
        match self.0 {}
    }
    fn round(self, _: Self::F32) -> Self::F32 {
        match self.0 {}
    }
    fn gt(self, _: Self::F32, _: Self::F32) -> Self::Mask {
        match self.0 {}
    }
    fn select(self, _: Self::Mask, _: Self::F32, _: Self::F32) -> Self::F32 {
        match self.0 {}
    }
    fn splat_i32(self, _: i32) -> Self::I32 {
        match self.0 {}
    }
    fn to_i32(self, _: Self::F32) -> Self::I32 {
        match self.0 {}
    }
    fn bits(self, _: Self::F32) -> Self::I32 {
        match self.0 {}
    }
    fn from_bits(self, _: Self::I32) -> Self::F32 {
        match self.0 {}
    }
    fn add_i32(self, _: Self::I32, _: Self::I32) -> Self::I32 {
        match self.0 {}
    }
    fn and_i32(self, _: Self::I32, _: Self::I32) -> Self::I32 {
        match self.0 {}
    }
    fn xor_i32(self, _: Self::I32, _: Self::I32) -> Self::I32 {
        match self.0 {}
    }
    fn shift_left<const N: i32>(self, _: Self::I32) -> Self::I32 {
        match self.0 {}
    }
    fn shift_right<const N: i32>(self, _: Self::I32) -> Self::I32 {
        match self.0 {}
    }
    fn eq_i32(self, _: Self::I32, _: Self::I32) -> Self::Mask {
        match self.0 {}
    }
}

impl<const BITS: usize> Simd for Absent<BITS> {
    const TILE_TOKENS: usize = 1;
    const TILE_PANELS: usize = 1;

    fn run<W: Work>(self, _: W) {
        match self.0 {}
    }
    fn load(self, _: &[f32; LANES]) -> Self::F32 {
        match self.0 {}
    }
    fn load_cells(self, _: &[Cell<f32>; LANES]) -> Self::F32 {
        match self.0 {}
    }
    fn load_partial(self, _: &[Cell<f32>]) -> Self::F32 {
        match self.0 {}
    }
    fn load_slice_partial(self, _: &[f32]) -> Self::F32 {
        match self.0 {}
    }
    fn load_f16(self, _: &[u16; LANES]) -> Self::F32 {
        match self.0 {}
    }
    fn load_bf16(self, _: &[u16; LANES]) -> Self::F32 {
        match self.0 {}
    }
    fn store(self, _: &[Cell<f32>; LANES], _: Self::F32) {
        match self.0 {}
    }
    fn store_partial(self, _: &[Cell<f32>], _: Self::F32) {
        match self.0 {}
    }
    fn to_array(self, _: Self::F32) -> [f32; LANES] {
        match self.0 {}
    }
    fn lanes_between(self, _: usize, _: usize) -> Self::Mask {
        match self.0 {}
    }
}

impl<const BITS: usize> Int8 for Absent<BITS> {
    const INT8_TOKENS: usize = 1;
    const INT8_FEW_TOKENS: usize = 1;
    const SIGNED_OFFSET: i32 = 0;

    fn load_u32(self, _: &[u32; LANES]) -> Self::I32 {
        match self.0 {}
    }
    fn to_f32(self, _: Self::I32) -> Self::F32 {
        match self.0 {}
    }
    fn or_i32(self, _: Self::I32, _: Self::I32) -> Self::I32 {
        match self.0 {}
    }
    fn mul_i32(self, _: Self::I32, _: Self::I32) -> Self::I32 {
        match self.0 {}
    }
    fn shift_left_by(self, _: Self::I32, _: usize) -> Self::I32 {
        match self.0 {}
    }
    fn shift_right_by(self, _: Self::I32, _: usize) -> Self::I32 {
        match self.0 {}
    }
    fn shift_right_signed(self, _: Self::I32, _: usize) -> Self::I32 {
        match self.0 {}
    }
    fn sum_i32(self, _: Self::I32) -> i32 {
        match self.0 {}
    }
    fn dot_i16(self, _: Self::I32, _: Self::I32) -> Self::I32 {
        match self.0 {}
    }
    fn lookup(self, _: [i8; LANES], _: Self::I32) -> Self::I32 {
        match self.0 {}
    }
    fn store_bytes(self, _: &[Cell<i32>; 4], _: Self::I32) {
        match self.0 {}
    }
    fn dot_unsigned<const B: u32, const N: usize>(
        self,
        _: Self::I32,
        _: [Self::I32; N],
        _: [Self::I32; N],
    ) -> Self::I32 {
        match self.0 {}
    }
    fn signed_bytes(self, _: Self::I32) -> Self::I32 {
        match self.0 {}
    }
    fn dot_signed<const N: usize>(
        self,
        _: Self::I32,
        _: [Self::I32; N],
        _: [Self::I32; N],
    ) -> Self::I32 {
        match self.0 {}
    }
}
