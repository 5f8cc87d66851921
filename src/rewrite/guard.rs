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

impl Guard {
    /// Whether the guard holds. A guard about an optional operand that is absent always holds.
    pub fn holds(&self, context: &Context<'_>) -> bool {
        self.condition.holds(context).unwrap_or(true)
    }

    /// A sentence that says why the guard does not hold.
    pub fn refusal(&self, context: &Context<'_>) -> String {
        format!(
            "{}, so {} does not hold",
            self.condition.fact(context),
            self.text
        )
    }
}

impl Condition {
    /// Whether the condition holds; `None` where it asks about an operand that is absent.
    fn holds(&self, context: &Context<'_>) -> Option<bool> {
        let graph = context.graph;
        Some(match self {
            Condition::SameShape(a, b) => {
                let (a, b) = (context.value(*a)?, context.value(*b)?);
                graph.ty(a).shape == graph.ty(b).shape
            }
            Condition::SameType(a, b) => {
                graph.ty(context.value(*a)?) == graph.ty(context.value(*b)?)
            }
            Condition::IsWeight(a) => context.class(context.value(*a)?) == Class::Weight,
            Condition::IsActivation(a) => context.class(context.value(*a)?) == Class::Activation,
            Condition::Literal(a) => graph.literal(context.value(*a)?).is_some(),
            Condition::Rank(a, rank) => graph.ty(context.value(*a)?).shape.len() == *rank,
            Condition::Near(formula, wanted) => {
                let found = context.evaluate(formula).ok();
                let found = found.and_then(|found| found.as_number());
                found.is_some_and(|found| near(found, *wanted))
            }
            Condition::Equal(left, right) => {
                match (context.evaluate(left), context.evaluate(right)) {
                    (Ok(a), Ok(b)) => equal(&a, &b),
                    _ => false,
                }
            }
            Condition::Not(inner) => !inner.holds(context)?,
        })
    }

    /// The fact that decides whether the condition holds; empty where it asks about an operand that is absent.
    fn fact(&self, context: &Context<'_>) -> String {
        let graph = context.graph;
        let typed = |v: Value| format!("{} is {}", quoted(graph.name(v)), graph.ty(v));
        let about = |id: &ValueId, say: &dyn Fn(Value) -> String| {
            context.value(*id).map_or(String::new(), say)
        };
        match self {
            Condition::SameShape(a, b) | Condition::SameType(a, b) => {
                format!("{} and {}", about(a, &typed), about(b, &typed))
            }
            Condition::IsWeight(a) | Condition::IsActivation(a) => about(a, &|a| {
                let kind = match context.class(a) {
                    Class::Literal => "is a literal",
                    Class::Weight => "is a weight",
                    Class::Activation => "depends on a step's inputs",
                };
                format!("{} {kind}", quoted(graph.name(a)))
            }),
            Condition::Literal(a) => about(a, &|a| {
                let name = quoted(graph.name(a));
                match graph.literal(a) {
                    Some(number) => format!("{name} is {number}"),
                    None => format!("{name} is not a literal"),
                }
            }),
            Condition::Rank(a, _) => about(a, &typed),
            Condition::Near(formula, _) => evaluated(context, formula),
            Condition::Equal(left, right) => {
                let facts = [left, right].map(|formula| evaluated(context, formula));
                let facts: Vec<String> = facts.into_iter().filter(|f| !f.is_empty()).collect();
                facts.join(" and ")
            }
            Condition::Not(inner) => inner.fact(context),
        }
    }
}

/// The value of a formula, or why it has none.
fn evaluated(context: &Context<'_>, formula: &Formula) -> String {
    match context.evaluate(formula) {
        Ok(found) => fact(context, formula, &found),
        Err(reason) => reason,
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

/// Numbers are compared by value, everything else by kind and content.
fn equal(a: &Number, b: &Number) -> bool {
    match (a.as_number(), b.as_number()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}
