//! The ops: one table with everything about each op.
//!
//! What belongs here: an [`OpDef`] per op, with its attributes, operands, shape rule, plain reference and the kernel
//! that runs it, in one file per family; and what a plain reference sees of a step ([`mod@reference`]). To add an op,
//! add a row to the table of its family, a kernel and a test; an op that applies a function to each element is a row in
//! the table of functions (`kernels/functions.rs`). No other module names an op, or decides anew what a row says. What
//! is absent: SIMD (`kernels/`), and rules about which ops become which (`passes/*.ron`).

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
