//! Can a text spell out a marker without being read as one?
#![cfg(feature = "tokenizer")]

use std::path::Path;

use serde_json::{Value as Json, json};
use smallmind::text::tokenizer::Tokenizer;

const MODEL: &str = include_str!("../data/added-tokens/tokenizer.json");

fn added(id: u32, text: &str, special: bool) -> Json {
    json!({"id": id, "content": text, "special": special, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false})
}

/// A tokenizer of bytes and some words, with a special token, another marker, and a run of spaces.
fn tokenizer() -> Tokenizer {
    let mut file: Json = serde_json::from_str(MODEL).unwrap();
    let tokens = file["added_tokens"].as_array_mut().unwrap();
    tokens.push(added(298, "<|im_end|>", true));
    tokens.push(added(299, "<tool>", false));
    tokens.push(added(300, "   ", false));
    Tokenizer::from_bytes(Path::new("bytes"), file.to_string().as_bytes()).unwrap()
}

#[test]
fn markers_are_text_if_that_is_asked_for() {
    let tokenizer = tokenizer();
    let text = "<s>hi<|im_end|><tool>   x";
    let as_tokens = tokenizer.encode(text, true).unwrap();
    let as_text = tokenizer.encode_as_text(text, true).unwrap();
    for (id, in_tokens, in_text) in [(1, 2, 1), (298, 1, 0), (299, 1, 0), (300, 1, 1)] {
        let count = |ids: &[u32]| ids.iter().filter(|other| **other == id).count();
        assert_eq!(
            (count(&as_tokens), count(&as_text)),
            (in_tokens, in_text),
            "{id}"
        );
    }
    assert_eq!(tokenizer.decode(&as_text, true).unwrap(), text);
    assert_eq!(tokenizer.encode_plain(text).unwrap(), as_text[1..]);
}

#[test]
fn text_without_markers_has_the_same_ids_either_way() {
    let tokenizer = tokenizer();
    for text in ["", "the her  and", "< |im_end|>", "<|im_end"] {
        let as_text = tokenizer.encode_as_text(text, true).unwrap();
        assert_eq!(as_text, tokenizer.encode(text, true).unwrap(), "{text}");
    }
}

#[test]
fn a_marker_that_is_also_a_word_is_an_error_and_not_read_as_a_marker() {
    let file = json!({
        "version": "1.0", "added_tokens": [added(1, "[END]", true)],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": {"a": 0, "[END]": 1, "?": 2}, "unk_token": "?"},
    });
    let tokenizer = Tokenizer::from_bytes(Path::new("words"), file.to_string().as_bytes()).unwrap();
    assert_eq!(tokenizer.encode_plain("a b").unwrap(), [0, 2]);
    let message = tokenizer.encode_plain("a [END]").unwrap_err().to_string();
    assert!(message.contains("\"[END]\" as text"), "{message}");
    assert_eq!(tokenizer.encode("a [END]", false).unwrap(), [0, 1]);
}

#[test]
fn markers_are_found_where_they_are() {
    let tokenizer = tokenizer();
    let text = "é<|im_end|>   <tool> <|im_end <s>";
    let ranges = tokenizer.special_ranges(text).unwrap();
    let found: Vec<&str> = ranges.into_iter().map(|range| &text[range]).collect();
    assert_eq!(found, ["<|im_end|>", "<tool>", "<s>"]);
}

#[test]
fn a_text_that_begins_with_the_start_token_has_it_twice() {
    let tokenizer = tokenizer();
    let doubled = |text: &str| tokenizer.doubled_start(&tokenizer.encode(text, true).unwrap());
    assert_eq!(doubled("<s>hi"), Some(1));
    assert_eq!(doubled("hi"), None);
    assert_eq!(doubled(""), None);
    assert_eq!(doubled("<|im_end|><|im_end|>"), None);
    let once = tokenizer.encode("<s>hi", false).unwrap();
    assert_eq!(tokenizer.doubled_start(&once), None);
}
