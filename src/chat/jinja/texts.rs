//! Filters of texts and numbers.

use minijinja::value::Value;
use minijinja::{Error, State, filters};

use super::arguments::{Args, flag, int as whole, text as plain};
use super::fields::of_percent;
use super::methods::{padded, replaced};
use super::percent::check_fields;
use super::print::{escaped, text};
use super::spaces::{is_space, lines};
use super::values::{self, Kind, kind, number, pay, unlike, whole as integer, wrong};

pub fn string(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    arguments.none()?;
    match value.is_safe() {
        true => Ok(value.clone()),
        false => text(value, state).map(Value::from),
    }
}

pub fn safe(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    arguments.none()?;
    text(value, state).map(Value::from_safe_string)
}

pub fn escape(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    match value.is_safe() {
        true => string(value, arguments, state),
        false => forceescape(value, arguments, state),
    }
}

pub fn forceescape(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    arguments.none()?;
    Ok(Value::from_safe_string(escaped(&text(value, state)?)))
}

pub fn replace(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    let [old, new, count] = arguments.bind(["old", "new", "count"], 2)?;
    let count = count.filter(|count| !count.is_none());
    let count = whole(count.as_ref(), -1)?;
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    let (old, new) = (text(&old, state)?, text(&new, state)?);
    replaced(&text(value, state)?, &old, &new, count, state).map(Value::from)
}

pub fn center(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    let [width] = arguments.bind(["width"], 0)?;
    let width = whole(width.as_ref(), 80)?;
    padded(&text(value, state)?, "center", width, None, state).map(Value::from)
}

pub fn wordcount(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    arguments.none()?;
    let text = text(value, state)?;
    let words = text.split(|c: char| c != '_' && !c.is_alphanumeric());
    Ok(Value::from(words.filter(|word| !word.is_empty()).count()))
}

pub fn striptags(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    arguments.none()?;
    let text = minijinja_contrib::filters::striptags(text(value, state)?);
    Ok(Value::from(text.trim_end()))
}

pub fn truncate(value: &Value, arguments: &Args, _: &mut State) -> Result<Value, Error> {
    let names = ["length", "killwords", "end", "leeway"];
    let [length, kill, end, leeway] = arguments.bind(names, 0)?;
    let (length, leeway) = (whole(length.as_ref(), 255)?, whole(leeway.as_ref(), 5)?);
    let end = end.unwrap_or_else(|| Value::from("..."));
    let end = plain(&end)?;
    let kept = usize::try_from(length - end.chars().count() as i128);
    let kept = kept.map_err(|_| wrong("the length is too small"))?;
    match values::length(value) {
        Some(own) if own as i128 <= length + leeway => return Ok(value.clone()),
        _ => {}
    }
    let kept: String = plain(value)?.chars().take(kept).collect();
    let words = kept.rsplit_once(' ').filter(|_| !flag(kill.as_ref()));
    Ok(Value::from(
        words
            .map_or(kept.as_str(), |(before, _)| before)
            .to_string()
            + end,
    ))
}

pub fn indent(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    let [width, first, blank] = arguments.bind(["width", "first", "blank"], 0)?;
    let indent = match width.as_ref().and_then(Value::as_str) {
        Some(text) => text.to_string(),
        None => {
            let width = usize::try_from(whole(width.as_ref(), 4)?.max(0)).unwrap_or(usize::MAX);
            pay(state, width)?;
            " ".repeat(width)
        }
    };
    let text = plain(value)?.to_string() + "\n";
    let mut out = String::new();
    for (index, line) in lines(&text, false).into_iter().enumerate() {
        pay(state, line.len() + indent.len())?;
        let is_indented = match index {
            0 => flag(first.as_ref()),
            _ => flag(blank.as_ref()) || !line.is_empty(),
        };
        if index > 0 {
            out.push('\n');
        }
        if is_indented {
            out.push_str(&indent);
        }
        out.push_str(line);
    }
    Ok(Value::from(out))
}

/// Puts values into a text with `%` fields. The only thing that the engine does not check is that there are no more values
/// than fields.
pub fn format(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    let mut format = text(value, state)?;
    check_fields(&format, arguments.positional.len())?;
    let mut arguments = arguments.clone();
    if arguments.named.is_empty() {
        format = of_percent(&format, &mut arguments.positional, state)?;
    }
    let engines = Value::from_function(filters::format);
    engines.call(state, &arguments.with(Value::from(format)))
}

/// A number without its sign.
pub fn abs(value: &Value, arguments: &Args, _: &mut State) -> Result<Value, Error> {
    arguments.none()?;
    match (integer(value), number(value)) {
        (Some(own), _) => match own.checked_abs() {
            Some(own) => Ok(values::integer(own)),
            None => Err(wrong("the number is too large")),
        },
        (_, Some(own)) => Ok(Value::from(own.abs())),
        _ => Err(unlike("a number", value)),
    }
}

/// A number rounded to a number of digits after the point: to the nearest, half to even, or otherwise up or down.
pub fn round(value: &Value, arguments: &Args, _: &mut State) -> Result<Value, Error> {
    let [precision, method] = arguments.bind(["precision", "method"], 0)?;
    let precision = whole(precision.as_ref(), 0)?.clamp(-400, 400);
    let own = number(value).ok_or_else(|| unlike("a number", value))?;
    // A power of ten, as exact as a literal.
    let factor: f64 = format!("1e{}", precision.abs())
        .parse()
        .unwrap_or(f64::INFINITY);
    let scaled = |by: fn(f64) -> f64| match precision < 0 {
        true => (by(own / factor) + 0.0) * factor,
        false => (by(own * factor) + 0.0) / factor,
    };
    let rounded = match method.as_ref().map(plain).transpose()? {
        Some("ceil") => scaled(f64::ceil),
        Some("floor") => scaled(f64::floor),
        None | Some("common") => match usize::try_from(precision) {
            Ok(_) if integer(value).is_some() => return Ok(Value::from(integer(value))),
            Ok(digits) => format!("{own:.digits$}").parse().unwrap_or(own),
            Err(_) => scaled(f64::round_ties_even),
        },
        Some(_) => {
            return Err(wrong(
                "the method must be \"common\", \"ceil\" or \"floor\"",
            ));
        }
    };
    match integer(value).is_some() && method.is_none_or(|method| method.as_str() == Some("common"))
    {
        true => Ok(Value::from(rounded as i128)),
        false => Ok(Value::from(rounded)),
    }
}

/// A whole number, possibly read from a text.
pub fn int(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    let [default, base] = arguments.bind(["default", "base"], 0)?;
    let default = default.unwrap_or_else(|| Value::from(0));
    let base = whole(base.as_ref(), 10)?;
    let named = vec![("base".to_string(), Value::from(base))];
    parsed(
        value,
        Value::from_function(filters::int),
        named,
        default,
        state,
    )
}

/// A float, possibly read from a text.
pub fn float(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    let [default] = arguments.bind(["default"], 0)?;
    let default = default.unwrap_or_else(|| Value::from(0.0));
    parsed(
        value,
        Value::from_function(filters::float),
        Vec::new(),
        default,
        state,
    )
}

/// The number that the engine's own filter makes from a value, or otherwise the default.
fn parsed(
    value: &Value,
    engines: Value,
    named: Vec<(String, Value)>,
    default: Value,
    state: &mut State,
) -> Result<Value, Error> {
    let value = match (kind(value), value.as_str()) {
        // An undefined value is an error; it does not become the default.
        (Kind::Undefined, _) => return Err(unlike("a number", value)),
        (Kind::None, _) => return Ok(default),
        (_, Some(text)) => Value::from(text.trim_matches(is_space)),
        _ => value.clone(),
    };
    let arguments = Args {
        named,
        ..Args::default()
    };
    Ok(engines
        .call(state, &arguments.with(value))
        .unwrap_or(default))
}
