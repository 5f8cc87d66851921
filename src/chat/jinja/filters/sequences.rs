//! Filters of lists, maps and whatever else holds values.

use std::cmp::Ordering;

use super::shared::{flag, folded, part};
use crate::chat::jinja::arguments::{Args, int, text, wrong};
use crate::chat::jinja::compare::{equal, order, sorted};
use crate::chat::jinja::fault::{Budget, Error, Result};
use crate::chat::jinja::operators::binary;
use crate::chat::jinja::print;
use crate::chat::jinja::value::{Dict, Seen, Value, View};

pub fn length(value: &Value, arguments: &Args, _: &Budget) -> Result<Value> {
    arguments.none()?;
    match value.length() {
        Some(length) => Ok(Value::Int(length as i128)),
        None => Err(Error::new(format!(
            "a value of type {} has no length",
            value.kind()
        ))),
    }
}

pub fn list(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    arguments.none()?;
    value.values(budget).map(Value::list)
}

pub fn items(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    arguments.none()?;
    match value {
        Value::Undefined(_) => Ok(Value::iterator(Vec::new())),
        Value::Dict(dict) => dict.view(View::Items, budget).map(Value::iterator),
        other => Err(wrong("a map", other)),
    }
}

pub fn first(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    arguments.none()?;
    let nothing = || Value::undefined("the first of no values");
    if let Value::Iterator(values) = value {
        return Ok(values.borrow_mut().next().unwrap_or_else(nothing));
    }
    let values = value.values(budget)?;
    Ok(values.into_iter().next().unwrap_or_else(nothing))
}

pub fn last(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    arguments.none()?;
    if matches!(value, Value::Iterator(_) | Value::Loop(_)) || !value.is_iterable() {
        return Err(wrong("a list", value));
    }
    let last = value.values(budget)?.pop();
    Ok(last.unwrap_or_else(|| Value::undefined("the last of no values")))
}

pub fn reverse(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    arguments.none()?;
    if let Value::Text(own) = value {
        budget.spend_bytes(own.len())?;
        return Ok(Value::text(own.chars().rev().collect::<String>()));
    }
    let mut values = value.values(budget)?;
    values.reverse();
    Ok(match value {
        Value::Iterator(_) | Value::Undefined(_) => Value::list(values),
        _ => Value::iterator(values),
    })
}

pub fn join(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    let [between, attribute] = arguments.bind(["d", "attribute"], 0)?;
    let between = between.map_or(Ok(String::new()), |between| print::text(&between, budget))?;
    let mut out = String::new();
    for (index, value) in value.values(budget)?.iter().enumerate() {
        budget.spend_bytes(between.len())?;
        if index > 0 {
            out.push_str(&between);
        }
        let value = part(value, attribute.as_ref(), None, budget)?;
        print::print(&value, false, &mut out, budget)?;
    }
    Ok(Value::text(out))
}

/// The parts of a value that a list of paths leads to, folded, as what sorting compares.
fn sort_key(
    value: &Value,
    attribute: Option<&Value>,
    case_sensitive: bool,
    budget: &Budget,
) -> Result<Value> {
    let paths: Vec<Value> = match attribute {
        Some(Value::Text(paths)) => paths.split(',').map(Value::text).collect(),
        Some(other) => vec![other.clone()],
        None => vec![Value::None],
    };
    let key = |path: &Value| {
        Ok(folded(
            part(value, Some(path), None, budget)?,
            case_sensitive,
        ))
    };
    let keys: Result<Vec<Value>> = paths.iter().map(key).collect();
    Ok(Value::list(keys?))
}

pub fn sort(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    let [reverse, sensitive, attribute] =
        arguments.bind(["reverse", "case_sensitive", "attribute"], 0)?;
    let sensitive = flag(sensitive);
    let mut keyed = Vec::new();
    for value in value.values(budget)? {
        keyed.push((
            sort_key(&value, attribute.as_ref(), sensitive, budget)?,
            value,
        ));
    }
    sorted(keyed, flag(reverse), budget).map(Value::list)
}

pub fn dictsort(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    let [sensitive, by, reverse] = arguments.bind(["case_sensitive", "by", "reverse"], 0)?;
    let Value::Dict(dict) = value else {
        return Err(wrong("a map", value));
    };
    let by = by.unwrap_or_else(|| Value::text("key"));
    let by_key = match text(&by)? {
        "key" => true,
        "value" => false,
        _ => return Err(Error::new("a map is sorted by \"key\" or \"value\"")),
    };
    let sensitive = flag(sensitive);
    let keyed = dict.entries.iter().map(|(key, value)| {
        let compared = if by_key { key } else { value };
        let entry = Value::tuple(vec![key.clone(), value.clone()]);
        (folded(compared.clone(), sensitive), entry)
    });
    sorted(keyed.collect(), flag(reverse), budget).map(Value::list)
}

pub fn unique(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    let [sensitive, attribute] = arguments.bind(["case_sensitive", "attribute"], 0)?;
    let sensitive = flag(sensitive);
    let mut seen = Seen::new();
    let mut values = Vec::new();
    for value in value.values(budget)? {
        let key = folded(part(&value, attribute.as_ref(), None, budget)?, sensitive);
        if seen.add(&key)? {
            values.push(value);
        }
    }
    Ok(Value::iterator(values))
}

pub fn min(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    extreme(value, arguments, Ordering::Less, budget)
}

pub fn max(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    extreme(value, arguments, Ordering::Greater, budget)
}

fn extreme(value: &Value, arguments: &Args, wanted: Ordering, budget: &Budget) -> Result<Value> {
    let [sensitive, attribute] = arguments.bind(["case_sensitive", "attribute"], 0)?;
    let sensitive = flag(sensitive);
    let mut best: Option<(Value, Value)> = None;
    for value in value.values(budget)? {
        let key = folded(part(&value, attribute.as_ref(), None, budget)?, sensitive);
        let is_better = match &best {
            None => true,
            Some((other, _)) => order(&key, other, budget)? == Some(wanted),
        };
        if is_better {
            best = Some((key, value));
        }
    }
    Ok(best.map_or_else(
        || Value::undefined("the extreme of no values"),
        |(_, value)| value,
    ))
}

pub fn sum(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    let [attribute, start] = arguments.bind(["attribute", "start"], 0)?;
    let mut sum = start.unwrap_or(Value::Int(0));
    if let Value::Text(_) = sum {
        return Err(Error::new("texts are joined, not summed"));
    }
    for value in value.values(budget)? {
        sum = binary(
            "+",
            &sum,
            &part(&value, attribute.as_ref(), None, budget)?,
            budget,
        )?;
    }
    Ok(sum)
}

pub fn batch(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    let [count, fill] = arguments.bind(["linecount", "fill_with"], 1)?;
    let count = usize::try_from(int(count.as_ref(), 1)?).unwrap_or(0);
    let values = value.values(budget)?;
    if count == 0 {
        return Err(Error::new("a batch has at least one value"));
    }
    let mut batches: Vec<Vec<Value>> = values.chunks(count).map(<[Value]>::to_vec).collect();
    if let (Some(last), Some(fill)) = (
        batches.last_mut(),
        fill.filter(|fill| !matches!(fill, Value::None)),
    ) {
        budget.spend(count)?;
        last.resize(count, fill);
    }
    Ok(Value::iterator(
        batches.into_iter().map(Value::list).collect(),
    ))
}

pub fn slice(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    let [slices, fill] = arguments.bind(["slices", "fill_with"], 1)?;
    let slices = usize::try_from(int(slices.as_ref(), 1)?).unwrap_or(0);
    let values = value.values(budget)?;
    budget.spend(slices)?;
    let (Some(each), Some(larger)) = (
        values.len().checked_div(slices),
        values.len().checked_rem(slices),
    ) else {
        return Err(Error::new("there is at least one slice"));
    };
    let mut rest = values.as_slice();
    let mut parts = Vec::new();
    for index in 0..slices {
        let (part, others) = rest.split_at(each + usize::from(index < larger));
        rest = others;
        let mut part = part.to_vec();
        if let Some(fill) = fill
            .as_ref()
            .filter(|fill| !matches!(fill, Value::None) && index >= larger)
        {
            part.push(fill.clone());
        }
        parts.push(Value::list(part));
    }
    Ok(Value::iterator(parts))
}

pub fn groupby(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    let names = ["attribute", "default", "case_sensitive"];
    let [attribute, default, sensitive] = arguments.bind(names, 1)?;
    let sensitive = flag(sensitive);
    let default = default.filter(|default| !matches!(default, Value::None));
    let of = |value: &Value| part(value, attribute.as_ref(), default.as_ref(), budget);
    let mut keyed = Vec::new();
    for value in value.values(budget)? {
        keyed.push((folded(of(&value)?, sensitive), value));
    }
    let mut groups: Vec<(Value, Value, Vec<Value>)> = Vec::new();
    for value in sorted(keyed, false, budget)? {
        let key = folded(of(&value)?, sensitive);
        match groups.last_mut() {
            Some((other, _, group)) if equal(other, &key, budget)? => group.push(value),
            _ => groups.push((key, of(&value)?, vec![value])),
        }
    }
    let groups = groups
        .into_iter()
        .map(|(_, key, group)| Value::Group([key, Value::list(group)].into()));
    Ok(Value::list(groups.collect()))
}

/// What `dict` makes of a map, or of pairs.
pub fn dict(value: &Value, budget: &Budget) -> Result<Dict> {
    if let Value::Dict(dict) = value {
        budget.spend(dict.entries.len())?;
        return Ok(Dict::clone(dict));
    }
    let mut dict = Dict::default();
    for pair in value.defined()?.values(budget)? {
        match pair.values(budget)?.as_slice() {
            [key, value] => dict.insert(key.clone(), value.clone())?,
            _ => return Err(Error::new("expected pairs of keys and values")),
        }
    }
    Ok(dict)
}
