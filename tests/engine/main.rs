//! Does a sequence compute the same as alone, whatever other sequences run beside it, and is every page returned?

mod admission;
mod beginnings;
#[path = "../common/mod.rs"]
mod common;
mod gap;
mod lifecycles;
#[cfg(all(feature = "demo", feature = "tokenizer"))]
mod requests;
mod schedules;
mod sessions;
#[cfg(all(feature = "async", feature = "demo", feature = "tokenizer"))]
mod stream;
