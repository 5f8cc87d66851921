//! The cost model: which steps gain from all threads.
//!
//! The model weighs what a second thread saves, half of the arithmetic, against what it costs, a synchronization after
//! each step. Both are estimates for a current machine; they affect only time, never bits.

use super::step::{Step, StepInput, WeightNeed};
use crate::ops::WeightForm;

/// Bytes of weights that a thread multiplies with one token in a nanosecond, from the second-level cache. A model in
/// main memory is slower, so threads pay off even sooner.
const BYTES_PER_NANOSECOND: f64 = 64.0;
/// Multiply-adds that a thread does in a nanosecond where many tokens share a weight.
const OPERATIONS_PER_NANOSECOND: f64 = 50.0;
/// Nanoseconds that threads lose after each step: they look for the next step, and wait for the slowest thread. With a
/// tenth of this value the smallest models would be split in vain; with ten times this value, models that gain by half
/// would not be split.
const MEETING: f64 = 250.0;

/// From how many tokens on a step gains from all of `most` threads; with fewer tokens, one thread is faster.
pub(super) fn all_threads_from(steps: &[Step], weights: &[WeightNeed], most: usize) -> usize {
    let bytes: usize = steps
        .iter()
        .flat_map(|step| &step.inputs)
        .filter_map(|source| match source {
            StepInput::Weight(weight) => weights
                .get(*weight)
                .filter(|w| matches!(w.form, WeightForm::Packed | WeightForm::Quantized)),
            _ => None,
        })
        .map(WeightNeed::bytes)
        .sum();
    let reading = bytes as f64 / BYTES_PER_NANOSECOND;
    // Narrower weights take less arithmetic too: blocks are multiplied in wider groups.
    let computing_a_token = bytes as f64 / 4.0 / OPERATIONS_PER_NANOSECOND;
    // All threads are faster where `alone / most + meetings < alone`.
    let meetings = MEETING * steps.len() as f64;
    let enough = meetings / (1.0 - 1.0 / most as f64);
    if reading > enough {
        return 0;
    }
    // The cast saturates: a model without weights, or one thread, gains from no number of tokens.
    ((enough / computing_a_token).floor() as usize).saturating_add(1)
}
