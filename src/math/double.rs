//! f64 functions for constants that a model's configuration asks for (rotary frequencies, scales): only + − × ÷ and bits,
//! so that they agree on every machine. Speed does not matter here.

use std::f64::consts::{LN_2, LOG2_E, SQRT_2};

/// ln 2 without its low 32 bits, so that its product with an exponent is exact.
const LN_2_HIGH: f64 = 0.693_146_705_627_441_4;
/// The difference between ln 2 and [`LN_2_HIGH`].
const LN_2_LOW: f64 = 4.749_325_039_031_672_6e-7;

/// 2 to the power of `exponent`, which must be in −1022..=1023.
fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits(((exponent + 1023) << 52).cast_unsigned())
}

/// The natural logarithm, with a relative error of 1e-15. −∞ at 0, NaN below 0.
pub fn ln_f64(x: f64) -> f64 {
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x == f64::INFINITY {
        return x;
    }
    // x = m · 2^exponent, m in √½ .. √2.
    let (x, bias) = if x.is_normal() {
        (x, 1023)
    } else {
        (x * power_of_two(54), 1023 + 54)
    };
    let mut exponent = (x.to_bits() >> 52).cast_signed() - bias;
    let mut m = f64::from_bits((x.to_bits() & ((1 << 52) - 1)) | 1023 << 52);
    if m > SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    // ln m = 2 atanh s = 2 (s + s³/3 + s⁵/5 + …) with s = (m − 1) / (m + 1), |s| < 0.172.
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let mut series = 0.0;
    for k in (1..=12).rev() {
        series = (series + 1.0 / f64::from(2 * k + 1)) * z;
    }
    let ln_m = 2.0 * s + 2.0 * s * series;
    let exponent = exponent as f64;
    exponent * LN_2_HIGH + (ln_m + exponent * LN_2_LOW)
}

/// eˣ, with a relative error of 1e-15 (a denormal result is right to its last place).
pub fn exp_f64(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x > 709.8 {
        return f64::INFINITY;
    }
    if x < -745.2 {
        return 0.0;
    }
    let n = (x * LOG2_E).round_ties_even();
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    debug_assert!(r.abs() <= 0.51 * LN_2);
    // Taylor: |r| < 0.354, so the first term left out is below 1e-17.
    let mut sum = 0.0;
    for k in (2..=14).rev() {
        sum = (1.0 + sum) * r / f64::from(k);
    }
    let power = 1.0 + (r + r * sum);
    // In two steps, so that results near both ends of the range are right.
    let n = n as i64;
    power * power_of_two(n / 2) * power_of_two(n - n / 2)
}

/// Σ e^(x − largest) over `row`, in the row's order, where no element of the row is larger than `largest`. Each term has a
/// relative error of 1e-15; terms below e⁻⁷⁰⁸ are 0. The sum is NaN if `largest` is not finite or if a value is neither
/// finite nor −∞; a value of −∞ adds 0.
pub fn sum_exp_f64(row: &[f32], largest: f64) -> f64 {
    /// 1.5 · 2⁵²: adding it to a float rounds the float to a whole number, to the nearest with ties to even.
    const WHOLE: f64 = 6_755_399_441_055_744.0;
    /// 1 / k! from k = 13 down to 0.
    const SERIES: [f64; 14] = [
        1.0 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ];
    let mut sum = 0.0;
    for &x in row {
        let x = f64::from(x) - largest;
        let n = (x * LOG2_E + WHOLE) - WHOLE;
        let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
        let power = SERIES.iter().fold(0.0, |sum, term| sum * r + term);
        let term = power * power_of_two((n as i64).clamp(-1022, 1023));
        sum += if x < -708.0 { 0.0 } else { term };
    }
    sum
}

/// `base` to the power of `exponent`, for `base` ≥ 0: e^(exponent · ln base), with a relative error of about 1e-15 · (1 +
/// |ln result|).
pub fn pow_f64(base: f64, exponent: f64) -> f64 {
    if exponent == 0.0 || base == 1.0 {
        1.0
    } else {
        exp_f64(exponent * ln_f64(base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(got: f64, want: f64, relative: f64, x: f64) {
        assert!(
            (got - want).abs() <= relative * want.abs(),
            "{got} instead of {want} at {x}"
        );
    }

    #[test]
    fn ln_is_close_to_the_standard_librarys() {
        for i in 0..200_000 {
            let x = 1e-3 + f64::from(i) * 1e-4;
            close(ln_f64(x), x.ln(), 1e-15, x);
        }
        for high_bits in 1..0x7ff0 {
            let x = f64::from_bits(high_bits << 48);
            close(ln_f64(x), x.ln(), 1e-15, x);
        }
        assert_eq!(ln_f64(5e-324), 5e-324f64.ln());
        assert_eq!(ln_f64(1.0), 0.0);
        assert_eq!(ln_f64(0.0), f64::NEG_INFINITY);
        assert_eq!(ln_f64(f64::INFINITY), f64::INFINITY);
        assert!(ln_f64(-1.0).is_nan());
    }

    #[test]
    fn exp_is_close_to_the_standard_librarys() {
        for i in -70_800..70_900 {
            let x = f64::from(i) * 0.01 + 1e-3;
            close(exp_f64(x), x.exp(), 1e-15, x);
        }
        assert_eq!(exp_f64(0.0), 1.0);
        assert_eq!(exp_f64(1000.0), f64::INFINITY);
        assert_eq!(exp_f64(-1000.0), 0.0);
        assert!((exp_f64(-740.0) - (-740f64).exp()).abs() <= 5e-324);
    }

    #[test]
    fn sums_of_exp_are_close_to_the_standard_librarys() {
        for i in 0..70_800 {
            let x = -(i as f32) * 0.01;
            close(
                sum_exp_f64(&[x], 0.0),
                f64::from(x).exp(),
                1e-15,
                f64::from(x),
            );
        }
        assert_eq!(sum_exp_f64(&[3.0, f32::NEG_INFINITY, -1e30, 3.0], 3.0), 2.0);
        assert!(sum_exp_f64(&[f32::NAN, 0.0], 0.0).is_nan());
        assert!(sum_exp_f64(&[f32::INFINITY], f64::INFINITY).is_nan());
    }

    #[test]
    fn pow_is_close_to_the_standard_librarys() {
        for base in [2.0, 10.0, 100.0, 1e4, 5e5, 1e6, 0.3] {
            for i in -256..=256 {
                let exponent = f64::from(i) / 128.0;
                let want = f64::powf(base, exponent);
                close(
                    pow_f64(base, exponent),
                    want,
                    1e-15 * (1.0 + want.ln().abs()),
                    exponent,
                );
            }
        }
        assert_eq!(pow_f64(0.0, 0.0), 1.0);
        assert_eq!(pow_f64(0.0, 2.0), 0.0);
    }
}
