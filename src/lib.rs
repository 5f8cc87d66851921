//! SmallMind runs transformers on CPUs: a compute-graph compiler with a fused-kernel executor.
//!
//! - A [`Model`] is opened once, from a Hugging Face folder, a GGUF file or bytes in memory ([`ModelBytes`]). It is cheap to
//!   clone and may be used from any thread. [`Options`] choose threads, context, weights and more.
//! - A [`Session`] is one sequence of tokens: tokens in, logits out. All its memory is allocated when the session is made.
//!
//! # Logits
//!
#![cfg_attr(feature = "demo", doc = "```")]
#![cfg_attr(not(feature = "demo"), doc = "```ignore")]
//! use smallmind::{Model, Options};
//!
//! let model = Model::open("demo", &Options::new().context(128))?; // or a path
//! println!("{}", model.plan()); // every byte, before anything runs
//! let mut session = model.session()?;
//! let logits = session.prefill(&[72, 101, 108, 108, 111])?; // [vocabulary], of the last token
//! assert_eq!(logits.len(), model.vocabulary());
//! let logits = session.step(33)?; // after one more token
//! # assert_eq!(logits.len(), model.vocabulary());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Generating text
//!
//! With the feature `tokenizer`, which reads the model's own tokenizer:
//!
#![cfg_attr(all(feature = "demo", feature = "tokenizer"), doc = "```")]
#![cfg_attr(not(all(feature = "demo", feature = "tokenizer")), doc = "```ignore")]
//! use smallmind::{Cancel, GenerateOptions, Model, Options};
//!
//! let model = Model::open("demo", &Options::new())?;
//! let mut session = model.session()?;
//! let cancel = Cancel::new(); // a clone of it stops the text from another thread
//! let options = GenerateOptions::new().max_tokens(20).cancel(&cancel); // sampling as llama.cpp does
//! let generation = model.generate(&mut session, "ROMEO:", &options, |piece| {
//!     print!("{piece}");
//!     true // go on
//! })?;
//! assert_eq!(generation.tokens.len(), 20);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Embeddings
//!
//! An encoder (BERT, all-MiniLM-L6-v2 and their kin) or a decoder (Qwen3-Embedding, or any other language model) turns texts
//! into vectors. A decoder must be opened for hidden states, of all its tokens if the pooling needs them:
//!
//! ```no_run
//! use smallmind::model::{Logits, Output};
//! use smallmind::{Model, Options};
//!
//! let options = Options::new().output(Output::Hidden).logits(Logits::All);
//! let model = Model::open("path/to/Qwen3-Embedding-0.6B", &options)?;
//! # #[cfg(feature = "tokenizer")]
//! let vectors = model.embed(&["The cat sits outside", "A man is playing guitar"])?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A model inside your program
//!
//! ```no_run
//! use smallmind::{Model, ModelBytes, Options};
//!
//! # fn bytes(_: &str) -> &'static [u8] { &[] }
//! # macro_rules! include_bytes { ($path:literal) => { bytes($path) } }
//! let bytes = ModelBytes::gguf(include_bytes!("model.gguf")); // or config, weights and tokenizer of a folder
//! let model = Model::from_bytes(bytes, &Options::new())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! - Without any: opening and compiling models, sessions, generating and scoring tokens, embedding token ids
//! - `tokenizer`: text in and out, with `tokenizer.json` and the vocabularies of GGUF files; writing GGUF files
//! - `chat`: conversations, with the model's chat template
//! - `hub`: downloads from the Hugging Face Hub
//! - `demo`: the demo model (1.8 MB), which opens as `"demo"`
//! - `async`: the requests of an engine as asynchronous streams, for any executor
//! - `cli`: the `smallmind` program, with `tokenizer`, `chat` and `hub`
//! - `internals`: the modules below made public, for the program, tests and benches; they change without notice
//!
//! `cli` and `demo` are on by default: a library wants `default-features = false`.
//!
//! The library prints nothing, reads no environment variable unless it is asked to, keeps no global state, and answers bad
//! input with errors.
//!
//! # How it works
//!
//! The modules, from the ground up. No module imports from one below it in this table; a test reads the sources and
//! enforces this:
//!
//! | module | what belongs there | what is absent there |
//! | --- | --- | --- |
//! | [`math`] | f64 functions of our own: logarithm, exponential, power | lanes, tensors |
//! | [`language`] | the one RON grammar: documents, values, expressions, how mistakes are reported | tensors and ops |
//! | [`blocks`] | the formats of quantized weights: sizes, codec, fallback | files, kernels' layouts |
//! | [`types`] | dimensions, element types, shapes, promises about bits, alignment | graphs, ops, arithmetic |
//! | [`kernels`] | the arithmetic: plain Rust, AVX2 and AVX-512, equal to the bit | graphs, ops, offsets |
//! | [`ops`] | one table that says everything about each op | SIMD, rules |
//! | [`graph`] | the intermediate representation: values, one editor, the verifier, the printers, the interpreter | files, passes |
//! | [`files`] | safetensors and GGUF files: tensors and keys, mapped or read | what they mean, writing |
//! | `text` | tokenizers, detokenization, where chat templates are found (feature `tokenizer`) | which token comes next |
//! | [`architecture`] | graph files (`graphs/*.ron`): parameters, weights, expansion to a graph | rewriting, packed layouts |
//! | [`transform`] | passes that compute: folding, sharing, merging, the wanted rows | rules |
//! | [`rewrite`] | rules as data (`passes/*.ron`): matched, checked, applied, reported | arithmetic on weights |
//! | [`plan`] | schedule, lifetimes, and the place of every byte | weights' values |
//! | [`exec`] | arena, threads, steps, sessions | names of ops |
//! | [`model`] | all of the above in one call | the single steps |
//! | [`generate`] | from logits to tokens to text | tokenizers, conversations |
//! | [`embed`] | from hidden states to one vector per text | the encoder |
//! | `chat` | conversations: chat templates, and sessions that keep what they have read (feature `chat`) | terminals |
//! | `convert` | everything that writes GGUF files, from a file or a folder (feature `tokenizer`) | reading files, what blocks are |
//! | `hub` | models from the Hugging Face Hub, as paths (feature `hub`) | what the files say |
//! | [`guide`] | the commands, the library, how to write graph files and rewrite rules, as Markdown | code |

// The public API is documented in full; the inner modules may be briefer.
#![cfg_attr(not(feature = "internals"), warn(clippy::missing_errors_doc))]

#[cfg(feature = "chat")]
pub mod chat;
#[cfg(feature = "tokenizer")]
pub mod convert;
pub mod embed;
pub mod generate;
#[allow(rustdoc::broken_intra_doc_links)] // Shapes, such as [T, width], are not links.
pub mod guide;
#[cfg(feature = "hub")]
pub mod hub;
pub mod model;
#[cfg(feature = "tokenizer")]
pub mod text;

// The other modules are not API. With the feature `internals` the program, tests and benches see them; without it the
// compiler reports unused code.
#[cfg(feature = "internals")]
pub mod architecture;
#[cfg(feature = "internals")]
pub mod blocks;
#[cfg(feature = "internals")]
pub mod exec;
#[cfg(feature = "internals")]
// Without tokenizers and writing, some of what is read from GGUF files is unused.
#[cfg_attr(not(feature = "tokenizer"), allow(dead_code, unused_imports))]
pub mod files;
#[cfg(feature = "internals")]
pub mod graph;
#[cfg(feature = "internals")]
pub mod kernels;
#[cfg(feature = "internals")]
pub mod language;
#[cfg(feature = "internals")]
pub mod math;
#[cfg(feature = "internals")]
pub mod ops;
#[cfg(feature = "internals")]
pub mod plan;
#[cfg(feature = "internals")]
pub mod rewrite;
#[cfg(feature = "internals")]
pub mod transform;
#[cfg(feature = "internals")]
pub mod types;

#[cfg(not(feature = "internals"))]
mod architecture;
#[cfg(not(feature = "internals"))]
mod blocks;
#[cfg(not(feature = "internals"))]
mod exec;
#[cfg(not(feature = "internals"))]
#[allow(unused_imports)]
// Names that a module passes on to the program.
// Without tokenizers and writing, some of what is read from GGUF files is unused.
#[cfg_attr(not(feature = "tokenizer"), allow(dead_code))]
mod files;
#[cfg(not(feature = "internals"))]
#[allow(unused_imports)] // Names that a module passes on to the program.
mod graph;
#[cfg(not(feature = "internals"))]
#[allow(unused_imports)] // Names that a module passes on to the program.
mod kernels;
#[cfg(not(feature = "internals"))]
mod language;
#[cfg(not(feature = "internals"))]
mod math;
#[cfg(not(feature = "internals"))]
#[allow(unused_imports)] // Names that a module passes on to the program.
mod ops;
#[cfg(not(feature = "internals"))]
#[allow(unused_imports)] // Names that a module passes on to the program.
mod plan;
#[cfg(not(feature = "internals"))]
#[allow(unused_imports)] // Names that a module passes on to the program.
mod rewrite;
#[cfg(not(feature = "internals"))]
#[allow(unused_imports)] // Names that a module passes on to the program.
mod transform;
#[cfg(not(feature = "internals"))]
mod types;

pub use embed::{EmbedError, EmbedOptions, Embedder, Pooling};
pub use exec::beginnings::PrefixStatistics;
pub use exec::cancel::Cancel;
pub use exec::saved::SavedSessionError;
pub use exec::session::{Encoded, ForkError, Session, StepError};
pub use generate::engine::{AddError, Engine, EngineError, EngineOptions, Event, RequestId};
pub use generate::hook::{HookResult, LogitsHook};
pub use generate::options::GenerateOptions;
pub use generate::run::{Finish, GenerateError, Generation};
pub use generate::sampler::{SampleError, SamplerError, SamplerOptions};
pub use generate::score::{Score, ScoreError, ScoreOptions};
#[cfg(feature = "async")]
pub use generate::stream::{AsyncEngine, StreamError, StreamEvent, TokenStream};
pub use model::{EngineMemory, Model, ModelBytes, ModelError, Options, Warning};
pub use plan::{MemoryReport, StepReport};
#[cfg(feature = "tokenizer")]
pub use text::tokenizer::Markers;

/// The errors that the errors of opening and running a model contain.
pub mod error {
    pub use crate::architecture::weight_expression::WeightExpressionError;
    pub use crate::exec::arena::ArenaError;
    pub use crate::exec::refused::Refused;
    pub use crate::exec::weights::WeightLoadError;
    pub use crate::files::map::MapError;
    pub use crate::files::weight::WeightError;
    pub use crate::files::weight_file::TensorFileError;
    pub use crate::files::weight_files::WeightFilesError;
    pub use crate::graph::GraphError;
    pub use crate::kernels::simd::IsaError;
    pub use crate::language::diagnostics::{Position, Problem, Problems};
    pub use crate::plan::PlanError;
    pub use crate::rewrite::PassError;
    #[cfg(feature = "tokenizer")]
    pub use crate::text::template_files::TemplateFileError;
    #[cfg(feature = "tokenizer")]
    pub use crate::text::tokenizer::TokenizerError;
}

/// The examples of the README, compiled and run with the documentation tests.
#[cfg(all(doctest, feature = "tokenizer", feature = "demo"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
