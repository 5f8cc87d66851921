//! The methods of values, by the names that Python has for them.

mod containers;
pub mod texts;

use super::arguments::Args;
use super::fault::{Budget, Error, Result};
use super::value::{Value, View};

/// The methods of each type that exist, known here or not; those that begin with `_` or change their value do not.
const TEXTS: [&str; 47] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];
const DICTS: [&str; 6] = ["copy", "fromkeys", "get", "items", "keys", "values"];
const LISTS: [&str; 3] = ["copy", "count", "index"];
const SEQUENCES: [&str; 2] = ["count", "index"];
const INTS: [&str; 6] = [
    "as_integer_ratio",
    "bit_count",
    "bit_length",
    "conjugate",
    "from_bytes",
    "to_bytes",
];
const FLOATS: [&str; 5] = [
    "as_integer_ratio",
    "conjugate",
    "fromhex",
    "hex",
    "is_integer",
];
const VIEWS: [&str; 1] = ["isdisjoint"];
const LOOPS: [&str; 2] = ["changed", "cycle"];
const CYCLERS: [&str; 2] = ["next", "reset"];

/// Methods that change their value, and so do not exist, though an entry of a map does not take their place.
const HIDDEN_DICTS: [&str; 5] = ["clear", "pop", "popitem", "setdefault", "update"];

/// The method of a value by its name.
pub fn named(value: &Value, name: &str) -> Option<&'static str> {
    let names: &[&'static str] = match value {
        Value::Text(_) | Value::Markup(_) => &TEXTS,
        Value::Dict(_) => &DICTS,
        Value::List(_) => &LISTS,
        Value::Tuple(_) | Value::Range(_) => &SEQUENCES,
        Value::Int(_) | Value::Bool(_) => &INTS,
        Value::Float(_) => &FLOATS,
        Value::View(View::Keys | View::Items, _) => &VIEWS,
        Value::Loop(_) => &LOOPS,
        Value::Cycler(_) => &CYCLERS,
        _ => &[],
    };
    names.iter().find(|other| **other == name).copied()
}

/// Whether a value has something of that name that templates may not see.
pub fn is_hidden(value: &Value, name: &str) -> bool {
    matches!(value, Value::Dict(_))
        && (HIDDEN_DICTS.contains(&name) || name.starts_with("__") && name.ends_with("__"))
}

/// What a method gives.
pub fn call(value: &Value, name: &'static str, arguments: &Args, budget: &Budget) -> Result<Value> {
    let found = match value {
        Value::Text(text) => texts::call(text, name, arguments, budget)?,
        Value::Dict(dict) => containers::of_dict(dict, name, arguments)?,
        Value::List(values) | Value::Tuple(values) => {
            containers::of_values(value, values, name, arguments, budget)?
        }
        Value::Range(_) => {
            containers::of_values(value, &value.values(budget)?, name, arguments, budget)?
        }
        Value::Float(number) if name == "is_integer" => Some(Value::Bool(number.fract() == 0.0)),
        Value::Int(number) if name == "bit_length" => {
            arguments.none()?;
            Some(Value::Int(i128::from(
                128 - number.unsigned_abs().leading_zeros(),
            )))
        }
        Value::Loop(state) => containers::of_loop(state, name, arguments, budget)?,
        Value::Cycler(cycler) => containers::of_cycler(cycler, name, arguments)?,
        _ => None,
    };
    found.ok_or_else(|| {
        Error::new(format!(
            "the method {name} of type {} is not known here",
            value.kind()
        ))
    })
}
