//! SmallMind: a compute-graph compiler with a fused-kernel executor that runs transformers on CPUs.
//!
//! The rooms from the ground up; no room imports from one below it in this table, and a test reads the sources to hold
//! them to it:
//!
//! | room | what belongs there | what is absent there |
//! | --- | --- | --- |
//! | [`language`] | the one RON grammar: documents, values, expressions, how mistakes are told | tensors and ops |
//! | [`blocks`] | the formats of quantized weights: sizes, codec, fallback | files, kernels' layouts |
//! | [`types`] | dimensions, element types, shapes, promises of bits, alignment | graphs, ops, arithmetic |
//! | [`kernels`] | the arithmetic: plain Rust, AVX2 and AVX-512, equal to the bit | graphs, ops, offsets |
//! | [`ops`] | one table that says everything about each op | SIMD, rules |
//! | [`graph`] | the intermediate representation: values, one editor, the verifier, the printers, the interpreter | files, passes |
//! | [`files`] | safetensors and GGUF files: tensors and keys, mapped or read | what they mean, writing |
//! | `text` | tokenizers, detokenization, where chat templates stand (feature `tokenizer`) | which token comes next |
//! | [`architecture`] | graph files (`graphs/*.ron`): parameters, weights, expansion to a graph | rewriting, packed layouts |
//! | [`transform`] | passes that compute: folding, sharing, merging, the last row | rules |
//! | [`rewrite`] | rules as data (`passes/*.ron`): matched, checked, applied, reported | arithmetic on weights |
//! | [`plan`] | schedule, lifetimes, and the place of every byte | weights' values |
//! | [`exec`] | arena, threads, steps, sessions | names of ops |
//! | [`model`] | all of it in one call | each of the steps itself |
//! | [`generate`] | from logits to tokens to text | tokenizers, conversations |
//! | [`embed`] | from hidden states to one vector a text | the encoder |
//! | `chat` | conversations: chat templates, and sessions that keep what they have read (feature `chat`) | terminals |
//! | [`convert`] | all that writes GGUF: from file or folder to GGUF file | reading files, what blocks are |
//! | `hub` | models of the Hugging Face Hub, as paths (feature `hub`) | what the files say |
//! | [`guide`] | how to write graph files and rewrite rules, as Markdown | code |
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

pub mod architecture;
pub mod blocks;
#[cfg(feature = "chat")]
pub mod chat;
pub mod convert;
pub mod embed;
pub mod exec;
pub mod files;
pub mod generate;
pub mod graph;
#[allow(rustdoc::broken_intra_doc_links)] // Shapes, such as [T, width], are not links.
pub mod guide;
#[cfg(feature = "hub")]
pub mod hub;
pub mod kernels;
pub mod language;
pub mod model;
pub mod ops;
pub mod plan;
pub mod rewrite;
#[cfg(feature = "tokenizer")]
pub mod text;
pub mod transform;
pub mod types;

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
