//! Does generating, scoring and conversing choose right from logits?

#[path = "../common/mod.rs"]
mod common;
mod conversation;
mod hook;
mod model;
mod not_finite;
mod plain_text;
mod sampler;
mod score;
