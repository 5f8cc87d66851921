//! Single changes of a graph file: mistakes that are easily made and that involve no tensor, so no message reports them.

use smallmind::architecture::ast::{Argument, ArgumentKind, Node, Operand, OperandKind, Statement};
use smallmind::graph::{Graph, Name};
use smallmind::language::diagnostics::Position;
use smallmind::language::value::Value;
use smallmind::ops::{Op, Tokens};
use smallmind::types::{Dim, Type};

use super::change::{Change, NORMS, each, replaced};
use super::norms::{norms_before, norms_behind};

const ACTIVATIONS: [&str; 4] = ["Activation", "Gelu", "Silu", "Relu"];

/// The node with an attribute set.
fn set(node: &Node, name: &str, value: Value) -> Node {
    let mut node = node.clone();
    let argument = Argument {
        position: node.position,
        kind: ArgumentKind::Constant(value),
    };
    match node
        .attributes
        .iter_mut()
        .find(|(known, _)| **known == *name)
    {
        Some((_, old)) => *old = argument,
        None => node.attributes.push((name.into(), argument)),
    }
    node
}

/// The node as the activation with this name.
fn activation(node: &Node, name: &str) -> Node {
    Node {
        op: "Activation".into(),
        positional: Some(Argument {
            position: node.position,
            kind: ArgumentKind::Constant(Value::Str(name.to_string())),
        }),
        attributes: Vec::new(),
        ..node.clone()
    }
}

fn number(position: Position, value: f64) -> Operand {
    Operand {
        position,
        kind: OperandKind::Literal(Argument {
            position,
            kind: ArgumentKind::Constant(Value::Float(value)),
        }),
    }
}

/// A node of `op` with these operands, with a name derived from `node` and at its position.
fn beside(node: &Node, name: &str, op: &str, inputs: Vec<Operand>) -> Node {
    Node {
        position: node.position,
        names: [name.to_string()].into(),
        op: op.into(),
        positional: None,
        attributes: Vec::new(),
        inputs,
    }
}

/// A norm with 1 added to its gain.
fn with_gain_plus_one(node: &Node) -> Option<Vec<Node>> {
    const GAIN: &str = "gain_plus_one";
    let mut norm = node.clone();
    let gain = norm.inputs.get_mut(1)?;
    let sum = vec![gain.clone(), number(node.position, 1.0)];
    gain.kind = OperandKind::Name(GAIN.to_string());
    Some(vec![beside(node, GAIN, "Add", sum), norm])
}

fn is_one(operand: &Operand) -> bool {
    match &operand.kind {
        OperandKind::Literal(Argument {
            kind: ArgumentKind::Constant(value),
            ..
        }) => value.as_number() == Some(1.0),
        _ => false,
    }
}

/// A sum that adds 0 instead of 1.
fn without_one(node: &Node) -> Option<Vec<Node>> {
    let mut sum = node.clone();
    let one = sum.inputs.iter_mut().find(|operand| is_one(operand))?;
    *one = number(node.position, 0.0);
    Some(vec![sum])
}

/// The second input, if it is a name: a matrix's weight, or a norm's gain.
fn second(node: &Node) -> Option<&str> {
    match &node.inputs.get(1)?.kind {
        OperandKind::Name(name) => Some(name),
        _ => None,
    }
}

struct Collector<'a> {
    statements: &'a [Statement],
    all: Vec<&'a Node>,
    changes: Vec<Change>,
}

impl<'a> Collector<'a> {
    /// The nodes of one of these ops.
    fn of(&self, ops: &[&str]) -> Vec<&'a Node> {
        let all = self.all.iter().copied();
        all.filter(|node| ops.contains(&&*node.op)).collect()
    }

    /// Change these nodes.
    fn at_once(
        &mut self,
        what: String,
        nodes: &[&Node],
        change: &dyn Fn(&Node) -> Option<Vec<Node>>,
    ) {
        let at: Vec<Position> = nodes.iter().map(|node| node.position).collect();
        let nodes = replaced(self.statements, &mut |node| {
            if at.contains(&node.position) {
                change(node)
            } else {
                None
            }
        });
        if nodes != self.statements {
            self.changes.push(Change { what, at, nodes });
        }
    }

    /// Change all these nodes at once, then each of them alone.
    fn each(&mut self, what: &str, nodes: &[&Node], change: &dyn Fn(&Node) -> Option<Vec<Node>>) {
        self.at_once(what.to_string(), nodes, change);
        if nodes.len() > 1 {
            for node in nodes {
                self.at_once(what.to_string(), &[*node], change);
            }
        }
    }

    /// Exchange the second inputs of each pair of these nodes.
    fn exchanged(&mut self, nodes: &[&Node]) {
        for (index, one) in nodes.iter().enumerate() {
            for other in nodes.iter().skip(index + 1) {
                let (Some(a), Some(b)) = (second(one), second(other)) else {
                    continue;
                };
                if a == b {
                    continue;
                }
                let (first, a, b) = (one.position, a.to_string(), b.to_string());
                let what = format!("'{a}' and '{b}' exchanged in {}", one.op);
                self.at_once(what, &[*one, *other], &|node| {
                    let mut node = node.clone();
                    let name = if node.position == first { &b } else { &a };
                    node.inputs.get_mut(1)?.kind = OperandKind::Name(name.clone());
                    Some(vec![node])
                });
            }
        }
    }
}

/// The head width of the first attention op, and the width of the first embedding.
fn widths(graph: &Graph) -> (Option<usize>, Option<usize>) {
    let first = |is: &dyn Fn(&Op) -> bool| {
        let order = graph.order().into_iter();
        let mut found = order.filter(|id| graph.node(*id).op().is_some_and(is));
        found.next()
    };
    let width = |ty: &Type| ty.width().and_then(Dim::fixed);
    let attention = first(&|op| matches!(op.tokens(), Tokens::Text { .. }));
    let queries = attention.and_then(|id| graph.inputs(id).first().copied().flatten());
    let embedding = first(&|op| op.def().lookup.is_some());
    (
        queries.and_then(|queries| width(graph.ty(queries))),
        embedding.and_then(|id| width(graph.ty(id.into()))),
    )
}

/// Every change that is tried, the more likely ones first.
pub fn changes(statements: &[Statement], graph: &Graph) -> Vec<Change> {
    let mut all = Vec::new();
    each(statements, &mut |node| all.push(node));
    let mut found = Collector {
        statements,
        all,
        changes: Vec::new(),
    };
    let (head, width) = widths(graph);
    let ropes = found.of(&["Rope"]);
    for pairs in ["half", "adjacent"] {
        found.each(&format!("pairs: \"'{pairs}'\" in Rope"), &ropes, &|node| {
            Some(vec![set(node, "pairs", Value::Str(pairs.to_string()))])
        });
    }
    let activations = found.of(&ACTIVATIONS);
    for name in ["gelu", "gelu_new", "silu", "relu"] {
        found.each(
            &format!("Activation(\"'{name}'\")"),
            &activations,
            &|node| Some(vec![activation(node, name)]),
        );
    }
    let attentions = found.of(&["Attention"]);
    if let Some(head) = head {
        for (written, scale) in [
            (format!("1 / sqrt({head})"), 1.0 / (head as f64).sqrt()),
            ("1".to_string(), 1.0),
            (format!("1 / {head}"), 1.0 / head as f64),
        ] {
            found.at_once(
                format!("scale: \"{written}\" in Attention"),
                &attentions,
                &|node| Some(vec![set(node, "scale", Value::Float(scale))]),
            );
        }
    }
    for causal in [true, false] {
        found.at_once(
            format!("causal: {causal} in Attention"),
            &attentions,
            &|node| Some(vec![set(node, "causal", Value::Bool(causal))]),
        );
    }
    let norms = found.of(&NORMS);
    found.each("1 added to the gain of a norm", &norms, &with_gain_plus_one);
    found.each(
        "0 in place of the 1 added",
        &found.of(&["Add"]),
        &without_one,
    );
    for eps in ["1e-5", "1e-6", "1e-12"] {
        let value: f64 = eps.parse().unwrap_or_default();
        found.at_once(format!("eps: {eps} in all norms"), &norms, &|node| {
            Some(vec![set(node, "eps", Value::Float(value))])
        });
    }
    for op in NORMS {
        found.each(op, &norms, &|node| {
            let op: Name = op.into();
            (node.op != op).then(|| vec![Node { op, ..node.clone() }])
        });
    }
    let products = found.of(&["MatMul"]);
    for product in &products {
        for transposed in [false, true] {
            found.at_once(
                format!(
                    "transpose_b: {transposed} in MatMul \"{}\"",
                    product.names.join("\", \"")
                ),
                &[*product],
                &|node| Some(vec![set(node, "transpose_b", Value::Bool(transposed))]),
            );
        }
    }
    found.exchanged(&norms);
    found.exchanged(&products);
    if let Some(width) = width {
        let gathers = found.of(&["Gather"]);
        found.each(
            &format!("the embedding times sqrt({width})"),
            &gathers,
            &|node| {
                let name = node.names.first()?;
                let value = Operand {
                    position: node.position,
                    kind: OperandKind::Name(name.clone()),
                };
                let scaled = vec![value, number(node.position, (width as f64).sqrt())];
                Some(vec![node.clone(), beside(node, name, "Mul", scaled)])
            },
        );
    }
    found.changes.extend(norms_before(statements));
    found.changes.extend(norms_behind(statements));
    found.changes
}
