//! Execution: carrying out a plan, and nothing else.
//!
//! What belongs here: the arena that holds every byte of a run, the pages of keys and values in it and their readers,
//! the standing thread pool, weights in the forms that kernels read, the loop over steps; batchers, which run many
//! sequences side by side, sessions, in memory and in files, which are sequences of a batcher, and texts that several
//! threads give. An executor refuses weights, threads, arenas, pages and
//! tokens that do not fit its plan. What is absent: deciding anything about a step (where a buffer lies, which kernel a
//! step uses, how many steps there are: `plan/`), and arithmetic (`kernels/`). Once a session or a batcher exists,
//! nothing here allocates except the code that saves a session, and the lists of texts that threads give.

pub mod arena;
pub mod batch;
pub mod batcher;
pub mod beginnings;
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
mod pace;
pub mod pages;
pub mod pool;
pub mod refused;
pub mod saved;
mod schedule;
pub mod session;
pub mod shared_batcher;
mod shared_session;
pub mod shared_texts;
mod step_error;
mod step_io;
pub mod weights;
