//! AVX2, FMA and F16C: sixteen lanes in two registers, lanes 0 to 7 in the first. Partial rows go through an array on the
//! stack, because masked stores are slow on several CPUs.

use std::arch::x86_64::*;
use std::cell::Cell;

use super::int8::words_within_i16;
use super::{Int8, LANES, Lanes, Simd, Work};

/// Proof that this CPU has AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    /// The token, if the CPU and the operating system support all three.
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
    /// All bits of a lane are set where it is true.
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
    fn shift_right<const N: i32>(self, a: Self::I32) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { Pair(_mm256_srli_epi32::<N>(a.0), _mm256_srli_epi32::<N>(a.1)) }
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

    // `inline(never)` is here, because it has no effect together with `target_feature`.
    #[inline(never)]
    fn run<W: Work>(self, work: W) {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn with_features<W: Work>(simd: Avx2, work: W) {
            work.run(simd);
        }
        // SAFETY: the token proves the features.
        unsafe { with_features(self, work) }
    }
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
    #[inline(always)]
    fn sum(self, x: Self::F32) -> f32 {
        // SAFETY: the token proves the features.
        unsafe {
            let eight = _mm256_add_ps(x.0, x.1);
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
            let eight = _mm256_max_ps(x.0, x.1);
            let four = _mm_max_ps(
                _mm256_castps256_ps128(eight),
                _mm256_extractf128_ps::<1>(eight),
            );
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        }
    }
}

/// Eight words of activations as i16: bytes 0 and 2 of each word, then bytes 1 and 3.
#[derive(Clone, Copy)]
#[repr(align(32))]
struct WideWords([[i32; 8]; 2]);

impl Int8 for Avx2 {
    const INT8_TOKENS: usize = 4;
    const INT8_FEW_TOKENS: usize = 4;
    const WIDENS_SIGNED: bool = true;
    const SIGNED_OFFSET: i32 = 0;

    #[inline(always)]
    fn load_u32(self, from: &[u32; LANES]) -> Self::I32 {
        // SAFETY: the token proves the features; the reference spans 16 elements.
        unsafe {
            let from = from.as_ptr().cast::<__m256i>();
            Pair(_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1)))
        }
    }
    #[inline(always)]
    fn to_f32(self, x: Self::I32) -> Self::F32 {
        // SAFETY: the token proves the features.
        unsafe { Pair(_mm256_cvtepi32_ps(x.0), _mm256_cvtepi32_ps(x.1)) }
    }
    #[inline(always)]
    fn or_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { Pair(_mm256_or_si256(a.0, b.0), _mm256_or_si256(a.1, b.1)) }
    }
    #[inline(always)]
    fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { Pair(_mm256_mullo_epi32(a.0, b.0), _mm256_mullo_epi32(a.1, b.1)) }
    }
    #[inline(always)]
    fn shift_left_by(self, a: Self::I32, count: usize) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe {
            let count = _mm_cvtsi32_si128(count as i32);
            Pair(_mm256_sll_epi32(a.0, count), _mm256_sll_epi32(a.1, count))
        }
    }
    #[inline(always)]
    fn shift_right_by(self, a: Self::I32, count: usize) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe {
            let count = _mm_cvtsi32_si128(count as i32);
            Pair(_mm256_srl_epi32(a.0, count), _mm256_srl_epi32(a.1, count))
        }
    }
    #[inline(always)]
    fn shift_right_signed(self, a: Self::I32, count: usize) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe {
            let count = _mm_cvtsi32_si128(count as i32);
            Pair(_mm256_sra_epi32(a.0, count), _mm256_sra_epi32(a.1, count))
        }
    }
    #[inline(always)]
    fn sum_i32(self, x: Self::I32) -> i32 {
        // SAFETY: the token proves the features.
        unsafe {
            let eight = _mm256_add_epi32(x.0, x.1);
            let four = _mm_add_epi32(
                _mm256_castsi256_si128(eight),
                _mm256_extracti128_si256::<1>(eight),
            );
            let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
            let one = _mm_add_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two));
            _mm_cvtsi128_si32(one)
        }
    }
    #[inline(always)]
    fn dot_i16(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe { Pair(_mm256_madd_epi16(a.0, b.0), _mm256_madd_epi16(a.1, b.1)) }
    }
    #[inline(always)]
    fn lookup(self, table: [i8; LANES], index: Self::I32) -> Self::I32 {
        // SAFETY: the token proves the features; the table is 16 bytes.
        unsafe {
            let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
            Pair(
                _mm256_shuffle_epi8(table, index.0),
                _mm256_shuffle_epi8(table, index.1),
            )
        }
    }
    #[inline(always)]
    fn store_bytes(self, to: &[Cell<i32>; 4], x: Self::I32) {
        // SAFETY: the token proves the features; `to` is 16 bytes, and cells may be written through a shared reference.
        unsafe {
            // First to i16, four from each half in turn; then to bytes, so that every four bytes are one lane of 32 bits.
            let words = _mm256_packs_epi32(x.0, x.1);
            let bytes = _mm_packs_epi16(
                _mm256_castsi256_si128(words),
                _mm256_extracti128_si256::<1>(words),
            );
            let bytes = _mm_shuffle_epi32::<0b11_01_10_00>(bytes);
            _mm_storeu_si128(to.as_ptr().cast::<__m128i>().cast_mut(), bytes);
        }
    }
    /// Products are summed as i16 as long as the sums fit, then widened.
    #[inline(always)]
    fn dot_unsigned<const BITS: u32, const N: usize>(
        self,
        mut acc: Self::I32,
        w: [Self::I32; N],
        x: [Self::I32; N],
    ) -> Self::I32 {
        let together = const { words_within_i16(BITS) };
        // SAFETY: the token proves the features.
        unsafe {
            let ones = _mm256_set1_epi16(1);
            let mut at = 0;
            while at < N {
                let mut low = _mm256_maddubs_epi16(w[at].0, x[at].0);
                let mut high = _mm256_maddubs_epi16(w[at].1, x[at].1);
                for i in at + 1..N.min(at + together) {
                    low = _mm256_add_epi16(low, _mm256_maddubs_epi16(w[i].0, x[i].0));
                    high = _mm256_add_epi16(high, _mm256_maddubs_epi16(w[i].1, x[i].1));
                }
                acc.0 = _mm256_add_epi32(acc.0, _mm256_madd_epi16(low, ones));
                acc.1 = _mm256_add_epi32(acc.1, _mm256_madd_epi16(high, ones));
                at += together;
            }
        }
        acc
    }
    #[inline(always)]
    fn signed_bytes(self, w: Self::I32) -> Self::I32 {
        w
    }
    #[inline(always)]
    fn widened(self, w: Self::I32) -> [Self::I32; 2] {
        // SAFETY: the token proves the features.
        unsafe {
            let even = |w: __m256i| _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(w));
            let odd = |w: __m256i| _mm256_srai_epi16::<8>(w);
            [Pair(even(w.0), even(w.1)), Pair(odd(w.0), odd(w.1))]
        }
    }
    /// The activations are widened first, eight words at a time. Then each word of weights is read once for all tokens, whose
    /// sums stay in registers.
    #[inline(always)]
    fn dot_widened<const T: usize>(
        self,
        even: &[[Cell<f32>; LANES]; 8],
        odd: &[[Cell<f32>; LANES]; 8],
        x: [&[Cell<i32>; 8]; T],
    ) -> [Self::I32; T] {
        // SAFETY: the token proves the features; 8 words are 32 bytes, and `WideWords` has the size of two vectors.
        unsafe {
            let mut wide = [WideWords([[0; 8]; 2]); T];
            for (wide, x) in wide.iter_mut().zip(x) {
                let words = _mm256_loadu_si256(x.as_ptr().cast());
                let even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(words));
                _mm256_store_si256(wide.0[0].as_mut_ptr().cast(), even);
                let odd = _mm256_srai_epi16::<8>(words);
                _mm256_store_si256(wide.0[1].as_mut_ptr().cast(), odd);
            }
            let mut sums = [Pair(_mm256_setzero_si256(), _mm256_setzero_si256()); T];
            for word in 0..8 {
                for (part, w) in [even, odd].into_iter().enumerate() {
                    let Pair(low, high) = self.bits(self.load_cells(&w[word]));
                    for t in 0..T {
                        let x = _mm256_set1_epi32(wide[t].0[part][word]);
                        sums[t].0 = _mm256_add_epi32(sums[t].0, _mm256_madd_epi16(low, x));
                        sums[t].1 = _mm256_add_epi32(sums[t].1, _mm256_madd_epi16(high, x));
                    }
                }
            }
            sums
        }
    }
    /// |w| · (x with the sign of w): two such products are at most 2 · 128 · 127, which fits an i16.
    #[inline(always)]
    fn dot_signed<const N: usize>(
        self,
        mut acc: Self::I32,
        w: [Self::I32; N],
        x: [Self::I32; N],
    ) -> Self::I32 {
        // SAFETY: the token proves the features.
        unsafe {
            let ones = _mm256_set1_epi16(1);
            for (w, x) in w.into_iter().zip(x) {
                let low = _mm256_maddubs_epi16(_mm256_abs_epi8(w.0), _mm256_sign_epi8(x.0, w.0));
                let high = _mm256_maddubs_epi16(_mm256_abs_epi8(w.1), _mm256_sign_epi8(x.1, w.1));
                acc.0 = _mm256_add_epi32(acc.0, _mm256_madd_epi16(low, ones));
                acc.1 = _mm256_add_epi32(acc.1, _mm256_madd_epi16(high, ones));
            }
        }
        acc
    }
}
