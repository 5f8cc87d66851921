//! Filters: what comes after `|`. Where the engine's own filter does what Jinja's filter does, it is kept, for the values that
//! Jinja accepts.

use std::cmp::Ordering;

use minijinja::value::{Rest, Value, ValueOrKwargs};
use minijinja::{Environment, Error, State, filters};

use super::arguments::Args;
use super::json::to_json;
use super::objects::iterator;
use super::print::text;
use super::values::{Kind, is_iterable, kind, length, pay, unlike, values, wrong};
use super::wordwrap::wordwrap;
use super::{sequences, shown, texts};

/// The signature of a filter.
type Filter = fn(&Value, &Args, &mut State) -> Result<Value, Error>;

/// Filters that replace the engine's filters or that the engine does not have, by name.
const FILTERS: [(&str, Filter); 32] = [
    ("abs", texts::abs),
    ("attr", attr),
    ("center", texts::center),
    ("dictsort", sequences::dictsort),
    ("e", texts::escape),
    ("escape", texts::escape),
    ("filesizeformat", shown::filesizeformat),
    ("float", texts::float),
    ("forceescape", texts::forceescape),
    ("format", texts::format),
    ("groupby", sequences::groupby),
    ("indent", texts::indent),
    ("int", texts::int),
    ("items", sequences::items),
    ("join", sequences::join),
    ("max", |value, arguments, state| {
        sequences::extreme(value, arguments, Ordering::Greater, state)
    }),
    ("min", |value, arguments, state| {
        sequences::extreme(value, arguments, Ordering::Less, state)
    }),
    ("pprint", shown::pprint),
    ("replace", texts::replace),
    ("round", texts::round),
    ("safe", texts::safe),
    ("sort", sequences::sort),
    ("string", texts::string),
    ("striptags", texts::striptags),
    ("sum", sequences::sum),
    ("tojson", to_json),
    ("truncate", texts::truncate),
    ("unique", sequences::unique),
    ("urlencode", shown::urlencode),
    ("wordcount", texts::wordcount),
    ("wordwrap", wordwrap),
    ("xmlattr", shown::xmlattr),
];

/// The values that one of the engine's own filters accepts.
#[derive(Clone, Copy)]
enum Takes {
    /// The text of any value.
    Text,
    /// Values that have a length.
    Sized,
    /// Values that can be iterated over.
    Values,
    /// Values that can be iterated over; a value that is false counts as empty. The filter returns an iterator.
    Chosen,
}

/// Filters of the engine that Jinja does not have, or that produce a different text in Jinja.
const OTHERS: [&str; 5] = ["bool", "chain", "lines", "split", "zip"];

/// Replaces the engine's filters with Jinja's filters.
pub fn add(environment: &mut Environment) {
    let engines = [
        ("batch", Takes::Values, Value::from_function(filters::batch)),
        (
            "capitalize",
            Takes::Text,
            Value::from_function(filters::capitalize),
        ),
        ("count", Takes::Sized, Value::from_function(filters::length)),
        ("first", Takes::Values, Value::from_function(filters::first)),
        ("last", Takes::Values, Value::from_function(filters::last)),
        (
            "length",
            Takes::Sized,
            Value::from_function(filters::length),
        ),
        ("list", Takes::Values, Value::from_function(filters::list)),
        ("lower", Takes::Text, Value::from_function(filters::lower)),
        ("map", Takes::Chosen, Value::from_function(filters::map)),
        (
            "reject",
            Takes::Chosen,
            Value::from_function(filters::reject),
        ),
        (
            "rejectattr",
            Takes::Chosen,
            Value::from_function(filters::rejectattr),
        ),
        (
            "reverse",
            Takes::Values,
            Value::from_function(filters::reverse),
        ),
        (
            "select",
            Takes::Chosen,
            Value::from_function(filters::select),
        ),
        (
            "selectattr",
            Takes::Chosen,
            Value::from_function(filters::selectattr),
        ),
        ("slice", Takes::Values, Value::from_function(filters::slice)),
        ("title", Takes::Text, Value::from_function(filters::title)),
        ("trim", Takes::Text, Value::from_function(filters::trim)),
        ("upper", Takes::Text, Value::from_function(filters::upper)),
    ];
    for (name, takes, engines) in engines {
        environment.add_filter(
            name,
            move |state: &mut State, values: Rest<ValueOrKwargs>| {
                guarded(takes, &engines, values.into_values(), state)
            },
        );
    }
    for (name, filter) in FILTERS {
        environment.add_filter(
            name,
            move |state: &mut State, values: Rest<ValueOrKwargs>| {
                let values = values.into_values();
                let (value, arguments) = values.split_first().ok_or_else(|| wrong("no value"))?;
                pay(state, value.as_str().map_or(0, str::len))?;
                filter(value, &Args::new(arguments)?, state)
            },
        );
    }
    for name in OTHERS {
        environment.remove_filter(name);
    }
}

/// Applies the engine's own filter, if it accepts the value.
fn guarded(
    takes: Takes,
    engines: &Value,
    mut arguments: Vec<Value>,
    state: &mut State,
) -> Result<Value, Error> {
    let value = arguments.first_mut().ok_or_else(|| wrong("no value"))?;
    pay(state, value.as_str().map_or(0, str::len))?;
    match takes {
        Takes::Text if value.as_str().is_none() => *value = Value::from(text(value, state)?),
        Takes::Sized if length(value).is_none() => {
            return Err(unlike("something with a length", value));
        }
        Takes::Values if !is_iterable(value) => {
            return Err(unlike("something to iterate over", value));
        }
        Takes::Values if value.as_str().is_none() => *value = Value::from(values(value, state)?),
        Takes::Chosen if !value.is_true() => return Ok(iterator(Vec::new())),
        Takes::Chosen => {
            *value = Value::from(values(value, state)?);
            let chosen = engines.call(state, &arguments)?;
            return values(&chosen, state).map(iterator);
        }
        _ => {}
    }
    engines.call(state, &arguments)
}

/// The attribute of a value with this name. Entries of a map are not attributes.
fn attr(value: &Value, arguments: &Args, _: &mut State) -> Result<Value, Error> {
    let [name] = arguments.bind(["name"], 1)?;
    let name = name.unwrap_or_default();
    let name = super::arguments::text(&name)?;
    match kind(value) {
        Kind::Dict => Ok(Value::UNDEFINED),
        _ => value.get_attr(name),
    }
}
