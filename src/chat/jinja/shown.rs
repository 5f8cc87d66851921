//! Filters that lay values out for people, or write them for the web.

use minijinja::value::{Tuple, Value};
use minijinja::{Error, State};

use super::arguments::{Args, flag};
use super::fields::quoted;
use super::print::{escaped, text};
use super::values::{Kind, entries, is_iterable, kind, number, pay, unlike, values, wrong};

/// The most characters that `pprint` writes; Python would write several lines.
const LINE: usize = 80;

/// A value's `repr`, its maps in the order of their keys.
pub fn pprint(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    arguments.none()?;
    let shown = quoted(&sorted(value, state)?, state)?;
    match shown
        .as_str()
        .is_some_and(|text| text.chars().count() > LINE)
    {
        true => Err(wrong(format!(
            "pprint writes one line of at most {LINE} characters"
        ))),
        false => Ok(shown),
    }
}

/// The value with the entries of all maps in the order of their keys.
fn sorted(value: &Value, state: &State) -> Result<Value, Error> {
    let parts = |value: &Value| -> Result<Vec<Value>, Error> {
        let parts = values(value, state)?;
        parts.iter().map(|part| sorted(part, state)).collect()
    };
    match kind(value) {
        Kind::List => parts(value).map(Value::from),
        Kind::Tuple => Ok(Tuple::new(parts(value)?).into()),
        Kind::Dict => {
            let mut keys = values(value, state)?;
            let of_one_type = keys.iter().all(|key| key.as_str().is_some())
                || keys
                    .iter()
                    .all(|key| number(key).is_some_and(|key| !key.is_nan()));
            if keys.len() > 1 && !of_one_type {
                return Err(wrong(
                    "pprint sorts only keys that are all texts or all numbers",
                ));
            }
            state.consume_fuel(keys.len() as u64)?;
            keys.sort_by(|left, right| match (number(left), number(right)) {
                (Some(left), Some(right)) => left.total_cmp(&right),
                _ => left.as_str().cmp(&right.as_str()),
            });
            let pair = |key: Value| Ok((key.clone(), sorted(&value.get_item(&key)?, state)?));
            let pairs = keys
                .into_iter()
                .map(pair)
                .collect::<Result<Vec<_>, Error>>()?;
            Ok(Value::from_pairs(pairs))
        }
        _ => Ok(value.clone()),
    }
}

/// A text as part of an address, or pairs as its query.
pub fn urlencode(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    arguments.none()?;
    if kind(value) == Kind::Text || !is_iterable(value) {
        return Ok(Value::from(encoded(&text(value, state)?, "/", state)?));
    }
    let pairs = match kind(value) {
        Kind::Dict => entries(value, state)?,
        _ => values(value, state)?,
    };
    let mut out = Vec::new();
    for pair in &pairs {
        let pair = match is_iterable(pair) {
            true => values(pair, state)?,
            false => Vec::new(),
        };
        let [name, value] = &pair[..] else {
            return Err(wrong("expected a text, a map or pairs"));
        };
        let part = |value: &Value| -> Result<String, Error> {
            Ok(encoded(&text(value, state)?, "", state)?.replace("%20", "+"))
        };
        let (name, value) = (part(name)?, part(value)?);
        out.push(format!("{name}={value}"));
    }
    Ok(Value::from(out.join("&")))
}

/// A text whose bytes are spelled as `%20`, except for letters, digits, `_.-~` and those of `safe`.
fn encoded(text: &str, safe: &str, state: &State) -> Result<String, Error> {
    pay(state, text.len() * 3)?;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let character = char::from(byte);
        match character.is_ascii_alphanumeric()
            || "_.-~".contains(character)
            || safe.contains(character)
        {
            true => out.push(character),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(out)
}

/// A map as the attributes of an element, after a blank.
pub fn xmlattr(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    let [autospace] = arguments.bind(["autospace"], 0)?;
    let mut parts = Vec::new();
    for pair in entries(value, state)? {
        let (name, value) = (pair.get_item_by_index(0)?, pair.get_item_by_index(1)?);
        if matches!(kind(&value), Kind::None | Kind::Undefined) {
            continue;
        }
        let name = name.as_str().ok_or_else(|| unlike("a text", &name))?;
        if name.contains([' ', '/', '>', '=', '\t', '\n', '\r', '\x0C']) {
            return Err(wrong(format!("'{name}' can't be the name of an attribute")));
        }
        parts.push(format!(
            "{}=\"{}\"",
            escaped(name),
            escaped(&text(&value, state)?)
        ));
    }
    let spaced = autospace.is_none_or(|autospace| autospace.is_true()) && !parts.is_empty();
    let before = if spaced { " " } else { "" };
    Ok(Value::from(before.to_string() + &parts.join(" ")))
}

/// A number of bytes for people.
pub fn filesizeformat(value: &Value, arguments: &Args, _: &mut State) -> Result<Value, Error> {
    let [binary] = arguments.bind(["binary"], 0)?;
    let (base, infix) = match flag(binary.as_ref()) {
        true => (1024.0, "i"),
        false => (1000.0, ""),
    };
    let spelled = value
        .as_str()
        .and_then(|text| text.trim().parse::<f64>().ok());
    let bytes = number(value).or(spelled);
    let bytes = bytes.filter(|bytes| !bytes.is_nan() && *bytes != f64::NEG_INFINITY);
    let bytes = bytes.ok_or_else(|| unlike("a number of bytes", value))?;
    if bytes == 1.0 {
        return Ok(Value::from("1 Byte"));
    }
    if bytes < base {
        return Ok(Value::from(format!("{} Bytes", bytes as i128)));
    }
    let kilo = if infix.is_empty() { 'k' } else { 'K' };
    let (mut unit, mut prefix) = (base * base, kilo);
    for larger in "MGTPEZY".chars() {
        if bytes >= unit {
            (unit, prefix) = (unit * base, larger);
        }
    }
    Ok(Value::from(format!(
        "{:.1} {prefix}{infix}B",
        base * bytes / unit
    )))
}
