//! `'…' % value`, for which the engine has no operator: in the text of a template it is replaced by `'…' | percent(value)`.

use minijinja::value::{Kwargs, Value};
use minijinja::{Error, State, filters};

use super::arguments::{Args, text};
use super::fields::of_percent;
use super::values::{Kind, entries, kind, values, wrong};

/// The delimiters of tags with expressions, and of comments, which contain no expressions.
const TAGS: [(&str, &str); 3] = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")];

/// The most operators nested inside each other.
const DEEPEST: usize = 32;

/// The template with a filter for each `%` after a text in quotes. Lines stay as they are.
pub fn without_operators(template: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let Some((open, close)) = TAGS.iter().find(|(open, _)| tag.starts_with(open)) else {
            out.push('{');
            rest = tag.get(1..).unwrap_or("");
            continue;
        };
        let end = match *open {
            "{#" => tag.find(close),
            _ => end_of(tag, 2, |rest| rest.starts_with(close)),
        };
        let Some(end) = end else {
            // The engine will report what is wrong.
            return out + tag;
        };
        let (inside, others) = tag.split_at(end);
        match *open {
            "{#" => out.push_str(inside),
            _ => push_changed(inside, 0, &mut out),
        }
        let name = inside.trim_start_matches(['{', '%', '-', '+']).trim();
        let raw = others
            .find("endraw")
            .filter(|_| name.trim_end_matches(['-', '+']).trim() == "raw");
        let (verbatim, others) = others.split_at(raw.unwrap_or(0));
        out.push_str(verbatim);
        rest = others;
    }
    out + rest
}

/// The first position, outside quotes and brackets, at which `is_end` is true.
fn end_of(code: &str, start: usize, is_end: impl Fn(&str) -> bool) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = start;
    while let Some(rest) = code.get(at..) {
        let first = rest.chars().next()?;
        if depth == 0 && is_end(rest) {
            return Some(at);
        }
        match first {
            '\'' | '"' => {
                at += quoted(rest)?;
                continue;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        at += first.len_utf8();
    }
    None
}

/// The length of the text in quotes at the beginning of `code`.
fn quoted(code: &str) -> Option<usize> {
    let mut characters = code.char_indices();
    let (_, quote) = characters.next()?;
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            _ if character == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Writes code with its operators replaced, except where they are nested too deeply.
fn push_changed(code: &str, depth: usize, out: &mut String) {
    if depth > DEEPEST {
        return out.push_str(code);
    }
    let mut rest = code;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => quoted(rest).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, tail) = rest.split_at(length);
        out.push_str(token);
        rest = tail;
        let operand = tail.trim_start().strip_prefix('%').unwrap_or("");
        // After an operator that binds as tightly, the text is not the left operand of `%`.
        if length > 1 && !"'\"*/%".contains(before) && !operand.starts_with('}') {
            let operand = operand.trim_start();
            let end = end_of_operand(operand);
            if end > 0 {
                let (operand, others) = operand.split_at(end);
                out.push_str(" | percent(");
                push_changed(operand, depth + 1, out);
                out.push(')');
                rest = others;
            }
        }
        if !first.is_whitespace() {
            before = first;
        }
    }
}

/// The length of an operand: a value with its attributes, items, calls and filters.
fn end_of_operand(code: &str) -> usize {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = 0;
    let mut wants_value = true;
    loop {
        let rest = code.get(at..).unwrap_or("");
        let blanks = rest.len() - rest.trim_start().len();
        let next = rest.trim_start();
        let length = match next.chars().next() {
            Some('\'' | '"') if wants_value => quoted(next).unwrap_or(0),
            Some('(' | '[') => {
                end_of(next, 1, |rest| rest.starts_with([')', ']'])).map_or(0, |end| end + 1)
            }
            Some('{') if wants_value => {
                end_of(next, 1, |rest| rest.starts_with('}')).map_or(0, |end| end + 1)
            }
            Some(c) if wants_value && is_name(c) => {
                next.find(|c| !is_name(c)).unwrap_or(next.len())
            }
            Some('.' | '|') if !wants_value => {
                at += blanks + 1;
                wants_value = true;
                continue;
            }
            _ => 0,
        };
        if length == 0 {
            return at;
        }
        at += blanks + length;
        wants_value = false;
    }
}

/// Python's `format % value`.
pub fn percent(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    let mut format = text(value)?.to_owned();
    let operand = arguments.one()?;
    let mut given = vec![value.clone()];
    match kind(&operand) {
        Kind::Tuple => given.extend(values(&operand, state)?),
        Kind::Dict if format.contains("%(") => {
            let mut named = Vec::new();
            for entry in entries(&operand, state)? {
                let key = entry.get_item_by_index(0)?;
                if let Some(key) = key.as_str() {
                    named.push((key.to_string(), entry.get_item_by_index(1)?));
                }
            }
            given.push(named.into_iter().collect::<Kwargs>().into());
        }
        _ => given.push(operand.clone()),
    }
    let has_names = format.contains("%(");
    check_fields(
        &format,
        given.len() - 1,
        has_names || kind(&operand) != Kind::Tuple,
    )?;
    if let (Some((own, values)), false) = (given.split_first_mut(), has_names) {
        format = of_percent(&format, values, state)?;
        *own = Value::from(format);
    }
    Value::from_function(filters::format).call(state, &given)
}

/// Fails if there are more values than fields. A single value that is a list or map may go without a field.
pub fn check_fields(format: &str, given: usize, is_one: bool) -> Result<(), Error> {
    let fields = format.replace("%%", "").matches(['%', '*']).count();
    match given > fields && !(is_one && given == 1 && fields > 0) {
        true => Err(wrong("the format has fewer fields than there are values")),
        false => Ok(()),
    }
}
