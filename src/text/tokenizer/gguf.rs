//! Building a tokenizer from the vocabulary of a GGUF file.

use std::sync::{Arc, OnceLock};

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::unigram::Unigram;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::{BertNormalizer, Prepend, Replace, Sequence, Strip};
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{AddedToken, NormalizerWrapper};

use super::byte_level;
use super::distrust::check_unigram;
use super::memory;
use super::model::{Algorithm, GgufModel, TokenModel};
use super::pieces::{Pieces, SPACE_MARK, Spelling, TokenKind};
use super::pre_tokenizers::{self, PreTokenizer};
use super::precompiled::precompiled;
use super::sentence_piece::SentencePiece;
use super::{Pipeline, Tokenizer, TokenizerError};
use crate::files::gguf::Metadata;
use crate::kernels::float_environment::FloatEnvironment;
use crate::language::diagnostics::{nearest, shortened};
use crate::language::value::Value;

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const TOKENS: &str = "tokenizer.ggml.tokens";
const KINDS: &str = "tokenizer.ggml.token_type";
const SCORES: &str = "tokenizer.ggml.scores";
const MERGES: &str = "tokenizer.ggml.merges";
const CHARSMAP: &str = "tokenizer.ggml.precompiled_charsmap";

/// The longest word, in characters, that WordPiece splits; longer words are unknown.
pub(crate) const LONGEST_WORD: usize = 100;

/// The spellings of special tokens that end a text or a turn.
const ENDS: [&str; 16] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<turn|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<｜end▁of▁sentence｜>",
];

impl Tokenizer {
    /// Builds the tokenizer that the vocabulary of a GGUF file describes (`tokenizer.ggml.…`): SentencePiece BPE ("llama"),
    /// byte-level BPE ("gpt2"), WordPiece ("bert") or Unigram ("t5").
    ///
    /// # Errors
    /// If there is no vocabulary, or if it is of an unknown kind or damaged.
    pub fn from_gguf(metadata: &Metadata) -> Result<Self, TokenizerError> {
        let _environment = FloatEnvironment::set_default();
        build(metadata)
    }

    /// Checks that a GGUF file has a vocabulary of a known kind. Reads no tokens, and so costs nothing.
    ///
    /// # Errors
    /// If there is no vocabulary, or if it is of an unknown kind.
    pub fn check_gguf(metadata: &Metadata) -> Result<(), TokenizerError> {
        check(metadata).map(|_| ())
    }

    /// The approximate size in bytes of the tokenizer of a GGUF file; 0 if there is none of a known kind.
    pub fn estimate_gguf(metadata: &Metadata) -> usize {
        let (entries, bytes) = spellings(metadata);
        check(metadata).map_or(0, |kind| needs(kind).estimate(entries, bytes))
    }
}

/// The kinds of vocabularies.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// "llama".
    SentencePiece,
    /// "gpt2", with its way of splitting a text into words.
    Bytes(&'static PreTokenizer),
    /// "bert".
    WordPiece,
    /// "t5".
    Unigram,
}

/// The memory that a vocabulary of this kind needs.
fn needs(kind: Kind) -> memory::Needs {
    match kind {
        Kind::SentencePiece => memory::SENTENCE_PIECE,
        Kind::Bytes(_) => memory::BYTE_LEVEL,
        Kind::WordPiece => memory::WORD_PIECE,
        Kind::Unigram => memory::UNIGRAM,
    }
}

/// The number of tokens and merge rules, and the bytes of their spellings.
fn spellings(metadata: &Metadata) -> (usize, usize) {
    let (mut entries, mut bytes) = (0usize, 0usize);
    for key in [TOKENS, MERGES] {
        // Each text is preceded by eight bytes with its length.
        let count = metadata.array_len(key).unwrap_or(0);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let length = metadata.raw(key).map_or(0, |(_, raw)| raw.len());
        entries = entries.saturating_add(count);
        bytes = bytes.saturating_add(length.saturating_sub(count.saturating_mul(8)));
    }
    (entries, bytes)
}

/// The kind of vocabulary in the file.
pub(super) fn check(metadata: &Metadata) -> Result<Kind, TokenizerError> {
    let missing = |what: String| TokenizerError::Missing {
        problem: format!("{}: {what}", metadata.path().display()),
    };
    let model = metadata.text(MODEL);
    // The values in files that were made without a vocabulary.
    let model = model.filter(|model| !matches!(model.as_str(), "no_vocab" | "none"));
    let Some(model) = model else {
        return Err(missing(format!(
            "the file has no vocabulary ({MODEL} is missing)"
        )));
    };
    let kind = match model.as_str() {
        "llama" => Kind::SentencePiece,
        "bert" => Kind::WordPiece,
        "t5" => Kind::Unigram,
        "gpt2" => {
            let Some(name) = metadata.text(PRE) else {
                return Err(missing(format!(
                    "the vocabulary does not say how words are cut ({PRE} is missing)"
                )));
            };
            match pre_tokenizers::named(&name) {
                Some(known) => Kind::Bytes(known),
                None => {
                    let known = pre_tokenizers::names();
                    let near = nearest(&name, known.iter().copied());
                    let near =
                        near.map_or(String::new(), |near| format!(", the nearest is `{near}`"));
                    return Err(missing(format!(
                        "{PRE} is `{}`, a pre-tokenizer that is not known{near}; known are {}",
                        shortened(&name, 100),
                        known.join(", ")
                    )));
                }
            }
        }
        other => {
            return Err(missing(format!(
                "{MODEL} is `{}`, a kind of vocabulary that is not known; known are llama, gpt2, bert and t5",
                shortened(other, 100)
            )));
        }
    };
    if metadata.array_len(TOKENS).is_none_or(|tokens| tokens == 0) {
        return Err(missing(format!(
            "the vocabulary has no tokens ({TOKENS} is missing or empty)"
        )));
    }
    Ok(kind)
}

/// The tokenizer for the vocabulary of the file.
pub(super) fn build(metadata: &Metadata) -> Result<Tokenizer, TokenizerError> {
    let kind = check(metadata)?;
    Builder { metadata }
        .build(kind)
        .map_err(|problem| TokenizerError::Malformed {
            file: metadata.path().to_path_buf(),
            problem,
        })
}

struct Builder<'m> {
    metadata: &'m Metadata,
}

/// The parts from which a pipeline is built.
struct Parts {
    pieces: Pieces,
    algorithm: Algorithm,
    normalizer: Option<NormalizerWrapper>,
    pre_tokenizer: Option<tokenizers::PreTokenizerWrapper>,
    decoder: Option<tokenizers::DecoderWrapper>,
    around: [Vec<u32>; 2],
}

impl Builder<'_> {
    fn build(&self, kind: Kind) -> Result<Tokenizer, String> {
        self.ensure_memory(kind)?;
        let parts = match kind {
            Kind::SentencePiece => self.sentence_piece()?,
            Kind::Bytes(cut) => self.bytes(cut)?,
            Kind::WordPiece => self.word_piece()?,
            Kind::Unigram => self.unigram()?,
        };
        let pieces = &parts.pieces;
        let vocab_size = pieces.len();
        let is_added = |kind: TokenKind| kind.is_special() || kind == TokenKind::UserDefined;
        let (mut added, mut bytes) = (0, 0);
        for (_, text, _) in pieces.iter().filter(|(_, _, kind)| is_added(*kind)) {
            (added, bytes) = (added + 1, bytes + text.len());
        }
        memory::ADDED.ensure(added, bytes)?;
        let added: Vec<AddedToken> = pieces
            .iter()
            .filter(|(_, _, kind)| is_added(*kind))
            .map(|(_, text, kind)| AddedToken::from(text, kind.is_special()).normalized(false))
            .collect();
        let ends = ends(pieces);
        let mut pipeline = Pipeline::new(TokenModel::Gguf(Arc::new(GgufModel {
            pieces: parts.pieces,
            algorithm: parts.algorithm,
        })));
        pipeline
            .with_normalizer(parts.normalizer)
            .with_pre_tokenizer(parts.pre_tokenizer)
            .with_decoder(parts.decoder);
        pipeline.add_tokens(&added);
        Ok(Tokenizer {
            file: self.metadata.path().to_path_buf(),
            pipeline,
            plain: OnceLock::new(),
            around: parts.around,
            ends,
            vocab_size,
        })
    }

    /// Fails if the system does not have the memory that the vocabulary needs, without the memory for tokens that are found
    /// first.
    fn ensure_memory(&self, kind: Kind) -> Result<(), String> {
        let (entries, bytes) = spellings(self.metadata);
        needs(kind).ensure(entries, bytes)
    }

    fn sentence_piece(&self) -> Result<Parts, String> {
        let texts = self.texts()?;
        let kinds = self.kinds(&texts, true)?;
        let scores = self.scores(texts.len())?;
        let prefixed = self.flag("add_space_prefix").unwrap_or(true);
        let pieces = Pieces::new(texts, kinds, Spelling::Spaces { prefixed })?;
        let algorithm = Algorithm::SentencePiece(SentencePiece {
            scores,
            bytes: pieces.bytes(),
            unknown: self.special(&pieces, "unknown_token_id", Some(0))?,
            add_space_prefix: prefixed,
        });
        let bos = self.special(&pieces, "bos_token_id", Some(1))?;
        let eos = self.special(&pieces, "eos_token_id", Some(2))?;
        Ok(Parts {
            around: [
                self.added("add_bos_token", true, "bos_token_id", bos)?,
                self.added("add_eos_token", false, "eos_token_id", eos)?,
            ],
            pieces,
            algorithm,
            normalizer: None,
            pre_tokenizer: None,
            decoder: None,
        })
    }

    fn bytes(&self, cut: &PreTokenizer) -> Result<Parts, String> {
        let texts = self.texts()?;
        let kinds = self.kinds(&texts, false)?;
        let vocabulary = vocabulary(&texts);
        let pieces = Pieces::new(texts, kinds, Spelling::ByteLevel)?;
        let Some(lines) = self.metadata.texts(MERGES)? else {
            return Err(format!("{MERGES} is missing"));
        };
        // Merges that no text can reach are left out: those that do not name two tokens, or whose result is not a token.
        let known = |text: &str| pieces.id(text).is_some();
        let usable = |line: &&str| {
            // The first character may itself be a space.
            let first = line.chars().next().map_or(0, char::len_utf8);
            let space = first + line.get(first..)?.find(' ')?;
            let (left, right) = (line.get(..space)?, line.get(space + 1..)?);
            let is_usable = known(left) && known(right) && known(&[left, right].concat());
            is_usable.then(|| (left.to_string(), right.to_string()))
        };
        let merges = lines.iter().filter_map(usable).collect();
        let unknown = self.special(&pieces, "unknown_token_id", None)?;
        let mut model = BPE::builder()
            .vocab_and_merges(vocabulary, merges)
            .ignore_merges(cut.whole_words);
        if let Some(text) = unknown.and_then(|id| pieces.text(id)) {
            model = model.unk_token(text.to_string());
        }
        let complete = (0..=255).all(|byte| {
            let mut spelling = [0; 4];
            let character = byte_level::character(byte);
            pieces.id(character.encode_utf8(&mut spelling)).is_some()
        });
        let bos = self.special(&pieces, "bos_token_id", None)?;
        let eos = self.special(&pieces, "eos_token_id", None)?;
        // If only the way of splitting requires BOS, there may be no such token.
        let add_bos = cut.add_bos && bos.is_some();
        Ok(Parts {
            around: [
                self.added("add_bos_token", add_bos, "bos_token_id", bos)?,
                self.added("add_eos_token", false, "eos_token_id", eos)?,
            ],
            pieces,
            algorithm: Algorithm::Bytes {
                model: Box::new(model.build().map_err(|e| e.to_string())?),
                unknown,
                complete,
            },
            normalizer: None,
            pre_tokenizer: Some(cut.build().map_err(|e| e.to_string())?),
            decoder: None,
        })
    }

    fn word_piece(&self) -> Result<Parts, String> {
        let texts = self.texts()?;
        let kinds = self.kinds(&texts, false)?;
        // The file marks tokens that begin a word; WordPiece marks tokens that continue one.
        let respelled = texts.iter().zip(&kinds).map(|(text, kind)| {
            match (kind.is_special(), text.strip_prefix(SPACE_MARK)) {
                (true, _) => text.clone(),
                (false, Some(start)) => start.into(),
                (false, None) => format!("##{text}").into(),
            }
        });
        let texts: Vec<Arc<str>> = respelled.collect();
        let vocabulary = vocabulary(&texts);
        let pieces = Pieces::new(texts, kinds, Spelling::WordPiece)?;
        let cls = match self.special(&pieces, "cls_token_id", None)? {
            Some(cls) => Some(cls),
            None => self.special(&pieces, "bos_token_id", Some(101))?,
        };
        // The name of the key is misspelled in the specification.
        let sep = match self.special(&pieces, "seperator_token_id", None)? {
            Some(sep) => Some(sep),
            None => self.special(&pieces, "separator_token_id", Some(102))?,
        };
        let unknown = self.special(&pieces, "unknown_token_id", Some(100))?;
        let Some(unknown) = unknown.and_then(|id| pieces.text(id)) else {
            return Err("there is no unknown token (tokenizer.ggml.unknown_token_id)".to_string());
        };
        let model = WordPiece::builder()
            .vocab(vocabulary)
            .unk_token(unknown.to_string())
            .continuing_subword_prefix("##".to_string())
            .max_input_chars_per_word(LONGEST_WORD)
            .build()
            .map_err(|e| e.to_string())?;
        let lowercase = self.flag("normalizer.lowercase").unwrap_or(true);
        let strip_accents = self.flag("normalizer.strip_accents").unwrap_or(lowercase);
        let normalizer = BertNormalizer::new(true, true, Some(strip_accents), lowercase);
        Ok(Parts {
            around: [Vec::from_iter(cls), Vec::from_iter(sep)],
            pieces,
            algorithm: Algorithm::WordPiece(Box::new(model)),
            normalizer: Some(normalizer.into()),
            pre_tokenizer: Some(BertPreTokenizer.into()),
            decoder: Some(tokenizers::decoders::wordpiece::WordPiece::default().into()),
        })
    }

    fn unigram(&self) -> Result<Parts, String> {
        let texts = self.texts()?;
        let kinds = self.kinds(&texts, true)?;
        let scores = self.scores(texts.len())?;
        let prefixed = self.flag("add_space_prefix").unwrap_or(true);
        let pieces = Pieces::new(texts, kinds, Spelling::Spaces { prefixed })?;
        let unknown = self.special(&pieces, "unknown_token_id", Some(2))?;
        let Some((unknown, text)) = unknown.and_then(|id| Some((id, pieces.text(id)?))) else {
            return Err("there is no unknown token (tokenizer.ggml.unknown_token_id)".to_string());
        };
        let mut ids = vec![unknown];
        let mut vocabulary = vec![(text.to_string(), 0.0)];
        for ((id, text, kind), score) in pieces.iter().zip(&scores) {
            check_unigram(id, text)?;
            if kind.is_text() && id != unknown && !text.is_empty() {
                ids.push(id);
                vocabulary.push((text.to_string(), f64::from(*score)));
            }
        }
        let model = Unigram::from(vocabulary, Some(0), false).map_err(|e| e.to_string())?;
        let mut steps: Vec<NormalizerWrapper> = Vec::new();
        if let Some(table) = self.metadata.byte_array(CHARSMAP)? {
            steps.push(precompiled(&table)?.into());
        }
        let replace = |from: &str, to: &str| {
            use tokenizers::normalizers::replace::ReplacePattern;
            let pattern = ReplacePattern::Regex(from.to_string());
            Replace::new(pattern, to).map_err(|e| e.to_string())
        };
        if self.flag("remove_extra_whitespaces").unwrap_or(false) {
            steps.push(Strip::new(true, true).into());
            steps.push(replace(" {2,}", " ")?.into());
        }
        if prefixed {
            steps.push(Prepend::new(SPACE_MARK.to_string()).into());
        }
        steps.push(replace(" ", SPACE_MARK)?.into());
        let bos = self.special(&pieces, "bos_token_id", None)?;
        let eos = self.special(&pieces, "eos_token_id", Some(1))?;
        Ok(Parts {
            around: [
                self.added("add_bos_token", false, "bos_token_id", bos)?,
                self.added("add_eos_token", true, "eos_token_id", eos)?,
            ],
            algorithm: Algorithm::Unigram {
                model: Box::new(model),
                ids,
                bytes: pieces.bytes(),
            },
            pieces,
            normalizer: Some(Sequence::new(steps).into()),
            pre_tokenizer: None,
            decoder: None,
        })
    }

    fn texts(&self) -> Result<Vec<Arc<str>>, String> {
        let texts = self.metadata.texts(TOKENS)?.unwrap_or_default();
        Ok(texts.into_iter().map(Arc::from).collect())
    }

    /// The kinds of the tokens. If the file does not state them, all are normal; with `bytes`, tokens spelled like `<0x0A>`
    /// are bytes.
    fn kinds(&self, texts: &[Arc<str>], bytes: bool) -> Result<Vec<TokenKind>, String> {
        let Some(numbers) = self.metadata.integers(KINDS)? else {
            let kind = |text: &Arc<str>| match bytes && text.len() == 6 && text.starts_with("<0x") {
                true => TokenKind::Byte,
                false => TokenKind::Normal,
            };
            return Ok(texts.iter().map(kind).collect());
        };
        same_length(KINDS, numbers.len(), texts.len())?;
        let kind = |(id, number): (usize, &i32)| {
            TokenKind::of_number(*number)
                .ok_or_else(|| format!("{KINDS} of token {id} is {number}; known are 0 to 6"))
        };
        numbers.iter().enumerate().map(kind).collect()
    }

    fn scores(&self, tokens: usize) -> Result<Vec<f32>, String> {
        let Some(scores) = self.metadata.floats(SCORES)? else {
            return Err(format!("{SCORES} is missing"));
        };
        same_length(SCORES, scores.len(), tokens)?;
        match scores.iter().position(|score| !score.is_finite()) {
            Some(id) => Err(format!("{SCORES} of token {id} is not finite")),
            None => Ok(scores),
        }
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.metadata.flag(&format!("tokenizer.ggml.{key}"))
    }

    /// The id in a key; if the file has no such key, the usual id, provided that the vocabulary is large enough.
    fn special(
        &self,
        pieces: &Pieces,
        key: &str,
        usual: Option<u32>,
    ) -> Result<Option<u32>, String> {
        let key = format!("tokenizer.ggml.{key}");
        // The first of several is the one to put around texts.
        let first = || match self.metadata.get(&key)? {
            Value::List(ids) => ids.first()?.as_int(),
            _ => None,
        };
        let Some(id) = self.metadata.integer(&key).or_else(first) else {
            return Ok(usual.filter(|&id| (id as usize) < pieces.len()));
        };
        match u32::try_from(id) {
            Ok(known) if (known as usize) < pieces.len() => Ok(Some(known)),
            // The values that files use for "none".
            _ if id == -1 || id == i64::from(u32::MAX) => Ok(None),
            _ => Err(format!(
                "{key} is {id}, but the vocabulary has {} tokens",
                pieces.len()
            )),
        }
    }

    /// The token that is put before or after texts if the key says so, or, without the key, if `usual` does.
    fn added(
        &self,
        key: &str,
        usual: bool,
        id_key: &str,
        id: Option<u32>,
    ) -> Result<Vec<u32>, String> {
        if !self.flag(key).unwrap_or(usual) {
            return Ok(Vec::new());
        }
        match id {
            Some(id) => Ok(vec![id]),
            None => Err(format!(
                "texts need a token that tokenizer.ggml.{id_key} does not name (tokenizer.ggml.{key})"
            )),
        }
    }
}

/// Spellings and ids in the form that Hugging Face's models need.
fn vocabulary(texts: &[Arc<str>]) -> Vocab {
    let tokens = (0..).zip(texts).filter(|(_, text)| !text.is_empty());
    tokens.map(|(id, text)| (text.to_string(), id)).collect()
}

fn same_length(key: &str, found: usize, tokens: usize) -> Result<(), String> {
    if found == tokens {
        return Ok(());
    }
    Err(format!(
        "{key} has {found} values, but there are {tokens} tokens"
    ))
}

/// The special tokens whose spelling ends a text.
fn ends(pieces: &Pieces) -> Vec<u32> {
    let special = |text: &str| {
        let id = pieces.id(text)?;
        (pieces.kind(id)? == TokenKind::Control).then_some(id)
    };
    // In formats with <|return|> and <|call|>, <|end|> only ends one of several messages.
    let goes_on = special("<|return|>").is_some() && special("<|call|>").is_some();
    let ends = ENDS.iter().filter(|text| !(goes_on && **text == "<|end|>"));
    ends.filter_map(|text| special(text)).collect()
}
