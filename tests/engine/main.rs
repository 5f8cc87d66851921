//! Does a sequence give what it gives alone, whoever runs beside it, and does every page find its way back?

mod admission;
mod beginnings;
#[path = "../common/mod.rs"]
mod common;
#[cfg(all(feature = "demo", feature = "tokenizer"))]
mod requests;
mod schedules;
