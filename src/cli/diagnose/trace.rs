//! Values of a graph for the first tokens of a prompt, computed by the scalar reference.

use std::collections::HashMap;

use smallmind::files::weight_files::WeightFiles;
use smallmind::graph::interpreter::Interpreter;
use smallmind::graph::{Class, Graph, Kind, Value};
use smallmind::ops::Tensor;
use smallmind::types::StepSize;

use super::super::failure::{Failure, error};

/// A graph as it was loaded, and its values by name.
pub struct Built {
    graph: Graph,
    values: HashMap<String, Value>,
}

impl Built {
    /// A graph whose values can be asked for.
    pub fn new(graph: Graph) -> Built {
        let classes = graph.classes();
        let computed = |node: &smallmind::graph::NodeId| {
            graph.node(*node).op().is_some()
                && classes.get(node.index()) == Some(&Class::Activation)
        };
        let mut values = HashMap::new();
        for node in graph.ids().filter(computed) {
            for (output, given) in graph.node(node).outputs.iter().enumerate() {
                values.insert(given.name.to_string(), Value { node, output });
            }
        }
        Built { graph, values }
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The part of the graph that these values need; `None` if a value does not exist.
    pub fn cut(&self, names: &[&str]) -> Option<Graph> {
        let values: Option<Vec<Value>> = names
            .iter()
            .map(|name| self.values.get(*name).copied())
            .collect();
        let mut graph = self.graph.clone();
        let mut editor = graph.edit();
        editor.set_outputs(values?);
        editor.sweep();
        Some(graph)
    }

    /// Elements of the weights that the graph's outputs need.
    pub fn weight_elements(&self) -> usize {
        elements(&self.graph)
    }
}

/// Elements of a graph's weights.
pub fn elements(graph: &Graph) -> usize {
    let weights = graph
        .ids()
        .filter(|&id| matches!(graph.node(id).kind, Kind::Weight(_)));
    weights.fold(0usize, |sum, id| {
        sum.saturating_add(graph.ty(id.into()).elements(StepSize::ONE))
    })
}

/// The outputs of a graph for these tokens.
pub fn run(graph: &Graph, weights: &WeightFiles, tokens: &[u32]) -> Result<Vec<Tensor>, Failure> {
    let tokens: Result<Vec<i32>, _> = tokens.iter().map(|&id| i32::try_from(id)).collect();
    match Interpreter::new(graph, weights) {
        Ok(mut interpreter) => Ok(interpreter.step(&tokens?)),
        Err(message) => error(message),
    }
}

/// A summary of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// The root of the mean of the squares.
    pub rms: f64,
    /// The largest magnitude.
    pub largest: f64,
    /// Whether all elements are finite.
    pub finite: bool,
}

/// Every value that depends on the tokens.
pub struct Trace {
    values: HashMap<String, Tensor>,
}

impl Trace {
    /// Run a graph and keep every value.
    pub fn of_all(built: &Built, weights: &WeightFiles, tokens: &[u32]) -> Result<Trace, Failure> {
        let names: Vec<&str> = built.values.keys().map(String::as_str).collect();
        let Some(graph) = built.cut(&names) else {
            return error("the graph has no values");
        };
        let tensors = run(&graph, weights, tokens)?;
        let names = names.into_iter().map(str::to_string);
        Ok(Trace {
            values: names.zip(tensors).collect(),
        })
    }

    /// Whether there is a value with that name.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The elements of a value; empty if there is no such value.
    pub fn floats(&self, name: &str) -> Vec<f32> {
        self.values
            .get(name)
            .map_or(Vec::new(), |tensor| tensor.floats().into_owned())
    }

    /// The statistics of a value.
    pub fn statistics(&self, name: &str) -> Statistics {
        let elements = self.floats(name);
        let squares: f64 = elements.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        Statistics {
            rms: (squares / elements.len().max(1) as f64).sqrt(),
            largest: elements
                .iter()
                .fold(0.0, |most, &x| f64::from(x).abs().max(most)),
            finite: elements.iter().all(|x| x.is_finite()),
        }
    }
}
