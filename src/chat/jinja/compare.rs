//! Which values are equal, come first, or are in others, as Python has it.

use std::cmp::Ordering;
use std::rc::Rc;

use super::fault::{Budget, Error, Result};
use super::value::{Value, View};

/// Python's `==`.
pub fn equal(left: &Value, right: &Value, budget: &Budget) -> Result<bool> {
    budget.spend(1)?;
    if let (Some(left), Some(right)) = (left.as_text(), right.as_text()) {
        return Ok(left == right);
    }
    if let (Some(left), Some(right)) = (left.as_int(), right.as_int()) {
        return Ok(left == right);
    }
    if let (Some(left), Some(right)) = (left.as_float(), right.as_float()) {
        return Ok(left == right);
    }
    Ok(match (left, right) {
        (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => true,
        (Value::List(left), Value::List(right)) | (Value::Tuple(left), Value::Tuple(right)) => {
            all_equal(left, right, budget)?
        }
        (Value::Dict(left), Value::Dict(right)) => {
            if left.entries.len() != right.entries.len() {
                return Ok(false);
            }
            for (key, value) in &left.entries {
                match right.get(key)? {
                    Some(other) if budget.deeper(|| equal(value, other, budget))? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Value::Range(left), Value::Range(right)) => {
            let length = left.length();
            length == right.length()
                && (length == 0
                    || left.start == right.start && (length == 1 || left.step == right.step))
        }
        (Value::View(View::Values, left), Value::View(View::Values, right)) => {
            Rc::ptr_eq(left, right)
        }
        (Value::View(left, first), Value::View(right, second))
            if left == right && *left != View::Values =>
        {
            let (first, second) = (first.view(*left, budget)?, second.view(*right, budget)?);
            let mut same = first.len() == second.len();
            for value in &first {
                same = same && any_equal(value, &second, budget)?;
            }
            same
        }
        _ => same(left, right),
    })
}

/// Python's `is`: the same object. Small values are one object each.
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::None, Value::None) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Int(left), Value::Int(right)) => left == right,
        (Value::Text(left), Value::Text(right)) => left == right,
        (Value::List(left), Value::List(right)) => Rc::ptr_eq(left, right),
        (Value::Tuple(left), Value::Tuple(right)) => {
            Rc::ptr_eq(left, right) || left.is_empty() && right.is_empty()
        }
        (Value::Dict(left), Value::Dict(right)) => Rc::ptr_eq(left, right),
        (Value::Iterator(left), Value::Iterator(right)) => Rc::ptr_eq(left, right),
        (Value::Namespace(left), Value::Namespace(right)) => Rc::ptr_eq(left, right),
        (Value::Loop(left), Value::Loop(right)) => Rc::ptr_eq(left, right),
        (Value::Cycler(left), Value::Cycler(right)) => Rc::ptr_eq(left, right),
        (Value::Callable(left), Value::Callable(right)) => Rc::ptr_eq(left, right),
        _ => false,
    }
}

fn all_equal(left: &[Value], right: &[Value], budget: &Budget) -> Result<bool> {
    if left.len() != right.len() {
        return Ok(false);
    }
    for (left, right) in left.iter().zip(right) {
        if !budget.deeper(|| equal(left, right, budget))? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn any_equal(value: &Value, others: &[Value], budget: &Budget) -> Result<bool> {
    for other in others {
        if equal(value, other, budget)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Which comes first; `None` if neither does, as with what is not a number.
pub fn order(left: &Value, right: &Value, budget: &Budget) -> Result<Option<Ordering>> {
    budget.spend(1)?;
    let (left, right) = (left.defined()?, right.defined()?);
    if let (Some(left), Some(right)) = (left.as_text(), right.as_text()) {
        return Ok(Some(left.cmp(right)));
    }
    if let (Some(left), Some(right)) = (left.as_int(), right.as_int()) {
        return Ok(Some(left.cmp(&right)));
    }
    if let (Some(left), Some(right)) = (left.as_float(), right.as_float()) {
        return Ok(left.partial_cmp(&right));
    }
    match (left, right) {
        (Value::List(left), Value::List(right)) | (Value::Tuple(left), Value::Tuple(right)) => {
            for (left, right) in left.iter().zip(right.iter()) {
                if !equal(left, right, budget)? {
                    return budget.deeper(|| order(left, right, budget));
                }
            }
            Ok(Some(left.len().cmp(&right.len())))
        }
        _ => Err(Error::new(format!(
            "values of type {} and {} can't be compared",
            left.kind(),
            right.kind()
        ))),
    }
}

/// What `operator` says of two values.
pub fn compare(operator: &str, left: &Value, right: &Value, budget: &Budget) -> Result<bool> {
    Ok(match operator {
        "==" => equal(left, right, budget)?,
        "!=" => !equal(left, right, budget)?,
        "in" => contains(right, left, budget)?,
        "not in" => !contains(right, left, budget)?,
        "<" => order(left, right, budget)? == Some(Ordering::Less),
        "<=" => order(left, right, budget)?.is_some_and(Ordering::is_le),
        ">" => order(left, right, budget)? == Some(Ordering::Greater),
        _ => order(left, right, budget)?.is_some_and(Ordering::is_ge),
    })
}

/// Python's `value in container`.
fn contains(container: &Value, value: &Value, budget: &Budget) -> Result<bool> {
    match container {
        Value::Text(text) | Value::Markup(text) => {
            budget.spend_bytes(text.len())?;
            match value.as_text() {
                Some(part) => Ok(text.contains(part)),
                None => {
                    value.defined()?;
                    let kind = value.kind();
                    Err(Error::new(format!(
                        "a value of type {kind} can't be in a text"
                    )))
                }
            }
        }
        Value::Dict(dict) | Value::View(View::Keys, dict) => Ok(dict.get(value)?.is_some()),
        Value::List(values) | Value::Tuple(values) => any_equal(value, values, budget),
        Value::Iterator(values) => {
            while let Some(other) = { values.borrow_mut().next() } {
                if equal(value, &other, budget)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        other => any_equal(value, &other.values(budget)?, budget),
    }
}

/// Values in order of their keys; equal ones stay as they are.
pub fn sorted(
    mut keyed: Vec<(Value, Value)>,
    reverse: bool,
    budget: &Budget,
) -> Result<Vec<Value>> {
    let mut failed = None;
    if reverse {
        keyed.reverse();
    }
    keyed.sort_by(|(left, _), (right, _)| {
        if failed.is_some() {
            return Ordering::Equal;
        }
        match order(left, right, budget) {
            Ok(order) => order.unwrap_or(Ordering::Equal),
            Err(error) => {
                failed = Some(error);
                Ordering::Equal
            }
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    if reverse {
        keyed.reverse();
    }
    Ok(keyed.into_iter().map(|(_, value)| value).collect())
}
