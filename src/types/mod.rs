//! Types: what is known about values before anything is computed with them.
//!
//! What belongs here: dimensions, element types and shapes, the numbers of graph files, what a pass promises about bits, and
//! the alignment of memory. What is absent: graphs, ops, and anything that reads or computes an element.

mod bits;
mod dims;
mod literal;

pub use bits::Bits;
pub use dims::{DType, Dim, INT8_BLOCK, INT8_BLOCK_WORDS, Shape, StepSize, Type};
pub use literal::Literal;

/// The alignment of all memory that kernels access, in bytes: a cache line, or a 16-lane vector of f32.
pub const ALIGNMENT: usize = 64;
