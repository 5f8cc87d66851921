//! Does a session continue correctly from what was kept of another session?

#[path = "../common/mod.rs"]
mod common;
mod prefixes;
mod saved;
