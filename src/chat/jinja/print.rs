//! The text of a value: Python's `str` and `repr`.

use super::fault::{Budget, Error, Result};
use super::value::{Dict, Value, View};

/// Python's `str`.
pub fn text(value: &Value, budget: &Budget) -> Result<String> {
    let mut out = String::new();
    print(value, false, &mut out, budget)?;
    Ok(out)
}

/// Python's `repr`.
pub fn repr(value: &Value, budget: &Budget) -> Result<String> {
    let mut out = String::new();
    print(value, true, &mut out, budget)?;
    Ok(out)
}

/// Writes `str`, or `repr` if texts are quoted.
pub fn print(value: &Value, quoted: bool, out: &mut String, budget: &Budget) -> Result<()> {
    budget.spend(1)?;
    match value {
        Value::Undefined(_) if quoted => out.push_str("Undefined"),
        Value::Undefined(_) => {}
        Value::None => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Float(value) => out.push_str(&float(*value)),
        Value::Text(text) | Value::Markup(text) if !quoted => {
            budget.spend_bytes(text.len())?;
            out.push_str(text);
        }
        Value::Text(text) => {
            budget.spend_bytes(text.len())?;
            quote(text, out);
        }
        Value::Markup(text) => {
            budget.spend_bytes(text.len())?;
            out.push_str("Markup(");
            quote(text, out);
            out.push(')');
        }
        Value::List(values) => several("[", values, "]", out, budget)?,
        Value::Tuple(values) => {
            let close = if values.len() == 1 { ",)" } else { ")" };
            several("(", values, close, out, budget)?;
        }
        Value::Group(pair) => several("(", pair.as_slice(), ")", out, budget)?,
        Value::Dict(dict) => entries(dict, out, budget)?,
        Value::View(view, dict) => {
            let name = match view {
                View::Keys => "dict_keys([",
                View::Values => "dict_values([",
                View::Items => "dict_items([",
            };
            several(name, &dict.view(*view, budget)?, "])", out, budget)?;
        }
        Value::Range(range) => {
            let step = match range.step {
                1 => String::new(),
                step => format!(", {step}"),
            };
            out.push_str(&format!("range({}, {}{step})", range.start, range.stop));
        }
        Value::Namespace(namespace) => {
            out.push_str("<Namespace ");
            entries(&namespace.borrow(), out, budget)?;
            out.push('>');
        }
        Value::Loop(state) => {
            out.push_str(&format!(
                "<LoopContext {}/{}>",
                state.at + 1,
                state.values.len()
            ));
        }
        Value::Iterator(_) | Value::Cycler(_) | Value::Callable(_) => {
            return Err(Error::new(format!(
                "a value of type {} has no text",
                value.kind()
            )));
        }
    }
    Ok(())
}

fn several(
    open: &str,
    values: &[Value],
    close: &str,
    out: &mut String,
    budget: &Budget,
) -> Result<()> {
    out.push_str(open);
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        budget.deeper(|| print(value, true, out, budget))?;
    }
    out.push_str(close);
    Ok(())
}

fn entries(dict: &Dict, out: &mut String, budget: &Budget) -> Result<()> {
    out.push('{');
    for (index, (key, value)) in dict.entries.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        budget.deeper(|| print(key, true, out, budget))?;
        out.push_str(": ");
        budget.deeper(|| print(value, true, out, budget))?;
    }
    out.push('}');
    Ok(())
}

/// A number as Python writes it: the shortest digits that give it back.
pub fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_string();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_string();
    }
    let spelled = format!("{value:e}");
    let (digits, exponent) = spelled.split_once('e').unwrap_or((&spelled, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
    let plain = format!("{value}");
    match plain.contains('.') {
        true => plain,
        false => plain + ".0",
    }
}

/// A text in quotes, with Python's escapes.
fn quote(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for character in text.chars() {
        let code = u32::from(character);
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if character == quote => {
                out.push('\\');
                out.push(quote);
            }
            _ if is_printable(character) => out.push(character),
            _ if code < 0x100 => out.push_str(&format!("\\x{code:02x}")),
            _ if code < 0x1_0000 => out.push_str(&format!("\\u{code:04x}")),
            _ => out.push_str(&format!("\\U{code:08x}")),
        }
    }
    out.push(quote);
}

/// Whether Python's `repr` shows the character itself: it is neither a control or format character nor, except for the
/// blank, a separator, nor of private use.
pub fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_control();
    }
    let hidden = matches!(character,
        '\u{80}'..='\u{A0}' | '\u{AD}' | '\u{600}'..='\u{605}' | '\u{61C}' | '\u{6DD}' | '\u{70F}' | '\u{890}' | '\u{891}'
        | '\u{8E2}' | '\u{1680}' | '\u{180E}' | '\u{2000}'..='\u{200F}' | '\u{2028}'..='\u{202F}' | '\u{205F}'..='\u{206F}'
        | '\u{3000}' | '\u{E000}'..='\u{F8FF}' | '\u{FEFF}' | '\u{FFF0}'..='\u{FFFB}' | '\u{FFFE}' | '\u{FFFF}'
        | '\u{110BD}' | '\u{110CD}' | '\u{13430}'..='\u{1343F}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E00FF}' | '\u{E01F0}'..='\u{10FFFF}');
    !hidden
}
