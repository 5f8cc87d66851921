//! The tokens of a tag: names, numbers, texts and signs, as the engine reads them.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Name,
    Int,
    Float,
    Text,
    /// An operator or a bracket.
    Sign,
    /// A character that no expression contains.
    Unknown,
}

/// A token and its place in the template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

/// Signs of two characters.
const PAIRS: [&str; 6] = ["**", "//", "==", "!=", "<=", ">="];

/// Signs of one character.
const SIGNS: &str = "+-*/%~<>=.,:|()[]{}";

/// The tokens from `start` to the end of the tag, and the position of the tag's end: `close`, or the sign before it that
/// controls white space. `None` if the tag has no end.
pub fn of_tag(template: &str, start: usize, close: &str) -> Option<(Vec<Token>, usize)> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut depth = 0_usize;
    let mut at = start;
    loop {
        let rest = template.get(at..)?;
        let first = rest.chars().next()?;
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let tail = rest.strip_prefix(['-', '+']).unwrap_or(rest);
        if depth == 0 && (rest.starts_with(close) || tail.starts_with(close)) {
            return Some((tokens, at));
        }
        match first {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        let after_dot = tokens
            .last()
            .is_some_and(|last| last.end == at && template.get(last.start..last.end) == Some("."));
        let (kind, length) = token(rest, first, after_dot)?;
        tokens.push(Token {
            kind,
            start: at,
            end: at + length,
        });
        at += length;
    }
}

/// The kind and the length of the token at the beginning of `rest`; `None` for a text without an end.
fn token(rest: &str, first: char, after_dot: bool) -> Option<(Kind, usize)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let word = |from: usize| {
        let tail = rest.get(from..).unwrap_or("");
        from + tail.find(|c| !is_word(c)).unwrap_or(tail.len())
    };
    Some(match first {
        '\'' | '"' => (Kind::Text, quoted(rest)?),
        '0'..='9' if after_dot => {
            let end = rest.find(|c: char| !c.is_ascii_digit());
            (Kind::Int, end.unwrap_or(rest.len()))
        }
        '0'..='9' => number(rest, word),
        _ if is_word(first) => (Kind::Name, word(0)),
        _ if PAIRS.iter().any(|pair| rest.starts_with(pair)) => (Kind::Sign, 2),
        _ if SIGNS.contains(first) => (Kind::Sign, 1),
        _ => (Kind::Unknown, first.len_utf8()),
    })
}

/// The kind and the length of the number at the beginning of `rest`; `word` finds the end of a word.
fn number(rest: &str, word: impl Fn(usize) -> usize) -> (Kind, usize) {
    let mut end = word(0);
    let has_base = rest.starts_with('0') && end > 1 && !rest.starts_with("0_");
    let is_digit = |at: usize| {
        rest.get(at..)
            .is_some_and(|tail| tail.starts_with(|c: char| c.is_ascii_digit()))
    };
    let is = |at: usize, character: char| {
        rest.get(at..)
            .is_some_and(|tail| tail.starts_with(character))
    };
    if has_base && !is_digit(1) && !is(1, 'e') && !is(1, 'E') {
        return (Kind::Int, end);
    }
    let mut kind = Kind::Int;
    if is(end, '.') && is_digit(end + 1) {
        kind = Kind::Float;
        end = word(end + 1);
    }
    let digits = rest.get(..end).unwrap_or("");
    if digits.contains(['e', 'E']) {
        kind = Kind::Float;
        if digits.ends_with(['e', 'E']) && (is(end, '+') || is(end, '-')) {
            end = word(end + 1);
        }
    }
    (kind, end)
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
