//! Do rules and transforms change a graph as they should, and keep what it computes?

mod cases;
#[path = "../common/mod.rs"]
mod common;
mod driver;
mod elementwise;
mod examples;
mod made;
mod raising;
mod raising_attention;
mod refused;
mod spelled;
mod transforms;
mod transforms_hidden_output;
mod transforms_quantize;
mod transforms_random;
mod transforms_wanted_rows;
