//! Sixteen f32 lanes on every CPU.
//!
//! [`Simd`] is a token that only detection can make: an [`Avx2`] value proves that the CPU has AVX2, FMA and F16C. Kernels
//! are written over the trait; every method does the same IEEE operations in the same order on each instruction set, so that
//! results agree to the bit. What is absent: anything that knows an op.

#[cfg(not(target_arch = "x86_64"))]
mod absent;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod int8;
mod lanes;
mod scalar;
mod transpose;
mod vector;

#[cfg(not(target_arch = "x86_64"))]
pub use absent::{Avx2, Avx512, Vnni};
#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::{Avx512, Vnni};
pub use int8::Int8;
pub use lanes::{LANES, Lanes};
pub use scalar::{Scalar, Single};
pub use vector::{Simd, Transpose, Work, tree};

/// The instruction set on which the kernels of a model run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Plain Rust, which any CPU can run; the oracle for the others.
    Scalar(Scalar),
    /// AVX2, FMA and F16C.
    Avx2(Avx2),
    /// AVX-512 F, BW, VL and DQ; products of int8 use VNNI if the CPU has it.
    Avx512(Avx512),
}

/// An instruction set that was requested but is not available.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum IsaError {
    /// The name is not the name of an instruction set.
    #[error("unknown instruction set '{0}': expected scalar, avx2 or avx512")]
    Unknown(String),
    /// The CPU lacks the instruction set.
    #[error("this CPU lacks {0}")]
    Missing(&'static str),
}

impl Isa {
    /// The widest instruction set of this CPU.
    pub fn detect() -> Isa {
        if let Some(simd) = Avx512::detect() {
            Isa::Avx512(simd)
        } else if let Some(simd) = Avx2::detect() {
            Isa::Avx2(simd)
        } else {
            Isa::Scalar(Scalar)
        }
    }

    /// The instruction set with the given name: `scalar`, `avx2` or `avx512`.
    pub fn named(name: &str) -> Result<Isa, IsaError> {
        match name {
            "scalar" => Ok(Isa::Scalar(Scalar)),
            "avx2" => Avx2::detect()
                .map(Isa::Avx2)
                .ok_or(IsaError::Missing("AVX2, FMA or F16C")),
            "avx512" => Avx512::detect()
                .map(Isa::Avx512)
                .ok_or(IsaError::Missing("AVX-512 F, BW, VL or DQ")),
            other => Err(IsaError::Unknown(other.to_string())),
        }
    }

    /// All instruction sets of this CPU, the plain one first.
    pub fn available() -> Vec<Isa> {
        ["scalar", "avx2", "avx512"]
            .iter()
            .filter_map(|name| Isa::named(name).ok())
            .collect()
    }

    /// The name of the instruction set, as in [`Isa::named`].
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar(_) => "scalar",
            Isa::Avx2(_) => "avx2",
            Isa::Avx512(_) => "avx512",
        }
    }
}

#[cfg(test)]
mod tests;
