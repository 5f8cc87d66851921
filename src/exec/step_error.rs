//! Why a step does not run.

use super::batch::BatchError;

/// Why a step did not run. The session stands where it stood before the call, unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// The tokens would not fit after those already there.
    #[error(
        "the context is full: {position} of {context} positions are taken, {tokens} more do not fit"
    )]
    ContextFull {
        /// Positions taken.
        position: usize,
        /// Positions there are.
        context: usize,
        /// Tokens asked for.
        tokens: usize,
    },
    /// An id that the model does not have.
    #[error("token {token} is not in the vocabulary of {vocabulary}")]
    UnknownToken {
        /// The id.
        token: u32,
        /// Ids the model has.
        vocabulary: usize,
    },
    /// A text that must be read in one step has more tokens than a step.
    #[error(
        "every token of this model attends to all others, so a text must fit in one step: the text has {tokens} tokens, and a step has at most {chunk} (the option chunk)"
    )]
    NotWhole {
        /// Tokens of the text.
        tokens: usize,
        /// The most tokens of a step.
        chunk: usize,
    },
    /// Texts that were to be read in one step have more tokens together than a step.
    #[error(
        "{texts} texts have {tokens} tokens together, a step at most {chunk} (the option chunk)"
    )]
    TooManyTokens {
        /// Texts given.
        texts: usize,
        /// Tokens of all of them.
        tokens: usize,
        /// The most tokens of a step.
        chunk: usize,
    },
    /// The model can't read several texts in one step.
    #[error("{texts} texts were given, but {reason}, so that a step reads one text")]
    OneText {
        /// Texts given.
        texts: usize,
        /// What stands against it.
        reason: &'static str,
    },
    /// The sequence was closed.
    #[error("the sequence is gone")]
    Gone,
    /// No page is free though one was promised.
    #[error("no page is free, which is a defect: pages are promised before a sequence begins")]
    NoPage,
    /// No token was given.
    #[error("no token was given")]
    Empty,
    /// The plan is not for such a step.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// What the model computed is not finite, and so means nothing. Whole chunks that were done before stay.
    #[error(
        "the model's output for token {token} (from 0) is not finite: {count} of {width} numbers are NaN or infinite, the \
         first is number {first}; the weights are damaged, or the graph does not fit them (`smallmind check --trace` \
         shows where it begins)"
    )]
    NotFinite {
        /// The text's place among those of the step; 0 where it reads one.
        text: usize,
        /// The token's place in its text or sequence.
        token: usize,
        /// Numbers of the token's row that are not finite.
        count: usize,
        /// Numbers of a row: of logits, as many as the vocabulary.
        width: usize,
        /// The place of the first in the row: of logits, the token id.
        first: usize,
    },
    /// The caller cancelled. Whole chunks that were done before stay.
    #[error("cancelled after {position} positions")]
    Cancelled {
        /// Positions taken now.
        position: usize,
    },
}
