//! SmallMind: a compute-graph compiler with a fused-kernel executor that runs transformers on CPUs.

pub mod exec;
pub mod generate;
pub mod graph;
pub mod kernels;
pub mod load;
mod nearest;
pub mod ops;
pub mod plan;
