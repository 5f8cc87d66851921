//! Many sequences of one executor, in one arena: each step reads tokens of as many sequences as possible.
//!
//! Sequences come and go. The caller that opens one says how many positions it may use, and the pages for them are
//! reserved then: so no step fails for lack of memory, and no admitted sequence is evicted. All memory is allocated in
//! [`Batcher::new`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

mod encode;
mod make;
mod outputs;
mod saved;
mod state;

use self::outputs::{check_finite, output_row, rows_of};
pub use self::state::SequenceId;
use self::state::{Row, State};
use super::arena::Arena;
use super::batch::Batch;
use super::beginnings::{Beginnings, PrefixStatistics};
use super::executor::{Ended, Executor};
use super::frames::Frames;
use super::pages::Pages;
use super::refused::Refused;
use super::schedule::{Waiting, schedule};
use super::step_error::StepError;
use super::step_io::{check_known, write_numbers, write_tokens};
use crate::kernels::call::Sequence;
use crate::kernels::float_environment::FloatEnvironment;
use crate::kernels::kv_cache::KEY_BLOCK;
use crate::plan::ModelPlan;
use crate::types::StepSize;

/// Many sequences, and the memory of all of them.
pub struct Batcher {
    executor: Arc<Executor>,
    arena: Arena,
    frames: Frames,
    pages: Pages,
    /// The prefixes that sequences share; `None` in a batcher of one sequence, which owns all its pages.
    beginnings: Option<Beginnings>,
    slots: Vec<State>,
    /// Lists that [`Batcher::step`] reuses: the sequences of the step, the slots with tokens to read, and the tokens whose
    /// outputs are wanted, by their places in the step.
    sequences: Vec<Sequence>,
    waiting: Vec<Waiting>,
    wanted: Vec<usize>,
    /// The size of the last step; `None` where it has no outputs.
    outputs: Option<StepSize>,
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
        *state = state.emptied();
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
        if let Some(beginnings) = &mut self.beginnings {
            while beginnings.make_room(&mut self.pages) {}
        }
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

    /// Whether a sequence can read `tokens` after those that it has.
    ///
    /// # Errors
    /// If the sequence is closed, `tokens` is empty or has an unknown id, or they are more than the sequence may use.
    pub(super) fn check_push(&self, id: SequenceId, tokens: &[u32]) -> Result<(), StepError> {
        let state = self.state(id).ok_or(StepError::Gone)?;
        self.check_tokens(tokens)?;
        let (position, context) = (state.tokens.len(), state.limit);
        match tokens.len() > context - position {
            false => Ok(()),
            true => Err(StepError::ContextFull {
                position,
                context,
                tokens: tokens.len(),
            }),
        }
    }

    /// Add tokens for a sequence to read. The longest prefix of them that is already known need not be read again.
    ///
    /// # Errors
    /// If the sequence is closed, `tokens` is empty or has an unknown id, or they are more than the sequence may use.
    pub fn push(&mut self, id: SequenceId, tokens: &[u32]) -> Result<(), StepError> {
        self.check_push(id, tokens)?;
        let plan = self.executor.plan();
        let state = found(&mut self.slots, id).ok_or(StepError::Gone)?;
        if state.tokens.is_empty() {
            let table = self.pages.table(id.slot);
            let beginnings = self.beginnings.as_mut();
            state.read = beginnings.map_or(0, |known| {
                known.restore(plan, &mut self.pages, table, tokens)
            });
            state.reused = state.read;
            state.written = state.read;
        }
        state.tokens.extend_from_slice(tokens);
        state.row = Row::None;
        state.error = None;
        Ok(())
    }

    /// Forget the tokens of a sequence from `position` on. Where pages may be shared, the next step reads the tokens of the
    /// last block again, of which some are gone; it reads all tokens if rows are gone that the next token's windows see.
    ///
    /// # Errors
    /// If the sequence is closed.
    pub fn truncate(&mut self, id: SequenceId, position: usize) -> Result<(), StepError> {
        let plan = self.executor.plan();
        let in_blocks = self.beginnings.is_some();
        let state = found(&mut self.slots, id).ok_or(StepError::Gone)?;
        if position >= state.tokens.len() {
            return Ok(());
        }
        self.outputs = None;
        state.tokens.truncate(position);
        state.row = Row::None;
        state.error = None;
        if state.read > position {
            // A page that others read is never written to: whoever writes into its block begins at its first position.
            let start = match in_blocks {
                true => position / KEY_BLOCK * KEY_BLOCK,
                false => position,
            };
            match state.has_rows_for(plan, start, in_blocks) {
                true => state.read = start,
                false => state.read = 0,
            }
        }
        if state.read == 0 {
            self.restart(id);
        }
        Ok(())
    }

    /// Let the next steps read all tokens of an open sequence again.
    fn restart(&mut self, id: SequenceId) {
        self.pages.release(self.pages.table(id.slot));
        let state = &mut self.slots[id.slot];
        (state.read, state.written, state.loaded) = (0, 0, 0);
        state.row = Row::None;
    }

    /// Forget the tokens of a sequence that no step has read.
    ///
    /// # Errors
    /// If the sequence is closed.
    pub(super) fn forget_unread(&mut self, id: SequenceId) -> Result<(), StepError> {
        let state = found(&mut self.slots, id).ok_or(StepError::Gone)?;
        state.tokens.truncate(state.read);
        Ok(())
    }

    /// Run a step over at most `room` tokens, and no more than a step can have: one of each sequence that generates,
    /// and parts of prompts, the oldest first. Returns how many tokens were read; 0 where no sequence has any.
    ///
    /// # Errors
    /// If the plan refuses the step: a defect.
    pub fn step(&mut self, room: usize) -> Result<usize, StepError> {
        self.step_until(room, None)
    }

    /// Like [`Batcher::step`]; ends the step without a result soon after `cancel` becomes true.
    ///
    /// # Errors
    /// The errors of [`Batcher::step`], and [`StepError::Cancelled`] with the position of the step's first sequence.
    pub(super) fn step_until(
        &mut self,
        room: usize,
        cancel: Option<&AtomicBool>,
    ) -> Result<usize, StepError> {
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
        self.outputs = None;
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
        let Some(&first) = self.sequences.first() else {
            return Ok(0);
        };
        for number in 0..self.sequences.len() {
            let sequence = self.sequences[number];
            self.own_pages(plan, sequence.table, sequence.past, sequence.positions())?;
            // Even a cancelled step writes over rows.
            let state = &mut self.slots[self.pages.slot(sequence.table)];
            state.written = state.written.max(sequence.positions());
        }
        let rows = self.write_inputs(plan);
        let batch = Batch {
            sequences: &self.sequences,
            rows,
            pages: &self.pages,
        };
        let (tokens, size) = (batch.tokens(), batch.size());
        let ended = executor.run(&mut self.arena, &self.frames, batch, cancel)?;
        if ended == Ended::Cancelled {
            let position = first.past;
            return Err(StepError::Cancelled { position });
        }
        self.outputs = Some(size);
        self.note_read(plan, size);
        Ok(tokens)
    }

    /// Write the ids, positions and wanted rows of the step. Returns how many rows its outputs have.
    fn write_inputs(&mut self, plan: &ModelPlan) -> usize {
        let tokens = self.sequences.last().map_or(0, |last| last.end);
        let step = plan.step();
        self.wanted.clear();
        for sequence in &self.sequences {
            let state = &self.slots[self.pages.slot(sequence.table)];
            // Ids are below the vocabulary, positions below the context and rows below the step's tokens, which all fit.
            let read = &state.tokens[sequence.past..sequence.positions()];
            write_tokens(&mut self.arena, step, sequence, read);
            if sequence.positions() == state.tokens.len() {
                self.wanted.push(sequence.end - 1);
            }
        }
        if plan.wants_all_rows() {
            write_numbers(&mut self.arena, step.wanted(), 0, 0..tokens);
            return tokens;
        }
        let wanted = self.wanted.iter().copied();
        write_numbers(&mut self.arena, step.wanted(), 0, wanted);
        step.wanted().map_or(tokens, |_| self.wanted.len())
    }

    /// Note what the step has read, and which of its rows belongs to which sequence. A sequence whose row is not finite
    /// loses the tokens of the step, and has an error in place of the row.
    fn note_read(&mut self, plan: &ModelPlan, size: StepSize) {
        let _environment = FloatEnvironment::set_default();
        let mut ended = 0;
        for number in 0..self.sequences.len() {
            let sequence = self.sequences[number];
            let slot = self.pages.slot(sequence.table);
            let state = &mut self.slots[slot];
            state.read = sequence.positions();
            if let Some(beginnings) = self.beginnings.as_mut().filter(|_| state.loaded == 0) {
                let read = &state.tokens[..state.read];
                let pages = &mut self.pages;
                beginnings.keep(plan, pages, sequence.table, read, sequence.past);
            }
            if state.read < state.tokens.len() {
                continue;
            }
            let wanted = match plan.wants_all_rows() {
                true => sequence.start..sequence.end,
                false => ended..ended + 1,
            };
            ended += 1;
            let checked = check_finite(plan, &self.arena, size, (&sequence, &wanted));
            if let Some(output) = plan.step().outputs().first() {
                state.row = Row::Step(rows_of(output, &sequence, &wanted).end - 1);
            }
            let (Err(error), Some(age)) = (checked, state.age) else {
                continue;
            };
            // The sequence is open.
            let _ = self.truncate(SequenceId { slot, age }, sequence.past);
            self.slots[slot].error = Some(error);
        }
    }

    /// The rows of the first output that belong to a sequence's tokens in the last step: all of them, or the last token's if
    /// the plan computes only that; none if that is not yet read, or the step did not read the sequence.
    ///
    /// # Errors
    /// If the sequence is closed, or a row is not finite.
    pub(super) fn step_rows(&self, id: SequenceId) -> Result<&[f32], StepError> {
        let plan = self.executor.plan();
        let state = self.state(id).ok_or(StepError::Gone)?;
        if let Some(error) = &state.error {
            return Err(error.clone());
        }
        let table = self.pages.table(id.slot);
        let mut sequences = self.sequences.iter();
        let (Some(sequence), Some(size)) = (sequences.find(|s| s.table == table), self.outputs)
        else {
            return Ok(&[]);
        };
        let Some(output) = plan.step().outputs().first() else {
            return Ok(&[]);
        };
        let wanted = match state.row {
            _ if plan.wants_all_rows() => sequence.start..sequence.end,
            Row::Step(row) => row..row + 1,
            Row::None | Row::Kept => 0..0,
        };
        let (rows, width) = (rows_of(output, sequence, &wanted), self.logits_width());
        // The step itself has checked the rows of a sequence whose last token it read.
        if state.read < state.tokens.len() && !rows.is_empty() {
            check_finite(plan, &self.arena, size, (sequence, &wanted))?;
        }
        let all = self.output(0);
        Ok(all
            .get(rows.start * width..rows.end * width)
            .unwrap_or_default())
    }

    /// What runs the steps.
    pub(super) fn executor(&self) -> &Arc<Executor> {
        &self.executor
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

    /// How many of a sequence's tokens were read; 0 if the sequence is closed.
    pub(super) fn read(&self, id: SequenceId) -> usize {
        self.state(id).map_or(0, |state| state.read)
    }

    /// How well prefixes are shared.
    pub fn prefixes(&self) -> PrefixStatistics {
        let beginnings = self.beginnings.as_ref();
        beginnings.map(Beginnings::statistics).unwrap_or_default()
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

/// Pages that `positions` positions of a sequence take in all caches.
pub fn pages_of(plan: &ModelPlan, positions: usize) -> usize {
    let blocks = positions.div_ceil(KEY_BLOCK);
    let caches = plan.caches().iter();
    caches
        .map(|cache| blocks.min(cache.layout().blocks()))
        .sum()
}
