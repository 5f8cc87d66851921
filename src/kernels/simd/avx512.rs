//! AVX-512 F, BW, VL and DQ: sixteen lanes in one register, with masks for partial rows. Products of int8 use VNNI if the
//! CPU has it; otherwise they are widened from i16, as on AVX2.

use std::arch::x86_64::*;
use std::cell::Cell;

use super::int8::words_within_i16;
use super::{Int8, LANES, Lanes, Simd, Work};

/// Proof that this CPU has AVX-512 F, BW, VL and DQ, AVX2, FMA and F16C, and, with `VNNI`, AVX-512 VNNI too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512<const VNNI: bool = false>(());

/// Proof that this CPU has all of [`Avx512`], and VNNI.
pub type Vnni = Avx512<true>;

impl Avx512 {
    /// The token, if the CPU and the operating system support all of them.
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

    /// The token with VNNI, if the CPU has it.
    pub fn vnni(self) -> Option<Vnni> {
        is_x86_feature_detected!("avx512vnni").then_some(Avx512(()))
    }
}

/// A mask of the first `count` lanes; all of them for `count` ≥ 16.
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    ((1u32 << count.min(LANES)) - 1) as __mmask16
}

impl<const VNNI: bool> Lanes for Avx512<VNNI> {
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
    fn shift_right<const N: i32>(self, a: Self::I32) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_srlv_epi32(a, _mm512_set1_epi32(N)) }
    }
    #[inline(always)]
    fn eq_i32(self, a: Self::I32, b: Self::I32) -> Self::Mask {
        // SAFETY: the token proves the features.
        unsafe { _mm512_cmpeq_epi32_mask(a, b) }
    }
    #[inline(always)]
    fn scale(self, a: Self::F32, n: Self::F32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_scalef_ps(a, n) }
    }
}

impl<const VNNI: bool> Simd for Avx512<VNNI> {
    const TILE_TOKENS: usize = 12;
    const TILE_PANELS: usize = 2;

    // `inline(never)` is here, because it has no effect together with `target_feature`.
    #[inline(never)]
    fn run<W: Work>(self, work: W) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
        fn with_features<S: Simd, W: Work>(simd: S, work: W) {
            work.run(simd);
        }
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
        fn with_vnni<S: Simd, W: Work>(simd: S, work: W) {
            work.run(simd);
        }
        if VNNI {
            // SAFETY: the token proves the features.
            unsafe { with_vnni(self, work) }
        } else {
            // SAFETY: the token proves the features.
            unsafe { with_features(self, work) }
        }
    }
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
    #[inline(always)]
    fn sum(self, x: Self::F32) -> f32 {
        // SAFETY: the token proves the features.
        unsafe {
            let eight = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x));
            let four = _mm_add_ps(
                _mm256_castps256_ps128(eight),
                _mm256_extractf128_ps::<1>(eight),
            );
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
    #[inline(always)]
    fn largest(self, x: Self::F32) -> f32 {
        // SAFETY: the token proves the features.
        unsafe {
            let eight = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x));
            let four = _mm_max_ps(
                _mm256_castps256_ps128(eight),
                _mm256_extractf128_ps::<1>(eight),
            );
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        }
    }
}

impl<const VNNI: bool> Int8 for Avx512<VNNI> {
    const INT8_TOKENS: usize = 8;
    const INT8_FEW_TOKENS: usize = 16;
    const SIGNED_OFFSET: i32 = if VNNI { 128 } else { 0 };

    #[inline(always)]
    fn load_u32(self, from: &[u32; LANES]) -> Self::I32 {
        // SAFETY: the token proves the features; the reference spans 16 elements.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }
    #[inline(always)]
    fn to_f32(self, x: Self::I32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_cvtepi32_ps(x) }
    }
    #[inline(always)]
    fn or_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_or_si512(a, b) }
    }
    #[inline(always)]
    fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_mullo_epi32(a, b) }
    }
    #[inline(always)]
    fn shift_left_by(self, a: Self::I32, count: usize) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_sll_epi32(a, _mm_cvtsi32_si128(count as i32)) }
    }
    #[inline(always)]
    fn shift_right_by(self, a: Self::I32, count: usize) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_srl_epi32(a, _mm_cvtsi32_si128(count as i32)) }
    }
    #[inline(always)]
    fn shift_right_signed(self, a: Self::I32, count: usize) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_sra_epi32(a, _mm_cvtsi32_si128(count as i32)) }
    }
    #[inline(always)]
    fn sum_i32(self, x: Self::I32) -> i32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_reduce_add_epi32(x) }
    }
    #[inline(always)]
    fn dot_i16(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { _mm512_madd_epi16(a, b) }
    }
    #[inline(always)]
    fn lookup(self, table: [i8; LANES], index: Self::I32) -> Self::I32 {
        // SAFETY: the token proves the features; the table is 16 bytes.
        unsafe {
            let table = _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast()));
            _mm512_shuffle_epi8(table, index)
        }
    }
    #[inline(always)]
    fn store_bytes(self, to: &[Cell<i32>; 4], x: Self::I32) {
        // SAFETY: the token proves the features; `to` is 16 bytes, and cells may be written through a shared reference.
        unsafe {
            let to = to.as_ptr().cast::<__m128i>().cast_mut();
            _mm_storeu_si128(to, _mm512_cvtepi32_epi8(x));
        }
    }
    #[inline(always)]
    fn dot_unsigned<const BITS: u32, const N: usize>(
        self,
        mut acc: Self::I32,
        w: [Self::I32; N],
        x: [Self::I32; N],
    ) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe {
            if VNNI {
                for (w, x) in w.into_iter().zip(x) {
                    acc = _mm512_dpbusd_epi32(acc, w, x);
                }
                return acc;
            }
            let together = const { words_within_i16(BITS) };
            let mut at = 0;
            while at < N {
                let mut pairs = _mm512_maddubs_epi16(w[at], x[at]);
                for i in at + 1..N.min(at + together) {
                    pairs = _mm512_add_epi16(pairs, _mm512_maddubs_epi16(w[i], x[i]));
                }
                acc = _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
                at += together;
            }
            acc
        }
    }
    /// VNNI needs unsigned weights: 128 is added by flipping the sign bit.
    #[inline(always)]
    fn signed_bytes(self, w: Self::I32) -> Self::I32 {
        if VNNI {
            self.xor_i32(w, self.splat_i32(i32::from_ne_bytes([0x80; 4])))
        } else {
            w
        }
    }
    #[inline(always)]
    fn dot_signed<const N: usize>(
        self,
        mut acc: Self::I32,
        w: [Self::I32; N],
        x: [Self::I32; N],
    ) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe {
            for (w, x) in w.into_iter().zip(x) {
                if VNNI {
                    acc = _mm512_dpbusd_epi32(acc, w, x);
                    continue;
                }
                // |w| · (x with the sign of w), as on AVX2.
                let negative = _mm512_movepi8_mask(w);
                let x = _mm512_mask_sub_epi8(x, negative, _mm512_setzero_si512(), x);
                let pairs = _mm512_maddubs_epi16(_mm512_abs_epi8(w), x);
                acc = _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
            }
        }
        acc
    }
}
