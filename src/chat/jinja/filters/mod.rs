//! Filters: what comes after `|`, by Jinja's names.

mod numbers;
mod sequences;
mod shared;
mod texts;

use self::shared::part;
use super::access;
use super::arguments::Args;
use super::checks;
use super::fault::{Budget, Error, Result};
use super::json::to_json;
use super::value::Value;

pub use sequences::dict as dict_of;

/// What a filter is.
type Filter = fn(&Value, &Args, &Budget) -> Result<Value>;

/// The filters, by their names.
const FILTERS: [(&str, Filter); 49] = [
    ("abs", numbers::abs),
    ("attr", attr),
    ("batch", sequences::batch),
    ("capitalize", texts::capitalize),
    ("center", texts::center),
    ("count", sequences::length),
    ("d", default),
    ("default", default),
    ("dictsort", sequences::dictsort),
    ("e", texts::escape),
    ("escape", texts::escape),
    ("filesizeformat", numbers::filesizeformat),
    ("first", sequences::first),
    ("float", numbers::float),
    ("forceescape", texts::forceescape),
    ("format", texts::format),
    ("groupby", sequences::groupby),
    ("indent", texts::indent),
    ("int", numbers::int),
    ("items", sequences::items),
    ("join", sequences::join),
    ("last", sequences::last),
    ("length", sequences::length),
    ("list", sequences::list),
    ("lower", texts::lower),
    ("map", map),
    ("max", sequences::max),
    ("min", sequences::min),
    ("reject", |value, arguments, budget| {
        select(value, arguments, false, false, budget)
    }),
    ("rejectattr", |value, arguments, budget| {
        select(value, arguments, true, false, budget)
    }),
    ("replace", texts::replace),
    ("reverse", sequences::reverse),
    ("round", numbers::round),
    ("safe", texts::safe),
    ("select", |value, arguments, budget| {
        select(value, arguments, false, true, budget)
    }),
    ("selectattr", |value, arguments, budget| {
        select(value, arguments, true, true, budget)
    }),
    ("slice", sequences::slice),
    ("sort", sequences::sort),
    ("string", texts::string),
    ("sum", sequences::sum),
    ("title", texts::title),
    ("tojson", |value, arguments, budget| {
        to_json(value, arguments, budget).map(Value::text)
    }),
    ("trim", texts::trim),
    ("truncate", texts::truncate),
    ("unique", sequences::unique),
    ("upper", texts::upper),
    ("urlencode", texts::urlencode),
    ("wordcount", texts::wordcount),
    ("xmlattr", texts::xmlattr),
];

/// Filters that Jinja has and that are errors here: chance, and layout for people.
const OTHERS: [&str; 5] = ["pprint", "random", "striptags", "urlize", "wordwrap"];

/// Whether Jinja has a filter of that name.
pub fn is_known(name: &str) -> bool {
    FILTERS.iter().any(|(other, _)| *other == name) || OTHERS.contains(&name)
}

/// What a filter makes of a value.
pub fn apply(name: &str, value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    match FILTERS.iter().find(|(other, _)| *other == name) {
        Some((_, filter)) => filter(value, arguments, budget),
        None if OTHERS.contains(&name) => {
            Err(Error::new(format!("the filter `{name}` is not known here")))
        }
        None => Err(Error::new(format!("there is no filter `{name}`"))),
    }
}

/// Whether a test holds for a value. Only here it is known which filters there are.
pub fn holds(name: &str, value: &Value, arguments: &Args, budget: &Budget) -> Result<bool> {
    match name {
        "filter" => {
            arguments.none()?;
            Ok(is_known(checks::as_name(value)?))
        }
        _ => checks::holds(name, value, arguments, budget),
    }
}

fn attr(value: &Value, arguments: &Args, _: &Budget) -> Result<Value> {
    let [name] = arguments.bind(["name"], 1)?;
    let name = name.unwrap_or(Value::None);
    let name = super::arguments::text(&name)?;
    // An entry of a map is not an attribute.
    let found = match value {
        Value::Dict(_) if super::methods::named(value, name).is_none() => None,
        other => access::attribute(other, name)?,
    };
    Ok(found.unwrap_or_else(|| Value::undefined(name)))
}

fn default(value: &Value, arguments: &Args, _: &Budget) -> Result<Value> {
    let [default, boolean] = arguments.bind(["default_value", "boolean"], 0)?;
    let is_false = boolean.is_some_and(|boolean| boolean.is_true()) && !value.is_true();
    match matches!(value, Value::Undefined(_)) || is_false {
        true => Ok(default.unwrap_or_else(|| Value::text(""))),
        false => Ok(value.clone()),
    }
}

fn map(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    if !value.is_true() {
        return Ok(Value::iterator(Vec::new()));
    }
    let by_attribute = arguments.positional.is_empty()
        && arguments.named.iter().any(|(name, _)| name == "attribute");
    let mut made = Vec::new();
    if by_attribute {
        let [attribute, default] = arguments.bind(["attribute", "default"], 1)?;
        let default = default.filter(|default| !matches!(default, Value::None));
        for value in value.values(budget)? {
            made.push(part(&value, attribute.as_ref(), default.as_ref(), budget)?);
        }
    } else {
        let Some((Value::Text(name), rest)) = arguments.positional.split_first() else {
            return Err(Error::new("map needs the name of a filter"));
        };
        let arguments = Args {
            positional: rest.to_vec(),
            named: arguments.named.clone(),
        };
        for value in value.values(budget)? {
            made.push(apply(name, &value, &arguments, budget)?);
        }
    }
    Ok(Value::iterator(made))
}

/// The values for which a test holds, or does not.
fn select(
    value: &Value,
    arguments: &Args,
    by_attribute: bool,
    wanted: bool,
    budget: &Budget,
) -> Result<Value> {
    if !value.is_true() {
        return Ok(Value::iterator(Vec::new()));
    }
    let mut positional = arguments.positional.iter();
    let attribute = match by_attribute {
        true => Some(
            positional
                .next()
                .ok_or_else(|| Error::new("the name of an attribute is missing"))?,
        ),
        false => None,
    };
    let test = positional.next();
    let rest = Args {
        positional: positional.cloned().collect(),
        named: arguments.named.clone(),
    };
    let mut chosen = Vec::new();
    for value in value.values(budget)? {
        let tested = part(&value, attribute, None, budget)?;
        let holds = match test {
            None => tested.is_true(),
            Some(test) => holds(super::arguments::text(test)?, &tested, &rest, budget)?,
        };
        if holds == wanted {
            chosen.push(value);
        }
    }
    Ok(Value::iterator(chosen))
}
