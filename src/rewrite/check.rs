//! Turns rules as written into rules that can be applied, or lists everything that is wrong with them.
//!
//! A rule that passes shrinks the graph, drops nothing silently, and names nothing that doesn't exist. `pattern` and
//! `emission` resolve the names on a rule's two sides; this file checks what only shows in the whole rule, or the whole
//! file.

use std::collections::{BTreeSet, HashMap};

use super::parse::{self, RawRule};
use super::rule::{Condition, Guard};
use super::rule::{Operand, Origin, PatternNode, Reach, Rule, RuleValue, ValueId};
use super::shadow::shadows;
use crate::language::diagnostics::{Position, Problem, Problems};
use crate::ops::OpDef;

/// Reads and checks a rule file. Messages call it `file`.
pub fn load(file: &str, text: &str) -> Result<Vec<Rule>, Problems> {
    let raw = parse::parse(file, text)?;
    let mut problems = Vec::new();
    let mut rules: Vec<Rule> = Vec::with_capacity(raw.len());
    let mut names: HashMap<String, usize> = HashMap::new();
    for raw in &raw {
        let mut checker = Checker::new(&raw.name);
        if let Some(line) = names.insert(raw.name.clone(), raw.position.line) {
            checker.problem(
                raw.position,
                format!("the name is already used by the rule in line {line}"),
            );
        }
        let rule = checker.rule(raw);
        if let Some(rule) = &rule
            && let Some(earlier) = rules.iter().find(|earlier| shadows(earlier, rule))
        {
            let message = format!(
                "never fires: \"{}\", in line {}, fires wherever this rule would",
                earlier.name, earlier.position.line
            );
            checker.problem(raw.position, message);
        }
        problems.append(&mut checker.problems);
        rules.extend(rule);
    }
    Problems::check(file, problems, rules)
}

/// Checks one rule.
pub(super) struct Checker<'a> {
    name: &'a str,
    pub problems: Vec<Problem>,
    pub values: Vec<RuleValue>,
    /// The values that nodes of the pattern read.
    pub read_inside: BTreeSet<ValueId>,
    /// The leaves that emitted nodes or guards read.
    pub used_leaves: BTreeSet<ValueId>,
    /// The attributes that are constrained or read, each with its node.
    pub used_attributes: BTreeSet<(usize, usize)>,
    /// The literals that expressions read, with their places.
    pub numbers: Vec<(ValueId, Position)>,
    /// The ops of the pattern.
    pub pattern_ops: Vec<&'static OpDef>,
}

impl<'a> Checker<'a> {
    fn new(name: &'a str) -> Self {
        Checker {
            name,
            problems: Vec::new(),
            values: Vec::new(),
            read_inside: BTreeSet::new(),
            used_leaves: BTreeSet::new(),
            used_attributes: BTreeSet::new(),
            numbers: Vec::new(),
            pattern_ops: Vec::new(),
        }
    }

    pub(super) fn problem(&mut self, position: Position, message: impl Into<String>) {
        let message = format!("rule \"{}\": {}", self.name, message.into());
        self.problems.push(Problem::new(position, message));
    }

    pub(super) fn find(&self, name: &str) -> Option<ValueId> {
        self.values
            .iter()
            .position(|value| value.name == name && !name.is_empty())
    }

    pub(super) fn origin(&self, id: ValueId) -> Option<Origin> {
        self.values.get(id).map(|value| value.origin)
    }

    fn rule(&mut self, raw: &RawRule) -> Option<Rule> {
        let mut pattern = Vec::with_capacity(raw.pattern.len());
        for (index, node) in raw.pattern.iter().enumerate() {
            let later = raw.pattern.get(index + 1..).unwrap_or(&[]);
            pattern.extend(self.pattern_node(index, node, later));
        }
        if raw.pattern.is_empty() {
            self.problem(raw.position, "matches no node");
        }
        // Names that a broken pattern would have bound don't deserve a message each.
        if !self.problems.is_empty() {
            return None;
        }
        self.pattern_ops = pattern.iter().map(|node| node.op).collect();
        let emit = self.emit(raw);
        let guards: Vec<Guard> = raw
            .guards
            .iter()
            .filter_map(|guard| self.guard(guard))
            .collect();
        if !self.problems.is_empty() {
            return None;
        }
        let plan = plan(&pattern, &self.values);
        let rule = Rule {
            name: raw.name.clone(),
            position: raw.position,
            bits: raw.bits,
            values: self.values.clone(),
            pattern,
            plan,
            guards,
            emit,
        };
        self.whole(raw, &rule);
        self.problems.is_empty().then_some(rule)
    }

    /// Checks what only shows in the whole rule.
    fn whole(&mut self, raw: &RawRule, rule: &Rule) {
        for (node, written) in rule.pattern.iter().zip(&raw.pattern) {
            let used = |id: &ValueId| self.read_inside.contains(id) || rule.replaces(*id);
            if !node.outputs.iter().any(used) {
                let name = written
                    .outputs
                    .first()
                    .map_or("", |(name, _)| name.as_str());
                let message = format!(
                    "'{name}' is matched, but no matched node reads it and nothing replaces it"
                );
                self.problem(written.position, message);
            }
        }
        for (id, value) in rule.values.iter().enumerate() {
            if matches!(value.origin, Origin::Leaf { .. }) && !self.used_leaves.contains(&id) {
                let name = &value.name;
                let message =
                    format!("'{name}' is bound, but it is neither emitted nor used by a guard");
                self.problem(raw.position, message);
            }
        }
        for (index, (node, written)) in rule.pattern.iter().zip(&raw.pattern).enumerate() {
            for (at, attribute) in node.op.attributes.iter().enumerate() {
                if !self.used_attributes.contains(&(index, at)) {
                    let name = written.outputs.iter().find(|(name, _)| !name.is_empty());
                    let name = name.map_or(node.op.name, |(name, _)| name.as_str());
                    let message = format!(
                        "attribute '{}' of '{name}' is neither constrained nor used, so the rule would drop it",
                        attribute.name
                    );
                    self.problem(written.position, message);
                }
            }
        }
        for (id, position) in std::mem::take(&mut self.numbers) {
            if !rule
                .guards
                .iter()
                .any(|guard| guard.condition == Condition::Literal(id))
            {
                let name = rule.values.get(id).map_or("", |value| value.name.as_str());
                let message = format!(
                    "'{name}' is read as a number, but no guard ensures that it is one: add Literal(\"{name}\")"
                );
                self.problem(position, message);
            }
        }
        if rule.replaced().next().is_none() && self.problems.is_empty() {
            self.problem(raw.position, "replaces no matched value");
        }
        if rule.plan.len() < rule.pattern.len() {
            self.problem(
                raw.position,
                "the matched nodes are not all connected by values",
            );
        }
        self.measure(raw, rule);
    }

    /// Checks that the rule leaves fewer ops, or as many ops with a lower sum of ranks.
    fn measure(&mut self, raw: &RawRule, rule: &Rule) {
        let (before, after) = (rule.pattern.len(), rule.emit.len());
        let rank_before: u32 = rule.pattern.iter().map(|node| node.op.rank).sum();
        let rank_after: u32 = rule.emit.iter().map(|node| node.op.rank).sum();
        if after > before {
            let message =
                format!("emits {after} ops in place of {before}; a rule must not add ops");
            self.problem(raw.position, message);
        } else if after == before && rank_after >= rank_before {
            let message = format!(
                "emits as many ops as it matches and does not lower the sum of their ranks ({rank_before} to {rank_after})"
            );
            self.problem(raw.position, message);
        }
    }
}

/// The order in which the matcher visits the nodes: the anchor, then whatever a known value leads to. Producers come
/// before readers, since a value has one producer and may have many readers. Nodes that no value connects to the anchor
/// are left out.
fn plan(pattern: &[PatternNode], values: &[RuleValue]) -> Vec<(usize, Reach)> {
    let mut plan: Vec<(usize, Reach)> = Vec::with_capacity(pattern.len());
    let mut known: BTreeSet<ValueId> = BTreeSet::new();
    let mut next = pattern
        .len()
        .checked_sub(1)
        .map(|last| (last, Reach::Anchor));
    while let Some((index, reach)) = next {
        plan.push((index, reach));
        if let Some(node) = pattern.get(index) {
            known.extend(&node.outputs);
            known.extend(node.inputs.iter().filter_map(operand_value));
        }
        let open = |index: usize| !plan.iter().any(|(placed, _)| *placed == index);
        let giver = known.iter().find_map(|&id| match values.get(id)?.origin {
            Origin::Node { node, .. } if open(node) => Some((node, Reach::Giver(id))),
            _ => None,
        });
        next = giver.or_else(|| {
            pattern
                .iter()
                .enumerate()
                .filter(|(index, _)| open(*index))
                .find_map(|(index, node)| {
                    let mut read = node.inputs.iter().filter_map(operand_value);
                    let id = read.find(|id| known.contains(id))?;
                    Some((index, Reach::Reader(id)))
                })
        });
    }
    plan
}

fn operand_value(operand: &Operand) -> Option<ValueId> {
    match operand {
        Operand::Value(id) => Some(*id),
        _ => None,
    }
}
