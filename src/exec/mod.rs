//! Execution: carrying out a plan, and nothing else.
//!
//! What belongs here: the arena that holds every byte of a run, the standing thread pool, weights in
//! the forms that kernels read, the loop over steps, and sessions, in memory and in files, with the beginnings that they
//! share. An executor refuses weights, threads, arenas and tokens that its plan is not for. What does not: deciding
//! anything (where a buffer lies, which kernel a step uses, how many steps there are: `plan/`), and arithmetic
//! (`kernels/`). Once a session exists, nothing here allocates but what saves it.

pub mod arena;
pub mod batch;
pub mod batcher;
mod beginnings;
mod caches;
pub mod cancel;
#[cfg(target_os = "linux")]
mod control_groups;
#[cfg(target_os = "linux")]
mod cores;
mod encoded;
pub mod executor;
pub mod frames;
pub mod machine;
pub mod pages;
pub mod pool;
pub mod prefix;
pub mod saved;
mod schedule;
pub mod session;
mod step_error;
pub mod weights;
