//! Types: what is said of values before anything is computed with them.
//!
//! What belongs here: dimensions, element types and shapes, numbers of graph files, what a pass promises of bits, and how
//! memory is aligned. What is absent: graphs, ops, and anything that reads or computes an element.

mod bits;
mod dims;
mod literal;

pub use bits::Bits;
pub use dims::{DType, Dim, INT8_BLOCK, INT8_BLOCK_WORDS, Shape, StepSize, Type};
pub use literal::Literal;

/// Alignment of all memory that kernels see, in bytes: a cache line, and a 16-lane vector of f32.
pub const ALIGNMENT: usize = 64;
