//! `+`, `-`, `*`, `/`, `//`, `%`, the signs, and `~`.

use minijinja::value::{Kwargs, Rest, Tuple, Value};
use minijinja::{AutoEscape, Environment, Error, State, filters};

use crate::chat::jinja::percent::percent;
use crate::chat::jinja::print::{escaped, text};
use crate::chat::jinja::values::{Kind, integer, kind, number, pay, values, whole, wrong};

/// Adds the filters.
pub fn add(environment: &mut Environment) {
    environment.add_filter("__add__", sum);
    environment.add_filter("__sub__", difference);
    environment.add_filter("__mul__", product);
    environment.add_filter("__truediv__", quotient);
    environment.add_filter("__floordiv__", |left: &Value, right: &Value| {
        divided("//", left, right).map(|(quotient, _)| quotient)
    });
    environment.add_filter(
        "__mod__",
        |state: &mut State, left: &Value, right: &Value| match left.as_str() {
            Some(format) => percent(format, right, state),
            None => divided("%", left, right).map(|(_, rest)| rest),
        },
    );
    environment.add_filter("__neg__", |value: &Value| signed("-", value));
    environment.add_filter("__pos__", |value: &Value| signed("+", value));
    environment.add_filter("__concat__", joined);
}

/// The error for values that an operator does not accept.
fn unsupported(operator: &str, left: &Value, right: &Value) -> Error {
    let (left, right) = (kind(left).name(), kind(right).name());
    wrong(format!(
        "`{operator}` can't be used with values of type {left} and {right}"
    ))
}

/// The result for two whole numbers, or otherwise for two numbers.
fn of_numbers(
    operator: &str,
    left: &Value,
    right: &Value,
    of_whole: fn(i128, i128) -> Option<i128>,
    of_floats: fn(f64, f64) -> f64,
) -> Result<Value, Error> {
    if let (Some(left), Some(right)) = (whole(left), whole(right)) {
        let result = of_whole(left, right).map(integer);
        return result.ok_or_else(|| wrong("the number is too large"));
    }
    match (number(left), number(right)) {
        (Some(left), Some(right)) => Ok(Value::from(of_floats(left, right))),
        _ => Err(unsupported(operator, left, right)),
    }
}

/// Python's `left + right`.
fn sum(state: &mut State, left: &Value, right: &Value) -> Result<Value, Error> {
    if let (Some(own), Some(other)) = (left.as_str(), right.as_str()) {
        let as_html = |value: &Value, text: &str| match value.is_safe() {
            true => text.to_string(),
            false => escaped(text),
        };
        return Ok(match left.is_safe() || right.is_safe() {
            true => Value::from_safe_string(as_html(left, own) + &as_html(right, other)),
            false => Value::from([own, other].concat()),
        });
    }
    match (kind(left), kind(right)) {
        // The engine's lists grow without being copied each time.
        (Kind::List, Kind::List) | (Kind::Tuple, Kind::Tuple) => {
            let start: Kwargs = [("start", left.clone())].into_iter().collect();
            let engines = Value::from_function(filters::sum);
            engines.call(state, &[Value::from(vec![right.clone()]), start.into()])
        }
        _ => of_numbers("+", left, right, i128::checked_add, |a, b| a + b),
    }
}

/// Python's `left - right`.
fn difference(left: &Value, right: &Value) -> Result<Value, Error> {
    of_numbers("-", left, right, i128::checked_sub, |a, b| a - b)
}

/// Python's `left * right`.
fn product(state: &State, left: &Value, right: &Value) -> Result<Value, Error> {
    let is_repeated = |value: &Value| matches!(kind(value), Kind::Text | Kind::List | Kind::Tuple);
    let (repeated, times) = match (is_repeated(left), is_repeated(right)) {
        (true, _) => (left, whole(right)),
        (_, true) => (right, whole(left)),
        _ => return of_numbers("*", left, right, i128::checked_mul, |a, b| a * b),
    };
    let times = times.ok_or_else(|| unsupported("*", left, right))?;
    let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
    if let Some(own) = repeated.as_str() {
        pay(state, own.len().saturating_mul(times))?;
        let text = match own.is_empty() {
            true => String::new(),
            false => own.repeat(times),
        };
        return Ok(match repeated.is_safe() {
            true => Value::from_safe_string(text),
            false => Value::from(text),
        });
    }
    let own = values(repeated, state)?;
    state.consume_fuel(own.len().saturating_mul(times) as u64)?;
    let times = if own.is_empty() { 0 } else { times };
    let all: Vec<Value> = std::iter::repeat_n(own, times).flatten().collect();
    Ok(match kind(repeated) {
        Kind::Tuple => Value::from(Tuple::from(all)),
        _ => Value::from(all),
    })
}

/// Python's `left / right`.
fn quotient(left: &Value, right: &Value) -> Result<Value, Error> {
    match (number(left), number(right)) {
        (Some(_), Some(0.0)) => Err(wrong("division by zero")),
        (Some(left), Some(right)) => Ok(Value::from(left / right)),
        _ => Err(unsupported("/", left, right)),
    }
}

/// Python's `divmod`: the quotient, rounded down, and the remainder, which has the sign of the divisor.
fn divided(operator: &str, left: &Value, right: &Value) -> Result<(Value, Value), Error> {
    let (Some(own), Some(divisor)) = (number(left), number(right)) else {
        return Err(unsupported(operator, left, right));
    };
    if divisor == 0.0 {
        return Err(wrong("division by zero"));
    }
    if let (Some(left), Some(right)) = (whole(left), whole(right)) {
        let quotient = left.checked_div(right).zip(left.checked_rem(right));
        let (quotient, rest) = quotient.ok_or_else(|| wrong("the number is too large"))?;
        return Ok(match rest != 0 && (rest < 0) != (right < 0) {
            true => (integer(quotient - 1), integer(rest + right)),
            false => (integer(quotient), integer(rest)),
        });
    }
    let mut rest = own % divisor;
    let mut quotient = (own - rest) / divisor;
    if rest == 0.0 {
        rest = rest.copysign(divisor);
    } else if (rest < 0.0) != (divisor < 0.0) {
        rest += divisor;
        quotient -= 1.0;
    }
    let quotient = match quotient == 0.0 {
        true => quotient.copysign(own / divisor),
        false => quotient.round(),
    };
    Ok((Value::from(quotient), Value::from(rest)))
}

/// Python's `-value` and `+value`.
fn signed(operator: &str, value: &Value) -> Result<Value, Error> {
    let is_minus = operator == "-";
    match (kind(value), whole(value), number(value)) {
        (_, Some(own), _) => {
            let own = if is_minus {
                own.checked_neg()
            } else {
                Some(own)
            };
            own.map(integer)
                .ok_or_else(|| wrong("the number is too large"))
        }
        (_, _, Some(own)) => Ok(Value::from(if is_minus { -own } else { own })),
        (kind, ..) => {
            let kind = kind.name();
            Err(wrong(format!(
                "`{operator}` can't be used with a value of type {kind}"
            )))
        }
    }
}

/// Jinja's `a ~ b ~ c`: the texts of all values. Where HTML is escaped, it is the text of a page if one of them is.
fn joined(state: &State, values: Rest<Value>) -> Result<Value, Error> {
    let is_html =
        !matches!(state.auto_escape(), AutoEscape::None) && values.iter().any(Value::is_safe);
    let mut out = String::new();
    for value in values.iter() {
        let text = text(value, state)?;
        match is_html && !value.is_safe() {
            true => out.push_str(&escaped(&text)),
            false => out.push_str(&text),
        }
    }
    Ok(match is_html {
        true => Value::from_safe_string(out),
        false => Value::from(out),
    })
}
