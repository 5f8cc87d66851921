//! What a caller may choose of embeddings.

use super::Pooling;

/// How hidden states become embeddings, where the caller wants it otherwise than the model's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EmbedOptions {
    /// The pooling; what the files say where `None`, or the mean if they say nothing.
    pub pooling: Option<Pooling>,
    /// Whether embeddings are brought to length 1; as the files say where `None`, or yes if they say nothing.
    pub normalize: Option<bool>,
}

impl EmbedOptions {
    /// As the model's files say.
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
