//! SmallMind: a compute-graph compiler with a fused-kernel executor that runs transformers on CPUs.

pub mod exec;
pub mod graph;
pub mod kernels;
mod nearest;
pub mod ops;
pub mod plan;
