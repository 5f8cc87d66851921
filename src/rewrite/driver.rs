//! The driver: applies the rules of one pass to a graph until none fires.
//!
//! It visits nodes in the graph's order and tries the rules at each in the file's order, so that the result depends on
//! nothing else. The driver itself refuses two kinds of match, so that no rule needs to ask: matches with inner values that
//! are read outside the match, and matches that a path leaves and enters again.

use std::cell::OnceCell;

use smallvec::SmallVec;

use super::context::{Bound, Context, Match, number_attribute, quoted};
use super::matcher::{Outcome, Search};
use super::report::{NearMiss, RuleReport};
use super::rule::{EmitInput, EmitNode, Rule, Term, ValueId};
use crate::graph::{
    Class, Editor, Graph, GraphError, Name, NodeId, Order, TopologicalOrder, Value,
};
use crate::ops::{Op, Types};
use crate::types::{DType, Literal, Type};

/// Why a pass of rules was abandoned.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DriverError {
    /// The editor refused what the driver had checked.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Rules fired more often than rules that shrink a graph can.
    #[error(
        "rules fired more than {budget} times, so one of them does not shrink the graph; the last was \"{rule}\" at \"{at}\""
    )]
    Budget {
        /// How many times rules may fire.
        budget: usize,
        /// The rule that fired last.
        rule: String,
        /// Where it fired.
        at: String,
    },
}

/// Apply `rules` until none fires; returns what each did. Nodes that no output depends on are removed first, so that they
/// block no rule. With `near_misses` the reports say where rules nearly fire in the resulting graph.
pub fn apply(
    graph: &mut Graph,
    rules: &[&Rule],
    near_misses: bool,
) -> Result<Vec<RuleReport>, DriverError> {
    graph.edit().sweep();
    let classes = graph.classes().to_vec();
    let reports = rules.iter().map(|rule| RuleReport {
        name: rule.name.clone(),
        fired: Vec::new(),
        near: Vec::new(),
    });
    let mut driver = Driver {
        dead: vec![false; classes.len()],
        classes,
        order: graph.order(),
        ranks: OnceCell::new(),
        budget: budget(graph, rules),
        fired: 0,
        reports: reports.collect(),
        editor: graph.edit(),
        rules,
    };
    while driver.round()? {}
    if near_misses {
        driver.explain();
    }
    Ok(driver.reports)
}

/// How often rules that shrink the graph can fire. Each application removes an op, or keeps the number of ops and lowers
/// the sum of their ranks. Applications that remove an op can't outnumber the ops. Every other application lowers the sum
/// by at least one, and the sum is at most the ranks of the ops plus the ranks of the emitted ops.
fn budget(graph: &Graph, rules: &[&Rule]) -> usize {
    let highest = crate::ops::table().map(|def| def.rank).max().unwrap_or(0) as usize;
    let emitted = rules.iter().map(|rule| rule.emit.len()).max().unwrap_or(0);
    graph.op_count() * (1 + highest * (1 + emitted))
}

/// What an application will do, already checked, so that applying it can't fail.
struct Emission {
    ops: SmallVec<[Op; 2]>,
}

struct Driver<'g, 'r> {
    editor: Editor<'g>,
    rules: &'r [&'r Rule],
    /// What each node depends on, by [`NodeId::index`].
    classes: Vec<Class>,
    /// Matched nodes that an application has replaced, by [`NodeId::index`]. They are removed after each round.
    dead: Vec<bool>,
    /// The order of the nodes when the round began.
    order: Order,
    /// The order of the nodes that are not dead, once it was needed.
    ranks: OnceCell<TopologicalOrder>,
    budget: usize,
    fired: usize,
    reports: Vec<RuleReport>,
}

impl Driver<'_, '_> {
    /// Visit every node once; returns whether any rule fired.
    fn round(&mut self) -> Result<bool, DriverError> {
        let before = self.fired;
        self.begin();
        let mut waiting = Vec::new();
        for id in self.order.clone() {
            // What a rule emits is visited at once, so that chains fold in one round.
            waiting.push(id);
            while let Some(id) = waiting.pop() {
                if !self.is_dead(id) {
                    self.visit(id, &mut waiting)?;
                }
            }
        }
        if self.fired == before {
            return Ok(false);
        }
        self.editor.sweep();
        self.classes = self.editor.graph().classes().to_vec();
        self.dead = vec![false; self.classes.len()];
        Ok(true)
    }

    /// Record the order of the graph as it is now.
    fn begin(&mut self) {
        self.order = self.editor.graph().order();
        self.ranks = OnceCell::new();
    }

    fn ranks(&self) -> &TopologicalOrder {
        self.ranks
            .get_or_init(|| TopologicalOrder::new(&self.order))
    }

    fn is_dead(&self, id: NodeId) -> bool {
        self.dead.get(id.index()).copied().unwrap_or(false)
    }

    /// The rules that begin at a node's op, in the file's order. A pass has few rules, and a graph has many nodes.
    fn candidates(&self, id: NodeId) -> SmallVec<[usize; 8]> {
        let def = self.editor.graph().def(id);
        let begins = |rule: &Rule| def.is_some() && rule.anchor() == def;
        let rules = self.rules.iter().enumerate();
        rules
            .filter(|(_, rule)| begins(rule))
            .map(|(index, _)| index)
            .collect()
    }

    fn visit(&mut self, id: NodeId, waiting: &mut Vec<NodeId>) -> Result<(), DriverError> {
        for index in self.candidates(id) {
            let Some(&rule) = self.rules.get(index) else {
                continue;
            };
            let mut emission = None;
            let outcome = self.search(rule, id, false, &mut emission);
            let (Outcome::Match(found), Some(emission)) = (outcome, emission) else {
                continue;
            };
            let at = self.replaced_name(rule, &found);
            self.fired += 1;
            if self.fired > self.budget {
                return Err(DriverError::Budget {
                    budget: self.budget,
                    rule: rule.name.clone(),
                    at,
                });
            }
            waiting.extend(self.fire(rule, &found, emission)?);
            if let Some(report) = self.reports.get_mut(index) {
                report.fired.push(at);
            }
            break;
        }
        Ok(())
    }

    fn search(
        &self,
        rule: &Rule,
        anchor: NodeId,
        explain: bool,
        emission: &mut Option<Emission>,
    ) -> Outcome {
        let graph = self.editor.graph();
        let search = Search::new(graph, &self.dead, rule, explain);
        search.run(anchor, &mut |found| {
            let context = Context {
                graph,
                classes: &self.classes,
                rule,
                found,
            };
            if let Some(guard) = rule.guards.iter().find(|guard| !guard.holds(&context)) {
                return Err(match explain {
                    true => guard.refusal(&context),
                    false => String::new(),
                });
            }
            self.check_surroundings(&context)?;
            *emission = Some(prepare(&context)?);
            Ok(())
        })
    }

    /// The name of the first value that the rule replaces.
    fn replaced_name(&self, rule: &Rule, found: &Match) -> String {
        let first = rule.replaced().next();
        match first.and_then(|id| found.values.get(id)) {
            Some(Bound::Value(value)) => self.editor.graph().name(*value).to_string(),
            _ => rule.name.clone(),
        }
    }

    /// Refuse inner values that are read outside the match, and paths that leave the match and come back.
    fn check_surroundings(&self, context: &Context<'_>) -> Result<(), String> {
        let (graph, rule, nodes) = (context.graph, context.rule, &context.found.nodes);
        let several = rule.replaced().count() > 1;
        for id in rule.pattern.iter().flat_map(|node| &node.outputs) {
            let Some(value) = context.value(*id) else {
                continue;
            };
            let name = || quoted(graph.name(value));
            let replaced = rule.replaces(*id);
            if !replaced && graph.is_output(value) {
                return Err(format!("{} is also an output of the graph", name()));
            }
            for (user, _) in graph.users(value) {
                if nodes.contains(&Some(user)) || self.is_dead(user) {
                    continue;
                }
                let reader = || quoted(graph.node(user).name());
                if !replaced {
                    return Err(format!("{} is also read by {}", name(), reader()));
                }
                // If only one value is replaced, the match ends there, and a path back would already be a cycle.
                if !several {
                    continue;
                }
                for &node in nodes.iter().flatten().filter(|n| **n != value.node) {
                    let others: Vec<NodeId> = nodes
                        .iter()
                        .flatten()
                        .copied()
                        .filter(|n| *n != node)
                        .collect();
                    if self.ranks().reaches(graph, user, node, &others) {
                        let inside = quoted(graph.node(node).name());
                        return Err(format!(
                            "{} is read by {}, on which {inside} depends, so one op for both would make a cycle",
                            name(),
                            reader()
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// Replace the match; returns the new nodes in reverse: the first to visit comes last.
    fn fire(
        &mut self,
        rule: &Rule,
        found: &Match,
        emission: Emission,
    ) -> Result<SmallVec<[NodeId; 2]>, GraphError> {
        // The ranks follow every change from the first one on.
        self.ranks();
        let anchor = found.nodes.last().copied().flatten();
        let bound = |id: ValueId| match found.values.get(id) {
            Some(Bound::Value(value)) => Some(*value),
            _ => None,
        };
        let mut added: SmallVec<[NodeId; 2]> = SmallVec::new();
        let stem = self.replaced_name(rule, found);
        for (node, op) in rule.emit.iter().zip(emission.ops) {
            if let Some(anchor) = anchor {
                self.editor.at(anchor);
            }
            let mut inputs: SmallVec<[Option<Value>; 8]> = SmallVec::new();
            for source in &node.inputs {
                inputs.push(match *source {
                    EmitInput::Leaf(id) => bound(id),
                    EmitInput::Emitted { node, output } => {
                        added.get(node).map(|&node| Value { node, output })
                    }
                    EmitInput::Number(x) => Some(self.constant(x)),
                    EmitInput::Absent => None,
                });
            }
            // Absent operands at the end have no slot, as in graph files.
            inputs.truncate(
                inputs
                    .iter()
                    .rposition(Option::is_some)
                    .map_or(0, |last| last + 1),
            );
            let names: SmallVec<[Name; 2]> = node
                .outputs
                .iter()
                .map(|target| match target.replaces.and_then(bound) {
                    Some(value) => self.editor.graph().name(value).clone(),
                    None => format!("{stem}/{}", target.name).into(),
                })
                .collect();
            let names: SmallVec<[&str; 2]> = names.iter().map(|name| &**name).collect();
            let id = self.editor.op(op, &inputs, &names)?;
            self.register(id);
            added.push(id);
        }
        for (node, id) in rule.emit.iter().zip(&added) {
            for (output, target) in node.outputs.iter().enumerate() {
                if let Some(from) = target.replaces.and_then(bound) {
                    self.editor.replace(from, Value { node: *id, output })?;
                }
            }
        }
        let replaced: SmallVec<[NodeId; 8]> = found.nodes.iter().flatten().copied().collect();
        for node in &replaced {
            if let Some(dead) = self.dead.get_mut(node.index()) {
                *dead = true;
            }
        }
        if let Some(ranks) = self.ranks.get_mut() {
            ranks.replace(self.editor.graph(), &replaced, &added);
        }
        added.reverse();
        Ok(added)
    }

    fn constant(&mut self, x: f64) -> Value {
        let id = self.editor.constant(Literal::Float(x));
        self.register(id);
        if let Some(ranks) = self.ranks.get_mut() {
            ranks.add_leaf(id);
        }
        id.into()
    }

    /// Add a new node to the tables by index.
    fn register(&mut self, id: NodeId) {
        let graph = self.editor.graph();
        let inputs = graph.inputs(id);
        let known = |v: &Value| self.classes.get(v.node.index()).copied();
        let class = inputs.iter().flatten().filter_map(known).max();
        let size = self.dead.len().max(id.index() + 1);
        self.dead.resize(size, false);
        self.classes.resize(size, Class::Literal);
        if let Some(entry) = self.classes.get_mut(id.index()) {
            *entry = class.unwrap_or(Class::Literal);
        }
    }

    /// Note where rules nearly fire in the graph as it is now.
    fn explain(&mut self) {
        self.begin();
        for id in self.order.clone() {
            for index in self.candidates(id) {
                let Some(&rule) = self.rules.get(index) else {
                    continue;
                };
                if let Outcome::Near(_, reason) = self.search(rule, id, true, &mut None) {
                    let at = self.editor.graph().node(id).name().to_string();
                    if let Some(report) = self.reports.get_mut(index) {
                        report.near.push(NearMiss { at, reason });
                    }
                }
            }
        }
    }
}

/// Compute the emitted ops, and check that they accept the operands and that their outputs have the types of the values
/// they replace.
fn prepare(context: &Context<'_>) -> Result<Emission, String> {
    let (graph, rule) = (context.graph, context.rule);
    let mut ops = SmallVec::new();
    let mut types: SmallVec<[Types; 2]> = SmallVec::new();
    let number = Type::new(DType::F32, []);
    for node in &rule.emit {
        let op = emitted_op(context, node)?;
        let inferred = {
            let mut inputs: SmallVec<[Option<&Type>; 8]> = SmallVec::new();
            for source in &node.inputs {
                inputs.push(match *source {
                    EmitInput::Leaf(id) => context.value(id).map(|v| graph.ty(v)),
                    EmitInput::Emitted { node, output } => {
                        types.get(node).and_then(|types| types.get(output))
                    }
                    EmitInput::Number(_) => Some(&number),
                    EmitInput::Absent => None,
                });
            }
            op.infer(&inputs)
                .map_err(|problem| format!("what the rule emits does not fit: {problem}"))?
        };
        for (target, ty) in node.outputs.iter().zip(&inferred) {
            let Some(value) = target.replaces.and_then(|id| context.value(id)) else {
                continue;
            };
            let was = graph.ty(value);
            if was != ty {
                let name = quoted(graph.name(value));
                return Err(format!(
                    "{name} is {was}, but what the rule emits for it is {ty}"
                ));
            }
        }
        ops.push(op);
        types.push(inferred);
    }
    Ok(Emission { ops })
}

fn emitted_op(context: &Context<'_>, node: &EmitNode) -> Result<Op, String> {
    let mut given: SmallVec<[_; 8]> = SmallVec::new();
    for (name, term) in &node.attributes {
        let value = match term {
            Term::Constant(value) => value.clone(),
            Term::Formula(formula) => {
                let value = context.evaluate(formula)?;
                number_attribute(&value).map_err(|found| {
                    format!(
                        "\"{}\", for the attribute '{name}', is {found}",
                        formula.text
                    )
                })?
            }
        };
        given.push((*name, value));
    }
    Op::new(node.op.name, &given).map_err(|problems| problems.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::WeightSource;
    use crate::rewrite::check;
    use crate::types::Dim;

    #[test]
    fn a_rule_that_fires_on_what_it_emits_is_stopped() {
        let text = r#"[Rule(name: "lower", match: [("y", MatMul(transpose_b: true), ["x", "w"])],
            emit: [("y", Linear, ["x", "w"])], bits: Same)]"#;
        let mut rules = check::load("test", text).unwrap();
        // The checks would refuse this rule, which emits what it matches.
        rules[0].emit[0].op = crate::ops::find("MatMul").unwrap();
        let mut graph = Graph::new();
        let mut editor = graph.edit();
        let ty = Type::f32([Dim::Fixed(2), Dim::Fixed(2)]);
        let tensor = WeightSource { tensor: "w".into() };
        let weight = editor.weight("w", tensor, ty).unwrap();
        let op = Op::new("MatMul", &[]).unwrap();
        let operands = [Some(weight.into()), Some(weight.into())];
        let product = editor.op(op, &operands, &["y"]).unwrap();
        editor.set_outputs(vec![product.into()]);
        let error = apply(&mut graph, &[&rules[0]], false).unwrap_err();
        assert!(matches!(error, DriverError::Budget { .. }), "{error}");
    }
}
