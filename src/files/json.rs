//! JSON as programs write it: the standard, a byte order mark before it, and the numbers of Python that are not finite.
//!
//! All JSON in the folder of a model is read here. What is absent: what the files mean.

use serde::de::DeserializeOwned;

/// Numbers that Python writes and the standard lacks. The first match counts, so `-Infinity` comes first.
const NOT_FINITE: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// Why a text is not JSON, or not the expected JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct JsonError {
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 1.
    pub column: usize,
    /// What is wrong, and where.
    pub message: String,
}

impl JsonError {
    /// The message of `error`, with its column reduced by `more`, the columns that were added to the text before it.
    fn new(error: &serde_json::Error, more: usize) -> JsonError {
        let (line, column) = (error.line().max(1), error.column().max(1));
        let place = |column: usize| format!(" at line {} column {column}", error.line());
        let told = error.to_string();
        let shifted = column.saturating_sub(more).max(1);
        let message = match told.strip_suffix(&place(error.column())) {
            Some(what) if more > 0 => format!("{what}{}", place(shifted)),
            Some(_) | None => told,
        };
        JsonError {
            line,
            column: shifted,
            message,
        }
    }
}

/// Reads a text. `NaN`, `Infinity` and `-Infinity` are read as strings with these names.
///
/// # Errors
/// If the text is not JSON, or does not describe a `T`.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, JsonError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let error = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let Some((quoted, places)) = quoted(text) else {
        return Err(JsonError::new(&error, 0));
    };
    serde_json::from_str(&quoted).map_err(|error| {
        // Each string before the error is two quotes longer than the number it replaces.
        let start = quoted.split_inclusive('\n').take(error.line().max(1) - 1);
        let start: usize = start.map(str::len).sum();
        let line = start..start + error.column();
        let before = places.iter().filter(|place| line.contains(place)).count();
        JsonError::new(&error, 2 * before)
    })
}

/// The text with a string in place of each number that the standard lacks, and the offsets of these strings; `None` if there
/// is no such number.
fn quoted(text: &str) -> Option<(String, Vec<usize>)> {
    let bytes = text.as_bytes();
    let is_part = |at: usize| {
        let byte = bytes.get(at);
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_.+-".contains(byte))
    };
    let (mut quoted, mut places) = (String::new(), Vec::new());
    // Everything before `copied` is in `quoted`.
    let (mut at, mut copied, mut inside) = (0, 0, false);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if inside => at += 1,
            b'"' => inside = !inside,
            b'-' | b'I' | b'N' if !(inside || at > 0 && is_part(at - 1)) => {
                let rest = text.get(at..).unwrap_or_default();
                let number = NOT_FINITE.iter().find(|number| rest.starts_with(**number));
                if let Some(number) = number.filter(|number| !is_part(at + number.len())) {
                    quoted.push_str(text.get(copied..at).unwrap_or_default());
                    places.push(quoted.len());
                    quoted.push_str(&format!("\"{number}\""));
                    at += number.len();
                    copied = at;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    if places.is_empty() {
        return None;
    }
    quoted.push_str(text.get(copied..).unwrap_or_default());
    Some((quoted, places))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(text: &str) -> Value {
        parse(text).unwrap()
    }

    #[test]
    fn numbers_of_python_are_read_as_strings() {
        let text = "{\"a\": NaN, \"b\":[Infinity,-Infinity, -1], \"c\": 1.5}";
        let value = json!({"a": "NaN", "b": ["Infinity", "-Infinity", -1], "c": 1.5});
        assert_eq!(read(text), value);
        assert_eq!(read("NaN"), json!("NaN"));
    }

    #[test]
    fn strings_and_keys_stay_as_they_are() {
        let text = r#"{"NaN": "say \"NaN\", or -Infinity\\", "é": Infinity}"#;
        let value = json!({"NaN": "say \"NaN\", or -Infinity\\", "é": "Infinity"});
        assert_eq!(read(text), value);
    }

    #[test]
    fn other_words_are_refused() {
        for text in [
            "[nan]",
            "[NaNs]",
            "[+Infinity]",
            "[Infinity2]",
            "[--Infinity]",
            "[1Infinity]",
            "\"NaN",
        ] {
            assert!(parse::<Value>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped_once() {
        assert_eq!(read("\u{feff}[1]"), json!([1]));
        assert!(parse::<Value>("\u{feff}\u{feff}[1]").is_err());
    }

    #[test]
    fn a_mistake_is_reported_at_its_place_in_the_text() {
        let error = |text: &str| {
            let JsonError {
                line,
                column,
                message,
            } = parse::<Value>(text).unwrap_err();
            (line, column, message)
        };
        let message = |column: usize| format!("expected `,` or `}}` at line 2 column {column}");
        assert_eq!(error("{\"a\": 1,\n\"b\": 2 3}"), (2, 8, message(8)));
        // Two numbers come before this mistake; the first of them is on another line.
        assert_eq!(error("{\"a\": NaN,\n\"b\": NaN 3}"), (2, 10, message(10)));
    }
}
