//! From a `tokenizer.json` to a GGUF file's vocabulary (`tokenizer.ggml.…`), as the reader of such files takes it.
//!
//! Byte-level BPE becomes "gpt2", BPE of SentencePiece "llama", WordPiece "bert". What such a vocabulary can't say is an
//! error that names the part of the file and what stands there; but a normalizer that only composes characters (NFC) is
//! left out, as it is in the files of other converters.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::pieces::SPACE_MARK;
use super::{Tokenizer, parts};
use crate::load::gguf::write::NewKey;

const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// The most ids without a token.
const MOST_GAPS: usize = 1 << 20;
/// The score of a piece that no merge gives.
const LEAST_SCORE: f32 = -1e9;

/// What else is known of a tokenizer besides its file.
#[derive(Debug, Default)]
pub struct Known {
    /// How many tokens the model has, if that is known; places without a token are filled up.
    pub count: Option<usize>,
    /// The token that begins a text.
    pub bos: Option<u32>,
    /// The tokens that end a text, the one to prefer first.
    pub ends: Vec<u32>,
    /// The token that fills texts up.
    pub pad: Option<u32>,
}

/// The tokens: spelling and kind by id.
#[derive(Default)]
pub(super) struct Tokens {
    by_id: BTreeMap<u32, (String, i32)>,
}

/// What a model and its parts become.
pub(super) struct Written {
    pub model: &'static str,
    pub keys: Vec<NewKey>,
    /// The scores of pieces by their spelling, where pieces have scores; those that no merge gives are left out.
    pub scores: Option<BTreeMap<String, f32>>,
    pub unknown: Option<u32>,
    /// Whether what is put around a text is said by the kind of the vocabulary.
    pub encloses: bool,
}

/// The keys of the vocabulary that `json`, the contents of a tokenizer.json, and `tokenizer`, the same as it is used,
/// describe. The error names the part and what was found.
pub fn keys(json: &Json, tokenizer: &Tokenizer, known: &Known) -> Result<Vec<NewKey>, String> {
    let model = json.get("model").unwrap_or(&Json::Null);
    let mut tokens = Tokens::default();
    let kind = kind(model)?;
    if kind != "Unigram" {
        tokens.read(model)?;
    }
    tokens.add(json)?;
    let written = match kind {
        "BPE" if parts::is_byte_level(json) => parts::byte_level(json, model, &tokens)?,
        "BPE" => parts::sentence_piece(json, model, &mut tokens)?,
        "WordPiece" => parts::word_piece(json, model, &mut tokens)?,
        other => {
            return Err(format!(
                "model: {other} can't be written yet; BPE and WordPiece can"
            ));
        }
    };
    let texts = tokens.texts(known.count)?;
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let mut keys = vec![NewKey::text(&key("model"), written.model)];
    keys.extend(written.keys);
    keys.push(NewKey::texts(
        &key("tokens"),
        texts.iter().map(|(text, _)| &**text),
    ));
    if let Some(scores) = &written.scores {
        let score = |(text, kind): &(String, i32)| match *kind {
            NORMAL => scores.get(text).copied().unwrap_or(LEAST_SCORE),
            _ => 0.0,
        };
        let scores: Vec<f32> = texts.iter().map(score).collect();
        keys.push(NewKey::floats(&key("scores"), &scores));
    }
    let kinds: Vec<i32> = texts.iter().map(|(_, kind)| *kind).collect();
    keys.push(NewKey::integers(&key("token_type"), &kinds));
    if let Some(unknown) = written.unknown {
        keys.push(NewKey::u32(&key("unknown_token_id"), unknown));
    }
    if let Some(pad) = known.pad {
        keys.push(NewKey::u32(&key("padding_token_id"), pad));
    }
    keys.extend(around(tokenizer, known, written.encloses)?);
    Ok(keys)
}

/// The tokens that a text begins and ends with, and whether they are put there.
fn around(tokenizer: &Tokenizer, known: &Known, encloses: bool) -> Result<Vec<NewKey>, String> {
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let encode = |special| {
        let ids = tokenizer.encode("a", special);
        ids.map_err(|error| error.to_string())
    };
    let (whole, plain) = (encode(true)?, encode(false)?);
    let (before, after) = match whole
        .windows(plain.len().max(1))
        .position(|ids| ids == plain)
    {
        Some(start) => (&whole[..start], &whole[start + plain.len()..]),
        None => {
            return Err(format!(
                "post_processor: it makes {whole:?} of the tokens {plain:?}, which is more than to put tokens around them"
            ));
        }
    };
    let one = |ids: &[u32], place: &str| match *ids {
        [] => Ok(None),
        [id] => Ok(Some(id)),
        _ => Err(format!(
            "post_processor: it puts the tokens {ids:?} {place} a text; one can be written"
        )),
    };
    let (before, after) = (one(before, "before")?, one(after, "behind")?);
    let mut keys = Vec::new();
    if encloses {
        let (Some(first), Some(last)) = (before, after) else {
            return Err("post_processor: a vocabulary of WordPiece puts one token before a text and one behind it".into());
        };
        keys.push(NewKey::u32(&key("cls_token_id"), first));
        keys.push(NewKey::u32(&key("bos_token_id"), first));
        // The name of the key is misspelled where it is defined.
        keys.push(NewKey::u32(&key("seperator_token_id"), last));
        keys.push(NewKey::u32(&key("eos_token_id"), last));
        return Ok(keys);
    }
    if let Some(bos) = before.or(known.bos) {
        keys.push(NewKey::u32(&key("bos_token_id"), bos));
    }
    let eos = after.or(known.ends.first().copied());
    let mut ends: Vec<u32> = eos.into_iter().collect();
    for &end in &known.ends {
        if !ends.contains(&end) {
            ends.push(end);
        }
    }
    let names = ["eos_token_id", "eot_token_id", "eom_token_id"];
    if ends.len() > names.len() {
        return Err(format!(
            "the tokens {ends:?} end a text; {} can be written",
            names.len()
        ));
    }
    for (name, end) in names.iter().zip(ends) {
        keys.push(NewKey::u32(&key(name), end));
    }
    keys.push(NewKey::bool(&key("add_bos_token"), before.is_some()));
    keys.push(NewKey::bool(&key("add_eos_token"), after.is_some()));
    Ok(keys)
}

/// The model's type; old files do not say it.
fn kind(model: &Json) -> Result<&str, String> {
    match model.get("type") {
        Some(Json::String(kind)) => Ok(kind),
        Some(other) => Err(format!("model: its type is {other}")),
        None if model.get("merges").is_some() => Ok("BPE"),
        None if model.get("vocab").is_some_and(Json::is_object) => Ok("WordPiece"),
        None => Ok("Unigram"),
    }
}

impl Tokens {
    /// The model's own tokens.
    fn read(&mut self, model: &Json) -> Result<(), String> {
        let Some(vocab) = model.get("vocab").and_then(Json::as_object) else {
            return Err("model: it has no map \"vocab\"".to_string());
        };
        for (text, id) in vocab {
            let Some(id) = id.as_u64().and_then(|id| u32::try_from(id).ok()) else {
                return Err(format!("model: the id of the token {text:?} is {id}"));
            };
            if let Some((other, _)) = self.by_id.insert(id, (text.clone(), NORMAL)) {
                return Err(format!(
                    "model: the tokens {other:?} and {text:?} both have the id {id}"
                ));
            }
        }
        Ok(())
    }

    /// The tokens that are found before all else.
    fn add(&mut self, json: &Json) -> Result<(), String> {
        let added = json.get("added_tokens").and_then(Json::as_array);
        for token in added.into_iter().flatten() {
            let id = token.get("id").and_then(Json::as_u64);
            let id = id.and_then(|id| u32::try_from(id).ok());
            let (Some(id), Some(text)) = (id, token.get("content").and_then(Json::as_str)) else {
                return Err(format!(
                    "added_tokens: {token} has no \"id\" and \"content\""
                ));
            };
            let is = |name: &str| token.get(name).and_then(Json::as_bool) == Some(true);
            for flag in ["single_word", "lstrip", "rstrip"] {
                if is(flag) {
                    return Err(format!(
                        "added_tokens: {text:?} has \"{flag}\": true, which can't be written"
                    ));
                }
            }
            let kind = if is("special") { CONTROL } else { USER_DEFINED };
            if let Some((other, _)) = self.by_id.insert(id, (text.to_string(), kind))
                && other != text
            {
                return Err(format!(
                    "added_tokens: {text:?} has the id {id}, which is that of {other:?}"
                ));
            }
        }
        Ok(())
    }

    /// The id of a spelling.
    pub fn id(&self, text: &str) -> Option<u32> {
        let mut tokens = self.by_id.iter();
        let (id, _) = tokens.find(|(_, (other, _))| other == text)?;
        Some(*id)
    }

    /// The id of a spelling, whose kind becomes the given one.
    fn mark(&mut self, text: &str, kind: i32) -> Option<u32> {
        let mut tokens = self.by_id.iter_mut();
        let (id, (_, old)) = tokens.find(|(_, (other, _))| other == text)?;
        *old = kind;
        Some(*id)
    }

    /// Marks the tokens of bytes, spelled `<0x0A>`.
    pub fn mark_bytes(&mut self) {
        for (text, kind) in self.by_id.values_mut() {
            let digits = text.strip_prefix("<0x").and_then(|t| t.strip_suffix('>'));
            let is_byte = digits.is_some_and(|digits| {
                digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit())
            });
            if is_byte && *kind == NORMAL {
                *kind = BYTE;
            }
        }
    }

    /// Marks the token that stands for what has none.
    pub fn mark_unknown(&mut self, text: &str) -> Option<u32> {
        self.mark(text, UNKNOWN)
    }

    /// Marks a token that is no text.
    pub fn mark_control(&mut self, text: &str) -> Option<u32> {
        self.mark(text, CONTROL)
    }

    /// Spells the tokens of WordPiece as GGUF files do: marked is what begins a word, not what goes on one.
    pub fn respell(&mut self) {
        for (text, kind) in self.by_id.values_mut() {
            if *kind == NORMAL {
                *text = match text.strip_prefix("##") {
                    Some(rest) => rest.to_string(),
                    None => format!("{SPACE_MARK}{text}"),
                };
            }
        }
    }

    /// All tokens in the order of their ids, places without one filled up.
    fn texts(&self, count: Option<usize>) -> Result<Vec<(String, i32)>, String> {
        let largest = self.by_id.keys().next_back();
        let own = largest.map_or(0, |&id| id as usize + 1);
        let all = count.unwrap_or(own);
        if own > all {
            return Err(format!(
                "the tokens have ids up to {}, but the model has {all} tokens",
                own - 1
            ));
        }
        if all - self.by_id.len() > MOST_GAPS {
            return Err(format!(
                "{} of {all} ids have no token; at most {MOST_GAPS} may lack one",
                all - self.by_id.len()
            ));
        }
        let mut texts = Vec::with_capacity(all);
        for (&id, token) in &self.by_id {
            fill(&mut texts, id as usize);
            texts.push(token.clone());
        }
        fill(&mut texts, all);
        Ok(texts)
    }
}

/// Tokens that stand for nothing, up to the id `end`.
fn fill(texts: &mut Vec<(String, i32)>, end: usize) {
    for id in texts.len()..end {
        texts.push((format!("[PAD{id}]"), UNUSED));
    }
}

/// Texts whose tokens are compared.
const SAMPLES: [&str; 10] = [
    "Hello, world! It's 2024: 3.14159 and 1,000,000 tokens.",
    "The quick brown fox\njumps over\n\n  the lazy dog.\t(Isn't it?)\r\n",
    "na\u{EF}ve caf\u{E9} \u{DC}bergr\u{F6}\u{DF}e \u{2014} \u{201C}quoted\u{201D} \u{2026}",
    "\u{65E5}\u{672C}\u{8A9E}\u{306E}\u{30C6}\u{30AD}\u{30B9}\u{30C8}\u{3002}\u{4E2D}\u{6587}\u{FF0C}\u{D55C}\u{AD6D}\u{C5B4}",
    "\u{41F}\u{440}\u{438}\u{432}\u{435}\u{442}, \u{43C}\u{438}\u{440}! \u{393}\u{3B5}\u{3B9}\u{3AC}",
    "def f(x):\n    return x + 1  # twice\n\n\n",
    "\u{1F642}\u{1F680} x\u{B2} \u{BD} \u{2163}",
    "we'LL they'VE I'M DON'T",
    "a  b   c    d",
    "ALLCAPS camelCase snake_case kebab-case 0123456789",
];

/// Compares what two tokenizers make of some texts: an error if `made` gives other tokens than `given`.
pub fn compare(given: &Tokenizer, made: &Tokenizer) -> Result<(), String> {
    for text in SAMPLES {
        let (expected, found) = match (given.encode(text, true), made.encode(text, true)) {
            (Ok(expected), Ok(found)) => (expected, found),
            (Err(_), Err(_)) => continue,
            (Ok(_), Err(error)) | (Err(error), Ok(_)) => return Err(error.to_string()),
        };
        if let Some(at) =
            (0..expected.len().max(found.len())).find(|&i| expected.get(i) != found.get(i))
        {
            let part =
                |ids: &[u32]| format!("{:?}", &ids[at.min(ids.len())..ids.len().min(at + 8)]);
            return Err(format!(
                "a GGUF file's vocabulary can't say all that it does: from the token {at} (from 0) of {text:?} on, {} would become {}",
                part(&expected),
                part(&found)
            ));
        }
    }
    Ok(())
}
