//! Filters of numbers.

use crate::chat::jinja::arguments::{Args, int as whole, text, wrong};
use crate::chat::jinja::fault::{Budget, Error, Result};
use crate::chat::jinja::operators::{binary, rounded, signed};
use crate::chat::jinja::value::Value;

pub fn abs(value: &Value, arguments: &Args, _: &Budget) -> Result<Value> {
    arguments.none()?;
    match value {
        Value::Float(value) => Ok(Value::Float(value.abs())),
        other => match other.as_int() {
            Some(number) if number < 0 => signed("-", other),
            Some(number) => Ok(Value::Int(number)),
            None => Err(wrong("a number", other)),
        },
    }
}

pub fn round(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    let [precision, method] = arguments.bind(["precision", "method"], 0)?;
    let precision = whole(precision.as_ref(), 0)?;
    let method = method.unwrap_or_else(|| Value::text("common"));
    let factor = binary("**", &Value::Int(10), &Value::Int(precision), budget)?;
    let nearest = match text(&method)? {
        "common" => return rounded(value.defined()?, precision),
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        _ => {
            return Err(Error::new(
                "the method is \"common\", \"ceil\" or \"floor\"",
            ));
        }
    };
    let scaled = match binary("*", value, &factor, budget)? {
        Value::Float(scaled) if scaled.is_finite() => Value::Int(nearest(scaled) as i128),
        other => Value::Int(other.as_int().ok_or_else(|| wrong("a number", value))?),
    };
    binary("/", &scaled, &factor, budget)
}

/// A text as Python's `int` reads it.
fn parsed(text: &str, base: i128) -> Option<i128> {
    let text = text.trim_matches(crate::chat::jinja::spaces::is_space);
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let prefixed = [("0x", 16), ("0o", 8), ("0b", 2)]
        .into_iter()
        .find_map(|(prefix, radix)| Some((lower.strip_prefix(prefix)?.to_string(), radix)));
    let (digits, radix) = match prefixed {
        Some((digits, radix)) if base == 0 || base == radix => (digits, radix),
        _ if base == 0
            && lower.len() > 1
            && lower.starts_with('0')
            && lower.bytes().any(|b| b != b'0' && b != b'_') =>
        {
            return None;
        }
        _ => (lower, if base == 0 { 10 } else { base }),
    };
    let radix = u32::try_from(radix)
        .ok()
        .filter(|radix| (2..=36).contains(radix))?;
    let is_spelled = !digits.is_empty()
        && !digits.starts_with('_')
        && !digits.ends_with('_')
        && !digits.contains("__");
    let value = i128::from_str_radix(&digits.replace('_', ""), radix).ok();
    let value = value.filter(|_| is_spelled && !digits.starts_with(['+', '-']))?;
    Some(if negative { -value } else { value })
}

/// A text as Python's `float` reads it.
fn fraction(text: &str) -> Option<f64> {
    let text = text.trim_matches(crate::chat::jinja::spaces::is_space);
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    let name = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
    match is_number || ["nan", "inf", "infinity"].contains(&name.as_str()) {
        true => text.replace('_', "").parse().ok(),
        false => None,
    }
}

pub fn int(value: &Value, arguments: &Args, _: &Budget) -> Result<Value> {
    let [default, base] = arguments.bind(["default", "base"], 0)?;
    let base = whole(base.as_ref(), 10)?;
    let truncated = |number: f64| match number.is_finite() && number.abs() < 1e38 {
        true => Some(number.trunc() as i128),
        false => None,
    };
    let number = match value {
        Value::Text(text) | Value::Markup(text) => {
            parsed(text, base).or_else(|| fraction(text).and_then(truncated))
        }
        Value::Float(number) => truncated(*number),
        // What has no value has no number either, not even the default.
        Value::Undefined(_) => return value.defined().cloned(),
        other => other.as_int(),
    };
    Ok(number.map_or_else(|| default.unwrap_or(Value::Int(0)), Value::Int))
}

pub fn float(value: &Value, arguments: &Args, _: &Budget) -> Result<Value> {
    let [default] = arguments.bind(["default"], 0)?;
    let number = match value {
        Value::Text(text) | Value::Markup(text) => fraction(text),
        Value::Undefined(_) => return value.defined().cloned(),
        other => other.as_float(),
    };
    Ok(number.map_or_else(|| default.unwrap_or(Value::Float(0.0)), Value::Float))
}

pub fn filesizeformat(value: &Value, arguments: &Args, budget: &Budget) -> Result<Value> {
    let [binary] = arguments.bind(["binary"], 0)?;
    let binary = super::shared::flag(binary);
    let base: f64 = if binary { 1024.0 } else { 1000.0 };
    let bytes = match value {
        Value::Text(text) => fraction(text),
        other => other.as_float(),
    };
    let bytes = bytes.ok_or_else(|| wrong("a number of bytes", value))?;
    budget.spend(1)?;
    if bytes == 1.0 {
        return Ok(Value::text("1 Byte"));
    }
    if bytes < base {
        return Ok(Value::text(format!("{} Bytes", bytes.trunc() as i128)));
    }
    let mut unit = base;
    let mut found = String::new();
    for prefix in "kMGTPEZY".chars() {
        unit *= base;
        let prefix = match (prefix, binary) {
            ('k', true) => "Ki".to_string(),
            (prefix, true) => format!("{prefix}i"),
            (prefix, false) => prefix.to_string(),
        };
        found = format!("{:.1} {prefix}B", base * bytes / unit);
        if bytes < unit {
            break;
        }
    }
    Ok(Value::text(found))
}
