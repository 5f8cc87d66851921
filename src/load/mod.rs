//! Load: from files to a graph and its weights.
//!
//! What belongs here: the graph file's grammar and its expansion, parameter sources, weight files and strided views onto
//! their tensors, and the tokenizer. What does not: what an op means (`ops/`), rewriting, and packed weight layouts
//! (`kernels/`).

pub mod ast;
pub mod diagnostics;
pub mod document;
pub mod evaluate;
pub mod expand;
pub mod expression;
pub mod parameters;
mod resolve;
mod statements;
pub mod syntax;
pub mod value;
mod weight_table;
