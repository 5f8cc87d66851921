//! Do models compute what other programs compute, with the same bits everywhere?

#[path = "../common/mod.rs"]
mod common;
mod encoders;
mod fused;
mod gemma;
mod gguf;
mod quantized;
mod right;
mod same_bits;
