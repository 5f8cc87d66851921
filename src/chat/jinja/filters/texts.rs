//! Filters of texts.

use super::shared::{flag, soft};
use crate::chat::jinja::arguments::{Args, int, text as plain, wrong};
use crate::chat::jinja::fault::{Budget, Error, Result};
use crate::chat::jinja::format::percent;
use crate::chat::jinja::methods::texts::{capitalized, padded, replaced, trimmed};
use crate::chat::jinja::print;
use crate::chat::jinja::spaces::{is_space, lines};
use crate::chat::jinja::value::Value;

/// A filter without arguments over the text of a value.
fn changed(
    value: &Value,
    arguments: &Args,
    budget: &Budget,
    change: fn(&str) -> String,
) -> Result<Value> {
    arguments.none()?;
    let text = change(&soft(value, budget)?);
    budget.spend_bytes(text.len())?;
    Ok(Value::text(text))
}

pub fn lower(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    changed(value, arguments, budget, str::to_lowercase)
}

pub fn upper(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    changed(value, arguments, budget, str::to_uppercase)
}

pub fn capitalize(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    changed(value, arguments, budget, capitalized)
}

/// Each word with its first letter in upper case. Words are what white space, hyphens and opening brackets part.
pub fn title(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    changed(value, arguments, budget, |text| {
        let mut out = String::with_capacity(text.len());
        let mut begins = true;
        for character in text.chars() {
            let parts = is_space(character) || "-({[<".contains(character);
            match begins && !parts {
                true => out.extend(character.to_uppercase()),
                false => out.extend(character.to_lowercase()),
            }
            begins = parts;
        }
        out
    })
}

pub fn string(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    arguments.none()?;
    match value {
        Value::Markup(_) => Ok(value.clone()),
        other => soft(other, budget).map(Value::text),
    }
}

pub fn trim(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    let [chars] = arguments.bind(["chars"], 0)?;
    trimmed(&soft(value, budget)?, chars).map(Value::text)
}

pub fn center(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    let [width] = arguments.bind(["width"], 0)?;
    let width = int(width.as_ref(), 80)?;
    padded(&soft(value, budget)?, "center", width, None, budget).map(Value::text)
}

pub fn replace(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    let [old, new, count] = arguments.bind(["old", "new", "count"], 2)?;
    let text = |value: Option<Value>| print::text(&value.unwrap_or(Value::None), budget);
    let count = count.filter(|count| !matches!(count, Value::None));
    let (old, new) = (text(old)?, text(new)?);
    replaced(
        &soft(value, budget)?,
        &old,
        &new,
        int(count.as_ref(), -1)?,
        budget,
    )
    .map(Value::text)
}

pub fn format(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    let format = soft(value, budget)?;
    let values = match arguments.named.is_empty() {
        true => Value::tuple(arguments.positional.clone()),
        false if !arguments.positional.is_empty() => {
            return Err(Error::new(
                "a format has values in order or by name, not both",
            ));
        }
        false => {
            let mut dict = crate::chat::jinja::value::Dict::default();
            for (name, value) in &arguments.named {
                dict.insert_text(name, value.clone());
            }
            Value::Dict(dict.into())
        }
    };
    percent(&format, &values, budget).map(Value::text)
}

pub fn indent(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    let [width, first, blank] = arguments.bind(["width", "first", "blank"], 0)?;
    let indent = match &width {
        Some(Value::Text(text)) => text.to_string(),
        width => {
            let width = usize::try_from(int(width.as_ref(), 4)?.max(0)).unwrap_or(usize::MAX);
            budget.spend_bytes(width)?;
            " ".repeat(width)
        }
    };
    let text = plain(value)?.to_string() + "\n";
    let blank = flag(blank);
    let mut out = String::new();
    for (index, line) in lines(&text, false).into_iter().enumerate() {
        budget.spend_bytes(line.len() + indent.len())?;
        let is_indented = match index {
            0 => flag(first.clone()),
            _ => blank || !line.is_empty(),
        };
        if index > 0 {
            out.push('\n');
        }
        if is_indented {
            out.push_str(&indent);
        }
        out.push_str(line);
    }
    Ok(Value::text(out))
}

pub fn truncate(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    let names = ["length", "killwords", "end", "leeway"];
    let [length, kill, end, leeway] = arguments.bind(names, 0)?;
    let (length, leeway) = (int(length.as_ref(), 255)?, int(leeway.as_ref(), 5)?);
    let end = end.unwrap_or_else(|| Value::text("..."));
    let end = plain(&end)?;
    let text = match value {
        Value::Text(text) => text,
        other => {
            // Anything that is short enough stays what it is.
            return match other.length() {
                Some(own) if own as i128 <= length + leeway => Ok(other.clone()),
                _ => Err(wrong("a text", other)),
            };
        }
    };
    budget.spend_bytes(text.len())?;
    let kept = length - end.chars().count() as i128;
    if kept < 0 || leeway < 0 {
        return Err(Error::new("the length is too small"));
    }
    if text.chars().count() as i128 <= length + leeway {
        return Ok(value.clone());
    }
    let kept: String = text
        .chars()
        .take(usize::try_from(kept).unwrap_or(0))
        .collect();
    let kept = match flag(kill) {
        true => kept.as_str(),
        false => kept
            .rsplit_once(' ')
            .map_or(kept.as_str(), |(before, _)| before),
    };
    Ok(Value::text(format!("{kept}{end}")))
}

pub fn wordcount(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    arguments.none()?;
    let text = soft(value, budget)?;
    let words = text.split(|c: char| c != '_' && !c.is_alphanumeric());
    Ok(Value::Int(
        words.filter(|word| !word.is_empty()).count() as i128
    ))
}

fn escaped(text: &str) -> String {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    text.replace('\'', "&#39;").replace('"', "&#34;")
}

pub fn escape(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    arguments.none()?;
    match value {
        Value::Markup(_) => Ok(value.clone()),
        other => Ok(Value::Markup(escaped(&soft(other, budget)?).into())),
    }
}

pub fn forceescape(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    arguments.none()?;
    Ok(Value::Markup(escaped(&soft(value, budget)?).into()))
}

pub fn safe(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    arguments.none()?;
    Ok(Value::Markup(soft(value, budget)?.into()))
}

pub fn xmlattr(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    let [autospace] = arguments.bind(["autospace"], 0)?;
    let Value::Dict(dict) = value else {
        return Err(wrong("a map", value));
    };
    let mut out = String::new();
    for (key, value) in &dict.entries {
        if matches!(value, Value::None | Value::Undefined(_)) {
            continue;
        }
        let key = plain(key)?;
        if key.contains(|c: char| c.is_ascii_whitespace() || "/>=\x0B".contains(c)) {
            return Err(Error::new(format!(
                "{key:?} is not the name of an attribute"
            )));
        }
        if !out.is_empty() || autospace.as_ref().is_none_or(Value::is_true) {
            out.push(' ');
        }
        out.push_str(&format!(
            "{}=\"{}\"",
            escaped(key),
            escaped(&soft(value, budget)?)
        ));
    }
    Ok(Value::text(out))
}

fn quoted(text: &str, in_query: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => {
                out.push(char::from(byte))
            }
            b'/' if !in_query => out.push('/'),
            b' ' if in_query => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

pub fn urlencode(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    arguments.none()?;
    let pairs = match value {
        Value::Text(text) | Value::Markup(text) => return Ok(Value::text(quoted(text, false))),
        Value::Dict(dict) => dict.view(crate::chat::jinja::value::View::Items, budget)?,
        other if other.is_iterable() => other.values(budget)?,
        other => return Ok(Value::text(quoted(&soft(other, budget)?, false))),
    };
    let mut parts = Vec::new();
    for pair in pairs {
        match pair.values(budget)?.as_slice() {
            [key, value] => parts.push(format!(
                "{}={}",
                quoted(&soft(key, budget)?, true),
                quoted(&soft(value, budget)?, true)
            )),
            _ => return Err(Error::new("expected pairs of keys and values")),
        }
    }
    Ok(Value::text(parts.join("&")))
}
