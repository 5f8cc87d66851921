//! Nodes and their values.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::ops::Op;
use crate::types::{Literal, Type};

/// The name of a value, unique in its graph.
pub type Name = Arc<str>;

/// A node of one graph. Ids stay valid while other nodes come and go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct NodeId(u32);

impl NodeId {
    /// A number that identifies the node in its graph, below [`super::Graph::id_bound`].
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// The node with that number, which is below 2³²: no memory can hold a graph of as many nodes.
    pub(super) fn from_index(index: usize) -> Self {
        NodeId(index as u32)
    }
}

/// One output of a node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Value {
    /// The node.
    pub node: NodeId,
    /// The number of the output.
    pub output: usize,
}

impl From<NodeId> for Value {
    /// The node's first output.
    fn from(node: NodeId) -> Self {
        Value { node, output: 0 }
    }
}

/// Where the data of a weight is found.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct WeightSource {
    /// The name of the tensor in the weight file.
    pub tensor: Name,
}

/// The kind of a node.
#[derive(Clone, PartialEq, Debug)]
pub enum Kind {
    /// A value given with each step: an [`Input`](super::Input).
    Input,
    /// A tensor in the weight file.
    Weight(WeightSource),
    /// A number.
    Constant(Literal),
    /// An operation on other values.
    Op(Op),
}

/// The name and the type of one output.
#[derive(Clone, PartialEq, Debug)]
pub struct Output {
    /// Unique in the graph.
    pub name: Name,
    /// Inferred, never given.
    pub ty: Type,
}

/// A node: its kind and its outputs. Its operands are stored by the graph.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// The kind of the node.
    pub kind: Kind,
    /// The outputs; one entry except for ops with several outputs.
    pub outputs: SmallVec<[Output; 1]>,
}

impl Node {
    /// The operation, if it is one.
    pub fn op(&self) -> Option<&Op> {
        match &self.kind {
            Kind::Op(op) => Some(op),
            _ => None,
        }
    }

    /// The name of the first output.
    pub fn name(&self) -> &Name {
        &self.outputs[0].name
    }
}
