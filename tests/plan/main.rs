//! Is every byte placed correctly, and does a plan compute what its graph says?

#[path = "../common/mod.rs"]
mod common;
mod deep;
mod executor;
mod memory;
mod placement;
mod random;
mod rings;
mod runner;
mod sequences;
mod wanted;
