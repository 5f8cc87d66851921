//! The visible text of generated tokens: whole characters, up to a stop string.

use std::borrow::Borrow;
use std::sync::Arc;

use super::stop::{Shown, StopStrings};
use crate::text::TextStream;
use crate::text::tokenizer::{Tokenizer, TokenizerError};

/// Turns tokens into the visible text.
pub(super) struct ShownText {
    tokenizer: Arc<Tokenizer>,
    stream: TextStream<Arc<Tokenizer>>,
    stops: StopStrings,
}

impl ShownText {
    /// The text after the tokens `before`, up to a stop string.
    pub fn after(
        tokenizer: Arc<Tokenizer>,
        before: &[u32],
        stops: StopStrings,
    ) -> Result<ShownText, TokenizerError> {
        Ok(ShownText {
            stream: TextStream::after(tokenizer.clone(), true, before)?,
            stops,
            tokenizer,
        })
    }

    /// Add a token. Returns text that became settled, and the stop string that was found.
    pub fn push(&mut self, token: u32) -> Result<Shown, TokenizerError> {
        let mut shown = self.stops.push(&self.stream.push(token)?);
        // The spelling of a special token is not shown, but a stop string may name it.
        let tokenizer: &Tokenizer = self.tokenizer.borrow();
        if let Some(marker) = tokenizer.special_text(token) {
            let after = self.stops.push_hidden(marker);
            shown.text += &after.text;
            shown.stop = after.stop;
        }
        Ok(shown)
    }

    /// The stop string that was found.
    pub fn stopped(&self) -> Option<usize> {
        self.stops.stopped()
    }

    /// End the text. Returns what was held back, unless a stop string was found.
    pub fn finish(&mut self) -> Result<String, TokenizerError> {
        if self.stopped().is_some() {
            return Ok(String::new());
        }
        let rest = self.stops.push(&self.stream.flush()?);
        Ok(rest.text + &self.stops.flush())
    }
}
