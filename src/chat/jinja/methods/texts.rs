//! The methods of texts.

use crate::chat::jinja::arguments::{Args, int, text, wrong};
use crate::chat::jinja::fault::{Budget, Error, Result};
use crate::chat::jinja::format::braces;
use crate::chat::jinja::print::is_printable;
use crate::chat::jinja::spaces::{is_space, lines};
use crate::chat::jinja::value::Value;

pub fn call(
    own: &str,
    name: &'static str,
    arguments: &Args,
    budget: &Budget,
) -> Result<Option<Value>> {
    budget.spend_bytes(own.len())?;
    if let Some(holds) = property(own, name) {
        arguments.none()?;
        return Ok(Some(Value::Bool(holds)));
    }
    let made: String = match name {
        "lower" | "upper" | "casefold" | "capitalize" | "title" | "swapcase" => {
            arguments.none()?;
            match name {
                "lower" => own.to_lowercase(),
                "upper" => own.to_uppercase(),
                "casefold" => own.to_lowercase().replace('ß', "ss"),
                "capitalize" => capitalized(own),
                "title" => titled(own),
                _ => swapped(own),
            }
        }
        "strip" | "lstrip" | "rstrip" => stripped(own, name, arguments.only(["chars"], 0)?)?,
        "replace" => {
            let [old, new, count] = arguments.bind(["old", "new", "count"], 2)?;
            let (old, new) = (some(old)?, some(new)?);
            replaced(
                own,
                text(&old)?,
                text(&new)?,
                int(count.as_ref(), -1)?,
                budget,
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
            padded(own, name, int(width.as_ref(), 0)?, fill, budget)?
        }
        "zfill" => {
            let width = int(Some(&arguments.one()?), 0)?;
            let signed = own.strip_prefix(['-', '+']);
            let digits = signed.unwrap_or(own);
            let sign = own.get(..own.len() - digits.len()).unwrap_or("");
            let missing = missing(own, width, budget)?;
            format!("{sign}{}{digits}", "0".repeat(missing))
        }
        "expandtabs" => expanded(
            own,
            int(arguments.bind(["tabsize"], 0)?[0].as_ref(), 8)?,
            budget,
        )?,
        "join" => {
            let values = arguments.one()?.values(budget)?;
            let mut out = String::new();
            for (index, value) in values.iter().enumerate() {
                let part = value.as_text().ok_or_else(|| wrong("a text", value))?;
                budget.spend_bytes(own.len() + part.len())?;
                if index > 0 {
                    out.push_str(own);
                }
                out.push_str(part);
            }
            out
        }
        "format" => braces(own, arguments, budget)?,
        _ => return searched(own, name, arguments, budget),
    };
    budget.spend_bytes(made.len())?;
    Ok(Some(Value::text(made)))
}

fn some(value: Option<Value>) -> Result<Value> {
    value.ok_or_else(|| Error::new("an argument is missing"))
}

/// What a method without arguments says of a text.
fn property(own: &str, name: &str) -> Option<bool> {
    let all = |holds: fn(char) -> bool| !own.is_empty() && own.chars().all(holds);
    let is_cased = |c: char| c.is_lowercase() || c.is_uppercase();
    Some(match name {
        "isalnum" => all(char::is_alphanumeric),
        "isalpha" => all(char::is_alphabetic),
        "isascii" => own.is_ascii(),
        "isdecimal" | "isdigit" => {
            all(|c| c.is_ascii_digit() || c.is_numeric() && !c.is_ascii() && is_decimal(c))
        }
        "isnumeric" => all(char::is_numeric),
        "isidentifier" => {
            let first = own
                .chars()
                .next()
                .is_some_and(|c| c == '_' || c.is_alphabetic());
            first && own.chars().all(|c| c == '_' || c.is_alphanumeric())
        }
        "isprintable" => own.chars().all(is_printable),
        "isspace" => all(is_space),
        "islower" => is_lower(own),
        "isupper" => is_upper(own),
        "istitle" => {
            let (mut before, mut any) = (false, false);
            for character in own.chars() {
                if before == character.is_uppercase() && is_cased(character) {
                    return Some(false);
                }
                before = is_cased(character);
                any |= before;
            }
            any
        }
        _ => return None,
    })
}

/// Digits beyond ASCII come in runs of ten.
fn is_decimal(character: char) -> bool {
    const ZEROS: [u32; 20] = [
        0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6,
        0xE50, 0xED0, 0xF20, 0x1040, 0x17E0, 0x1810, 0xFF10,
    ];
    ZEROS
        .iter()
        .any(|zero| (*zero..zero + 10).contains(&u32::from(character)))
}

pub fn is_lower(own: &str) -> bool {
    own.chars().any(char::is_lowercase) && !own.chars().any(char::is_uppercase)
}

pub fn is_upper(own: &str) -> bool {
    own.chars().any(char::is_uppercase) && !own.chars().any(char::is_lowercase)
}

/// The first character in upper case, the others in lower case.
pub fn capitalized(own: &str) -> String {
    let mut characters = own.chars();
    let first: String = characters.next().into_iter().flat_map(titlecase).collect();
    first + &characters.as_str().to_lowercase()
}

/// A character in title case: of one that becomes several, only the first in upper case.
fn titlecase(character: char) -> Vec<char> {
    // Letters whose title case is neither upper nor lower case, and those that have upper case only in capitals.
    let own = match character {
        'Ǆ'..='ǆ' => Some('ǅ'),
        'Ǉ'..='ǉ' => Some('ǈ'),
        'Ǌ'..='ǌ' => Some('ǋ'),
        'Ǳ'..='ǳ' => Some('ǲ'),
        'ა'..='ჿ' => Some(character),
        _ => None,
    };
    if let Some(own) = own {
        return vec![own];
    }
    let mut upper = character.to_uppercase();
    let first = upper.next();
    first
        .into_iter()
        .chain(upper.flat_map(char::to_lowercase))
        .collect()
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

fn stripped(own: &str, name: &str, [set]: [Option<Value>; 1]) -> Result<String> {
    let set = match &set {
        None | Some(Value::None) => None,
        Some(set) => Some(text(set)?),
    };
    let wanted = |c: char| set.map_or(is_space(c), |set| set.contains(c));
    let own = if name == "rstrip" {
        own
    } else {
        own.trim_start_matches(wanted)
    };
    let own = if name == "lstrip" {
        own
    } else {
        own.trim_end_matches(wanted)
    };
    Ok(own.to_string())
}

/// `own` without white space, or the characters of a set, at its ends.
pub fn trimmed(own: &str, set: Option<Value>) -> Result<String> {
    stripped(own, "strip", [set])
}

/// `own` with `new` for the first `count` times that `old` stands in it; a negative count is all.
pub fn replaced(own: &str, old: &str, new: &str, count: i128, budget: &Budget) -> Result<String> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let times = match old.is_empty() {
        true => own.chars().count() + 1,
        false => own.matches(old).count(),
    };
    budget.spend_bytes(
        own.len()
            .saturating_add(new.len().saturating_mul(times.min(count))),
    )?;
    Ok(own.replacen(old, new, count))
}

fn missing(own: &str, width: i128, budget: &Budget) -> Result<usize> {
    let width = usize::try_from(width.max(0)).unwrap_or(usize::MAX);
    let missing = width.saturating_sub(own.chars().count());
    budget.spend_bytes(missing.saturating_mul(4))?;
    Ok(missing)
}

/// A text in the middle of a width, or at one of its ends.
pub fn padded(
    own: &str,
    name: &str,
    width: i128,
    fill: Option<Value>,
    budget: &Budget,
) -> Result<String> {
    let fill = match &fill {
        None => " ",
        Some(fill) => text(fill)?,
    };
    if fill.chars().count() != 1 {
        return Err(Error::new("the fill is one character"));
    }
    let missing = missing(own, width, budget)?;
    let before = match name {
        "rjust" => missing,
        "ljust" => 0,
        // Python puts the odd one in front where the width is odd.
        _ => missing / 2 + (missing & usize::try_from(width.max(0)).unwrap_or(0) & 1),
    };
    Ok(format!(
        "{}{own}{}",
        fill.repeat(before),
        fill.repeat(missing - before)
    ))
}

fn expanded(own: &str, size: i128, budget: &Budget) -> Result<String> {
    let size = usize::try_from(size.max(0)).unwrap_or(usize::MAX);
    let mut out = String::new();
    let mut column = 0usize;
    for character in own.chars() {
        match character {
            '\t' => {
                let blanks = column.checked_rem(size).map_or(0, |over| size - over);
                budget.spend_bytes(blanks)?;
                out.push_str(&" ".repeat(blanks));
                column += blanks;
            }
            '\n' | '\r' => {
                out.push(character);
                column = 0;
            }
            _ => {
                out.push(character);
                column += 1;
            }
        }
    }
    Ok(out)
}

/// The methods that look for texts in a text, or take it apart.
fn searched(own: &str, name: &str, arguments: &Args, budget: &Budget) -> Result<Option<Value>> {
    let texts = |parts: Vec<&str>| {
        budget.spend(parts.len())?;
        Ok(Some(Value::list(
            parts.into_iter().map(Value::text).collect(),
        )))
    };
    match name {
        "split" | "rsplit" => {
            let [separator, most] = arguments.bind(["sep", "maxsplit"], 0)?;
            let most = usize::try_from(int(most.as_ref(), -1)?).unwrap_or(usize::MAX);
            let from_end = name == "rsplit";
            match &separator {
                None | Some(Value::None) => texts(words(own, most, from_end)),
                Some(separator) => {
                    let separator = text(separator)?;
                    if separator.is_empty() {
                        return Err(Error::new("the separator is empty"));
                    }
                    let most = most.saturating_add(1);
                    let mut parts: Vec<&str> = match from_end {
                        true => own.rsplitn(most, separator).collect(),
                        false => own.splitn(most, separator).collect(),
                    };
                    if from_end {
                        parts.reverse();
                    }
                    texts(parts)
                }
            }
        }
        "splitlines" => {
            let [keep] = arguments.bind(["keepends"], 0)?;
            texts(lines(own, keep.is_some_and(|keep| keep.is_true())))
        }
        "partition" | "rpartition" => {
            let separator = arguments.one()?;
            let separator = text(&separator)?;
            if separator.is_empty() {
                return Err(Error::new("the separator is empty"));
            }
            let parts = match name {
                "partition" => own
                    .split_once(separator)
                    .map_or([own, "", ""], |(a, b)| [a, separator, b]),
                _ => own
                    .rsplit_once(separator)
                    .map_or(["", "", own], |(a, b)| [a, separator, b]),
            };
            Ok(Some(Value::tuple(parts.map(Value::text).to_vec())))
        }
        "startswith" | "endswith" => {
            let [wanted, start, stop] = arguments.only(["prefix", "start", "end"], 1)?;
            let wanted = some(wanted)?;
            let Some((_, part)) = part(own, start, stop)? else {
                return Ok(Some(Value::Bool(false)));
            };
            let holds = |wanted: &Value| -> Result<bool> {
                let wanted = text(wanted)?;
                Ok(match name {
                    "startswith" => part.starts_with(wanted),
                    _ => part.ends_with(wanted),
                })
            };
            let mut found = false;
            match &wanted {
                Value::Tuple(several) => {
                    for wanted in several.iter() {
                        found = found || holds(wanted)?;
                    }
                }
                one => found = holds(one)?,
            }
            Ok(Some(Value::Bool(found)))
        }
        "count" | "find" | "rfind" | "index" | "rindex" => {
            let [wanted, start, stop] = arguments.only(["sub", "start", "end"], 1)?;
            let wanted = some(wanted)?;
            let wanted = text(&wanted)?;
            let part = part(own, start, stop)?;
            if name == "count" {
                let count = part.map_or(0, |(_, part)| match wanted.is_empty() {
                    true => part.chars().count() + 1,
                    false => part.matches(wanted).count(),
                });
                return Ok(Some(Value::Int(count as i128)));
            }
            let found = part.and_then(|(before, part)| {
                let at = match name {
                    "find" | "index" => part.find(wanted),
                    _ => part.rfind(wanted),
                };
                Some(before + part.get(..at?)?.chars().count())
            });
            match found {
                Some(at) => Ok(Some(Value::Int(at as i128))),
                None if name.ends_with("find") => Ok(Some(Value::Int(-1))),
                None => Err(Error::new("the text is not in the other")),
            }
        }
        _ => Ok(None),
    }
}

/// The part between two places, counted in characters, and how many are before it; `None` where it begins after the end.
fn part(own: &str, start: Option<Value>, stop: Option<Value>) -> Result<Option<(usize, &str)>> {
    let length = own.chars().count() as i128;
    let place = |value: Option<Value>, default: i128| -> Result<i128> {
        let value = value.filter(|value| !matches!(value, Value::None));
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

/// The words between white space, after `most` of them the rest.
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
        let (word, others) = match from_end {
            _ if words.len() == most => (rest, ""),
            true => match rest.rfind(is_space) {
                Some(at) => {
                    let after = at
                        + rest
                            .get(at..)
                            .and_then(|rest| rest.chars().next())
                            .map_or(0, char::len_utf8);
                    let (others, word) = rest.split_at(after);
                    (word, others)
                }
                None => (rest, ""),
            },
            false => match rest.find(is_space) {
                Some(at) => rest.split_at(at),
                None => (rest, ""),
            },
        };
        words.push(word);
        rest = others;
    }
    if from_end {
        words.reverse();
    }
    words
}
