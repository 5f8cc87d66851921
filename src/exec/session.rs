//! A session: one sequence of tokens, its arena and its place in it.

use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::arena::{Arena, ArenaError};
use super::batch::Batch;
use super::caches::kv_cache;
use super::cancel::Cancel;
pub use super::encoded::Encoded;
use super::executor::{Ended, Executor};
use super::frames::Frames;
use super::pages::Pages;
use super::saved::{SavedReader, SavedSessionError, Writer, first_saved};
pub use super::step_error::StepError;
use super::step_io::{check_known, floats, write_numbers};
use crate::kernels::call::Sequence;
use crate::kernels::finite::{NonFinite, non_finite};
use crate::kernels::float_environment::FloatEnvironment;
use crate::types::StepSize;

/// Which tokens' rows a prompt may take from earlier prompts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reuse {
    Nothing,
    Beginnings,
}

/// One sequence of tokens. Sessions of one model share its weights and threads and nothing else.
///
/// A bidirectional model, an encoder, keeps nothing from one step to the next: each call of [`Session::prefill`] or
/// [`Session::step`] is then a text of its own, which replaces the one before. [`Session::encode`] reads several at once.
pub struct Session {
    executor: Arc<Executor>,
    arena: Arena,
    /// Each thread's operands of the steps that have many.
    frames: Frames,
    /// Every token so far. This list and the ones below have the capacity that the plan states, so they never grow.
    tokens: Vec<u32>,
    /// The sequences of the last step: texts of an encoder, or the tokens that were read of this one.
    sequences: Vec<Sequence>,
    /// The pages, all of which belong to this sequence from the beginning.
    pages: Pages,
    /// Ids below this are known.
    vocabulary: usize,
    /// Tokens of the last step, 0 before the first.
    last_step: usize,
    /// For each cache of the plan the first position whose row exists; all rows from there to the last exist.
    held: Vec<usize>,
    /// Whether all rows were computed here and none was loaded from a file: only then are they shared with other
    /// sessions.
    own_rows: bool,
    /// Tokens of the last prompt whose rows were found in the prefix cache.
    reused: usize,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("position", &self.position())
            .field("context", &self.context())
            .finish_non_exhaustive()
    }
}

/// Called with the logits of each chunk.
type EachChunk<'a> = &'a mut dyn FnMut(&[f32]);

impl Session {
    /// A session without tokens. Allocates the whole arena and the lists beside it: nothing is allocated later.
    ///
    /// # Errors
    /// If the system has no memory for it.
    pub fn new(executor: Arc<Executor>, vocabulary: usize) -> Result<Session, ArenaError> {
        let plan = executor.plan();
        let arena = Arena::new(plan.regions().total())?;
        let mut pages = Pages::new(plan, 1, plan.regions().sequence_pages());
        // The arena has exactly as many pages as a full context takes.
        let _ = pages.own(plan, 0, 0, plan.options().context);
        let lists = plan.session_lists();
        let frames = Frames::new(lists.frames());
        let tokens = Vec::with_capacity(lists.tokens());
        let sequences = Vec::with_capacity(lists.sequences());
        let held = vec![0; lists.held()];
        Ok(Session {
            executor,
            arena,
            frames,
            tokens,
            sequences,
            pages,
            vocabulary,
            last_step: 0,
            held,
            own_rows: true,
            reused: 0,
        })
    }

    /// The tokens so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The number of tokens: the position of the next one. After [`Session::encode`], the number of tokens of all its
    /// texts.
    pub fn position(&self) -> usize {
        self.tokens.len()
    }

    /// The number of positions of the context.
    pub fn context(&self) -> usize {
        self.executor.plan().options().context
    }

    /// The most tokens of a step.
    pub fn chunk(&self) -> usize {
        self.executor.plan().step().tokens()
    }

    /// Process a prompt, or more of one, chunk by chunk. Returns the logits as [`Session::logits`] does.
    ///
    /// With a prefix cache (the option `prefix_cache`), a session's first prompt reads only what follows the longest
    /// prefix in the cache, and computes the same bits; afterwards other sessions find the prompt in the cache.
    ///
    /// # Errors
    /// If there are no tokens, one is not known, they don't fit into the context, or the logits are not finite.
    pub fn prefill(&mut self, tokens: &[u32]) -> Result<&[f32], StepError> {
        self.run(tokens, None, Reuse::Beginnings, None)
    }

    /// Like [`Session::prefill`]; stops soon after `cancel` is called, within a chunk too. The chunks done by then
    /// stay.
    ///
    /// # Errors
    /// The errors of [`Session::prefill`], and [`StepError::Cancelled`].
    pub fn prefill_until(&mut self, tokens: &[u32], cancel: &Cancel) -> Result<&[f32], StepError> {
        self.run(tokens, Some(cancel.flag()), Reuse::Beginnings, None)
    }

    /// Like [`Session::prefill`]; `each` is called with the logits of each chunk: [chunk, vocabulary] if the model was
    /// opened for all rows, otherwise the last row. All tokens are read, even if the prefix cache has some of them.
    ///
    /// # Errors
    /// The errors of [`Session::prefill`].
    pub fn prefill_each(
        &mut self,
        tokens: &[u32],
        each: &mut dyn FnMut(&[f32]),
    ) -> Result<(), StepError> {
        self.run(tokens, None, Reuse::Nothing, Some(each))
            .map(|_| ())
    }

    /// Like [`Session::prefill_each`]; stops as [`Session::prefill_until`] does.
    ///
    /// # Errors
    /// The errors of [`Session::prefill_until`].
    pub fn prefill_each_until(
        &mut self,
        tokens: &[u32],
        cancel: &Cancel,
        each: &mut dyn FnMut(&[f32]),
    ) -> Result<(), StepError> {
        self.run(tokens, Some(cancel.flag()), Reuse::Nothing, Some(each))
            .map(|_| ())
    }

    /// Process one token. Returns its logits: `[vocabulary]`.
    ///
    /// # Errors
    /// The errors of [`Session::prefill`].
    pub fn step(&mut self, token: u32) -> Result<&[f32], StepError> {
        self.run(&[token], None, Reuse::Nothing, None)
    }

    /// Process the last token again, for its logits: after a session is loaded or truncated, its logits are gone.
    ///
    /// # Errors
    /// The errors of [`Session::step`], and an error if no token was read.
    pub fn read_last_again(&mut self) -> Result<&[f32], StepError> {
        let Some(&token) = self.tokens.last() else {
            return Err(StepError::Empty);
        };
        self.truncate(self.position() - 1);
        self.step(token)
    }

    /// Read `texts` side by side in one step of a bidirectional model. The outputs for each text have the same bits as
    /// if [`Session::prefill`] read it alone. Together the texts may have at most as many tokens as a step, and each at
    /// most as many as the context has positions; none may be empty.
    ///
    /// # Errors
    /// If the model is not bidirectional, a text is empty or has unknown tokens, or they don't fit in one step.
    pub fn encode(&mut self, texts: &[&[u32]]) -> Result<Encoded<'_>, StepError> {
        let plan = self.executor.plan();
        let (context, chunk) = (plan.options().context, plan.step().tokens());
        if texts.is_empty() || texts.iter().any(|text| text.is_empty()) {
            return Err(StepError::Empty);
        }
        let refused = |reason| StepError::OneText {
            texts: texts.len(),
            reason,
        };
        if !plan.is_bidirectional() {
            return Err(refused("this model reads texts token by token"));
        }
        if texts.len() > 1 && plan.texts() == 1 {
            return Err(refused(
                "this model's graph mixes tokens outside of attention",
            ));
        }
        if let Some(text) = texts.iter().find(|text| text.len() > context) {
            return Err(StepError::ContextFull {
                position: 0,
                context,
                tokens: text.len(),
            });
        }
        let tokens = texts
            .iter()
            .map(|text| text.len())
            .fold(0, usize::saturating_add);
        if tokens > chunk {
            return Err(match texts.len() {
                1 => StepError::NotWhole { tokens, chunk },
                texts => StepError::TooManyTokens {
                    texts,
                    tokens,
                    chunk,
                },
            });
        }
        let vocabulary = self.vocabulary;
        let mut each = texts.iter();
        each.try_for_each(|text| check_known(text, vocabulary))?;
        self.truncate(0);
        for text in texts {
            let start = self.tokens.len();
            self.tokens.extend_from_slice(text);
            self.sequences.push(Sequence {
                start,
                end: self.tokens.len(),
                past: 0,
                table: 0,
            });
        }
        self.compute(None)?;
        self.check_finite(0)?;
        Ok(Encoded {
            rows: self.logits(),
            width: self.logits_width(),
            texts: &self.sequences,
        })
    }

    fn run(
        &mut self,
        tokens: &[u32],
        cancel: Option<&AtomicBool>,
        reuse: Reuse,
        mut each: Option<EachChunk<'_>>,
    ) -> Result<&[f32], StepError> {
        let executor = self.executor.clone();
        let plan = executor.plan();
        let whole = plan.is_bidirectional();
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
        check_known(tokens, self.vocabulary)?;
        let chunk = plan.step().tokens();
        if whole {
            if tokens.len() > chunk {
                return Err(StepError::NotWhole {
                    tokens: tokens.len(),
                    chunk,
                });
            }
            self.truncate(0);
        }
        let shares = reuse == Reuse::Beginnings && self.own_rows && !plan.gives_all_rows();
        let beginnings = executor.prefix_cache().filter(|_| shares);
        self.reused = match beginnings.filter(|_| position == 0) {
            None => 0,
            Some(known) => {
                let memory = (&mut self.arena, &self.pages);
                known.restore(plan, tokens, memory, &mut self.held)
            }
        };
        self.tokens.extend_from_slice(&tokens[..self.reused]);
        for part in tokens[self.reused..].chunks(chunk) {
            let past = self.position();
            if cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
                return Err(StepError::Cancelled { position: past });
            }
            // Even a cancelled step overwrites the rows that its own rows replace.
            for (held, cache) in self.held.iter_mut().zip(plan.caches()) {
                *held = (*held).max(cache.first_held(past + part.len()));
            }
            self.tokens.extend_from_slice(part);
            self.sequences.clear();
            self.sequences.push(Sequence::alone(part.len(), past));
            if self.compute(cancel)? == Ended::Cancelled {
                return Err(StepError::Cancelled { position: past });
            }
            // Rows that nobody reads may hold anything: so an error does not depend on how a prompt is cut into chunks.
            if each.is_some() || self.position() == position + tokens.len() {
                self.check_finite(past)?;
            }
            if let Some(known) = beginnings {
                let memory = (&self.arena, &self.pages);
                known.keep(plan, &self.tokens, memory, &self.held);
            }
            if let Some(each) = &mut each {
                each(self.logits());
            }
        }
        Ok(self.logits())
    }

    /// Runs a step over the tokens of `sequences`, the last ones. These tokens are forgotten again unless the step is
    /// done.
    fn compute(&mut self, cancel: Option<&AtomicBool>) -> Result<Ended, StepError> {
        let tokens = self.sequences.last().map_or(0, |last| last.end);
        let past = self.tokens.len() - tokens;
        self.write_inputs(past);
        let batch = Batch {
            sequences: &self.sequences,
            rows: self.rows_of(tokens),
            pages: &self.pages,
        };
        let ended = self
            .executor
            .run(&mut self.arena, &self.frames, batch, cancel);
        if ended == Ok(Ended::Done) {
            self.last_step = tokens;
        } else {
            self.truncate(past);
            self.last_step = 0;
        }
        Ok(ended?)
    }

    /// Fails if a row of an output of the last step, which began at position `past`, is not finite. The step's tokens are
    /// then forgotten, and there are no outputs.
    fn check_finite(&mut self, past: usize) -> Result<(), StepError> {
        let _environment = FloatEnvironment::set_default();
        let plan = self.executor.plan().step();
        for (number, slot) in plan.outputs().iter().enumerate() {
            let values = self.output(number);
            let Some(NonFinite { first, .. }) = non_finite(values) else {
                continue;
            };
            let rows = match *slot.shape(self.last_size()) {
                [rows, _, ..] if rows <= self.last_step => rows,
                _ => 1,
            };
            let width = values.len() / rows;
            let row = first / width;
            let numbers = values.get(row * width..(row + 1) * width);
            let found = numbers.and_then(non_finite);
            // An output with fewer rows than tokens has the rows of the last tokens.
            let token = self.last_step - rows + row;
            let text = self
                .sequences
                .partition_point(|sequence| sequence.end <= token);
            let begun = self.sequences.get(text).map_or(0, |text| text.start);
            let error = StepError::NotFinite {
                text,
                token: past + token - begun,
                count: found.map_or(1, |found| found.count),
                width,
                first: first % width,
            };
            self.truncate(past);
            self.last_step = 0;
            return Err(error);
        }
        Ok(())
    }

    /// How many tokens of the last prompt were not read, because the prefix cache had their rows.
    pub fn reused_tokens(&self) -> usize {
        self.reused
    }

    /// Rows of the outputs of a step of `tokens` tokens: the last token's, or all if the plan computes all.
    fn rows_of(&self, tokens: usize) -> usize {
        let plan = self.executor.plan();
        let wanted = if plan.gives_all_rows() { tokens } else { 1 };
        let (least, most) = plan.step().wanted_rows(tokens);
        wanted.clamp(least, most)
    }

    /// The size of the last step.
    fn last_size(&self) -> StepSize {
        StepSize {
            tokens: self.last_step,
            rows: self.rows_of(self.last_step),
            context: self.position(),
        }
    }

    /// Writes the ids and positions of the tokens from `past` on, which form a step, and asks for the outputs of the last
    /// token, or of all tokens.
    fn write_inputs(&mut self, past: usize) {
        let tokens = &self.tokens[past..];
        let plan = self.executor.plan().step();
        let wanted = tokens.len() - self.rows_of(tokens.len())..tokens.len();
        let arena = &mut self.arena;
        // Ids are below the vocabulary and positions below the context, which both fit.
        let ids = tokens.iter().map(|&token| token as usize);
        write_numbers(arena, plan.token_ids(), 0, ids);
        write_numbers(arena, plan.wanted(), 0, wanted);
        for sequence in &self.sequences {
            let positions = sequence.past..sequence.positions();
            write_numbers(arena, plan.positions(), sequence.start, positions);
        }
    }

    /// The first output of the last step: the last token's logits `[vocabulary]`, or the logits of all its tokens
    /// [tokens, vocabulary] if the model was opened for all rows. Empty before the first step.
    pub fn logits(&self) -> &[f32] {
        self.output(0)
    }

    /// Elements of a row of logits.
    pub fn logits_width(&self) -> usize {
        self.executor.plan().logits_width()
    }

    /// The last token's logits: `[vocabulary]`. Empty before the first step.
    pub fn logits_row(&self) -> &[f32] {
        let logits = self.logits();
        &logits[logits.len().saturating_sub(self.logits_width())..]
    }

    /// An output of the last step by its place in the graph file; empty before the first step.
    pub fn output(&self, number: usize) -> &[f32] {
        let plan = self.executor.plan().step();
        let Some(slot) = plan.outputs().get(number).filter(|_| self.last_step > 0) else {
            return &[];
        };
        let len = slot.shape(self.last_size()).iter().product();
        floats(&self.arena, slot, len)
    }

    /// Forget all tokens from `position` on, and return the next position: `position`, or the current one if the
    /// session has no more tokens than that.
    ///
    /// Where rows are gone that the next token's windows reach back to, no token is kept and the next position is 0:
    /// the caller reads the tokens again. A layer whose queries see a window keeps the window's rows, and the rows of
    /// at least as many further tokens as a prompt step has: the last that many tokens can always be removed, except
    /// for tokens that came with a saved session and precede its last one.
    pub fn truncate(&mut self, position: usize) -> usize {
        if position < self.position() {
            let caches = self.executor.plan().caches();
            let mut held = caches.iter().zip(&self.held);
            let there = held.all(|(cache, &first)| first <= cache.first_needed(position));
            self.sequences.clear();
            self.tokens.truncate(if there { position } else { 0 });
            if self.tokens.is_empty() {
                self.held.fill(0);
                self.own_rows = true;
            }
            self.last_step = 0;
        }
        self.position()
    }

    /// A second session that has read the same tokens and goes its own way from here.
    ///
    /// # Errors
    /// If the system has no memory for it.
    pub fn fork(&self) -> Result<Session, ArenaError> {
        let mut fork = Session::new(self.executor.clone(), self.vocabulary)?;
        fork.arena.copy_range(0, &self.arena, 0..self.arena.bytes());
        fork.tokens.extend_from_slice(&self.tokens);
        fork.sequences.extend_from_slice(&self.sequences);
        fork.last_step = self.last_step;
        fork.held.copy_from_slice(&self.held);
        fork.own_rows = self.own_rows;
        Ok(fork)
    }

    /// Write the tokens, and those rows of the caches that are needed to continue from here or to read the last token
    /// again. The bytes are a function of the model and the tokens alone.
    ///
    /// # Errors
    /// If the bytes can't be written, the model is an encoder, or a row is gone; in the last two cases nothing is
    /// written. In a model with windows the missing row may be one that [`Session::truncate`] does not need.
    pub fn save(&self, to: &mut impl Write) -> Result<(), SavedSessionError> {
        let plan = self.executor.plan();
        for (cache, &held) in plan.caches().iter().zip(&self.held) {
            let position = first_saved(cache, self.position());
            if position < held {
                return Err(SavedSessionError::RowGone { position });
            }
        }
        let identity = self.executor.identity()?;
        let mut writer = Writer::new(to, identity, plan, &self.tokens)?;
        for cache in plan.caches() {
            // SAFETY: the session holds its arena, and no step runs while `self` is borrowed.
            let rows = unsafe { kv_cache(plan, cache, &self.arena, &self.pages) }.of(0);
            for position in first_saved(cache, self.position())..self.position() {
                writer.row(&rows, position)?;
            }
        }
        writer.finish()
    }

    /// Load a session that [`Session::save`] wrote. Its rows are not checked; they may be NaN. Allocates a session's
    /// memory and one row more, whatever the bytes claim.
    ///
    /// # Errors
    /// If the bytes can't be read, are damaged, or belong to another model or a longer context.
    pub fn load(
        executor: Arc<Executor>,
        vocabulary: usize,
        from: &mut impl Read,
    ) -> Result<Session, SavedSessionError> {
        let plan = executor.plan();
        let mut reader = SavedReader::new(from, executor.identity()?, plan)?;
        let mut session = Session::new(executor.clone(), vocabulary)?;
        reader.tokens(vocabulary, &mut session.tokens)?;
        let position = session.position();
        for (cache, held) in plan.caches().iter().zip(&mut session.held) {
            *held = first_saved(cache, position);
            // SAFETY: this function alone has the session.
            let rows = unsafe { kv_cache(plan, cache, &session.arena, &session.pages) }.of(0);
            for position in *held..position {
                reader.row(&rows, position)?;
            }
        }
        reader.finish()?;
        session.own_rows = false;
        Ok(session)
    }
}

#[cfg(test)]
mod tests {
    use super::{Sequence, Session};
    use crate::{Model, Options};

    /// Bytes of the lists beside the arena.
    fn list_bytes(session: &Session) -> usize {
        session.tokens.capacity() * size_of::<u32>()
            + session.sequences.capacity() * size_of::<Sequence>()
            + session.pages.bytes()
            + session.held.capacity() * size_of::<usize>()
            + session.frames.bytes()
    }

    #[test]
    fn the_lists_take_what_the_plan_states_and_never_grow() {
        // A context larger than a step, a step larger than the context, and caches with windows.
        for (name, chunk) in [("llama", 16), ("bert", 600), ("mistral", 16)] {
            let folder = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
            let options = Options {
                context: Some(100),
                chunk: Some(chunk),
                ..Options::default()
            };
            let model = Model::open(folder.as_str(), &options).unwrap();
            let mut session = model.session().unwrap();
            let planned = model.plan().session_lists;
            assert_eq!(list_bytes(&session), planned, "{name}");
            if model.is_bidirectional() {
                let texts: Vec<[u32; 1]> = (0..chunk as u32).map(|token| [token % 200]).collect();
                let texts: Vec<&[u32]> = texts.iter().map(|text| &text[..]).collect();
                session.encode(&texts).unwrap();
            } else {
                let tokens: Vec<u32> = (0..100).collect();
                session.prefill(&tokens).unwrap();
            }
            assert_eq!(list_bytes(&session), planned, "{name}");
        }
    }
}
