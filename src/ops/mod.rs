//! The ops: one table that says everything about each.
//!
//! What belongs here: an [`OpDef`] per op, with its attributes, operands, shape rule, plain reference and the kernel
//! that runs it, in one file per family; and the [`mod@reference`] interpreter, the oracle that runs any graph with them.
//! Adding an op is an entry in its family's table, a kernel and a test; one that applies a function to each element is a
//! row of the functions' table (`kernels/functions.rs`). No other module names an op, or decides again what a row says.
//! What does not belong: SIMD (`kernels/`), and which ops become which (`passes/*.ron`).

mod attention;
mod attributes;
mod blocks;
mod cast;
mod chain;
mod definition;
mod elementwise;
mod infer;
mod linear;
mod lower;
mod norm;
pub mod program;
mod quantized;
pub mod reference;
mod rotary;
mod shape;
mod table;
mod take_rows;
mod tensor;

pub use attributes::{Attribute, AttributeDef, AttributeKind, Attributes};
pub use cast::CAST;
pub use chain::ELEMENTWISE;
pub use definition::{
    Applies, Arity, InputDef, Lookup, Neutral, Op, OpDef, SEGMENTS, Split, State, Tokens, Types,
    View,
};
pub use elementwise::named_activation;
pub use lower::{Form, Lowering, Phase, Read, WeightForm};
pub use quantized::QUANTIZE_ACTIVATIONS;
pub use shape::{SLICE, slice_bounds};
pub use table::{find, table};
pub use take_rows::TAKE_ROWS;
pub use tensor::{Data, Tensor};

pub use crate::kernels::functions::{BinaryFunction, Function, UnaryFunction};
