//! Text in which nothing is a special token, whatever it spells out.

use std::ops::Range;

use super::{Tokenizer, TokenizerError};
use crate::kernels::float_environment::FloatEnvironment;

impl Tokenizer {
    /// The ids of a text's tokens, none of them special: nothing is put around the text, and special tokens that it spells
    /// out are read as text.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        self.encode_as_text(text, false)
    }

    /// The ids of a text's tokens, with those that belong around it where `add_special` asks for them. Special tokens that
    /// the text spells out are read as text.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_as_text(
        &self,
        text: &str,
        add_special: bool,
    ) -> Result<Vec<u32>, TokenizerError> {
        let _environment = FloatEnvironment::set_default();
        let plain = self.plain.get_or_init(|| {
            let mut plain = self.pipeline.clone();
            plain.set_encode_special_tokens(true);
            Box::new(plain)
        });
        let encoding = plain
            .encode_fast(text, add_special)
            .map_err(|e| self.error("encode", e))?;
        let ids = encoding.get_ids();
        if !add_special {
            return Ok(ids.to_vec());
        }
        let [before, after] = &self.around;
        Ok([before, ids, after].concat())
    }

    /// Where a text spells out special tokens: the bytes of each, in order.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn special_ranges(&self, text: &str) -> Result<Vec<Range<usize>>, TokenizerError> {
        let _environment = FloatEnvironment::set_default();
        let encoding = self
            .pipeline
            .encode(text, false)
            .map_err(|e| self.error("encode", e))?;
        let added = self.pipeline.get_added_vocabulary();
        let tokens = encoding.get_tokens().iter().zip(encoding.get_offsets());
        let special = tokens.filter(|(token, _)| added.is_special_token(token));
        Ok(special.map(|(_, &(start, end))| start..end).collect())
    }
}
