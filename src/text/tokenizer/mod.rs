//! Text to token ids and back, on Hugging Face tokenizers.
//!
//! What belongs here: reading a `tokenizer.json` and what other files add to it (`beside`), building the same from the
//! vocabulary of a GGUF file (`gguf`, with its tables and algorithms), encoding and decoding. What is absent: the bytes of
//! GGUF files (`files/`), and text that arrives token by token (`stream`).

mod beside;
mod byte_level;
mod distrust;
pub(crate) mod gguf;
mod memory;
mod model;
mod pieces;
mod plain;
pub(crate) mod pre_tokenizers;
mod precompiled;
mod sentence_piece;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessor, PostProcessorWrapper,
    PreTokenizerWrapper, TokenizerImpl, TruncationDirection,
};

pub(crate) use self::memory::estimate_file;
use self::model::TokenModel;
pub(crate) use self::pieces::SPACE_MARK;
pub use self::plain::Markers;
use crate::files::folder::Folder;
use crate::kernels::float_environment::FloatEnvironment;

/// The largest `tokenizer.json` that is read, in bytes: several times as large as the files of vocabularies with 256
/// thousand tokens.
pub const LARGEST_TOKENIZER: u64 = 256 << 20;

/// What went wrong with a tokenizer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// There is no tokenizer, or none of a known kind.
    #[error("{problem}, so it can neither read nor write text")]
    Missing {
        /// What is missing, and where.
        problem: String,
    },
    /// The file could not be read.
    #[error("cannot read {}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The error of the operating system.
        source: Arc<std::io::Error>,
    },
    /// The file has a tokenizer that cannot be used.
    #[error("{}: cannot use this tokenizer: {problem}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A text could not be encoded, or tokens could not be decoded.
    #[error("the tokenizer of {} can't {action}: {problem}", file.display())]
    Use {
        /// The file.
        file: PathBuf,
        /// The attempted action: "encode" or "decode".
        action: &'static str,
        /// What is wrong.
        problem: String,
    },
}

/// The pipeline of Hugging Face over a model from either source.
type Pipeline = TokenizerImpl<
    TokenModel,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

/// A tokenizer as its file describes it, except that it neither truncates nor pads: the files of encoders often request
/// both, which would silently lose the end of a prompt.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    file: PathBuf,
    pipeline: Pipeline,
    /// The same pipeline, but markers in a text are read as text. Built when first needed.
    plain: OnceLock<Box<Pipeline>>,
    /// The tokens before a text and after it, in addition to those of the pipeline's post-processor.
    around: [Vec<u32>; 2],
    ends: Vec<u32>,
    vocab_size: usize,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`, and no other file.
    ///
    /// # Errors
    /// If the file cannot be read or is larger than [`LARGEST_TOKENIZER`], or if its tokenizer cannot be used.
    pub fn open(path: &Path) -> Result<Self, TokenizerError> {
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(LARGEST_TOKENIZER + 1).read_to_end(&mut bytes))
            .map_err(|source| TokenizerError::Read {
                file: path.to_path_buf(),
                source: Arc::new(source),
            })?;
        Self::from_bytes(path, &bytes)
    }

    /// Reads a `tokenizer.json` in a folder, with the tokens that tokenizer_config.json, special_tokens_map.json and
    /// added_tokens.json add to it.
    ///
    /// # Errors
    /// If there is no such file, if one of the files cannot be read, if the tokenizer cannot be used, or if the files
    /// contradict each other.
    pub fn open_in(folder: &Folder, file: &str) -> Result<Self, TokenizerError> {
        let path = folder.path(file);
        let mut tokenizer = match folder {
            Folder::Memory { files, .. } => match files.get(file) {
                Some(bytes) => Self::from_bytes(&path, bytes)?,
                None => {
                    return Err(TokenizerError::Missing {
                        problem: format!("there is no {}", path.display()),
                    });
                }
            },
            Folder::Disk(_) => Self::open(&path)?,
        };
        tokenizer.add_beside(folder)?;
        Ok(tokenizer)
    }

    /// A tokenizer from the contents of a `tokenizer.json`; `label` replaces its path in errors.
    ///
    /// # Errors
    /// If the tokenizer cannot be used.
    pub fn from_bytes(label: &Path, bytes: &[u8]) -> Result<Self, TokenizerError> {
        let _environment = FloatEnvironment::set_default();
        let malformed = |problem: String| TokenizerError::Malformed {
            file: label.to_path_buf(),
            problem,
        };
        if bytes.len() as u64 > LARGEST_TOKENIZER {
            let most = LARGEST_TOKENIZER >> 20;
            return Err(malformed(format!(
                "the file is larger than {most} MiB, which is the most that is read"
            )));
        }
        let commas = bytes.iter().filter(|byte| **byte == b',').count();
        memory::FILE
            .ensure(commas, bytes.len())
            .map_err(malformed)?;
        distrust::check_file(bytes).map_err(malformed)?;
        let inner = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|error| malformed(error.to_string()))?;
        let vocab_size = inner
            .get_vocab(true)
            .into_values()
            .max()
            .map_or(0, |id| id as usize + 1);
        let inner = Arc::new(inner);
        let mut pipeline = Pipeline::new(TokenModel::File(inner.clone()));
        pipeline
            .with_normalizer(inner.get_normalizer().cloned())
            .with_pre_tokenizer(inner.get_pre_tokenizer().cloned())
            .with_post_processor(inner.get_post_processor().cloned())
            .with_decoder(inner.get_decoder().cloned())
            .with_added_vocabulary(inner.get_added_vocabulary().clone());
        Ok(Tokenizer {
            file: label.to_path_buf(),
            pipeline,
            plain: OnceLock::new(),
            around: Default::default(),
            ends: Vec::new(),
            vocab_size,
        })
    }

    /// The ids of the tokens of a text. `add_special` adds the tokens that belong around a text (BOS, CLS). Special tokens
    /// that are spelled out in the text become these tokens, which chat templates require.
    ///
    /// # Errors
    /// If the tokenizer fails on the text.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, TokenizerError> {
        let _environment = FloatEnvironment::set_default();
        let encoding = self
            .pipeline
            .encode_fast(text, add_special)
            .map_err(|e| self.error("encode", e))?;
        let ids = encoding.get_ids();
        if !add_special {
            return Ok(ids.to_vec());
        }
        let [before, after] = &self.around;
        Ok([before, ids, after].concat())
    }

    /// The ids of the tokens of a text, with the tokens that belong around it, at most `most` in total: the end of a longer
    /// text is cut off, and the tokens after it stay.
    ///
    /// # Errors
    /// As for [`Tokenizer::encode`].
    pub fn encode_cut(&self, text: &str, most: usize) -> Result<Vec<u32>, TokenizerError> {
        let _environment = FloatEnvironment::set_default();
        let failed = |e| self.error("encode", e);
        let mut encoding = self.pipeline.encode_fast(text, false).map_err(failed)?;
        let [before, after] = &self.around;
        let post = self.pipeline.get_post_processor();
        let added = before.len() + after.len() + post.map_or(0, |post| post.added_tokens(false));
        if added > most {
            let problem = format!("it puts {added} tokens around a text that may have {most}");
            return Err(failed(problem.into()));
        }
        encoding.truncate(most - added, 0, TruncationDirection::Right);
        let encoding = self
            .pipeline
            .post_process(encoding, None, true)
            .map_err(failed)?;
        Ok([before, encoding.get_ids(), after].concat())
    }

    /// The text of tokens. Unknown ids have no text; bytes that are not UTF-8 become U+FFFD. `skip_special` leaves out
    /// special tokens (BOS, end of turn).
    ///
    /// # Errors
    /// If the tokenizer fails on the tokens.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, TokenizerError> {
        if let Some(text) = self.pipeline.get_model().decode(ids, skip_special) {
            return Ok(text);
        }
        self.pipeline
            .decode(ids, skip_special)
            .map_err(|e| self.error("decode", e))
    }

    /// Adds the tokens that other files of the folder add to the `tokenizer.json`.
    fn add_beside(&mut self, folder: &Folder) -> Result<(), TokenizerError> {
        let tokens = beside::tokens(folder).map_err(|error| TokenizerError::Malformed {
            file: error.path,
            problem: error.problem,
        })?;
        let known = self.pipeline.get_added_vocabulary();
        let mut new: Vec<AddedToken> = Vec::new();
        for other in &tokens {
            let text = &other.token.content;
            let is_known = new.iter().any(|token| token.content == *text)
                || known.get_vocab().contains_key(text);
            let is_same = known
                .get_vocab()
                .get(text)
                .and_then(|id| known.get_added_tokens_decoder().get(id))
                .is_some_and(|token| *token == other.token);
            if !(is_same || other.only_new && is_known) {
                new.push(other.token.clone());
            }
        }
        let bytes = new.iter().map(|token| token.content.len()).sum();
        memory::ADDED
            .ensure(new.len(), bytes)
            .map_err(|problem| TokenizerError::Malformed {
                file: self.file.clone(),
                problem,
            })?;
        if !new.is_empty() {
            self.pipeline.add_tokens(&new);
        }
        for beside::Beside {
            file, token, id, ..
        } in &tokens
        {
            let found = self.pipeline.token_to_id(&token.content);
            if let (Some(id), Some(found)) = (id, found)
                && *id != found
            {
                return Err(TokenizerError::Malformed {
                    file: folder.path(file),
                    problem: format!(
                        "it gives the token {:?} the id {id}, but by {} the id is {found}",
                        token.content,
                        self.file.display()
                    ),
                });
            }
        }
        let added = self.pipeline.get_added_vocabulary().get_vocab().values();
        let added = added.max().map_or(0, |id| *id as usize + 1);
        self.vocab_size = self.vocab_size.max(added);
        Ok(())
    }

    /// One more than the largest id. A model may have more logits, if its vocabulary is padded.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The id of a token by its exact spelling in the vocabulary, including special and added tokens.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.pipeline.token_to_id(token)
    }

    /// The spelling of a token in the vocabulary.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.pipeline.id_to_token(id)
    }

    /// Special tokens in the vocabulary of a GGUF file whose spelling says that they end a text or a turn (`<|im_end|>`).
    /// Empty for a `tokenizer.json`, for which generation_config.json lists such tokens.
    pub fn end_tokens(&self) -> &[u32] {
        &self.ends
    }

    fn error(&self, action: &'static str, error: tokenizers::Error) -> TokenizerError {
        TokenizerError::Use {
            file: self.file.clone(),
            action,
            problem: error.to_string(),
        }
    }
}
