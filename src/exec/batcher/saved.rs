//! Sequences that are saved to files and loaded from them.

use std::io::{Read, Write};

use super::{Batcher, SequenceId};
use crate::exec::caches::kv_cache;
use crate::exec::saved::{SavedReader, SavedSessionError, Writer, first_saved};
use crate::exec::step_error::StepError;
use crate::plan::ModelPlan;

impl Batcher {
    /// Read all tokens of a sequence again with the next steps if rows are gone that are saved with them.
    pub(in crate::exec) fn restore_rows(&mut self, id: SequenceId) -> Result<(), StepError> {
        let in_blocks = self.beginnings.is_some();
        let plan = self.executor.plan();
        let state = self.state(id).ok_or(StepError::Gone)?;
        let last = state.tokens.len().saturating_sub(1);
        if !state.has_rows_for(plan, last, in_blocks) {
            self.restart(id);
        }
        Ok(())
    }

    /// Write the tokens of a sequence, and those rows of the caches that are needed to continue from here or to read the
    /// last token again. All tokens must be read, after [`Batcher::restore_rows`].
    ///
    /// # Errors
    /// If the bytes can't be written, the model is an encoder, or its weights can't be read.
    pub(in crate::exec) fn save(
        &self,
        id: SequenceId,
        to: &mut impl Write,
    ) -> Result<(), SavedSessionError> {
        let plan = self.executor.plan();
        let identity = self.executor.identity()?;
        let tokens = self.tokens(id);
        let mut writer = Writer::new(to, identity, plan, tokens)?;
        for cache in plan.caches() {
            // SAFETY: steps borrow the batcher exclusively, so none runs while it is borrowed here.
            let rows = unsafe { kv_cache(plan, cache, &self.arena, &self.pages) };
            let rows = rows.of(self.pages.table(id.slot));
            for position in first_saved(cache, tokens.len())..tokens.len() {
                writer.row(&rows, position)?;
            }
        }
        writer.finish()
    }

    /// Load what [`Batcher::save`] wrote into a sequence without tokens. Its rows are not checked; they may be NaN, and no
    /// other sequence ever shares them. After an error the sequence can only be closed.
    ///
    /// # Errors
    /// If the bytes can't be read, are damaged, or belong to another model or to more positions than the sequence may use.
    pub(in crate::exec) fn load(
        &mut self,
        id: SequenceId,
        from: &mut impl Read,
    ) -> Result<(), SavedSessionError> {
        let executor = self.executor.clone();
        let plan = executor.plan();
        let limit = self.limit(id);
        let mut reader = SavedReader::new(from, executor.identity()?, plan, limit)?;
        let state = &mut self.slots[id.slot];
        reader.tokens(self.vocabulary, &mut state.tokens)?;
        let end = state.tokens.len();
        state.read = end;
        state.written = end;
        state.loaded = end;
        let table = self.pages.table(id.slot);
        self.own_pages(plan, table, 0, end)
            .map_err(SavedSessionError::Step)?;
        for cache in plan.caches() {
            // SAFETY: the batcher is borrowed exclusively.
            let rows = unsafe { kv_cache(plan, cache, &self.arena, &self.pages) };
            let rows = rows.of(table);
            for position in first_saved(cache, end)..end {
                reader.row(&rows, position)?;
            }
        }
        reader.finish()
    }

    /// Give the sequence at `table` pages of its own for positions. Prefixes that no open sequence reads make room.
    ///
    /// # Errors
    /// If no page is free, although the sequence was promised one: a defect.
    pub(super) fn own_pages(
        &mut self,
        plan: &ModelPlan,
        table: usize,
        first: usize,
        end: usize,
    ) -> Result<(), StepError> {
        while self.pages.own(plan, table, first, end).is_err() {
            let beginnings = self.beginnings.as_mut();
            if !beginnings.is_some_and(|kept| kept.make_room(&mut self.pages)) {
                return Err(StepError::NoPage);
            }
        }
        Ok(())
    }
}
