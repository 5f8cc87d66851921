//! Tests: what comes after `is`.

use std::cmp::Ordering;

use minijinja::value::Value;
use minijinja::{Environment, Error, State};

use super::arguments::text;
use super::operators::contains;
use super::print;
use super::values::{Kind, is_iterable, kind, length, number, order, unlike, wrong};

/// A test of a value.
type Alone = fn(&Value) -> bool;

/// Tests that take no argument.
const ALONE: [(&str, Alone); 4] = [
    ("callable", |value| {
        matches!(kind(value), Kind::Other | Kind::Undefined | Kind::Loop)
    }),
    ("iterable", is_iterable),
    ("mapping", |value| kind(value) == Kind::Dict),
    ("sequence", |value| {
        let is_other = matches!(kind(value), Kind::View | Kind::Loop);
        length(value).is_some() && !is_other
    }),
];

/// Tests of the engine that Jinja does not have.
const OTHERS: [&str; 4] = ["endingwith", "int", "safe", "startingwith"];

/// Whether a comparison is true for an order.
type Holds = fn(Ordering) -> bool;

/// Tests that compare a value with another value, with all of their names.
const ORDERS: [(&[&str], Holds); 4] = [
    (&["lt", "lessthan", "<"], Ordering::is_lt),
    (&["le", "<="], Ordering::is_le),
    (&["gt", "greaterthan", ">"], Ordering::is_gt),
    (&["ge", ">="], Ordering::is_ge),
];

/// Replaces the engine's tests with Jinja's tests.
pub fn add(environment: &mut Environment) {
    for (name, holds) in ALONE {
        environment.add_test(name, move |value: &Value| holds(value));
    }
    for (names, holds) in ORDERS {
        for name in names {
            environment.add_test(*name, move |state: &State, left: &Value, right: &Value| {
                order(left, right, state).map(|order| order.is_some_and(holds))
            });
        }
    }
    for name in OTHERS {
        environment.remove_test(name);
    }
    environment.add_test("odd", |value: &Value| {
        rest(value, 2.0).map(|rest| rest == 1.0)
    });
    environment.add_test("even", |value: &Value| {
        rest(value, 2.0).map(|rest| rest == 0.0)
    });
    environment.add_test("divisibleby", |value: &Value, divisor: &Value| {
        let divisor = number(divisor).ok_or_else(|| unlike("a number", divisor))?;
        rest(value, divisor).map(|rest| rest == 0.0)
    });
    environment.add_test("in", |state: &State, value: &Value, container: &Value| {
        contains(container, value, state)
    });
    for (name, holds) in [("lower", is_lower as fn(&str) -> bool), ("upper", is_upper)] {
        environment.add_test(name, move |state: &State, value: &Value| {
            print::text(value, state).map(|text| holds(&text))
        });
    }
    for name in ["filter", "test"] {
        let known = match name {
            "filter" => Value::from_function(minijinja::tests::is_filter),
            _ => Value::from_function(minijinja::tests::is_test),
        };
        environment.add_test(name, move |state: &mut State, value: &Value| {
            match kind(value) {
                // A value that can't be a key is an error; any other value is not the name of anything.
                Kind::List | Kind::Dict | Kind::View => text(value).map(|_| false),
                Kind::Text => known
                    .call(state, std::slice::from_ref(value))
                    .map(|known| known.is_true()),
                _ => Ok(false),
            }
        });
    }
}

/// The remainder with the sign of the divisor. Whole numbers that a float can't represent exactly do not occur.
fn rest(value: &Value, divisor: f64) -> Result<f64, Error> {
    let value = number(value).ok_or_else(|| unlike("a number", value))?;
    match divisor == 0.0 {
        true => Err(wrong("division by zero")),
        false => Ok(value - (value / divisor).floor() * divisor),
    }
}

/// Python's `islower`.
fn is_lower(own: &str) -> bool {
    own.chars().any(char::is_lowercase) && !own.chars().any(char::is_uppercase)
}

/// Python's `isupper`.
fn is_upper(own: &str) -> bool {
    own.chars().any(char::is_uppercase) && !own.chars().any(char::is_lowercase)
}
