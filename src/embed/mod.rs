//! Embed: from hidden states to one vector a text.
//!
//! What belongs here: what a model's files say about pooling, normalising and the layers between
//! (sentence-transformers' `modules.json`, GGUF's `pooling_type`), that arithmetic, and the [`Embedder`], which fills
//! steps with texts. What does not: the encoder itself (a graph file), and reading several texts in one step (`exec/`).
//!
//! All of it works token by token and text by text in a fixed order, so that an embedding's bits do not depend on the
//! texts beside it.

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
        "this model gives no embeddings: its output are the logits of {vocabulary} tokens, not a hidden state; a graph \
         file whose output is one would do (--graph)"
    )]
    NoHiddenState {
        /// Columns of the output.
        vocabulary: usize,
    },
    /// The model's output leaves tokens out that the pooling needs.
    #[error(
        "the pooling needs the hidden states of all tokens, and this model gives those of the last alone: open it for \
         all rows (Options::logits)"
    )]
    LastRowOnly,
    /// The files ask for something that is not done here.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file that asks.
        path: PathBuf,
        /// What it asks for.
        problem: String,
    },
    /// The GGUF file says that its tokens are not pooled to one vector.
    #[error(
        "the file's pooling_type is {pooling_type}, which gives no embedding of a text: name one of mean, cls, last, max"
    )]
    NotPooled {
        /// GGUF's number.
        pooling_type: i64,
    },
    /// A file can't be read.
    #[error(transparent)]
    Read(#[from] ModelError),
    /// A weight of a dense layer can't be read.
    #[error(transparent)]
    Weights(#[from] TensorFileError),
    /// The memory of a session can't be had.
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
         number {first}; the model's dense layers are damaged, or its hidden states too large to be added up"
    )]
    NotFinite {
        /// The text's place in the list.
        text: usize,
        /// Numbers that are not finite.
        count: usize,
        /// Numbers of the embedding.
        width: usize,
        /// The place of the first that is not finite.
        first: usize,
    },
    /// Text can't be read without a tokenizer.
    #[error("the model has no tokenizer that can be read, so that it takes token ids alone")]
    NoTokenizer,
    /// The tokenizer failed.
    #[cfg(feature = "tokenizer")]
    #[error(transparent)]
    Tokenizer(#[from] crate::text::tokenizer::TokenizerError),
}
