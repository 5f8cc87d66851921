//! Does a sequence give what it gives alone, whoever runs beside it, and does every page find its way back?

mod admission;
mod beginnings;
#[path = "../common/mod.rs"]
mod common;
mod requests;
mod schedules;
