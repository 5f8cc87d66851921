//! The oracle: an interpreter that runs any graph, fused or not, with each op's plain reference.
//!
//! It shares no code with the planner or the executor. Kernels must agree with it to the bit.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::tensor::Tensor;
use crate::graph::{Graph, Kind, Literal, NodeId, Value};

/// What an op's reference sees.
pub struct Operands<'a> {
    inputs: SmallVec<[Option<&'a Tensor>; 8]>,
    past: usize,
    state: Option<&'a [Tensor; 2]>,
}

impl<'a> Operands<'a> {
    /// Operands of an op without state, `past` positions into the sequence.
    pub fn new(inputs: impl IntoIterator<Item = Option<&'a Tensor>>, past: usize) -> Self {
        Operands {
            inputs: inputs.into_iter().collect(),
            past,
            state: None,
        }
    }

    /// A required operand.
    ///
    /// # Panics
    /// If it is absent, which shape inference has refused.
    pub fn get(&self, slot: usize) -> &'a Tensor {
        self.inputs[slot].unwrap_or_else(|| unreachable!("input {slot} is absent"))
    }

    /// An operand that may be absent.
    pub fn optional(&self, slot: usize) -> Option<&'a Tensor> {
        self.inputs.get(slot).copied().flatten()
    }

    /// How many slots there are.
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// Whether there is no slot.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// Positions before this step.
    pub fn past(&self) -> usize {
        self.past
    }

    /// The op's keys and values of earlier steps, [past, kv_heads, dim] each.
    pub fn state(&self) -> Option<&'a [Tensor; 2]> {
        self.state
    }
}

/// Gives a weight's data as dense f32.
pub trait WeightData {
    /// The tensor of that name in the weight file, with its shape: widened to f32, or in its blocks.
    fn load(&self, tensor: &str) -> Result<Tensor, String>;
}

/// Runs a graph step by step, keeping the caches between steps.
pub struct Interpreter<'g> {
    graph: &'g Graph,
    order: Vec<NodeId>,
    /// Values that depend on no input.
    constants: HashMap<Value, Tensor>,
    states: HashMap<NodeId, [Tensor; 2]>,
    past: usize,
}

impl<'g> Interpreter<'g> {
    /// Prepare to run `graph`: load its weights and compute all that depends on them alone.
    pub fn new(graph: &'g Graph, weights: &dyn WeightData) -> Result<Self, String> {
        let classes = graph.classes();
        let (steps, fixed): (Vec<NodeId>, Vec<NodeId>) = graph
            .order()
            .into_iter()
            .partition(|id| classes[id.index()] == crate::graph::Class::Activation);
        let mut constants = HashMap::new();
        for id in fixed {
            match &graph.node(id).kind {
                Kind::Input => {}
                Kind::Weight(source) => {
                    constants.insert(Value::from(id), weights.load(&source.tensor)?);
                }
                Kind::Constant(literal) => {
                    constants.insert(Value::from(id), literal_tensor(*literal));
                }
                Kind::Op(op) => {
                    let inputs = graph.inputs(id);
                    let outputs = {
                        let operands =
                            Operands::new(inputs.iter().map(|v| v.map(|v| &constants[&v])), 0);
                        (op.def().reference)(op, &operands)
                    };
                    for (output, tensor) in outputs.into_iter().enumerate() {
                        constants.insert(Value { node: id, output }, tensor);
                    }
                }
            }
        }
        Ok(Interpreter {
            graph,
            order: steps,
            constants,
            states: HashMap::new(),
            past: 0,
        })
    }

    /// Run one step over `tokens`; gives the graph's outputs.
    pub fn step(&mut self, tokens: &[i32]) -> Vec<Tensor> {
        let positions = (0..tokens.len()).map(|t| (self.past + t) as i32).collect();
        let mut values: HashMap<Value, Tensor> = HashMap::new();
        for &id in &self.order {
            let node = self.graph.node(id);
            let Some(op) = node.op() else {
                let data = if &**node.name() == "positions" {
                    Vec::clone(&positions)
                } else {
                    tokens.to_vec()
                };
                values.insert(id.into(), Tensor::i32([tokens.len()], data));
                continue;
            };
            let inputs = self.graph.inputs(id);
            let mut outputs = {
                let find = |v: Value| values.get(&v).or_else(|| self.constants.get(&v));
                let mut operands =
                    Operands::new(inputs.iter().map(|v| v.and_then(find)), self.past);
                operands.state = self.states.get(&id);
                (op.def().reference)(op, &operands)
            };
            // An op with state gives its new keys and values behind its outputs.
            if outputs.len() == node.outputs.len() + 2
                && let (Some(v), Some(k)) = (outputs.pop(), outputs.pop())
            {
                self.states.insert(id, [k, v]);
            }
            for (output, tensor) in outputs.into_iter().enumerate() {
                values.insert(Value { node: id, output }, tensor);
            }
        }
        self.past += tokens.len();
        let outputs = self.graph.outputs().iter();
        outputs
            .filter_map(|v| values.get(v).or_else(|| self.constants.get(v)).cloned())
            .collect()
    }
}

/// A literal as a scalar tensor.
pub fn literal_tensor(literal: Literal) -> Tensor {
    match literal {
        Literal::Int(n) => Tensor::i32([], vec![n]),
        Literal::Float(x) => Tensor::f32([], vec![x as f32]),
    }
}
