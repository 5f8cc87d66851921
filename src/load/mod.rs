//! Load: from files to a graph and its weights.
//!
//! What belongs here: the graph file's grammar and its expansion, parameter sources, weight files and strided views onto
//! their tensors, and the tokenizer. What does not: what an op means (`ops/`), rewriting, and packed weight layouts
//! (`kernels/`).

pub mod map;
pub mod safetensors;
#[cfg(feature = "tokenizer")]
pub mod tokenizer;
pub mod weight;
pub mod weight_expression;
pub mod weight_files;
