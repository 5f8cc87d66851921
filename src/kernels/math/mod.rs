//! The functions of the standard library that model output may not depend on: exp, tanh, erf, sine and cosine, and what
//! is built from them, as polynomials that do the same IEEE operations on every instruction set.
//!
//! What belongs here: f32 functions over [`Lanes`](super::simd::Lanes) (`functions`), the same for one f32 (`*_f32`, for
//! the reference ops and the sampler). What is absent: f64 functions (`math/`), and anything that walks a tensor.

mod functions;

pub use functions::{
    erf, exp, exp_not_above_one, gelu_erf, gelu_tanh, relu, sigmoid, silu, sin_cos, tanh,
};

use super::simd::Single;

/// [`exp`] of one f32.
pub fn exp_f32(x: f32) -> f32 {
    exp(Single, x)
}

/// [`tanh`] of one f32.
pub fn tanh_f32(x: f32) -> f32 {
    tanh(Single, x)
}

/// [`erf`] of one f32.
#[cfg(test)]
pub fn erf_f32(x: f32) -> f32 {
    erf(Single, x)
}

/// [`sigmoid`] of one f32.
pub fn sigmoid_f32(x: f32) -> f32 {
    sigmoid(Single, x)
}

/// [`silu`] of one f32.
pub fn silu_f32(x: f32) -> f32 {
    silu(Single, x)
}

/// [`gelu_tanh`] of one f32.
#[cfg(test)]
pub fn gelu_tanh_f32(x: f32) -> f32 {
    gelu_tanh(Single, x)
}

/// [`gelu_erf`] of one f32.
pub fn gelu_erf_f32(x: f32) -> f32 {
    gelu_erf(Single, x)
}

/// [`relu`] of one f32.
pub fn relu_f32(x: f32) -> f32 {
    relu(Single, x)
}

/// [`sin_cos`] of one f32.
pub fn sin_cos_f32(x: f32) -> (f32, f32) {
    sin_cos(Single, x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::{Isa, LANES, Scalar, Simd};

    /// Every function, one after another, of one value.
    fn all_single(x: f32) -> [f32; 10] {
        let (sin, cos) = sin_cos_f32(x);
        [
            exp_f32(x),
            tanh_f32(x),
            erf_f32(x),
            sigmoid_f32(x),
            silu_f32(x),
            gelu_tanh_f32(x),
            gelu_erf_f32(x),
            relu_f32(x),
            sin,
            cos,
        ]
    }

    /// Every function, one after another, of sixteen values.
    fn all_lanes<S: Simd>(simd: S, x: &[f32; LANES]) -> [[f32; LANES]; 10] {
        let x = simd.load(x);
        let (sin, cos) = sin_cos(simd, x);
        [
            exp(simd, x),
            tanh(simd, x),
            erf(simd, x),
            sigmoid(simd, x),
            silu(simd, x),
            gelu_tanh(simd, x),
            gelu_erf(simd, x),
            relu(simd, x),
            sin,
            cos,
        ]
        .map(|y| simd.to_array(y))
    }

    fn bits_or_nan(x: f32) -> u32 {
        if x.is_nan() { u32::MAX } else { x.to_bits() }
    }

    /// Edge values, then pseudo-random bit patterns of every magnitude.
    fn values() -> Vec<f32> {
        let mut values = vec![
            0.0,
            f32::INFINITY,
            f32::NAN,
            f32::MIN_POSITIVE,
            1e-45,
            1e-40,
            f32::MAX,
        ];
        values.extend([
            87.29, 87.3, 87.31, 88.72, 88.73, 89.0, 0.625, 0.6249, 1.0, 4.0, 9.1, 1e5,
        ]);
        let mut state = 1u32;
        for _ in 0..40_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let random = state ^ (state >> 15);
            values.push(f32::from_bits(random & 0x7fff_ffff));
            values.push((random >> 8) as f32 / 65_536.0);
        }
        let negative: Vec<f32> = values.iter().map(|x| -x).collect();
        values.extend(negative);
        values.resize(values.len().next_multiple_of(LANES), -1.5);
        values
    }

    #[test]
    fn every_instruction_set_gives_the_bits_of_one_lane() {
        for isa in Isa::available() {
            for chunk in values().as_chunks::<LANES>().0 {
                let wide = match isa {
                    Isa::Scalar(simd) => all_lanes(simd, chunk),
                    Isa::Avx2(simd) => all_lanes(simd, chunk),
                    Isa::Avx512(simd) => all_lanes(simd, chunk),
                };
                for (lane, &x) in chunk.iter().enumerate() {
                    let one = all_single(x).map(bits_or_nan);
                    let many = wide.map(|y| bits_or_nan(y[lane]));
                    assert_eq!(many, one, "{} of {x:e}", isa.name());
                }
            }
        }
    }

    #[test]
    fn a_lane_does_not_depend_on_its_neighbours() {
        let mut x = [f32::NAN; LANES];
        x[3] = 0.7;
        assert_eq!(all_lanes(Scalar, &x).map(|y| y[3]), all_single(0.7));
    }
}
