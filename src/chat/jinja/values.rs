//! A value's Python type, its contents, and its order: Python's `type`, `len` and `<`.

use std::cmp::Ordering;

use minijinja::value::{Tuple, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

use super::objects::{Range, View};

/// The Python types that values of templates have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Undefined,
    None,
    Bool,
    Int,
    Float,
    Text,
    Bytes,
    List,
    Tuple,
    Dict,
    Range,
    View,
    Namespace,
    Loop,
    Other,
}

/// The kind of a value.
pub fn kind(value: &Value) -> Kind {
    let named = |part: &str| {
        let object = value.as_object();
        object.is_some_and(|object| object.type_name().ends_with(part))
    };
    match value.kind() {
        ValueKind::Undefined => Kind::Undefined,
        ValueKind::None => Kind::None,
        ValueKind::Bool => Kind::Bool,
        ValueKind::Number if value.is_integer() => Kind::Int,
        ValueKind::Number => Kind::Float,
        ValueKind::String => Kind::Text,
        ValueKind::Bytes => Kind::Bytes,
        _ if value.is_tuple() || named("::GroupTuple") => Kind::Tuple,
        _ if value.downcast_object_ref::<Range>().is_some() => Kind::Range,
        _ if value.downcast_object_ref::<View>().is_some() => Kind::View,
        _ if named("::Loop") => Kind::Loop,
        ValueKind::Seq | ValueKind::Iterable => Kind::List,
        ValueKind::Map if named("::Namespace") => Kind::Namespace,
        ValueKind::Map => Kind::Dict,
        _ => Kind::Other,
    }
}

/// An error about a value.
pub fn wrong(problem: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem.into())
}

/// The error for a value of another kind than was expected.
pub fn unlike(expected: &str, value: &Value) -> Error {
    match kind(value) {
        Kind::Undefined => wrong(format!("expected {expected}, found an undefined value")),
        other => wrong(format!(
            "expected {expected}, found a value of type {}",
            other.name()
        )),
    }
}

impl Kind {
    /// Python's name for the type.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Undefined => "Undefined",
            Kind::None => "None",
            Kind::Bool => "bool",
            Kind::Int => "int",
            Kind::Float => "float",
            Kind::Text => "str",
            Kind::Bytes => "bytes",
            Kind::List => "list",
            Kind::Tuple => "tuple",
            Kind::Dict => "dict",
            Kind::Range => "range",
            Kind::View => "view",
            Kind::Namespace => "namespace",
            Kind::Loop => "loop",
            Kind::Other => "function",
        }
    }
}

/// A whole number; `True` and `False` count as whole numbers too.
pub fn whole(value: &Value) -> Option<i128> {
    match kind(value) {
        Kind::Bool => Some(i128::from(value.is_true())),
        Kind::Int => i128::try_from(value.clone()).ok(),
        _ => None,
    }
}

/// The value of a whole number.
pub fn integer(number: i128) -> Value {
    i64::try_from(number).map_or_else(|_| Value::from(number), Value::from)
}

/// Any number.
pub fn number(value: &Value) -> Option<f64> {
    match kind(value) {
        Kind::Float => f64::try_from(value.clone()).ok(),
        _ => whole(value).map(|value| value as f64),
    }
}

/// All values of a value that can be iterated over.
pub fn values(value: &Value, state: &State) -> Result<Vec<Value>, Error> {
    match kind(value) {
        Kind::None | Kind::Bytes | Kind::Namespace | Kind::Other => {
            Err(unlike("something to iterate over", value))
        }
        _ => {
            let mut all = Vec::new();
            for value in value.try_iter()?.checked() {
                state.consume_fuel(1)?;
                all.push(value?);
            }
            Ok(all)
        }
    }
}

/// Whether the value can be iterated over.
pub fn is_iterable(value: &Value) -> bool {
    use Kind::{Dict, List, Loop, Range, Text, Tuple, Undefined, View};
    matches!(
        kind(value),
        Undefined | Text | List | Tuple | Dict | Range | View | Loop
    )
}

/// Python's `len`, for values that have it.
pub fn length(value: &Value) -> Option<usize> {
    match kind(value) {
        Kind::Undefined => Some(0),
        Kind::Text => value.as_str().map(|text| text.chars().count()),
        Kind::List | Kind::Tuple | Kind::Dict | Kind::Range | Kind::Loop => value.len(),
        Kind::View => value
            .downcast_object_ref::<View>()?
            .is_sized()
            .then(|| value.len())?,
        _ => None,
    }
}

/// The entries of a map, as tuples.
pub fn entries(value: &Value, state: &State) -> Result<Vec<Value>, Error> {
    if kind(value) != Kind::Dict {
        return Err(unlike("a map", value));
    }
    let pair = |key: Value| Ok(Tuple::from([key.clone(), value.get_item(&key)?]).into());
    values(value, state)?.into_iter().map(pair).collect()
}

/// Fails for a value that can't be a key.
pub fn hashable(value: &Value) -> Result<(), Error> {
    match kind(value) {
        Kind::List | Kind::Dict | Kind::View => Err(unlike("a value that can be a key", value)),
        _ => Ok(()),
    }
}

/// The bytes that one unit of fuel pays for.
const BYTES_PER_FUEL: usize = 64;

/// Pays for creating this many bytes.
pub fn pay(state: &State, bytes: usize) -> Result<(), Error> {
    state.consume_fuel((bytes / BYTES_PER_FUEL) as u64)
}

/// Python's `left == right`, which is paid for by the size of the left value.
pub fn equal(left: &Value, right: &Value, state: &State) -> Result<bool, Error> {
    if kind(left) == kind(right) || (is_iterable(left) && is_iterable(right)) {
        weigh(left, state)?;
    }
    Ok(left == right)
}

/// Pays for looking at a value and at all values in it.
fn weigh(value: &Value, state: &State) -> Result<(), Error> {
    state.consume_fuel(1)?;
    match (kind(value), value.as_str()) {
        (_, Some(text)) => pay(state, text.len())?,
        (own, _) if own != Kind::Undefined && is_iterable(value) => {
            for key in value.try_iter()?.checked() {
                let key = key?;
                weigh(&key, state)?;
                if own == Kind::Dict {
                    weigh(&value.get_item(&key)?, state)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Which value comes first; `None` if neither does, as with NaN.
pub fn order(left: &Value, right: &Value, state: &State) -> Result<Option<Ordering>, Error> {
    state.consume_fuel(1)?;
    if let (Some(left), Some(right)) = (left.as_str(), right.as_str()) {
        return Ok(Some(left.cmp(right)));
    }
    if let (Some(left), Some(right)) = (whole(left), whole(right)) {
        return Ok(Some(left.cmp(&right)));
    }
    if let (Some(left), Some(right)) = (number(left), number(right)) {
        return Ok(left.partial_cmp(&right));
    }
    match (kind(left), kind(right)) {
        (Kind::List, Kind::List) | (Kind::Tuple, Kind::Tuple) => {
            let (left, right) = (values(left, state)?, values(right, state)?);
            for (left, right) in left.iter().zip(&right) {
                if !equal(left, right, state)? {
                    return order(left, right, state);
                }
            }
            Ok(Some(left.len().cmp(&right.len())))
        }
        (left, right) => {
            let (left, right) = (left.name(), right.name());
            Err(wrong(format!(
                "values of type {left} and {right} can't be compared"
            )))
        }
    }
}
