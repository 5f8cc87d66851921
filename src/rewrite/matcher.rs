//! The matcher: finds where a rule's pattern occurs in a graph.
//!
//! It begins at the anchor and walks the rule's plan: to the node that produces a known value, or to one that reads it.
//! Operands of commutative ops are tried in both orders. Two nodes of a pattern never match the same node of the graph.

use smallvec::smallvec;

use super::context::{Bound, Match, quoted};
use super::guard::near;
use super::rule::{Operand, Origin, PatternNode, Reach, Rule, ValueId};
use crate::graph::{Graph, NodeId, Value};
use crate::ops::{Attribute, Op};
use crate::types::Literal;

/// How close a candidate came: a larger value is closer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Closeness {
    /// More than half of the nodes are there, but a neighbour is missing.
    Neighbour,
    /// All nodes are there, but one attribute or operand is different.
    Flaw,
    /// Everything is there, but the surrounding graph or a guard forbids the rule.
    Refused,
}

/// What the search found at an anchor.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A match that was accepted.
    Match(Box<Match>),
    /// The nearest candidate, and a sentence that says what stopped it.
    Near(Closeness, String),
    /// Nothing worth reporting.
    Nothing,
}

/// One search at one anchor.
pub struct Search<'a> {
    graph: &'a Graph,
    /// Nodes that count as removed, by [`NodeId::index`].
    dead: &'a [bool],
    rule: &'a Rule,
    /// Whether a candidate with one flaw is followed to its end, so that near misses are found.
    explain: bool,
    found: Match,
    placed: usize,
    /// What is wrong with the candidate being followed, and how close it can still come.
    flaw: Option<(Closeness, String)>,
    nearest: Option<(Closeness, String)>,
}

/// Whether the search has found its match.
type Done = bool;

impl<'a> Search<'a> {
    /// Prepare a search for `rule`. With `explain`, it also reports near misses; without, it only finds matches.
    pub fn new(graph: &'a Graph, dead: &'a [bool], rule: &'a Rule, explain: bool) -> Self {
        Search {
            graph,
            dead,
            rule,
            explain,
            found: Match {
                nodes: smallvec![None; rule.pattern.len()],
                values: smallvec![Bound::Open; rule.values.len()],
            },
            placed: 0,
            flaw: None,
            nearest: None,
        }
    }

    /// The first candidate with its anchor at `anchor` that `accept` accepts; `accept` says why it refuses one.
    pub fn run(
        mut self,
        anchor: NodeId,
        accept: &mut dyn FnMut(&Match) -> Result<(), String>,
    ) -> Outcome {
        if self.step(0, anchor, accept) {
            return Outcome::Match(Box::new(self.found));
        }
        match self.nearest {
            Some((closeness, reason)) => Outcome::Near(closeness, reason),
            None => Outcome::Nothing,
        }
    }

    fn note(&mut self, closeness: Closeness, reason: impl FnOnce() -> String) {
        let nearer = self
            .nearest
            .as_ref()
            .is_none_or(|(best, _)| closeness > *best);
        if self.explain && nearer {
            self.nearest = Some((closeness, reason()));
        }
    }

    /// Whether the candidate may be followed in spite of a flaw: only for the first flaw, and only to explain.
    fn excuse(&mut self, reason: impl FnOnce() -> String) -> bool {
        self.excuse_as(Closeness::Flaw, reason)
    }

    fn excuse_as(&mut self, closeness: Closeness, reason: impl FnOnce() -> String) -> bool {
        let excused = self.explain && self.flaw.is_none();
        if excused {
            self.flaw = Some((closeness, reason()));
        }
        excused
    }

    fn value(&self, id: ValueId) -> Bound {
        self.found.values.get(id).copied().unwrap_or(Bound::Open)
    }

    fn step(
        &mut self,
        at: usize,
        anchor: NodeId,
        accept: &mut dyn FnMut(&Match) -> Result<(), String>,
    ) -> Done {
        let rule = self.rule;
        let Some(&(index, reach)) = rule.plan.get(at) else {
            return self.complete(accept);
        };
        let Some(pattern) = rule.pattern.get(index) else {
            return false;
        };
        let op = pattern.op.name;
        let is_wanted = |found: &Op| found.def() == pattern.op;
        let mut place = |search: &mut Self, node| search.place(at, index, node, anchor, accept);
        let graph = self.graph;
        let missing = match reach {
            Reach::Anchor => return place(self, anchor),
            Reach::Giver(id) => match self.value(id) {
                Bound::Value(value) => {
                    let node = graph.node(value.node);
                    let output = rule.values.get(id).map(|v| v.origin);
                    let fits = matches!(output, Some(Origin::Node { output, .. }) if output == value.output);
                    if node.op().is_some_and(is_wanted) && fits {
                        return place(self, value.node);
                    }
                    let kind = || node.op().map_or("no op", |op| op.name());
                    let name = || quoted(graph.name(value));
                    self.excuse_as(Closeness::Neighbour, || {
                        format!("{} is {} where the rule wants {op}", name(), kind())
                    })
                }
                _ => self.lacks_neighbour(),
            },
            Reach::Reader(id) => match self.value(id) {
                Bound::Value(value) => {
                    let mut tried = None;
                    for (user, _) in graph.users(value) {
                        let is_op = graph.node(user).op().is_some_and(is_wanted);
                        if !is_op || self.is_dead(user) || tried.replace(user) == Some(user) {
                            continue;
                        }
                        if place(self, user) {
                            return true;
                        }
                    }
                    let name = || quoted(graph.name(value));
                    tried.is_none()
                        && self.excuse_as(Closeness::Neighbour, || {
                            format!("nothing that reads {} is {op}", name())
                        })
                }
                _ => self.lacks_neighbour(),
            },
        };
        // It is worth knowing whether the rest of the pattern is there.
        missing && self.step(at + 1, anchor, accept)
    }

    /// Whether a node was missing before, so that the nodes after it can't be looked for.
    fn lacks_neighbour(&self) -> bool {
        matches!(self.flaw, Some((Closeness::Neighbour, _)))
    }

    fn is_dead(&self, node: NodeId) -> bool {
        self.dead.get(node.index()).copied().unwrap_or(false)
    }

    /// Match `node` with the pattern's node `index`, and go on.
    fn place(
        &mut self,
        at: usize,
        index: usize,
        node: NodeId,
        anchor: NodeId,
        accept: &mut dyn FnMut(&Match) -> Result<(), String>,
    ) -> Done {
        let rule = self.rule;
        let Some(pattern) = rule.pattern.get(index) else {
            return false;
        };
        if self.is_dead(node) || self.found.nodes.contains(&Some(node)) {
            return false;
        }
        let before = (self.found.values.clone(), self.flaw.clone());
        let orders: &[bool] = match pattern.op.commutative {
            true => &[false, true],
            false => &[false],
        };
        for &swapped in orders {
            if self.bind(pattern, node, swapped) {
                if let Some(slot) = self.found.nodes.get_mut(index) {
                    *slot = Some(node);
                }
                self.placed += 1;
                if self.step(at + 1, anchor, accept) {
                    return true;
                }
                self.placed -= 1;
                if let Some(slot) = self.found.nodes.get_mut(index) {
                    *slot = None;
                }
            }
            self.found.values.clone_from(&before.0);
            self.flaw.clone_from(&before.1);
        }
        false
    }

    /// Bind the node's outputs and operands; false if they contradict what is bound or what the pattern demands.
    fn bind(&mut self, pattern: &PatternNode, node: NodeId, swapped: bool) -> bool {
        let graph = self.graph;
        let data = graph.node(node);
        let Some(op) = data.op() else {
            return false;
        };
        for (index, wanted) in &pattern.attributes {
            let found = op.attributes().get(*index).unwrap_or(&Attribute::Absent);
            if found == wanted {
                continue;
            }
            let excused = self.excuse(|| {
                let attribute = pattern.op.attributes.get(*index).map_or("", |a| a.name);
                let (name, op) = (quoted(data.name()), op.name());
                let (found, wanted) = (plain(found), plain(wanted));
                format!("{name} is {op} with {attribute} {found}; the rule wants {wanted}")
            });
            if !excused {
                return false;
            }
        }
        for (output, id) in pattern.outputs.iter().enumerate() {
            if !self.bind_value(*id, Value { node, output }, node) {
                return false;
            }
        }
        let mut inputs = graph.inputs(node);
        if inputs.len() > pattern.inputs.len() {
            return false;
        }
        inputs.resize(pattern.inputs.len(), None);
        if swapped {
            inputs.swap(0, 1);
        }
        let operands = pattern.inputs.iter().zip(inputs).enumerate();
        for (slot, (operand, input)) in operands {
            if !self.bind_operand(pattern, *operand, input, node, slot) {
                return false;
            }
        }
        true
    }

    fn bind_operand(
        &mut self,
        pattern: &PatternNode,
        operand: Operand,
        input: Option<Value>,
        node: NodeId,
        slot: usize,
    ) -> bool {
        let graph = self.graph;
        let reader = || quoted(graph.node(node).name());
        let role = || {
            let inputs = pattern.op.inputs;
            let def = inputs.get(slot).or(inputs.first());
            def.map_or("operand", |def| def.name)
        };
        match (operand, input) {
            (Operand::Absent, None) => true,
            (Operand::Absent, Some(value)) => self.excuse(|| {
                let (reader, role, name) = (reader(), role(), quoted(graph.name(value)));
                format!("{reader} has the {role} {name}; the rule wants none")
            }),
            (Operand::Value(id), Some(value)) => self.bind_value(id, value, node),
            (Operand::Value(id), None) => {
                let origin = self.rule.values.get(id).map(|v| v.origin);
                let optional = origin == Some(Origin::Leaf { optional: true });
                match self.value(id) {
                    Bound::Open | Bound::Absent if optional => {
                        if let Some(bound) = self.found.values.get_mut(id) {
                            *bound = Bound::Absent;
                        }
                        true
                    }
                    _ => self.excuse(|| format!("{} has no {}", reader(), role())),
                }
            }
            (Operand::Number(wanted), Some(value)) => {
                let found = match graph.literal(value) {
                    Some(Literal::Int(n)) => f64::from(n),
                    Some(Literal::Float(x)) => x,
                    None => return false,
                };
                near(found, wanted)
                    || self.excuse(|| {
                        format!(
                            "{} reads the number {found:?}; the rule wants {wanted:?}",
                            reader()
                        )
                    })
            }
            (Operand::Number(wanted), None) => {
                self.excuse(|| format!("{} has no {}; the rule wants {wanted:?}", reader(), role()))
            }
        }
    }

    fn bind_value(&mut self, id: ValueId, value: Value, node: NodeId) -> bool {
        let Some(bound) = self.found.values.get_mut(id) else {
            return false;
        };
        match *bound {
            Bound::Open => {
                *bound = Bound::Value(value);
                true
            }
            Bound::Value(known) if known == value => true,
            known => {
                let graph = self.graph;
                self.excuse(|| {
                    let (reader, found) =
                        (quoted(graph.node(node).name()), quoted(graph.name(value)));
                    match known {
                        Bound::Value(known) => {
                            let known = quoted(graph.name(known));
                            format!("{reader} has {found} where the rule wants {known}")
                        }
                        _ => format!("{reader} has {found} where the rule wants nothing"),
                    }
                })
            }
        }
    }

    fn complete(&mut self, accept: &mut dyn FnMut(&Match) -> Result<(), String>) -> Done {
        let leaves = self.rule.values.iter().zip(&self.found.values);
        for (value, bound) in leaves {
            // A leaf that the match itself produces would be removed with it.
            if let (Origin::Leaf { .. }, Bound::Value(leaf)) = (value.origin, bound)
                && self.found.nodes.contains(&Some(leaf.node))
            {
                return false;
            }
        }
        if let Some((closeness, flaw)) = self.flaw.clone() {
            let most = self.placed * 2 > self.rule.pattern.len();
            if most || closeness != Closeness::Neighbour {
                self.note(closeness, || flaw);
            }
            return false;
        }
        match accept(&self.found) {
            Ok(()) => true,
            Err(reason) => {
                self.note(Closeness::Refused, || reason);
                false
            }
        }
    }
}

/// An attribute for messages: text in a single pair of quotes, absence as a word.
fn plain(attribute: &Attribute) -> String {
    match attribute {
        Attribute::Absent => "absent".to_owned(),
        Attribute::Text(text) => format!("'{text}'"),
        other => other.to_string(),
    }
}
