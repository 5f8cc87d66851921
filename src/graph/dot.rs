//! The printer for Graphviz.

use std::fmt::Write;

use super::node::Kind;
use super::store::Graph;

/// The graph in Graphviz's DOT language: ops are boxes, weights are ellipses, and edges are labelled with the type of the
/// value.
pub fn print_dot(graph: &Graph) -> String {
    let escape = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut text = String::from("digraph {\n    node [shape=box, fontname=monospace]\n");
    for id in graph.order() {
        let node = graph.node(id);
        let (label, shape) = match &node.kind {
            Kind::Op(op) => (format!("{}\n{op}", node.name()), "box"),
            Kind::Weight(weight) => (weight.tensor.to_string(), "ellipse"),
            Kind::Input => (node.name().to_string(), "invhouse"),
            Kind::Constant(literal) => (literal.to_string(), "plaintext"),
        };
        let label = escape(&label).replace('\n', "\\n");
        let _ = writeln!(
            text,
            "    n{} [label=\"{label}\", shape={shape}]",
            id.index()
        );
        for value in graph.inputs(id).iter().flatten() {
            let ty = escape(&graph.ty(*value).to_string());
            let _ = writeln!(
                text,
                "    n{} -> n{} [label=\"{ty}\"]",
                value.node.index(),
                id.index()
            );
        }
    }
    for (i, value) in graph.outputs().iter().enumerate() {
        let name = escape(graph.name(*value));
        let _ = writeln!(
            text,
            "    out{i} [label=\"{name}\", shape=house]\n    n{} -> out{i}",
            value.node.index()
        );
    }
    text.push_str("}\n");
    text
}
