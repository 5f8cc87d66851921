//! Tests: what comes after `is`.

use super::arguments::{Args, text};
use super::compare::{compare, equal, same};
use super::fault::{Budget, Error, Result};
use super::methods::texts::{is_lower, is_upper};
use super::operators::binary;
use super::print;
use super::value::{Value, View};

/// The tests, by their names.
const NAMES: [&str; 40] = [
    "!=",
    "<",
    "<=",
    "==",
    ">",
    ">=",
    "boolean",
    "callable",
    "defined",
    "divisibleby",
    "eq",
    "equalto",
    "escaped",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sameas",
    "sequence",
    "string",
    "test",
    "true",
    "undefined",
    "upper",
    "",
];

/// Whether there is a test of that name.
fn is_known(name: &str) -> bool {
    !name.is_empty() && NAMES.contains(&name)
}

/// Whether a test holds for a value.
pub fn holds(name: &str, value: &Value, arguments: &Args, budget: &Budget) -> Result<bool> {
    let operator = match name {
        "eq" | "equalto" | "==" => "==",
        "ne" | "!=" => "!=",
        "lt" | "lessthan" | "<" => "<",
        "le" | "<=" => "<=",
        "gt" | "greaterthan" | ">" => ">",
        "ge" | ">=" => ">=",
        "in" => "in",
        _ => "",
    };
    if !operator.is_empty() {
        return compare(operator, value, &arguments.one()?, budget);
    }
    match name {
        "sameas" => return Ok(same(value, &arguments.one()?)),
        "divisibleby" => {
            let [number] = arguments.bind(["num"], 1)?;
            let rest = binary("%", value, &number.unwrap_or(Value::None), budget)?;
            return equal(&rest, &Value::Int(0), budget);
        }
        _ => arguments.none()?,
    }
    Ok(match name {
        "defined" => !matches!(value, Value::Undefined(_)),
        "undefined" => matches!(value, Value::Undefined(_)),
        "none" => matches!(value, Value::None),
        "boolean" => matches!(value, Value::Bool(_)),
        "true" => matches!(value, Value::Bool(true)),
        "false" => matches!(value, Value::Bool(false)),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        "number" => matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_)),
        "string" => value.as_text().is_some(),
        "escaped" => matches!(value, Value::Markup(_)),
        "mapping" => matches!(value, Value::Dict(_)),
        "sequence" => match value {
            Value::View(..) | Value::Loop(_) => false,
            other => other.length().is_some(),
        },
        "iterable" => value.is_iterable(),
        "callable" => value.is_callable(),
        "odd" | "even" => {
            let rest = binary("%", value, &Value::Int(2), budget)?;
            equal(&rest, &Value::Int(i128::from(name == "odd")), budget)?
        }
        "lower" => is_lower(&print::text(value, budget)?),
        "upper" => is_upper(&print::text(value, budget)?),
        "test" => is_known(as_name(value)?),
        _ => return Err(Error::new(format!("there is no test `{name}`"))),
    })
}

/// A name, which everything that can be a key could be.
pub fn as_name(value: &Value) -> Result<&str> {
    match value {
        Value::List(_) | Value::Dict(_) | Value::View(View::Keys | View::Items, _) => text(value),
        other => Ok(other.as_text().unwrap_or("")),
    }
}
