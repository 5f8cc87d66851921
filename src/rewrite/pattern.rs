//! Checks a rule's left side: what it matches.

use std::collections::BTreeSet;

use super::check::Checker;
use super::context::{ConstantScope, NONE, number_attribute};
use super::parse::{RawAttribute, RawNode, RawOperandKind, RawTerm};
use super::rule::{Operand, Origin, PatternNode, RuleValue, ValueId};
use crate::language::diagnostics::Position;
use crate::language::evaluate::Failure;
use crate::language::expression::is_name;
use crate::language::nearest;
use crate::ops::{self, Arity, Attribute, AttributeDef, AttributeKind, Op, OpDef};

impl Checker<'_> {
    pub(super) fn op(&mut self, name: &str, position: Position) -> Option<&'static OpDef> {
        let Some(def) = ops::find(name) else {
            let message = nearest::unknown("op", name, ops::table().map(|def| def.name));
            self.problem(position, message);
            return None;
        };
        if def.arity == Arity::Segments {
            let message = format!(
                "{name} takes any number of operands, which no rule can match: write a transform"
            );
            self.problem(position, message);
            return None;
        }
        Some(def)
    }

    pub(super) fn pattern_node(
        &mut self,
        index: usize,
        raw: &RawNode,
        later: &[RawNode],
    ) -> Option<PatternNode> {
        let def = self.op(&raw.op.0, raw.op.1)?;
        let mut inputs = Vec::with_capacity(raw.inputs.len());
        for (slot, operand) in raw.inputs.iter().enumerate() {
            inputs.push(match &operand.kind {
                RawOperandKind::Absent => Operand::Absent,
                RawOperandKind::Number(x) => Operand::Number(*x),
                RawOperandKind::Name { name, optional } => {
                    let given_later = later
                        .iter()
                        .any(|node| node.outputs.iter().any(|(output, _)| output == name));
                    if given_later {
                        let message =
                            format!("'{name}' is an output of a later node: write each node after the nodes that it reads");
                        self.problem(operand.position, message);
                    }
                    let slot = if def.arity == Arity::Variadic {
                        0
                    } else {
                        slot
                    };
                    if *optional && def.inputs.get(slot).is_some_and(|def| !def.optional) {
                        let message = format!("'{name}' can't be optional: {} requires this operand", def.name);
                        self.problem(operand.position, message);
                    }
                    Operand::Value(self.operand(name, *optional, operand.position))
                }
            });
        }
        let absent: Vec<bool> = inputs.iter().map(|o| *o == Operand::Absent).collect();
        self.arity(def, raw, &absent);
        if def.arity == Arity::Fixed {
            inputs.resize(def.inputs.len(), Operand::Absent);
        }
        self.output_count(def, raw);
        let mut outputs = Vec::with_capacity(raw.outputs.len());
        for (output, (name, position)) in raw.outputs.iter().enumerate() {
            self.check_name(name, *position);
            if self.find(name).is_some() {
                self.problem(*position, format!("'{name}' is bound twice"));
            }
            let origin = Origin::Node {
                node: index,
                output,
            };
            outputs.push(self.bind(name, origin));
        }
        let mut attributes = Vec::with_capacity(raw.attributes.len());
        for attribute in self.distinct(&raw.attributes) {
            if let Some((at, value)) = self.constraint(def, attribute) {
                self.used_attributes.insert((index, at));
                attributes.push((at, value));
            }
        }
        Some(PatternNode {
            op: def,
            attributes,
            inputs,
            outputs,
        })
    }

    pub(super) fn check_name(&mut self, name: &str, position: Position) {
        if !name.is_empty() && (!is_name(name) || name == NONE) {
            let message =
                format!("'{name}' is not a valid name: expected letters, digits and _ only");
            self.problem(position, message);
        }
    }

    fn bind(&mut self, name: &str, origin: Origin) -> ValueId {
        let name = name.to_owned();
        self.values.push(RuleValue { name, origin });
        self.values.len() - 1
    }

    /// The value that an operand of the pattern names; a new leaf if nothing has that name.
    fn operand(&mut self, name: &str, optional: bool, position: Position) -> ValueId {
        let Some(id) = self.find(name) else {
            self.check_name(name, position);
            return self.bind(name, Origin::Leaf { optional });
        };
        match self.origin(id) {
            Some(Origin::Node { .. }) if optional => {
                self.problem(
                    position,
                    format!("'{name}' is a node's output, which can't be absent"),
                );
            }
            Some(Origin::Leaf { optional: first }) if first != optional => {
                self.problem(
                    position,
                    format!("'{name}' is optional in one place and required in another: write '{name}?' everywhere or nowhere"),
                );
            }
            _ => {}
        }
        self.read_inside.insert(id);
        id
    }

    /// Check how many operands there are; `absent` says which of them are absent.
    pub(super) fn arity(&mut self, def: &OpDef, raw: &RawNode, absent: &[bool]) {
        let found = absent.len();
        if def.arity == Arity::Variadic {
            if found == 0 || absent.contains(&true) {
                let message = format!(
                    "{} takes one or more operands, and none of them may be left out",
                    def.name
                );
                self.problem(raw.position, message);
            }
            return;
        }
        let most = def.inputs.len();
        if found > most {
            let message = format!("{} takes at most {most} operands, found {found}", def.name);
            self.problem(raw.position, message);
        }
        for (slot, input) in def.inputs.iter().enumerate() {
            if !input.optional && absent.get(slot).copied().unwrap_or(true) {
                let message = format!("{} needs operand {slot} ({})", def.name, input.name);
                self.problem(raw.position, message);
            }
        }
    }

    pub(super) fn output_count(&mut self, def: &OpDef, raw: &RawNode) {
        let (gives, named) = (def.outputs.len(), raw.outputs.len());
        if gives != named {
            let message = format!(
                "{}: wrong number of output names: expected {gives}, found {named}",
                def.name
            );
            self.problem(raw.position, message);
        }
    }

    /// The attributes without duplicates, which are noted as problems.
    pub(super) fn distinct<'r>(&mut self, attributes: &'r [RawAttribute]) -> Vec<&'r RawAttribute> {
        let mut seen = BTreeSet::new();
        let mut distinct = Vec::with_capacity(attributes.len());
        for attribute in attributes {
            if seen.insert(&attribute.name) {
                distinct.push(attribute);
            } else {
                let message = format!("the attribute '{}' is given twice", attribute.name);
                self.problem(attribute.position, message);
            }
        }
        distinct
    }

    pub(super) fn attribute_def(
        &mut self,
        def: &'static OpDef,
        name: &str,
        position: Position,
    ) -> Option<(usize, &'static AttributeDef)> {
        let found = def
            .attributes
            .iter()
            .enumerate()
            .find(|(_, a)| a.name == name);
        if found.is_none() {
            let known = def.attributes.iter().map(|a| a.name);
            let message = format!(
                "{}: {}",
                def.name,
                nearest::unknown("attribute", name, known)
            );
            self.problem(position, message);
        }
        found
    }

    /// The constant that an attribute of a matched node must equal.
    fn constraint(
        &mut self,
        def: &'static OpDef,
        raw: &RawAttribute,
    ) -> Option<(usize, Attribute)> {
        let (at, attribute) = self.attribute_def(def, &raw.name, raw.position)?;
        if let RawTerm::Formula(formula) = &raw.term
            && formula
                .expression
                .references()
                .iter()
                .any(|r| r.name != NONE)
        {
            let message = "a matched attribute must equal a constant; to compare two attributes, use the guard Equal";
            self.problem(formula.position, message);
            return None;
        }
        let value = self.constant(def, attribute, &raw.term, raw.position)?;
        Some((at, value))
    }

    /// The value of an attribute that reads nothing from the match.
    pub(super) fn constant(
        &mut self,
        def: &'static OpDef,
        attribute: &'static AttributeDef,
        term: &RawTerm,
        position: Position,
    ) -> Option<Attribute> {
        let value = match term {
            RawTerm::Constant(value) => Ok(value.clone()),
            RawTerm::Formula(formula) => formula.expression.evaluate(&ConstantScope),
        };
        let value = match value {
            Ok(value) => number_attribute(&value),
            Err(Failure::Here(error)) => Err(error.to_string()),
            Err(Failure::Elsewhere) => Err("an expression without a value".to_owned()),
        };
        match value {
            Ok(value) => self.fitting(def, attribute, value, position),
            Err(found) => {
                let name = attribute.name;
                self.problem(position, format!("{}: '{name}' is {found}", def.name));
                None
            }
        }
    }

    /// The value as the op stores it, if the attribute can have it.
    fn fitting(
        &mut self,
        def: &'static OpDef,
        attribute: &'static AttributeDef,
        value: Attribute,
        position: Position,
    ) -> Option<Attribute> {
        if value == Attribute::Absent {
            if attribute.required || attribute.default != Attribute::Absent {
                let message = format!("{}: '{}' can't be absent", def.name, attribute.name);
                self.problem(position, message);
            }
            return Some(value);
        }
        let others = def
            .attributes
            .iter()
            .filter(|a| a.required && a.name != attribute.name);
        let mut given: Vec<(&str, Attribute)> =
            others.map(|a| (a.name, some_value(a.kind))).collect();
        given.push((attribute.name, value));
        match Op::new(def.name, &given) {
            Ok(op) => op.attribute(attribute.name).cloned(),
            Err(problems) => {
                for problem in problems {
                    self.problem(position, problem);
                }
                None
            }
        }
    }
}

/// A value that the attribute may have.
fn some_value(kind: AttributeKind) -> Attribute {
    match kind {
        AttributeKind::Int(low, high) => Attribute::Int(1.clamp(low, high)),
        AttributeKind::Float => Attribute::Float(1.0),
        AttributeKind::Bool => Attribute::Bool(false),
        AttributeKind::Choice(words) => Attribute::word(words.first().copied().unwrap_or("")),
        AttributeKind::Ints => Attribute::Ints(Default::default()),
        AttributeKind::Text => Attribute::word(""),
    }
}
