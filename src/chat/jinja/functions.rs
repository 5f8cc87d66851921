//! The functions that every template may call.

use minijinja::value::{Rest, Value, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State};
use minijinja_contrib::globals;

use super::arguments::{Args, int};
use super::cycler::cycler;
use super::objects::{Range, Template};
use super::print::text;
use super::values::{Kind, entries, hashable, kind, unlike, values, wrong};

/// The most numbers of a range, as in Jinja's sandbox.
const LONGEST_RANGE: usize = 100_000;

/// The error of a template that called `raise_exception`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// The signature of a function.
type Function = fn(&Args, &State) -> Result<Value, Error>;

/// Adds the functions.
pub fn add(environment: &mut Environment) {
    let functions: [(&str, Function); 5] = [
        ("range", range),
        ("dict", dict),
        ("joiner", joiner),
        ("cycler", cycler),
        ("raise_exception", raise_exception),
    ];
    for (name, function) in functions {
        environment.add_function(name, move |state: &State, values: Rest<ValueOrKwargs>| {
            function(&Args::new(&values.into_values())?, state)
        });
    }
    let namespace = Value::from_function(minijinja::functions::namespace);
    environment.add_function(
        "namespace",
        move |state: &mut State, values: Rest<ValueOrKwargs>| {
            let entries = dict(&Args::new(&values.into_values())?, state)?;
            namespace.call(state, &[entries])
        },
    );
    environment.add_global("self", Value::from_object(Template));
    environment.remove_global("debug");
}

fn range(arguments: &Args, _: &State) -> Result<Value, Error> {
    let [first, second, step] = arguments.only(["start", "stop", "step"], 1)?;
    let (start, stop) = match second {
        Some(stop) => (int(first.as_ref(), 0)?, int(Some(&stop), 0)?),
        None => (0, int(first.as_ref(), 0)?),
    };
    let step = int(step.as_ref(), 1)?;
    let range = Range { start, stop, step };
    if step == 0 || range.length() > LONGEST_RANGE {
        let problem = format!(
            "a range needs a step other than zero, and can have at most {LONGEST_RANGE} numbers"
        );
        return Err(wrong(problem));
    }
    Ok(Value::from_object(range))
}

/// A map made from a map or from pairs, and from arguments with names.
fn dict(arguments: &Args, state: &State) -> Result<Value, Error> {
    let mut map = Vec::new();
    let pairs = match arguments.positional.as_slice() {
        [] => Vec::new(),
        [value] if kind(value) == Kind::Dict => entries(value, state)?,
        [value] if kind(value) == Kind::Undefined => return Err(unlike("a map", value)),
        [value] => values(value, state)?,
        _ => return Err(wrong("expected at most one map")),
    };
    for pair in pairs {
        match values(&pair, state)?.as_slice() {
            [key, value] => {
                hashable(key)?;
                map.push((key.clone(), value.clone()));
            }
            _ => return Err(wrong("expected pairs of keys and values")),
        }
    }
    for (name, value) in &arguments.named {
        map.push((Value::from(name.as_str()), value.clone()));
    }
    Ok(Value::from_pairs(map))
}

fn joiner(arguments: &Args, _: &State) -> Result<Value, Error> {
    let [text] = arguments.bind(["sep"], 0)?;
    Ok(globals::joiner(text))
}

fn raise_exception(arguments: &Args, state: &State) -> Result<Value, Error> {
    let message = text(&arguments.one()?, state)?;
    let error = Error::new(ErrorKind::InvalidOperation, "raise_exception");
    Err(error.with_source(Refusal(message)))
}
