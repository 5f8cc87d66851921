//! Sixteen rows as sixteen columns: elements are only moved, so every instruction set returns the same result.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;
use std::array::from_fn;

#[cfg(target_arch = "x86_64")]
use super::avx2::Pair;
use super::lanes::LANES;
use super::scalar::Scalar;
use super::vector::Transpose;
#[cfg(target_arch = "x86_64")]
use super::{Avx2, Avx512};

impl Transpose for Scalar {
    #[inline(always)]
    fn transpose(self, rows: [Self::F32; LANES]) -> [Self::F32; LANES] {
        from_fn(|i| from_fn(|j| rows[j][i]))
    }
}

#[cfg(target_arch = "x86_64")]
impl<const VNNI: bool> Transpose for Avx512<VNNI> {
    #[inline(always)]
    fn transpose(self, rows: [Self::F32; LANES]) -> [Self::F32; LANES] {
        // SAFETY: the token proves the features.
        unsafe {
            let doubles = |x| _mm512_castps_pd(x);
            let mut quads = rows;
            // quads[4 g + c], quarter q: column 4 q + c of rows 4 g to 4 g + 3.
            for g in (0..LANES).step_by(4) {
                let low = |i| doubles(_mm512_unpacklo_ps(rows[i], rows[i + 1]));
                let high = |i| doubles(_mm512_unpackhi_ps(rows[i], rows[i + 1]));
                let (a, b, c, d) = (low(g), low(g + 2), high(g), high(g + 2));
                quads[g] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                quads[g + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
                quads[g + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(c, d));
                quads[g + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(c, d));
            }
            let mut columns = quads;
            for c in 0..4 {
                // Quarters 0 and 2, and quarters 1 and 3, of two registers each.
                const EVEN: i32 = 0b10_00_10_00;
                const ODD: i32 = 0b11_01_11_01;
                let (first, second) = (quads[c], quads[4 + c]);
                let (third, fourth) = (quads[8 + c], quads[12 + c]);
                let even = _mm512_shuffle_f32x4::<EVEN>(first, second);
                let odd = _mm512_shuffle_f32x4::<ODD>(first, second);
                let even_below = _mm512_shuffle_f32x4::<EVEN>(third, fourth);
                let odd_below = _mm512_shuffle_f32x4::<ODD>(third, fourth);
                columns[c] = _mm512_shuffle_f32x4::<EVEN>(even, even_below);
                columns[4 + c] = _mm512_shuffle_f32x4::<EVEN>(odd, odd_below);
                columns[8 + c] = _mm512_shuffle_f32x4::<ODD>(even, even_below);
                columns[12 + c] = _mm512_shuffle_f32x4::<ODD>(odd, odd_below);
            }
            columns
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Transpose for Avx2 {
    #[inline(always)]
    fn transpose(self, rows: [Self::F32; LANES]) -> [Self::F32; LANES] {
        let left = self.transpose_half(from_fn(|i| rows[i].0));
        let left_below = self.transpose_half(from_fn(|i| rows[8 + i].0));
        let right = self.transpose_half(from_fn(|i| rows[i].1));
        let right_below = self.transpose_half(from_fn(|i| rows[8 + i].1));
        from_fn(|i| match i < 8 {
            true => Pair(left[i], left_below[i]),
            false => Pair(right[i - 8], right_below[i - 8]),
        })
    }
}

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    /// Lane j of row i becomes lane i of row j, for eight rows.
    #[inline(always)]
    fn transpose_half(self, rows: [__m256; 8]) -> [__m256; 8] {
        // SAFETY: the token proves the features.
        unsafe {
            let doubles = |x| _mm256_castps_pd(x);
            let mut quads = rows;
            // quads[4 g + c], half h: column 4 h + c of rows 4 g to 4 g + 3.
            for g in [0, 4] {
                let low = |i| doubles(_mm256_unpacklo_ps(rows[i], rows[i + 1]));
                let high = |i| doubles(_mm256_unpackhi_ps(rows[i], rows[i + 1]));
                let (a, b, c, d) = (low(g), low(g + 2), high(g), high(g + 2));
                quads[g] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
                quads[g + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
                quads[g + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(c, d));
                quads[g + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(c, d));
            }
            let mut columns = quads;
            for c in 0..4 {
                columns[c] = _mm256_permute2f128_ps::<0x20>(quads[c], quads[4 + c]);
                columns[4 + c] = _mm256_permute2f128_ps::<0x31>(quads[c], quads[4 + c]);
            }
            columns
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl<const BITS: usize> Transpose for super::absent::Absent<BITS> {
    fn transpose(self, rows: [Self::F32; LANES]) -> [Self::F32; LANES] {
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Isa, Simd};
    use super::*;

    fn turned<S: Simd>(simd: S, rows: &[[f32; LANES]; LANES]) -> [[f32; LANES]; LANES] {
        let rows = simd.transpose(from_fn(|i| simd.load(&rows[i])));
        rows.map(|row| simd.to_array(row))
    }

    #[test]
    fn rows_become_columns() {
        let rows: [[f32; LANES]; LANES] = from_fn(|i| from_fn(|j| (100 * i + j) as f32));
        for isa in Isa::available() {
            let columns = match isa {
                Isa::Scalar(simd) => turned(simd, &rows),
                Isa::Avx2(simd) => turned(simd, &rows),
                Isa::Avx512(simd) => turned(simd, &rows),
            };
            for (i, row) in rows.iter().enumerate() {
                for (j, x) in row.iter().enumerate() {
                    assert_eq!(columns[j][i], *x, "{isa:?}");
                }
            }
        }
    }
}
