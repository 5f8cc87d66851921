//! What a batcher knows of one sequence.

use super::outputs::output_row;
use crate::exec::arena::Arena;
use crate::exec::saved::first_saved;
use crate::exec::step_error::StepError;
use crate::kernels::kv_cache::KEY_BLOCK;
use crate::plan::ModelPlan;

/// A sequence of a [`Batcher`](super::Batcher). Ids are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId {
    pub(super) slot: usize,
    pub(super) age: u64,
}

/// Where the logits after a sequence's last token are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Row {
    /// Nowhere: the last token was not yet read.
    #[default]
    None,
    /// This row of the outputs of the last step.
    Step(usize),
    /// In the slot's own row, as later steps have written over the outputs.
    Kept,
}

/// The state of a slot.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// When the slot's sequence was opened; `None` where the slot is unused.
    pub age: Option<u64>,
    /// Tokens, read or not; the capacity is the context's.
    pub tokens: Vec<u32>,
    /// Positions that were read: their rows exist.
    pub read: usize,
    /// The most positions that were written since the first position was.
    pub written: usize,
    /// Positions whose rows came from a file; 0 where none did.
    pub loaded: usize,
    /// Positions that the sequence may use.
    pub limit: usize,
    /// Pages that are promised to the sequence.
    pub promised: usize,
    /// The logits after the last token.
    pub row: Row,
    /// Room for a row of logits, `[vocabulary]`; empty while a caller has it, and in a batcher of one sequence.
    pub kept: Vec<f32>,
    /// Why the sequence has no logits of the last step.
    pub error: Option<StepError>,
    /// Positions that were not read, because their pages were there.
    pub reused: usize,
}

impl State {
    /// A slot without a sequence, and with the memory of this one's lists.
    pub fn emptied(&mut self) -> State {
        self.tokens.clear();
        State {
            tokens: std::mem::take(&mut self.tokens),
            kept: std::mem::take(&mut self.kept),
            ..State::default()
        }
    }

    /// Copy the sequence's row of the last step's outputs, which the next step writes over, to the row of the slot, unless
    /// a caller has that.
    pub fn keep_row(&mut self, plan: &ModelPlan, arena: &Arena) {
        let Row::Step(row) = self.row else { return };
        self.row = Row::None;
        if !self.kept.is_empty() {
            self.kept.copy_from_slice(output_row(plan, arena, row));
            self.row = Row::Kept;
        }
    }

    /// Whether the rows exist that a token at `position` needs, if only the tokens before it stay. With `in_blocks`, pages may
    /// be shared.
    pub fn has_rows_for(&self, plan: &ModelPlan, position: usize, in_blocks: bool) -> bool {
        // Where a page was shared, a block has taken the place of another as a whole.
        let written = match in_blocks {
            true => self.written.next_multiple_of(KEY_BLOCK),
            false => self.written,
        };
        plan.caches().iter().all(|cache| {
            let first = cache.first_held(written);
            first.max(first_saved(cache, self.loaded)) <= cache.first_needed(position)
        })
    }
}
