//! Steps, and where their operands lie. Nothing outside this folder can make or change one.

use smallvec::SmallVec;

use super::place::{Buffer, Placement};
use crate::graph::{ByValue, Name, NodeId, Value};
use crate::kernels::call::BoundKernel;
use crate::ops::WeightForm;
use crate::types::{DType, Dim, StepSize, Type};

/// Inputs of a step that a thread can hold without a separate list: more than nearly all ops have.
pub const FEW_INPUTS: usize = 16;
/// Outputs of a step, likewise.
pub const FEW_OUTPUTS: usize = 8;

/// A place in the activations region and how its bytes are seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    pub(super) offset: usize,
    pub(super) ty: Type,
}

impl Slot {
    /// Bytes from the beginning of the activations region.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Element type and shape; the symbolic dimensions are filled in at each step.
    pub fn ty(&self) -> &Type {
        &self.ty
    }

    /// The slot's shape in a step of the size `size`.
    #[inline]
    pub fn shape(&self, size: StepSize) -> SmallVec<[usize; 4]> {
        self.ty
            .shape
            .iter()
            .map(|d: &Dim| d.resolve(size))
            .collect()
    }

    /// Whether the slot holds whole numbers.
    pub fn is_int(&self) -> bool {
        self.ty.dtype == DType::I32
    }

    /// Whether the slot holds int8 blocks.
    pub fn is_int8(&self) -> bool {
        self.ty.dtype == DType::Int8
    }
}

/// Where an operand of a step comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum StepInput {
    /// An optional operand that is absent.
    Absent,
    /// The activations region.
    Arena(Slot),
    /// Entry of [`super::ModelPlan::weights`].
    Weight(usize),
}

/// A weight that steps read.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightNeed {
    pub(super) value: Value,
    pub(super) form: WeightForm,
    pub(super) ty: Type,
}

impl WeightNeed {
    /// The graph's value: a weight, a literal, or an expression of those.
    pub fn value(&self) -> Value {
        self.value
    }

    /// How the weight is read.
    pub fn form(&self) -> WeightForm {
        self.form
    }

    /// The weight's type.
    pub fn ty(&self) -> &Type {
        &self.ty
    }

    /// Whether the bytes belong to another entry: rows of a table are read from the panels of blocks where the same
    /// value has such panels.
    pub fn is_shared(&self, needs: &[WeightNeed]) -> bool {
        let same = |need: &&WeightNeed| need.value == self.value;
        let mut others = needs.iter().filter(same);
        self.form == WeightForm::Table && others.any(|need| need.form == WeightForm::Quantized)
    }
}

/// One step of the plan: a node, or one phase of it.
pub struct Step {
    pub(super) node: NodeId,
    pub(super) name: Name,
    /// This step's number among the node's phases, from 0, and the number of phases.
    pub(super) phase: (usize, usize),
    pub(super) kernel: Box<dyn BoundKernel>,
    pub(super) inputs: SmallVec<[StepInput; 6]>,
    /// The node's operand that each input is.
    pub(super) operands: SmallVec<[usize; 6]>,
    pub(super) outputs: SmallVec<[Slot; 2]>,
    pub(super) scratch: usize,
    pub(super) cache: Option<usize>,
}

impl Step {
    /// What runs.
    #[inline]
    pub fn kernel(&self) -> &dyn BoundKernel {
        &*self.kernel
    }

    /// What the kernel reads.
    #[inline]
    pub fn inputs(&self) -> &[StepInput] {
        &self.inputs
    }

    /// What the kernel writes.
    #[inline]
    pub fn outputs(&self) -> &[Slot] {
        &self.outputs
    }

    /// Whether the operands do not fit in a thread's usual frame.
    #[inline]
    pub fn has_many_operands(&self) -> bool {
        self.inputs.len() > FEW_INPUTS || self.outputs.len() > FEW_OUTPUTS
    }

    /// Scratch each thread needs, in f32.
    #[inline]
    pub fn scratch(&self) -> usize {
        self.scratch
    }

    /// Entry of [`super::ModelPlan::caches`].
    #[inline]
    pub fn cache(&self) -> Option<usize> {
        self.cache
    }
}

/// The steps of a graph, for any number of tokens up to the largest.
pub struct StepPlan {
    /// The largest step.
    pub(super) size: StepSize,
    pub(super) threads: usize,
    /// The fewest tokens of a step that all threads run.
    pub(super) all_threads_from: usize,
    pub(super) steps: Vec<Step>,
    pub(super) token_ids: Option<Slot>,
    pub(super) positions: Option<Slot>,
    pub(super) wanted: Option<Slot>,
    pub(super) outputs: Vec<Slot>,
    pub(super) buffers: Vec<Buffer>,
    /// The buffer that each value lies in.
    pub(super) buffer_of: ByValue<usize>,
    pub(super) placement: Placement,
    pub(super) unshared: usize,
}

impl StepPlan {
    /// The most tokens of a step.
    pub fn tokens(&self) -> usize {
        self.size.tokens
    }

    /// The fewest and the most rows that a step of `tokens` tokens can want: always all rows where the graph has no
    /// input for the wanted rows.
    pub fn wanted_rows(&self, tokens: usize) -> (usize, usize) {
        match self.wanted {
            Some(_) => (0, self.size.rows),
            None => (tokens, tokens),
        }
    }

    /// Threads that run a step of `tokens` tokens: one where more would slow it down.
    pub fn threads(&self, tokens: usize) -> usize {
        match tokens >= self.all_threads_from {
            true => self.threads,
            false => 1,
        }
    }

    /// What runs, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Where the token ids must be written before a step.
    pub fn token_ids(&self) -> Option<&Slot> {
        self.token_ids.as_ref()
    }

    /// Where the positions must be written before a step.
    pub fn positions(&self) -> Option<&Slot> {
        self.positions.as_ref()
    }

    /// Where the numbers of the tokens whose outputs are wanted must be written before a step, each less than the
    /// step's number of tokens; `None` where all outputs are computed.
    pub fn wanted(&self) -> Option<&Slot> {
        self.wanted.as_ref()
    }

    /// Where the graph's outputs lie after a step.
    pub fn outputs(&self) -> &[Slot] {
        &self.outputs
    }

    /// The buffers: one for each class of values that share memory.
    pub fn buffers(&self) -> &[Buffer] {
        &self.buffers
    }

    /// Where the buffers lie.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Bytes that would be needed if each value had a buffer of its own; views are not counted.
    pub fn unshared(&self) -> usize {
        self.unshared
    }
}
