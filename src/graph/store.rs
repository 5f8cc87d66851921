//! The graph itself, read-only: everything that asks and nothing that changes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use petgraph::Direction;
use petgraph::stable_graph::StableDiGraph;
use petgraph::visit::{EdgeRef, IntoEdgeReferences};
use smallvec::{SmallVec, smallvec};

use super::GraphError;
use super::node::{Kind, Name, Node, NodeId, Value};
use crate::ops::{Op, Types};
use crate::types::{DType, Literal, Type};

/// From which output of the source node to which input slot of the target node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub output: usize,
    pub slot: usize,
}

/// What a value depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// On literals alone.
    Literal,
    /// On weights and literals: computed once, when the model is loaded.
    Weight,
    /// On a step's inputs.
    Activation,
}

impl Class {
    /// What values of that class are instead, where none has elements of that type.
    pub fn misfit(self, dtype: DType) -> Option<&'static str> {
        match (self, dtype) {
            (Class::Activation, DType::F16 | DType::BF16 | DType::Blocks(_)) => {
                Some("what depends on the tokens is f32, i32 or int8")
            }
            (Class::Literal | Class::Weight, DType::Int8) | (Class::Weight, DType::I32) => {
                Some("weights are floats")
            }
            (Class::Activation, DType::F32 | DType::I32 | DType::Int8)
            | (Class::Weight, DType::F32 | DType::F16 | DType::BF16 | DType::Blocks(_))
            | (
                Class::Literal,
                DType::F32 | DType::I32 | DType::F16 | DType::BF16 | DType::Blocks(_),
            ) => None,
        }
    }
}

/// A graph of values. Changed only through [`Graph::edit`].
#[derive(Clone, Default, Debug)]
pub struct Graph {
    pub(super) inner: StableDiGraph<Node, Edge>,
    /// What the graph computes, in the file's order.
    pub(super) outputs: Vec<Value>,
    pub(super) next_place: u32,
}

impl Graph {
    /// A graph without nodes.
    pub fn new() -> Self {
        Graph::default()
    }

    /// A node.
    ///
    /// # Panics
    /// If the node is of another graph or was removed.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.inner[id.0]
    }

    /// Whether the node is in the graph.
    pub fn contains(&self, id: NodeId) -> bool {
        self.inner.contains_node(id.0)
    }

    /// A bound on [`NodeId::index`].
    pub fn id_bound(&self) -> usize {
        self.inner
            .node_indices()
            .map(|i| i.index() + 1)
            .max()
            .unwrap_or(0)
    }

    /// The number of nodes that are ops.
    pub fn op_count(&self) -> usize {
        self.inner
            .node_weights()
            .filter(|n| n.op().is_some())
            .count()
    }

    /// All nodes, in no particular order.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.inner.node_indices().map(NodeId)
    }

    /// What the graph computes.
    pub fn outputs(&self) -> &[Value] {
        &self.outputs
    }

    /// The type of a value.
    pub fn ty(&self, value: Value) -> &Type {
        &self.node(value.node).outputs[value.output].ty
    }

    /// The name of a value.
    pub fn name(&self, value: Value) -> &Name {
        &self.node(value.node).outputs[value.output].name
    }

    /// The value of that name.
    pub fn find(&self, name: &str) -> Option<Value> {
        self.ids().find_map(|node| {
            let output = self
                .node(node)
                .outputs
                .iter()
                .position(|o| &*o.name == name)?;
            Some(Value { node, output })
        })
    }

    /// The literal that a value is, if it is one.
    pub fn literal(&self, value: Value) -> Option<Literal> {
        match self.node(value.node).kind {
            Kind::Constant(literal) => Some(literal),
            _ => None,
        }
    }

    /// A node's inputs by slot; `None` is an optional input that is absent.
    pub fn inputs(&self, id: NodeId) -> SmallVec<[Option<Value>; 4]> {
        let mut inputs: SmallVec<[Option<Value>; 4]> = smallvec![None; self.node(id).slots];
        for edge in self.inner.edges_directed(id.0, Direction::Incoming) {
            let Edge { output, slot } = *edge.weight();
            inputs[slot] = Some(Value {
                node: NodeId(edge.source()),
                output,
            });
        }
        inputs
    }

    /// Who reads a value, and in which slot; in the order of [`Graph::order`]'s ties (file order, then slot).
    pub fn users(&self, value: Value) -> SmallVec<[(NodeId, usize); 4]> {
        let mut users: SmallVec<[(NodeId, usize); 4]> = self
            .inner
            .edges_directed(value.node.0, Direction::Outgoing)
            .filter(|e| e.weight().output == value.output)
            .map(|e| (NodeId(e.target()), e.weight().slot))
            .collect();
        users.sort_by_key(|&(node, slot)| (self.node(node).place, node, slot));
        users
    }

    /// Whether the value is one of the graph's outputs.
    pub fn is_output(&self, value: Value) -> bool {
        self.outputs.contains(&value)
    }

    /// The types that `op` would give for those operands.
    pub(super) fn infer(&self, op: &Op, inputs: &[Option<Value>]) -> Result<Types, GraphError> {
        let types: SmallVec<[Option<&Type>; 8]> =
            inputs.iter().map(|v| v.map(|v| self.ty(v))).collect();
        op.infer(&types).map_err(GraphError::new)
    }

    /// All nodes so that each stands after those it reads; what no edge orders stands in the file's order.
    /// Nodes on a cycle are left out (the verifier reports them).
    pub fn order(&self) -> Vec<NodeId> {
        let mut waiting = vec![0usize; self.id_bound()];
        for edge in self.inner.edge_references() {
            waiting[edge.target().index()] += 1;
        }
        let key = |id: NodeId| Reverse((self.node(id).place, id));
        let mut ready: BinaryHeap<_> = self
            .ids()
            .filter(|id| waiting[id.index()] == 0)
            .map(key)
            .collect();
        let mut order = Vec::with_capacity(self.inner.node_count());
        while let Some(Reverse((_, id))) = ready.pop() {
            order.push(id);
            for edge in self.inner.edges_directed(id.0, Direction::Outgoing) {
                let target = edge.target().index();
                waiting[target] -= 1;
                if waiting[target] == 0 {
                    ready.push(key(NodeId(edge.target())));
                }
            }
        }
        order
    }

    /// What each node depends on, by [`NodeId::index`].
    pub fn classes(&self) -> Vec<Class> {
        let mut classes = vec![Class::Literal; self.id_bound()];
        for id in self.order() {
            classes[id.index()] = match self.node(id).kind {
                Kind::Input => Class::Activation,
                Kind::Weight(_) => Class::Weight,
                Kind::Constant(_) => Class::Literal,
                Kind::Op(_) => {
                    let inputs = self.inputs(id);
                    inputs
                        .iter()
                        .flatten()
                        .map(|v| classes[v.node.index()])
                        .max()
                        .unwrap_or(Class::Literal)
                }
            };
        }
        classes
    }
}
