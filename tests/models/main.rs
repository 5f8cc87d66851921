//! Do models compute what other programs compute, with the same bits everywhere?

mod checkpoints;
#[path = "../common/mod.rs"]
mod common;
mod encoders;
mod float_environment;
mod fused;
mod gemma;
mod gguf;
mod in_memory;
#[cfg(feature = "chat")]
mod nested;
mod own_graph;
mod quantized;
mod right;
mod same_bits;
mod unread_keys;
