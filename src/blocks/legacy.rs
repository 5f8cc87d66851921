//! The formats of 32 elements with one scale: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.
//!
//! | format | bytes | | element |
//! | --- | --- | --- | --- |
//! | Q4_0 | 0..2 | scale d | d · (q − 8) |
//! | | 2..18 | byte i: the four bits of elements i and 16 + i | |
//! | Q4_1 | 0..2, 2..4 | scale d, minimum m | d · q + m |
//! | | 4..20 | byte i: the four bits of elements i and 16 + i | |
//! | Q5_0 | 0..2 | scale d | d · (q − 16) |
//! | | 2..6 | a u32 whose bit i is the fifth bit of element i | |
//! | | 6..22 | byte i: the lower four bits of elements i and 16 + i | |
//! | Q5_1 | 0..2, 2..4 | scale d, minimum m | d · q + m |
//! | | 4..8 | a u32 whose bit i is the fifth bit of element i | |
//! | | 8..24 | byte i: the lower four bits of elements i and 16 + i | |
//! | Q8_0 | 0..2 | scale d | d · q |
//! | | 2..34 | byte i: element i, signed | |

use super::field::{field, scale};

/// The numbers 0..16 of the 32 elements whose four bits 16 bytes hold.
fn nibbles(bytes: &[u8; 16]) -> [u8; 32] {
    let mut numbers = [0; 32];
    let (first, second) = numbers.split_at_mut(16);
    for ((first, second), byte) in first.iter_mut().zip(second).zip(bytes) {
        *first = byte & 15;
        *second = byte >> 4;
    }
    numbers
}

/// The numbers 0..32 of 32 elements: lower four bits in `low`, fifth bits in `high`.
fn five_bits(high: &[u8; 4], low: &[u8; 16]) -> [u8; 32] {
    let high = u32::from_le_bytes(*high);
    let mut numbers = nibbles(low);
    for (i, number) in numbers.iter_mut().enumerate() {
        *number |= (((high >> i) & 1) << 4) as u8;
    }
    numbers
}

/// `out[i] = d · (numbers[i] − zero)`.
fn centred(d: f32, numbers: [u8; 32], zero: i8, out: &mut [f32; 32]) {
    for (out, number) in out.iter_mut().zip(numbers) {
        *out = d * f32::from(number as i8 - zero);
    }
}

/// `out[i] = d · numbers[i] + m`.
fn from_minimum(d: f32, m: f32, numbers: [u8; 32], out: &mut [f32; 32]) {
    for (out, number) in out.iter_mut().zip(numbers) {
        *out = d * f32::from(number) + m;
    }
}

pub(super) fn read_q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    centred(
        scale::<0, _>(block),
        nibbles(field::<2, 16, _>(block)),
        8,
        out,
    );
}

pub(super) fn read_q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let numbers = nibbles(field::<4, 16, _>(block));
    from_minimum(scale::<0, _>(block), scale::<2, _>(block), numbers, out);
}

pub(super) fn read_q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let numbers = five_bits(field::<2, 4, _>(block), field::<6, 16, _>(block));
    centred(scale::<0, _>(block), numbers, 16, out);
}

pub(super) fn read_q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let numbers = five_bits(field::<4, 4, _>(block), field::<8, 16, _>(block));
    from_minimum(scale::<0, _>(block), scale::<2, _>(block), numbers, out);
}

pub(super) fn read_q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let d = scale::<0, _>(block);
    for (out, &byte) in out.iter_mut().zip(field::<2, 32, _>(block)) {
        *out = d * f32::from(byte as i8);
    }
}
