//! What one step reads, and the check that a plan fits it.

use super::pages::Pages;
use crate::kernels::call::Sequence;
use crate::plan::ModelPlan;
use crate::types::StepSize;

/// The tokens of one step.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The sequences whose tokens the step reads, one after the other, each with at least one token.
    pub sequences: &'a [Sequence],
    /// How many tokens' outputs are wanted. The numbers of these tokens stand in the plan's slot for them; if the plan
    /// has no such slot, this is the number of all tokens.
    pub rows: usize,
    /// The pages of all sequences.
    pub pages: &'a Pages,
}

/// Why a step can't be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// No token, or too many.
    #[error("a step has from 1 to {most} tokens, found {tokens}")]
    Tokens {
        /// Tokens given.
        tokens: usize,
        /// The most tokens of a step.
        most: usize,
    },
    /// More rows are wanted than the plan supports, or fewer than all where the plan computes all rows.
    #[error("a step of {tokens} tokens wants from {least} to {most} rows, found {rows}")]
    Rows {
        /// Rows wanted.
        rows: usize,
        /// Tokens of the step.
        tokens: usize,
        /// The fewest rows that such a step can want.
        least: usize,
        /// The most rows that such a step can want.
        most: usize,
    },
    /// The tokens' positions would be past the last position.
    #[error(
        "{tokens} tokens from position {past} on do not fit into a context of {context} positions"
    )]
    Context {
        /// Tokens of the sequence.
        tokens: usize,
        /// The sequence's first position in this step.
        past: usize,
        /// Positions that the context has.
        context: usize,
    },
    /// Each token of the model attends to all others, so each step begins at position 0.
    #[error("a step of this model begins at position 0, found {past}")]
    Past {
        /// The position given.
        past: usize,
    },
    /// More sequences than the plan's steps read.
    #[error("a step of this plan reads at most {most} sequences, found {found}")]
    Sequences {
        /// The most sequences of a step.
        most: usize,
        /// Sequences given.
        found: usize,
    },
    /// A sequence is empty, or does not begin where the previous one ends.
    #[error(
        "sequence {number} (from 0) must have tokens from {expected} on, found tokens {start}..{end}"
    )]
    Boundary {
        /// The sequence's place in the list.
        number: usize,
        /// Its first token.
        start: usize,
        /// One past its last token.
        end: usize,
        /// Where the previous sequence ends.
        expected: usize,
    },
    /// A position that the step reads or writes has no page, or has one that the sequence shares and so can't write.
    #[error("a sequence lacks pages of its own for its positions")]
    Pages,
    /// The arena does not have exactly the size of the plan's activations and the pages.
    #[error("the plan and its pages need an arena of {expected} bytes, but this one has {found}")]
    Arena {
        /// Bytes of the arena that is needed.
        expected: usize,
        /// Bytes of the arena given.
        found: usize,
    },
}

impl Batch<'_> {
    /// The tokens of all sequences.
    #[inline(always)]
    pub fn tokens(&self) -> usize {
        self.sequences.last().map_or(0, |last| last.end)
    }

    /// How large the step is. The context of several sequences is the number of their tokens together: no value is as
    /// long as one sequence's context.
    #[inline(always)]
    pub(super) fn size(&self) -> StepSize {
        let tokens = self.tokens();
        StepSize {
            tokens,
            rows: self.rows,
            context: match self.sequences {
                [sequence] => sequence.positions(),
                _ => tokens,
            },
        }
    }

    /// Whether `plan` fits this step.
    pub(super) fn check(&self, plan: &ModelPlan) -> Result<(), BatchError> {
        let (tokens, most) = (self.tokens(), plan.step().tokens());
        if tokens == 0 || tokens > most.max(1) {
            return Err(BatchError::Tokens { tokens, most });
        }
        let (rows, (least, most)) = (self.rows, plan.step().wanted_rows(tokens));
        if rows < least || rows > most {
            return Err(BatchError::Rows {
                rows,
                tokens,
                least,
                most,
            });
        }
        let found = self.sequences.len();
        if found > plan.sequences() {
            return Err(BatchError::Sequences {
                most: plan.sequences(),
                found,
            });
        }
        let context = plan.options().context;
        let mut next = 0;
        for (number, sequence) in self.sequences.iter().enumerate() {
            let Sequence {
                start, end, past, ..
            } = *sequence;
            if start != next || end <= start {
                return Err(BatchError::Boundary {
                    number,
                    start,
                    end,
                    expected: next,
                });
            }
            next = end;
            if past > 0 && plan.is_bidirectional() {
                return Err(BatchError::Past { past });
            }
            let tokens = end - start;
            if past.checked_add(tokens).is_none_or(|end| end > context) {
                return Err(BatchError::Context {
                    tokens,
                    past,
                    context,
                });
            }
        }
        match self.pages.serve(plan, self.sequences) {
            true => Ok(()),
            false => Err(BatchError::Pages),
        }
    }
}
