//! Do texts become tokens, and tokens texts, as other programs do it?

mod beside;
#[path = "../common/mod.rs"]
mod common;
mod gguf;
mod markers;
mod memory;
mod stream;
mod templates;
mod tokenizers;
