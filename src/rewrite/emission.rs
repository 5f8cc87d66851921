//! Checks a rule's right side: what it emits, and what its guards ask.

use std::collections::{BTreeSet, HashMap};

use super::check::Checker;
use super::context::NONE;
use super::guard::SIGNATURES;
use super::parse::{
    self, RawArgument, RawFormula, RawGuard, RawNode, RawOperandKind, RawRule, RawTerm,
};
use super::rule::{Condition, Guard};
use super::rule::{EmitInput, EmitNode, Formula, Origin, Target, Term, ValueId};
use crate::language::diagnostics::Position;
use crate::language::nearest;
use crate::ops::{Arity, OpDef};

impl Checker<'_> {
    pub(super) fn emit(&mut self, raw: &RawRule) -> Vec<EmitNode> {
        let mut emitted: HashMap<&str, (usize, usize)> = HashMap::new();
        let mut read: BTreeSet<(usize, usize)> = BTreeSet::new();
        let mut nodes: Vec<EmitNode> = Vec::with_capacity(raw.emit.len());
        for (index, node) in raw.emit.iter().enumerate() {
            let Some(def) = self.op(&node.op.0, node.op.1) else {
                continue;
            };
            let mut inputs = Vec::with_capacity(node.inputs.len());
            for (slot, operand) in node.inputs.iter().enumerate() {
                let slot = if def.arity == Arity::Variadic {
                    0
                } else {
                    slot
                };
                let may_lack = def.inputs.get(slot).is_some_and(|def| def.optional);
                inputs.push(match &operand.kind {
                    RawOperandKind::Absent => EmitInput::Absent,
                    RawOperandKind::Number(x) => EmitInput::Number(*x),
                    RawOperandKind::Name { name, optional } => match emitted.get(name.as_str()) {
                        Some(&(node, output)) => {
                            read.insert((node, output));
                            EmitInput::Emitted { node, output }
                        }
                        None => self.source(name, *optional, may_lack, operand.position),
                    },
                });
            }
            let absent: Vec<bool> = inputs.iter().map(|s| *s == EmitInput::Absent).collect();
            self.arity(def, node, &absent);
            self.output_count(def, node);
            let attributes = self.emitted_attributes(def, node);
            let outputs = node
                .outputs
                .iter()
                .enumerate()
                .map(|(output, (name, position))| {
                    let replaces = self.target(name, *position);
                    if !name.is_empty() && emitted.insert(name, (index, output)).is_some() {
                        self.problem(*position, format!("'{name}' is emitted twice"));
                    }
                    Target {
                        name: name.clone(),
                        replaces,
                    }
                });
            let outputs = outputs.collect();
            nodes.push(EmitNode {
                op: def,
                attributes,
                inputs,
                outputs,
            });
        }
        for (index, node) in nodes.iter().enumerate() {
            for (output, target) in node.outputs.iter().enumerate() {
                let idle = target.replaces.is_none() && !target.name.is_empty();
                if idle && !read.contains(&(index, output)) {
                    let position = raw.emit.get(index).map_or(raw.position, |n| n.position);
                    let message = format!(
                        "'{}' is emitted, but it replaces nothing, and nothing reads it",
                        target.name
                    );
                    self.problem(position, message);
                }
            }
        }
        nodes
    }

    /// The source of an emitted node's operand that is not an output of an emitted node.
    fn source(
        &mut self,
        name: &str,
        optional: bool,
        may_lack: bool,
        position: Position,
    ) -> EmitInput {
        // After a problem, any operand will do.
        let unknown = EmitInput::Number(0.0);
        let Some(id) = self.bound(name, position) else {
            return unknown;
        };
        match self.origin(id) {
            Some(Origin::Leaf { optional: leaf }) => {
                self.used_leaves.insert(id);
                if leaf != optional {
                    let (can, wanted) = match leaf {
                        true => ("may be absent", format!("{name}?")),
                        false => ("is never absent", name.to_owned()),
                    };
                    self.problem(position, format!("'{name}' {can}; write \"{wanted}\""));
                } else if leaf && !may_lack {
                    self.problem(
                        position,
                        format!("'{name}' may be absent, but the op requires this operand"),
                    );
                }
                EmitInput::Leaf(id)
            }
            _ => {
                let message =
                    format!("'{name}' is a matched node's output, which the rule removes");
                self.problem(position, message);
                unknown
            }
        }
    }

    /// The value called `name`; notes a problem if there is none.
    fn bound(&mut self, name: &str, position: Position) -> Option<ValueId> {
        let found = self.find(name);
        if found.is_none() {
            let known = self.values.iter().map(|value| value.name.as_str());
            let message = format!(
                "{}: nothing in 'match' binds it",
                nearest::unknown("name", name, known)
            );
            self.problem(position, message);
        }
        found
    }

    /// The matched value that an emitted output called `name` replaces.
    fn target(&mut self, name: &str, position: Position) -> Option<ValueId> {
        self.check_name(name, position);
        let id = self.find(name)?;
        if let Some(Origin::Leaf { .. }) = self.origin(id) {
            self.problem(
                position,
                format!("'{name}' comes from outside the match and can't be replaced"),
            );
        }
        Some(id)
    }

    fn emitted_attributes(
        &mut self,
        def: &'static OpDef,
        raw: &RawNode,
    ) -> Vec<(&'static str, Term)> {
        let mut terms = Vec::with_capacity(raw.attributes.len());
        for attribute in self.distinct(&raw.attributes) {
            let Some((_, known)) = self.attribute_def(def, &attribute.name, attribute.position)
            else {
                continue;
            };
            let term = match &attribute.term {
                RawTerm::Formula(formula) if reads_match(formula) => {
                    self.formula(formula).map(Term::Formula)
                }
                constant => self
                    .constant(def, known, constant, attribute.position)
                    .map(Term::Constant),
            };
            terms.extend(term.map(|term| (known.name, term)));
        }
        for attribute in def.attributes.iter().filter(|attribute| attribute.required) {
            if !raw
                .attributes
                .iter()
                .any(|given| given.name == attribute.name)
            {
                let message = format!("{}: attribute '{}' is missing", def.name, attribute.name);
                self.problem(raw.position, message);
            }
        }
        terms
    }

    /// Resolve the names that an expression reads.
    fn formula(&mut self, raw: &RawFormula) -> Option<Formula> {
        let mut reads = Vec::new();
        let noted = self.problems.len();
        for reference in raw.expression.references() {
            let name = reference.name.as_str();
            if name == NONE && reference.field.is_none() {
                continue;
            }
            let position = raw.position.advance(&raw.text, reference.offset);
            let Some(id) = self.bound(name, position) else {
                continue;
            };
            match (self.origin(id), reference.field) {
                (Some(Origin::Node { node, .. }), Some(field)) => {
                    let def = self.pattern_ops.get(node).copied();
                    let found = def.and_then(|def| self.attribute_def(def, &field, position));
                    if let Some((at, _)) = found {
                        self.used_attributes.insert((node, at));
                        reads.push(id);
                    }
                }
                (Some(Origin::Leaf { .. }), None) => {
                    self.used_leaves.insert(id);
                    self.numbers.push((id, position));
                    reads.push(id);
                }
                (Some(Origin::Leaf { .. }), Some(_)) => {
                    self.problem(
                        position,
                        format!("'{name}' is an operand and has no attributes"),
                    );
                }
                _ => {
                    let message = format!("'{name}' is a node; name an attribute of it: {name}.…");
                    self.problem(position, message);
                }
            }
        }
        (self.problems.len() == noted).then(|| Formula {
            expression: raw.expression.clone(),
            text: raw.text.clone(),
            reads,
        })
    }

    pub(super) fn guard(&mut self, raw: &RawGuard) -> Option<Guard> {
        let condition = self.condition(raw)?;
        let text = written(raw);
        Some(Guard { text, condition })
    }

    fn condition(&mut self, raw: &RawGuard) -> Option<Condition> {
        let name = raw.name.as_str();
        let Some((_, signature)) = SIGNATURES.iter().find(|(known, _)| *known == name) else {
            let known = SIGNATURES.iter().map(|(known, _)| *known);
            self.problem(raw.position, nearest::unknown("guard", name, known));
            return None;
        };
        use RawArgument::{Guard, Number, Text};
        Some(match (name, raw.arguments.as_slice()) {
            ("SameShape", [Text(a, at_a), Text(b, at_b)]) => {
                Condition::SameShape(self.asked(a, *at_a)?, self.asked(b, *at_b)?)
            }
            ("SameType", [Text(a, at_a), Text(b, at_b)]) => {
                Condition::SameType(self.asked(a, *at_a)?, self.asked(b, *at_b)?)
            }
            ("IsWeight", [Text(a, at)]) => Condition::IsWeight(self.asked(a, *at)?),
            ("IsActivation", [Text(a, at)]) => Condition::IsActivation(self.asked(a, *at)?),
            ("Literal", [Text(a, at)]) => Condition::Literal(self.asked(a, *at)?),
            ("Rank", [Text(a, at), Number(rank)])
                if (0.0..=8.0).contains(rank) && rank.fract() == 0.0 =>
            {
                Condition::Rank(self.asked(a, *at)?, *rank as usize)
            }
            ("Near", [Text(a, at), Number(x)]) => Condition::Near(self.asked_formula(a, *at)?, *x),
            ("Equal", [Text(a, at_a), Text(b, at_b)]) => {
                Condition::Equal(self.asked_formula(a, *at_a)?, self.asked_formula(b, *at_b)?)
            }
            ("Not", [Guard(inner)]) => Condition::Not(Box::new(self.condition(inner)?)),
            _ => {
                self.problem(raw.position, format!("expected {name}{signature}"));
                return None;
            }
        })
    }

    /// The value that a guard asks about.
    fn asked(&mut self, name: &str, position: Position) -> Option<ValueId> {
        let id = self.bound(name, position)?;
        if let Some(Origin::Leaf { .. }) = self.origin(id) {
            self.used_leaves.insert(id);
        }
        Some(id)
    }

    fn asked_formula(&mut self, text: &str, position: Position) -> Option<Formula> {
        match parse::formula(text, position) {
            Ok(raw) => self.formula(&raw),
            Err((at, message)) => {
                self.problem(at, message);
                None
            }
        }
    }
}

/// Whether the expression reads anything but `none`.
fn reads_match(formula: &RawFormula) -> bool {
    let references = formula.expression.references();
    references.iter().any(|reference| reference.name != NONE)
}

/// A guard as written.
fn written(raw: &RawGuard) -> String {
    let arguments = raw.arguments.iter().map(|argument| match argument {
        RawArgument::Text(text, _) => format!("\"{text}\""),
        RawArgument::Number(x) => x.to_string(),
        RawArgument::Guard(guard) => written(guard),
    });
    let arguments: Vec<String> = arguments.collect();
    format!("{}({})", raw.name, arguments.join(", "))
}
