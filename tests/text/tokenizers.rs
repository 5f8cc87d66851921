//! Do vocabularies inside GGUF files return the same ids as llama.cpp, and the text back?
//!
//! `tests/data/vocab` has vocabularies of llama.cpp's own tests with their texts (`.inp`) and ids (`.out`), without special
//! tokens. Tests that need a model that is too large for the repository run if `SMALLMIND_TEST_MODELS` names its folder.
#![cfg(feature = "tokenizer")]

use std::fs;
use std::path::PathBuf;

use smallmind::model::open_tokenizer;
use smallmind::text::TextStream;
use smallmind::text::tokenizer::Tokenizer;

use crate::common::{data, published_models};

const VOCABULARIES: [&str; 5] = [
    "bert-bge",
    "deepseek-coder",
    "gpt-2",
    "llama-spm",
    "starcoder",
];

fn path(name: &str, ending: &str) -> PathBuf {
    data(&format!("vocab/ggml-vocab-{name}.gguf{ending}"))
}

fn tokenizer(name: &str) -> Tokenizer {
    open_tokenizer(path(name, "")).unwrap_or_else(|error| panic!("{error}"))
}

/// The texts of a vocabulary and their ids.
fn vectors(name: &str) -> Vec<(String, Vec<u32>)> {
    let texts = fs::read_to_string(path(name, ".inp")).unwrap();
    let ids = fs::read_to_string(path(name, ".out")).unwrap();
    let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
    let ids: Vec<Vec<u32>> = ids
        .lines()
        .map(|line| {
            line.split_whitespace()
                .map(|id| id.parse().unwrap())
                .collect()
        })
        .collect();
    // The last text is empty, and there is no line for its ids.
    assert!(texts.len() == ids.len() || texts.len() == ids.len() + 1);
    texts.into_iter().map(str::to_string).zip(ids).collect()
}

#[test]
fn every_vector_has_its_ids() {
    for name in VOCABULARIES {
        let tokenizer = tokenizer(name);
        let vectors = vectors(name);
        assert!(vectors.len() >= 40, "{name}: {}", vectors.len());
        for (text, ids) in vectors {
            assert_eq!(
                tokenizer.encode_plain(&text).unwrap(),
                ids,
                "{name}: {text:?}"
            );
            assert_eq!(
                tokenizer.encode(&text, false).unwrap(),
                ids,
                "{name}: {text:?}"
            );
        }
    }
}

#[test]
fn ids_decode_to_the_text() {
    for name in VOCABULARIES.into_iter().filter(|name| *name != "bert-bge") {
        let tokenizer = tokenizer(name);
        for (text, ids) in vectors(name) {
            assert_eq!(tokenizer.decode(&ids, true).unwrap(), text, "{name}");
        }
    }
}

#[test]
fn text_that_comes_token_by_token_is_the_same_and_never_half_a_character() {
    for name in VOCABULARIES {
        let tokenizer = tokenizer(name);
        for (text, ids) in vectors(name) {
            let mut stream = TextStream::new(&tokenizer, true);
            let mut all = String::new();
            for id in &ids {
                let piece = stream.push(*id).unwrap();
                assert!(!piece.contains('\u{FFFD}'), "{name}: {text:?}");
                all += &piece;
            }
            all += &stream.flush().unwrap();
            assert_eq!(
                all,
                tokenizer.decode(&ids, true).unwrap(),
                "{name}: {text:?}"
            );
        }
    }
}

/// The texts of a reference and their ids, including the tokens around a text.
fn reference(name: &str) -> Vec<(String, Vec<u32>)> {
    let text = fs::read_to_string(data(&format!("reference/{name}.json"))).unwrap();
    let all: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let ids = |entry: &serde_json::Value| -> Vec<u32> {
        serde_json::from_value(entry["ids"].clone()).unwrap()
    };
    all.iter()
        .map(|entry| (entry["text"].as_str().unwrap().to_string(), ids(entry)))
        .collect()
}

#[test]
fn real_models_match_the_ids_of_their_references() {
    let Some(folder) = published_models() else {
        return;
    };
    for (file, name) in [
        ("gemma-3-270m-q4_k_m.gguf", "gemma-3-270m-q4_k_m"),
        ("all-minilm-l6-v2", "all-minilm-l6-v2"),
    ] {
        let tokenizer = open_tokenizer(folder.join(file)).unwrap();
        for (text, ids) in reference(name) {
            assert_eq!(
                tokenizer.encode(&text, true).unwrap(),
                ids,
                "{name}: {text:?}"
            );
        }
    }
}
