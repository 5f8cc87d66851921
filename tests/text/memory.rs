//! Is a vocabulary for which there is not enough memory an error, however little there is?
#![cfg(all(feature = "cli", target_os = "linux"))]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value as Json, json};

use crate::common::gguf::{Meta, Writer};

/// Number of tokens of each vocabulary: enough that it takes far more memory than the program without it.
const TOKENS: usize = 30_000;

/// Different texts of `length` letters.
fn spellings(length: usize) -> Vec<String> {
    let letter = |number: usize, place: usize| {
        let mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15 ^ place << 17);
        char::from(b'a' + (mixed >> 40) as u8 % 26)
    };
    let text = |number: usize| {
        let mixed: String = (0..length).map(|place| letter(number, place)).collect();
        format!("{mixed}{number}")
    };
    (0..TOKENS).map(text).collect()
}

/// A GGUF file with a vocabulary of a kind; each token has the type `token_type`.
fn gguf(path: &Path, model: &str, texts: &[String], token_type: i32) {
    let array = |kind, values: Vec<Meta>| Meta::Array(kind, values);
    let tokens = texts.iter().cloned().map(Meta::Text);
    let scores = (0..TOKENS).map(|id| Meta::F32(-(id as f32)));
    let types = vec![Meta::I32(token_type); TOKENS];
    let mut writer = Writer::new()
        .with("general.architecture", Meta::Text("llama".to_string()))
        .with("tokenizer.ggml.model", Meta::Text(model.to_string()))
        .with("tokenizer.ggml.tokens", array(8, tokens.collect()))
        .with("tokenizer.ggml.scores", array(6, scores.collect()))
        .with("tokenizer.ggml.token_type", array(5, types))
        .with("tokenizer.ggml.unknown_token_id", Meta::U32(2));
    if model == "gpt2" {
        // Each merge joins a token and one of ten short tokens; the result is also a token, later in the list.
        let merges = texts.iter().map(|text| {
            let (left, right) = text.split_at(text.len() - 1);
            Meta::Text(format!("{left} {right}"))
        });
        writer = writer
            .with("tokenizer.ggml.pre", Meta::Text("gpt-2".to_string()))
            .with("tokenizer.ggml.merges", array(8, merges.collect()));
    }
    fs::write(path, writer.bytes()).unwrap();
}

/// A folder whose tokenizer.json has a model of this kind; if `added`, all of its tokens are added tokens.
fn json_folder(path: &Path, kind: &str, texts: &[String], added: bool) {
    let ids: serde_json::Map<String, Json> = (0..)
        .zip(texts)
        .map(|(id, text): (u32, _)| (text.clone(), id.into()))
        .collect();
    let scored: Vec<Json> = texts.iter().map(|text| json!([text, -1.0])).collect();
    let model = match kind {
        "Unigram" => json!({"type": kind, "unk_id": 0, "vocab": scored}),
        "BPE" => json!({"type": kind, "vocab": ids, "merges": []}),
        _ => json!({"type": kind, "vocab": ids, "unk_token": texts[0]}),
    };
    let token = |(id, text): (usize, &String)| {
        json!({"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    let added: Vec<Json> = match added {
        true => texts.iter().enumerate().map(token).collect(),
        false => Vec::new(),
    };
    let file = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": null, "model": model});
    fs::create_dir(path).unwrap();
    fs::write(path.join("tokenizer.json"), file.to_string()).unwrap();
}

/// The output of `smallmind tokenize` when its address space has at most `kib` KiB.
fn within(kib: usize, model: &Path) -> Output {
    let line = format!("ulimit -v {kib} && exec \"$0\" tokenize -m \"$1\"");
    Command::new("sh")
        .args(["-c", &line, env!("CARGO_BIN_EXE_smallmind")])
        .arg(model)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn a_vocabulary_without_memory_is_an_error_at_any_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (short, long) = (spellings(3), spellings(40));
    gguf(&path("sentence_piece"), "llama", &long, 1);
    gguf(&path("added"), "llama", &short, 4);
    gguf(&path("bytes"), "gpt2", &long, 1);
    gguf(&path("word_piece"), "bert", &short, 1);
    gguf(&path("unigram"), "t5", &short, 1);
    json_folder(&path("json_bpe"), "BPE", &short, false);
    json_folder(&path("json_words"), "WordLevel", &long, false);
    json_folder(&path("json_unigram"), "Unigram", &short, false);
    json_folder(&path("json_added"), "WordLevel", &short, true);
    // About as much as the program takes with a tiny vocabulary.
    let starts = |kib: &usize| within(*kib, Path::new("demo")).status.success();
    let least = (1..).map(|step| step * 2048).find(starts).unwrap();
    for name in [
        "sentence_piece",
        "added",
        "bytes",
        "word_piece",
        "unigram",
        "json_bpe",
        "json_words",
        "json_unigram",
        "json_added",
    ] {
        let (mut kib, mut refused) = (least, 0);
        loop {
            let output = within(kib, &path(name));
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            match output.status.code() {
                Some(0) => break,
                Some(1) => refused += 1,
                code => panic!(
                    "{name} in {kib} KiB: {code:?} {:?}\n{errors}",
                    output.status
                ),
            }
            assert!(
                errors.starts_with("error: ") && errors.contains("memory"),
                "{name} in {kib} KiB: {errors}"
            );
            kib += kib / 8;
        }
        assert!(refused > 0, "{name} fits into {least} KiB");
    }
}
