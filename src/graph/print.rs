//! The printer: a graph as a graph file, which loads again as the same graph.
//!
//! Literals are written where they are used. Each line ends with the types of its outputs as a comment. Weight expressions
//! are printed as expressions, never as data.

use std::collections::HashSet;
use std::fmt::Write;

use super::node::{Kind, NodeId, Value};
use super::store::Graph;
use crate::ops::Op;

/// The graph in the grammar of `graphs/*.ron`. `source` is the kind of weight file, `hf` or `gguf`, whose tensor names the
/// graph uses.
pub fn print(graph: &Graph, source: &str) -> String {
    print_ignoring(graph, source, &[], &[])
}

/// Like [`print()`], with the tensors that the weight file may contain although no node reads them, and the keys of the
/// configuration whose values are in the graph.
pub fn print_ignoring(
    graph: &Graph,
    source: &str,
    ignore: &[String],
    ignore_keys: &[String],
) -> String {
    let order = graph.order();
    let mut text = String::from("Model(\n");
    for (field, patterns) in [("ignore", ignore), ("ignore_keys", ignore_keys)] {
        if !patterns.is_empty() {
            let patterns: Vec<String> = patterns.iter().map(|pattern| quote(pattern)).collect();
            let _ = writeln!(text, "    {field}: [{}],", patterns.join(", "));
        }
    }
    text.push_str("    weights: {\n");
    for id in weights(graph, &order) {
        let node = graph.node(id);
        if let Kind::Weight(weight) = &node.kind {
            let dims: Vec<String> = node.outputs[0]
                .ty
                .shape
                .iter()
                .map(|d| d.to_string())
                .collect();
            let (name, tensor) = (quote(node.name()), quote(&weight.tensor));
            let _ = writeln!(
                text,
                "        {name}: (shape: [{}], {source}: {tensor}), // {}",
                dims.join(", "),
                node.outputs[0].ty.dtype
            );
        }
    }
    text.push_str("    },\n    nodes: [\n");
    for &id in order.iter() {
        if let Kind::Op(op) = &graph.node(id).kind {
            print_op(&mut text, graph, id, op);
        }
    }
    let outputs: Vec<String> = graph
        .outputs()
        .iter()
        .map(|&v| quote(graph.name(v)))
        .collect();
    let _ = write!(text, "    ],\n    outputs: [{}],\n)\n", outputs.join(", "));
    text
}

/// The weights in the order of their first readers, which is the order in which loading creates them, then the weights that
/// nobody reads.
fn weights(graph: &Graph, order: &[NodeId]) -> Vec<NodeId> {
    let is_weight = |id: &NodeId| matches!(graph.node(*id).kind, Kind::Weight(_));
    let read = order
        .iter()
        .flat_map(|&id| graph.inputs(id))
        .flatten()
        .map(|value| value.node);
    let all = read.chain(order.iter().copied()).filter(is_weight);
    let mut seen = HashSet::new();
    all.filter(|&id| seen.insert(id)).collect()
}

fn print_op(text: &mut String, graph: &Graph, id: NodeId, op: &Op) {
    let node = graph.node(id);
    let names: Vec<String> = node.outputs.iter().map(|o| quote(&o.name)).collect();
    let types: Vec<String> = node.outputs.iter().map(|o| o.ty.to_string()).collect();
    let inputs: Vec<String> = graph
        .inputs(id)
        .iter()
        .map(|v| operand(graph, *v))
        .collect();
    let names = if names.len() == 1 {
        names[0].clone()
    } else {
        format!("[{}]", names.join(", "))
    };
    let _ = writeln!(
        text,
        "        ({names}, {op}, [{}]), // {}",
        inputs.join(", "),
        types.join(", ")
    );
}

fn operand(graph: &Graph, value: Option<Value>) -> String {
    let Some(value) = value else {
        return "\"\"".to_string();
    };
    match graph.literal(value) {
        Some(literal) => literal.to_string(),
        None => quote(graph.name(value)),
    }
}

/// A RON string.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{{{:x}}}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
