//! The formats of 256 elements whose groups have small integer scales: Q2_K, Q3_K, Q4_K, Q5_K, Q6_K.
//!
//! Q2_K, 16 groups of 16. An element is (d · s) · q − dmin · m.
//!
//! | bytes | |
//! | --- | --- |
//! | 0..16 | byte g: s of group g in the lower four bits, m in the upper |
//! | 16..80 | two bits an element, [quarters](spread_two_bits) |
//! | 80..82, 82..84 | scales d and dmin |
//!
//! Q3_K, 16 groups of 16. An element is (d · (s − 32)) · (q − 4).
//!
//! | bytes | |
//! | --- | --- |
//! | 0..32 | bit j of byte i: the third bit of element 32j + i |
//! | 32..96 | the lower two bits an element, [quarters](spread_two_bits) |
//! | 96..108 | s: bytes 0..8 hold the lower four bits of groups i and 8 + i, bytes 8..12 two bits each of groups i, 4 + i, 8 + i, 12 + i |
//! | 108..110 | scale d |
//!
//! Q4_K, 8 groups of 32. An element is (d · s) · q − dmin · m.
//!
//! | bytes | |
//! | --- | --- |
//! | 0..2, 2..4 | scales d and dmin |
//! | 4..16 | s and m, [six bits each](scales_and_minimums) |
//! | 16..144 | 32 bytes each two groups; byte i: the four bits of elements i of the first and of the second |
//!
//! Q5_K, 8 groups of 32. An element is (d · s) · q − dmin · m.
//!
//! | bytes | |
//! | --- | --- |
//! | 0..2, 2..4 | scales d and dmin |
//! | 4..16 | s and m, [six bits each](scales_and_minimums) |
//! | 16..48 | bit g of byte i: the fifth bit of element i of group g |
//! | 48..176 | 32 bytes each two groups; byte i: the lower four bits of elements i of the first and of the second |
//!
//! Q6_K, 16 groups of 16. An element is (d · s) · (q − 32).
//!
//! | bytes | |
//! | --- | --- |
//! | 0..128 | 64 bytes each 128 elements; byte i: the lower four bits of elements i and 64 + i |
//! | 128..192 | the upper two bits an element, [quarters](spread_two_bits) |
//! | 192..208 | byte g: s of group g, signed |
//! | 208..210 | scale d |

use super::field::{field, scale};

/// Two bits an element, 32 bytes each 128 elements: bits 2j, 2j + 1 of byte i belong to element 32j + i of the 128.
fn spread_two_bits(bytes: &[u8; 64]) -> [u8; 256] {
    let mut out = [0; 256];
    for (half, out) in bytes
        .as_chunks::<32>()
        .0
        .iter()
        .zip(out.as_chunks_mut::<128>().0)
    {
        for (j, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            for (out, byte) in out.iter_mut().zip(half) {
                *out = byte >> (2 * j) & 3;
            }
        }
    }
    out
}

/// Four bits an element, 32 bytes each 64 elements: byte i belongs to elements i and 32 + i of the 64.
fn spread_four_bits(bytes: &[u8; 128]) -> [u8; 256] {
    let mut out = [0; 256];
    for (bytes, out) in bytes
        .as_chunks::<32>()
        .0
        .iter()
        .zip(out.as_chunks_mut::<64>().0)
    {
        let (first, second) = out.split_at_mut(32);
        for ((first, second), byte) in first.iter_mut().zip(second).zip(bytes) {
            *first = byte & 15;
            *second = byte >> 4;
        }
    }
    out
}

/// The scale and the minimum of each of 8 groups, 0..64.
///
/// Of the groups 0..4, byte g holds s in its lower six bits, and byte 4 + g holds m. Of the groups 4..8, byte 4 + g holds the
/// lower four bits of s and, above them, of m; their upper two bits are the upper two of bytes g − 4 and g.
fn scales_and_minimums(bytes: &[u8; 12]) -> [(u8, u8); 8] {
    std::array::from_fn(|g| {
        if g < 4 {
            (bytes[g] & 63, bytes[g + 4] & 63)
        } else {
            let both = bytes[g + 4];
            (
                both & 15 | bytes[g - 4] >> 6 << 4,
                both >> 4 | bytes[g] >> 6 << 4,
            )
        }
    })
}

/// `out = scale · q − minimum` for the `N` elements of each group.
fn from_minimum<const N: usize>(
    groups: impl Iterator<Item = (f32, f32)>,
    numbers: &[u8; 256],
    out: &mut [f32; 256],
) {
    let numbers = numbers.as_chunks::<N>().0;
    for (((scale, minimum), numbers), out) in groups.zip(numbers).zip(out.as_chunks_mut::<N>().0) {
        for (out, &q) in out.iter_mut().zip(numbers) {
            *out = scale * f32::from(q) - minimum;
        }
    }
}

/// `out = scale · (q − zero)` for the 16 elements of each group.
fn centred(groups: impl Iterator<Item = f32>, numbers: &[u8; 256], zero: i8, out: &mut [f32; 256]) {
    let numbers = numbers.as_chunks::<16>().0;
    for ((scale, numbers), out) in groups.zip(numbers).zip(out.as_chunks_mut::<16>().0) {
        for (out, &q) in out.iter_mut().zip(numbers) {
            *out = scale * f32::from(q as i8 - zero);
        }
    }
}

pub(super) fn read_q2_k(block: &[u8; 84], out: &mut [f32; 256]) {
    let (d, dmin) = (scale::<80, _>(block), scale::<82, _>(block));
    let groups = field::<0, 16, _>(block).iter();
    let groups = groups.map(|byte| (d * f32::from(byte & 15), dmin * f32::from(byte >> 4)));
    let numbers = spread_two_bits(field::<16, 64, _>(block));
    from_minimum::<16>(groups, &numbers, out);
}

pub(super) fn read_q3_k(block: &[u8; 110], out: &mut [f32; 256]) {
    let d = scale::<108, _>(block);
    let low = field::<96, 8, _>(block);
    let high = field::<104, 4, _>(block);
    let groups = (0..16).map(|g| {
        let low = low[g % 8] >> (g / 8 * 4) & 15;
        let high = high[g % 4] >> (g / 4 * 2) & 3;
        d * f32::from((low | high << 4) as i8 - 32)
    });
    let mut numbers = spread_two_bits(field::<32, 64, _>(block));
    let third = field::<0, 32, _>(block);
    for (j, numbers) in numbers.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        for (number, byte) in numbers.iter_mut().zip(third) {
            *number |= (byte >> j & 1) << 2;
        }
    }
    centred(groups, &numbers, 4, out);
}

pub(super) fn read_q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let numbers = spread_four_bits(field::<16, 128, _>(block));
    from_minimum::<32>(six_bit_groups(block), &numbers, out);
}

pub(super) fn read_q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let mut numbers = spread_four_bits(field::<48, 128, _>(block));
    let fifth = field::<16, 32, _>(block);
    for (g, numbers) in numbers.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        for (number, byte) in numbers.iter_mut().zip(fifth) {
            *number |= (byte >> g & 1) << 4;
        }
    }
    from_minimum::<32>(six_bit_groups(block), &numbers, out);
}

/// Scale and minimum of each group of a Q4_K or Q5_K block, which begin alike.
fn six_bit_groups<const BYTES: usize>(block: &[u8; BYTES]) -> impl Iterator<Item = (f32, f32)> {
    let (d, dmin) = (scale::<0, _>(block), scale::<2, _>(block));
    let groups = scales_and_minimums(field::<4, 12, _>(block));
    groups
        .into_iter()
        .map(move |(s, m)| (d * f32::from(s), dmin * f32::from(m)))
}

pub(super) fn read_q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let d = scale::<208, _>(block);
    let groups = field::<192, 16, _>(block).iter();
    let groups = groups.map(|&byte| d * f32::from(byte as i8));
    let mut numbers = spread_two_bits(field::<128, 64, _>(block));
    let low = field::<0, 128, _>(block).as_chunks::<64>().0;
    for (low, numbers) in low.iter().zip(numbers.as_chunks_mut::<128>().0) {
        let (first, second) = numbers.split_at_mut(64);
        for ((first, second), byte) in first.iter_mut().zip(second).zip(low) {
            *first = *first << 4 | byte & 15;
            *second = *second << 4 | byte >> 4;
        }
    }
    centred(groups, &numbers, 32, out);
}
