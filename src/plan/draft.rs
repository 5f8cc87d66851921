//! A graph while it is scheduled, and kernel calls before their operands have places.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use smallvec::SmallVec;

use super::step::WeightNeed;
use crate::graph::{Class, Graph, NodeId, Order, Value};
use crate::kernels::call::BoundKernel;
use crate::ops::{Read, View, WeightForm};

/// A graph while it is scheduled.
pub(super) struct Scheduler<'a> {
    pub graph: &'a Graph,
    pub order: Order,
    pub classes: Arc<[Class]>,
    pub weights: Vec<WeightNeed>,
    pub weight_index: FxHashMap<(Value, WeightForm), usize>,
    /// Nodes with a cache, in order.
    pub stateful: Vec<NodeId>,
}

/// One kernel call before its operands have places.
pub(super) struct Draft {
    pub node: NodeId,
    /// This call's number among the node's phases, from 0, and the number of phases.
    pub phase: (usize, usize),
    pub kernel: Box<dyn BoundKernel>,
    /// Operand values by slot of the kernel; `None` is absent.
    pub inputs: SmallVec<[Option<Value>; 8]>,
    /// The op's slot that each of the kernel's slots stands for, and how the operand is read.
    pub reads: SmallVec<[Read; 8]>,
    pub outputs: bool,
    pub scratch: usize,
}

/// Whether the node only sees its operand's bytes in another shape.
pub(super) fn is_view(graph: &Graph, id: NodeId) -> bool {
    let op = graph.node(id).op();
    op.is_some_and(|op| op.def().view == Some(View::Reshape))
}
