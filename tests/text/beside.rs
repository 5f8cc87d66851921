//! Are tokens that other files add to a tokenizer.json found as in transformers, and are contradictions refused?
#![cfg(feature = "tokenizer")]

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};
use smallmind::model::open_tokenizer;
use smallmind::text::tokenizer::{LARGEST_TOKENIZER, Tokenizer};

use crate::common::data;

/// The tokenizer of a folder with these files.
fn open(files: &Json) -> Result<Tokenizer, String> {
    let folder = tempfile::tempdir().unwrap();
    let own = data("added-tokens/tokenizer.json");
    fs::copy(own, folder.path().join("tokenizer.json")).unwrap();
    for (name, contents) in files.as_object().unwrap() {
        fs::write(folder.path().join(name), contents.to_string()).unwrap();
    }
    open_tokenizer(folder.path().to_path_buf()).map_err(|error| error.to_string())
}

fn token(text: &str) -> Json {
    json!({"content": text, "special": true})
}

#[test]
fn the_ids_match_transformers() {
    let text = fs::read_to_string(data("added-tokens/expected.json")).unwrap();
    let cases: Vec<Json> = serde_json::from_str(&text).unwrap();
    assert!(cases.len() > 20);
    for case in cases {
        let name = &case["name"];
        let tokenizer = open(&case["files"]).unwrap();
        let ids = tokenizer
            .encode(case["text"].as_str().unwrap(), true)
            .unwrap();
        assert_eq!(json!(ids), case["ids"], "{name}");
        let shown = tokenizer.decode(&ids, true).unwrap();
        assert_eq!(json!(shown), case["shown"], "{name}");
    }
}

#[test]
fn an_id_that_tokenizer_json_contradicts_is_refused() {
    let config =
        |decoder: Json| json!({"tokenizer_config.json": {"added_tokens_decoder": decoder}});
    for (files, parts) in [
        (
            config(json!({"305": token("<a>")})),
            [
                "tokenizer_config.json: ",
                "\"<a>\" the id 305",
                "the id is 298",
            ],
        ),
        (
            config(json!({"298": token("<s>")})),
            [
                "tokenizer_config.json: ",
                "\"<s>\" the id 298",
                "the id is 1",
            ],
        ),
        (
            json!({"added_tokens.json": {"<a>": 2}}),
            ["added_tokens.json: ", "\"<a>\" the id 2", "the id is 298"],
        ),
    ] {
        let message = open(&files).unwrap_err();
        for part in parts {
            assert!(message.contains(part), "{message}");
        }
    }
}

#[test]
fn what_is_not_a_token_is_refused_by_file_and_key() {
    for (file, contents, expected) in [
        ("tokenizer_config.json", json!([]), "expected a map"),
        (
            "tokenizer_config.json",
            json!({"pad_token": 3}),
            "pad_token: expected a token",
        ),
        (
            "tokenizer_config.json",
            json!({"added_tokens_decoder": 3}),
            "added_tokens_decoder: expected a map",
        ),
        (
            "tokenizer_config.json",
            json!({"added_tokens_decoder": {"x": token("<a>")}}),
            "added_tokens_decoder: \"x\": expected an id",
        ),
        (
            "tokenizer_config.json",
            json!({"added_tokens_decoder": {"298": "<a>"}}),
            "added_tokens_decoder: \"298\": expected a record",
        ),
        (
            "tokenizer_config.json",
            json!({"extra_special_tokens": "<a>"}),
            "extra_special_tokens: expected a list or a map of tokens",
        ),
        (
            "special_tokens_map.json",
            json!({"additional_special_tokens": [{"text": "<a>"}]}),
            "additional_special_tokens: expected a token",
        ),
        (
            "added_tokens.json",
            json!({"<a>": "298"}),
            "\"<a>\": expected an id",
        ),
    ] {
        let message = open(&json!({file: contents})).unwrap_err();
        assert!(
            message.contains(file) && message.contains(expected),
            "{message}"
        );
    }
}

#[test]
fn a_file_that_is_too_large_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let file = fs::File::create(&path).unwrap();
    file.set_len(LARGEST_TOKENIZER + 1).unwrap();
    let message = Tokenizer::open(&path).unwrap_err().to_string();
    assert!(
        message.contains("tokenizer.json: ") && message.contains("larger than 256 MiB"),
        "{message}"
    );
    let endless = Path::new("/dev/zero");
    if endless.exists() {
        let message = Tokenizer::open(endless).unwrap_err().to_string();
        assert!(message.contains("larger than 256 MiB"), "{message}");
    }
}
