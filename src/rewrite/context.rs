//! A match together with its graph: what guards and emitted attributes read.

use smallvec::SmallVec;

use crate::graph::{Class, Graph, Name, NodeId, Value};
use crate::language::evaluate::{Failure, Scope};
use crate::language::value::Value as Number;
use crate::ops::Attribute;
use crate::types::Literal;

use super::rule::{Formula, Origin, Rule, ValueId};

/// The word that stands for an attribute that is absent.
pub const NONE: &str = "none";

/// What a value of a pattern is in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Nothing yet.
    Open,
    /// An optional operand that isn't there.
    Absent,
    /// This value.
    Value(Value),
}

/// Where a pattern occurs in a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// The nodes, by their place in the pattern. `None` only while the matcher is at work.
    pub nodes: SmallVec<[Option<NodeId>; 8]>,
    /// The values, by [`ValueId`].
    pub values: SmallVec<[Bound; 16]>,
}

/// A match with its graph and rule.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// What each of its nodes depends on, by [`NodeId::index`].
    pub classes: &'a [Class],
    /// The rule.
    pub rule: &'a Rule,
    /// The match.
    pub found: &'a Match,
}

impl<'a> Context<'a> {
    /// The graph's value, unless it is absent.
    pub fn value(&self, id: ValueId) -> Option<Value> {
        match self.found.values.get(id) {
            Some(Bound::Value(value)) => Some(*value),
            _ => None,
        }
    }

    /// The node of the graph that matches a node of the pattern.
    pub fn node(&self, index: usize) -> Option<NodeId> {
        self.found.nodes.get(index).copied().flatten()
    }

    /// A value's name in the graph, in quotes; "nothing" where it is absent.
    pub fn name(&self, id: ValueId) -> String {
        match self.value(id) {
            Some(value) => quoted(self.graph.name(value)),
            None => "nothing".to_owned(),
        }
    }

    /// What a value depends on.
    pub fn class(&self, value: Value) -> Class {
        let class = self.classes.get(value.node.index()).copied();
        class.unwrap_or(Class::Activation)
    }

    /// The value of a formula, or a sentence that says why it has none.
    pub fn evaluate(&self, formula: &Formula) -> Result<Number, String> {
        let scope = MatchScope::new(self, formula);
        match formula.expression.evaluate(&scope) {
            Ok(value) => Ok(value),
            Err(Failure::Here(error)) => Err(format!("\"{}\" has no value: {error}", formula.text)),
            Err(Failure::Elsewhere) => Err(format!("\"{}\" has no value", formula.text)),
        }
    }
}

/// The name in quotes.
pub fn quoted(name: &Name) -> String {
    format!("\"{name}\"")
}

/// The literal as a number for expressions: always a float, so that quotients need not be whole.
fn literal_number(literal: Literal) -> Number {
    Number::Float(match literal {
        Literal::Int(n) => f64::from(n),
        Literal::Float(x) => x,
    })
}

/// The attribute as a value for expressions.
pub fn attribute_number(attribute: &Attribute) -> Number {
    match attribute {
        Attribute::Absent => Number::Null,
        Attribute::Int(n) => Number::Int(*n),
        Attribute::Float(x) => Number::Float(*x),
        Attribute::Bool(b) => Number::Bool(*b),
        Attribute::Text(text) => Number::Str(text.to_string()),
        Attribute::Ints(list) => Number::List(list.iter().map(|n| Number::Int(*n)).collect()),
    }
}

/// The value of an expression as an attribute, or a description of what it is instead.
pub fn number_attribute(value: &Number) -> Result<Attribute, String> {
    Ok(match value {
        Number::Null => Attribute::Absent,
        Number::Int(n) => Attribute::Int(*n),
        Number::Float(x) => Attribute::Float(*x),
        Number::Bool(b) => Attribute::Bool(*b),
        Number::Str(text) => Attribute::Text(text.clone().into()),
        Number::List(items) => {
            let whole = items.iter().map(|item| item.as_int());
            let list = whole.collect::<Option<_>>();
            Attribute::Ints(
                list.ok_or_else(|| "a list whose elements are not all whole numbers".to_owned())?,
            )
        }
        Number::Record(_) => return Err("a record, and attributes can't be records".to_owned()),
    })
}

/// The names that one formula reads.
struct MatchScope<'a> {
    names: Vec<(&'a str, Number)>,
}

impl<'a> MatchScope<'a> {
    fn new(context: &Context<'a>, formula: &Formula) -> Self {
        let mut names: Vec<(&str, Number)> = vec![(NONE, Number::Null)];
        for &id in &formula.reads {
            let Some(value) = context.rule.values.get(id) else {
                continue;
            };
            if names.iter().any(|(name, _)| *name == value.name) {
                continue;
            }
            let number = match value.origin {
                Origin::Leaf { .. } => context
                    .value(id)
                    .and_then(|v| context.graph.literal(v))
                    .map(literal_number),
                Origin::Node { node, .. } => context
                    .node(node)
                    .and_then(|id| context.graph.node(id).op())
                    .map(|op| {
                        let named = op.def().attributes.iter().zip(op.attributes());
                        Number::Record(
                            named
                                .map(|(def, value)| (def.name.to_owned(), attribute_number(value)))
                                .collect(),
                        )
                    }),
            };
            names.extend(number.map(|number| (value.name.as_str(), number)));
        }
        MatchScope { names }
    }
}

impl Scope for MatchScope<'_> {
    fn value(&self, name: &str) -> Result<Option<&Number>, Failure> {
        let found = self.names.iter().find(|(known, _)| *known == name);
        Ok(found.map(|(_, number)| number))
    }

    fn has(&self, _: &str) -> Result<bool, String> {
        Err(
            "'has' asks about a weight file, which rules do not know; it is for graph files"
                .to_owned(),
        )
    }

    fn names(&self) -> Vec<&str> {
        self.names.iter().map(|(name, _)| *name).collect()
    }
}

/// The scope of an expression that stands for a constant: only `none` has a meaning.
pub struct ConstantScope;

impl Scope for ConstantScope {
    fn value(&self, name: &str) -> Result<Option<&Number>, Failure> {
        Ok((name == NONE).then_some(&Number::Null))
    }

    fn has(&self, _: &str) -> Result<bool, String> {
        Err(
            "'has' asks about a weight file, which rules do not know; it is for graph files"
                .to_owned(),
        )
    }

    fn names(&self) -> Vec<&str> {
        vec![NONE]
    }
}
