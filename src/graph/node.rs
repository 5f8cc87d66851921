//! Nodes and the values they give.

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

    /// The node of that number, which is below 2³²: a graph of as many nodes fits in no memory.
    pub(super) fn from_index(index: usize) -> Self {
        NodeId(index as u32)
    }
}

/// One output of a node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Value {
    /// The node.
    pub node: NodeId,
    /// Which of its outputs.
    pub output: usize,
}

impl From<NodeId> for Value {
    /// The node's first output.
    fn from(node: NodeId) -> Self {
        Value { node, output: 0 }
    }
}

/// Where a weight's data stands.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct WeightSource {
    /// The tensor's name in the weight file.
    pub tensor: Name,
}

/// What a node is.
#[derive(Clone, PartialEq, Debug)]
pub enum Kind {
    /// A value given with each step: an [`Input`](super::Input).
    Input,
    /// A tensor of the weight file.
    Weight(WeightSource),
    /// A number.
    Constant(Literal),
    /// An operation on other values.
    Op(Op),
}

/// One output's name and type.
#[derive(Clone, PartialEq, Debug)]
pub struct Output {
    /// Unique in the graph.
    pub name: Name,
    /// Inferred, never given.
    pub ty: Type,
}

/// A node: what it is and what it gives. What it reads is the graph's to say.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// What it gives; one entry except for ops with several outputs.
    pub outputs: SmallVec<[Output; 1]>,
    /// Place in the file, inherited by what replaces the node: orders nodes that no edge orders.
    pub(super) place: u32,
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
