//! The rows of a step's outputs that belong to one sequence.

use std::ops::Range;

use crate::exec::arena::Arena;
use crate::exec::step_error::StepError;
use crate::exec::step_io::floats;
use crate::kernels::call::Sequence;
use crate::kernels::finite::{NonFinite, non_finite};
use crate::plan::{ModelPlan, Slot};
use crate::types::{Dim, StepSize};

/// A row of the first output of the last step, which has more rows than `row`.
pub(super) fn output_row<'a>(plan: &ModelPlan, arena: &'a Arena, row: usize) -> &'a [f32] {
    let Some(slot) = plan.step().outputs().first() else {
        return &[];
    };
    let width = plan.logits_width();
    let all = floats(arena, slot, (row + 1) * width);
    &all[row * width..]
}

/// The rows of an output that belong to a sequence whose last token is read in the step: the rows of all its tokens, or the
/// rows `wanted` if the output has only wanted rows. An output without rows of tokens is one row.
pub(super) fn rows_of(slot: &Slot, sequence: &Sequence, wanted: &Range<usize>) -> Range<usize> {
    match slot.ty().shape.first() {
        Some(Dim::Tokens) => sequence.start..sequence.end,
        Some(Dim::Rows) => wanted.clone(),
        _ => 0..1,
    }
}

/// Fails if a row that belongs to a sequence is not finite, in any output of a step of the size `size`. `wanted` is as for
/// [`rows_of`].
pub(super) fn check_finite(
    plan: &ModelPlan,
    arena: &Arena,
    size: StepSize,
    (sequence, wanted): (&Sequence, &Range<usize>),
) -> Result<(), StepError> {
    for slot in plan.step().outputs() {
        let len: usize = slot.shape(size).iter().product();
        let width = match slot.ty().shape.first() {
            Some(Dim::Tokens) => len / size.tokens.max(1),
            Some(Dim::Rows) => len / size.rows.max(1),
            _ => len,
        };
        let rows = rows_of(slot, sequence, wanted);
        let values = floats(arena, slot, len);
        let own = values.get(rows.start * width..rows.end * width);
        let own = own.unwrap_or_default();
        let Some(NonFinite { first, .. }) = non_finite(own) else {
            continue;
        };
        let row = first / width;
        let found = own.get(row * width..(row + 1) * width).and_then(non_finite);
        return Err(StepError::NotFinite {
            text: 0,
            // An output with fewer rows than tokens has the rows of the last tokens.
            token: sequence.positions() - rows.len() + row,
            count: found.map_or(1, |found| found.count),
            width,
            first: first % width,
        });
    }
    Ok(())
}
