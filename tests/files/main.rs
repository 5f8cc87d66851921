//! Are weight files read correctly, wherever they come from?

mod block_views;
mod changed;
#[path = "../common/mod.rs"]
mod common;
mod gguf;
mod gguf_parts;
mod hub;
mod hub_unkind;
mod safetensors;
mod weight_views;
