//! Weight expressions: values of the graph that depend only on weights and literals.
//!
//! The results of transposing, reshaping and slicing stay views of the file, so that packing reads the file's own bytes
//! once. Anything else is computed by the op's reference in f32, which is also the result of arithmetic on quantized blocks.

use std::collections::{HashMap, HashSet};

use crate::files::map::Mapped;
use crate::files::weight::{Weight, WeightError};
use crate::files::weight_files::{WeightFiles, WeightFilesError};
#[cfg(any(test, feature = "internals"))]
use crate::graph::interpreter::WeightData;
use crate::graph::{Graph, Kind, NodeId, Value};
use crate::ops::reference::{Operands, literal_tensor};
use crate::ops::{Data, Op, Tensor, View, slice_bounds};
use crate::types::DType;

/// Why a weight expression has no value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightExpressionError {
    /// A tensor can't be read from the weight files.
    #[error(transparent)]
    File(#[from] WeightFilesError),
    /// A view is impossible.
    #[error("node \"{node}\": {error}")]
    View {
        /// The node's name.
        node: String,
        /// What is wrong.
        error: WeightError,
    },
    /// The value depends on the tokens.
    #[error("\"{0}\" is not a weight: it depends on the tokens")]
    NotConstant(String),
}

/// Evaluates the weight expressions of one graph, each once.
pub struct WeightExpressions<'a> {
    graph: &'a Graph,
    files: &'a WeightFiles,
    known: HashMap<Value, Weight>,
    /// Tensors whose elements were computed from the elements of the file, and views of such tensors. They are dropped as soon
    /// as the requested value is returned, so that the tensors of at most one value use memory that the plan does not count.
    made: HashSet<Value>,
}

impl<'a> WeightExpressions<'a> {
    /// For the weights of `graph`, whose tensors are in `files`.
    pub fn new(graph: &'a Graph, files: &'a WeightFiles) -> Self {
        WeightExpressions {
            graph,
            files,
            known: HashMap::new(),
            made: HashSet::new(),
        }
    }

    /// The value's elements.
    pub fn get(&mut self, value: Value) -> Result<Weight, WeightExpressionError> {
        // Operands first, without recursion: expressions come from files and may be deep.
        let mut stack = vec![value.node];
        while let Some(&node) = stack.last() {
            let inputs = self.graph.inputs(node);
            let missing = inputs
                .iter()
                .flatten()
                .find(|v| !self.known.contains_key(v));
            match missing {
                Some(input) => stack.push(input.node),
                None => {
                    stack.pop();
                    self.compute(node)?;
                }
            }
        }
        let found = self.known.get(&value).cloned();
        for made in self.made.drain() {
            self.known.remove(&made);
        }
        found.ok_or_else(|| self.not_constant(value.node))
    }

    fn not_constant(&self, node: NodeId) -> WeightExpressionError {
        WeightExpressionError::NotConstant(self.graph.node(node).name().to_string())
    }

    fn compute(&mut self, node: NodeId) -> Result<(), WeightExpressionError> {
        if self.known.contains_key(&Value::from(node)) {
            return Ok(());
        }
        let view_error = |error| WeightExpressionError::View {
            node: self.graph.node(node).name().to_string(),
            error,
        };
        match &self.graph.node(node).kind {
            Kind::Input => return Err(self.not_constant(node)),
            Kind::Weight(source) => {
                let weight = self.files.weight(&source.tensor)?;
                if weight.is_made() {
                    self.made.insert(node.into());
                }
                self.known.insert(node.into(), weight);
            }
            Kind::Constant(literal) => {
                let weight = Weight::from_f32(&literal_tensor(*literal).floats(), &[])
                    .map_err(view_error)?;
                self.known.insert(node.into(), weight);
            }
            Kind::Op(op) => {
                if let Some(weight) = self.view(node, op).map_err(view_error)? {
                    let viewed = self.graph.inputs(node).first().copied().flatten();
                    if viewed.is_some_and(|viewed| self.made.contains(&viewed)) {
                        self.made.insert(node.into());
                    }
                    self.known.insert(node.into(), weight);
                    return Ok(());
                }
                for (output, tensor) in self.reference(node, op).into_iter().enumerate() {
                    let weight = made(tensor).map_err(view_error)?;
                    self.known.insert(Value { node, output }, weight);
                }
            }
        }
        Ok(())
    }

    /// The node as a view of its operand, if its op only moves elements.
    fn view(&self, node: NodeId, op: &Op) -> Result<Option<Weight>, WeightError> {
        let Some(x) = self
            .graph
            .inputs(node)
            .first()
            .copied()
            .flatten()
            .and_then(|v| self.known.get(&v))
        else {
            return Ok(None);
        };
        let Some(view) = op.def().view else {
            return Ok(None);
        };
        Ok(Some(match view {
            View::Transpose => {
                let perm: Vec<usize> = op.ints("perm").iter().map(|&i| i as usize).collect();
                x.transpose(&perm)?
            }
            View::Reshape => {
                let shape: Vec<usize> = self
                    .graph
                    .ty(node.into())
                    .shape
                    .iter()
                    .filter_map(|d| d.fixed())
                    .collect();
                x.reshape(&shape)?
            }
            View::Slice => match slice_bounds(op, x.shape()) {
                Some((axis, start, end)) => x.slice(axis, start, end)?,
                None => return Ok(None),
            },
            View::Cast => return Ok(None),
        }))
    }

    fn reference(&self, node: NodeId, op: &Op) -> Vec<Tensor> {
        let inputs = self.graph.inputs(node);
        let tensor = |v: Value| match self.graph.literal(v) {
            Some(literal) => literal_tensor(literal),
            None => dense(&self.known[&v]),
        };
        let tensors: Vec<Option<Tensor>> = inputs.iter().map(|v| v.map(tensor)).collect();
        (op.def().reference)(op, &Operands::new(tensors.iter().map(Option::as_ref), 0))
    }
}

fn dense(weight: &Weight) -> Tensor {
    let shape = weight.shape().to_vec();
    match weight.dtype() {
        DType::Blocks(format) => Tensor::blocks(shape, format, weight.dense_bytes()),
        _ => Tensor::f32(shape, weight.to_f32()),
    }
}

/// A tensor that was computed, as a weight.
fn made(tensor: Tensor) -> Result<Weight, WeightError> {
    match tensor.data {
        Data::Blocks(format, bytes) => {
            let element = DType::Blocks(format);
            Weight::new(Mapped::from_vec(bytes), 0, element, &tensor.shape)
        }
        _ => Weight::from_f32(&tensor.floats(), &tensor.shape),
    }
}

#[cfg(any(test, feature = "internals"))]
impl WeightData for WeightFiles {
    fn load(&self, tensor: &str) -> Result<Tensor, String> {
        self.weight(tensor)
            .map(|weight| dense(&weight))
            .map_err(|error| error.to_string())
    }
}
