//! JSON as Python's `json.dumps` writes it, which is what transformers' `tojson` does.

use super::arguments::{Args, text, wrong};
use super::compare::sorted;
use super::fault::{Budget, Error, Result};
use super::print::float;
use super::value::Value;

/// How JSON is laid out.
struct Layout {
    ascii: bool,
    /// What each level is indented by; `None` for one line.
    indent: Option<String>,
    comma: String,
    colon: String,
    sorted: bool,
}

/// The filter `tojson`.
pub fn to_json(value: &Value, arguments: &Args, budget: &Budget) -> Result<String> {
    let names = ["ensure_ascii", "indent", "separators", "sort_keys"];
    let [ascii, indent, separators, sort] = arguments.bind(names, 0)?;
    let is = |flag: Option<Value>| flag.is_some_and(|flag| flag.is_true());
    let indent = match indent {
        None | Some(Value::None) => None,
        Some(Value::Text(text)) => Some(text.to_string()),
        Some(other) => {
            let width = other
                .as_int()
                .ok_or_else(|| wrong("a number of spaces", &other))?;
            let width = usize::try_from(width.max(0)).unwrap_or(usize::MAX);
            budget.spend_bytes(width)?;
            Some(" ".repeat(width))
        }
    };
    let (comma, colon) = match separators {
        None | Some(Value::None) if indent.is_some() => (",".to_string(), ": ".to_string()),
        None | Some(Value::None) => (", ".to_string(), ": ".to_string()),
        Some(pair) => match pair.values(budget)?.as_slice() {
            [comma, colon] => (text(comma)?.to_string(), text(colon)?.to_string()),
            _ => return Err(Error::new("separators are two texts")),
        },
    };
    let layout = Layout {
        ascii: is(ascii),
        indent,
        comma,
        colon,
        sorted: is(sort),
    };
    let mut out = String::new();
    write(value, 0, &layout, &mut out, budget)?;
    Ok(out)
}

fn write(
    value: &Value,
    depth: usize,
    layout: &Layout,
    out: &mut String,
    budget: &Budget,
) -> Result<()> {
    budget.spend(1)?;
    match value {
        Value::None => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Float(value) => out.push_str(&number(*value)),
        Value::Text(text) | Value::Markup(text) => {
            budget.spend_bytes(text.len())?;
            quote(text, layout.ascii, out);
        }
        Value::List(values) | Value::Tuple(values) => {
            if values.is_empty() {
                out.push_str("[]");
                return Ok(());
            }
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                begin(index > 0, depth + 1, layout, out, budget)?;
                budget.deeper(|| write(value, depth + 1, layout, out, budget))?;
            }
            line(depth, layout, out, budget)?;
            out.push(']');
        }
        Value::Dict(dict) => {
            if dict.entries.is_empty() {
                out.push_str("{}");
                return Ok(());
            }
            let mut entries: Vec<Value> = dict.view(super::value::View::Items, budget)?;
            if layout.sorted {
                let key = |entry: Value| match &entry {
                    Value::Tuple(pair) => {
                        (pair.first().cloned().unwrap_or(Value::None), entry.clone())
                    }
                    _ => (Value::None, entry),
                };
                entries = sorted(entries.into_iter().map(key).collect(), false, budget)?;
            }
            out.push('{');
            for (index, entry) in entries.iter().enumerate() {
                let Value::Tuple(pair) = entry else { continue };
                let [key, value] = pair.as_slice() else {
                    continue;
                };
                begin(index > 0, depth + 1, layout, out, budget)?;
                let key = match key {
                    Value::Text(text) | Value::Markup(text) => text.to_string(),
                    Value::None => "null".to_string(),
                    Value::Bool(value) => value.to_string(),
                    Value::Int(value) => value.to_string(),
                    Value::Float(value) => number(*value),
                    other => {
                        return Err(Error::new(format!(
                            "JSON has no keys of type {}",
                            other.kind()
                        )));
                    }
                };
                quote(&key, layout.ascii, out);
                out.push_str(&layout.colon);
                budget.deeper(|| write(value, depth + 1, layout, out, budget))?;
            }
            line(depth, layout, out, budget)?;
            out.push('}');
        }
        other => {
            other.defined()?;
            return Err(Error::new(format!(
                "a value of type {} can't be written as JSON",
                other.kind()
            )));
        }
    }
    Ok(())
}

fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_string();
    }
    match value.is_infinite() {
        true if value > 0.0 => "Infinity".to_string(),
        true => "-Infinity".to_string(),
        false => float(value),
    }
}

fn begin(
    is_later: bool,
    depth: usize,
    layout: &Layout,
    out: &mut String,
    budget: &Budget,
) -> Result<()> {
    if is_later {
        out.push_str(&layout.comma);
    }
    line(depth, layout, out, budget)
}

fn line(depth: usize, layout: &Layout, out: &mut String, budget: &Budget) -> Result<()> {
    if let Some(indent) = &layout.indent {
        budget.spend_bytes(indent.len().saturating_mul(depth))?;
        out.push('\n');
        out.push_str(&indent.repeat(depth));
    }
    Ok(())
}

fn quote(text: &str, ascii: bool, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0C' => out.push_str("\\f"),
            '\0'..='\x1F' => out.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ if ascii && !character.is_ascii() => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}
