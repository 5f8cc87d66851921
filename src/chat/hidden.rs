//! Reading markers in messages as text: only the template can put markers into a prompt.
//!
//! Text in a message that is spelled like a marker is replaced, before the template sees it, by a placeholder that no text
//! contains. In the rendered prompt, a text between two markers of the template that contains a placeholder gets its own
//! spelling back, and is read without markers. The rest of the prompt is read as usual.

use super::Message;
use crate::text::tokenizer::{Tokenizer, TokenizerError};

/// The characters around the number in a placeholder. No text contains them: Unicode reserves them for programs.
const AROUND: [char; 2] = ['\u{FDD0}', '\u{FDD1}'];

/// Messages in which text that is spelled like a marker is hidden.
pub struct Hidden {
    /// The messages, with numbered placeholders for what is hidden.
    pub messages: Vec<Message>,
    /// The hidden texts, by number.
    spelled: Vec<String>,
}

impl Hidden {
    /// Hides text in the messages that is spelled like a marker.
    pub fn new(messages: &[Message], tokenizer: &Tokenizer) -> Result<Hidden, TokenizerError> {
        let mut hidden = Hidden {
            messages: messages.to_vec(),
            spelled: Vec::new(),
        };
        for message in &mut hidden.messages {
            for text in [&mut message.role, &mut message.content] {
                *text = without_markers(text, tokenizer, &mut hidden.spelled)?;
            }
        }
        Ok(hidden)
    }

    /// The tokens of a prompt that was rendered from these messages.
    pub fn tokens(&self, text: &str, tokenizer: &Tokenizer) -> Result<Vec<u32>, TokenizerError> {
        if self.spelled.is_empty() {
            return tokenizer.encode(text, false);
        }
        let mut tokens = Vec::new();
        let end = text.len()..text.len();
        let markers = tokenizer.special_ranges(text)?;
        // Text that has not been read yet begins at `begun`; the last marker so far ends at `last`.
        let (mut begun, mut last) = (0, 0);
        for range in markers.into_iter().chain([end]) {
            let between = text.get(last..range.start).unwrap_or_default();
            if between.contains(AROUND[0]) {
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

    /// The text with the hidden texts put back.
    fn restored(&self, text: &str) -> String {
        let mut parts = text.split(AROUND[0]);
        let mut restored = parts.next().unwrap_or_default().to_string();
        for part in parts {
            let (number, rest) = part.split_once(AROUND[1]).unwrap_or((part, ""));
            let place = number.parse::<usize>().ok();
            let spelled = place.and_then(|place| self.spelled.get(place));
            // A template may have cut off a number.
            restored += spelled.map_or(number, String::as_str);
            restored += rest;
        }
        restored
    }
}

/// The text with a placeholder for each marker; the markers are appended to `spelled`.
fn without_markers(
    text: &str,
    tokenizer: &Tokenizer,
    spelled: &mut Vec<String>,
) -> Result<String, TokenizerError> {
    let ours = text.match_indices(AROUND);
    let ours = ours.map(|(at, character)| at..at + character.len());
    let mut ranges: Vec<_> = ours.chain(tokenizer.special_ranges(text)?).collect();
    ranges.sort_by_key(|range| range.start);
    let mut without = String::with_capacity(text.len());
    let mut done = 0;
    for range in ranges {
        let parts = (text.get(done..range.start), text.get(range.clone()));
        let (Some(before), Some(marker)) = parts else {
            continue;
        };
        without += &format!("{before}{}{}{}", AROUND[0], spelled.len(), AROUND[1]);
        spelled.push(marker.to_string());
        done = range.end;
    }
    without += text.get(done..).unwrap_or_default();
    Ok(without)
}
