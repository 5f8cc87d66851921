//! How batchers are made: for many sequences, for one, and from another.

use std::mem::take;
use std::sync::Arc;

use super::state::State;
use super::{Batcher, SequenceId};
use crate::exec::arena::{Arena, ArenaError};
use crate::exec::beginnings::Beginnings;
use crate::exec::executor::Executor;
use crate::exec::frames::Frames;
use crate::exec::pages::Pages;
#[cfg(test)]
use crate::kernels::call::Sequence;

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
        let (slots, width) = (plan.sequences(), plan.logits_width());
        let beginnings = Beginnings::new(plan, pages);
        let mut batcher = Batcher::with_slots(executor, vocabulary, (slots, pages), slots)?;
        batcher.beginnings = Some(beginnings);
        for state in &mut batcher.slots {
            state.kept = vec![0.0; width];
        }
        Ok(batcher)
    }

    /// A batcher for as many sequences as a step of the executor's plan reads, each of which may use the whole context, and
    /// which share nothing.
    ///
    /// # Errors
    /// If the system has no memory for it.
    pub(in crate::exec) fn without_prefixes(
        executor: Arc<Executor>,
        vocabulary: usize,
    ) -> Result<Batcher, ArenaError> {
        let plan = executor.plan();
        let slots = plan.sequences();
        let pages = slots.saturating_mul(plan.regions().sequence_pages());
        Batcher::with_slots(executor, vocabulary, (slots, pages), slots)
    }

    /// A batcher with one open sequence, which may use the whole context, or for the texts of an encoder: with the memory
    /// that the plan states for a session.
    ///
    /// # Errors
    /// If the system has no memory for it.
    pub(in crate::exec) fn of_one(
        executor: Arc<Executor>,
        vocabulary: usize,
    ) -> Result<(Batcher, SequenceId), ArenaError> {
        let plan = executor.plan();
        let (limit, pages) = (plan.options().context, plan.regions().sequence_pages());
        let texts = plan.texts();
        let mut batcher = Batcher::with_slots(executor, vocabulary, (1, pages), texts)?;
        let (slot, age) = (0, 1);
        (batcher.opened, batcher.promised) = (age, pages);
        for state in &mut batcher.slots {
            state.age = Some(age);
            (state.limit, state.promised) = (limit, pages);
        }
        Ok((batcher, SequenceId { slot, age }))
    }

    /// A batcher without prefixes and without rows for its slots, whose steps read at most `sequences` sequences.
    fn with_slots(
        executor: Arc<Executor>,
        vocabulary: usize,
        (slots, pages): (usize, usize),
        sequences: usize,
    ) -> Result<Batcher, ArenaError> {
        let plan = executor.plan();
        let (regions, lists) = (plan.regions(), plan.session_lists());
        let bytes = pages
            .checked_mul(regions.page())
            .and_then(|bytes| bytes.checked_add(regions.first_page()));
        let arena = Arena::new(bytes.unwrap_or(usize::MAX))?;
        let state = || State {
            tokens: Vec::with_capacity(lists.tokens()),
            ..State::default()
        };
        Ok(Batcher {
            arena,
            frames: Frames::new(lists.frames()),
            pages: Pages::new(plan, slots, pages),
            beginnings: None,
            slots: (0..slots).map(|_| state()).collect(),
            sequences: Vec::with_capacity(sequences),
            waiting: Vec::with_capacity(slots),
            wanted: Vec::with_capacity(slots),
            outputs: None,
            opened: 0,
            promised: 0,
            vocabulary,
            executor,
        })
    }

    /// A second batcher with the same sequences and rows, for a batcher without prefixes.
    ///
    /// # Errors
    /// If the system has no memory for it.
    pub(in crate::exec) fn duplicate(&self) -> Result<Batcher, ArenaError> {
        let (slots, pages) = (self.slots.len(), self.pages.count());
        let sequences = self.sequences.capacity();
        let mut copy = Batcher::with_slots(
            self.executor.clone(),
            self.vocabulary,
            (slots, pages),
            sequences,
        )?;
        copy.arena.copy_range(0, &self.arena, 0..self.arena.bytes());
        copy.pages.clone_from(&self.pages);
        for (to, from) in copy.slots.iter_mut().zip(&self.slots) {
            let mut tokens = take(&mut to.tokens);
            tokens.extend_from_slice(&from.tokens);
            *to = State {
                tokens,
                ..from.clone()
            };
        }
        copy.sequences.extend_from_slice(&self.sequences);
        copy.outputs = self.outputs;
        (copy.opened, copy.promised) = (self.opened, self.promised);
        Ok(copy)
    }

    /// Bytes of the lists whose lengths the plan determines.
    #[cfg(test)]
    pub(in crate::exec) fn list_bytes(&self) -> usize {
        let tokens = self.slots.iter().map(|state| state.tokens.capacity());
        tokens.sum::<usize>() * size_of::<u32>()
            + self.sequences.capacity() * size_of::<Sequence>()
            + self.pages.bytes()
            + self.frames.bytes()
    }
}
