//! `<`, `<=`, `>`, `>=`, `in` and `not in`, and several comparisons in a row.

use std::cmp::Ordering;

use minijinja::value::{Rest, Value};
use minijinja::{Environment, Error, State};

use crate::chat::jinja::arguments::text;
use crate::chat::jinja::values::{Kind, equal, hashable, kind, order, pay, unlike, values, wrong};

/// Adds the filters.
pub fn add(environment: &mut Environment) {
    let operators = [
        ("__lt__", "<"),
        ("__le__", "<="),
        ("__gt__", ">"),
        ("__ge__", ">="),
        ("__in__", "in"),
        ("__not_in__", "not in"),
    ];
    for (name, operator) in operators {
        environment.add_filter(name, move |state: &State, left: &Value, right: &Value| {
            holds(operator, left, right, state)
        });
    }
    environment.add_filter("__compare__", compared);
}

/// Python's `a < b < c`: the first value, then operators and values in turn. All of them have been computed, even those that
/// Python would not get to.
fn compared(state: &State, values: Rest<Value>) -> Result<bool, Error> {
    let Some((first, others)) = values.split_first() else {
        return Err(wrong("there is nothing to compare"));
    };
    let mut left = first;
    for pair in others.chunks(2) {
        if let [operator, right] = pair {
            if !holds(text(operator)?, left, right, state)? {
                return Ok(false);
            }
            left = right;
        }
    }
    Ok(true)
}

/// Whether a comparison holds.
fn holds(operator: &str, left: &Value, right: &Value, state: &State) -> Result<bool, Error> {
    let ordered = |holds: fn(Ordering) -> bool| {
        order(left, right, state).map(|order| order.is_some_and(holds))
    };
    match operator {
        "<" => ordered(Ordering::is_lt),
        "<=" => ordered(Ordering::is_le),
        ">" => ordered(Ordering::is_gt),
        ">=" => ordered(Ordering::is_ge),
        "in" => contains(right, left, state),
        "not in" => contains(right, left, state).map(|contains| !contains),
        "!=" => equal(left, right, state).map(|equal| !equal),
        _ => equal(left, right, state),
    }
}

/// Python's `value in container`.
pub fn contains(container: &Value, value: &Value, state: &State) -> Result<bool, Error> {
    match (kind(container), container.as_str()) {
        (_, Some(own)) => match value.as_str() {
            Some(part) => {
                pay(state, own.len())?;
                Ok(own.contains(part))
            }
            None => Err(unlike("a text in a text", value)),
        },
        (Kind::Dict, _) => {
            hashable(value)?;
            let map = container.as_object();
            Ok(map.is_some_and(|map| map.get_value(value).is_some()))
        }
        _ => {
            for other in values(container, state)? {
                if equal(&other, value, state)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}
