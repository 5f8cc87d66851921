//! Errors of steps.

use super::batch::BatchError;

/// Why a step did not run. The session is in the state before the call, unless the variant says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// The tokens do not fit after the ones that are already there.
    #[error(
        "the context is full: {position} of {context} positions are taken, and {tokens} more do not fit"
    )]
    ContextFull {
        /// Positions taken.
        position: usize,
        /// Positions that the context has.
        context: usize,
        /// Tokens that were to be added.
        tokens: usize,
    },
    /// An id is not in the model's vocabulary.
    #[error("token {token} is not in the vocabulary of {vocabulary}")]
    UnknownToken {
        /// The id.
        token: u32,
        /// Ids that the model has.
        vocabulary: usize,
    },
    /// A text that must be read in one step has more tokens than a step can have.
    #[error(
        "every token of this model attends to all others, so a text must fit in one step: the text has {tokens} tokens, and a step has at most {chunk} (the option chunk)"
    )]
    NotWhole {
        /// Tokens of the text.
        tokens: usize,
        /// The most tokens of a step.
        chunk: usize,
    },
    /// Texts that were to be read in one step have more tokens together than a step can have.
    #[error(
        "{texts} texts have {tokens} tokens together, but a step has at most {chunk} (the option chunk)"
    )]
    TooManyTokens {
        /// Texts given.
        texts: usize,
        /// Tokens of all texts together.
        tokens: usize,
        /// The most tokens of a step.
        chunk: usize,
    },
    /// The model can't read several texts in one step.
    #[error("{texts} texts were given, but {reason}, so a step reads only one text")]
    OneText {
        /// Texts given.
        texts: usize,
        /// The reason why a step can't read several.
        reason: &'static str,
    },
    /// The sequence was closed.
    #[error("the sequence is gone")]
    Gone,
    /// The engine of the session was dropped.
    #[error("the engine of this session is gone")]
    EngineGone,
    /// No page is free, although one was promised.
    #[error("no page is free, which is a defect: pages are promised before a sequence begins")]
    NoPage,
    /// No token was given.
    #[error("no token was given")]
    Empty,
    /// The plan does not support such a step.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The model's output is not finite, and so is meaningless. Whole chunks that were done before stay.
    #[error(
        "the model's output for token {token} (from 0) is not finite: {count} of {width} numbers are NaN or infinite, the \
         first is number {first}; the weights are damaged, or the graph does not fit them (`smallmind check --trace` \
         shows where it begins)"
    )]
    NotFinite {
        /// The text's place among the texts of the step; 0 where the step reads one sequence.
        text: usize,
        /// The token's place in its text or sequence.
        token: usize,
        /// Numbers of the token's row that are not finite.
        count: usize,
        /// Numbers in a row: for logits, the size of the vocabulary.
        width: usize,
        /// The place of the first such number in the row: for logits, a token id.
        first: usize,
    },
    /// The caller cancelled. Whole chunks that were done before stay.
    #[error("cancelled after {position} positions")]
    Cancelled {
        /// Positions taken now.
        position: usize,
    },
}
