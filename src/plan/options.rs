//! What a plan depends on besides the graph.

use crate::kernels::simd::Isa;
use crate::types::StepSize;

/// What a plan depends on besides the graph.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// Positions that the caches hold.
    pub context: usize,
    /// The most tokens of a prompt step. More than the context only where a step reads several texts.
    pub chunk: usize,
    /// The most sequences of a step, where an engine runs several sequences of a model that reads token by token.
    pub sequences: usize,
    /// The most rows of a step whose outputs are wanted; `None` if every row is wanted.
    pub rows: Option<usize>,
    /// Threads that run a step.
    pub threads: usize,
    /// Whether a step may run on one thread alone where the others would slow it down.
    pub fewer_threads: bool,
    /// The instruction set of the kernels.
    pub isa: Isa,
    /// Whether an op may write over an operand.
    pub in_place: bool,
    /// Whether values that do not live at the same time may share bytes.
    pub reuse_buffers: bool,
}

impl PlanOptions {
    /// The largest step: it never wants more rows than it has tokens.
    pub(super) fn largest(&self) -> StepSize {
        let tokens = self.chunk.max(1);
        StepSize {
            tokens,
            rows: self.rows.map_or(tokens, |rows| rows.min(tokens)),
            context: self.context,
        }
    }
}
