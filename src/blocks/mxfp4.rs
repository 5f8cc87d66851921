//! The format whose elements are four-bit floats with a shared power of two: MXFP4 of the OCP Microscaling Formats 1.0.
//!
//! 32 elements. An element is d · level; a level is twice the four-bit float (E2M1), and d is half the scale.
//!
//! | bytes | |
//! | --- | --- |
//! | 0 | the exponent e of d = 2^(e − 128) |
//! | 1..17 | byte i: the four bits of elements i and 16 + i |
//!
//! When a block is written, e is chosen so that the largest magnitude has the exponent of the largest level. Each number is
//! the number of the nearest level, the first of two equally near. A block with an element that is not finite becomes a
//! block whose elements are infinite.

use super::field::{field, field_mut};
use super::group::Group;
use super::legacy::{nibbles, put_nibbles};

/// The level of each four-bit number.
pub(crate) const LEVELS: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];
/// The number of the greatest level.
const GREATEST: u8 = 7;

/// 2^(exponent − 128); the two smallest of these are denormal.
#[inline(always)]
pub(crate) fn power(exponent: u8) -> f32 {
    f32::from_bits(match exponent {
        0 | 1 => 0x0020_0000 << exponent,
        _ => (u32::from(exponent) - 1) << 23,
    })
}

/// The exponent for which [`power`] returns `power`.
pub(crate) fn exponent(power: f32) -> u8 {
    match power.to_bits() {
        bits @ ..0x80_0000 => (bits >> 22) as u8,
        bits => ((bits >> 23) + 1) as u8,
    }
}

#[inline(always)]
pub(super) fn read_mxfp4(block: &[u8; 17], _: usize) -> Group {
    let numbers = nibbles(field::<1, 16, _>(block));
    let levels = numbers.map(|number| LEVELS[usize::from(number)]);
    Group::new(power(block[0]), levels)
}

/// The floor of log2(x), where log2(x) is first rounded to f32, for a normal x.
///
/// llama.cpp uses this floor, so some x just below a power of two count as that power: those whose logarithm is closer to
/// the integer than half the distance between floats there.
fn floor_log2(x: f32) -> i32 {
    let exponent = (x.to_bits() >> 23) as i32 - 127;
    // How far the mantissa is below the next power, in units of 2^-24 of that power; one unit is log2(e) · 2^-24 of the
    // logarithm.
    let below = 0x80_0000 - (x.to_bits() & 0x7f_ffff);
    let next = exponent + 1;
    // Half the distance between floats just below `next`, in units of 2^-24.
    let half = match next {
        0 => 0.0,
        1.. if (next & (next - 1)) == 0 => next as f32 / 2.0,
        _ => (1 << next.unsigned_abs().ilog2()) as f32,
    };
    match below as f32 * std::f32::consts::LOG2_E < half {
        true => next,
        false => exponent,
    }
}

pub(super) fn write_mxfp4(values: &[f32; 32], block: &mut [u8; 17]) {
    if values.iter().any(|value| !value.is_finite()) {
        block[0] = u8::MAX;
        put_nibbles(&[GREATEST; 32], field_mut::<1, 16, _>(block));
        return;
    }
    let largest = values
        .iter()
        .fold(0.0f32, |a, b| if b.abs() > a { b.abs() } else { a });
    // The greatest level is 12 · 2^-1, whose exponent is 2. Values too small for the least scale round to 0 under it.
    block[0] = match largest {
        0.0 => 0,
        _ => (floor_log2(largest) - 2 + 127).max(0) as u8,
    };
    let d = power(block[0]);
    let numbers = values.map(|value| {
        let (mut nearest, mut least) = (0, f32::INFINITY);
        for (number, &level) in (0..).zip(&LEVELS) {
            let error = (f32::from(level) * d - value).abs();
            if error < least {
                (nearest, least) = (number, error);
            }
        }
        nearest
    });
    put_nibbles(&numbers, field_mut::<1, 16, _>(block));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_and_powers_are_inverses_of_each_other() {
        for e in 0..=u8::MAX {
            assert_eq!(f64::from(power(e)), 2f64.powi(i32::from(e) - 128));
            assert_eq!(exponent(power(e)), e);
        }
    }

    #[test]
    fn logarithms_that_round_to_an_integer_are_that_integer() {
        let below = |x: f32, steps: u32| floor_log2(f32::from_bits(x.to_bits() - steps));
        for (power, rounded) in [
            (0.5, 0),
            (1.0, 0),
            (2.0, 0),
            (4.0, 0),
            (8.0, 1),
            (0.25, 1),
            (0.0625, 2),
        ] {
            let exponent = floor_log2(power);
            assert_eq!(below(power, rounded), exponent, "{power}");
            assert_eq!(below(power, rounded + 1), exponent - 1, "{power}");
        }
    }
}
