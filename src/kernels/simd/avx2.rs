//! AVX2, FMA and F16C: sixteen lanes in two registers, lanes 0 to 7 first. Partial rows go through a stack array, because
//! masked stores are slow on several CPUs.

use std::arch::x86_64::*;
use std::cell::Cell;

use super::{LANES, Lanes, Simd};

/// Proof that this CPU has AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    /// The token, where the CPU and the operating system have all of it.
    pub fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        has.then_some(Avx2(()))
    }
}

/// Lanes 0 to 7, and lanes 8 to 15.
#[derive(Clone, Copy, Debug)]
pub struct Pair<T>(pub T, pub T);

impl Lanes for Avx2 {
    type F32 = Pair<__m256>;
    type I32 = Pair<__m256i>;
    /// All bits of a true lane are set.
    type Mask = Pair<__m256>;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { Pair(_mm256_set1_ps(x), _mm256_set1_ps(x)) }
    }
    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { Pair(_mm256_add_ps(a.0, b.0), _mm256_add_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { Pair(_mm256_sub_ps(a.0, b.0), _mm256_sub_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { Pair(_mm256_mul_ps(a.0, b.0), _mm256_mul_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { Pair(_mm256_div_ps(a.0, b.0), _mm256_div_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn sqrt(self, a: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { Pair(_mm256_sqrt_ps(a.0), _mm256_sqrt_ps(a.1)) }
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe {
            Pair(
                _mm256_fmadd_ps(a.0, b.0, c.0),
                _mm256_fmadd_ps(a.1, b.1, c.1),
            )
        }
    }
    #[inline(always)]
    fn neg_mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe {
            Pair(
                _mm256_fnmadd_ps(a.0, b.0, c.0),
                _mm256_fnmadd_ps(a.1, b.1, c.1),
            )
        }
    }
    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { Pair(_mm256_max_ps(a.0, b.0), _mm256_max_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { Pair(_mm256_min_ps(a.0, b.0), _mm256_min_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn neg(self, a: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe {
            let sign = _mm256_set1_ps(-0.0);
            Pair(_mm256_xor_ps(a.0, sign), _mm256_xor_ps(a.1, sign))
        }
    }
    #[inline(always)]
    fn abs(self, a: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe {
            let sign = _mm256_set1_ps(-0.0);
            Pair(_mm256_andnot_ps(sign, a.0), _mm256_andnot_ps(sign, a.1))
        }
    }
    #[inline(always)]
    fn round(self, a: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe {
            const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
            Pair(
                _mm256_round_ps::<NEAREST>(a.0),
                _mm256_round_ps::<NEAREST>(a.1),
            )
        }
    }
    #[inline(always)]
    fn gt(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        // SAFETY: the token proves the features.
        unsafe {
            Pair(
                _mm256_cmp_ps::<_CMP_GT_OQ>(a.0, b.0),
                _mm256_cmp_ps::<_CMP_GT_OQ>(a.1, b.1),
            )
        }
    }
    #[inline(always)]
    fn select(self, mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe {
            Pair(
                _mm256_blendv_ps(b.0, a.0, mask.0),
                _mm256_blendv_ps(b.1, a.1, mask.1),
            )
        }
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { Pair(_mm256_set1_epi32(x), _mm256_set1_epi32(x)) }
    }
    #[inline(always)]
    fn to_i32(self, x: Self::F32) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { Pair(_mm256_cvtps_epi32(x.0), _mm256_cvtps_epi32(x.1)) }
    }
    #[inline(always)]
    fn bits(self, x: Self::F32) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { Pair(_mm256_castps_si256(x.0), _mm256_castps_si256(x.1)) }
    }
    #[inline(always)]
    fn from_bits(self, x: Self::I32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { Pair(_mm256_castsi256_ps(x.0), _mm256_castsi256_ps(x.1)) }
    }
    #[inline(always)]
    fn add_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { Pair(_mm256_add_epi32(a.0, b.0), _mm256_add_epi32(a.1, b.1)) }
    }
    #[inline(always)]
    fn and_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { Pair(_mm256_and_si256(a.0, b.0), _mm256_and_si256(a.1, b.1)) }
    }
    #[inline(always)]
    fn xor_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { Pair(_mm256_xor_si256(a.0, b.0), _mm256_xor_si256(a.1, b.1)) }
    }
    #[inline(always)]
    fn shift_left<const N: i32>(self, a: Self::I32) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { Pair(_mm256_slli_epi32::<N>(a.0), _mm256_slli_epi32::<N>(a.1)) }
    }
    #[inline(always)]
    fn eq_i32(self, a: Self::I32, b: Self::I32) -> Self::Mask {
        // SAFETY: the token proves the features.
        unsafe {
            Pair(
                _mm256_castsi256_ps(_mm256_cmpeq_epi32(a.0, b.0)),
                _mm256_castsi256_ps(_mm256_cmpeq_epi32(a.1, b.1)),
            )
        }
    }
}

impl Simd for Avx2 {
    const TILE_TOKENS: usize = 6;
    const TILE_PANELS: usize = 1;

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        // SAFETY: a prefetch accesses nothing: it faults at no address and changes no value.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F32 {
        // SAFETY: the token proves the features; the reference spans 16 elements.
        unsafe {
            let from = from.as_ptr();
            Pair(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8)))
        }
    }
    #[inline(always)]
    fn load_cells(self, from: &[Cell<f32>; LANES]) -> Self::F32 {
        // SAFETY: the token proves the features; the reference spans 16 elements.
        unsafe {
            let from = from.as_ptr().cast::<f32>();
            Pair(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8)))
        }
    }
    #[inline(always)]
    fn load_partial(self, from: &[Cell<f32>]) -> Self::F32 {
        let mut lanes = [0.0; LANES];
        for (lane, cell) in lanes.iter_mut().zip(from) {
            *lane = cell.get();
        }
        self.load(&lanes)
    }
    #[inline(always)]
    fn load_slice_partial(self, from: &[f32]) -> Self::F32 {
        let mut lanes = [0.0; LANES];
        for (lane, x) in lanes.iter_mut().zip(from) {
            *lane = *x;
        }
        self.load(&lanes)
    }
    #[inline(always)]
    fn load_f16(self, from: &[u16; LANES]) -> Self::F32 {
        // SAFETY: the token proves the features; the reference spans 16 elements.
        unsafe {
            let from = from.as_ptr().cast::<__m128i>();
            Pair(
                _mm256_cvtph_ps(_mm_loadu_si128(from)),
                _mm256_cvtph_ps(_mm_loadu_si128(from.add(1))),
            )
        }
    }
    #[inline(always)]
    fn load_bf16(self, from: &[u16; LANES]) -> Self::F32 {
        // SAFETY: the token proves the features; the reference spans 16 elements.
        unsafe {
            let from = from.as_ptr().cast::<__m128i>();
            let low = _mm256_cvtepu16_epi32(_mm_loadu_si128(from));
            let high = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.add(1)));
            self.from_bits(Pair(
                _mm256_slli_epi32::<16>(low),
                _mm256_slli_epi32::<16>(high),
            ))
        }
    }
    #[inline(always)]
    fn store(self, to: &[Cell<f32>; LANES], x: Self::F32) {
        // SAFETY: as for `load_cells`; cells may be written through a shared reference.
        unsafe {
            let to = to.as_ptr().cast::<f32>().cast_mut();
            _mm256_storeu_ps(to, x.0);
            _mm256_storeu_ps(to.add(8), x.1);
        }
    }
    #[inline(always)]
    fn store_partial(self, to: &[Cell<f32>], x: Self::F32) {
        for (cell, x) in to.iter().zip(self.to_array(x)) {
            cell.set(x);
        }
    }
    #[inline(always)]
    fn to_array(self, x: Self::F32) -> [f32; LANES] {
        let mut lanes = [0.0; LANES];
        // SAFETY: the token proves the features; the array has 16 elements.
        unsafe {
            _mm256_storeu_ps(lanes.as_mut_ptr(), x.0);
            _mm256_storeu_ps(lanes.as_mut_ptr().add(8), x.1);
        }
        lanes
    }
    #[inline(always)]
    fn lanes_between(self, from: usize, to: usize) -> Self::Mask {
        let (from, to) = (from.min(LANES) as i32, to.min(LANES) as i32);
        // SAFETY: the token proves the features.
        unsafe {
            let low = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let high = _mm256_add_epi32(low, _mm256_set1_epi32(8));
            let between = |lane| {
                let reached = _mm256_cmpgt_epi32(lane, _mm256_set1_epi32(from - 1));
                let passed = _mm256_cmpgt_epi32(_mm256_set1_epi32(to), lane);
                _mm256_castsi256_ps(_mm256_and_si256(reached, passed))
            };
            Pair(between(low), between(high))
        }
    }
}
