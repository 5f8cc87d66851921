//! The functions that every template may call.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::SystemTime;

use super::arguments::{Args, int, text};
use super::fault::{Budget, Error, Fault, Result};
use super::filters::dict_of;
use super::print;
use super::value::{Callable, Cycler, Dict, Range, Value};

/// The functions, by their names.
const NAMES: [&str; 9] = [
    "cycler",
    "dict",
    "joiner",
    "lipsum",
    "namespace",
    "raise_exception",
    "range",
    "self",
    "strftime_now",
];

/// The most numbers of a range, as in Jinja's sandbox.
const LONGEST_RANGE: usize = 100_000;

/// The function of a name.
pub fn named(name: &str) -> Option<Value> {
    NAMES
        .iter()
        .find(|other| **other == name)
        .map(|name| Value::function(name))
}

/// What a function gives.
pub fn call(name: &str, arguments: &Args, now: SystemTime, budget: &Budget) -> Result<Value> {
    match name {
        "range" => range(arguments),
        "dict" => map(arguments, budget).map(|dict| Value::Dict(Rc::new(dict))),
        "namespace" => {
            let dict = map(arguments, budget)?;
            Ok(Value::Namespace(Rc::new(RefCell::new(dict))))
        }
        "joiner" => {
            let [between] = arguments.bind(["sep"], 0)?;
            let between = between.unwrap_or_else(|| Value::text(", "));
            Ok(Value::Callable(Rc::new(Callable::Joiner(
                between,
                Cell::new(false),
            ))))
        }
        "cycler" => {
            let values = arguments.positional.clone();
            if values.is_empty() || !arguments.named.is_empty() {
                return Err(Error::new("a cycler has at least one value"));
            }
            let at = Cell::new(0);
            Ok(Value::Cycler(Rc::new(Cycler { values, at })))
        }
        "raise_exception" => {
            let message = print::text(&arguments.one()?, budget)?;
            Err(Error {
                fault: Fault::Refused(message),
                span: None,
            })
        }
        "strftime_now" => {
            let format = arguments.one()?;
            let date = crate::chat::dates::strftime(text(&format)?, now);
            date.map(Value::text)
                .map_err(|field| Error::new(format!("strftime_now has no field {field}")))
        }
        _ => Err(Error::new(format!("the function {name} is not known here"))),
    }
}

fn range(arguments: &Args) -> Result<Value> {
    let [first, second, step] = arguments.only(["start", "stop", "step"], 1)?;
    let (start, stop) = match second {
        Some(stop) => (int(first.as_ref(), 0)?, int(Some(&stop), 0)?),
        None => (0, int(first.as_ref(), 0)?),
    };
    let step = int(step.as_ref(), 1)?;
    if step == 0 {
        return Err(Error::new("a range can't have steps of zero"));
    }
    let range = Range { start, stop, step };
    match range.length() > LONGEST_RANGE {
        true => Err(Error::new(format!(
            "a range may have {LONGEST_RANGE} numbers"
        ))),
        false => Ok(Value::Range(range)),
    }
}

/// A map of a map or of pairs, and of arguments with names.
fn map(arguments: &Args, budget: &Budget) -> Result<Dict> {
    let mut dict = match arguments.positional.as_slice() {
        [] => Dict::default(),
        [value] => dict_of(value, budget)?,
        _ => return Err(Error::new("expected one map at most")),
    };
    for (name, value) in &arguments.named {
        dict.insert_text(name, value.clone());
    }
    Ok(dict)
}
