//! Are embeddings of texts right, one by one and in batches?

mod batches;
#[path = "../common/mod.rs"]
mod common;
mod decoders;
mod files;
mod minilm;
mod threads;
