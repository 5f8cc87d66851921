//! The text of a value: Python's `str` and `repr`.

use minijinja::value::Value;
use minijinja::{AutoEscape, Error, Output, State};

use super::objects::View;
use super::values::{Kind, kind, number, pay, wrong};

/// Prints a value as Python does.
pub fn format(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    let mut text = String::new();
    print(value, false, &mut text, state)?;
    if !value.is_safe() && !matches!(state.auto_escape(), AutoEscape::None) {
        text = escaped(&text);
    }
    out.write_str(&text).map_err(Error::from)
}

/// Text with HTML's characters escaped.
pub fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let text = text.replace('>', "&gt;").replace('\'', "&#39;");
    text.replace('"', "&#34;")
}

/// Python's `str`.
pub fn text(value: &Value, state: &State) -> Result<String, Error> {
    let mut out = String::new();
    print(value, false, &mut out, state)?;
    Ok(out)
}

/// Writes the value as `str`, or as `repr` if texts are to be `quoted`.
pub fn print(value: &Value, quoted: bool, out: &mut String, state: &State) -> Result<(), Error> {
    state.consume_fuel(1)?;
    match kind(value) {
        Kind::Undefined if quoted => out.push_str("Undefined"),
        Kind::Float => out.push_str(&float(number(value).unwrap_or(f64::NAN))),
        Kind::Text => {
            let text = value.as_str().unwrap_or("");
            pay(state, text.len())?;
            match (quoted, value.is_safe()) {
                (false, _) => out.push_str(text),
                (true, false) => quote(text, out),
                (true, true) => {
                    out.push_str("Markup(");
                    quote(text, out);
                    out.push(')');
                }
            }
        }
        Kind::List => several("[", value, "]", out, state)?,
        Kind::Tuple if value.len() == Some(1) => several("(", value, ",)", out, state)?,
        Kind::Tuple => several("(", value, ")", out, state)?,
        Kind::View => match value.downcast_object_ref::<View>() {
            Some(view) if view.is_sized() => {
                several(&format!("{}([", view.name), value, "])", out, state)?;
            }
            _ => return Err(wrong("an iterator has no text")),
        },
        Kind::Dict => entries(value, out, state)?,
        Kind::Namespace => {
            out.push_str("<Namespace ");
            entries(value, out, state)?;
            out.push('>');
        }
        Kind::Bytes => bytes(value.as_bytes().unwrap_or(&[]), out, state)?,
        Kind::Other => return Err(wrong("a function has no text")),
        _ => out.push_str(&value.to_string()),
    }
    Ok(())
}

fn several(
    open: &str,
    value: &Value,
    close: &str,
    out: &mut String,
    state: &State,
) -> Result<(), Error> {
    out.push_str(open);
    for (index, value) in value.try_iter()?.checked().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        print(&value?, true, out, state)?;
    }
    out.push_str(close);
    Ok(())
}

fn entries(value: &Value, out: &mut String, state: &State) -> Result<(), Error> {
    out.push('{');
    for (index, key) in value.try_iter()?.checked().enumerate() {
        let key = key?;
        if index > 0 {
            out.push_str(", ");
        }
        print(&key, true, out, state)?;
        out.push_str(": ");
        print(&value.get_item(&key)?, true, out, state)?;
    }
    out.push('}');
    Ok(())
}

/// A number as Python writes it: with the fewest digits that are read back as the same number.
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

/// Bytes in quotes, with Python's escapes.
fn bytes(bytes: &[u8], out: &mut String, state: &State) -> Result<(), Error> {
    pay(state, bytes.len())?;
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') {
        '"'
    } else {
        '\''
    };
    out.push('b');
    out.push(quote);
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ if char::from(*byte) == quote => out.extend(['\\', quote]),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push(quote);
    Ok(())
}

/// Whether Python's `repr` shows the character itself: it must not be a control or format character, a separator (except
/// for the blank), or a private-use character.
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
