//! Kernels: the arithmetic of every step, written once over 16 lanes and instantiated per instruction set.
//!
//! What belongs here: the [`Simd`](simd::Simd) trait and its three instantiations, the polynomial functions, packed
//! weight layouts, and one file per family of ops. A kernel sees one [`Call`](call::Call): operands, shapes and the
//! piece of the work to do. What does not belong here: graphs, arena offsets, threads (`plan/`, `exec/`), and what an
//! op means (`ops/` holds the plain reference that each kernel must equal bit for bit).

mod attend;
mod attend_share;
pub mod attention;
pub mod cache;
pub mod call;
pub mod cast;
pub mod elementwise;
pub mod elementwise_chain;
pub mod finite;
pub mod float_environment;
pub mod functions;
pub mod kv_cache;
pub mod linear;
pub mod math;
pub mod matmul;
pub mod norm;
pub mod packed;
pub mod panel_memory;
pub mod quantized;
pub mod rotary;
mod scoring;
pub mod shape;
pub mod simd;
pub mod take_rows;
#[cfg(test)]
mod testing;
mod tile;
pub mod weights;
