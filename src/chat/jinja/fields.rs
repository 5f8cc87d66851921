//! The fields of formats, in the form that the engine accepts: Python converts some values for them that the engine does not.

use minijinja::value::Value;
use minijinja::{Error, State};

use super::arguments::Args;
use super::print::{print, text};
use super::spec::aligned;
use super::values::{Kind, kind, number, pay, whole};

/// Python's `repr`.
pub fn quoted(value: &Value, state: &State) -> Result<Value, Error> {
    let mut out = String::new();
    print(value, true, &mut out, state)?;
    Ok(Value::from(out))
}

/// A format with `%` fields without names, with its values converted for the engine: `%r` and `%s` take texts, and `%d` whole
/// numbers. What is wrong stays as it is, for the engine to tell.
pub fn of_percent(format: &str, values: &mut [Value], state: &State) -> Result<String, Error> {
    let mut out = String::with_capacity(format.len());
    let mut next = 0;
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        let (before, field) = rest.split_at(at + 1);
        out.push_str(before);
        let is_option = |c: char| c.is_ascii_digit() || "#- +.hlL".contains(c);
        let end = field.find(|c| !is_option(c)).unwrap_or(field.len());
        let (options, tail) = field.split_at(end);
        let letter = tail.chars().next();
        out.push_str(options);
        if let (Some(letter), Some(value)) = (letter.filter(|c| *c != '%'), values.get_mut(next)) {
            let float = number(value).filter(|float| float.is_finite());
            match (letter, kind(value)) {
                ('r', _) => *value = quoted(value, state)?,
                ('s', _) => *value = Value::from(text(value, state)?),
                ('d' | 'i' | 'u', Kind::Bool) => *value = Value::from(whole(value)),
                ('d' | 'i' | 'u', Kind::Float) => {
                    *value = float.map_or(value.clone(), |float| Value::from(float as i128));
                }
                ('x' | 'X' | 'o', Kind::Bool) => *value = Value::from(whole(value)),
                _ => {}
            }
            next += 1;
        }
        out.extend(letter.map(|letter| if letter == 'r' { 's' } else { letter }));
        rest = tail.get(letter.map_or(0, char::len_utf8)..).unwrap_or("");
    }
    Ok(out + rest)
}

/// A format with fields in braces whose values come one by one, and these values; `None` if it has fields that only the engine
/// knows, or mistakes for the engine to tell.
pub fn of_braces(
    format: &str,
    arguments: &Args,
    state: &mut State,
) -> Result<Option<(String, Vec<Value>)>, Error> {
    let mut given = Given {
        arguments,
        next: 0,
        counts: None,
    };
    let (mut out, mut values) = (String::with_capacity(format.len()), Vec::new());
    let mut rest = format;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        if let Some(brace) = ["{{", "}}"]
            .into_iter()
            .find(|brace| tail.starts_with(*brace))
        {
            out.push_str(brace);
            rest = tail.get(2..).unwrap_or("");
            continue;
        }
        let Some(end) = end_of_field(tail) else {
            return Ok(None);
        };
        let field = tail.get(1..end).unwrap_or("");
        rest = tail.get(end + 1..).unwrap_or("");
        let (name, options) = field.split_once(':').unwrap_or((field, ""));
        let (name, conversion) = match name.split_once('!') {
            Some((name, conversion)) => (name, Some(conversion)),
            None => (name, None),
        };
        let Some(value) = given.value(name) else {
            return Ok(None);
        };
        let Some(options) = given.options(options, state)? else {
            return Ok(None);
        };
        let value = match (conversion, kind(&value)) {
            (Some("r"), _) => quoted(&value, state)?,
            (Some("s"), _) | (None, Kind::Namespace) => Value::from(text(&value, state)?),
            (Some(_), _) => return Ok(None),
            // With options, a truth value is a number.
            (None, Kind::Bool) if !options.is_empty() => Value::from(whole(&value)),
            (None, _) => value,
        };
        match aligned(&value, &options, state)? {
            Some(text) => {
                values.push(Value::from(text));
                out.push_str("{}");
            }
            None => {
                values.push(value);
                out.push_str("{:");
                out.push_str(&options);
                out.push('}');
            }
        }
    }
    pay(state, out.len())?;
    Ok(Some((out + rest, values)))
}

/// The position of the brace that closes the field at the beginning of `text`.
fn end_of_field(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return (at > 0).then_some(at);
        }
    }
    None
}

/// The values that the fields of a format name.
struct Given<'a> {
    arguments: &'a Args,
    /// The place of the value for the next field without a name.
    next: usize,
    /// Whether fields have no place of their own; a format can't mix both kinds.
    counts: Option<bool>,
}

impl Given<'_> {
    fn value(&mut self, name: &str) -> Option<Value> {
        let place = match name.parse::<usize>() {
            Ok(place) => place,
            Err(_) if name.is_empty() => {
                self.next += 1;
                self.next - 1
            }
            Err(_) => {
                let mut named = self.arguments.named.iter();
                return Some(named.find(|(other, _)| other == name)?.1.clone());
            }
        };
        let counts = name.is_empty();
        match *self.counts.get_or_insert(counts) == counts {
            true => self.arguments.positional.get(place).cloned(),
            false => None,
        }
    }

    /// A field's options with the values of the fields inside of them.
    fn options(&mut self, options: &str, state: &State) -> Result<Option<String>, Error> {
        let mut out = String::new();
        let mut rest = options;
        while let Some((before, field)) = rest.split_once('{') {
            let Some((name, tail)) = field.split_once('}') else {
                return Ok(None);
            };
            let Some(value) = self.value(name) else {
                return Ok(None);
            };
            out.push_str(before);
            out.push_str(&text(&value, state)?);
            rest = tail;
        }
        Ok(Some(out + rest))
    }
}
