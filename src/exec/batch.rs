//! What one step reads, and whether a plan is for it.

use crate::plan::ModelPlan;
use crate::types::StepSize;

/// The tokens of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// How many.
    pub tokens: usize,
    /// How many tokens' outputs are wanted, whose numbers stand in the plan's slot for them; where it has none, all
    /// tokens.
    pub rows: usize,
    /// Positions that were read before: token `t` stands at position `past + t`.
    pub past: usize,
    /// Where each of several sequences begins, in tokens, and after the last where it ends; each has positions of its own
    /// from 0 on. Empty where the tokens are one sequence.
    pub sequences: &'a [usize],
}

/// Why a step can't be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// No token, or too many.
    #[error("a step has from 1 to {most} tokens, found {tokens}")]
    Tokens {
        /// Tokens given.
        tokens: usize,
        /// The most of a step.
        most: usize,
    },
    /// More rows are wanted than the plan has room for, or fewer than all where it computes all.
    #[error("a step of {tokens} tokens wants from {least} to {most} rows, found {rows}")]
    Rows {
        /// Rows wanted.
        rows: usize,
        /// Tokens of the step.
        tokens: usize,
        /// The fewest of such a step.
        least: usize,
        /// The most.
        most: usize,
    },
    /// The tokens would stand past the last position.
    #[error(
        "{tokens} tokens from position {past} on do not fit into a context of {context} positions"
    )]
    Context {
        /// Tokens of the sequence.
        tokens: usize,
        /// Its first position.
        past: usize,
        /// Positions there are.
        context: usize,
    },
    /// The model sees all tokens from each, and so begins each step at position 0.
    #[error("a step of this model begins at position 0, found {past}")]
    Past {
        /// The position given.
        past: usize,
    },
    /// Several sequences for a plan whose steps read one.
    #[error("a step of this plan reads one sequence, found {found}")]
    OneSequence {
        /// Sequences given.
        found: usize,
    },
    /// The boundaries of the sequences are none.
    #[error(
        "sequences must begin at token 0, each after the one before, and end at {tokens}: boundary {number} is {found}"
    )]
    Boundary {
        /// The boundary's place in the list.
        number: usize,
        /// What it says.
        found: usize,
        /// Tokens of the step.
        tokens: usize,
    },
    /// The arena is that of another plan.
    #[error("the plan's arena has {expected} bytes, and this one {found}")]
    Arena {
        /// Bytes of the plan's.
        expected: usize,
        /// Bytes of the arena given.
        found: usize,
    },
}

impl Batch<'_> {
    /// How large it is. The context of several sequences is the tokens of all: no value is as long as one.
    #[inline(always)]
    pub(super) fn size(&self) -> StepSize {
        StepSize {
            tokens: self.tokens,
            rows: self.rows,
            context: self.past + self.tokens,
        }
    }

    /// Whether `plan` is for it.
    pub(super) fn check(&self, plan: &ModelPlan) -> Result<(), BatchError> {
        let Batch {
            tokens,
            rows,
            past,
            sequences,
        } = *self;
        let most = plan.prefill().tokens();
        if tokens == 0 || tokens > most.max(1) {
            return Err(BatchError::Tokens { tokens, most });
        }
        let (least, most) = plan.for_tokens(tokens).wanted_rows(tokens);
        if rows < least || rows > most {
            return Err(BatchError::Rows {
                rows,
                tokens,
                least,
                most,
            });
        }
        if past > 0 && plan.is_bidirectional() {
            return Err(BatchError::Past { past });
        }
        let context = plan.options().context;
        let fits = |tokens| match past.checked_add(tokens) {
            Some(end) if end <= context => Ok(()),
            _ => Err(BatchError::Context {
                tokens,
                past,
                context,
            }),
        };
        if sequences.is_empty() {
            return fits(tokens);
        }
        let found = sequences.len() - 1;
        if plan.texts() == 1 || found > plan.texts() {
            return Err(BatchError::OneSequence { found });
        }
        let boundary = |number: usize, found| BatchError::Boundary {
            number,
            found,
            tokens,
        };
        if sequences[0] != 0 {
            return Err(boundary(0, sequences[0]));
        }
        for (number, ends) in sequences.windows(2).enumerate() {
            if ends[1] <= ends[0] || ends[1] > tokens {
                return Err(boundary(number + 1, ends[1]));
            }
            fits(ends[1] - ends[0])?;
        }
        if sequences[found] != tokens {
            return Err(boundary(found, sequences[found]));
        }
        Ok(())
    }
}
