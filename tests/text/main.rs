//! Do texts become tokens, and tokens texts, as in other programs?

mod beside;
#[path = "../common/mod.rs"]
mod common;
mod gguf;
mod jinja;
mod markers;
mod memory;
mod stream;
mod templates;
mod tokenizers;
