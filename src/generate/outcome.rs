//! The outcome of a generation: what was generated, what ended it, or why there is none.

use std::error::Error;
use std::time::Duration;

use super::sampler::{SampleError, SamplerError};
use super::stop::EmptyStopString;
use crate::exec::session::StepError;

/// What ended a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finish {
    /// The requested number of tokens was generated.
    Length,
    /// The model chose a token that ends texts.
    EndOfText,
    /// A stop string was found; the number is its index in the list.
    Stop(usize),
    /// The context is full.
    ContextFull,
    /// The caller cancelled.
    Cancelled,
    /// The logits hook ended the text.
    Hook,
}

/// What was generated.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Generation {
    /// What ended it.
    pub finish: Finish,
    /// Number of tokens of the prompt.
    pub prompt_tokens: usize,
    /// How many of the prompt's tokens were not read because another sequence of the engine had read the same prefix.
    pub reused_tokens: usize,
    /// The chosen tokens, including a token that ended the text.
    pub tokens: Vec<u32>,
    /// Time for the prompt.
    pub prompt_time: Duration,
    /// Time for the tokens after the first.
    pub generation_time: Duration,
}

impl Generation {
    /// Nothing is generated yet after a prompt of `prompt_tokens` tokens, and at most `most` tokens will be.
    pub(super) fn begin(prompt_tokens: usize, most: usize) -> Generation {
        Generation {
            finish: Finish::Length,
            prompt_tokens,
            reused_tokens: 0,
            tokens: Vec::with_capacity(most),
            prompt_time: Duration::ZERO,
            generation_time: Duration::ZERO,
        }
    }
}

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// The prompt can't be read.
    #[error(transparent)]
    Step(#[from] StepError),
    /// A sampler's option is out of its range.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// No token can be chosen from the logits.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The logits hook failed.
    #[error("the logits hook: {0}")]
    Hook(#[source] Box<dyn Error + Send + Sync>),
    /// A stop string is empty.
    #[error(transparent)]
    Stop(#[from] EmptyStopString),
    /// The model reads only whole texts and can't continue a text.
    #[error(
        "every token of this model attends to all others, as in encoders: it cannot continue a text"
    )]
    Bidirectional,
    /// The model returns hidden states, so there are no logits to choose tokens from.
    #[error("the model was opened for hidden states (Output::Hidden), so it cannot choose tokens")]
    NoLogits,
    /// The prompt is empty, and the model has no token that begins a text.
    #[error("the prompt is empty, and this model has no token that begins a text")]
    EmptyPrompt,
    /// There is no tokenizer, or it failed.
    #[cfg(feature = "tokenizer")]
    #[error(transparent)]
    Tokenizer(#[from] crate::text::tokenizer::TokenizerError),
}
