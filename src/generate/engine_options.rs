//! The options of an engine, and the reasons why there is none or why it refuses a request.

use std::fmt;
use std::time::Duration;

use super::outcome::GenerateError;
use crate::exec::arena::ArenaError;
use crate::exec::refused::Refused;
use crate::model::TooSmall;

/// The options of an engine. Each method changes one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineOptions {
    /// The most bytes of memory that the process uses: weights, tokenizer, activations, and pages of keys and values,
    /// which get what the others leave. With `None` there are enough pages for all sequences to fill their contexts.
    pub memory: Option<usize>,
    /// Tokens that a request without `max_tokens` may generate: pages are reserved for this many.
    pub default_tokens: usize,
    /// The most waiting requests; one more is refused.
    pub queue: usize,
    /// The most tokens of a step; `None` means as many as the model was opened for.
    pub room: Option<usize>,
    /// Approximately the longest time that a running text waits for its next token because of another request's prompt:
    /// prompts are read in parts that take no longer, judging by the time of earlier steps.
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
    /// Pages for full contexts, 1,024 tokens for a request without a limit of its own, 256 waiting requests, a gap of
    /// 100 ms.
    pub fn new() -> EngineOptions {
        EngineOptions::default()
    }

    /// The most bytes of memory that the process uses.
    pub fn memory(mut self, bytes: impl Into<Option<usize>>) -> EngineOptions {
        self.memory = bytes.into();
        self
    }

    /// Tokens that a request without `max_tokens` may generate.
    pub fn default_tokens(mut self, tokens: usize) -> EngineOptions {
        self.default_tokens = tokens;
        self
    }

    /// The most waiting requests.
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
    /// The model reads only whole texts and can't continue a text.
    #[error(
        "every token of this model attends to all others, as in encoders: it cannot continue a text"
    )]
    Bidirectional,
    /// The budget is too small for one sequence of the fewest positions.
    #[error(transparent)]
    Budget(#[from] TooSmall),
    /// The system has no memory for it.
    #[error(transparent)]
    Arena(#[from] ArenaError),
}

/// A request of an engine. Ids are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub(super) u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// The most requests are waiting already.
    #[error("the queue is full: {waiting} requests are waiting")]
    QueueFull {
        /// Requests that wait.
        waiting: usize,
    },
    /// The request to fork does not run.
    #[error("request {request} does not run, so it can't be forked")]
    Gone {
        /// The request.
        request: RequestId,
    },
    /// The request can never run.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The prompt or an option is wrong.
    #[error(transparent)]
    Generate(#[from] GenerateError),
}
