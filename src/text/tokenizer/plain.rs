//! Markers: the added tokens of a tokenizer, such as `<s>` and `<|im_end|>`, and encoding of text in which no markers are
//! recognized, whatever it contains.
//!
//! Markers are the special tokens, and those other added tokens that are in angle or square brackets (`<tool_call>`). The
//! remaining added tokens, such as runs of spaces, are always text.

use std::ops::Range;

use serde_json::{Value as Json, json};
use tokenizers::AddedToken;

use super::{Tokenizer, TokenizerError};
use crate::kernels::float_environment::FloatEnvironment;

/// How markers that occur in a text are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Markers {
    /// As the tokens that they name, which chat templates require.
    #[default]
    Tokens,
    /// As ordinary text: a text can neither end a turn nor begin one.
    Text,
}

impl Tokenizer {
    /// The ids of the tokens of a text. `add_special` adds the tokens that belong around a text (BOS, CLS); `markers` says
    /// how markers are read that occur in the text itself.
    ///
    /// # Errors
    /// As for [`Tokenizer::encode`], or as for [`Tokenizer::encode_as_text`].
    pub fn encode_with(
        &self,
        text: &str,
        add_special: bool,
        markers: Markers,
    ) -> Result<Vec<u32>, TokenizerError> {
        match markers {
            Markers::Tokens => self.encode(text, add_special),
            Markers::Text => self.encode_as_text(text, add_special),
        }
    }

    /// The ids of the tokens of a text without any markers: nothing is put around the text, and markers in it are read as
    /// text.
    ///
    /// # Errors
    /// As for [`Tokenizer::encode_as_text`].
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        self.encode_as_text(text, false)
    }

    /// The ids of the tokens of a text, with the tokens that belong around it if `add_special` is true. Markers in the text
    /// are read as text: the text can neither end a turn nor begin one.
    ///
    /// # Errors
    /// If the tokenizer fails on the text, or if it still makes a marker of it: some vocabularies contain the spelling of a
    /// marker as a word.
    pub fn encode_as_text(
        &self,
        text: &str,
        add_special: bool,
    ) -> Result<Vec<u32>, TokenizerError> {
        let _environment = FloatEnvironment::set_default();
        let failed = |error| self.error("encode", error);
        let plain = self.plain.get_or_init(|| Box::new(self.plain_pipeline()));
        let encoding = plain.encode_fast(text, false).map_err(failed)?;
        for (id, token) in self.markers() {
            if !encoding.get_ids().contains(&id) || !text.contains(&token.content) {
                continue;
            }
            // The same id may also be the unknown token, or a part of a longer word.
            let alone = plain.encode_fast(&*token.content, false).map_err(failed)?;
            if alone.get_ids().contains(&id) {
                let problem = format!(
                    "{:?} as text: it can only write it as the token {id}",
                    token.content
                );
                return Err(failed(problem.into()));
            }
        }
        if !add_special {
            return Ok(encoding.get_ids().to_vec());
        }
        let encoding = plain.post_process(encoding, None, true).map_err(failed)?;
        let [before, after] = &self.around;
        Ok([before, encoding.get_ids(), after].concat())
    }

    /// The places of markers in a text: the byte range of each, in order.
    ///
    /// # Errors
    /// As for [`Tokenizer::encode`].
    pub fn special_ranges(&self, text: &str) -> Result<Vec<Range<usize>>, TokenizerError> {
        let _environment = FloatEnvironment::set_default();
        let encoding = self
            .pipeline
            .encode(text, false)
            .map_err(|error| self.error("encode", error))?;
        let tokens = encoding.get_ids().iter().zip(encoding.get_offsets());
        let mut ranges = Vec::new();
        for (id, &(start, end)) in tokens {
            // Ordinary text may have the id of a marker: for example, if the marker is also the unknown token.
            let spelled = text.get(start..end);
            let is_marker = self.marker(*id).is_some_and(|token| {
                spelled.is_some_and(|spelled| {
                    spelled.trim().eq_ignore_ascii_case(token.content.trim())
                })
            });
            if is_marker {
                ranges.push(start..end);
            }
        }
        Ok(ranges)
    }

    /// The text of a special token, which decoding leaves out on request; `None` for any other token.
    pub fn special_text(&self, id: u32) -> Option<&str> {
        let token = self.added().get_added_tokens_decoder().get(&id)?;
        let text = token.content.as_str();
        self.added().is_special_token(text).then_some(text)
    }

    /// The token that occurs twice at the beginning of `ids`, the ids of a text: the text itself contains the token that the
    /// tokenizer puts before every text. Models were not trained on such a repetition.
    pub fn doubled_start(&self, ids: &[u32]) -> Option<u32> {
        let (first, second) = (ids.first()?, ids.get(1)?);
        if first != second || self.special_text(*first).is_none() {
            return None;
        }
        let starts = self.encode("", true).ok()?;
        (starts.first() == Some(first)).then_some(*first)
    }

    /// The added tokens, by id, in the form in which a `tokenizer.json` lists them.
    pub(crate) fn added_tokens(&self) -> Vec<Json> {
        let mut tokens: Vec<(&u32, &AddedToken)> =
            self.added().get_added_tokens_decoder().iter().collect();
        tokens.sort_by_key(|(id, _)| **id);
        let record = |(id, token): (&u32, &AddedToken)| {
            json!({
                "id": id,
                "content": token.content,
                "single_word": token.single_word,
                "lstrip": token.lstrip,
                "rstrip": token.rstrip,
                "normalized": token.normalized,
                "special": self.added().is_special_token(&token.content),
            })
        };
        tokens.into_iter().map(record).collect()
    }

    /// The markers, in no particular order.
    fn markers(&self) -> impl Iterator<Item = (u32, &AddedToken)> {
        let tokens = self.added().get_added_tokens_decoder().iter();
        tokens
            .filter(|(_, token)| self.is_marker(token))
            .map(|(id, token)| (*id, token))
    }

    /// The marker with that id.
    fn marker(&self, id: u32) -> Option<&AddedToken> {
        let token = self.added().get_added_tokens_decoder().get(&id)?;
        self.is_marker(token).then_some(token)
    }

    fn is_marker(&self, token: &AddedToken) -> bool {
        let text = &token.content;
        let is_bracketed = text.starts_with(['<', '[']) && text.ends_with(['>', ']']);
        is_bracketed || self.added().is_special_token(text)
    }

    fn added(&self) -> &tokenizers::AddedVocabulary {
        self.pipeline.get_added_vocabulary()
    }

    /// The pipeline that reads markers as text.
    fn plain_pipeline(&self) -> super::Pipeline {
        let mut plain = self.pipeline.clone();
        let others: Vec<AddedToken> = self
            .markers()
            .filter(|(_, token)| !self.added().is_special_token(&token.content))
            .map(|(_, token)| token.clone().special(true))
            .collect();
        // The pipeline reads special tokens as text, and nothing else.
        if !others.is_empty() {
            plain.add_special_tokens(&others);
        }
        plain.set_encode_special_tokens(true);
        plain
    }
}
