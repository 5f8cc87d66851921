//! The methods of values that pycompat lacks, or that it has with fewer arguments.

use minijinja::value::{Tuple, Value};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat;

use super::arguments::{Args, int, text};
use super::characters::{encode, translate};
use super::fields::of_braces;
use super::objects::View;
use super::print::is_printable;
use super::spaces::{is_space, lines};
use super::spec::WIDEST;
use super::values::{Kind, entries, kind, pay, unlike, values, wrong};

/// Calls a method.
pub fn call(
    state: &mut State,
    value: &Value,
    name: &str,
    values: &[Value],
) -> Result<Value, Error> {
    let arguments = Args::new(values)?;
    if let (Some(own), "format") = (value.as_str(), name) {
        return formatted(own, &arguments, values, state);
    }
    let found = match (kind(value), value.as_str()) {
        (_, Some(own)) => of_text(own, name, &arguments, state)?,
        (Kind::Dict, _) => of_map(value, name, &arguments, state)?,
        (Kind::List | Kind::Tuple | Kind::Range, _) => of_list(value, name, &arguments, state)?,
        _ => return Err(Error::from(ErrorKind::UnknownMethod)),
    };
    match found {
        Some(found) => Ok(found),
        None => pycompat::unknown_method_callback(state, value, name, values),
    }
}

/// A text with values in its fields.
fn formatted(
    own: &str,
    arguments: &Args,
    values: &[Value],
    state: &mut State,
) -> Result<Value, Error> {
    let prepared = of_braces(own, arguments, state)?;
    let (format, values) = match &prepared {
        Some((format, values)) => (format.as_str(), values.as_slice()),
        None => (own, values),
    };
    let mut numbers = format.split(|c: char| !c.is_ascii_digit());
    if numbers.any(|digits| digits.len() > WIDEST) {
        return Err(wrong("a field of a format is too wide"));
    }
    pycompat::unknown_method_callback(state, &Value::from(format), "format", values)
}

fn of_map(
    value: &Value,
    name: &str,
    arguments: &Args,
    state: &State,
) -> Result<Option<Value>, Error> {
    let (name, place) = match name {
        "keys" => ("dict_keys", Some(0)),
        "values" => ("dict_values", Some(1)),
        "items" => ("dict_items", None),
        "copy" => {
            arguments.none()?;
            return Ok(Some(value.clone()));
        }
        _ => return Ok(None),
    };
    arguments.none()?;
    let mut values = entries(value, state)?;
    if let Some(place) = place {
        let part = |entry: Value| entry.get_item_by_index(place);
        values = values.into_iter().map(part).collect::<Result<_, Error>>()?;
    }
    Ok(Some(Value::from_object(View { name, values })))
}

fn of_list(
    value: &Value,
    name: &str,
    arguments: &Args,
    state: &State,
) -> Result<Option<Value>, Error> {
    match (name, kind(value)) {
        ("copy", Kind::List) => {
            arguments.none()?;
            Ok(Some(value.clone()))
        }
        ("count", _) => {
            let wanted = arguments.one()?;
            let same = values(value, state)?
                .iter()
                .filter(|value| **value == wanted)
                .count();
            Ok(Some(Value::from(same)))
        }
        ("index", _) => {
            let wanted = arguments.one()?;
            let place = values(value, state)?
                .iter()
                .position(|value| *value == wanted);
            let place = place.ok_or_else(|| wrong("the value is not in the list"))?;
            Ok(Some(Value::from(place)))
        }
        _ => Ok(None),
    }
}

fn of_text(own: &str, name: &str, arguments: &Args, state: &State) -> Result<Option<Value>, Error> {
    pay(state, own.len())?;
    let made: String = match name {
        "casefold" | "swapcase" | "title" => {
            arguments.none()?;
            match name {
                "casefold" => own.to_lowercase().replace('ß', "ss"),
                "swapcase" => swapped(own),
                _ => titled(own),
            }
        }
        "replace" => {
            let [old, new, count] = arguments.bind(["old", "new", "count"], 2)?;
            let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
            replaced(
                own,
                text(&old)?,
                text(&new)?,
                int(count.as_ref(), -1)?,
                state,
            )?
        }
        "removeprefix" => {
            let prefix = arguments.one()?;
            own.strip_prefix(text(&prefix)?).unwrap_or(own).to_string()
        }
        "removesuffix" => {
            let suffix = arguments.one()?;
            own.strip_suffix(text(&suffix)?).unwrap_or(own).to_string()
        }
        "center" | "ljust" | "rjust" => {
            let [width, fill] = arguments.only(["width", "fillchar"], 1)?;
            padded(own, name, int(width.as_ref(), 0)?, fill.as_ref(), state)?
        }
        "zfill" => {
            let width = int(Some(&arguments.one()?), 0)?;
            let digits = own.strip_prefix(['-', '+']).unwrap_or(own);
            let (sign, digits) = own.split_at(own.len() - digits.len());
            format!("{sign}{}{digits}", "0".repeat(missing(own, width, state)?))
        }
        "join" => {
            let mut out = String::new();
            for (index, value) in values(&arguments.one()?, state)?.iter().enumerate() {
                let part = text(value)?;
                pay(state, own.len() + part.len())?;
                if index > 0 {
                    out.push_str(own);
                }
                out.push_str(part);
            }
            out
        }
        "expandtabs" => {
            let [size] = arguments.bind(["tabsize"], 0)?;
            expanded(own, int(size.as_ref(), 8)?, state)?
        }
        "translate" => translate(own, arguments, state)?,
        "encode" => return encode(own, arguments).map(Some),
        "isdecimal" | "isidentifier" | "isprintable" | "istitle" => {
            arguments.none()?;
            return is(own, name).map(|is| Some(Value::from(is)));
        }
        _ => return searched(own, name, arguments, state),
    };
    pay(state, made.len())?;
    Ok(Some(Value::from(made)))
}

/// What a text's characters are.
fn is(own: &str, name: &str) -> Result<bool, Error> {
    let is_other_number = |c: char| c.is_numeric() && !c.is_ascii();
    match name {
        "isdecimal" if own.contains(is_other_number) => {
            Err(wrong("isdecimal knows no digits but those from 0 to 9"))
        }
        "isdecimal" => Ok(!own.is_empty() && own.chars().all(|c| c.is_ascii_digit())),
        "isidentifier" => {
            let begins = |c: char| c.is_alphabetic() || c == '_';
            let others = |c: char| c.is_alphanumeric() || c == '_';
            Ok(own.starts_with(begins) && own.chars().all(others))
        }
        "isprintable" => Ok(own.chars().all(is_printable)),
        _ => {
            let has_case = |c: char| c.is_lowercase() || c.is_uppercase();
            Ok(own.contains(has_case) && titled(own) == own)
        }
    }
}

/// The text with blanks in place of tabs, up to the next of the columns that are multiples of `size`.
fn expanded(own: &str, size: i128, state: &State) -> Result<String, Error> {
    let size = usize::try_from(size.max(0)).unwrap_or(usize::MAX);
    let (mut out, mut column) = (String::new(), 0_usize);
    for character in own.chars() {
        if character == '\t' {
            let blanks = column.checked_rem(size).map_or(0, |over| size - over);
            pay(state, blanks)?;
            out.push_str(&" ".repeat(blanks));
            column += blanks;
            continue;
        }
        out.push(character);
        column = if matches!(character, '\n' | '\r') {
            0
        } else {
            column + 1
        };
    }
    Ok(out)
}

/// A character in title case: if it becomes several characters, only the first is in upper case.
fn titlecase(character: char) -> Vec<char> {
    let mut upper = character.to_uppercase();
    let first = upper.next();
    let others = upper.flat_map(char::to_lowercase);
    first.into_iter().chain(others).collect()
}

/// The first letter of each word in upper case, where a word is a run of letters.
fn titled(own: &str) -> String {
    let mut out = String::with_capacity(own.len());
    let mut inside = false;
    for character in own.chars() {
        match inside {
            true => out.extend(character.to_lowercase()),
            false => out.extend(titlecase(character)),
        }
        inside = character.is_lowercase() || character.is_uppercase();
    }
    out
}

fn swapped(own: &str) -> String {
    let mut out = String::with_capacity(own.len());
    for character in own.chars() {
        match character.is_uppercase() {
            true => out.extend(character.to_lowercase()),
            false => out.extend(character.to_uppercase()),
        }
    }
    out
}

/// `own` with the first `count` occurrences of `old` replaced by `new`; a negative count replaces all.
pub fn replaced(
    own: &str,
    old: &str,
    new: &str,
    count: i128,
    state: &State,
) -> Result<String, Error> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let times = match old.is_empty() {
        true => own.chars().count() + 1,
        false => own.matches(old).count(),
    };
    let added = new.len().saturating_mul(times.min(count));
    pay(state, own.len().saturating_add(added))?;
    Ok(own.replacen(old, new, count))
}

fn missing(own: &str, width: i128, state: &State) -> Result<usize, Error> {
    let width = usize::try_from(width.max(0)).unwrap_or(usize::MAX);
    let missing = width.saturating_sub(own.chars().count());
    pay(state, missing.saturating_mul(4))?;
    Ok(missing)
}

/// A text padded to a width: centred, or at one of the ends.
pub fn padded(
    own: &str,
    name: &str,
    width: i128,
    fill: Option<&Value>,
    state: &State,
) -> Result<String, Error> {
    let fill = fill.map_or(Ok(" "), text)?;
    if fill.chars().count() != 1 {
        return Err(wrong("the fill must be one character"));
    }
    let missing = missing(own, width, state)?;
    let before = match name {
        "rjust" => missing,
        "ljust" => 0,
        // If the padding is odd and the width is odd, Python puts the extra character in front.
        _ => missing / 2 + (missing & usize::try_from(width.max(0)).unwrap_or(0) & 1),
    };
    Ok(format!(
        "{}{own}{}",
        fill.repeat(before),
        fill.repeat(missing - before)
    ))
}

/// The methods that ask about a text, look for texts in it, or take it apart.
fn searched(
    own: &str,
    name: &str,
    arguments: &Args,
    state: &State,
) -> Result<Option<Value>, Error> {
    let texts = |parts: Vec<&str>| -> Result<Option<Value>, Error> {
        state.consume_fuel(parts.len() as u64)?;
        Ok(Some(parts.into_iter().map(Value::from).collect()))
    };
    match name {
        "split" | "rsplit" => {
            let [separator, most] = arguments.bind(["sep", "maxsplit"], 0)?;
            let most = usize::try_from(int(most.as_ref(), -1)?).unwrap_or(usize::MAX);
            let from_end = name == "rsplit";
            let Some(separator) = separator.filter(|separator| !separator.is_none()) else {
                return texts(words(own, most, from_end));
            };
            let separator = some(&separator)?;
            let most = most.saturating_add(1);
            if !from_end {
                return texts(own.splitn(most, separator).collect());
            }
            let mut parts: Vec<&str> = own.rsplitn(most, separator).collect();
            parts.reverse();
            texts(parts)
        }
        "splitlines" => {
            let [keep] = arguments.bind(["keepends"], 0)?;
            texts(lines(own, keep.is_some_and(|keep| keep.is_true())))
        }
        "partition" | "rpartition" => {
            let separator = arguments.one()?;
            let separator = some(&separator)?;
            let parts = match name {
                "partition" => own
                    .split_once(separator)
                    .map_or([own, "", ""], |(a, b)| [a, separator, b]),
                _ => own
                    .rsplit_once(separator)
                    .map_or(["", "", own], |(a, b)| [a, separator, b]),
            };
            Ok(Some(Tuple::from(parts.map(Value::from)).into()))
        }
        "startswith" | "endswith" => {
            let [wanted, start, stop] = arguments.only(["prefix", "start", "end"], 1)?;
            let wanted = wanted.unwrap_or_default();
            let wanted = match kind(&wanted) {
                Kind::Tuple => values(&wanted, state)?,
                _ => vec![wanted],
            };
            let wanted: Vec<&str> = wanted.iter().map(text).collect::<Result<_, Error>>()?;
            let part = part(own, start, stop)?;
            let holds = |wanted: &&str| match (part, name) {
                (None, _) => false,
                (Some((_, part)), "startswith") => part.starts_with(wanted),
                (Some((_, part)), _) => part.ends_with(wanted),
            };
            Ok(Some(Value::from(wanted.iter().any(holds))))
        }
        "count" | "find" | "rfind" | "index" | "rindex" => {
            let [wanted, start, stop] = arguments.only(["sub", "start", "end"], 1)?;
            let wanted = wanted.unwrap_or_default();
            let wanted = text(&wanted)?;
            let part = part(own, start, stop)?;
            if name == "count" {
                let count = part.map_or(0, |(_, part)| match wanted.is_empty() {
                    true => part.chars().count() + 1,
                    false => part.matches(wanted).count(),
                });
                return Ok(Some(Value::from(count)));
            }
            let found = part.and_then(|(before, part)| {
                let at = match name {
                    "find" | "index" => part.find(wanted),
                    _ => part.rfind(wanted),
                };
                Some(before + part.get(..at?)?.chars().count())
            });
            match found {
                Some(at) => Ok(Some(Value::from(at))),
                None if name.ends_with("find") => Ok(Some(Value::from(-1))),
                None => Err(wrong("the substring is not in the text")),
            }
        }
        _ => Ok(None),
    }
}

/// Checks that a text is not empty.
fn some(separator: &Value) -> Result<&str, Error> {
    match text(separator)? {
        "" => Err(unlike("a separator that is not empty", separator)),
        text => Ok(text),
    }
}

/// The part between two positions, which count characters, and the number of characters before it; `None` if it begins after
/// the end.
fn part(
    own: &str,
    start: Option<Value>,
    stop: Option<Value>,
) -> Result<Option<(usize, &str)>, Error> {
    let length = own.chars().count() as i128;
    let place = |value: Option<Value>, default: i128| -> Result<i128, Error> {
        let value = value.filter(|value| !value.is_none());
        let place = int(value.as_ref(), default)?;
        Ok(if place < 0 {
            (place + length).max(0)
        } else {
            place
        })
    };
    let (start, stop) = (place(start, 0)?, place(stop, length)?.min(length));
    if start > length || start > stop {
        return Ok(None);
    }
    let byte = |place: i128| {
        let place = usize::try_from(place).unwrap_or(0);
        own.char_indices()
            .nth(place)
            .map_or(own.len(), |(at, _)| at)
    };
    let part = own.get(byte(start)..byte(stop));
    Ok(part.map(|part| (usize::try_from(start).unwrap_or(0), part)))
}

/// The words between white space; after `most` words, the rest.
fn words(own: &str, most: usize, from_end: bool) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = own;
    loop {
        rest = match from_end {
            true => rest.trim_end_matches(is_space),
            false => rest.trim_start_matches(is_space),
        };
        if rest.is_empty() {
            break;
        }
        let cut = match from_end {
            _ if words.len() == most => None,
            true => rest
                .char_indices()
                .rfind(|(_, c)| is_space(*c))
                .map(|(at, c)| at + c.len_utf8()),
            false => rest.find(is_space),
        };
        let (word, others) = match cut.map(|at| rest.split_at(at)) {
            None => (rest, ""),
            Some((others, word)) if from_end => (word, others),
            Some(parts) => parts,
        };
        words.push(word);
        rest = others;
    }
    if from_end {
        words.reverse();
    }
    words
}
