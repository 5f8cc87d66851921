//! What a caller may choose about an engine, and why there is none, or why it does not take a request.

use std::fmt;
use std::time::Duration;

use super::outcome::GenerateError;
use crate::exec::arena::ArenaError;
use crate::exec::batcher::Refused;
use crate::model::TooSmall;

/// What a caller may choose about an engine. Each method changes one choice.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineOptions {
    /// The most bytes that the process takes: weights, tokenizer, activations, and pages of keys and values, which get what
    /// the others leave. With `None` there are pages for all sequences with a full context each.
    pub memory: Option<usize>,
    /// Tokens that a request without `max_tokens` may generate: pages are reserved for so many.
    pub default_tokens: usize,
    /// The most requests that wait; one more is refused.
    pub queue: usize,
    /// The most tokens of a step; `None` is as many as the model was opened for.
    pub room: Option<usize>,
    /// How long somebody's text may wait for its next token because of somebody else's prompt, about: prompts are read in
    /// parts that take no longer, by what steps took so far.
    pub gap: Duration,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions {
            memory: None,
            default_tokens: 1024,
            queue: 256,
            room: None,
            gap: Duration::from_millis(100),
        }
    }
}

impl EngineOptions {
    /// Pages for full contexts, 1,024 tokens for a request that states no number, 256 waiting requests, a gap of 100 ms.
    pub fn new() -> EngineOptions {
        EngineOptions::default()
    }

    /// The most bytes that the process takes.
    pub fn memory(mut self, bytes: impl Into<Option<usize>>) -> EngineOptions {
        self.memory = bytes.into();
        self
    }

    /// Tokens that a request without `max_tokens` may generate.
    pub fn default_tokens(mut self, tokens: usize) -> EngineOptions {
        self.default_tokens = tokens;
        self
    }

    /// The most requests that wait.
    pub fn queue(mut self, requests: usize) -> EngineOptions {
        self.queue = requests;
        self
    }

    /// How long a text may wait for its next token because of a prompt.
    pub fn gap(mut self, gap: Duration) -> EngineOptions {
        self.gap = gap;
        self
    }

    /// The most tokens of a step.
    pub fn room(mut self, tokens: impl Into<Option<usize>>) -> EngineOptions {
        self.room = tokens.into();
        self
    }
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The model reads texts whole and can't continue a text.
    #[error(
        "every token of this model attends to all others, as in encoders: it cannot continue a text"
    )]
    Bidirectional,
    /// The budget does not even hold one sequence of the fewest positions.
    #[error(transparent)]
    Budget(#[from] TooSmall),
    /// There is no memory.
    #[error(transparent)]
    Arena(#[from] ArenaError),
}

/// A request of an engine. Ids are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub(super) u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a request is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// As many requests wait as may.
    #[error("{waiting} requests are waiting, and no more may")]
    QueueFull {
        /// Requests that wait.
        waiting: usize,
    },
    /// The request to fork does not run.
    #[error("request {request} does not run, so that nothing can go on from it")]
    Gone {
        /// The request.
        request: RequestId,
    },
    /// The request can't ever run.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The prompt or an option is wrong.
    #[error(transparent)]
    Generate(#[from] GenerateError),
}
