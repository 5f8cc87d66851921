//! Does text come out whole, in order and in time, however its characters are split over tokens?
#![cfg(feature = "tokenizer")]

use std::path::Path;

use proptest::prelude::*;
use smallmind::text::TextStream;
use smallmind::text::tokenizer::Tokenizer;

static DEMO: &[u8] = include_bytes!("../../demo/tokenizer.json");

/// A byte is a token.
fn demo() -> Tokenizer {
    Tokenizer::from_bytes(Path::new("demo"), DEMO).unwrap()
}

/// The decoder of Llama 2 and Mistral: spaces as `▁`, the text's first space dropped, unknown characters as byte tokens.
fn llama() -> Tokenizer {
    let words = ["<s>", "▁Hello", "▁world", "!", "a▁"]
        .map(str::to_string)
        .into_iter();
    let bytes = (0..=255).map(|byte| format!("<0x{byte:02X}>"));
    let vocab: serde_json::Map<_, _> = words
        .chain(bytes)
        .zip((0..).map(serde_json::Value::from))
        .collect();
    let special = serde_json::json!({
        "id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true
    });
    let file = serde_json::json!({
        "version": "1.0", "added_tokens": [special],
        "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]},
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<s>"},
    });
    Tokenizer::from_bytes(Path::new("llama"), file.to_string().as_bytes()).unwrap()
}

/// The id of a byte in the Llama vocabulary.
fn byte(byte: u8) -> u32 {
    5 + u32::from(byte)
}

/// The text that each token releases, and the rest.
fn pieces(mut stream: TextStream<&Tokenizer>, ids: &[u32]) -> (Vec<String>, String) {
    let pieces = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
    (pieces, stream.flush().unwrap())
}

fn demo_pieces(bytes: &[u8]) -> (Vec<String>, String) {
    let ids: Vec<u32> = bytes.iter().map(|&byte| byte.into()).collect();
    pieces(TextStream::new(&demo(), false), &ids)
}

#[test]
fn a_character_comes_out_with_its_last_byte() {
    let (given, rest) = demo_pieces("aé€😀b".as_bytes());
    assert_eq!(given, ["a", "", "é", "", "", "€", "", "", "", "😀", "b"]);
    assert_eq!(rest, "");
}

#[test]
fn bytes_that_are_not_text_come_out_replaced_once_that_is_certain() {
    let (given, rest) = demo_pieces(b"a\xFFb\xE2\x82c");
    assert_eq!(given, ["a", "", "\u{FFFD}b", "", "", "\u{FFFD}c"]);
    assert_eq!(rest, "");
}

#[test]
fn an_unfinished_character_comes_out_at_the_end() {
    assert_eq!(
        demo_pieces(b"a\xE2\x82"),
        (vec!["a".into(), "".into(), "".into()], "\u{FFFD}".into())
    );
}

#[test]
fn endless_bytes_that_are_not_text_do_not_wait_forever() {
    let (given, rest) = demo_pieces(&[0xFF; 500]);
    assert!(rest.chars().count() < 40);
    assert_eq!(given.concat() + &rest, "\u{FFFD}".repeat(500));
}

#[test]
fn spaces_between_words_are_kept_and_the_first_is_dropped() {
    let tokenizer = llama();
    let (given, _) = pieces(TextStream::new(&tokenizer, true), &[0, 1, 2, 0, 2, 3, 4, 2]);
    assert_eq!(
        given,
        ["", "Hello", " world", "", " world", "!", "a ", " world"]
    );
}

#[test]
fn a_text_that_continues_a_prompt_keeps_its_first_space() {
    let tokenizer = llama();
    let (given, _) = pieces(
        TextStream::after(&tokenizer, true, &[0, 1]).unwrap(),
        &[2, 3],
    );
    assert_eq!(given, [" world", "!"]);
    let (given, _) = pieces(TextStream::after(&tokenizer, true, &[]).unwrap(), &[2]);
    assert_eq!(given, ["world"]);
}

#[test]
fn byte_tokens_that_follow_each_other_are_told_apart() {
    let tokenizer = llama();
    let ids: Vec<u32> = "éé😀".bytes().map(byte).collect();
    let (given, rest) = pieces(TextStream::new(&tokenizer, true), &ids);
    assert_eq!(given, ["", "é", "", "é", "", "", "", "😀"]);
    assert_eq!(rest, "");
}

#[test]
fn unfinished_byte_tokens_before_a_word_come_out_replaced() {
    let tokenizer = llama();
    let ids = [1, byte(0xC3), byte(0xA9), byte(0xC3), 2];
    let (given, _) = pieces(TextStream::new(&tokenizer, true), &ids);
    assert_eq!(given, ["Hello", "", "é", "", "\u{FFFD} world"]);
}

#[test]
fn endless_byte_tokens_that_are_not_text_do_not_wait_forever() {
    let tokenizer = llama();
    let ids = [&[byte(0xC3), byte(0xA9)][..], &[byte(0xFF); 100]].concat();
    let (given, _) = pieces(TextStream::new(&tokenizer, true), &ids);
    assert_eq!(given[1], "é");
    assert!(given.concat().chars().count() > 60);
}

#[test]
fn a_prompt_is_not_cut_even_if_the_file_asks_for_it() {
    assert_eq!(
        llama().encode("Hello world ! world", true).unwrap().len(),
        4
    );
}

#[test]
fn encoding_and_decoding_are_inverse() {
    let ids = demo().encode("é a", false).unwrap();
    assert_eq!(ids, [0xC3, 0xA9, 0x20, 0x61]);
    assert_eq!(demo().decode(&ids, false).unwrap(), "é a");
}

#[test]
fn the_vocabulary_counts_added_tokens() {
    assert_eq!(demo().vocab_size(), 256);
    assert_eq!(llama().vocab_size(), 261);
    assert_eq!(llama().token_to_id("<s>"), Some(0));
    assert_eq!(llama().id_to_token(1).as_deref(), Some("▁Hello"));
    assert_eq!(llama().token_to_id("none"), None);
}

#[test]
fn a_bad_tokenizer_file_is_named() {
    let error = Tokenizer::from_bytes(Path::new("some.json"), b"{\"version\"")
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("some.json: cannot use this tokenizer: "),
        "{error}"
    );
    let error = Tokenizer::open(Path::new("none/tokenizer.json"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cannot read none/tokenizer.json: "),
        "{error}"
    );
}

/// Bytes, many of which are beginnings and continuations of characters.
fn crooked() -> impl Strategy<Value = Vec<u8>> {
    let bytes = vec![
        b'a', 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x98, 0x80, 0xFF,
    ];
    prop::collection::vec(prop::sample::select(bytes), 0..120)
}

proptest! {
    #[test]
    fn all_pieces_together_are_the_decoded_text(bytes in crooked()) {
        let (given, rest) = demo_pieces(&bytes);
        prop_assert_eq!(given.concat() + &rest, String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn text_is_never_late(text in "[aé€😀\u{FFFD}]{0,40}") {
        let mut stream_text = String::new();
        let (given, _) = demo_pieces(text.as_bytes());
        for (end, piece) in (1..).zip(&given) {
            stream_text += piece;
            let valid = std::str::from_utf8(&text.as_bytes()[..end]).unwrap_or_default();
            if !valid.is_empty() && !valid.ends_with('\u{FFFD}') {
                prop_assert_eq!(&stream_text, valid);
            }
        }
    }

    #[test]
    fn any_tokens_are_survived(ids in prop::collection::vec(0u32..300, 0..100)) {
        let tokenizer = llama();
        pieces(TextStream::new(&tokenizer, true), &ids);
        pieces(TextStream::after(&tokenizer, false, &ids).unwrap(), &ids);
    }
}
