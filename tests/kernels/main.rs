//! Do block formats and the thread pool keep their promises? Kernels themselves are tested beside their code.

mod block_properties;
mod block_vectors;
mod pool;
