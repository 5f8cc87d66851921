//! Are embeddings of texts right, alone and in batches?

mod batches;
#[path = "../common/mod.rs"]
mod common;
mod files;
mod minilm;
