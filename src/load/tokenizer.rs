//! Text to token ids and back, through Hugging Face tokenizers.

use std::path::{Path, PathBuf};

use tokenizers::{PostProcessor, TruncationDirection};

/// What went wrong with a tokenizer.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The file could not be read.
    #[error("cannot read {}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The file is no `tokenizer.json` that can be used.
    #[error("{}: cannot use this tokenizer: {problem}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A text could not be encoded, or tokens not be decoded.
    #[error("the tokenizer of {} can't {action}: {problem}", file.display())]
    Use {
        /// The file.
        file: PathBuf,
        /// What was tried: "encode" or "decode".
        action: &'static str,
        /// What is wrong.
        problem: String,
    },
}

/// A tokenizer as `tokenizer.json` describes it, except that it neither cuts nor pads: files of encoders often ask for
/// both, which would silently lose a prompt's end.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    file: PathBuf,
    inner: tokenizers::Tokenizer,
    vocab_size: usize,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    pub fn open(path: &Path) -> Result<Self, TokenizerError> {
        let bytes = std::fs::read(path).map_err(|source| TokenizerError::Read {
            file: path.to_path_buf(),
            source,
        })?;
        Self::from_bytes(path, &bytes)
    }

    /// A tokenizer from a `tokenizer.json`'s contents; `label` stands for its path in errors.
    pub fn from_bytes(label: &Path, bytes: &[u8]) -> Result<Self, TokenizerError> {
        let malformed = |e: tokenizers::Error| TokenizerError::Malformed {
            file: label.to_path_buf(),
            problem: e.to_string(),
        };
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(malformed)?;
        inner.with_truncation(None).map_err(malformed)?;
        inner.with_padding(None);
        let vocab_size = inner
            .get_vocab(true)
            .into_values()
            .max()
            .map_or(0, |id| id as usize + 1);
        Ok(Tokenizer {
            file: label.to_path_buf(),
            inner,
            vocab_size,
        })
    }

    /// The ids of a text's tokens. `add_special` adds those that the file's post-processor puts around a text (BOS, CLS).
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, TokenizerError> {
        let encoding = self
            .inner
            .encode_fast(text, add_special)
            .map_err(|e| self.error("encode", e))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The ids of a text's tokens with those that the post-processor puts around them, at most `most` of both together:
    /// of a longer text the end is cut, and what the post-processor puts behind it stays.
    pub fn encode_cut(&self, text: &str, most: usize) -> Result<Vec<u32>, TokenizerError> {
        let failed = |e| self.error("encode", e);
        let mut encoding = self.inner.encode_fast(text, false).map_err(failed)?;
        let added = self
            .inner
            .get_post_processor()
            .map_or(0, |post| post.added_tokens(false));
        if added > most {
            let problem = format!("it puts {added} tokens around a text that may have {most}");
            return Err(failed(problem.into()));
        }
        encoding.truncate(most - added, 0, TruncationDirection::Right);
        let encoding = self
            .inner
            .post_process(encoding, None, true)
            .map_err(failed)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of tokens. Unknown ids give nothing; bytes that are not UTF-8 give U+FFFD. `skip_special` leaves out
    /// special tokens (BOS, end of turn).
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, TokenizerError> {
        self.inner
            .decode(ids, skip_special)
            .map_err(|e| self.error("decode", e))
    }

    /// One more than the largest id. A model's logits may be more, where its vocabulary is padded.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The id of a token by its exact spelling in the vocabulary, special and added tokens included.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// A token's spelling in the vocabulary.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    fn error(&self, action: &'static str, error: tokenizers::Error) -> TokenizerError {
        TokenizerError::Use {
            file: self.file.clone(),
            action,
            problem: error.to_string(),
        }
    }
}
