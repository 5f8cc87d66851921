//! Writing Q4_K, Q5_K and Q6_K. [`k_quants`](super::k_quants) documents the layouts.

use super::field::{field_mut, put_scale, scale};
use super::fit::{Groups, NEGLIGIBLE, between, centred, nearest, with_minimum};

pub(super) fn write_q4_k(values: &[f32; 256], block: &mut [u8; 144]) {
    let numbers = put_groups(values, 15.0, -1.0, 20, block);
    put_four_bits(&numbers, field_mut::<16, 128, _>(block));
}

pub(super) fn write_q5_k(values: &[f32; 256], block: &mut [u8; 176]) {
    let numbers = put_groups(values, 31.0, -0.5, 15, block);
    let fifth = field_mut::<16, 32, _>(block);
    *fifth = [0; 32];
    for (g, numbers) in numbers.as_chunks::<32>().0.iter().enumerate() {
        for (byte, number) in fifth.iter_mut().zip(numbers) {
            *byte |= (number >> 4) << g;
        }
    }
    put_four_bits(&numbers, field_mut::<48, 128, _>(block));
}

/// Writes the fields with which Q4_K and Q5_K begin, and returns the numbers of the elements, 0 to `last`. `first` and
/// `steps` are parameters of the search.
///
/// The error of an element is weighted by the root mean square of its group plus the magnitude of the element. Each number
/// is the nearest one under the scale as it was written; if the scale of a group became 0, the numbers are those that the
/// search found.
fn put_groups<const BYTES: usize>(
    values: &[f32; 256],
    last: f32,
    first: f32,
    steps: u16,
    block: &mut [u8; BYTES],
) -> [u8; 256] {
    let x: Groups<8, 32> = side_by_side(values);
    let mut squares = [0.0f32; 8];
    for x in &x {
        for (sum, x) in squares.iter_mut().zip(x) {
            *sum += x * x;
        }
    }
    let root = squares.map(|sum| (sum / 32.0).sqrt());
    let weights = x.map(|x| std::array::from_fn(|g| root[g] + x[g].abs()));
    let fit = with_minimum(&x, &weights, last, first, steps);

    let largest = |values: &[f32]| values.iter().fold(0.0, |a, &b| if b > a { b } else { a });
    let (largest_scale, largest_minimum) = (largest(&fit.scale), largest(&fit.minimum));
    let six_bits = |value: f32, largest: f32| {
        let inverse = if largest > 0.0 { 63.0 / largest } else { 0.0 };
        between(nearest(inverse * value), 0.0, 63.0) as u8
    };
    let groups: [(u8, u8); 8] = std::array::from_fn(|g| {
        (
            six_bits(fit.scale[g], largest_scale),
            six_bits(fit.minimum[g], largest_minimum),
        )
    });
    put_scale::<0, _>(block, largest_scale / 63.0);
    put_scale::<2, _>(block, largest_minimum / 63.0);
    put_scales_and_minimums(&groups, field_mut::<4, 12, _>(block));

    let (d, dmin) = (scale::<0, _>(block), scale::<2, _>(block));
    let mut numbers = [0; 256];
    for (g, numbers) in numbers.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (s, m) = groups[g];
        let (scale, minimum) = (d * f32::from(s), dmin * f32::from(m));
        for (i, number) in numbers.iter_mut().enumerate() {
            let nearest = match scale {
                0.0 => fit.numbers[i][g],
                scale => nearest((x[i][g] + minimum) / scale),
            };
            *number = between(nearest, 0.0, last) as u8;
        }
    }
    numbers
}

/// The inverse of `scale_and_minimum` in [`k_quants`](super::k_quants).
fn put_scales_and_minimums(groups: &[(u8, u8); 8], bytes: &mut [u8; 12]) {
    for g in 0..4 {
        let ((s, m), (later_s, later_m)) = (groups[g], groups[g + 4]);
        bytes[g] = s | later_s >> 4 << 6;
        bytes[g + 4] = m | later_m >> 4 << 6;
        bytes[g + 8] = later_s & 15 | later_m << 4;
    }
}

/// Writes the lower four bits of the numbers, 32 bytes for each 64 elements: byte i contains elements i and 32 + i of the
/// 64.
fn put_four_bits(numbers: &[u8; 256], bytes: &mut [u8; 128]) {
    let pairs = numbers.as_chunks::<64>().0;
    for (bytes, numbers) in bytes.as_chunks_mut::<32>().0.iter_mut().zip(pairs) {
        let (first, second) = numbers.split_at(32);
        for ((byte, first), second) in bytes.iter_mut().zip(first).zip(second) {
            *byte = first & 15 | second << 4;
        }
    }
}

/// Scales are stored relative to the scale of the largest magnitude, which becomes −128. A block whose scales are all
/// negligible is written as zeros. Each number is the nearest one under the scale as it was written; if the scale of a group
/// became 0, the numbers are those that the search found.
pub(super) fn write_q6_k(values: &[f32; 256], block: &mut [u8; 210]) {
    let x: Groups<16, 16> = side_by_side(values);
    let fit = centred(&x, 32.0);
    let farther = |a: f32, &b: &f32| if b.abs() > a.abs() { b } else { a };
    let farthest = fit.scale.iter().fold(0.0, farther);
    if farthest.abs() < NEGLIGIBLE {
        *block = [0; 210];
        return;
    }
    let inverse = -128.0 / farthest;
    put_scale::<208, _>(block, 1.0 / inverse);
    let scales = fit
        .scale
        .map(|scale| between(nearest(inverse * scale), -128.0, 127.0) as i8);
    *field_mut::<192, 16, _>(block) = scales.map(|scale| scale as u8);

    let d = scale::<208, _>(block);
    let mut numbers = [0u8; 256];
    for (g, numbers) in numbers.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let scale = d * f32::from(scales[g]);
        for (i, number) in numbers.iter_mut().enumerate() {
            let nearest = match scale {
                0.0 => fit.numbers[i][g],
                scale => nearest(x[i][g] / scale),
            };
            *number = (between(nearest, -32.0, 31.0) + 32.0) as u8;
        }
    }
    let halves = numbers.as_chunks::<128>().0;
    let low = field_mut::<0, 128, _>(block).as_chunks_mut::<64>().0;
    for (low, numbers) in low.iter_mut().zip(halves) {
        let (first, second) = numbers.split_at(64);
        for ((byte, first), second) in low.iter_mut().zip(first).zip(second) {
            *byte = first & 15 | second << 4;
        }
    }
    let high = field_mut::<128, 64, _>(block).as_chunks_mut::<32>().0;
    for (high, numbers) in high.iter_mut().zip(halves) {
        for (i, byte) in high.iter_mut().enumerate() {
            *byte = (0..4).fold(0, |byte, j| byte | numbers[32 * j + i] >> 4 << (2 * j));
        }
    }
}

/// Consecutive groups side by side: element i of group g at `[i][g]`.
fn side_by_side<const GROUPS: usize, const ELEMENTS: usize>(
    values: &[f32; 256],
) -> Groups<GROUPS, ELEMENTS> {
    const { assert!(GROUPS * ELEMENTS == 256) };
    std::array::from_fn(|i| std::array::from_fn(|g| values[g * ELEMENTS + i]))
}
