//! The filter `wordwrap`: lines broken as Python's `textwrap` breaks them.

use minijinja::value::Value;
use minijinja::{Error, State};

use super::arguments::{Args, int, text};
use super::spaces::lines;
use super::values::{pay, wrong};

/// The filter.
pub fn wordwrap(value: &Value, arguments: &Args, state: &mut State) -> Result<Value, Error> {
    let names = [
        "width",
        "break_long_words",
        "wrapstring",
        "break_on_hyphens",
    ];
    let [width, breaks_words, between, breaks_hyphens] = arguments.bind(names, 0)?;
    let width = usize::try_from(int(width.as_ref(), 79)?).unwrap_or(0);
    let wrap = Wrap {
        width,
        breaks_words: breaks_words.is_none_or(|flag| flag.is_true()),
        breaks_hyphens: breaks_hyphens.is_none_or(|flag| flag.is_true()),
    };
    let between = between.filter(|between| !between.is_none());
    let between = between.as_ref().map_or(Ok("\n"), text)?;
    let mut wrapped = Vec::new();
    for line in lines(text(value)?, false) {
        if width == 0 && !line.is_empty() {
            return Err(wrong("the width must be more than zero"));
        }
        let parts = wrap.lines(&line.chars().collect::<Vec<char>>());
        pay(state, parts.len().saturating_mul(between.len()))?;
        wrapped.push(parts.join(between));
    }
    Ok(Value::from(wrapped.join(between)))
}

/// How lines are broken.
struct Wrap {
    width: usize,
    breaks_words: bool,
    breaks_hyphens: bool,
}

impl Wrap {
    /// The lines that a line is broken into.
    fn lines(&self, line: &[char]) -> Vec<String> {
        let chunks = chunks(line, self.breaks_hyphens);
        let mut chunks: Vec<&[char]> = chunks.into_iter().rev().collect();
        let mut lines = Vec::new();
        while let Some(next) = chunks.last() {
            if is_blank(next) && !lines.is_empty() {
                chunks.pop();
            }
            let (mut parts, mut length) = (Vec::new(), 0);
            while let Some(next) = chunks.pop_if(|next| length + next.len() <= self.width) {
                length += next.len();
                parts.push(next);
            }
            if let Some(word) = chunks.pop_if(|next| next.len() > self.width) {
                let (now, later) = self.split(word, self.width - length, parts.is_empty());
                parts.extend(now);
                chunks.extend(later);
            }
            parts.pop_if(|last| is_blank(last));
            if !parts.is_empty() {
                lines.push(parts.concat().into_iter().collect());
            }
        }
        lines
    }

    /// What of a word that is longer than a line comes into the line, and what comes later.
    fn split<'a>(
        &self,
        word: &'a [char],
        left: usize,
        is_first: bool,
    ) -> (Option<&'a [char]>, Option<&'a [char]>) {
        if !self.breaks_words {
            return match is_first {
                true => (Some(word), None),
                false => (None, Some(word)),
            };
        }
        let begin = word.get(..left).unwrap_or(word);
        let hyphen = begin.iter().rposition(|c| *c == '-').filter(|at| {
            let before = begin.get(..*at).unwrap_or(&[]);
            self.breaks_hyphens && before.iter().any(|c| *c != '-')
        });
        let (now, later) = word.split_at(hyphen.map_or(begin.len(), |at| at + 1));
        (Some(now), Some(later))
    }
}

/// Python's white space, as far as lines can be broken at it.
fn is_space(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\x0B' | '\x0C' | '\r' | ' ')
}

fn is_blank(chunk: &[char]) -> bool {
    chunk.iter().all(|c| c.is_whitespace())
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn is_letter(character: char) -> bool {
    is_word(character) && !character.is_numeric()
}

/// A character after which a dash may come.
fn is_before_dash(character: char) -> bool {
    is_word(character) || "!\"'&.,?".contains(character)
}

/// A line in parts between which it can be broken: words, parts of words with hyphens, dashes and white space.
fn chunks(line: &[char], at_hyphens: bool) -> Vec<&[char]> {
    let mut chunks = Vec::new();
    let mut start = 0;
    while let Some(first) = line.get(start) {
        let end = match is_space(*first) {
            true => run(line, start, is_space),
            false if !at_hyphens => run(line, start, |c| !is_space(c)),
            false => end_of_word(line, start),
        };
        chunks.extend(line.get(start..end));
        start = end;
    }
    chunks
}

/// The end of the characters from `start` of which this is true.
fn run(line: &[char], start: usize, is_inside: impl Fn(char) -> bool) -> usize {
    let rest = line.get(start..).unwrap_or(&[]);
    start + rest.iter().take_while(|c| is_inside(**c)).count()
}

/// The end of the word, part of a word or dash from `start`.
fn end_of_word(line: &[char], start: usize) -> usize {
    // The character at a distance from a place, if it is like this.
    let is = |place: usize, distance: isize, like: fn(char) -> bool| {
        let character = place
            .checked_add_signed(distance)
            .and_then(|at| line.get(at));
        character.is_some_and(|c| like(*c))
    };
    let is_hyphen: fn(char) -> bool = |c| c == '-';
    // The end of the dash of at least two hyphens between words.
    let dash = |place: usize| {
        if !is(place, -1, is_before_dash) {
            return None;
        }
        let end = run(line, place, |c| c == '-');
        (end >= place + 2 && is(end, 0, is_word)).then_some(end)
    };
    if let Some(end) = dash(start) {
        return end;
    }
    for place in start + 1..line.len() {
        let after_letters = is(place, -1, is_letter) && is(place, -2, is_letter);
        let after_hyphen =
            is(place, -1, is_before_dash) && is(place, -2, is_hyphen) && is(place, -3, is_letter);
        let before_letters = is(place, 1, is_letter)
            && (is(place, 2, is_letter) || (is(place, 2, is_hyphen) && is(place, 3, is_letter)));
        if is(place, 0, is_hyphen) && (after_letters || after_hyphen) && before_letters {
            return place + 1;
        }
        if is(place, 0, is_space) || dash(place).is_some() {
            return place;
        }
    }
    line.len()
}
