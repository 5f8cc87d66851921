//! Attributes, items and slices of values.
//!
//! As in Jinja's sandbox, methods that would change a value do not exist, and nothing whose name begins with `_`.

use std::rc::Rc;

use super::fault::{Budget, Error, Result};
use super::methods;
use super::value::{Callable, Range, Value};

/// `value.name`: a method or field, or else an entry of a map.
pub fn attribute(value: &Value, name: &str) -> Result<Option<Value>> {
    value.defined()?;
    if let Some(found) = own_attribute(value, name) {
        return Ok(Some(found));
    }
    if methods::is_hidden(value, name) {
        return Ok(None);
    }
    Ok(match value {
        Value::Dict(dict) => dict.get_text(name).cloned(),
        _ => None,
    })
}

/// `value[index]`: an entry, or else a method or field of that name.
pub fn item(value: &Value, index: &Value, budget: &Budget) -> Result<Option<Value>> {
    value.defined()?;
    if let Some(found) = entry(value, index, budget)? {
        return Ok(Some(found));
    }
    Ok(match index.as_text() {
        Some(name) => own_attribute(value, name),
        None => None,
    })
}

fn entry(value: &Value, index: &Value, budget: &Budget) -> Result<Option<Value>> {
    match value {
        // What can't be a key is in no map.
        Value::Dict(dict) => return Ok(dict.get(index).ok().flatten().cloned()),
        Value::List(_)
        | Value::Tuple(_)
        | Value::Group(_)
        | Value::Text(_)
        | Value::Markup(_)
        | Value::Range(_) => {}
        _ => return Ok(None),
    }
    let (Some(index), Some(length)) = (index.as_int(), value.length()) else {
        return Ok(None);
    };
    let index = if index < 0 {
        index + length as i128
    } else {
        index
    };
    let Ok(index) = usize::try_from(index) else {
        return Ok(None);
    };
    Ok(match value {
        Value::List(values) | Value::Tuple(values) => values.get(index).cloned(),
        Value::Group(pair) => pair.get(index).cloned(),
        Value::Range(range) => (index < length).then(|| Value::Int(range.at(index))),
        Value::Text(text) | Value::Markup(text) => {
            budget.spend_bytes(text.len())?;
            let character = text.chars().nth(index);
            character.map(|character| Value::text(character.to_string()))
        }
        _ => None,
    })
}

/// A method or field of the value's type.
fn own_attribute(value: &Value, name: &str) -> Option<Value> {
    if let Some(method) = methods::named(value, name) {
        let method = Callable::Method(value.clone(), method);
        return Some(Value::Callable(Rc::new(method)));
    }
    match value {
        Value::Namespace(namespace) => namespace.borrow().get_text(name).cloned(),
        Value::Group(pair) => match name {
            "grouper" => pair.first().cloned(),
            "list" => pair.last().cloned(),
            _ => None,
        },
        Value::Cycler(cycler) if name == "current" => cycler.values.get(cycler.at.get()).cloned(),
        Value::Range(range) => Some(Value::Int(match name {
            "start" => range.start,
            "stop" => range.stop,
            "step" => range.step,
            _ => return None,
        })),
        Value::Int(_) | Value::Bool(_) => match name {
            "real" | "numerator" => value.as_int().map(Value::Int),
            "imag" => Some(Value::Int(0)),
            "denominator" => Some(Value::Int(1)),
            _ => None,
        },
        Value::Float(number) => match name {
            "real" => Some(Value::Float(*number)),
            "imag" => Some(Value::Float(0.0)),
            _ => None,
        },
        Value::Loop(state) => {
            let (at, length) = (state.at as i128, state.values.len() as i128);
            let neighbour = |place: Option<usize>| {
                let found = place.and_then(|place| state.values.get(place)).cloned();
                found.unwrap_or_else(|| Value::undefined(format!("loop.{name}")))
            };
            Some(match name {
                "index" => Value::Int(at + 1),
                "index0" => Value::Int(at),
                "revindex" => Value::Int(length - at),
                "revindex0" => Value::Int(length - at - 1),
                "first" => Value::Bool(at == 0),
                "last" => Value::Bool(at + 1 == length),
                "length" => Value::Int(length),
                "depth" => Value::Int(state.depth as i128 + 1),
                "depth0" => Value::Int(state.depth as i128),
                "previtem" => neighbour(state.at.checked_sub(1)),
                "nextitem" => neighbour(Some(state.at + 1)),
                _ => return None,
            })
        }
        _ => None,
    }
}

/// `value[start:stop:step]`.
pub fn slice(value: &Value, parts: [Value; 3], budget: &Budget) -> Result<Value> {
    value.defined()?;
    let whole = |part: &Value| match part {
        Value::None => Ok(None),
        other => match other.as_int() {
            Some(number) => Ok(Some(number)),
            None => {
                other.defined()?;
                Err(Error::new("a slice has whole numbers"))
            }
        },
    };
    let [start, stop, step] = [whole(&parts[0])?, whole(&parts[1])?, whole(&parts[2])?];
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(Error::new("a slice can't have steps of zero"));
    }
    let length = match value {
        Value::Text(_) | Value::List(_) | Value::Tuple(_) | Value::Range(_) => {
            value.length().unwrap_or(0) as i128
        }
        _ => {
            return Err(Error::new(format!(
                "a value of type {} has no slices",
                value.kind()
            )));
        }
    };
    // Python's `slice.indices`.
    let (lowest, highest) = if step > 0 {
        (0, length)
    } else {
        (-1, length - 1)
    };
    let bound = |part: Option<i128>, default: i128| match part {
        None => default,
        Some(part) if part < 0 => (part + length).clamp(lowest, highest),
        Some(part) => part.clamp(lowest, highest),
    };
    let (first, last) = if step > 0 {
        (lowest, highest)
    } else {
        (highest, lowest)
    };
    let chosen = Range {
        start: bound(start, first),
        stop: bound(stop, last),
        step,
    };
    budget.spend(chosen.length())?;
    let places = (0..chosen.length()).filter_map(|index| usize::try_from(chosen.at(index)).ok());
    Ok(match value {
        Value::Text(text) => {
            budget.spend_bytes(text.len())?;
            let characters: Vec<char> = text.chars().collect();
            let part: String = places.filter_map(|place| characters.get(place)).collect();
            Value::text(part)
        }
        Value::List(values) => Value::list(
            places
                .filter_map(|place| values.get(place).cloned())
                .collect(),
        ),
        Value::Tuple(values) => Value::tuple(
            places
                .filter_map(|place| values.get(place).cloned())
                .collect(),
        ),
        Value::Range(range) => Value::Range(Range {
            start: range.start + range.step * chosen.start,
            stop: range.start + range.step * chosen.stop,
            step: range.step * chosen.step,
        }),
        _ => Value::None,
    })
}
