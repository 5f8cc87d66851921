//! Does a folder's tokenizer become a GGUF vocabulary that tokenizes the same?
#![cfg(feature = "chat")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use smallmind::blocks::BlockFormat;
use smallmind::language::value::Value;
use smallmind::text::tokenizer::Tokenizer;
use smallmind::types::DType;
use tempfile::TempDir;

use crate::common::converted::{changed, file, refusal, warnings, written};
use crate::common::data;
use crate::common::gguf::open_bytes;

/// The 256 characters that stand for bytes.
fn alphabet() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/tokenizer.json");
    let json: Json = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let vocab = json["model"]["vocab"].as_object().unwrap();
    let mut tokens: Vec<_> = vocab.iter().map(|(t, id)| (id.as_u64(), t)).collect();
    tokens.sort();
    tokens.truncate(256);
    tokens.into_iter().map(|(_, text)| text.clone()).collect()
}

fn ids<'t>(tokens: impl IntoIterator<Item = &'t String>) -> Json {
    let tokens = tokens.into_iter().enumerate();
    Json::Object(tokens.map(|(id, t)| (t.clone(), Json::from(id))).collect())
}

fn special(id: usize, text: &str, special: bool) -> Json {
    json!({"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
           "normalized": false, "special": special})
}

/// Puts `before` before each text, and `after` after it.
fn template(before: &[(&str, usize)], after: &[(&str, usize)]) -> Json {
    let part = |(text, _): &(&str, usize)| json!({"SpecialToken": {"id": text, "type_id": 0}});
    let text = [json!({"Sequence": {"id": "A", "type_id": 0}})];
    let single: Vec<Json> = before
        .iter()
        .map(part)
        .chain(text)
        .chain(after.iter().map(part))
        .collect();
    let entry = |(text, id): &(&str, usize)| {
        (
            text.to_string(),
            json!({"id": text, "ids": [id], "tokens": [text]}),
        )
    };
    let special: serde_json::Map<_, _> = before.iter().chain(after).map(entry).collect();
    json!({"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": special})
}

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Bytes, and tokens that some of them join to form.
fn byte_level() -> Json {
    let mut tokens = alphabet();
    let merges = ["h e", "l l", "he ll", "hell o", "\u{120} w", "1 2", "12 3"];
    tokens.extend(merges.map(|merge| merge.replace(' ', "")));
    let count = tokens.len();
    let split = json!({"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": false});
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    json!({
        "version": "1.0",
        "added_tokens": [special(count, "<bos>", true), special(count + 1, "<turn>", false)],
        "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, bytes]},
        "post_processor": template(&[("<bos>", count)], &[]),
        "decoder": bytes,
        "model": {"type": "BPE", "ignore_merges": true, "vocab": ids(&tokens), "merges": merges},
    })
}

/// Unknown 0, BOS 1, EOS 2, bytes, letters, and tokens that they join to.
fn sentence_piece() -> Json {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).to_vec();
    tokens.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    tokens.extend("▁helowrdabc,.".chars().map(String::from));
    let merges = [
        "▁ h",
        "l l",
        "e ll",
        "▁h ell",
        "▁hell o",
        "▁ w",
        "o r",
        "▁ ▁",
    ];
    tokens.extend(merges.map(|merge| merge.replace(' ', "")));
    let normalizers = [
        json!({"type": "Prepend", "prepend": "▁"}),
        json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"}),
    ];
    json!({
        "version": "1.0",
        "added_tokens": [special(0, "<unk>", true), special(1, "<s>", true), special(2, "</s>", true)],
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": null,
        "post_processor": template(&[("<s>", 1)], &[]),
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]},
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
                  "vocab": ids(&tokens), "merges": merges},
    })
}

fn word_piece() -> Json {
    let mut tokens: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
        .map(String::from)
        .to_vec();
    tokens.extend(["hello", "world", "##ly", "the", "a", "##s", ",", "!"].map(String::from));
    tokens.extend(('b'..='z').flat_map(|c| [c.to_string(), format!("##{c}")]));
    let marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].into_iter().enumerate();
    let added: Vec<Json> = marks.map(|(id, text)| special(id, text, true)).collect();
    json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                       "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": template(&[("[CLS]", 2)], &[("[SEP]", 3)]),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": ids(&tokens)},
    })
}

/// A fixture's folder with a tokenizer.
fn with_tokenizer(name: &str, tokenizer: &Json) -> TempDir {
    let folder = changed(name, json!({}));
    fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    folder
}

fn tokenizers(name: &str, tokenizer: &Json) -> [Tokenizer; 2] {
    let folder = with_tokenizer(name, tokenizer);
    let path: PathBuf = folder.path().join("tokenizer.json");
    let made = file(folder.path(), DType::F32);
    [
        Tokenizer::open(&path).unwrap(),
        Tokenizer::from_gguf(made.metadata()).unwrap(),
    ]
}

const TEXTS: [&str; 6] = [
    "hello world",
    "hello, hello  world 12345!",
    "say hello<turn>12",
    "Grüße, 世界 \u{1F642}",
    "the worlds hell",
    "",
];

#[test]
fn a_text_has_the_tokens_that_it_had() {
    let kinds = [
        ("llama", byte_level()),
        ("llama", sentence_piece()),
        ("bert", word_piece()),
    ];
    for (name, tokenizer) in kinds {
        let [given, made] = tokenizers(name, &tokenizer);
        let kind = &tokenizer["model"]["type"];
        for text in TEXTS {
            for special in [false, true] {
                let [given, made] = [&given, &made].map(|t| t.encode(text, special).unwrap());
                assert_eq!(made, given, "{kind} {text:?} {special}");
            }
        }
        let ids = given.encode("hello world", true).unwrap();
        assert!(ids.len() < 11, "{kind}: pieces are joined: {ids:?}");
        let [given, made] = [given, made].map(|t| t.decode(&ids, true).unwrap());
        assert_eq!(made, given, "{kind}");
    }
}

/// Tokens of files beside tokenizer.json, in the forms that tests/data/added-tokens lists with transformers' results.
#[test]
fn tokens_that_other_files_add_are_written_too() {
    let own = fs::read_to_string(data("added-tokens/tokenizer.json")).unwrap();
    let own: Json = serde_json::from_str(&own).unwrap();
    let text = fs::read_to_string(data("added-tokens/expected.json")).unwrap();
    let cases: Vec<Json> = serde_json::from_str(&text).unwrap();
    let mut refused = Vec::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let folder = with_tokenizer("llama", &own);
        for (file, contents) in case["files"].as_object().unwrap() {
            fs::write(folder.path().join(file), contents.to_string()).unwrap();
        }
        let made = match written(folder.path(), DType::F32) {
            Ok(_) => file(folder.path(), DType::F32),
            Err(error) => {
                let error = error.to_string();
                assert!(
                    error.contains("\"lstrip\": true, which can't be written"),
                    "{name}: {error}"
                );
                refused.push(name);
                continue;
            }
        };
        let made = Tokenizer::from_gguf(made.metadata()).unwrap();
        let ids = made.encode(case["text"].as_str().unwrap(), true).unwrap();
        assert_eq!(json!(ids), case["ids"], "{name}");
        let shown = made.decode(&ids, true).unwrap();
        assert_eq!(json!(shown), case["shown"], "{name}");
    }
    // A vocabulary of a GGUF file can't express that a token also matches the blanks around it.
    let flagged = [
        "flags",
        "additional records",
        "pad record",
        "special_tokens_map.json with a record",
        "flags of a known token",
    ];
    assert_eq!(refused, flagged);
}

#[test]
fn the_vocabulary_is_filled_up_and_the_special_tokens_are_named() {
    let folder = with_tokenizer("llama", &sentence_piece());
    let config = json!({"bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": "<unk>",
                        "chat_template": "{{ messages }}"});
    fs::write(
        folder.path().join("tokenizer_config.json"),
        config.to_string(),
    )
    .unwrap();
    let made = file(folder.path(), DType::F32);
    let get = |key: &str| made.metadata().get(&format!("tokenizer.{key}"));
    assert_eq!(get("ggml.tokens.length"), Some(Value::Int(323)));
    assert_eq!(get("ggml.model"), Some(Value::Str("llama".to_string())));
    let tokens = made
        .metadata()
        .texts("tokenizer.ggml.tokens")
        .unwrap()
        .unwrap();
    assert_eq!(tokens[322], "[PAD322]");
    for (key, id) in [("bos", 1), ("eos", 2), ("unknown", 0), ("padding", 0)] {
        let key = format!("ggml.{key}_token_id");
        assert_eq!(get(&key), Some(Value::Int(id.into())), "{key}");
    }
    assert_eq!(get("ggml.add_bos_token"), Some(Value::Bool(true)));
    assert_eq!(get("ggml.add_eos_token"), Some(Value::Bool(false)));
    let template = Value::Str("{{ messages }}".to_string());
    assert_eq!(get("chat_template"), Some(template));
}

#[test]
fn any_number_of_tokens_may_end_a_text() {
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    for (tokenizer, ids) in [
        (Some(byte_level()), &[264, 9][..]),
        (Some(sentence_piece()), &[2, 7, 9]),
        (Some(byte_level()), &[264, 263, 9, 11, 8]),
        (None, &[264, 263, 9, 11, 8]),
        (None, &[7]),
    ] {
        let folder = changed("llama", json!({"eos_token_id": ids}));
        if let Some(tokenizer) = &tokenizer {
            let path = folder.path().join("tokenizer.json");
            fs::write(path, tokenizer.to_string()).unwrap();
        }
        let made = written(folder.path(), DType::F32).unwrap();
        assert_eq!(open_bytes(&made).eos_tokens(), ids);
        // Quantizing the new file keeps them.
        let path = folder.path().join("made.gguf");
        fs::write(&path, &made).unwrap();
        let again = written(&path, DType::Blocks(BlockFormat::Q8_0)).unwrap();
        assert_eq!(open_bytes(&again).eos_tokens(), ids);

        let file = file(folder.path(), DType::F32);
        for (at, name) in ["eos_token_id", "eot_token_id", "eom_token_id"]
            .iter()
            .enumerate()
        {
            let id = ids.get(at).map(|&id| Value::Int(id.into()));
            assert_eq!(file.metadata().get(&key(name)), id, "{ids:?} {name}");
        }
        let told = warnings(folder.path());
        match ids.len() {
            5 => assert!(told[0].contains("[11, 8] end a text, too"), "{told:?}"),
            _ => assert!(told.is_empty(), "{told:?}"),
        }
    }
}

#[test]
fn what_a_vocabulary_can_not_say_is_refused_by_its_part() {
    let set = |mut json: Json, pointer: &str, value: Json| {
        *json.pointer_mut(pointer).unwrap() = value;
        json
    };
    let regex = "/pre_tokenizer/pretokenizers/0/pattern/Regex";
    for (name, tokenizer, expected) in [
        (
            "llama",
            set(byte_level(), regex, json!(r"\w+|\W")),
            r#"pre_tokenizer: no known name of tokenizer.ggml.pre stands for its expressions ["\\w+|\\W"]"#,
        ),
        (
            "llama",
            set(
                byte_level(),
                "/pre_tokenizer/pretokenizers/0",
                json!({"type": "Whitespace"}),
            ),
            "pre_tokenizer: {\"type\":\"Whitespace\"} can't be written",
        ),
        (
            "llama",
            set(byte_level(), "/normalizer", json!({"type": "Lowercase"})),
            "normalizer: {\"type\":\"Lowercase\"} can't be written",
        ),
        (
            "llama",
            set(byte_level(), "/added_tokens/1/lstrip", json!(true)),
            "added_tokens: \"<turn>\" has \"lstrip\": true",
        ),
        (
            "llama",
            set(byte_level(), "/added_tokens/1/id", json!(400)),
            "the tokens have ids up to 400, but the model has 323 tokens",
        ),
        (
            "llama",
            set(byte_level(), "/added_tokens/1/id", json!(33)),
            "added_tokens: \"<turn>\" has the id 33, which already belongs to",
        ),
        (
            "llama",
            set(sentence_piece(), "/normalizer", json!(null)),
            "normalizer: nothing replaces spaces with \"▁\"",
        ),
        (
            "bert",
            set(
                word_piece(),
                "/normalizer/handle_chinese_chars",
                json!(false),
            ),
            "normalizer: {\"type\":\"BertNormalizer\"",
        ),
        (
            "bert",
            set(word_piece(), "/post_processor", json!(null)),
            "post_processor: a vocabulary of WordPiece puts one token before a text",
        ),
        (
            "llama",
            set(
                sentence_piece(),
                "/model",
                json!({"type": "Unigram", "unk_id": 0, "vocab": [["a", 0.0]]}),
            ),
            "model: Unigram can't be written yet",
        ),
    ] {
        let folder = with_tokenizer(name, &tokenizer);
        let message = refusal(folder.path());
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("tokenizer.json: "), "{message}");
    }
}
