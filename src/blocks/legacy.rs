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
//!
//! When a block is written, d is chosen so that the element of the largest magnitude has the number −8 or −16 (Q4_0, Q5_0:
//! the end of the range that has no opposite), that the minimum and the maximum have the first and the last number (Q4_1,
//! Q5_1), or that the largest magnitude has the number ±127 (Q8_0). Each number is the nearest one under the unrounded d; d
//! is rounded to binary16 afterwards.

use super::field::{field, field_mut, put_scale, scale};
use super::group::Group;

/// The numbers 0..16 of 32 elements, whose four-bit numbers are in 16 bytes.
#[inline(always)]
pub(super) fn nibbles(bytes: &[u8; 16]) -> [u8; 32] {
    let mut numbers = [0; 32];
    let (first, second) = numbers.split_at_mut(16);
    for ((first, second), byte) in first.iter_mut().zip(second).zip(bytes) {
        *first = byte & 15;
        *second = byte >> 4;
    }
    numbers
}

/// The numbers 0..32 of 32 elements, with the lower four bits in `low` and the fifth bits in `high`.
#[inline(always)]
fn five_bits(high: &[u8; 4], low: &[u8; 16]) -> [u8; 32] {
    let high = u32::from_le_bytes(*high);
    let mut numbers = nibbles(low);
    for (i, number) in numbers.iter_mut().enumerate() {
        *number |= (((high >> i) & 1) << 4) as u8;
    }
    numbers
}

/// The numbers minus their zero point.
#[inline(always)]
pub(super) fn less<const ZERO: i8>(numbers: [u8; 32]) -> [i8; 32] {
    numbers.map(|number| number as i8 - ZERO)
}

#[inline(always)]
pub(super) fn read_q4_0(block: &[u8; 18], _: usize) -> Group {
    Group::new(
        scale::<0, _>(block),
        less::<8>(nibbles(field::<2, 16, _>(block))),
    )
}

#[inline(always)]
pub(super) fn read_q4_1(block: &[u8; 20], _: usize) -> Group {
    let numbers = less::<0>(nibbles(field::<4, 16, _>(block)));
    Group::with_minimum(scale::<0, _>(block), -scale::<2, _>(block), numbers)
}

#[inline(always)]
pub(super) fn read_q5_0(block: &[u8; 22], _: usize) -> Group {
    let numbers = five_bits(field::<2, 4, _>(block), field::<6, 16, _>(block));
    Group::new(scale::<0, _>(block), less::<16>(numbers))
}

#[inline(always)]
pub(super) fn read_q5_1(block: &[u8; 24], _: usize) -> Group {
    let numbers = five_bits(field::<4, 4, _>(block), field::<8, 16, _>(block));
    Group::with_minimum(
        scale::<0, _>(block),
        -scale::<2, _>(block),
        less::<0>(numbers),
    )
}

#[inline(always)]
pub(super) fn read_q8_0(block: &[u8; 34], _: usize) -> Group {
    let numbers = field::<2, 32, _>(block).map(|byte| byte as i8);
    Group::new(scale::<0, _>(block), numbers)
}

/// The first of the elements with the largest magnitude; 0 if all are zeros.
fn farthest(values: &[f32; 32]) -> f32 {
    let mut farthest = 0.0f32;
    for &value in values {
        if farthest.abs() < value.abs() {
            farthest = value;
        }
    }
    farthest
}

/// The least and the greatest element; the first one among equals.
fn ends(values: &[f32; 32]) -> (f32, f32) {
    values
        .iter()
        .fold((f32::MAX, f32::MIN), |(least, greatest), &value| {
            (
                if value < least { value } else { least },
                if value > greatest { value } else { greatest },
            )
        })
}

/// 1 / d, or 0 if d is 0.
fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// For each value, the number in 0..=`last` that is nearest to `(value − minimum) · inverse + zero`, with halves rounded up.
fn numbers(values: &[f32; 32], minimum: f32, inverse: f32, zero: f32, last: u8) -> [u8; 32] {
    values.map(|value| (((value - minimum) * inverse + (zero + 0.5)) as u8).min(last))
}

/// Writes the lower four bits of the numbers: byte i contains elements i and 16 + i.
pub(super) fn put_nibbles(numbers: &[u8; 32], bytes: &mut [u8; 16]) {
    let (first, second) = numbers.split_at(16);
    for ((byte, first), second) in bytes.iter_mut().zip(first).zip(second) {
        *byte = first & 15 | second << 4;
    }
}

/// A u32 whose bit i is the fifth bit of number i.
fn fifth_bits(numbers: &[u8; 32]) -> [u8; 4] {
    let bits = numbers.iter().rev();
    let bits = bits.fold(0u32, |bits, number| bits << 1 | u32::from(number >> 4 & 1));
    bits.to_le_bytes()
}

pub(super) fn write_q4_0(values: &[f32; 32], block: &mut [u8; 18]) {
    let d = farthest(values) / -8.0;
    put_scale::<0, _>(block, d);
    put_nibbles(
        &numbers(values, 0.0, inverse(d), 8.0, 15),
        field_mut::<2, 16, _>(block),
    );
}

pub(super) fn write_q4_1(values: &[f32; 32], block: &mut [u8; 20]) {
    let (least, greatest) = ends(values);
    let d = (greatest - least) / 15.0;
    put_scale::<0, _>(block, d);
    put_scale::<2, _>(block, least);
    put_nibbles(
        &numbers(values, least, inverse(d), 0.0, 15),
        field_mut::<4, 16, _>(block),
    );
}

pub(super) fn write_q5_0(values: &[f32; 32], block: &mut [u8; 22]) {
    let d = farthest(values) / -16.0;
    let numbers = numbers(values, 0.0, inverse(d), 16.0, 31);
    put_scale::<0, _>(block, d);
    *field_mut::<2, 4, _>(block) = fifth_bits(&numbers);
    put_nibbles(&numbers, field_mut::<6, 16, _>(block));
}

pub(super) fn write_q5_1(values: &[f32; 32], block: &mut [u8; 24]) {
    let (least, greatest) = ends(values);
    let d = (greatest - least) / 31.0;
    let numbers = numbers(values, least, inverse(d), 0.0, 31);
    put_scale::<0, _>(block, d);
    put_scale::<2, _>(block, least);
    *field_mut::<4, 4, _>(block) = fifth_bits(&numbers);
    put_nibbles(&numbers, field_mut::<8, 16, _>(block));
}

pub(super) fn write_q8_0(values: &[f32; 32], block: &mut [u8; 34]) {
    let d = farthest(values).abs() / 127.0;
    let inverse = inverse(d);
    put_scale::<0, _>(block, d);
    for (byte, value) in field_mut::<2, 32, _>(block).iter_mut().zip(values) {
        // Halves are rounded away from zero.
        *byte = (value * inverse).round() as i8 as u8;
    }
}
