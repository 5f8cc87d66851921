//! The options for embeddings.

use super::Pooling;

/// How hidden states become embeddings, if the caller wants something different from what the model's files say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EmbedOptions {
    /// The pooling; `None` means what the files say; if they say nothing, the last token of a causal model, and the mean of an
    /// encoder.
    pub pooling: Option<Pooling>,
    /// Whether embeddings are normalised to length 1; `None` means what the files say, or yes if they say nothing.
    pub normalize: Option<bool>,
}

impl EmbedOptions {
    /// The choices of the model's files.
    pub fn new() -> EmbedOptions {
        EmbedOptions::default()
    }

    /// [`EmbedOptions::pooling`].
    pub fn pooling(mut self, pooling: impl Into<Option<Pooling>>) -> EmbedOptions {
        self.pooling = pooling.into();
        self
    }

    /// [`EmbedOptions::normalize`].
    pub fn normalize(mut self, normalize: impl Into<Option<bool>>) -> EmbedOptions {
        self.normalize = normalize.into();
        self
    }
}
