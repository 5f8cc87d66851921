//! Text: conversion to token ids and back, and the files that define it.
//!
//! What belongs here: tokenizers, detokenization token by token, and where chat templates and special tokens are found. What
//! is absent: which token comes next (`generate/`), and how a template is rendered (`chat/`).

mod config_files;
pub mod known_templates;
mod stream;
pub mod template_files;
pub mod tokenizer;

pub use stream::TextStream;
