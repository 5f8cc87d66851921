//! The editor: the only way to change a graph.

use std::fmt::Write;

use smallvec::smallvec;

use super::GraphError;
use super::input::Input;
use super::node::{Kind, Name, Node, NodeId, Output, Value, WeightSource};
use super::store::{Graph, Known};
use crate::ops::Op;
use crate::types::{DType, Literal, Type};

/// A graph that is being changed. Each step infers types and keeps names unique.
pub struct Editor<'g> {
    graph: &'g mut Graph,
    /// The place of new nodes; `None` means the next free one for each.
    place: Option<u32>,
    /// Where names with numbers are written, before they are known to be free.
    numbered: String,
}

impl Graph {
    /// Begin to change the graph.
    pub fn edit(&mut self) -> Editor<'_> {
        Editor::new(self)
    }
}

impl<'g> Editor<'g> {
    pub(super) fn new(graph: &'g mut Graph) -> Self {
        Editor {
            graph,
            place: None,
            numbered: String::new(),
        }
    }

    /// The graph as it is now.
    pub fn graph(&self) -> &Graph {
        self.graph
    }

    /// Until the next call, new nodes take the place of `id` in the order of the file.
    pub fn at(&mut self, id: NodeId) {
        self.place = Some(self.graph.nodes.place(id));
    }

    /// Reserve memory for `nodes` more nodes of one output each, so that the graph's tables grow once.
    pub fn reserve(&mut self, nodes: usize) {
        self.graph.nodes.reserve(nodes);
        self.graph.names.reserve(nodes);
    }

    /// The value of an input, which is added before all other nodes if the graph lacks it.
    ///
    /// # Errors
    /// If another value has the input's name.
    pub fn given(&mut self, input: Input) -> Result<Value, GraphError> {
        if let Some(value) = self.graph.input(input) {
            return Ok(value);
        }
        let place = self.place.replace(0);
        let added = self.input(input.name(), input.ty());
        self.place = place;
        Ok(added?.into())
    }

    /// Add a value that each step is given.
    pub fn input(&mut self, name: &str, ty: Type) -> Result<NodeId, GraphError> {
        self.leaf(Kind::Input, name, ty)
    }

    /// Add a tensor of the weight file.
    pub fn weight(
        &mut self,
        name: &str,
        source: WeightSource,
        ty: Type,
    ) -> Result<NodeId, GraphError> {
        self.leaf(Kind::Weight(source), name, ty)
    }

    /// Add a number. It is printed where it is used, so its name is never shown.
    pub fn constant(&mut self, literal: Literal) -> NodeId {
        let dtype = match literal {
            Literal::Int(_) => DType::I32,
            Literal::Float(_) => DType::F32,
        };
        // A separate number keeps the search for a free name short, however many constants there are.
        self.graph.next_place += 1;
        let name = self.free_name(&format!("constant#{}", self.graph.next_place));
        let output = Output {
            name,
            ty: Type::new(dtype, []),
        };
        let node = Node {
            kind: Kind::Constant(literal),
            outputs: smallvec![output],
        };
        self.insert(node, 0)
    }

    fn leaf(&mut self, kind: Kind, name: &str, ty: Type) -> Result<NodeId, GraphError> {
        if self.graph.names.contains(name) {
            return Err(GraphError::new(format!("the name \"{name}\" is taken")));
        }
        let output = Output {
            name: name.into(),
            ty,
        };
        self.graph.names.insert(output.name.clone());
        let node = Node {
            kind,
            outputs: smallvec![output],
        };
        Ok(self.insert(node, 0))
    }

    fn insert(&mut self, node: Node, slots: usize) -> NodeId {
        let place = self.place.unwrap_or_else(|| {
            self.graph.next_place += 1;
            self.graph.next_place
        });
        self.graph.known = Known::default();
        self.graph.nodes.add(node, place, slots)
    }

    /// A free name: `wanted`, or `wanted` with a number.
    pub fn free_name(&mut self, wanted: &str) -> Name {
        let names = &mut self.graph.names;
        let numbered = &mut self.numbered;
        numbered.clear();
        numbered.push_str(wanted);
        let mut number = 2u32;
        while names.contains(numbered.as_str()) {
            numbered.truncate(wanted.len());
            // Writing into a string can't fail.
            let _ = write!(numbered, "#{number}");
            number += 1;
        }
        let name: Name = numbered.as_str().into();
        names.insert(name.clone());
        name
    }

    /// Add an op. Output names that are already in use get a number. Types are inferred; a type error names the op.
    pub fn op(
        &mut self,
        op: Op,
        inputs: &[Option<Value>],
        names: &[&str],
    ) -> Result<NodeId, GraphError> {
        let types = self.graph.infer(&op, inputs)?;
        if types.len() != names.len() {
            let text = format!(
                "{}: wrong number of output names: expected {}, found {}",
                op.name(),
                types.len(),
                names.len()
            );
            return Err(GraphError::new(text));
        }
        let outputs = types
            .into_iter()
            .zip(names)
            .map(|(ty, name)| Output {
                name: self.free_name(name),
                ty,
            })
            .collect();
        let node = Node {
            kind: Kind::Op(op),
            outputs,
        };
        let id = self.insert(node, inputs.len());
        for (slot, value) in inputs.iter().enumerate() {
            if let Some(value) = value {
                self.graph.nodes.connect(id, slot, *value);
            }
        }
        Ok(id)
    }

    /// All readers of `from` read `to` instead, and `to` takes its name (a graph output stays one). The types must be equal.
    pub fn replace(&mut self, from: Value, to: Value) -> Result<(), GraphError> {
        if self.graph.ty(from) != self.graph.ty(to) {
            let (was, is) = (self.graph.ty(from), self.graph.ty(to));
            return Err(GraphError::new(format!(
                "\"{}\" is {was}, but its replacement is {is}",
                self.graph.name(from)
            )));
        }
        for (user, slot) in self.graph.users(from) {
            if user != to.node {
                self.rewire(user, slot, to);
            }
        }
        self.graph.known.is_swept = false;
        for output in &mut self.graph.outputs {
            if *output == from {
                *output = to;
            }
        }
        // Names stay with the value; the two names are swapped so that they stay unique.
        if matches!(self.graph.node(to.node).kind, Kind::Op(_)) && from.node != to.node {
            let old = self.graph.name(from).clone();
            let new = std::mem::replace(
                &mut self.graph.nodes.node_mut(to.node).outputs[to.output].name,
                old,
            );
            self.graph.nodes.node_mut(from.node).outputs[from.output].name = new;
        }
        Ok(())
    }

    /// Like [`Editor::replace`], but for one reader: `user` reads `to` in `slot`. The types must be equal, or the outputs of
    /// the op must keep their types; the verifier checks this.
    pub fn rewire(&mut self, user: NodeId, slot: usize, to: Value) {
        self.graph.known = Known::default();
        self.graph.nodes.connect(user, slot, to);
    }

    /// Infer the types of the outputs of a node again after the types of its inputs changed.
    pub fn refresh(&mut self, id: NodeId) -> Result<(), GraphError> {
        let inputs = self.graph.inputs(id);
        let Kind::Op(op) = &self.graph.node(id).kind else {
            return Ok(());
        };
        let types = self.graph.infer(op, &inputs)?;
        for (output, ty) in self.graph.nodes.node_mut(id).outputs.iter_mut().zip(types) {
            output.ty = ty;
        }
        Ok(())
    }

    /// Set the outputs of the graph.
    pub fn set_outputs(&mut self, outputs: Vec<Value>) {
        self.graph.known.is_swept = false;
        self.graph.outputs = outputs;
    }

    /// Give a value another name, with a number if the name is in use.
    pub fn rename(&mut self, value: Value, name: &str) {
        let name = self.free_name(name);
        let old = std::mem::replace(
            &mut self.graph.nodes.node_mut(value.node).outputs[value.output].name,
            name,
        );
        self.graph.names.remove(&old);
    }

    /// Remove ops, weights and constants that no output depends on; inputs stay.
    pub fn sweep(&mut self) {
        self.sweep_each(|_| {});
    }

    /// The same; `each` is given every node that is removed, the last of the file first.
    pub fn sweep_each(&mut self, mut each: impl FnMut(&Node)) {
        if self.graph.known.is_swept {
            return;
        }
        let graph = &*self.graph;
        let mut live = vec![false; graph.id_bound()];
        let mut stack: Vec<NodeId> = graph.outputs.iter().map(|v| v.node).collect();
        while let Some(id) = stack.pop() {
            if !std::mem::replace(&mut live[id.index()], true) {
                stack.extend(graph.nodes.operands(id).flatten().map(|v| v.node));
            }
        }
        let is_dead = |id: &NodeId| !live[id.index()] && graph.node(*id).kind != Kind::Input;
        let mut dead: Vec<NodeId> = graph.ids().filter(is_dead).collect();
        dead.sort_by_key(|&id| (graph.nodes.place(id), id));
        // Remove the last first, so that their ids are reused in the file's order, and neighbours lie side by side.
        for id in dead.into_iter().rev() {
            self.graph.known = Known::default();
            if let Some(node) = self.graph.nodes.remove(id) {
                for output in &node.outputs {
                    self.graph.names.remove(&output.name);
                }
                each(&node);
            }
        }
        self.graph.known.is_swept = true;
    }
}
