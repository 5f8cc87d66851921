//! What callers of a step write into the arena before it, and read from there afterwards.

use super::arena::Arena;
use super::step_error::StepError;
use crate::kernels::call::Sequence;
use crate::plan::{ModelPlan, Slot, StepPlan};

/// Fails if an id in `tokens` is not below `vocabulary`.
pub(super) fn check_known(tokens: &[u32], vocabulary: usize) -> Result<(), StepError> {
    match tokens.iter().find(|&&id| id as usize >= vocabulary) {
        None => Ok(()),
        Some(&token) => Err(StepError::UnknownToken { token, vocabulary }),
    }
}

/// Whether a model can read a text from its beginning, alone.
///
/// # Errors
/// If the text is empty, has an unknown id, is longer than the context, or must be read in one step and does not fit.
pub(super) fn check_text(
    plan: &ModelPlan,
    vocabulary: usize,
    text: &[u32],
) -> Result<(), StepError> {
    let (context, chunk) = (plan.options().context, plan.step().tokens());
    let tokens = text.len();
    if tokens == 0 {
        return Err(StepError::Empty);
    }
    if tokens > context {
        return Err(StepError::ContextFull {
            position: 0,
            context,
            tokens,
        });
    }
    if plan.is_bidirectional() && tokens > chunk {
        return Err(StepError::NotWhole { tokens, chunk });
    }
    check_known(text, vocabulary)
}

/// Write `numbers`, each of which fits into an i32, to the elements of a slot from `first` on; do nothing where the
/// plan has no such slot.
pub(super) fn write_numbers(
    arena: &mut Arena,
    slot: Option<&Slot>,
    first: usize,
    numbers: impl ExactSizeIterator<Item = usize>,
) {
    let Some(slot) = slot else { return };
    // SAFETY: the arena is borrowed exclusively, so that no step runs and nobody else uses its cells.
    let cells = unsafe { arena.cells::<i32>(slot.offset(), first + numbers.len()) };
    for (cell, number) in cells[first..].iter().zip(numbers) {
        cell.set(number as i32);
    }
}

/// Write the ids and positions of the tokens that a step of `plan` reads of a sequence.
pub(super) fn write_tokens(
    arena: &mut Arena,
    plan: &StepPlan,
    sequence: &Sequence,
    tokens: &[u32],
) {
    let ids = tokens.iter().map(|&token| token as usize);
    write_numbers(arena, plan.token_ids(), sequence.start, ids);
    let positions = sequence.past..sequence.positions();
    write_numbers(arena, plan.positions(), sequence.start, positions);
}

/// The first `len` floats of a slot.
pub(super) fn floats<'a>(arena: &'a Arena, slot: &Slot, len: usize) -> &'a [f32] {
    // SAFETY: steps and `write_numbers` borrow the arena exclusively, so that nobody writes to it while it is borrowed here.
    let cells = unsafe { arena.cells::<f32>(slot.offset(), len) };
    // SAFETY: a `Cell<f32>` has the layout of an f32, and nothing writes to it, as above.
    unsafe { std::slice::from_raw_parts(cells.as_ptr().cast::<f32>(), cells.len()) }
}
