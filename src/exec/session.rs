//! A session: one sequence of tokens, its arena and its place in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::arena::{Arena, ArenaError};
use super::executor::Executor;
use crate::plan::{Slot, StepPlan};

/// Why a step did not run. The session stands where it stood before the call, unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The tokens would not fit behind those already there.
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
        "the model sees all tokens from each, so that a text must be read in one step: it has {tokens} tokens, a step at most {chunk} (the option chunk)"
    )]
    NotWhole {
        /// Tokens of the text.
        tokens: usize,
        /// The most tokens of a step.
        chunk: usize,
    },
    /// No token was given.
    #[error("no token was given")]
    Empty,
    /// The caller cancelled. Whole chunks that were done before stay.
    #[error("cancelled after {position} positions")]
    Cancelled {
        /// Positions taken now.
        position: usize,
    },
}

/// One sequence of tokens. Sessions of one model share its weights and threads and nothing else.
///
/// A bidirectional model, an encoder, keeps nothing from one step to the next: each call of [`Session::prefill`] or
/// [`Session::step`] is then a text of its own, which replaces the one before.
pub struct Session {
    executor: Arc<Executor>,
    arena: Arena,
    /// Every token so far; its capacity is the context's, so that it never grows.
    tokens: Vec<u32>,
    /// Ids below this are known.
    vocabulary: usize,
    /// Tokens of the last step, 0 before the first.
    last_step: usize,
}

impl Session {
    /// A session without tokens. Takes the whole arena: nothing is allocated later.
    pub fn new(executor: Arc<Executor>, vocabulary: usize) -> Result<Session, ArenaError> {
        let plan = executor.plan();
        let arena = Arena::new(plan.regions.total())?;
        let tokens = Vec::with_capacity(plan.options.context);
        Ok(Session {
            executor,
            arena,
            tokens,
            vocabulary,
            last_step: 0,
        })
    }

    /// The tokens so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// How many tokens there are: the position of the next.
    pub fn position(&self) -> usize {
        self.tokens.len()
    }

    /// Positions there are.
    pub fn context(&self) -> usize {
        self.executor.plan().options.context
    }

    /// Process a prompt, or more of one, chunk by chunk. Gives the logits as [`Session::logits`] does.
    pub fn prefill(&mut self, tokens: &[u32]) -> Result<&[f32], StepError> {
        self.run(tokens, None, &mut |_| {})
    }

    /// As [`Session::prefill`]; stops soon after `cancel` is set, within a chunk too. The chunks done by then stay.
    pub fn prefill_until(
        &mut self,
        tokens: &[u32],
        cancel: &AtomicBool,
    ) -> Result<&[f32], StepError> {
        self.run(tokens, Some(cancel), &mut |_| {})
    }

    /// As [`Session::prefill`]; `each` is given the logits of each chunk: [chunk, vocabulary] if the model was opened
    /// for all rows, else the last row.
    pub fn prefill_each(
        &mut self,
        tokens: &[u32],
        each: &mut dyn FnMut(&[f32]),
    ) -> Result<(), StepError> {
        self.run(tokens, None, each).map(|_| ())
    }

    /// As [`Session::prefill_each`]; stops as [`Session::prefill_until`] does.
    pub fn prefill_each_until(
        &mut self,
        tokens: &[u32],
        cancel: &AtomicBool,
        each: &mut dyn FnMut(&[f32]),
    ) -> Result<(), StepError> {
        self.run(tokens, Some(cancel), each).map(|_| ())
    }

    /// Process one token. Gives its logits: `[vocabulary]`.
    pub fn step(&mut self, token: u32) -> Result<&[f32], StepError> {
        self.run(&[token], None, &mut |_| {})
    }

    fn run(
        &mut self,
        tokens: &[u32],
        cancel: Option<&AtomicBool>,
        each: &mut dyn FnMut(&[f32]),
    ) -> Result<&[f32], StepError> {
        let whole = self.executor.plan().bidirectional;
        let position = if whole { 0 } else { self.position() };
        let context = self.context();
        if tokens.is_empty() {
            return Err(StepError::Empty);
        }
        if tokens.len() > context - position {
            return Err(StepError::ContextFull {
                position,
                context,
                tokens: tokens.len(),
            });
        }
        if let Some(&token) = tokens.iter().find(|&&t| t as usize >= self.vocabulary) {
            return Err(StepError::UnknownToken {
                token,
                vocabulary: self.vocabulary,
            });
        }
        let chunk = self.executor.plan().prefill.tokens;
        if whole {
            if tokens.len() > chunk {
                return Err(StepError::NotWhole {
                    tokens: tokens.len(),
                    chunk,
                });
            }
            self.truncate(0);
        }
        for part in tokens.chunks(chunk) {
            let past = self.position();
            if cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
                return Err(StepError::Cancelled { position: past });
            }
            self.write_inputs(part, past);
            if !self.executor.run(&mut self.arena, part.len(), past, cancel) {
                self.last_step = 0;
                return Err(StepError::Cancelled { position: past });
            }
            self.tokens.extend_from_slice(part);
            self.last_step = part.len();
            each(self.logits());
        }
        Ok(self.logits())
    }

    fn write_inputs(&mut self, tokens: &[u32], past: usize) {
        let plan = self.executor.plan().for_tokens(tokens.len());
        let write = |slot: &Option<Slot>, value: &dyn Fn(usize) -> i32| {
            if let Some(slot) = slot {
                // SAFETY: the session holds its arena exclusively, and no step runs.
                let cells = unsafe { self.arena.cells::<i32>(slot.offset, tokens.len()) };
                cells
                    .iter()
                    .enumerate()
                    .for_each(|(i, cell)| cell.set(value(i)));
            }
        };
        // Ids are below the vocabulary and positions below the context, which both fit.
        write(&plan.token_ids, &|i| tokens[i] as i32);
        write(&plan.positions, &|i| (past + i) as i32);
    }

    /// The first output of the last step: the last token's logits `[vocabulary]`, or the logits of all its tokens
    /// [tokens, vocabulary] if the model was opened for all rows. Empty before the first step.
    pub fn logits(&self) -> &[f32] {
        self.output(0)
    }

    /// Elements of a row of logits.
    pub fn logits_width(&self) -> usize {
        let outputs = &self.executor.plan().decode.outputs;
        outputs
            .first()
            .and_then(|slot| slot.ty.width())
            .map_or(0, |width| width.resolve(1, 1))
    }

    /// The last token's logits: `[vocabulary]`. Empty before the first step.
    pub fn logits_row(&self) -> &[f32] {
        let logits = self.logits();
        &logits[logits.len().saturating_sub(self.logits_width())..]
    }

    /// An output of the last step by its place in the graph file; empty before the first step.
    pub fn output(&self, number: usize) -> &[f32] {
        let plan: &StepPlan = self.executor.plan().for_tokens(self.last_step);
        let Some(slot) = plan.outputs.get(number).filter(|_| self.last_step > 0) else {
            return &[];
        };
        let len = slot.shape(self.last_step, self.position()).iter().product();
        // SAFETY: the session holds its arena, and no step runs while `self` is borrowed.
        let cells = unsafe { self.arena.cells::<f32>(slot.offset, len) };
        // SAFETY: a `Cell<f32>` has the layout of an f32, and nothing writes to the arena while `self` is borrowed.
        unsafe { std::slice::from_raw_parts(cells.as_ptr().cast::<f32>(), cells.len()) }
    }

    /// Forget all tokens from `position` on. Does nothing if there are no more than that.
    pub fn truncate(&mut self, position: usize) {
        if position < self.position() {
            self.tokens.truncate(position);
            self.last_step = 0;
        }
    }

    /// A second session that has read the same tokens and goes its own way from here.
    pub fn fork(&self) -> Result<Session, ArenaError> {
        let mut fork = Session::new(self.executor.clone(), self.vocabulary)?;
        fork.arena.copy_range(0, &self.arena, 0..self.arena.bytes());
        fork.tokens.extend_from_slice(&self.tokens);
        fork.last_step = self.last_step;
        Ok(fork)
    }
}
