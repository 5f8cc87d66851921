//! Incremental detokenization: whole characters as soon as their last token arrives.

use std::borrow::Borrow;

use crate::text::tokenizer::{Tokenizer, TokenizerError};

/// The most tokens that are kept without settled text. The longest character takes four tokens; more than that wait only if
/// their bytes are not UTF-8, or if they have no text.
const MOST_PENDING: usize = 32;

/// The most tokens of the prompt that a stream starts from: they decide whether the first new token keeps its space.
const MOST_CONTEXT: usize = 8;

/// The replacement for bytes that are not (yet) a character.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// Turns tokens into text one at a time.
///
/// A token may be only part of a character, and a decoder may treat the first token of a text differently (drop its space),
/// so tokens are decoded together with the tokens before them. Text is returned once it can no longer change: everything
/// before trailing U+FFFD. All pieces and the [`flush`](TextStream::flush) together are the decoded text.
#[derive(Debug)]
pub struct TextStream<T> {
    /// The tokenizer, borrowed or shared.
    tokenizer: T,
    skip_special: bool,
    /// The last tokens: first those whose text has been returned, then the pending ones.
    ids: Vec<u32>,
    /// How many of `ids` are kept only as context.
    context: usize,
    /// The part of the text of `ids` that has been returned.
    given: String,
}

impl<T: Borrow<Tokenizer>> TextStream<T> {
    /// A text that starts with the next token. `skip_special` leaves out special tokens (BOS, end of turn).
    pub fn new(tokenizer: T, skip_special: bool) -> Self {
        TextStream {
            tokenizer,
            skip_special,
            ids: Vec::new(),
            context: 0,
            given: String::new(),
        }
    }

    /// A text that continues `prompt`; the text of `prompt` itself is not returned.
    ///
    /// # Errors
    /// If the tokenizer cannot decode the prompt.
    pub fn after(tokenizer: T, skip_special: bool, prompt: &[u32]) -> Result<Self, TokenizerError> {
        let ids = prompt
            .iter()
            .skip(prompt.len().saturating_sub(MOST_CONTEXT))
            .copied()
            .collect::<Vec<_>>();
        let given = tokenizer.borrow().decode(&ids, skip_special)?;
        Ok(TextStream {
            tokenizer,
            skip_special,
            context: ids.len(),
            ids,
            given,
        })
    }

    /// Adds a token and returns the text that has become settled, which is often empty.
    ///
    /// # Errors
    /// If the tokenizer cannot decode the token.
    pub fn push(&mut self, id: u32) -> Result<String, TokenizerError> {
        self.ids.push(id);
        let text = self.decode(&self.ids)?;
        let Some(new) = text.strip_prefix(self.given.as_str()) else {
            // The decoder treats the context differently now that more follows: it ends in an unfinished run of byte tokens.
            if text.ends_with(REPLACEMENT) && self.pending() < MOST_PENDING {
                return Ok(String::new());
            }
            let new = self.decode(self.ids.get(self.context..).unwrap_or_default())?;
            self.settle()?;
            return Ok(new);
        };
        let settled = new.trim_end_matches(REPLACEMENT);
        if settled.len() == new.len() {
            let new = new.to_string();
            if !new.is_empty() || self.pending() >= MOST_PENDING {
                self.settle()?;
            }
            return Ok(new);
        }
        let settled = settled.to_string();
        self.given.push_str(&settled);
        if self.pending() < MOST_PENDING {
            return Ok(settled);
        }
        Ok(settled + &self.cut(&text)?)
    }

    /// Ends the text: returns the rest, in which unfinished characters are U+FFFD.
    ///
    /// # Errors
    /// If the tokenizer cannot decode the rest.
    pub fn flush(&mut self) -> Result<String, TokenizerError> {
        let text = self.decode(&self.ids)?;
        let rest = match text.strip_prefix(self.given.as_str()) {
            Some(rest) => rest.to_string(),
            None => self.decode(self.ids.get(self.context..).unwrap_or_default())?,
        };
        self.settle()?;
        Ok(rest)
    }

    fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        self.tokenizer.borrow().decode(ids, self.skip_special)
    }

    fn pending(&self) -> usize {
        self.ids.len().saturating_sub(self.context)
    }

    /// All text has been returned: the pending tokens become the context of the next ones.
    fn settle(&mut self) -> Result<(), TokenizerError> {
        self.ids.drain(..self.context.min(self.ids.len()));
        self.context = self.ids.len();
        self.given = self.decode(&self.ids)?;
        Ok(())
    }

    /// Shortens a window full of bytes that are not UTF-8: returns the text before a border between two characters, and
    /// keeps only the tokens after the border. `text` is the text of all `ids`.
    fn cut(&mut self, text: &str) -> Result<String, TokenizerError> {
        for border in (self.context.max(1)..self.ids.len()).rev() {
            let (before, after) = self.ids.split_at(border);
            let (before, after) = (self.decode(before)?, self.decode(after)?);
            let whole = text.strip_prefix(before.as_str()) == Some(after.as_str());
            if let Some(new) = before.strip_prefix(self.given.as_str()).filter(|_| whole) {
                let new = new.to_string();
                self.ids.drain(..border);
                self.context = 0;
                self.given.clear();
                return Ok(new);
            }
        }
        let new = text.get(self.given.len()..).unwrap_or_default().to_string();
        self.settle()?;
        Ok(new)
    }
}
