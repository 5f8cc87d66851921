//! AVX-512 F, BW, VL and DQ: sixteen lanes in one register, partial rows by mask.

use std::arch::x86_64::*;
use std::cell::Cell;

use super::{LANES, Lanes, Simd};

/// Proof that this CPU has AVX-512 F, BW, VL and DQ, AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512(());

impl Avx512 {
    /// The token, where the CPU and the operating system have all of it.
    pub fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        has.then_some(Avx512(()))
    }
}

/// The first `count` lanes; all of them from 16 on.
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    ((1u32 << count.min(LANES)) - 1) as __mmask16
}

impl Lanes for Avx512 {
    type F32 = __m512;
    type I32 = __m512i;
    type Mask = __mmask16;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn sqrt(self, a: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_sqrt_ps(a) }
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn neg_mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_fnmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn neg(self, a: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_xor_ps(a, _mm512_set1_ps(-0.0)) }
    }
    #[inline(always)]
    fn abs(self, a: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_abs_ps(a) }
    }
    #[inline(always)]
    fn round(self, a: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    fn gt(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        // SAFETY: the token proves the features.
        unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b) }
    }
    #[inline(always)]
    fn select(self, mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_mask_blend_ps(mask, b, a) }
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_set1_epi32(x) }
    }
    #[inline(always)]
    fn to_i32(self, x: Self::F32) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_cvtps_epi32(x) }
    }
    #[inline(always)]
    fn bits(self, x: Self::F32) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_castps_si512(x) }
    }
    #[inline(always)]
    fn from_bits(self, x: Self::I32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_castsi512_ps(x) }
    }
    #[inline(always)]
    fn add_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_add_epi32(a, b) }
    }
    #[inline(always)]
    fn and_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_and_si512(a, b) }
    }
    #[inline(always)]
    fn xor_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_xor_si512(a, b) }
    }
    #[inline(always)]
    fn shift_left<const N: i32>(self, a: Self::I32) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_sllv_epi32(a, _mm512_set1_epi32(N)) }
    }
    #[inline(always)]
    fn eq_i32(self, a: Self::I32, b: Self::I32) -> Self::Mask {
        // SAFETY: the token proves the features.
        unsafe { _mm512_cmpeq_epi32_mask(a, b) }
    }
}

impl Simd for Avx512 {
    const TILE_TOKENS: usize = 12;
    const TILE_PANELS: usize = 2;

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        // SAFETY: a prefetch accesses nothing: it faults at no address and changes no value.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F32 {
        // SAFETY: the token proves the features; the reference spans 16 elements.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }
    #[inline(always)]
    fn load_cells(self, from: &[Cell<f32>; LANES]) -> Self::F32 {
        // SAFETY: the token proves the features; the reference spans 16 elements.
        unsafe { _mm512_loadu_ps(from.as_ptr().cast()) }
    }
    #[inline(always)]
    fn load_partial(self, from: &[Cell<f32>]) -> Self::F32 {
        // SAFETY: the token proves the features; only elements of the slice are unmasked.
        unsafe { _mm512_maskz_loadu_ps(first(from.len()), from.as_ptr().cast()) }
    }
    #[inline(always)]
    fn load_slice_partial(self, from: &[f32]) -> Self::F32 {
        // SAFETY: the token proves the features; only elements of the slice are unmasked.
        unsafe { _mm512_maskz_loadu_ps(first(from.len()), from.as_ptr()) }
    }
    #[inline(always)]
    fn load_f16(self, from: &[u16; LANES]) -> Self::F32 {
        // SAFETY: the token proves the features; the reference spans 16 elements.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())) }
    }
    #[inline(always)]
    fn load_bf16(self, from: &[u16; LANES]) -> Self::F32 {
        // SAFETY: the token proves the features; the reference spans 16 elements.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    fn store(self, to: &[Cell<f32>; LANES], x: Self::F32) {
        // SAFETY: as for `load_cells`; cells may be written through a shared reference.
        unsafe { _mm512_storeu_ps(to.as_ptr().cast::<f32>().cast_mut(), x) }
    }
    #[inline(always)]
    fn store_partial(self, to: &[Cell<f32>], x: Self::F32) {
        // SAFETY: as for `load_partial`; cells may be written through a shared reference.
        unsafe { _mm512_mask_storeu_ps(to.as_ptr().cast::<f32>().cast_mut(), first(to.len()), x) }
    }
    #[inline(always)]
    fn to_array(self, x: Self::F32) -> [f32; LANES] {
        let mut lanes = [0.0; LANES];
        // SAFETY: the token proves the features; the array has 16 elements.
        unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), x) }
        lanes
    }
    #[inline(always)]
    fn lanes_between(self, from: usize, to: usize) -> Self::Mask {
        first(to) & !first(from)
    }
}
