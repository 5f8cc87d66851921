//! SmallMind: a compute-graph compiler with a fused-kernel executor that runs transformers on CPUs.

pub mod exec;
pub mod generate;
pub mod graph;
pub mod kernels;
pub mod load;
pub mod model;
mod nearest;
pub mod ops;
pub mod plan;
pub mod rewrite;
pub mod transform;

pub use exec::session::Session;
pub use model::{Model, ModelError, Options};
