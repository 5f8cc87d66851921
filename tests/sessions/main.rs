//! Does a session continue right from what was kept of another?

#[path = "../common/mod.rs"]
mod common;
mod prefixes;
mod saved;
