//! Are GGUF files written so that they run as what they were made from?

#[path = "../common/mod.rs"]
mod common;
mod folder;
#[cfg(feature = "tokenizer")]
mod gguf;
mod vocabulary;
