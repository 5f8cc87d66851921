//! The oracle: an interpreter that runs any graph, fused or not, with the plain reference of each op.
//!
//! It shares no code with the planner or the executor. Kernels must agree with it to the bit.

use std::collections::HashMap;

use super::{Class, Graph, Input, Kind, NodeId, Value};
use crate::kernels::float_environment::FloatEnvironment;
use crate::ops::Tensor;
use crate::ops::reference::{Operands, literal_tensor};

/// Loads the data of weights.
pub trait WeightData {
    /// The tensor called `name` in the weight file, with its shape: widened to f32, or in its blocks.
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
    /// Prepares to run `graph`: loads its weights and computes everything that depends only on them.
    pub fn new(graph: &'g Graph, weights: &dyn WeightData) -> Result<Self, String> {
        let _environment = FloatEnvironment::set_default();
        let classes = graph.classes();
        let (steps, fixed): (Vec<NodeId>, Vec<NodeId>) = graph
            .order()
            .into_iter()
            .partition(|id| classes[id.index()] == Class::Activation);
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

    /// Run one step over `tokens` and return the graph's outputs; every token's outputs are wanted.
    pub fn step(&mut self, tokens: &[i32]) -> Vec<Tensor> {
        let all: Vec<i32> = (0..tokens.len()).map(|t| t as i32).collect();
        self.step_wanting(tokens, &all)
    }

    /// Run one step over `tokens`. The outputs of the tokens with the numbers `wanted` are wanted, each below the
    /// number of tokens. A graph without the input `wanted` returns all outputs.
    pub fn step_wanting(&mut self, tokens: &[i32], wanted: &[i32]) -> Vec<Tensor> {
        let _environment = FloatEnvironment::set_default();
        let mut values: HashMap<Value, Tensor> = HashMap::new();
        for &id in &self.order {
            let node = self.graph.node(id);
            let Some(op) = node.op() else {
                let data = match self.graph.input_of(id.into()) {
                    Some(Input::Positions) => {
                        (0..tokens.len()).map(|t| (self.past + t) as i32).collect()
                    }
                    Some(Input::Wanted) => wanted.to_vec(),
                    _ => tokens.to_vec(),
                };
                values.insert(id.into(), Tensor::i32([data.len()], data));
                continue;
            };
            let inputs = self.graph.inputs(id);
            let mut outputs = {
                let find = |v: Value| values.get(&v).or_else(|| self.constants.get(&v));
                let operands = Operands::new(inputs.iter().map(|v| v.and_then(find)), self.past)
                    .with_state(self.states.get(&id));
                (op.def().reference)(op, &operands)
            };
            // An op with state returns its new keys and values after its outputs.
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
