//! SmallMind: a compute-graph compiler with a fused-kernel executor that runs transformers on CPUs.
//!
//! The modules in the order in which a model passes through them:
//!
//! | module | what it does |
//! | --- | --- |
//! | [`load`] | reads graph files (`graphs/*.ron`), parameters (`config.json`), weights (safetensors), GGUF files and tokenizers |
//! | [`blocks`] | the formats of quantized weights: what a block of 32 or 256 elements means |
//! | [`graph`] | the intermediate representation: values, types, one editor, the verifier, the printers |
//! | [`ops`] | one table that says everything about each op, and the interpreter that is the oracle |
//! | [`rewrite`] | rules as data (`passes/*.ron`): matched, checked, applied, reported |
//! | [`transform`] | passes that compute: folding, sharing, merging, the last row |
//! | [`plan`] | schedule, lifetimes, and the place of every byte |
//! | [`exec`] | arena, threads, steps, sessions |
//! | [`kernels`] | the arithmetic: plain Rust, AVX2 and AVX-512, equal to the bit |
//! | [`generate`] | from logits to tokens to text |
//! | [`embed`] | from hidden states to one vector a text |
//! | [`model`] | all of it in one call |
//! | [`convert`] | from file or folder to GGUF file: weights of another type |
//! | [`guide`] | how to write graph files and rewrite rules |
//! | `chat` | conversations: chat templates, and sessions that keep what they have read (feature `chat`) |
//! | `hub` | models of the Hugging Face Hub, as paths (feature `hub`) |
//!
//! ```
//! use smallmind::{Model, Options};
//!
//! let model = Model::open("demo", &Options::default())?; // or a path
//! println!("{}", model.plan()); // every byte, before anything runs
//! let mut session = model.session()?;
//! let logits = session.prefill(&[72, 101, 108, 108, 111])?; // [vocabulary], of the last token
//! assert_eq!(logits.len(), model.vocabulary());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The library prints nothing, keeps no global state, and answers bad input with errors.

pub mod blocks;
#[cfg(feature = "chat")]
pub mod chat;
pub mod convert;
pub mod digest;
pub mod embed;
pub mod exec;
pub mod generate;
pub mod graph;
#[allow(rustdoc::broken_intra_doc_links)] // Shapes, such as [T, width], are not links.
pub mod guide;
#[cfg(feature = "hub")]
pub mod hub;
pub mod kernels;
pub mod load;
pub mod model;
mod nearest;
pub mod ops;
pub mod plan;
pub mod rewrite;
pub mod transform;

pub use embed::{EmbedError, EmbedOptions, Embedder, Pooling};
pub use exec::prefix::PrefixStatistics;
pub use exec::saved::SavedSessionError;
pub use exec::session::{Encoded, Session, StepError};
pub use generate::run::{Finish, GenerateError, GenerateOptions, Generation};
pub use generate::score::{Score, ScoreError};
pub use model::{Model, ModelError, Options};

/// The README's examples, compiled and run with the documentation tests.
#[cfg(all(doctest, feature = "tokenizer"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
