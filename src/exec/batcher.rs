//! Many sequences of one executor, in one arena: each step reads tokens of as many sequences as possible.
//!
//! Sequences come and go. The caller that opens one says how many positions it may use, and the pages for them are
//! reserved then: so no step fails for lack of memory, and no admitted sequence is evicted. All memory is allocated in
//! [`Batcher::new`].

use std::fmt;
use std::sync::Arc;

use super::arena::{Arena, ArenaError};
use super::batch::Batch;
use super::beginnings::Beginnings;
use super::executor::Executor;
use super::frames::Frames;
use super::pages::Pages;
use super::schedule::{Waiting, schedule};
use super::step_error::StepError;
use super::step_io::{check_known, floats, write_numbers};
use crate::kernels::call::Sequence;
use crate::kernels::finite::{NonFinite, non_finite};
use crate::kernels::float_environment::FloatEnvironment;
use crate::kernels::kv_cache::KEY_BLOCK;
use crate::plan::ModelPlan;

/// A sequence of a [`Batcher`]. Ids are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId {
    slot: usize,
    age: u64,
}

/// Why a sequence is not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The maximum number of sequences is open. Another may be admitted when one is closed.
    #[error("all {slots} sequences are in use")]
    NoSlot {
        /// The most sequences.
        slots: usize,
    },
    /// Other sequences may need the pages. This one may be admitted when others are closed.
    #[error(
        "{positions} positions take {needed} pages, but only {free} of {all} are not promised to other sequences"
    )]
    NoPages {
        /// Positions asked for.
        positions: usize,
        /// Pages that the positions take.
        needed: usize,
        /// Pages that are not promised.
        free: usize,
        /// Pages of the arena.
        all: usize,
    },
    /// The sequence may need more pages than the arena has, even if all others were closed.
    #[error("{positions} positions take {needed} pages of {page} bytes, but there are only {all}")]
    TooLong {
        /// Positions asked for.
        positions: usize,
        /// Pages that the positions take.
        needed: usize,
        /// Pages of the arena.
        all: usize,
        /// Bytes of a page.
        page: usize,
    },
    /// More positions than the context has.
    #[error("{positions} positions do not fit into a context of {context}")]
    Context {
        /// Positions asked for.
        positions: usize,
        /// Positions that the context has.
        context: usize,
    },
}

impl Refused {
    /// Whether the same sequence can be admitted once others are closed.
    pub fn is_for_now(&self) -> bool {
        matches!(self, Refused::NoSlot { .. } | Refused::NoPages { .. })
    }
}

/// Where the logits after a sequence's last token are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Row {
    /// Nowhere: the last token was not yet read.
    #[default]
    None,
    /// This row of the outputs of the last step.
    Step(usize),
    /// In the slot's own row, as later steps have written over the outputs.
    Kept,
}

/// The state of a slot.
#[derive(Debug, Default)]
struct State {
    /// When the slot's sequence was opened; `None` where the slot is unused.
    age: Option<u64>,
    /// Tokens, read or not; the capacity is the context's.
    tokens: Vec<u32>,
    /// Positions that were read.
    read: usize,
    /// The most positions that were read since the first position was.
    written: usize,
    /// Positions that the sequence may use.
    limit: usize,
    /// Pages that are promised to the sequence.
    promised: usize,
    /// The logits after the last token.
    row: Row,
    /// Room for a row of logits, `[vocabulary]`; empty while a caller has it.
    kept: Vec<f32>,
    /// Why the sequence has no logits of the last step.
    error: Option<StepError>,
    /// Positions that were not read, because their pages were there.
    reused: usize,
}

impl State {
    /// Copy the sequence's row of the last step's outputs, which the next step writes over, to the row of the slot, unless a
    /// caller has that.
    fn keep_row(&mut self, plan: &ModelPlan, arena: &Arena) {
        let Row::Step(row) = self.row else { return };
        self.row = Row::None;
        if !self.kept.is_empty() {
            self.kept.copy_from_slice(output_row(plan, arena, row));
            self.row = Row::Kept;
        }
    }
}

/// Many sequences, and the memory of all of them.
pub struct Batcher {
    executor: Arc<Executor>,
    arena: Arena,
    frames: Frames,
    pages: Pages,
    beginnings: Beginnings,
    slots: Vec<State>,
    /// Lists that [`Batcher::step`] reuses: the sequences of the step, the slots with tokens to read, and the slots
    /// whose last token the step reads.
    sequences: Vec<Sequence>,
    waiting: Vec<Waiting>,
    rows: Vec<usize>,
    /// Sequences opened so far.
    opened: u64,
    /// Pages promised to all open sequences.
    promised: usize,
    vocabulary: usize,
}

impl fmt::Debug for Batcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher")
            .field("slots", &self.slots.len())
            .field("pages", &self.pages.count())
            .finish_non_exhaustive()
    }
}

impl Batcher {
    /// A batcher for as many sequences as a step of the executor's plan reads, which share `pages` pages. Token ids
    /// below `vocabulary` are known.
    ///
    /// # Errors
    /// If the system has no memory for it.
    pub fn new(
        executor: Arc<Executor>,
        vocabulary: usize,
        pages: usize,
    ) -> Result<Batcher, ArenaError> {
        let plan = executor.plan();
        let slots = plan.sequences();
        let regions = plan.regions();
        let bytes = pages
            .checked_mul(regions.page())
            .and_then(|bytes| bytes.checked_add(regions.first_page()));
        let arena = Arena::new(bytes.unwrap_or(usize::MAX))?;
        let state = || State {
            tokens: Vec::with_capacity(plan.options().context),
            kept: vec![0.0; plan.logits_width()],
            ..State::default()
        };
        Ok(Batcher {
            arena,
            frames: Frames::new(plan.session_lists().frames()),
            pages: Pages::new(plan, slots, pages),
            beginnings: Beginnings::new(plan, pages),
            slots: (0..slots).map(|_| state()).collect(),
            sequences: Vec::with_capacity(slots),
            waiting: Vec::with_capacity(slots),
            rows: Vec::with_capacity(slots),
            opened: 0,
            promised: 0,
            vocabulary,
            executor,
        })
    }

    /// How many pages a sequence of at most `positions` positions takes.
    ///
    /// # Errors
    /// If more pages are needed than the arena has, or the positions are more than the context has.
    pub fn check_positions(&self, positions: usize) -> Result<usize, Refused> {
        let plan = self.executor.plan();
        let context = plan.options().context;
        if positions > context {
            return Err(Refused::Context { positions, context });
        }
        let (needed, all) = (pages_of(plan, positions), self.pages.count());
        if needed > all {
            let page = plan.regions().page();
            return Err(Refused::TooLong {
                positions,
                needed,
                all,
                page,
            });
        }
        Ok(needed)
    }

    /// Admit a sequence that uses at most `positions` positions.
    ///
    /// # Errors
    /// If no slot is free or there are not enough pages for it.
    pub fn open(&mut self, positions: usize) -> Result<SequenceId, Refused> {
        let (needed, all) = (self.check_positions(positions)?, self.pages.count());
        let slots = self.slots.len();
        let slot = self.slots.iter().position(|slot| slot.age.is_none());
        let slot = slot.ok_or(Refused::NoSlot { slots })?;
        let free = all - self.promised;
        if needed > free {
            return Err(Refused::NoPages {
                positions,
                needed,
                free,
                all,
            });
        }
        self.opened += 1;
        self.promised += needed;
        let state = &mut self.slots[slot];
        state.age = Some(self.opened);
        state.limit = positions;
        state.promised = needed;
        let age = self.opened;
        Ok(SequenceId { slot, age })
    }

    /// Close a sequence. Its pages are free again, except for those of prefixes that are kept. Closing a sequence twice
    /// does nothing.
    pub fn close(&mut self, id: SequenceId) {
        if self.state(id).is_none() {
            return;
        }
        self.pages.release(self.pages.table(id.slot));
        let state = &mut self.slots[id.slot];
        self.promised -= state.promised;
        state.tokens.clear();
        *state = State {
            tokens: std::mem::take(&mut state.tokens),
            kept: std::mem::take(&mut state.kept),
            ..State::default()
        };
    }

    /// The most open sequences.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The number of pages, of pages that are promised to open sequences, and of pages that nobody reads.
    pub fn pages(&self) -> (usize, usize, usize) {
        (self.pages.count(), self.promised, self.pages.free())
    }

    /// Forget all prefixes that no open sequence reads, so that their pages are free.
    pub fn clear(&mut self) {
        while self.beginnings.make_room(&mut self.pages) {}
    }

    /// Whether a sequence can read `tokens`.
    ///
    /// # Errors
    /// If `tokens` is empty or has an unknown id.
    pub fn check_tokens(&self, tokens: &[u32]) -> Result<(), StepError> {
        if tokens.is_empty() {
            return Err(StepError::Empty);
        }
        check_known(tokens, self.vocabulary)
    }

    /// Add tokens for a sequence to read. The longest prefix of them that is already known need not be read again.
    ///
    /// # Errors
    /// If the sequence is closed, `tokens` is empty or has an unknown id, or they are more than the sequence may use.
    pub fn push(&mut self, id: SequenceId, tokens: &[u32]) -> Result<(), StepError> {
        let plan = self.executor.plan();
        self.check_tokens(tokens)?;
        let state = found(&mut self.slots, id).ok_or(StepError::Gone)?;
        let (position, context) = (state.tokens.len(), state.limit);
        if tokens.len() > context - position {
            return Err(StepError::ContextFull {
                position,
                context,
                tokens: tokens.len(),
            });
        }
        if position == 0 {
            let table = self.pages.table(id.slot);
            state.read = self
                .beginnings
                .restore(plan, &mut self.pages, table, tokens);
            state.reused = state.read;
            state.written = state.read;
        }
        state.tokens.extend_from_slice(tokens);
        state.row = Row::None;
        state.error = None;
        Ok(())
    }

    /// Forget the tokens of a sequence from `position` on. The next step reads the tokens of the last block again, of
    /// which some are gone; or all tokens, if rows are gone that the next token's windows see.
    ///
    /// # Errors
    /// If the sequence is closed.
    pub fn truncate(&mut self, id: SequenceId, position: usize) -> Result<(), StepError> {
        let plan = self.executor.plan();
        let state = found(&mut self.slots, id).ok_or(StepError::Gone)?;
        if position >= state.tokens.len() {
            return Ok(());
        }
        state.tokens.truncate(position);
        state.row = Row::None;
        state.error = None;
        if state.read > position {
            // A page that others read is never written to: whoever writes into its block begins at its first position.
            let block = position / KEY_BLOCK * KEY_BLOCK;
            let mut caches = plan.caches().iter();
            // Where a page is shared, a block takes the place of another as a whole.
            let written = state.written.next_multiple_of(KEY_BLOCK);
            let is_there = caches.all(|c| c.first_held(written) <= c.first_needed(block));
            state.read = if is_there { block } else { 0 };
        }
        if state.read == 0 {
            state.written = 0;
            self.pages.release(self.pages.table(id.slot));
        }
        Ok(())
    }

    /// Run a step over at most `room` tokens, and no more than a step can have: one of each sequence that generates,
    /// and parts of prompts, the oldest first. Returns how many tokens were read; 0 where no sequence has any.
    ///
    /// # Errors
    /// If the plan refuses the step: a defect.
    pub fn step(&mut self, room: usize) -> Result<usize, StepError> {
        let executor = self.executor.clone();
        let plan = executor.plan();
        self.waiting.clear();
        for (slot, state) in self.slots.iter_mut().enumerate() {
            state.keep_row(plan, &self.arena);
            let unread = state.tokens.len() - state.read;
            if let Some(age) = state.age.filter(|_| unread > 0 && state.error.is_none()) {
                self.waiting.push(Waiting { slot, age, unread });
            }
        }
        self.sequences.clear();
        let room = room.clamp(1, plan.step().tokens());
        let (sequences, pages, slots) = (&mut self.sequences, &self.pages, &self.slots);
        schedule(&mut self.waiting, room, |slot, count| {
            let start = sequences.last().map_or(0, |last: &Sequence| last.end);
            sequences.push(Sequence {
                start,
                end: start + count,
                past: slots[slot].read,
                table: pages.table(slot),
            });
        });
        if self.sequences.is_empty() {
            return Ok(0);
        }
        for sequence in &self.sequences {
            let (first, end) = (sequence.past, sequence.positions());
            while self.pages.own(plan, sequence.table, first, end).is_err() {
                // The pages are promised: prefixes that no open sequence reads make room.
                if !self.beginnings.make_room(&mut self.pages) {
                    return Err(StepError::NoPage);
                }
            }
        }
        let rows = self.write_inputs(plan);
        let batch = Batch {
            sequences: &self.sequences,
            rows,
            pages: &self.pages,
        };
        let tokens = batch.tokens();
        // A batcher's steps can't be cancelled.
        executor.run(&mut self.arena, &self.frames, batch, None)?;
        for number in 0..self.sequences.len() {
            let sequence = self.sequences[number];
            let slot = self.pages.slot(sequence.table);
            let state = &mut self.slots[slot];
            state.read = sequence.positions();
            state.written = state.written.max(state.read);
            let read = &state.tokens[..state.read];
            self.beginnings
                .keep(plan, &mut self.pages, sequence.table, read, sequence.past);
        }
        self.check_finite();
        Ok(tokens)
    }

    /// Write ids, positions and wanted rows of the step, and note which row belongs to which sequence. Returns how many
    /// rows the outputs have.
    fn write_inputs(&mut self, plan: &ModelPlan) -> usize {
        let tokens = self.sequences.last().map_or(0, |last| last.end);
        let plan = plan.step();
        self.rows.clear();
        for sequence in &self.sequences {
            let state = &mut self.slots[self.pages.slot(sequence.table)];
            let positions = sequence.past..sequence.positions();
            // Ids are below the vocabulary, positions below the context and rows below the step's tokens, which all fit.
            let ids = state.tokens[positions.clone()].iter();
            let ids = ids.map(|&token| token as usize);
            write_numbers(&mut self.arena, plan.token_ids(), sequence.start, ids);
            write_numbers(&mut self.arena, plan.positions(), sequence.start, positions);
            if sequence.positions() < state.tokens.len() {
                continue;
            }
            // A plan that computes every row has one for each token.
            state.row = Row::Step(match plan.wanted() {
                Some(_) => self.rows.len(),
                None => sequence.end - 1,
            });
            self.rows.push(sequence.end - 1);
        }
        let rows = self.rows.iter().copied();
        write_numbers(&mut self.arena, plan.wanted(), 0, rows);
        plan.wanted().map_or(tokens, |_| self.rows.len())
    }

    /// Note the sequences whose logits of this step are not finite.
    fn check_finite(&mut self) {
        let _environment = FloatEnvironment::set_default();
        for slot in 0..self.slots.len() {
            let Row::Step(row) = self.slots[slot].row else {
                continue;
            };
            let logits = output_row(self.executor.plan(), &self.arena, row);
            if let Some(NonFinite { first, count }) = non_finite(logits) {
                let width = logits.len();
                let state = &mut self.slots[slot];
                state.row = Row::None;
                state.error = Some(StepError::NotFinite {
                    text: 0,
                    token: state.read - 1,
                    count,
                    width,
                    first,
                });
            }
        }
    }

    /// Elements of a row of logits.
    pub fn logits_width(&self) -> usize {
        self.executor.plan().logits_width()
    }

    fn state(&self, id: SequenceId) -> Option<&State> {
        let state = self.slots.get(id.slot);
        state.filter(|state| state.age == Some(id.age))
    }

    /// The logits after a sequence's last token, `[vocabulary]`, until more tokens are added; `None` if no step has read the
    /// token yet.
    ///
    /// # Errors
    /// If the sequence is closed, or its logits were not finite; other sequences still have theirs.
    pub fn logits(&self, id: SequenceId) -> Result<Option<&[f32]>, StepError> {
        let state = self.state(id).ok_or(StepError::Gone)?;
        match &state.error {
            Some(error) => Err(error.clone()),
            None => Ok(match state.row {
                Row::None => None,
                Row::Step(row) => Some(output_row(self.executor.plan(), &self.arena, row)),
                Row::Kept => Some(&state.kept),
            }),
        }
    }

    /// The memory of a sequence's row of logits, with the logits after its last token; `None` if no step has read the token
    /// yet. The caller returns the memory with [`Batcher::return_row`] before it adds tokens.
    ///
    /// # Errors
    /// The errors of [`Batcher::logits`].
    pub(super) fn take_logits(&mut self, id: SequenceId) -> Result<Option<Vec<f32>>, StepError> {
        if self.logits(id)?.is_none() {
            return Ok(None);
        }
        let plan = self.executor.plan();
        let state = &mut self.slots[id.slot];
        state.keep_row(plan, &self.arena);
        state.row = Row::None;
        Ok(Some(std::mem::take(&mut state.kept)))
    }

    /// The memory of a sequence's row of logits, whatever it contains; empty if the sequence is closed.
    pub(super) fn take_row(&mut self, id: SequenceId) -> Vec<f32> {
        let state = found(&mut self.slots, id);
        state.map_or_else(Vec::new, |state| std::mem::take(&mut state.kept))
    }

    /// Return the memory of a sequence's row of logits, if the caller has it.
    pub(super) fn return_row(&mut self, id: SequenceId, row: Vec<f32>) {
        let state = found(&mut self.slots, id);
        if let Some(state) = state.filter(|state| state.kept.is_empty()) {
            state.kept = row;
        }
    }

    /// Whether the last step read a sequence's last token.
    pub(super) fn was_answered(&self, id: SequenceId) -> bool {
        let answered = |state: &State| matches!(state.row, Row::Step(_)) || state.error.is_some();
        self.state(id).is_some_and(answered)
    }

    /// How many sequences generate: each has one token to read, which is not its first.
    pub(super) fn generating(&self) -> usize {
        let generates = |state: &&State| state.read > 0 && state.tokens.len() == state.read + 1;
        self.slots.iter().filter(generates).count()
    }

    /// The most positions of a sequence; 0 if the sequence is closed.
    pub fn limit(&self, id: SequenceId) -> usize {
        self.state(id).map_or(0, |state| state.limit)
    }

    /// A sequence's tokens, read or not; empty if the sequence is closed.
    pub fn tokens(&self, id: SequenceId) -> &[u32] {
        self.state(id).map_or(&[], |state| &state.tokens)
    }

    /// Tokens of a sequence's prompt that were not read, because their pages were there.
    pub fn reused(&self, id: SequenceId) -> usize {
        self.state(id).map_or(0, |state| state.reused)
    }
}

/// The state of a sequence, if it is open.
fn found(slots: &mut [State], id: SequenceId) -> Option<&mut State> {
    let state = slots.get_mut(id.slot);
    state.filter(|state| state.age == Some(id.age))
}

/// A row of the first output of the last step, which has more rows than `row`.
fn output_row<'a>(plan: &ModelPlan, arena: &'a Arena, row: usize) -> &'a [f32] {
    let Some(slot) = plan.step().outputs().first() else {
        return &[];
    };
    let width = plan.logits_width();
    let all = floats(arena, slot, (row + 1) * width);
    &all[row * width..]
}

/// Pages that `positions` positions of a sequence take in all caches.
pub fn pages_of(plan: &ModelPlan, positions: usize) -> usize {
    let blocks = positions.div_ceil(KEY_BLOCK);
    let caches = plan.caches().iter();
    caches
        .map(|cache| blocks.min(cache.layout().blocks()))
        .sum()
}
