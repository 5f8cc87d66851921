//! The graph itself, read-only: all queries, and no changes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, OnceLock};

use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use super::GraphError;
use super::node::{Kind, Name, Node, NodeId, Value};
use super::storage::Storage;
use crate::ops::{Op, OpDef, Types};
use crate::types::{DType, Literal, Type};

/// What a value depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// On literals alone.
    Literal,
    /// On weights and literals: computed once, when the model is loaded.
    Weight,
    /// On the inputs of a step.
    Activation,
}

impl Class {
    /// A description of what values of this class have instead, if no value of this class can have elements of type
    /// `dtype`.
    pub fn misfit(self, dtype: DType) -> Option<&'static str> {
        match (self, dtype) {
            (Class::Activation, DType::F16 | DType::BF16 | DType::Blocks(_)) => {
                Some("values that depend on the tokens are f32, i32 or int8")
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

/// Nodes in an order in which each comes after the nodes it reads. Clones share one list.
#[derive(Clone, Debug)]
pub struct Order(Arc<[NodeId]>);

impl std::ops::Deref for Order {
    type Target = [NodeId];

    fn deref(&self) -> &[NodeId] {
        &self.0
    }
}

impl IntoIterator for Order {
    type Item = NodeId;
    type IntoIter = Nodes;

    fn into_iter(self) -> Nodes {
        Nodes {
            order: self,
            next: 0,
        }
    }
}

/// Iterates over the nodes of an order.
#[derive(Clone, Debug)]
pub struct Nodes {
    order: Order,
    next: usize,
}

impl Iterator for Nodes {
    type Item = NodeId;

    fn next(&mut self) -> Option<NodeId> {
        let id = self.order.get(self.next).copied();
        self.next += 1;
        id
    }
}

/// What is known about a graph since its last change.
#[derive(Clone, Default, Debug)]
pub(super) struct Known {
    /// The result of [`Graph::order`].
    order: OnceLock<Order>,
    /// The result of [`Graph::classes`].
    classes: OnceLock<Arc<[Class]>>,
    /// Whether an output depends on every node that could be removed.
    pub is_swept: bool,
}

/// A graph of values. Changed only through [`Graph::edit`].
#[derive(Clone, Default, Debug)]
pub struct Graph {
    pub(super) nodes: Storage,
    /// Every name in the graph.
    pub(super) names: FxHashSet<Name>,
    pub(super) known: Known,
    /// The values that the graph computes, in the order of the file.
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
    /// If the node belongs to another graph or was removed.
    pub fn node(&self, id: NodeId) -> &Node {
        self.nodes.node(id)
    }

    /// The definition of a node's op; `None` if the node is not an op.
    ///
    /// # Panics
    /// If the id is not below [`Graph::id_bound`].
    pub fn def(&self, id: NodeId) -> Option<&'static OpDef> {
        self.nodes.def(id)
    }

    /// Whether the node is in the graph.
    pub fn contains(&self, id: NodeId) -> bool {
        self.nodes.contains(id)
    }

    /// A bound on [`NodeId::index`].
    pub fn id_bound(&self) -> usize {
        self.nodes.bound()
    }

    /// The number of nodes that are ops.
    pub fn op_count(&self) -> usize {
        self.ids().filter(|&id| self.def(id).is_some()).count()
    }

    /// All nodes, in no particular order.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.ids()
    }

    /// The values that the graph computes.
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

    /// The value called `name`.
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

    /// The literal, if the value is one.
    pub fn literal(&self, value: Value) -> Option<Literal> {
        match self.node(value.node).kind {
            Kind::Constant(literal) => Some(literal),
            _ => None,
        }
    }

    /// The inputs of a node by slot; `None` is an optional input that is absent.
    pub fn inputs(&self, id: NodeId) -> SmallVec<[Option<Value>; 4]> {
        self.nodes.operands(id).collect()
    }

    /// The readers of a value, with the slot in which each reads it; in the order of the file, then of the slots.
    pub fn users(&self, value: Value) -> SmallVec<[(NodeId, usize); 4]> {
        let readers = self.nodes.readers(value.node);
        let mut users: SmallVec<[(NodeId, usize); 4]> = readers
            .filter(|&(_, _, output)| output == value.output)
            .map(|(node, slot, _)| (node, slot))
            .collect();
        users.sort_by_key(|&(node, slot)| (self.nodes.place(node), node, slot));
        users
    }

    /// Whether some node reads the value.
    pub fn has_users(&self, value: Value) -> bool {
        let mut readers = self.nodes.readers(value.node);
        readers.any(|(_, _, output)| output == value.output)
    }

    /// Whether the value is one of the graph's outputs.
    pub fn is_output(&self, value: Value) -> bool {
        self.outputs.contains(&value)
    }

    /// The types of the outputs of `op` for the given operands.
    pub(super) fn infer(&self, op: &Op, inputs: &[Option<Value>]) -> Result<Types, GraphError> {
        let types: SmallVec<[Option<&Type>; 8]> =
            inputs.iter().map(|v| v.map(|v| self.ty(v))).collect();
        op.infer(&types).map_err(GraphError::new)
    }

    /// All nodes in an order in which each comes after the nodes it reads; nodes that no edge orders are in the order of the
    /// file. Nodes on a cycle are left out (the verifier reports them).
    pub fn order(&self) -> Order {
        let order = self.known.order.get_or_init(|| self.find_order());
        order.clone()
    }

    fn find_order(&self) -> Order {
        let key = |id: NodeId| (self.nodes.place(id), id);
        let mut order: Vec<NodeId> = self.ids().collect();
        order.sort_by_key(|&id| key(id));
        // Most graphs list each node after its operands: the file's order is then the order below, found in linear time.
        let in_order = |&id: &NodeId| {
            let mut operands = self.nodes.operands(id).flatten();
            operands.all(|operand| key(operand.node) < key(id))
        };
        if order.iter().all(in_order) {
            return Order(order.into());
        }
        let mut waiting = vec![0usize; self.id_bound()];
        for id in self.ids() {
            waiting[id.index()] = self.nodes.operands(id).flatten().count();
        }
        let next = |id: NodeId| Reverse(key(id));
        let ready = self.ids().filter(|id| waiting[id.index()] == 0);
        let mut ready: BinaryHeap<_> = ready.map(next).collect();
        order.clear();
        while let Some(Reverse((_, id))) = ready.pop() {
            order.push(id);
            for (reader, _, _) in self.nodes.readers(id) {
                let left = &mut waiting[reader.index()];
                *left -= 1;
                if *left == 0 {
                    ready.push(next(reader));
                }
            }
        }
        Order(order.into())
    }

    /// What each node depends on, by [`NodeId::index`].
    pub fn classes(&self) -> Arc<[Class]> {
        let classes = self.known.classes.get_or_init(|| self.find_classes());
        classes.clone()
    }

    fn find_classes(&self) -> Arc<[Class]> {
        let mut classes = vec![Class::Literal; self.id_bound()];
        for id in self.order() {
            classes[id.index()] = match self.node(id).kind {
                Kind::Input => Class::Activation,
                Kind::Weight(_) => Class::Weight,
                Kind::Constant(_) => Class::Literal,
                Kind::Op(_) => {
                    let operands = self.nodes.operands(id).flatten();
                    let classes = operands.map(|v| classes[v.node.index()]);
                    classes.max().unwrap_or(Class::Literal)
                }
            };
        }
        classes.into()
    }
}
