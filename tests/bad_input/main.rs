//! Is everything bad from outside refused with a reason, in time and in bounds?

mod bytes;
#[path = "../common/mod.rs"]
mod common;
mod files;
mod foreign;
mod models;
mod options;
mod sessions;
mod tokenizers;
