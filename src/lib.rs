//! SmallMind: a compute-graph compiler with a fused-kernel executor that runs transformers on CPUs.

pub mod load;
