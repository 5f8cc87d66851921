//! Guards: the closed set of questions a rule may ask beyond its pattern.

use super::context::{Context, quoted};
use super::rule::{Condition, Formula, Guard, NEAR, ValueId};
use crate::graph::{Class, Value};
use crate::language::value::Value as Number;

/// Whether `found` is `wanted`, give or take [`NEAR`].
pub fn near(found: f64, wanted: f64) -> bool {
    (found - wanted).abs() <= NEAR * wanted.abs()
}

/// How guards are written: name and arguments.
pub const SIGNATURES: [(&str, &str); 9] = [
    ("SameShape", "(\"value\", \"value\")"),
    ("SameType", "(\"value\", \"value\")"),
    ("IsWeight", "(\"value\")"),
    ("IsActivation", "(\"value\")"),
    ("Literal", "(\"value\")"),
    ("Rank", "(\"value\", number)"),
    ("Near", "(\"expression\", number)"),
    ("Equal", "(\"expression\", \"expression\")"),
    ("Not", "(guard)"),
];

/// A condition about an operand that is absent asks nothing.
struct NothingAsked;

type Answer = Result<(bool, String), NothingAsked>;

impl Guard {
    /// Whether the guard holds; a sentence of why not. A guard about an optional operand that is absent holds.
    pub fn check(&self, context: &Context<'_>) -> Result<(), String> {
        match self.condition.ask(context) {
            Ok((false, fact)) => Err(format!("{fact}, so {} does not hold", self.text)),
            _ => Ok(()),
        }
    }
}

impl Condition {
    /// Whether the condition holds, and the fact that decides it.
    fn ask(&self, context: &Context<'_>) -> Answer {
        let graph = context.graph;
        let value = |id: ValueId| context.value(id).ok_or(NothingAsked);
        let typed = |v: Value| format!("{} is {}", quoted(graph.name(v)), graph.ty(v));
        let answer = match self {
            Condition::SameShape(a, b) | Condition::SameType(a, b) => {
                let (a, b) = (value(*a)?, value(*b)?);
                let shapes = graph.ty(a).shape == graph.ty(b).shape;
                let types = matches!(self, Condition::SameShape(..)) || graph.ty(a) == graph.ty(b);
                (shapes && types, format!("{} and {}", typed(a), typed(b)))
            }
            Condition::IsWeight(a) => self.class(context, value(*a)?, Class::Weight),
            Condition::IsActivation(a) => self.class(context, value(*a)?, Class::Activation),
            Condition::Literal(a) => {
                let a = value(*a)?;
                let name = quoted(graph.name(a));
                match graph.literal(a) {
                    Some(number) => (true, format!("{name} is {number}")),
                    None => (false, format!("{name} is no literal")),
                }
            }
            Condition::Rank(a, rank) => {
                let a = value(*a)?;
                (graph.ty(a).shape.len() == *rank, typed(a))
            }
            Condition::Near(formula, wanted) => match context.evaluate(formula) {
                Ok(found) => {
                    let holds = found.as_number().is_some_and(|x| near(x, *wanted));
                    (holds, fact(context, formula, &found))
                }
                Err(reason) => (false, reason),
            },
            Condition::Equal(left, right) => {
                match (context.evaluate(left), context.evaluate(right)) {
                    (Ok(a), Ok(b)) => {
                        let facts = [fact(context, left, &a), fact(context, right, &b)];
                        let facts: Vec<String> =
                            facts.into_iter().filter(|f| !f.is_empty()).collect();
                        (equal(&a, &b), facts.join(" and "))
                    }
                    (Err(reason), _) | (_, Err(reason)) => (false, reason),
                }
            }
            Condition::Not(inner) => {
                let (holds, fact) = inner.ask(context)?;
                (!holds, fact)
            }
        };
        Ok(answer)
    }

    fn class(&self, context: &Context<'_>, value: Value, wanted: Class) -> (bool, String) {
        let class = context.class(value);
        let kind = match class {
            Class::Literal => "is a literal",
            Class::Weight => "is a weight",
            Class::Activation => "depends on a step's inputs",
        };
        let name = quoted(context.graph.name(value));
        (class == wanted, format!("{name} {kind}"))
    }
}

/// "scale of \"layer.0/scores\" is 0.5"; empty for an expression that reads nothing.
fn fact(context: &Context<'_>, formula: &Formula, found: &Number) -> String {
    let found = match found {
        Number::Null => "absent".to_owned(),
        found => found.to_string(),
    };
    let reads = formula.reads.iter().filter_map(|&id| {
        let value = context.rule.values.get(id)?;
        Some(format!("{} being {}", value.name, context.name(id)))
    });
    let mut reads: Vec<String> = reads.collect();
    reads.dedup();
    if reads.is_empty() {
        return String::new();
    }
    format!("{} is {found} ({})", formula.text, reads.join(", "))
}

/// Numbers are equal by value, all else by kind and content.
fn equal(a: &Number, b: &Number) -> bool {
    match (a.as_number(), b.as_number()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}
