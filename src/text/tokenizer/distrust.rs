//! Checks of those parts of a `tokenizer.json` that the tokenizers library trusts without checking.

use serde::Deserialize;
use serde_json::Value as Json;

use super::memory;
use super::precompiled::precompiled;

/// The longest token of Unigram, in bytes: its search tree is as deep as this, and is freed by recursion.
pub const LONGEST_UNIGRAM: usize = 1024;

/// The parts of a file that the library reads without checking for damage.
#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    normalizer: Json,
    #[serde(default, rename = "pre_tokenizer")]
    _pre_tokenizer: Json,
    #[serde(default, rename = "post_processor")]
    _post_processor: Json,
    #[serde(default, rename = "decoder")]
    _decoder: Json,
}

/// For a file with a Unigram model, only its tokens are read.
#[derive(Deserialize)]
struct File {
    model: Unigram,
}

#[derive(Deserialize)]
struct Unigram {
    /// Tokens and scores.
    vocab: Vec<(String, f64)>,
}

/// Rejects a file that is not JSON, whose Unigram tokens are too long, or whose table of replacements points outside itself.
pub fn check_file(bytes: &[u8]) -> Result<(), String> {
    let parts: Parts = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    // The library itself rejects or reads a model of another shape.
    if (text.contains("\"Unigram\"") || text.contains("\"precompiled_charsmap\""))
        && let Ok(file) = serde_json::from_slice::<File>(bytes)
    {
        let vocab = &file.model.vocab;
        for (id, (text, _)) in vocab.iter().enumerate() {
            check_unigram(id, text)?;
        }
        memory::UNIGRAM.ensure(vocab.len(), vocab.iter().map(|(text, _)| text.len()).sum())?;
    }
    check_normalizer(&parts.normalizer)
}

/// Rejects a Unigram token that is too long.
pub fn check_unigram(id: impl std::fmt::Display, text: &str) -> Result<(), String> {
    match text.len() {
        0..=LONGEST_UNIGRAM => Ok(()),
        bytes => Err(format!(
            "token {id} has {bytes} bytes; at most {LONGEST_UNIGRAM} are read"
        )),
    }
}

/// Checks the tables of replacements, wherever a normalizer has them.
fn check_normalizer(normalizer: &Json) -> Result<(), String> {
    match normalizer {
        Json::Array(parts) => parts.iter().try_for_each(check_normalizer),
        Json::Object(parts) => {
            if let Some(Json::String(table)) = parts.get("precompiled_charsmap") {
                let table = base64(table).ok_or("precompiled_charsmap is not base64")?;
                precompiled(&table)?;
            }
            parts.values().try_for_each(check_normalizer)
        }
        _ => Ok(()),
    }
}

/// The bytes that a base64 text encodes (RFC 4648, with or without padding).
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_follows_the_standard() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(base64(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(base64("+/+/").unwrap(), [0xFB, 0xFF, 0xBF]);
        assert_eq!(base64("Zm9-"), None);
    }

    #[test]
    fn damage_within_a_part_is_refused() {
        let whole = r#"{"decoder": {"type": "ByteLevel", "trim_offsets": true}, "model": {}}"#;
        assert_eq!(check_file(whole.as_bytes()), Ok(()));
        for damaged in [whole.replace("true", "tr{"), whole.replace("true", "1e999")] {
            assert!(check_file(damaged.as_bytes()).is_err(), "{damaged}");
        }
    }

    #[test]
    fn what_the_library_would_trust_is_refused() {
        let file = |token: &str, table: &str| {
            let normalizer = serde_json::json!({"type": "Sequence", "normalizers": [
                {"type": "Precompiled", "precompiled_charsmap": table}
            ]});
            let model =
                serde_json::json!({"type": "Unigram", "unk_id": 0, "vocab": [[token, 0.0]]});
            serde_json::json!({"normalizer": normalizer, "model": model}).to_string()
        };
        let refusal = |token: &str, table: &str| check_file(file(token, table).as_bytes()).err();
        let long = "x".repeat(70_000);
        let message = "token 0 has 70000 bytes; at most 1024 are read".to_string();
        assert_eq!(refusal(&long, ""), Some(message));
        // A trie of one node that leads nowhere.
        let message = "precompiled_charsmap points outside of itself".to_string();
        assert_eq!(refusal("x", "BAAAAAAAAAA="), Some(message));
        assert_eq!(check_file(b"{\"model\": {\"type\": \"BPE\"}}"), Ok(()));
    }
}
