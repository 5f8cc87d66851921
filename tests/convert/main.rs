//! Do written GGUF files run like the models that they were made from?

#[path = "../common/mod.rs"]
mod common;
mod folder;
#[cfg(feature = "tokenizer")]
mod gguf;
mod vocabulary;
