//! From a template's text to tokens, with Jinja's rules for line ends and white space around tags (`trim_blocks` and
//! `lstrip_blocks` are on, `keep_trailing_newline` is off).

use super::fault::{Error, Result, Span};
use super::spaces::is_space;

/// A token and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Where it stands.
    pub span: Span,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Text outside of tags.
    Data(String),
    /// `{{` and its end.
    VariableBegin,
    VariableEnd,
    /// `{%` and its end.
    BlockBegin,
    BlockEnd,
    Name(String),
    Integer(i128),
    Float(f64),
    Text(String),
    Operator(&'static str),
    End,
}

/// Operators, longer ones first.
const OPERATORS: [&str; 26] = [
    "**", "//", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}",
    "|", ",", ">", "<", ".", ":", "=", ";",
];

/// The template's text with `\n` for every line end, without the last.
pub fn normalized(source: &str) -> String {
    let mut text = source.replace("\r\n", "\n").replace('\r', "\n");
    if text.ends_with('\n') {
        text.pop();
    }
    text
}

/// The tokens of a normalized text.
pub fn tokens(source: &str) -> Result<Vec<Token>> {
    let mut lexer = Lexer {
        source,
        at: 0,
        line_starting: true,
        tokens: Vec::new(),
    };
    lexer.root()?;
    let end = Span {
        start: source.len(),
        end: source.len(),
    };
    lexer.push(Kind::End, end);
    Ok(lexer.tokens)
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
    /// Whether the last match ended a line.
    line_starting: bool,
    tokens: Vec<Token>,
}

/// What a tag is.
#[derive(Clone, Copy, PartialEq)]
enum Tag {
    Variable,
    Block,
    Comment,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        self.source.get(self.at..).unwrap_or("")
    }

    fn push(&mut self, kind: Kind, span: Span) {
        self.tokens.push(Token { kind, span });
    }

    fn fail<T>(&self, problem: impl Into<String>, start: usize) -> Result<T> {
        let end = (start + 2).min(self.source.len());
        Err(Error::new(problem).at(Span { start, end }))
    }

    fn root(&mut self) -> Result<()> {
        loop {
            let rest = self.rest();
            let Some((offset, tag)) = next_tag(rest) else {
                self.data(rest, self.at);
                return Ok(());
            };
            let begin = self.at + offset;
            let inner = self.source.get(begin + 2..).unwrap_or("");
            let sign = inner.chars().next().filter(|c| matches!(c, '-' | '+'));
            let text = rest.get(..offset).unwrap_or("");
            let text = match sign {
                Some('-') => text.trim_end_matches(is_space),
                None if tag != Tag::Variable => self.without_indentation(text),
                _ => text,
            };
            self.data(text, self.at);
            self.at = begin + 2 + usize::from(sign.is_some());
            self.line_starting = false;
            match tag {
                Tag::Comment => self.comment(begin)?,
                Tag::Block if self.raw(begin)? => {}
                Tag::Block => self.tag(begin, Kind::BlockBegin, Kind::BlockEnd)?,
                Tag::Variable => self.tag(begin, Kind::VariableBegin, Kind::VariableEnd)?,
            }
        }
    }

    fn data(&mut self, text: &str, start: usize) {
        if !text.is_empty() {
            let end = start + text.len();
            self.push(Kind::Data(text.to_string()), Span { start, end });
        }
    }

    /// A text before a tag, without the white space that stands alone between the line's start and the tag.
    fn without_indentation(&self, text: &'s str) -> &'s str {
        let line = text.rfind('\n').map_or(0, |at| at + 1);
        let (before, indentation) = text.split_at(line);
        if (line > 0 || self.line_starting) && indentation.chars().all(is_space) {
            return before;
        }
        text
    }

    /// Takes what follows a tag: a line end if lines are trimmed, or all white space after `-`.
    fn after_tag(&mut self, sign: Option<char>, trims_line: bool) {
        let rest = self.rest();
        let taken = match sign {
            Some('-') => rest.len() - rest.trim_start_matches(is_space).len(),
            None if trims_line && rest.starts_with('\n') => 1,
            _ => 0,
        };
        self.at += taken;
        self.line_starting = self
            .source
            .get(..self.at)
            .is_some_and(|text| text.ends_with('\n'));
    }

    fn comment(&mut self, begin: usize) -> Result<()> {
        let Some(end) = self.rest().find("#}") else {
            return self.fail("the comment has no end", begin);
        };
        let sign = self.rest().get(..end).and_then(|text| text.chars().last());
        self.at += end + 2;
        self.after_tag(sign.filter(|c| matches!(c, '-' | '+')), true);
        Ok(())
    }

    /// Reads `{% raw %}` to its end, if that is what begins here.
    fn raw(&mut self, begin: usize) -> Result<bool> {
        let Some((length, sign)) = word_tag(self.rest(), "raw", false) else {
            return Ok(false);
        };
        self.at += length;
        self.after_tag(sign, false);
        let start = self.at;
        let mut from = start;
        loop {
            let Some(offset) = self.source.get(from..).and_then(|text| text.find("{%")) else {
                return self.fail("the raw block has no end", begin);
            };
            let tag = from + offset;
            let inner = self.source.get(tag + 2..).unwrap_or("");
            let before = inner.chars().next().filter(|c| matches!(c, '-' | '+'));
            let skipped = 2 + usize::from(before.is_some());
            let inner = self.source.get(tag + skipped..).unwrap_or("");
            let Some((length, after)) = word_tag(inner, "endraw", true) else {
                from = tag + 2;
                continue;
            };
            let text = self.source.get(start..tag).unwrap_or("");
            let text = match before {
                Some('-') => text.trim_end_matches(is_space),
                None => self.without_indentation(text),
                _ => text,
            };
            self.data(text, start);
            self.at = tag + skipped + length;
            self.after_tag(after, true);
            return Ok(true);
        }
    }

    /// Reads a tag from after its beginning to after its end.
    fn tag(&mut self, begin: usize, first: Kind, last: Kind) -> Result<()> {
        let is_block = last == Kind::BlockEnd;
        let close = if is_block { "%}" } else { "}}" };
        self.push(
            first,
            Span {
                start: begin,
                end: self.at,
            },
        );
        let mut open: Vec<&'static str> = Vec::new();
        loop {
            let rest = self.rest();
            let rest = rest.trim_start_matches(is_space);
            self.at = self.source.len() - rest.len();
            let start = self.at;
            if open.is_empty() {
                let signed = rest.strip_prefix('-').map(|rest| ('-', rest));
                let signed = signed.or_else(|| {
                    let plus = rest.strip_prefix('+').map(|rest| ('+', rest));
                    plus.filter(|_| is_block)
                });
                let (sign, inner) = match signed {
                    Some((sign, inner)) => (Some(sign), inner),
                    None => (None, rest),
                };
                if inner.starts_with(close) {
                    self.at += close.len() + usize::from(sign.is_some());
                    let span = Span {
                        start,
                        end: self.at,
                    };
                    self.after_tag(sign, is_block);
                    self.push(last, span);
                    return Ok(());
                }
            }
            if rest.is_empty() {
                return self.fail("the tag has no end", begin);
            }
            let (kind, length) = match word(rest)? {
                Some(found) => found,
                None => {
                    let operator = OPERATORS.iter().find(|op| rest.starts_with(**op));
                    let Some(operator) = operator else {
                        let character = rest.chars().next().unwrap_or(' ');
                        return self.fail(format!("unexpected {character:?}"), start);
                    };
                    balance(&mut open, operator).map_err(|error| {
                        error.at(Span {
                            start,
                            end: start + 1,
                        })
                    })?;
                    (Kind::Operator(operator), operator.len())
                }
            };
            self.at += length;
            self.push(
                kind,
                Span {
                    start,
                    end: self.at,
                },
            );
        }
    }
}

/// The first tag of a text.
fn next_tag(text: &str) -> Option<(usize, Tag)> {
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.find('{')?;
        let tag = match text.as_bytes().get(at + 1) {
            Some(b'{') => Some(Tag::Variable),
            Some(b'%') => Some(Tag::Block),
            Some(b'#') => Some(Tag::Comment),
            _ => None,
        };
        match tag {
            Some(tag) => return Some((at, tag)),
            None => from = at + 1,
        }
    }
}

/// How long the rest of a tag is that holds `word` alone, and the sign at its end.
fn word_tag(text: &str, word: &str, plus: bool) -> Option<(usize, Option<char>)> {
    let inner = text.trim_start_matches(is_space).strip_prefix(word)?;
    let inner = inner.trim_start_matches(is_space);
    let sign = inner
        .chars()
        .next()
        .filter(|c| *c == '-' || plus && *c == '+');
    let inner = inner
        .get(usize::from(sign.is_some())..)?
        .strip_prefix("%}")?;
    Some((text.len() - inner.len(), sign))
}

/// Follows brackets: a tag can't end inside them.
fn balance(open: &mut Vec<&'static str>, operator: &str) -> Result<()> {
    match operator {
        "{" => open.push("}"),
        "(" => open.push(")"),
        "[" => open.push("]"),
        "}" | ")" | "]" => match open.pop() {
            Some(expected) if expected == operator => {}
            Some(expected) => {
                return Err(Error::new(format!("expected {expected}, found {operator}")));
            }
            None => return Err(Error::new(format!("unexpected {operator}"))),
        },
        _ => {}
    }
    Ok(())
}

/// A number, name or text at the beginning, and its length.
fn word(text: &str) -> Result<Option<(Kind, usize)>> {
    let first = text.chars().next().unwrap_or(' ');
    if first.is_ascii_digit() {
        return number(text).map(Some);
    }
    if first == '_' || first.is_alphabetic() {
        let length = text
            .find(|c: char| c != '_' && !c.is_alphanumeric())
            .unwrap_or(text.len());
        let name = text.get(..length).unwrap_or("").to_string();
        return Ok(Some((Kind::Name(name), length)));
    }
    if first != '\'' && first != '"' {
        return Ok(None);
    }
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == first => {
                let inner = text.get(1..at).unwrap_or("");
                return Ok(Some((Kind::Text(unescaped(inner)?), at + 1)));
            }
            _ => {}
        }
    }
    Err(Error::new("the text has no end"))
}

/// How many bytes of digits, with `_` between them, a text begins with.
fn digits(text: &str, radix: u32) -> usize {
    let mut end = 0;
    for (at, character) in text.char_indices() {
        match character {
            '_' if end == at && at > 0 => {}
            _ if character.is_digit(radix) => end = at + 1,
            _ => break,
        }
    }
    end
}

fn number(text: &str) -> Result<(Kind, usize)> {
    let parse = |digits: &str, radix| {
        let value = i128::from_str_radix(&digits.replace('_', ""), radix);
        value.map_err(|_| Error::new("the number is too large"))
    };
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        let head = text.get(..2).unwrap_or("");
        let rest = text.get(2..).unwrap_or("");
        let length = digits(rest.trim_start_matches('_'), radix);
        if head.eq_ignore_ascii_case(prefix) && length > 0 {
            let skipped = 2 + rest.len() - rest.trim_start_matches('_').len();
            let value = parse(text.get(skipped..skipped + length).unwrap_or(""), radix)?;
            return Ok((Kind::Integer(value), skipped + length));
        }
    }
    let whole = digits(text, 10);
    let mut end = whole;
    let after = |at: usize| text.get(at..).unwrap_or("");
    if let Some(rest) = after(end).strip_prefix('.') {
        let fraction = digits(rest, 10);
        end += if fraction > 0 { 1 + fraction } else { 0 };
    }
    if let Some(rest) = after(end).strip_prefix(['e', 'E']) {
        let unsigned = rest.strip_prefix(['+', '-']).unwrap_or(rest);
        let exponent = digits(unsigned, 10);
        end += if exponent > 0 {
            1 + rest.len() - unsigned.len() + exponent
        } else {
            0
        };
    }
    let spelled = text.get(..end).unwrap_or("");
    if end == whole {
        return Ok((Kind::Integer(parse(spelled, 10)?), end));
    }
    let value = spelled.replace('_', "").parse();
    value
        .map(|value| (Kind::Float(value), end))
        .map_err(|_| Error::new("this is not a number"))
}

/// The text that a literal spells, with Python's escapes.
fn unescaped(text: &str) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(rest.get(..at).unwrap_or(""));
        rest = rest.get(at + 1..).unwrap_or("");
        let Some(escape) = rest.chars().next() else {
            return Err(Error::new("the text ends with \\"));
        };
        rest = rest.get(escape.len_utf8()..).unwrap_or("");
        let coded = match escape {
            'x' => Some(2),
            'u' => Some(4),
            'U' => Some(8),
            _ => None,
        };
        let simple = match escape {
            '\n' => continue,
            '\\' | '\'' | '"' => Some(escape),
            'a' => Some('\x07'),
            'b' => Some('\x08'),
            'f' => Some('\x0C'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\x0B'),
            _ => None,
        };
        if let Some(simple) = simple {
            out.push(simple);
        } else if let Some(length) = coded {
            let code = rest
                .get(..length)
                .and_then(|code| u32::from_str_radix(code, 16).ok());
            let Some(character) = code.and_then(char::from_u32) else {
                return Err(Error::new(format!(
                    "\\{escape} needs the {length} digits of a character"
                )));
            };
            out.push(character);
            rest = rest.get(length..).unwrap_or("");
        } else if escape.is_digit(8) {
            let more = rest
                .bytes()
                .take(2)
                .take_while(|byte| (b'0'..=b'7').contains(byte))
                .count();
            let code = format!("{escape}{}", rest.get(..more).unwrap_or(""));
            out.extend(u32::from_str_radix(&code, 8).ok().and_then(char::from_u32));
            rest = rest.get(more..).unwrap_or("");
        } else if escape == 'N' {
            return Err(Error::new("\\N, a character by name, is not known here"));
        } else {
            out.push('\\');
            out.push(escape);
        }
    }
    out.push_str(rest);
    Ok(out)
}
