//! What several filters need.

use crate::chat::jinja::access;
use crate::chat::jinja::fault::{Budget, Result};
use crate::chat::jinja::print;
use crate::chat::jinja::value::Value;

/// The part of a value that a path leads to: `a.b.0`.
pub fn part(
    value: &Value,
    path: Option<&Value>,
    default: Option<&Value>,
    budget: &Budget,
) -> Result<Value> {
    let mut steps = Vec::new();
    match path {
        None | Some(Value::None) => {}
        Some(Value::Text(path)) => steps.extend(path.split('.').map(|step| match step.parse() {
            Ok(index) if step.bytes().all(|byte| byte.is_ascii_digit()) => Value::Int(index),
            _ => Value::text(step),
        })),
        Some(other) => steps.push(other.clone()),
    }
    let mut found = value.clone();
    for step in steps {
        let name = || Value::undefined(step.as_text().unwrap_or("the item"));
        found = access::item(&found, &step, budget)?.unwrap_or_else(name);
        if let (Value::Undefined(_), Some(default)) = (&found, default) {
            found = default.clone();
        }
    }
    Ok(found)
}

/// The text that printing a value gives.
pub fn soft(value: &Value, budget: &Budget) -> Result<String> {
    print::text(value, budget)
}

/// A text in lower case, and any other value as it is: what is compared where case does not matter.
pub fn folded(value: Value, case_sensitive: bool) -> Value {
    match &value {
        Value::Text(text) if !case_sensitive => Value::text(text.to_lowercase()),
        _ => value,
    }
}

/// Whether an argument is given and true.
pub fn flag(value: Option<Value>) -> bool {
    value.is_some_and(|value| value.is_true())
}
