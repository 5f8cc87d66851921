//! The bytes of an engine, known before it is made.

use std::fmt;

use serde::Serialize;

use crate::kernels::kv_cache::KEY_BLOCK;
use crate::plan::{MemoryReport, human};

/// The memory of an engine, known before anything is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EngineMemory {
    /// Sequences that run side by side.
    pub sequences: usize,
    /// Bytes of weights and tables as they are read, and an estimate of the tokenizer's bytes.
    pub model: usize,
    /// Bytes of activations and scratch.
    pub activations: usize,
    /// Bytes of the sequences' lists: tokens and tables of pages.
    pub lists: usize,
    /// Pages, each of which has the keys and values of 64 positions of one layer.
    pub pages: usize,
    /// Bytes of a page.
    pub page: usize,
    /// Bytes that are needed for each page besides the page itself: its readers, and the prefix it belongs to.
    pub page_lists: usize,
    /// Positions of all sequences together for which the pages are enough, if every layer keeps all positions.
    pub positions: usize,
    /// All bytes. The program itself is not counted.
    pub total: usize,
}

/// The budget is too small for one sequence of a single block of positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the budget of {memory} bytes is too small: the model, its tokenizer and its activations take {fixed}, and a sequence of \
     {block} positions takes {sequence} more"
)]
pub struct TooSmall {
    /// The budget.
    pub memory: usize,
    /// Bytes that are needed before the first page.
    pub fixed: usize,
    /// Positions in a block.
    pub block: usize,
    /// Bytes of a block in all layers.
    pub sequence: usize,
}

impl EngineMemory {
    /// As many pages as fit into `memory` bytes in all; without a budget, as many as all sequences need to fill their
    /// contexts.
    ///
    /// # Errors
    /// If the budget is too small for one sequence of a block of positions.
    pub fn new(report: &MemoryReport, memory: Option<usize>) -> Result<EngineMemory, TooSmall> {
        let model = [
            report.packed_weights,
            report.dense_weights,
            report.mapped_weights,
            report.tokenizer_estimate,
        ];
        let model = model.into_iter().fold(0, usize::saturating_add);
        let activations = report.activations.saturating_add(report.scratch);
        let lists = report.sequence_lists.saturating_mul(report.sequences);
        let fixed = model.saturating_add(activations).saturating_add(lists);
        let each = report.page.saturating_add(report.page_lists);
        let whole = report.sequence_pages.saturating_mul(report.sequences);
        let pages = match memory {
            None => whole,
            Some(memory) => {
                let left = memory.saturating_sub(fixed);
                let pages = left.checked_div(each).unwrap_or(0).min(whole);
                if memory < fixed || pages < report.caches {
                    return Err(TooSmall {
                        memory,
                        fixed,
                        block: KEY_BLOCK,
                        sequence: report.caches.saturating_mul(each),
                    });
                }
                pages
            }
        };
        let blocks = pages.checked_div(report.caches).unwrap_or(0);
        Ok(EngineMemory {
            sequences: report.sequences,
            model,
            activations,
            lists,
            pages,
            page: report.page,
            page_lists: report.page_lists,
            positions: blocks.saturating_mul(KEY_BLOCK),
            total: fixed.saturating_add(pages.saturating_mul(each)),
        })
    }
}

impl fmt::Display for EngineMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, what: &str, bytes: usize| {
            writeln!(f, "{what:<34}{bytes:>16}  {:>11}", human(bytes))
        };
        writeln!(f, "\nengine of {} sequences", self.sequences)?;
        line(f, "  weights, tables and tokenizer", self.model)?;
        line(f, "  activations and scratch", self.activations)?;
        line(f, "  lists of the sequences", self.lists)?;
        let what = format!("  {} pages of 64 positions", self.pages);
        let each = self.page.saturating_add(self.page_lists);
        line(f, &what, self.pages.saturating_mul(each))?;
        line(f, "  total in memory", self.total)
    }
}
