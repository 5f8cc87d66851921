//! Architectures: turning a graph file, a model's parameters and the headers of its weights into a graph.
//!
//! What belongs here: the graph file's grammar and its expansion, where parameters come from, which tensor each weight
//! is, and weight expressions. What is absent: what an op means (`ops/`), rewriting, and packed weight layouts
//! (`kernels/`).

mod agree;
pub mod ast;
pub mod bind;
pub mod config_keys;
pub mod expand;
pub mod parameters;
pub(crate) mod resolve;
mod rotary_keys;
mod statements;
pub mod syntax;
mod tensors;
pub(crate) mod used;
pub mod weight_expression;
pub(crate) mod weight_table;
