//! Embed: turning hidden states into one vector for each text.
//!
//! What belongs here: what a model's files say about pooling, normalising and the layers between them
//! (sentence-transformers' `modules.json`, GGUF's `pooling_type`), the arithmetic of these, and the [`Embedder`],
//! which pools what steps compute for texts. What does not belong here: the model itself (a graph file), which output it
//! returns (`model/`), and reading the texts of several threads in one step (`exec/`).
//!
//! All of it works token by token and text by text in a fixed order, so that an embedding's bits do not depend on the
//! other texts of the step.

mod dense;
mod options;
mod pooling;
mod recipe;
mod run;

use std::path::PathBuf;

pub use options::EmbedOptions;
pub use pooling::{Pooling, normalize};
pub use run::Embedder;

use crate::exec::arena::ArenaError;
use crate::exec::session::StepError;
use crate::files::weight_file::TensorFileError;
use crate::model::ModelError;
#[cfg(feature = "tokenizer")]
pub(crate) use recipe::pooling_type;

/// Why there is no embedding.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// The model's output is not a hidden state.
    #[error(
        "the model's output is the logits of {vocabulary} tokens, and embeddings are made of hidden states: open the model \
         with Options::output(Output::Hidden)"
    )]
    NoHiddenState {
        /// Number of columns of the output.
        vocabulary: usize,
    },
    /// The model's output leaves out tokens that the pooling needs.
    #[error(
        "the pooling needs the hidden states of all tokens, but this model returns only the last token's: open it for \
         all rows (Options::logits)"
    )]
    LastRowOnly,
    /// The files ask for something that is not supported.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file that asks for it.
        path: PathBuf,
        /// What the file asks for.
        problem: String,
    },
    /// The GGUF file says that its tokens are not pooled to one vector.
    #[error(
        "the file's pooling_type is {pooling_type}, which does not produce one embedding per text: choose mean, cls, last or max"
    )]
    NotPooled {
        /// The pooling's number in GGUF.
        pooling_type: i64,
    },
    /// A file can't be read.
    #[error(transparent)]
    Read(#[from] ModelError),
    /// A weight of a dense layer can't be read.
    #[error(transparent)]
    Weights(#[from] TensorFileError),
    /// The system has no memory for a session.
    #[error(transparent)]
    Memory(#[from] ArenaError),
    /// A text can't be read.
    #[error("text {text} (from 0): {error}")]
    Text {
        /// The text's place in the list.
        text: usize,
        /// What is wrong.
        error: StepError,
    },
    /// An embedding is not finite, though the hidden states were.
    #[error(
        "text {text} (from 0): its embedding is not finite: {count} of {width} numbers are NaN or infinite, the first is \
         number {first}; the model's dense layers are damaged, or its hidden states are too large to be added up"
    )]
    NotFinite {
        /// The text's place in the list.
        text: usize,
        /// How many numbers are not finite.
        count: usize,
        /// How many numbers the embedding has.
        width: usize,
        /// The index of the first number that is not finite.
        first: usize,
    },
    /// Text can't be read without a tokenizer.
    #[error("the model has no tokenizer that can be read, so it accepts only token ids")]
    NoTokenizer,
    /// The tokenizer failed.
    #[cfg(feature = "tokenizer")]
    #[error(transparent)]
    Tokenizer(#[from] crate::text::tokenizer::TokenizerError),
}
