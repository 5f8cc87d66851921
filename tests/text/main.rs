//! Do texts become tokens, and tokens texts, as other programs do it?

#[path = "../common/mod.rs"]
mod common;
mod gguf;
mod memory;
mod stream;
mod templates;
mod tokenizers;
