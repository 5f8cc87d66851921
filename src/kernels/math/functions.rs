//! f32 functions over lanes. Each states its largest error in ulp (units in the last place of the true result), which the
//! tests below measure against f64. For NaN the value is unspecified. The coefficients are minimax fits (Remez exchange,
//! weighted for relative error of the result), rounded to f32.

use std::f32::consts::{FRAC_2_PI, FRAC_PI_2, LN_2, LOG2_E};

use crate::kernels::simd::Lanes;

/// A polynomial with its coefficients from the highest power down, by Horner's rule: one fused multiply-add per coefficient.
#[inline(always)]
fn polynomial<S: Lanes, const N: usize>(simd: S, x: S::F32, coefficients: [f32; N]) -> S::F32 {
    let mut sum = simd.splat(coefficients[0]);
    for &coefficient in &coefficients[1..] {
        sum = simd.mul_add(sum, x, simd.splat(coefficient));
    }
    sum
}

/// `magnitude`, which is not negative, with the sign of `x`.
#[inline(always)]
fn with_sign_of<S: Lanes>(simd: S, magnitude: S::F32, x: S::F32) -> S::F32 {
    let sign = simd.and_i32(simd.bits(x), simd.splat_i32(i32::MIN));
    simd.from_bits(simd.xor_i32(simd.bits(magnitude), sign))
}

/// eˣ. At most 1 ulp off. Exactly 1 at ±0, +0 for x ≤ −87.3 (no denormal results), +∞ above 88.722835.
#[inline(always)]
pub fn exp<S: Lanes>(simd: S, x: S::F32) -> S::F32 {
    let infinite = simd.gt(x, simd.splat(88.722_83));
    simd.select(
        infinite,
        simd.splat(f32::INFINITY),
        exp_not_above_one(simd, x),
    )
}

/// [`exp`], to the bit, for x ≤ 0, where it cannot overflow.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2; eʳ = 1 + (r + r²·q(r)), which is scaled by 2ⁿ.
#[inline(always)]
pub fn exp_not_above_one<S: Lanes>(simd: S, x: S::F32) -> S::F32 {
    let n = simd.round(simd.mul(x, simd.splat(LOG2_E)));
    // The first step is exact; the second subtracts the difference between ln 2 and LN_2.
    let r = simd.neg_mul_add(n, simd.splat(LN_2), x);
    let r = simd.neg_mul_add(n, simd.splat(-1.904_654_2e-9), r);
    let q = polynomial(
        simd,
        r,
        [
            0.001_381_316_1,
            0.008_369_41,
            0.041_668_456,
            0.166_665_15,
            0.499_999_94,
        ],
    );
    let tail = simd.mul_add(simd.mul(r, r), q, r);
    let power = simd.add(simd.splat(1.0), tail);
    let result = simd.scale(power, n);
    // In this order of the comparison, NaN stays NaN.
    let least = simd.splat((-87.3f32).next_up());
    simd.select(simd.gt(least, x), simd.zero(), result)
}

/// The natural logarithm. At most 1 ulp off, denormal x included; −∞ at ±0, NaN below 0, +∞ at +∞. Exactly +0 at 1.
///
/// x = 2ᵏ·m with √½ ≤ m < √2; ln m = f − f²/2 + f³·p(f) with f = m − 1, which is exact; the smallest terms are added
/// first.
#[inline(always)]
pub fn log<S: Lanes>(simd: S, x: S::F32) -> S::F32 {
    /// The bits of √½.
    const LEAST: i32 = 0x3f35_04f3;
    let denormal = simd.gt(simd.splat(f32::MIN_POSITIVE), x);
    let normal = simd.select(denormal, simd.mul(x, simd.splat(33_554_432.0)), x);
    let lacking = simd.select(denormal, simd.splat(-25.0), simd.zero());
    // Shifts the bits so that the exponent field changes at √½ instead of 1.
    let bits = simd.add_i32(simd.bits(normal), simd.splat_i32(0x3f80_0000 - LEAST));
    // In the low bits of 2²³ the exponent is an integer: 2²³ and the exponent's bias of 127 are subtracted.
    let exponent = simd.add_i32(
        simd.shift_right::<23>(bits),
        simd.splat_i32(8_388_608f32.to_bits().cast_signed()),
    );
    let exponent = simd.sub(simd.from_bits(exponent), simd.splat(8_388_735.0));
    let k = simd.add(exponent, lacking);
    let mantissa = simd.and_i32(bits, simd.splat_i32(0x007f_ffff));
    let m = simd.from_bits(simd.add_i32(mantissa, simd.splat_i32(LEAST)));
    let f = simd.sub(m, simd.splat(1.0));
    let p = polynomial(
        simd,
        f,
        [
            -0.076_344_95,
            0.127_615_75,
            -0.131_601_83,
            0.142_017_59,
            -0.166_233_57,
            0.200_012_27,
            -0.250_008_2,
            0.333_333_3,
        ],
    );
    let z = simd.mul(f, f);
    // The first part of ln 2 has 15 bits, so that its product with k is exact; the second part is the remainder.
    let small = simd.mul(k, simd.splat(1.428_606_8e-6));
    let small = simd.mul_add(simd.mul(z, f), p, small);
    let small = simd.neg_mul_add(simd.splat(0.5), z, small);
    let result = simd.mul_add(k, simd.splat(0.693_145_75), simd.add(f, small));
    let result = simd.select(simd.gt(x, simd.splat(f32::MAX)), x, result);
    let magnitude = simd.and_i32(simd.bits(x), simd.splat_i32(i32::MAX));
    let is_zero = simd.eq_i32(magnitude, simd.splat_i32(0));
    let nothing = simd.select(is_zero, simd.splat(f32::NEG_INFINITY), simd.splat(f32::NAN));
    simd.select(simd.gt(x, simd.zero()), result, nothing)
}

/// The hyperbolic tangent. At most 2 ulp off, small and denormal x included; ±1 for |x| ≥ 9.02.
///
/// Computed from |x|, with the sign of x added at the end: |x| + |x|·x²·p(x²) below 0.625, and 1 − 2 / (e^(2|x|) + 1) from
/// there on.
#[inline(always)]
pub fn tanh<S: Lanes>(simd: S, x: S::F32) -> S::F32 {
    let one = simd.splat(1.0);
    let z = simd.mul(x, x);
    let p = polynomial(
        simd,
        z,
        [
            0.002_122_745_8,
            -0.008_156_281,
            0.021_692_608,
            -0.053_945_377,
            0.133_331_95,
            -0.333_333_3,
        ],
    );
    let magnitude = simd.abs(x);
    let near = simd.mul_add(simd.mul(magnitude, z), p, magnitude);
    let e = exp(simd, simd.add(magnitude, magnitude));
    let far = simd.sub(one, simd.div(simd.splat(2.0), simd.add(e, one)));
    let result = simd.select(simd.gt(simd.splat(0.625), magnitude), near, far);
    with_sign_of(simd, result, x)
}

/// The error function. At most 2 ulp off, small and denormal x included; ±1 for |x| ≥ 4.
///
/// Computed from |x|, with the sign of x added at the end: |x| + |x|·p(x²) below 1, and 1 − e^q(|x|) from there on, where q
/// is close to ln erfc.
#[inline(always)]
pub fn erf<S: Lanes>(simd: S, x: S::F32) -> S::F32 {
    let one = simd.splat(1.0);
    let p = polynomial(
        simd,
        simd.mul(x, x),
        [
            7.889_124e-5,
            -0.000_802_084_2,
            0.005_189_535_7,
            -0.026_854_444,
            0.112_836,
            -0.376_126_26,
            0.128_379_17,
        ],
    );
    let magnitude = simd.abs(x);
    let near = simd.mul_add(magnitude, p, magnitude);
    let q = polynomial(
        simd,
        // With this order of operands, the minimum of NaN is NaN.
        simd.min(simd.splat(4.0), magnitude),
        [
            -2.168_674_8e-5,
            0.000_441_335_1,
            -0.004_204_555_4,
            0.025_208_239,
            -0.108_418_55,
            -0.633_219_9,
            -1.129_578_4,
            0.000_188_036_47,
        ],
    );
    let far = simd.sub(one, exp(simd, q));
    let result = simd.select(simd.gt(one, magnitude), near, far);
    with_sign_of(simd, result, x)
}

/// The sine and the cosine of x in radians. At most 1e-7 off for |x| ≤ 10⁶, and at most 2 ulp if the result is at least
/// 1e-3; for |x| > 6·10⁶ the values are meaningless.
///
/// x = n·π/2 + r with |r| ≤ 0.86, with π/2 in three parts (Cody and Waite), where the first step is exact; one polynomial
/// for the sine of r and one for the cosine of r; n modulo 4 decides which is which, and the signs.
#[inline(always)]
pub fn sin_cos<S: Lanes>(simd: S, x: S::F32) -> (S::F32, S::F32) {
    let n = simd.round(simd.mul(x, simd.splat(FRAC_2_PI)));
    let r = simd.neg_mul_add(n, simd.splat(FRAC_PI_2), x);
    let r = simd.neg_mul_add(n, simd.splat(-4.371_139e-8), r);
    let r = simd.neg_mul_add(n, simd.splat(-1.715_124_5e-15), r);
    let z = simd.mul(r, r);
    let p = polynomial(
        simd,
        z,
        [
            2.710_298e-6,
            -0.000_198_384_15,
            0.008_333_326,
            -0.166_666_67,
        ],
    );
    let sin = simd.mul_add(simd.mul(r, z), p, r);
    let p = polynomial(simd, z, [2.436_074e-5, -0.001_388_664_5, 0.041_666_63]);
    let cos = simd.mul_add(
        simd.mul(z, z),
        p,
        simd.neg_mul_add(simd.splat(0.5), z, simd.splat(1.0)),
    );

    // Adding 1.5 · 2²³ leaves n in the low bits in two's complement: this is defined for every n, unlike a conversion.
    let quadrant = simd.bits(simd.add(n, simd.splat(12_582_912.0)));
    let odd = simd.and_i32(quadrant, simd.splat_i32(1));
    let even = simd.eq_i32(odd, simd.splat_i32(0));
    let sign = simd.splat_i32(i32::MIN);
    // Bit 1 of n is the sign of the sine, bit 1 of n + 1 the sign of the cosine.
    let sin_sign = simd.and_i32(simd.shift_left::<30>(quadrant), sign);
    let next = simd.add_i32(quadrant, simd.splat_i32(1));
    let cos_sign = simd.and_i32(simd.shift_left::<30>(next), sign);
    let flip = |x, sign| simd.from_bits(simd.xor_i32(simd.bits(x), sign));
    (
        flip(simd.select(even, sin, cos), sin_sign),
        flip(simd.select(even, cos, sin), cos_sign),
    )
}

/// 1 / (1 + e⁻ˣ). At most 3 ulp off where the result is at least 1e-37; +0 for x < −88.73.
#[inline(always)]
pub fn sigmoid<S: Lanes>(simd: S, x: S::F32) -> S::F32 {
    let one = simd.splat(1.0);
    simd.div(one, simd.add(one, exp(simd, simd.neg(x))))
}

/// x / (1 + e⁻ˣ), also called swish. At most 3 ulp off for x > −87; −0 for finite x < −88.73, NaN at −∞.
#[inline(always)]
pub fn silu<S: Lanes>(simd: S, x: S::F32) -> S::F32 {
    simd.div(x, simd.add(simd.splat(1.0), exp(simd, simd.neg(x))))
}

/// The tanh approximation of GELU: 0.5·x·(1 + tanh u) with u = √(2/π)·(x + 0.044715·x³), computed as the identical x / (1 +
/// e^(−2u)), which does not cancel. At most 3 ulp off for x ≥ −1; for large negative x the rounding of the exponent becomes
/// visible: 10 ulp for x ≥ −2, 128 ulp for x ≥ −7, where the result is −1e-11.
#[inline(always)]
pub fn gelu_tanh<S: Lanes>(simd: S, x: S::F32) -> S::F32 {
    // −2·√(2/π)
    let scale = simd.splat(-1.595_769);
    let cubic = simd.mul(simd.splat(0.044_715), simd.mul(x, x));
    let exponent = simd.mul(scale, simd.mul_add(cubic, x, x));
    simd.div(x, simd.add(simd.splat(1.0), exp(simd, exponent)))
}

/// GELU: 0.5·x·(1 + erf(x / √2)). Off by at most 1.5e-7·|x|.
///
/// max(x, 0) − a·e^q(a) with a = |x|, where q is close to ln(erfc(a / √2) / 2).
#[inline(always)]
pub fn gelu_erf<S: Lanes>(simd: S, x: S::F32) -> S::F32 {
    // From 14 on e^q is 0. With this order of operands, the minimum of NaN is NaN.
    let a = simd.min(simd.splat(14.0), simd.abs(x));
    let q = polynomial(
        simd,
        a,
        [
            -1.417_775_4e-6,
            2.147_822_9e-5,
            -0.000_104_723_53,
            -0.000_146_197_43,
            0.004_953_96,
            -0.036_422_115,
            -0.318_288_95,
            -0.797_886_43,
            -LN_2,
        ],
    );
    simd.neg_mul_add(a, exp_not_above_one(simd, q), relu(simd, x))
}

/// `x > 0 ? x : +0`. Exact.
#[inline(always)]
pub fn relu<S: Lanes>(simd: S, x: S::F32) -> S::F32 {
    simd.max(x, simd.zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::Single;

    /// |got − want| in units of the last place of `want` as an f32 (of the smallest normal number at least).
    fn ulp(got: f32, want: f64) -> f64 {
        let exponent = (want.abs().max(f64::from(f32::MIN_POSITIVE)))
            .log2()
            .floor();
        (f64::from(got) - want).abs() / 2f64.powf(exponent - 23.0)
    }

    /// Half a million values, evenly spaced over `from..to`.
    fn dense(from: f64, to: f64) -> impl Iterator<Item = f32> {
        const STEPS: u32 = 500_000;
        (0..STEPS).map(move |i| (from + (to - from) * f64::from(i) / f64::from(STEPS)) as f32)
    }

    /// Values of both signs, 4000 in each power of two from the smallest denormal up to `largest`.
    fn magnitudes(largest: f32) -> impl Iterator<Item = f32> {
        (0..largest.to_bits())
            .step_by(1 << 11)
            .map(f32::from_bits)
            .flat_map(|x| [x, -x])
    }

    fn worst(values: impl Iterator<Item = f32>, error: impl Fn(f32) -> f64) -> (f64, f32) {
        let mut worst = (0.0, 0.0);
        for x in values {
            let e = error(x);
            if e.is_nan() || e > worst.0 {
                worst = (e, x);
            }
        }
        worst
    }

    #[track_caller]
    fn at_most(limit: f64, (error, x): (f64, f32)) {
        assert!(error <= limit, "off by {error} at {x:e}");
    }

    #[test]
    fn exp_is_within_one_ulp() {
        at_most(
            1.0,
            worst(dense(-87.29, 88.72), |x| {
                ulp(exp(Single, x), f64::from(x).exp())
            }),
        );
        at_most(
            1.0,
            worst(magnitudes(80.0), |x| {
                ulp(exp(Single, x), f64::from(x).exp())
            }),
        );
    }

    #[test]
    fn exp_not_above_one_is_exp() {
        for x in dense(-90.0, 0.0).chain([f32::NEG_INFINITY, -0.0, -1e-40]) {
            let (fast, exp) = (exp_not_above_one(Single, x), exp(Single, x));
            assert_eq!(fast.to_bits(), exp.to_bits(), "{x}");
        }
    }

    #[test]
    fn exp_ends_in_zero_and_infinity() {
        assert_eq!(exp(Single, 0.0).to_bits(), 1f32.to_bits());
        assert_eq!(exp(Single, -0.0).to_bits(), 1f32.to_bits());
        for x in [-87.3, -87.4, -104.0, -1e10, f32::MIN, f32::NEG_INFINITY] {
            assert_eq!(exp(Single, x).to_bits(), 0, "{x}");
        }
        for x in [88.722_85, 89.0, 1e10, f32::MAX, f32::INFINITY] {
            assert_eq!(exp(Single, x), f32::INFINITY, "{x}");
        }
        assert!(exp(Single, 88.722_83).is_finite());
        assert!(exp(Single, -87.299).is_normal());
    }

    #[test]
    fn log_is_within_one_ulp() {
        let error = |x: f32| ulp(log(Single, x), f64::from(x).ln());
        at_most(1.0, worst(dense(0.25, 4.0), error));
        at_most(1.0, worst(dense(0.999, 1.001), error));
        let positive = magnitudes(f32::MAX).filter(|x| *x > 0.0);
        at_most(1.0, worst(positive, error));
        // All floats around 1, where ln is closest to 0.
        let all = 0.703_125f32.to_bits()..1.421_875f32.to_bits();
        at_most(1.0, worst(all.map(f32::from_bits), error));
    }

    #[test]
    fn log_ends_in_infinities_and_is_nan_below_zero() {
        assert_eq!(log(Single, 1.0).to_bits(), 0);
        for x in [0.0, -0.0] {
            assert_eq!(log(Single, x), f32::NEG_INFINITY);
        }
        for x in [-1e-45, -1.0, f32::MIN, f32::NEG_INFINITY, f32::NAN] {
            assert!(log(Single, x).is_nan(), "{x:?}");
        }
        assert_eq!(log(Single, f32::INFINITY), f32::INFINITY);
        assert!(log(Single, f32::MAX).is_finite());
        assert!(log(Single, 1e-45).is_finite());
    }

    #[test]
    fn tanh_is_within_two_ulp() {
        at_most(
            2.0,
            worst(dense(-10.0, 10.0), |x| {
                ulp(tanh(Single, x), f64::from(x).tanh())
            }),
        );
        at_most(
            2.0,
            worst(magnitudes(10.0), |x| {
                ulp(tanh(Single, x), f64::from(x).tanh())
            }),
        );
        assert_eq!(
            [9.02, 1e9, f32::INFINITY].map(|x| tanh(Single, x)),
            [1.0; 3]
        );
        assert_eq!(tanh(Single, -0.0).to_bits(), (-0f32).to_bits());
    }

    /// erf in f64: the Taylor series up to 3, and the continued fraction of erfc from there on.
    fn erf_f64(x: f64) -> f64 {
        if x.abs() < 3.0 {
            let (mut term, mut sum) = (x, x);
            for k in 1..120 {
                term *= -x * x / f64::from(k);
                sum += term / f64::from(2 * k + 1);
            }
            return sum * std::f64::consts::FRAC_2_SQRT_PI;
        }
        let a = x.abs();
        let fraction = (1..60)
            .rev()
            .fold(a, |below, k| a + f64::from(k) / 2.0 / below);
        let complement = (-a * a).exp() / (fraction * std::f64::consts::PI.sqrt());
        (1.0 - complement).copysign(x)
    }

    #[test]
    fn erf_is_within_two_ulp() {
        at_most(
            2.0,
            worst(dense(-5.0, 5.0), |x| {
                ulp(erf(Single, x), erf_f64(f64::from(x)))
            }),
        );
        at_most(
            2.0,
            worst(magnitudes(5.0), |x| {
                ulp(erf(Single, x), erf_f64(f64::from(x)))
            }),
        );
        assert_eq!([4.0, 1e9, f32::INFINITY].map(|x| erf(Single, x)), [1.0; 3]);
        assert_eq!(erf(Single, -0.0).to_bits(), (-0f32).to_bits());
    }

    #[test]
    fn nan_of_either_sign_returns_nan() {
        for x in [f32::NAN, -f32::NAN] {
            for value in [exp(Single, x), tanh(Single, x), erf(Single, x)] {
                assert!(value.is_nan(), "{x:?}");
            }
        }
    }

    #[test]
    fn sines_and_cosines_are_accurate_up_to_a_million() {
        let absolute = |x: f32| {
            let ((sin, cos), x) = (sin_cos(Single, x), f64::from(x));
            (f64::from(sin) - x.sin())
                .abs()
                .max((f64::from(cos) - x.cos()).abs())
        };
        at_most(1e-7, worst(dense(-10.0, 10.0), absolute));
        at_most(1e-7, worst(dense(-1e5, 1e5), absolute));
        at_most(1e-7, worst(dense(-1e6, 1e6), absolute));
        at_most(1e-7, worst((0..1_000_000).map(|i| i as f32), absolute));
        let relative = |x: f32| {
            let ((sin, cos), x) = (sin_cos(Single, x), f64::from(x));
            let error = |got, want: f64| {
                if want.abs() < 1e-3 {
                    0.0
                } else {
                    ulp(got, want)
                }
            };
            error(sin, x.sin()).max(error(cos, x.cos()))
        };
        at_most(2.0, worst(dense(-100.0, 100.0), relative));
        at_most(2.0, worst(dense(-1e6, 1e6), relative));
        at_most(
            1.0,
            worst(magnitudes(0.7), |x| {
                ulp(sin_cos(Single, x).0, f64::from(x).sin())
            }),
        );
    }

    #[test]
    fn sigmoid_and_silu_are_within_three_ulp() {
        let logistic = |x: f32| 1.0 / (1.0 + (-f64::from(x)).exp());
        at_most(
            3.0,
            worst(dense(-85.0, 40.0), |x| ulp(sigmoid(Single, x), logistic(x))),
        );
        let product = |x: f32| f64::from(x) * logistic(x);
        at_most(
            3.0,
            worst(dense(-87.0, 40.0), |x| ulp(silu(Single, x), product(x))),
        );
        at_most(
            3.0,
            worst(magnitudes(20.0), |x| ulp(silu(Single, x), product(x))),
        );
        assert_eq!(sigmoid(Single, -89.0).to_bits(), 0);
        assert_eq!(silu(Single, -89.0).to_bits(), (-0f32).to_bits());
    }

    #[test]
    fn gelus_stay_within_their_stated_errors() {
        let approximate = |x: f32| {
            let x = f64::from(x);
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
            x / (1.0 + (-2.0 * u).exp())
        };
        let error = |x: f32| ulp(gelu_tanh(Single, x), approximate(x));
        at_most(3.0, worst(dense(-1.0, 20.0), error));
        at_most(3.0, worst(magnitudes(1.0), error));
        at_most(10.0, worst(dense(-2.0, -1.0), error));
        at_most(128.0, worst(dense(-7.0, -2.0), error));
        let exact = |x: f32| 0.5 * f64::from(x) * (1.0 + erf_f64(f64::from(x) * 0.5f64.sqrt()));
        let scaled =
            |x: f32| (f64::from(gelu_erf(Single, x)) - exact(x)).abs() / f64::from(x.abs());
        at_most(
            1.5e-7,
            worst(dense(-8.0, 8.0).filter(|&x| x != 0.0), scaled),
        );
        let normal = magnitudes(1e9).filter(|x| x.abs() > 1e-37);
        at_most(1.5e-7, worst(normal, scaled));
        let ends = [0.0, -0.0, -14.0, f32::NEG_INFINITY, f32::INFINITY];
        let found = ends.map(|x| gelu_erf(Single, x));
        assert_eq!(found, [0.0, 0.0, 0.0, 0.0, f32::INFINITY]);
        assert!(gelu_erf(Single, f32::NAN).is_nan());
    }
}
