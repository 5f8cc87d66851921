//! JSON as Python's `json.dumps` writes it, which is what transformers' `tojson` uses.

use minijinja::value::Value;
use minijinja::{Error, State};

use super::arguments::{Args, flag, int, text};
use super::print::float;
use super::sequences::sorted;
use super::values::{Kind, entries, kind, number, pay, unlike, values, wrong};

/// How JSON is laid out.
struct Layout {
    ascii: bool,
    /// The indentation of each level; `None` for a single line.
    indent: Option<String>,
    comma: String,
    colon: String,
    sorted: bool,
}

/// The filter `tojson`.
pub fn to_json(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    let names = ["ensure_ascii", "indent", "separators", "sort_keys"];
    let [ascii, indent, separators, sort] = arguments.bind(names, 0)?;
    let given = |value: Option<Value>| value.filter(|value| !value.is_none());
    let indent = match given(indent) {
        None => None,
        Some(indent) => match indent.as_str() {
            Some(text) => Some(text.to_string()),
            None => {
                let width = usize::try_from(int(Some(&indent), 0)?.max(0)).unwrap_or(usize::MAX);
                pay(state, width)?;
                Some(" ".repeat(width))
            }
        },
    };
    let (comma, colon) = match given(separators) {
        None if indent.is_some() => (",".to_string(), ": ".to_string()),
        None => (", ".to_string(), ": ".to_string()),
        Some(pair) => match values(&pair, state)?.as_slice() {
            [comma, colon] => (text(comma)?.to_string(), text(colon)?.to_string()),
            _ => return Err(wrong("separators must be two texts")),
        },
    };
    let (ascii, sorted) = (flag(ascii.as_ref()), flag(sort.as_ref()));
    let layout = Layout {
        ascii,
        indent,
        comma,
        colon,
        sorted,
    };
    let mut out = String::new();
    write(value, 0, &layout, &mut out, state)?;
    Ok(Value::from(out))
}

fn write(
    value: &Value,
    depth: usize,
    layout: &Layout,
    out: &mut String,
    state: &State,
) -> Result<(), Error> {
    state.consume_fuel(1)?;
    match kind(value) {
        Kind::None => out.push_str("null"),
        Kind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        Kind::Int => out.push_str(&value.to_string()),
        Kind::Float => out.push_str(&fraction(value)),
        Kind::Text => quote(text(value)?, layout.ascii, out, state)?,
        Kind::List | Kind::Tuple => {
            let values = values(value, state)?;
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                begin(index > 0, depth + 1, layout, out, state)?;
                write(value, depth + 1, layout, out, state)?;
            }
            if !values.is_empty() {
                line(depth, layout, out, state)?;
            }
            out.push(']');
        }
        Kind::Dict => {
            let mut pairs = entries(value, state)?;
            if layout.sorted {
                let key = |pair: Value| Ok((pair.get_item_by_index(0)?, pair));
                let keyed: Result<_, Error> = pairs.into_iter().map(key).collect();
                pairs = values(&sorted(keyed?, false, state)?, state)?;
            }
            out.push('{');
            for (index, pair) in pairs.iter().enumerate() {
                begin(index > 0, depth + 1, layout, out, state)?;
                let key = pair.get_item_by_index(0)?;
                let key = match kind(&key) {
                    Kind::Text => text(&key)?.to_string(),
                    Kind::None => "null".to_string(),
                    Kind::Bool => key.is_true().to_string(),
                    Kind::Int => key.to_string(),
                    Kind::Float => fraction(&key),
                    _ => return Err(unlike("a key that JSON supports", &key)),
                };
                quote(&key, layout.ascii, out, state)?;
                out.push_str(&layout.colon);
                write(&pair.get_item_by_index(1)?, depth + 1, layout, out, state)?;
            }
            if !pairs.is_empty() {
                line(depth, layout, out, state)?;
            }
            out.push('}');
        }
        _ => return Err(unlike("a value that JSON supports", value)),
    }
    Ok(())
}

fn fraction(value: &Value) -> String {
    match number(value).unwrap_or(f64::NAN) {
        value if value.is_nan() => "NaN".to_string(),
        f64::INFINITY => "Infinity".to_string(),
        f64::NEG_INFINITY => "-Infinity".to_string(),
        value => float(value),
    }
}

fn begin(
    is_later: bool,
    depth: usize,
    layout: &Layout,
    out: &mut String,
    state: &State,
) -> Result<(), Error> {
    if is_later {
        out.push_str(&layout.comma);
    }
    line(depth, layout, out, state)
}

fn line(depth: usize, layout: &Layout, out: &mut String, state: &State) -> Result<(), Error> {
    if let Some(indent) = &layout.indent {
        pay(state, indent.len().saturating_mul(depth))?;
        out.push('\n');
        out.push_str(&indent.repeat(depth));
    }
    Ok(())
}

fn quote(text: &str, ascii: bool, out: &mut String, state: &State) -> Result<(), Error> {
    pay(state, text.len())?;
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
    Ok(())
}
