//! The algorithms for both sources of tokenizers, as one model for Hugging Face's pipeline.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::unigram::Unigram;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::{Model, Result, Token};

use super::byte_level;
use super::pieces::Pieces;
use super::sentence_piece::SentencePiece;

/// The model that turns words into tokens. Cheap to clone.
#[derive(Debug, Clone)]
pub enum TokenModel {
    /// From a `tokenizer.json`; only the model of the tokenizer is used.
    File(Arc<tokenizers::Tokenizer>),
    /// From a GGUF file.
    Gguf(Arc<GgufModel>),
}

/// The vocabulary of a GGUF file, and the algorithm that uses it.
#[derive(Debug)]
pub struct GgufModel {
    pub pieces: Pieces,
    pub algorithm: Algorithm,
}

/// How words become tokens.
#[derive(Debug)]
pub enum Algorithm {
    SentencePiece(SentencePiece),
    /// Byte-level BPE.
    Bytes {
        model: Box<BPE>,
        /// The token for bytes without a token.
        unknown: Option<u32>,
        /// Whether every byte has a token.
        complete: bool,
    },
    WordPiece(Box<WordPiece>),
    Unigram {
        model: Box<Unigram>,
        /// The id in the vocabulary for each id in the model; the first is for unknown characters.
        ids: Vec<u32>,
        /// The tokens of bytes, for unknown characters.
        bytes: Box<[Option<u32>; 256]>,
    },
}

impl GgufModel {
    fn tokenize(&self, word: &str) -> Result<Vec<u32>> {
        let of = |tokens: Vec<Token>| tokens.into_iter().map(|token| token.id).collect();
        Ok(match &self.algorithm {
            Algorithm::SentencePiece(rules) => rules.tokenize(&self.pieces, word)?,
            Algorithm::WordPiece(model) => of(model.tokenize(word)?),
            Algorithm::Bytes {
                model,
                unknown,
                complete,
            } => {
                let mut spelling = [0; 4];
                let missing = |c: &char| self.pieces.id(c.encode_utf8(&mut spelling)).is_none();
                if !complete
                    && unknown.is_none()
                    && let Some(missing) = word.chars().find(missing)
                {
                    let byte = byte_level::byte(missing).unwrap_or_default();
                    return Err(
                        format!("the vocabulary has no token for the byte 0x{byte:02X}").into(),
                    );
                }
                of(model.tokenize(word)?)
            }
            Algorithm::Unigram { model, ids, bytes } => {
                let mut out = Vec::new();
                for token in model.tokenize(word)? {
                    let byte = |byte: u8| bytes.get(usize::from(byte)).copied().flatten();
                    let spelled: Option<Vec<u32>> = match token.id {
                        0 => token.value.bytes().map(byte).collect(),
                        _ => None,
                    };
                    match spelled {
                        Some(spelled) => out.extend(spelled),
                        None => out.extend(ids.get(token.id as usize)),
                    }
                }
                out
            }
        })
    }
}

impl TokenModel {
    /// The text of tokens, or `None` if the decoder of the pipeline must compose it.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Option<String> {
        match self {
            TokenModel::File(_) => None,
            TokenModel::Gguf(model) => model.pieces.decode(ids, skip_special),
        }
    }
}

impl Model for TokenModel {
    type Trainer = TrainerWrapper;

    fn tokenize(&self, sequence: &str) -> Result<Vec<Token>> {
        match self {
            TokenModel::File(tokenizer) => tokenizer.get_model().tokenize(sequence),
            TokenModel::Gguf(model) => {
                let ids = model.tokenize(sequence)?.into_iter();
                Ok(ids
                    .map(|id| Token::new(id, String::new(), (0, 0)))
                    .collect())
            }
        }
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        match self {
            TokenModel::File(tokenizer) => tokenizer.get_model().token_to_id(token),
            TokenModel::Gguf(model) => model.pieces.id(token),
        }
    }

    fn id_to_token(&self, id: u32) -> Option<String> {
        match self {
            TokenModel::File(tokenizer) => tokenizer.get_model().id_to_token(id),
            TokenModel::Gguf(model) => model.pieces.text(id).map(str::to_string),
        }
    }

    fn get_vocab(&self) -> HashMap<String, u32> {
        match self {
            TokenModel::File(tokenizer) => tokenizer.get_model().get_vocab(),
            TokenModel::Gguf(model) => {
                let tokens = model.pieces.iter();
                tokens.map(|(id, text, _)| (text.to_string(), id)).collect()
            }
        }
    }

    fn get_vocab_size(&self) -> usize {
        match self {
            TokenModel::File(tokenizer) => tokenizer.get_model().get_vocab_size(),
            TokenModel::Gguf(model) => model.pieces.len(),
        }
    }

    fn save(&self, folder: &Path, prefix: Option<&str>) -> Result<Vec<PathBuf>> {
        match self {
            TokenModel::File(tokenizer) => tokenizer.get_model().save(folder, prefix),
            TokenModel::Gguf(_) => Err("a GGUF file's vocabulary is only read".into()),
        }
    }

    fn get_trainer(&self) -> TrainerWrapper {
        match self {
            TokenModel::File(tokenizer) => tokenizer.get_model().get_trainer(),
            TokenModel::Gguf(_) => TrainerWrapper::BpeTrainer(BpeTrainer::default()),
        }
    }
}
