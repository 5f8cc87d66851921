//! The formats of 256 elements whose groups have small integer scales: Q2_K, Q3_K, Q4_K, Q5_K, Q6_K.
//!
//! Q2_K, 16 groups of 16. An element is (d · s) · q − dmin · m.
//!
//! | bytes | |
//! | --- | --- |
//! | 0..16 | byte g: s of group g in the lower four bits, m in the upper |
//! | 16..80 | two bits per element, [quarters](two_bits) |
//! | 80..82, 82..84 | scales d and dmin |
//!
//! Q3_K, 16 groups of 16. An element is (d · (s − 32)) · (q − 4).
//!
//! | bytes | |
//! | --- | --- |
//! | 0..32 | bit j of byte i: the third bit of element 32j + i |
//! | 32..96 | the lower two bits of each element, [quarters](two_bits) |
//! | 96..108 | s: bytes 0..8 contain the lower four bits of groups i and 8 + i, bytes 8..12 two bits each of groups i, 4 + i, 8 + i, 12 + i |
//! | 108..110 | scale d |
//!
//! Q4_K, 8 groups of 32. An element is (d · s) · q − dmin · m.
//!
//! | bytes | |
//! | --- | --- |
//! | 0..2, 2..4 | scales d and dmin |
//! | 4..16 | s and m, [six bits each](scale_and_minimum) |
//! | 16..144 | 32 bytes per two groups; byte i: the four bits of elements i of the first and of the second |
//!
//! Q5_K, 8 groups of 32. An element is (d · s) · q − dmin · m.
//!
//! | bytes | |
//! | --- | --- |
//! | 0..2, 2..4 | scales d and dmin |
//! | 4..16 | s and m, [six bits each](scale_and_minimum) |
//! | 16..48 | bit g of byte i: the fifth bit of element i of group g |
//! | 48..176 | 32 bytes per two groups; byte i: the lower four bits of elements i of the first and of the second |
//!
//! Q6_K, 16 groups of 16. An element is (d · s) · (q − 32).
//!
//! | bytes | |
//! | --- | --- |
//! | 0..128 | 64 bytes per 128 elements; byte i: the lower four bits of elements i and 64 + i |
//! | 128..192 | the upper two bits of each element, [quarters](two_bits) |
//! | 192..208 | byte g: s of group g, signed |
//! | 208..210 | scale d |

use super::field::{field, scale};
use super::group::{Group, Minimum};
use super::legacy::less;

/// The numbers 0..4 of the `number`-th 32 elements. Each element has two bits, and 32 bytes store 128 elements: bits 2j,
/// 2j + 1 of byte i belong to element 32j + i of the 128.
#[inline(always)]
fn two_bits(bytes: &[u8; 64], number: usize) -> [u8; 32] {
    bytes.as_chunks().0[number / 4].map(|byte: u8| byte >> (2 * (number % 4)) & 3)
}

/// The numbers 0..16 of the `number`-th 32 elements. Each element has four bits, and 32 bytes store 64 elements: byte i
/// belongs to elements i and 32 + i of the 64.
#[inline(always)]
fn four_bits(bytes: &[u8; 128], number: usize) -> [u8; 32] {
    bytes.as_chunks().0[number / 2].map(|byte: u8| byte >> (4 * (number % 2)) & 15)
}

/// Adds one more bit, bit SHIFT, to each number: bit j of byte i belongs to element i of the j-th 32.
#[inline(always)]
fn with_bit<const SHIFT: u8>(numbers: [u8; 32], bytes: &[u8; 32], number: usize) -> [u8; 32] {
    let mut numbers = numbers;
    for (with, byte) in numbers.iter_mut().zip(bytes) {
        *with |= (byte >> number & 1) << SHIFT;
    }
    numbers
}

/// The scale s and the minimum m of the `g`-th of 8 groups, both in 0..64.
///
/// For groups 0..4, byte g contains s in its lower six bits, and byte 4 + g contains m. For groups 4..8, byte 4 + g contains
/// the lower four bits of s and, above them, the lower four bits of m; the upper two bits of s and m are the upper two bits
/// of bytes g − 4 and g.
#[inline(always)]
fn scale_and_minimum(bytes: &[u8; 12], g: usize) -> (u8, u8) {
    if g < 4 {
        (bytes[g] & 63, bytes[g + 4] & 63)
    } else {
        let both = bytes[g + 4];
        (
            both & 15 | bytes[g - 4] >> 6 << 4,
            both >> 4 | bytes[g] >> 6 << 4,
        )
    }
}

/// The two bytes for the halves of the `number`-th 32 elements.
#[inline(always)]
fn of_halves(bytes: &[u8; 16], number: usize) -> [u8; 2] {
    bytes.as_chunks().0[number]
}

/// Elements (d · s) · (q − zero), with one s for each 16 elements.
#[inline(always)]
fn by_halves<const ZERO: i8>(d: f32, factors: [i8; 2], numbers: [u8; 32]) -> Group {
    Group {
        factors,
        ..Group::new(d, less::<ZERO>(numbers))
    }
}

/// A group of a Q4_K or Q5_K block; both formats begin alike.
#[inline(always)]
fn by_six_bits<const BYTES: usize>(block: &[u8; BYTES], numbers: [u8; 32], number: usize) -> Group {
    let (s, m) = scale_and_minimum(field::<4, 12, _>(block), number);
    let (d, dmin) = (scale::<0, _>(block), scale::<2, _>(block));
    Group::with_minimum(d * f32::from(s), dmin * f32::from(m), less::<0>(numbers))
}

#[inline(always)]
pub(super) fn read_q2_k(block: &[u8; 84], number: usize) -> Group {
    let scales = of_halves(field::<0, 16, _>(block), number);
    let numbers = two_bits(field::<16, 64, _>(block), number);
    Group {
        minimum: Minimum::Halves(scale::<82, _>(block), scales.map(|byte| byte >> 4)),
        ..by_halves::<0>(
            scale::<80, _>(block),
            scales.map(|byte| (byte & 15) as i8),
            numbers,
        )
    }
}

#[inline(always)]
pub(super) fn read_q3_k(block: &[u8; 110], number: usize) -> Group {
    let low = field::<96, 8, _>(block);
    let high = field::<104, 4, _>(block);
    let factors = [2 * number, 2 * number + 1].map(|g| {
        let low = low[g % 8] >> (g / 8 * 4) & 15;
        let high = high[g % 4] >> (g / 4 * 2) & 3;
        (low | high << 4) as i8 - 32
    });
    let numbers = two_bits(field::<32, 64, _>(block), number);
    let numbers = with_bit::<2>(numbers, field::<0, 32, _>(block), number);
    by_halves::<4>(scale::<108, _>(block), factors, numbers)
}

#[inline(always)]
pub(super) fn read_q4_k(block: &[u8; 144], number: usize) -> Group {
    by_six_bits(block, four_bits(field::<16, 128, _>(block), number), number)
}

#[inline(always)]
pub(super) fn read_q5_k(block: &[u8; 176], number: usize) -> Group {
    let numbers = four_bits(field::<48, 128, _>(block), number);
    let numbers = with_bit::<4>(numbers, field::<16, 32, _>(block), number);
    by_six_bits(block, numbers, number)
}

#[inline(always)]
pub(super) fn read_q6_k(block: &[u8; 210], number: usize) -> Group {
    // The 64 bytes of 128 elements contain the first two of the four groups in low nibbles and the last two in high ones.
    let (half, group) = (number / 4, number % 4);
    let low = field::<0, 128, _>(block).as_chunks::<32>().0[2 * half + group % 2];
    let mut numbers = two_bits(field::<128, 64, _>(block), number);
    for (number, byte) in numbers.iter_mut().zip(low) {
        *number = *number << 4 | byte >> (4 * (group / 2)) & 15;
    }
    let factors = of_halves(field::<192, 16, _>(block), number).map(|byte| byte as i8);
    by_halves::<32>(scale::<208, _>(block), factors, numbers)
}
