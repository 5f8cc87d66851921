//! Do generation, scoring and conversations choose correctly from logits?

#[path = "../common/mod.rs"]
mod common;
mod conversation;
mod hook;
mod markers;
mod model;
mod not_finite;
mod sampler;
mod score;
mod stop_markers;
