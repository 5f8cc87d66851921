//! Plain Rust: one lane at a time. This is the oracle with which the wider instruction sets are compared.

use std::array::from_fn;
use std::cell::Cell;

use super::{Int8, LANES, Lanes, Simd, Work};

/// One lane: the functions of [`math`](crate::kernels::math) for a single f32, with the same bits as the wide ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Single;

impl Lanes for Single {
    type F32 = f32;
    type I32 = i32;
    type Mask = bool;

    #[inline(always)]
    fn splat(self, x: f32) -> f32 {
        x
    }
    #[inline(always)]
    fn add(self, a: f32, b: f32) -> f32 {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: f32, b: f32) -> f32 {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: f32, b: f32) -> f32 {
        a * b
    }
    #[inline(always)]
    fn div(self, a: f32, b: f32) -> f32 {
        a / b
    }
    #[inline(always)]
    fn sqrt(self, a: f32) -> f32 {
        a.sqrt()
    }
    #[inline(always)]
    fn mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn neg_mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        (-a).mul_add(b, c)
    }
    #[inline(always)]
    fn max(self, a: f32, b: f32) -> f32 {
        if a > b { a } else { b }
    }
    #[inline(always)]
    fn min(self, a: f32, b: f32) -> f32 {
        if a < b { a } else { b }
    }
    #[inline(always)]
    fn neg(self, a: f32) -> f32 {
        -a
    }
    #[inline(always)]
    fn abs(self, a: f32) -> f32 {
        a.abs()
    }
    #[inline(always)]
    fn round(self, a: f32) -> f32 {
        a.round_ties_even()
    }
    #[inline(always)]
    fn gt(self, a: f32, b: f32) -> bool {
        a > b
    }
    #[inline(always)]
    fn select(self, mask: bool, a: f32, b: f32) -> f32 {
        if mask { a } else { b }
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> i32 {
        x
    }
    #[inline(always)]
    fn to_i32(self, x: f32) -> i32 {
        x as i32
    }
    #[inline(always)]
    fn bits(self, x: f32) -> i32 {
        x.to_bits().cast_signed()
    }
    #[inline(always)]
    fn from_bits(self, x: i32) -> f32 {
        f32::from_bits(x.cast_unsigned())
    }
    #[inline(always)]
    fn add_i32(self, a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }
    #[inline(always)]
    fn and_i32(self, a: i32, b: i32) -> i32 {
        a & b
    }
    #[inline(always)]
    fn xor_i32(self, a: i32, b: i32) -> i32 {
        a ^ b
    }
    #[inline(always)]
    fn shift_left<const N: i32>(self, a: i32) -> i32 {
        a << N
    }
    #[inline(always)]
    fn shift_right<const N: i32>(self, a: i32) -> i32 {
        (a.cast_unsigned() >> N).cast_signed()
    }
    #[inline(always)]
    fn eq_i32(self, a: i32, b: i32) -> bool {
        a == b
    }
}

/// Sixteen lanes in plain Rust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scalar;

impl Lanes for Scalar {
    type F32 = [f32; LANES];
    type I32 = [i32; LANES];
    type Mask = [bool; LANES];

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F32 {
        [x; LANES]
    }
    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        from_fn(|i| Single.add(a[i], b[i]))
    }
    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        from_fn(|i| Single.sub(a[i], b[i]))
    }
    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        from_fn(|i| Single.mul(a[i], b[i]))
    }
    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        from_fn(|i| Single.div(a[i], b[i]))
    }
    #[inline(always)]
    fn sqrt(self, a: Self::F32) -> Self::F32 {
        a.map(|a| Single.sqrt(a))
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        from_fn(|i| Single.mul_add(a[i], b[i], c[i]))
    }
    #[inline(always)]
    fn neg_mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        from_fn(|i| Single.neg_mul_add(a[i], b[i], c[i]))
    }
    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        from_fn(|i| Single.max(a[i], b[i]))
    }
    #[inline(always)]
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        from_fn(|i| Single.min(a[i], b[i]))
    }
    #[inline(always)]
    fn neg(self, a: Self::F32) -> Self::F32 {
        a.map(|a| Single.neg(a))
    }
    #[inline(always)]
    fn abs(self, a: Self::F32) -> Self::F32 {
        a.map(|a| Single.abs(a))
    }
    #[inline(always)]
    fn round(self, a: Self::F32) -> Self::F32 {
        a.map(|a| Single.round(a))
    }
    #[inline(always)]
    fn gt(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        from_fn(|i| a[i] > b[i])
    }
    #[inline(always)]
    fn select(self, mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32 {
        from_fn(|i| if mask[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> Self::I32 {
        [x; LANES]
    }
    #[inline(always)]
    fn to_i32(self, x: Self::F32) -> Self::I32 {
        x.map(|x| Single.to_i32(x))
    }
    #[inline(always)]
    fn bits(self, x: Self::F32) -> Self::I32 {
        x.map(|x| Single.bits(x))
    }
    #[inline(always)]
    fn from_bits(self, x: Self::I32) -> Self::F32 {
        x.map(|x| Single.from_bits(x))
    }
    #[inline(always)]
    fn add_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        from_fn(|i| Single.add_i32(a[i], b[i]))
    }
    #[inline(always)]
    fn and_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        from_fn(|i| Single.and_i32(a[i], b[i]))
    }
    #[inline(always)]
    fn xor_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        from_fn(|i| Single.xor_i32(a[i], b[i]))
    }
    #[inline(always)]
    fn shift_left<const N: i32>(self, a: Self::I32) -> Self::I32 {
        a.map(|a| a << N)
    }
    #[inline(always)]
    fn shift_right<const N: i32>(self, a: Self::I32) -> Self::I32 {
        from_fn(|i| Single.shift_right::<N>(a[i]))
    }
    #[inline(always)]
    fn eq_i32(self, a: Self::I32, b: Self::I32) -> Self::Mask {
        from_fn(|i| a[i] == b[i])
    }
}

impl Simd for Scalar {
    const TILE_TOKENS: usize = 4;
    const TILE_PANELS: usize = 1;

    #[inline(never)]
    fn run<W: Work>(self, work: W) {
        work.run(self);
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F32 {
        *from
    }
    #[inline(always)]
    fn load_cells(self, from: &[Cell<f32>; LANES]) -> Self::F32 {
        from_fn(|i| from[i].get())
    }
    #[inline(always)]
    fn load_partial(self, from: &[Cell<f32>]) -> Self::F32 {
        from_fn(|i| from.get(i).map_or(0.0, Cell::get))
    }
    #[inline(always)]
    fn load_slice_partial(self, from: &[f32]) -> Self::F32 {
        from_fn(|i| from.get(i).copied().unwrap_or(0.0))
    }
    #[inline(always)]
    fn load_f16(self, from: &[u16; LANES]) -> Self::F32 {
        from.map(|bits| half::f16::from_bits(bits).to_f32())
    }
    #[inline(always)]
    fn load_bf16(self, from: &[u16; LANES]) -> Self::F32 {
        from.map(|bits| f32::from_bits(u32::from(bits) << 16))
    }
    #[inline(always)]
    fn store(self, to: &[Cell<f32>; LANES], x: Self::F32) {
        for (cell, x) in to.iter().zip(x) {
            cell.set(x);
        }
    }
    #[inline(always)]
    fn store_partial(self, to: &[Cell<f32>], x: Self::F32) {
        for (cell, x) in to.iter().zip(x) {
            cell.set(x);
        }
    }
    #[inline(always)]
    fn to_array(self, x: Self::F32) -> [f32; LANES] {
        x
    }
    #[inline(always)]
    fn lanes_between(self, from: usize, to: usize) -> Self::Mask {
        from_fn(|i| (from..to).contains(&i))
    }
}

impl Int8 for Scalar {
    const INT8_TOKENS: usize = 4;
    const INT8_FEW_TOKENS: usize = 4;
    const SIGNED_OFFSET: i32 = 0;

    #[inline(always)]
    fn load_u32(self, from: &[u32; LANES]) -> Self::I32 {
        from.map(u32::cast_signed)
    }
    #[inline(always)]
    fn to_f32(self, x: Self::I32) -> Self::F32 {
        x.map(|x| x as f32)
    }
    #[inline(always)]
    fn or_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        from_fn(|i| a[i] | b[i])
    }
    #[inline(always)]
    fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        from_fn(|i| a[i].wrapping_mul(b[i]))
    }
    #[inline(always)]
    fn shift_left_by(self, a: Self::I32, count: usize) -> Self::I32 {
        a.map(|a| a << count)
    }
    #[inline(always)]
    fn shift_right_by(self, a: Self::I32, count: usize) -> Self::I32 {
        a.map(|a| (a.cast_unsigned() >> count).cast_signed())
    }
    #[inline(always)]
    fn shift_right_signed(self, a: Self::I32, count: usize) -> Self::I32 {
        a.map(|a| a >> count)
    }
    #[inline(always)]
    fn sum_i32(self, x: Self::I32) -> i32 {
        x.into_iter().fold(0, i32::wrapping_add)
    }
    #[inline(always)]
    fn dot_i16(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        from_fn(|i| {
            let low = i32::from(a[i] as i16) * i32::from(b[i] as i16);
            low + (a[i] >> 16) * (b[i] >> 16)
        })
    }
    #[inline(always)]
    fn lookup(self, table: [i8; LANES], index: Self::I32) -> Self::I32 {
        let level = |byte: u8| table[usize::from(byte % 16)].cast_unsigned();
        index.map(|index| i32::from_le_bytes(index.to_le_bytes().map(level)))
    }
    #[inline(always)]
    fn store_bytes(self, to: &[Cell<i32>; 4], x: Self::I32) {
        for (word, x) in to.iter().zip(x.as_chunks::<4>().0) {
            word.set(i32::from_le_bytes(x.map(|x| x as u8)));
        }
    }
    #[inline(always)]
    fn dot_unsigned<const BITS: u32, const N: usize>(
        self,
        acc: Self::I32,
        w: [Self::I32; N],
        x: [Self::I32; N],
    ) -> Self::I32 {
        dot_bytes(acc, w, x, i32::from)
    }
    #[inline(always)]
    fn signed_bytes(self, w: Self::I32) -> Self::I32 {
        w
    }
    #[inline(always)]
    fn dot_signed<const N: usize>(
        self,
        acc: Self::I32,
        w: [Self::I32; N],
        x: [Self::I32; N],
    ) -> Self::I32 {
        dot_bytes(acc, w, x, |byte| i32::from(byte.cast_signed()))
    }
}

/// acc plus the sums of products of bytes, where `weight` converts the bytes of `w`, and the bytes of `x` are i8.
#[inline(always)]
fn dot_bytes<const N: usize>(
    acc: [i32; LANES],
    w: [[i32; LANES]; N],
    x: [[i32; LANES]; N],
    weight: impl Fn(u8) -> i32,
) -> [i32; LANES] {
    let mut sums = acc;
    for (w, x) in w.iter().zip(&x) {
        for ((sum, w), x) in sums.iter_mut().zip(w).zip(x) {
            for (w, x) in w.to_le_bytes().into_iter().zip(x.to_le_bytes()) {
                *sum += weight(w) * i32::from(x.cast_signed());
            }
        }
    }
    sums
}
