//! Turns a `tokenizer.json` into a GGUF file's vocabulary (`tokenizer.ggml.…`), as the reader of GGUF files expects it.
//!
//! Byte-level BPE becomes "gpt2", BPE of SentencePiece "llama", WordPiece "bert". Anything that such a vocabulary can't
//! express is an error that names the part of the file and its value. The exception is a normalizer that only composes
//! characters (NFC): it is left out, as other converters do.

use serde_json::Value as Json;

use super::gguf_file::NewKey;
use super::vocabulary_parts::{self as parts};
use super::vocabulary_tokens::{NORMAL, Tokens};
use crate::text::tokenizer::Tokenizer;

/// The score of a piece that no merge produces.
const LEAST_SCORE: f32 = -1e9;

/// The keys of single tokens that end a text, which all programs read.
pub const END_KEYS: [&str; 3] = ["eos_token_id", "eot_token_id", "eom_token_id"];

/// What is known about a tokenizer besides its file.
#[derive(Debug, Default)]
pub struct Known {
    /// How many tokens the model has, if that is known; ids without a token are filled.
    pub count: Option<usize>,
    /// The token that begins a text.
    pub bos: Option<u32>,
    /// The tokens that end a text, the preferred token first.
    pub ends: Vec<u32>,
    /// The token that pads texts.
    pub pad: Option<u32>,
}

/// The keys of the vocabulary that `json`, the contents of a tokenizer.json, and `tokenizer`, the tokenizer loaded from it,
/// describe, and the tokens that end a text. The error names the part and what was found.
pub fn keys(
    json: &Json,
    tokenizer: &Tokenizer,
    known: &Known,
) -> Result<(Vec<NewKey>, Vec<u32>), String> {
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
    let (around, ends) = around(tokenizer, known, written.encloses)?;
    keys.extend(around);
    Ok((keys, ends))
}

/// The keys of the tokens that end a text, the preferred token first: a key for each of the first tokens, and a list of all
/// if there are several.
pub fn end_keys(ends: &[u32]) -> Vec<NewKey> {
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let named = END_KEYS.iter().zip(ends);
    let mut keys: Vec<NewKey> = named
        .map(|(name, &end)| NewKey::u32(&key(name), end))
        .collect();
    if ends.len() > 1 {
        let ids: Vec<i32> = ends.iter().map(|&end| end.cast_signed()).collect();
        keys.push(NewKey::integers(&key("eos_token_ids"), &ids));
    }
    keys
}

/// The keys of the tokens that a text begins and ends with and whether they are added, and the tokens that end it.
fn around(
    tokenizer: &Tokenizer,
    known: &Known,
    encloses: bool,
) -> Result<(Vec<NewKey>, Vec<u32>), String> {
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
                "post_processor: it makes {whole:?} of the tokens {plain:?}, but only tokens before and after a text can be written"
            ));
        }
    };
    let one = |ids: &[u32], place: &str| match *ids {
        [] => Ok(None),
        [id] => Ok(Some(id)),
        _ => Err(format!(
            "post_processor: it puts the tokens {ids:?} {place} a text; only one can be written"
        )),
    };
    let (before, after) = (one(before, "before")?, one(after, "after")?);
    let mut keys = Vec::new();
    if encloses {
        let (Some(first), Some(last)) = (before, after) else {
            return Err("post_processor: a vocabulary of WordPiece puts one token before a text and one after it".into());
        };
        keys.push(NewKey::u32(&key("cls_token_id"), first));
        keys.push(NewKey::u32(&key("bos_token_id"), first));
        // The name of the key is misspelled where it is defined.
        keys.push(NewKey::u32(&key("seperator_token_id"), last));
        keys.push(NewKey::u32(&key("eos_token_id"), last));
        return Ok((keys, vec![last]));
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
    keys.extend(end_keys(&ends));
    keys.push(NewKey::bool(&key("add_bos_token"), before.is_some()));
    keys.push(NewKey::bool(&key("add_eos_token"), after.is_some()));
    Ok((keys, ends))
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

/// Compares what two tokenizers make of some texts: an error if `made` returns different tokens than `given`.
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
                "a GGUF file's vocabulary can't express all that it does: from token {at} (from 0) of {text:?} on, {} would become {}",
                part(&expected),
                part(&found)
            ));
        }
    }
    Ok(())
}
