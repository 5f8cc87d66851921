//! Messages whose text is text: the special tokens of a prompt are the template's alone.
//!
//! What a message spells out like a special token is taken out before the template sees it, with a mark in its place. In
//! the prompt, the text between two special tokens of the template that has such a mark gets its own spelling back, and
//! is read without special tokens. The rest of the prompt is read as ever.

use super::Message;
use crate::text::tokenizer::{Tokenizer, TokenizerError};

/// What begins and ends a mark: characters that no text has, as Unicode leaves them to programs.
const MARKS: [char; 2] = ['\u{FDD0}', '\u{FDD1}'];

/// Messages without what they spell out like special tokens.
pub struct Hidden {
    /// The messages, with marks.
    pub messages: Vec<Message>,
    /// What stood where the marks are: the number in a mark is a place here.
    spelled: Vec<String>,
}

impl Hidden {
    /// Takes out of the messages what they spell out like special tokens.
    pub fn new(messages: &[Message], tokenizer: &Tokenizer) -> Result<Hidden, TokenizerError> {
        let mut spelled = Vec::new();
        let mut messages = messages.to_vec();
        for message in &mut messages {
            let content = &message.content;
            let special = tokenizer.special_ranges(content)?;
            let marks = content.match_indices(MARKS);
            let mut ranges: Vec<_> = marks
                .map(|(at, mark)| at..at + mark.len())
                .chain(special)
                .collect();
            ranges.sort_by_key(|range| range.start);
            let mut text = String::with_capacity(content.len());
            let mut done = 0;
            for range in ranges {
                let (Some(before), Some(part)) =
                    (content.get(done..range.start), content.get(range.clone()))
                else {
                    continue;
                };
                text += &format!("{before}{}{}{}", MARKS[0], spelled.len(), MARKS[1]);
                spelled.push(part.to_string());
                done = range.end;
            }
            text += content.get(done..).unwrap_or_default();
            message.content = text;
        }
        Ok(Hidden { messages, spelled })
    }

    /// The tokens of a prompt that was rendered from these messages.
    pub fn tokens(&self, text: &str, tokenizer: &Tokenizer) -> Result<Vec<u32>, TokenizerError> {
        if self.spelled.is_empty() {
            return tokenizer.encode(text, false);
        }
        let mut tokens = Vec::new();
        let end = text.len()..text.len();
        let special = tokenizer.special_ranges(text)?;
        // What is not read yet begins at `begun`; the last special token so far ends at `last`.
        let (mut begun, mut last) = (0, 0);
        for range in special.into_iter().chain([end]) {
            let between = text.get(last..range.start).unwrap_or_default();
            if between.contains(MARKS[0]) {
                let before = text.get(begun..last).unwrap_or_default();
                tokens.extend(tokenizer.encode(before, false)?);
                tokens.extend(tokenizer.encode_plain(&self.restored(between))?);
                begun = range.start;
            }
            last = range.end;
        }
        let rest = text.get(begun..).unwrap_or_default();
        tokens.extend(tokenizer.encode(rest, false)?);
        Ok(tokens)
    }

    /// The text with what stood where its marks are.
    fn restored(&self, text: &str) -> String {
        let mut parts = text.split(MARKS[0]);
        let mut restored = parts.next().unwrap_or_default().to_string();
        for part in parts {
            let (number, rest) = part.split_once(MARKS[1]).unwrap_or((part, ""));
            let place = number.parse::<usize>().ok();
            let spelled = place.and_then(|place| self.spelled.get(place));
            // A template may have cut a mark in two.
            restored += spelled.map_or(number, String::as_str);
            restored += rest;
        }
        restored
    }
}
