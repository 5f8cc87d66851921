//! Filters of lists, maps and whatever else contains values.

use std::cmp::Ordering;

use minijinja::value::Value;
use minijinja::{Error, State, filters};

use super::arguments::{Args, flag, part, text};
use super::objects::iterator;
use super::print;
use super::values::{Kind, entries, hashable, kind, number, order, pay, unlike, values, wrong};

pub fn items(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    arguments.none()?;
    match kind(value) {
        Kind::Undefined => Ok(iterator(Vec::new())),
        _ => entries(value, state).map(iterator),
    }
}

pub fn join(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    let [between, attribute] = arguments.bind(["d", "attribute"], 0)?;
    let between = between.map_or(Ok(String::new()), |between| print::text(&between, state))?;
    let mut out = String::new();
    for (index, value) in values(value, state)?.iter().enumerate() {
        if index > 0 {
            pay(state, between.len())?;
            out.push_str(&between);
        }
        print::print(&part(value, attribute.as_ref())?, false, &mut out, state)?;
    }
    Ok(Value::from(out))
}

/// The value that is compared: unless comparison is case-sensitive, a text is in lower case. Other values stay as they are.
fn folded(value: Value, sensitive: bool) -> Value {
    match value.as_str() {
        Some(text) if !sensitive => Value::from(text.to_lowercase()),
        _ => value,
    }
}

/// Values in order of their keys; values with equal keys stay in their order.
pub fn sorted(
    mut keyed: Vec<(Value, Value)>,
    reverse: bool,
    state: &State,
) -> Result<Value, Error> {
    let mut failed = None;
    if reverse {
        keyed.reverse();
    }
    keyed.sort_by(|(left, _), (right, _)| match order(left, right, state) {
        Ok(order) => order.unwrap_or(Ordering::Equal),
        Err(error) => {
            failed.get_or_insert(error);
            Ordering::Equal
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

pub fn sort(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    let names = ["reverse", "case_sensitive", "attribute"];
    let [reverse, sensitive, attribute] = arguments.bind(names, 0)?;
    let sensitive = flag(sensitive.as_ref());
    let paths: Vec<Option<Value>> = match attribute.as_ref().and_then(Value::as_str) {
        Some(paths) => paths
            .split(',')
            .map(|path| Some(Value::from(path)))
            .collect(),
        None => vec![attribute],
    };
    let mut keyed = Vec::new();
    for value in values(value, state)? {
        let key = |path: &Option<Value>| Ok(folded(part(&value, path.as_ref())?, sensitive));
        let keys: Result<Vec<Value>, Error> = paths.iter().map(key).collect();
        keyed.push((Value::from(keys?), value));
    }
    sorted(keyed, flag(reverse.as_ref()), state)
}

pub fn dictsort(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    let [sensitive, by, reverse] = arguments.bind(["case_sensitive", "by", "reverse"], 0)?;
    let compared = match by.as_ref().map(text).transpose()? {
        None | Some("key") => 0,
        Some("value") => 1,
        Some(_) => return Err(wrong("a map is sorted by \"key\" or \"value\"")),
    };
    let mut keyed = Vec::new();
    for entry in entries(value, state)? {
        let key = entry.get_item_by_index(compared)?;
        keyed.push((folded(key, flag(sensitive.as_ref())), entry));
    }
    sorted(keyed, flag(reverse.as_ref()), state)
}

pub fn unique(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    let [sensitive, attribute] = arguments.bind(["case_sensitive", "attribute"], 0)?;
    let (mut seen, mut different) = (Vec::new(), Vec::new());
    for value in values(value, state)? {
        let key = folded(part(&value, attribute.as_ref())?, flag(sensitive.as_ref()));
        hashable(&key)?;
        state.consume_fuel(seen.len() as u64)?;
        if !seen.contains(&key) {
            seen.push(key);
            different.push(value);
        }
    }
    Ok(iterator(different))
}

pub fn extreme(
    value: &Value,
    arguments: &Args,
    wanted: Ordering,
    state: &mut State,
) -> Result<Value, Error> {
    let [sensitive, attribute] = arguments.bind(["case_sensitive", "attribute"], 0)?;
    let mut best: Option<(Value, Value)> = None;
    for value in values(value, state)? {
        let key = folded(part(&value, attribute.as_ref())?, flag(sensitive.as_ref()));
        let is_better = match &best {
            None => true,
            Some((other, _)) => order(&key, other, state)? == Some(wanted),
        };
        if is_better {
            best = Some((key, value));
        }
    }
    Ok(best.map(|(_, value)| value).unwrap_or_default())
}

/// Groups of values. The only thing that the engine does not check is that the keys have an order.
pub fn groupby(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    let names = ["attribute", "default", "case_sensitive"];
    let [attribute, default, _] = arguments.bind(names, 1)?;
    let all = values(value, state)?;
    if default.is_none() {
        let key = |value: Value| Ok((part(&value, attribute.as_ref())?, value));
        let keyed: Result<_, Error> = all.into_iter().map(key).collect();
        sorted(keyed?, false, state)?;
    }
    let engines = Value::from_function(filters::groupby);
    engines.call(state, &arguments.with(value.clone()))
}

/// The sum of numbers, or of whatever can be added to a start.
pub fn sum(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    let [attribute, start] = arguments.bind(["attribute", "start"], 0)?;
    if start.is_none_or(|start| number(&start).is_some()) {
        for value in values(value, state)? {
            let part = part(&value, attribute.as_ref())?;
            number(&part).ok_or_else(|| unlike("a number", &part))?;
        }
    }
    let engines = Value::from_function(filters::sum);
    engines.call(state, &arguments.with(value.clone()))
}
