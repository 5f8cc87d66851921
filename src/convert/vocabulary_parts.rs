//! How the parts of a `tokenizer.json` are written in a GGUF file's vocabulary, for each kind of model.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::gguf_file::NewKey;
use super::vocabulary_tokens::Tokens;
use crate::text::tokenizer::gguf::LONGEST_WORD;
use crate::text::tokenizer::{SPACE_MARK, pre_tokenizers};

/// What a tokenizer's model and its parts become.
pub(super) struct Written {
    pub model: &'static str,
    pub keys: Vec<NewKey>,
    /// The scores of pieces by their spelling, where pieces have scores; pieces that no merge produces are left out.
    pub scores: Option<BTreeMap<String, f32>>,
    pub unknown: Option<u32>,
    /// Whether the kind of the vocabulary already says which tokens are put around a text.
    pub encloses: bool,
}

/// A part's own parts: the parts of a Sequence, or the part itself; none if it is null.
fn flat<'j>(json: &'j Json, name: &str, of: &str) -> Vec<&'j Json> {
    match json.get(name) {
        None | Some(Json::Null) => Vec::new(),
        Some(part) => match part.get(of).and_then(Json::as_array) {
            Some(parts) if kind(part) == "Sequence" => parts.iter().collect(),
            _ => vec![part],
        },
    }
}

fn normalizers(json: &Json) -> Vec<&Json> {
    flat(json, "normalizer", "normalizers")
}

fn pre_tokenizers(json: &Json) -> Vec<&Json> {
    flat(json, "pre_tokenizer", "pretokenizers")
}

fn kind(part: &Json) -> &str {
    text(part, "type").unwrap_or("")
}

fn flag(part: &Json, name: &str) -> Option<bool> {
    part.get(name)?.as_bool()
}

fn text<'j>(part: &'j Json, name: &str) -> Option<&'j str> {
    part.get(name)?.as_str()
}

/// What a part looks for: an expression (`Regex`) or a text (`String`).
fn pattern<'j>(part: &'j Json, kind: &str) -> Option<&'j str> {
    text(part.get("pattern")?, kind)
}

/// The error for a part that can't be written.
fn refusal(place: &str, part: &Json) -> String {
    let text: String = part.to_string().chars().take(200).collect();
    format!("{place}: {text} can't be written in a GGUF file's vocabulary")
}

/// Whether a BPE model spells bytes.
pub(super) fn is_byte_level(json: &Json) -> bool {
    pre_tokenizers(json)
        .iter()
        .any(|part| kind(part) == "ByteLevel")
}

/// Refuses options of BPE that change what it does.
fn check_bpe(model: &Json) -> Result<(), String> {
    for name in ["continuing_subword_prefix", "end_of_word_suffix"] {
        if let Some(text) = text(model, name).filter(|text| !text.is_empty()) {
            return Err(format!("model: \"{name}\": {text:?} can't be written"));
        }
    }
    match model.get("dropout").and_then(Json::as_f64) {
        Some(dropout) if dropout != 0.0 => {
            Err(format!("model: \"dropout\": {dropout} can't be written"))
        }
        _ => Ok(()),
    }
}

/// The pairs that are joined, in the order of their priority.
fn merges(model: &Json) -> Result<Vec<(&str, &str)>, String> {
    let merges = model.get("merges").and_then(Json::as_array);
    let merges = merges.ok_or("model: it has no list \"merges\"")?;
    fn split(merge: &Json) -> Option<(&str, &str)> {
        match merge {
            Json::String(text) => text.split_once(' '),
            Json::Array(parts) => match parts.as_slice() {
                [left, right] => Some((left.as_str()?, right.as_str()?)),
                _ => None,
            },
            _ => None,
        }
    }
    merges
        .iter()
        .map(|merge| split(merge).ok_or_else(|| format!("model: the merge {merge} is not a pair")))
        .collect()
}

/// Byte-level BPE.
pub(super) fn byte_level(json: &Json, model: &Json, tokens: &Tokens) -> Result<Written, String> {
    check_bpe(model)?;
    for part in normalizers(json) {
        if kind(part) != "NFC" {
            return Err(refusal("normalizer", part));
        }
    }
    let parts = pre_tokenizers(json);
    let mut cuts = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        match cut(part)? {
            Cut::By(cut) => cuts.push(cut),
            Cut::Bytes { cut } if index + 1 == parts.len() => cuts.extend(cut),
            Cut::Bytes { .. } => {
                return Err(refusal(
                    "pre_tokenizer",
                    json.get("pre_tokenizer").unwrap_or(part),
                ));
            }
        }
    }
    let whole_words = flag(model, "ignore_merges").unwrap_or(false);
    let Some(name) = pre_tokenizers::of_cuts(&cuts, whole_words) else {
        let also = match pre_tokenizers::of_cuts(&cuts, !whole_words) {
            Some(name) => format!(
                " (`{name}` has the same expressions, but its models have \"ignore_merges\": {})",
                !whole_words
            ),
            None => String::new(),
        };
        return Err(format!(
            "pre_tokenizer: no known name of tokenizer.ggml.pre stands for its expressions {cuts:?}{also}"
        ));
    };
    let mut lines = Vec::new();
    for (left, right) in merges(model)? {
        if left.contains(' ') || right.contains(' ') {
            return Err(format!(
                "model: the merge of {left:?} and {right:?} has a space"
            ));
        }
        lines.push(format!("{left} {right}"));
    }
    Ok(Written {
        model: "gpt2",
        keys: vec![
            NewKey::text("tokenizer.ggml.pre", name),
            NewKey::texts("tokenizer.ggml.merges", lines.iter().map(String::as_str)),
        ],
        scores: None,
        unknown: text(model, "unk_token").and_then(|text| tokens.id(text)),
        encloses: false,
    })
}

/// What a part of a byte-level pre-tokenizer does.
enum Cut {
    /// Cuts at the matches of an expression.
    By(String),
    /// Spells bytes, after its own cut.
    Bytes { cut: Option<String> },
}

fn cut(part: &Json) -> Result<Cut, String> {
    let refused = || refusal("pre_tokenizer", part);
    match kind(part) {
        "ByteLevel" if flag(part, "add_prefix_space") == Some(true) => Err(refused()),
        "ByteLevel" => {
            let own = flag(part, "use_regex").unwrap_or(true);
            let cut = own.then(|| pre_tokenizers::GPT2.to_string());
            Ok(Cut::Bytes { cut })
        }
        "Digits" => Ok(Cut::By(match flag(part, "individual_digits") {
            Some(true) => r"\p{N}".to_string(),
            _ => r"\p{N}+".to_string(),
        })),
        "Split" => {
            let isolated = text(part, "behavior") == Some("Isolated");
            let inverted = flag(part, "invert") == Some(true);
            match pattern(part, "Regex") {
                Some(cut) if isolated && !inverted => Ok(Cut::By(cut.to_string())),
                _ => Err(refused()),
            }
        }
        _ => Err(refused()),
    }
}

/// BPE as SentencePiece has it: a mark for spaces, tokens of bytes, and a score for each piece.
pub(super) fn sentence_piece(
    json: &Json,
    model: &Json,
    tokens: &mut Tokens,
) -> Result<Written, String> {
    check_bpe(model)?;
    if flag(model, "byte_fallback") != Some(true) {
        return Err(format!(
            "model: BPE without \"byte_fallback\" and with the pre_tokenizer {} is neither byte-level nor SentencePiece BPE",
            json.get("pre_tokenizer").unwrap_or(&Json::Null)
        ));
    }
    let (mut prefixed, mut marked) = (false, false);
    for part in normalizers(json) {
        match kind(part) {
            "Prepend" if text(part, "prepend") == Some(SPACE_MARK) => prefixed = true,
            "Replace"
                if pattern(part, "String") == Some(" ")
                    && text(part, "content") == Some(SPACE_MARK) =>
            {
                marked = true;
            }
            _ => return Err(refusal("normalizer", part)),
        }
    }
    for part in pre_tokenizers(json) {
        match kind(part) {
            "Metaspace"
                if text(part, "replacement") == Some(SPACE_MARK)
                    && flag(part, "split") == Some(false) =>
            {
                marked = true;
                prefixed |= match text(part, "prepend_scheme") {
                    Some(scheme) => scheme != "never",
                    None => flag(part, "add_prefix_space").unwrap_or(true),
                };
            }
            // There are no spaces left to cut at.
            "Split" if marked && pattern(part, "String") == Some(" ") => {}
            _ => return Err(refusal("pre_tokenizer", part)),
        }
    }
    if !marked {
        return Err("normalizer: nothing replaces spaces with \"▁\"".to_string());
    }
    tokens.mark_bytes();
    let unknown = text(model, "unk_token");
    let mut scores = BTreeMap::new();
    for (rank, (left, right)) in merges(model)?.into_iter().enumerate() {
        scores
            .entry([left, right].concat())
            .or_insert(-(rank as f32));
    }
    Ok(Written {
        model: "llama",
        // Programs that know several ways to apply SentencePiece use the usual one.
        keys: vec![
            NewKey::text("tokenizer.ggml.pre", "default"),
            NewKey::bool("tokenizer.ggml.add_space_prefix", prefixed),
        ],
        scores: Some(scores),
        unknown: unknown.and_then(|text| tokens.mark_unknown(text)),
        encloses: false,
    })
}

/// WordPiece as BERT has it.
pub(super) fn word_piece(
    json: &Json,
    model: &Json,
    tokens: &mut Tokens,
) -> Result<Written, String> {
    let prefix = text(model, "continuing_subword_prefix");
    if prefix.is_some_and(|prefix| prefix != "##") {
        return Err(format!(
            "model: \"continuing_subword_prefix\": {prefix:?}; it must be \"##\""
        ));
    }
    let longest = model.get("max_input_chars_per_word").and_then(Json::as_u64);
    if longest.is_some_and(|longest| longest != LONGEST_WORD as u64) {
        return Err(format!(
            "model: \"max_input_chars_per_word\": {longest:?}; it must be 100"
        ));
    }
    let normalizers = normalizers(json);
    let [normalizer] = normalizers[..] else {
        return Err("normalizer: expected one BertNormalizer".to_string());
    };
    let complete = |name| flag(normalizer, name).unwrap_or(true);
    if kind(normalizer) != "BertNormalizer"
        || !complete("clean_text")
        || !complete("handle_chinese_chars")
    {
        return Err(refusal("normalizer", normalizer));
    }
    match pre_tokenizers(json)[..] {
        [part] if kind(part) == "BertPreTokenizer" => {}
        _ => {
            return Err(refusal(
                "pre_tokenizer",
                json.get("pre_tokenizer").unwrap_or(&Json::Null),
            ));
        }
    }
    let unknown = text(model, "unk_token").unwrap_or("[UNK]");
    let lowercase = flag(normalizer, "lowercase").unwrap_or(true);
    let strip_accents = flag(normalizer, "strip_accents").unwrap_or(lowercase);
    let unknown = tokens
        .mark_control(unknown)
        .ok_or_else(|| format!("model: its unknown token {unknown:?} is not a token"))?;
    tokens.respell();
    Ok(Written {
        model: "bert",
        keys: vec![
            NewKey::bool("tokenizer.ggml.normalizer.lowercase", lowercase),
            NewKey::bool("tokenizer.ggml.normalizer.strip_accents", strip_accents),
        ],
        scores: None,
        unknown: Some(unknown),
        encloses: true,
    })
}
