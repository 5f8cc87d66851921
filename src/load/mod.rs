//! Load: from files to a graph and its weights.
//!
//! What belongs here: the graph file's grammar and its expansion, parameter sources, weight files and strided views onto
//! their tensors, and the tokenizer. What does not: what an op means (`ops/`), rewriting, and packed weight layouts
//! (`kernels/`).

pub mod ast;
pub mod bind;
pub mod diagnostics;
pub mod document;
mod elements;
pub mod evaluate;
pub mod expand;
pub mod expression;
pub mod gguf;
pub mod map;
pub mod parameters;
mod references;
mod resolve;
pub mod safetensors;
mod statements;
pub mod syntax;
pub mod to_gguf;
#[cfg(feature = "tokenizer")]
pub mod tokenizer;
pub mod value;
pub mod weight;
pub mod weight_expression;
pub mod weight_file;
pub mod weight_files;
mod weight_table;
