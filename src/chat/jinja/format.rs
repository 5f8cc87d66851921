//! Python's two ways to put values into a text: `'%s' % value` and `'{}'.format(value)`.

use super::arguments::Args;
use super::fault::{Budget, Error, Result};
use super::print::{float, repr, text};
use super::value::Value;

/// The widest field, in characters.
const WIDEST: usize = 1 << 16;

/// How a value is written.
#[derive(Clone, Debug, Default)]
struct Field {
    fill: Option<char>,
    /// `<`, `>`, `^` or `=`.
    align: Option<char>,
    /// `+` or a blank, before numbers that are not negative.
    sign: Option<char>,
    alternate: bool,
    grouping: Option<char>,
    width: usize,
    precision: Option<usize>,
    kind: Option<char>,
}

/// `format % value`.
pub fn percent(format: &str, value: &Value, budget: &Budget) -> Result<String> {
    let mut out = String::new();
    let mut rest = format.chars().peekable();
    let values: Vec<Value> = match value {
        Value::Tuple(values) => values.to_vec(),
        other => vec![other.clone()],
    };
    let mut values = values.into_iter();
    while let Some(character) = rest.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let named = match rest.next_if_eq(&'(') {
            Some(_) => Some(entry(&mut rest, value)?),
            None => None,
        };
        let mut field = Field::default();
        while let Some(flag) = rest.next_if(|c| "-+ #0".contains(*c)) {
            match flag {
                '-' => field.align = Some('<'),
                '+' => field.sign = Some('+'),
                ' ' => field.sign = field.sign.or(Some(' ')),
                '#' => field.alternate = true,
                _ => field.fill = Some('0'),
            }
        }
        let mut number = |rest: &mut std::iter::Peekable<std::str::Chars>| -> Result<Option<i128>> {
            if rest.next_if_eq(&'*').is_some() {
                let width = values.next().and_then(|value| value.as_int());
                return width
                    .map(Some)
                    .ok_or_else(|| Error::new("`*` needs a whole number"));
            }
            let mut number = None;
            while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                let digit = i128::from(digit.to_digit(10).unwrap_or(0));
                number = Some((number.unwrap_or(0i128) * 10 + digit).min(1 << 40));
            }
            Ok(number)
        };
        let width = number(&mut rest)?.unwrap_or(0);
        if width < 0 {
            field.align = Some('<');
        }
        field.width = bounded(width.unsigned_abs())?;
        if rest.next_if_eq(&'.').is_some() {
            let precision = number(&mut rest)?.unwrap_or(0).max(0);
            field.precision = Some(bounded(precision.unsigned_abs())?);
        }
        while rest.next_if(|c| "hlL".contains(*c)).is_some() {}
        let Some(kind) = rest.next() else {
            return Err(Error::new("the format ends within a field"));
        };
        if kind == '%' {
            out.push('%');
            continue;
        }
        let Some(item) = named.or_else(|| values.next()) else {
            return Err(Error::new(
                "the format has more fields than there are values",
            ));
        };
        percent_field(&mut out, kind, field, &item, budget)?;
        budget.spend_bytes(out.len())?;
    }
    // A list or map may stand for the values of no field at all.
    let may_stay = matches!(
        value,
        Value::Dict(_) | Value::List(_) | Value::Range(_) | Value::Undefined(_)
    );
    if values.next().is_some() && !may_stay {
        return Err(Error::new(
            "the format has fewer fields than there are values",
        ));
    }
    Ok(out)
}

/// The entry of a map that a field names: `name)`.
fn entry(rest: &mut std::iter::Peekable<std::str::Chars>, value: &Value) -> Result<Value> {
    let Value::Dict(dict) = value else {
        return Err(Error::new("a field with a name needs a map"));
    };
    let mut name = String::new();
    loop {
        match rest.next() {
            None => return Err(Error::new("the format has a `(` without a `)`")),
            Some(')') => break,
            Some(character) => name.push(character),
        }
    }
    let found = dict.get_text(&name).cloned();
    found.ok_or_else(|| Error::new(format!("the map has no entry {name:?}")))
}

fn bounded(number: u128) -> Result<usize> {
    match usize::try_from(number) {
        Ok(number) if number <= WIDEST => Ok(number),
        _ => Err(Error::new(format!("a field may have {WIDEST} characters"))),
    }
}

fn percent_field(
    out: &mut String,
    kind: char,
    mut field: Field,
    item: &Value,
    budget: &Budget,
) -> Result<()> {
    let spelled = match kind {
        's' => text(item, budget)?,
        'r' => repr(item, budget)?,
        'c' => match item {
            Value::Text(text) if text.chars().count() == 1 => text.to_string(),
            other => match other
                .as_int()
                .and_then(|code| u32::try_from(code).ok())
                .and_then(char::from_u32)
            {
                Some(character) => character.to_string(),
                None => return Err(Error::new("%c needs a character")),
            },
        },
        'd' | 'i' | 'u' | 'x' | 'X' | 'o' => {
            let whole = match item {
                Value::Float(value) if "diu".contains(kind) && value.is_finite() => {
                    Some(value.trunc() as i128)
                }
                other => other.as_int(),
            };
            let Some(whole) = whole else {
                item.defined()?;
                return Err(Error::new(format!(
                    "%{kind} needs a whole number, found a value of type {}",
                    item.kind()
                )));
            };
            field.kind = Some(if "diu".contains(kind) { 'd' } else { kind });
            place_number(&mut field);
            let digits = field.precision.take().unwrap_or(0);
            let number = integer(whole, &field, digits);
            return push_number(out, &number, &field);
        }
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
            let Some(number) = item.as_float() else {
                item.defined()?;
                return Err(Error::new(format!(
                    "%{kind} needs a number, found a value of type {}",
                    item.kind()
                )));
            };
            field.kind = Some(kind);
            place_number(&mut field);
            return push_number(out, &fraction(number, &field), &field);
        }
        other => return Err(Error::new(format!("the format has no field %{other}"))),
    };
    let spelled: String = spelled
        .chars()
        .take(field.precision.unwrap_or(usize::MAX))
        .collect();
    field.fill = None;
    field.align = field.align.or(Some('>'));
    push_aligned(out, &spelled, &field);
    Ok(())
}

/// Zeros stand between the sign and the digits, and only where a number is not put to the left.
fn place_number(field: &mut Field) {
    let zeros = field.fill == Some('0') && field.align.is_none();
    if !zeros {
        field.fill = None;
    }
    let align = if zeros { '=' } else { '>' };
    field.align = field.align.or(Some(align));
}

/// A number's sign or prefix, and its digits.
struct Spelled {
    sign: String,
    digits: String,
}

fn integer(value: i128, field: &Field, least: usize) -> Spelled {
    let magnitude = value.unsigned_abs();
    let (prefix, digits) = match field.kind {
        Some('x') => ("0x", format!("{magnitude:x}")),
        Some('X') => ("0X", format!("{magnitude:X}")),
        Some('o') => ("0o", format!("{magnitude:o}")),
        Some('b') => ("0b", format!("{magnitude:b}")),
        _ => ("", magnitude.to_string()),
    };
    let digits = format!("{digits:0>least$}");
    let sign = sign(value < 0, field);
    let prefix = if field.alternate { prefix } else { "" };
    Spelled {
        sign: sign + prefix,
        digits: grouped(&digits, field.grouping),
    }
}

fn sign(negative: bool, field: &Field) -> String {
    match field.sign {
        _ if negative => "-".to_string(),
        Some(sign) if sign != '-' => sign.to_string(),
        _ => String::new(),
    }
}

/// Digits with a mark after every three.
fn grouped(digits: &str, mark: Option<char>) -> String {
    let Some(mark) = mark else {
        return digits.to_string();
    };
    let whole = digits.find(['.', 'e', '%']).unwrap_or(digits.len());
    let (whole, rest) = digits.split_at(whole);
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(mark);
        }
        out.push(digit);
    }
    out + rest
}

fn fraction(value: f64, field: &Field) -> Spelled {
    let magnitude = value.abs();
    let kind = field.kind.unwrap_or('g');
    let precision = field.precision.unwrap_or(6);
    let spelled = if magnitude.is_nan() || magnitude.is_infinite() {
        float(magnitude)
    } else {
        match kind.to_ascii_lowercase() {
            'f' => format!("{magnitude:.precision$}"),
            '%' => format!("{:.precision$}%", magnitude * 100.0),
            'e' => exponential(magnitude, precision),
            _ => general(magnitude, precision.max(1), field.alternate),
        }
    };
    let spelled = if kind.is_ascii_uppercase() {
        spelled.to_uppercase()
    } else {
        spelled
    };
    Spelled {
        sign: sign(value.is_sign_negative() && !value.is_nan(), field),
        digits: grouped(&spelled, field.grouping),
    }
}

fn exponential(value: f64, precision: usize) -> String {
    let spelled = format!("{value:.precision$e}");
    let (digits, exponent) = spelled.split_once('e').unwrap_or((&spelled, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

fn general(value: f64, precision: usize, keeps_zeros: bool) -> String {
    let spelled = exponential(value, precision - 1);
    let (digits, exponent) = spelled.split_once('e').unwrap_or((&spelled, "0"));
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let trimmed = |digits: &str| match digits.contains('.') && !keeps_zeros {
        true => digits
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_string(),
        false => digits.to_string(),
    };
    if exponent < -4 || exponent >= precision as i64 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(digits), exponent.unsigned_abs());
    }
    let places = usize::try_from(precision as i64 - 1 - exponent).unwrap_or(0);
    trimmed(&format!("{value:.places$}"))
}

fn push_number(out: &mut String, number: &Spelled, field: &Field) -> Result<()> {
    let Spelled { sign, digits } = number;
    if field.align != Some('=') {
        push_aligned(out, &format!("{sign}{digits}"), field);
        return Ok(());
    }
    if field.grouping.is_some() && field.width > 0 {
        return Err(Error::new(
            "groups of digits that fill a width are not known here",
        ));
    }
    let missing = field
        .width
        .saturating_sub(sign.len() + digits.chars().count());
    let fill = field.fill.unwrap_or(' ').to_string();
    out.push_str(&format!("{sign}{}{digits}", fill.repeat(missing)));
    Ok(())
}

fn push_aligned(out: &mut String, text: &str, field: &Field) {
    let missing = field.width.saturating_sub(text.chars().count());
    let before = match field.align {
        Some('>' | '=') => missing,
        Some('^') => missing / 2,
        _ => 0,
    };
    let fill = field.fill.unwrap_or(' ').to_string();
    out.push_str(&fill.repeat(before));
    out.push_str(text);
    out.push_str(&fill.repeat(missing - before));
}

/// `format.format(…)`.
pub fn braces(format: &str, arguments: &Args, budget: &Budget) -> Result<String> {
    let mut out = String::new();
    let (mut next, mut numbered) = (0, false);
    let mut rest = format;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(rest.get(..at).unwrap_or(""));
        let (brace, tail) = rest.get(at..).unwrap_or("").split_at(1);
        if let Some(tail) = tail.strip_prefix(brace) {
            out.push_str(brace);
            rest = tail;
            continue;
        }
        let end = tail.find('}').filter(|_| brace == "{");
        let Some(end) = end else {
            return Err(Error::new(format!("the format has a single `{brace}`")));
        };
        let inner = tail.get(..end).unwrap_or("");
        if inner.contains('{') {
            return Err(Error::new("fields inside of fields are not known here"));
        }
        rest = tail.get(end + 1..).unwrap_or("");
        let (name, spec) = inner.split_once(':').unwrap_or((inner, ""));
        let (name, conversion) = name.split_once('!').unwrap_or((name, ""));
        let value = argument(name, arguments, &mut next, &mut numbered)?;
        let value = match conversion {
            "" => value,
            "s" => Value::text(text(&value, budget)?),
            "r" => Value::text(repr(&value, budget)?),
            other => return Err(Error::new(format!("the format has no conversion !{other}"))),
        };
        brace_field(&mut out, &value, spec, budget)?;
        budget.spend_bytes(out.len())?;
    }
    out.push_str(rest);
    Ok(out)
}

/// The value that a field names: `0`, `name`, or the next one.
fn argument(name: &str, arguments: &Args, next: &mut usize, numbered: &mut bool) -> Result<Value> {
    if name.contains(['.', '[']) {
        return Err(Error::new("parts of values in a format are not known here"));
    }
    let index: Option<usize> = match name {
        "" => {
            *next += 1;
            Some(*next - 1)
        }
        name => name.parse().ok(),
    };
    if index.is_some() && !name.is_empty() {
        *numbered = true;
    }
    if *numbered && *next > 0 {
        return Err(Error::new(
            "a format has fields with numbers or without, not both",
        ));
    }
    let value = match index {
        Some(index) => arguments.positional.get(index),
        None => arguments
            .named
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value),
    };
    let value = value.cloned();
    value.ok_or_else(|| {
        Error::new(format!(
            "the format names a value {name:?} that is not given"
        ))
    })
}

fn brace_field(out: &mut String, value: &Value, spec: &str, budget: &Budget) -> Result<()> {
    if spec.is_empty() {
        out.push_str(&text(value, budget)?);
        return Ok(());
    }
    let mut field = spec_of(spec)?;
    let wrong = || {
        Error::new(format!(
            "a value of type {} has no format {spec:?}",
            value.kind()
        ))
    };
    match value {
        Value::Text(text) if matches!(field.kind, None | Some('s')) => {
            if field.sign.is_some()
                || field.grouping.is_some()
                || field.align == Some('=')
                || field.alternate
            {
                return Err(wrong());
            }
            let cut: String = text
                .chars()
                .take(field.precision.unwrap_or(usize::MAX))
                .collect();
            push_aligned(out, &cut, &field);
            Ok(())
        }
        Value::Int(_) | Value::Bool(_) | Value::Float(_) => {
            field.align = field.align.or(Some('>'));
            let number = match (value.as_int(), field.kind) {
                (Some(whole), None | Some('d' | 'x' | 'X' | 'o' | 'b')) => {
                    if field.precision.is_some() {
                        return Err(wrong());
                    }
                    integer(whole, &field, 0)
                }
                (_, Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%')) => {
                    fraction(value.as_float().unwrap_or(0.0), &field)
                }
                (None, None) if field.precision.is_none() => {
                    let number = value.as_float().unwrap_or(0.0);
                    Spelled {
                        sign: sign(number.is_sign_negative(), &field),
                        digits: grouped(&float(number.abs()), field.grouping),
                    }
                }
                _ => return Err(wrong()),
            };
            push_number(out, &number, &field)
        }
        _ => Err(wrong()),
    }
}

/// `[[fill]align][sign][#][0][width][,][.precision][type]`.
fn spec_of(spec: &str) -> Result<Field> {
    let mut field = Field::default();
    let mut rest: &[char] = &spec.chars().collect::<Vec<_>>();
    let is_align = |c: &char| "<>^=".contains(*c);
    match rest {
        [fill, align, tail @ ..] if is_align(align) => {
            (field.fill, field.align, rest) = (Some(*fill), Some(*align), tail);
        }
        [align, tail @ ..] if is_align(align) => (field.align, rest) = (Some(*align), tail),
        _ => {}
    }
    let mut take = |wanted: fn(char) -> bool| -> Option<char> {
        let (first, tail) = rest.split_first()?;
        wanted(*first).then(|| {
            rest = tail;
            *first
        })
    };
    field.sign = take(|c| "+- ".contains(c));
    field.alternate = take(|c| c == '#').is_some();
    if take(|c| c == '0').is_some() {
        field.fill = field.fill.or(Some('0'));
        field.align = field.align.or(Some('='));
    }
    let number = |take: &mut dyn FnMut(fn(char) -> bool) -> Option<char>| {
        let mut number: Option<u128> = None;
        while let Some(digit) = take(|c| c.is_ascii_digit()) {
            let digit = u128::from(digit.to_digit(10).unwrap_or(0));
            number = Some((number.unwrap_or(0) * 10 + digit).min(1 << 40));
        }
        number
    };
    field.width = bounded(number(&mut take).unwrap_or(0))?;
    field.grouping = take(|c| c == ',' || c == '_');
    if take(|c| c == '.').is_some() {
        let precision =
            number(&mut take).ok_or_else(|| Error::new("a format's precision is missing"))?;
        field.precision = Some(bounded(precision)?);
    }
    field.kind = take(|_| true);
    match rest.is_empty() {
        true => Ok(field),
        false => Err(Error::new(format!("{spec:?} is not a format"))),
    }
}
