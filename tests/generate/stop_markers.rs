//! Do stop strings find special tokens, which are not part of the text, and do known templates work without files?
#![cfg(feature = "chat")]

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};
use smallmind::chat::{Conversation, Message};
use smallmind::{Finish, GenerateOptions, Model, Options};
use tempfile::TempDir;

/// Tokens of the models that [`open`] makes; the first three are special.
const TOKENS: [&str; 5] = ["<|im_end|>", "<s>", "<|im_start|>", "a", "\n"];

/// A model of zeros, whose logits are all equal, so greedy choice chooses token 0. With `begins`, its tokenizer puts
/// `<s>` before a text.
fn open(folder: &TempDir, begins: bool) -> Model {
    let ids = || TOKENS.iter().enumerate();
    let vocabulary: serde_json::Map<String, Json> = ids()
        .map(|(id, token)| (token.to_string(), json!(id)))
        .collect();
    let added: Vec<Json> = ids()
        .map(|(id, token)| json!({"id": id, "content": token, "special": id < 3, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false}))
        .collect();
    let begin = json!([{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]);
    let around = json!({"type": "TemplateProcessing", "single": begin, "pair": begin,
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}});
    let file = json!({"version": "1.0", "added_tokens": added,
        "post_processor": if begins { around } else { Json::Null },
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "a"}});
    fs::write(folder.path().join("tokenizer.json"), file.to_string()).unwrap();
    crate::common::zeros::llama(folder.path(), TOKENS.len());
    Model::open(folder.path(), &Options::default()).unwrap()
}

#[test]
fn a_stop_string_that_names_a_special_token_stops() {
    let folder = TempDir::new().unwrap();
    let model = open(&folder, false);
    for (stop, finish, tokens) in [
        ("<|im_end|>", Finish::Stop(0), 1),
        ("<|im_end|><|im_end|>", Finish::Stop(0), 2),
        ("<|im_start|>", Finish::Length, 4),
    ] {
        let options = GenerateOptions::new().max_tokens(4).greedy().stop([stop]);
        let mut text = String::new();
        let mut session = model.session().unwrap();
        let generation = model
            .generate(&mut session, "a", &options, |piece| {
                text.push_str(piece);
                true
            })
            .unwrap();
        assert_eq!(
            (generation.finish, generation.tokens.len()),
            (finish, tokens),
            "{stop}"
        );
        assert_eq!(text, "", "{stop}");
    }
}

#[test]
fn a_known_template_begins_as_the_tokenizer_begins_a_text() {
    for (begins, expected) in [(true, vec![1, 2]), (false, vec![2])] {
        let folder = TempDir::new().unwrap();
        let model = open(&folder, begins);
        let template = model.chat_template_from(Path::new("chatml")).unwrap();
        let mut conversation = Conversation::new(&model, template).unwrap();
        conversation.set_messages(vec![Message::new("user", "a")]);
        let tokens = conversation.tokens().unwrap();
        assert_eq!(tokens[..expected.len()], expected);
        assert_eq!(
            tokens.iter().filter(|token| **token == 1).count(),
            usize::from(begins)
        );
    }
}

#[test]
fn an_unknown_name_is_reported_with_the_nearest() {
    let folder = TempDir::new().unwrap();
    let model = open(&folder, false);
    let message = model
        .chat_template_from(Path::new("chatlm"))
        .unwrap_err()
        .to_string();
    for part in ["chatlm", "the nearest is `chatml`", "llama3, ", "zephyr"] {
        assert!(message.contains(part), "{message}");
    }
    let message = model.chat_template().unwrap_err().to_string();
    assert!(message.contains("chatml, "), "{message}");
    let file = folder.path().join("none.jinja");
    let message = model.chat_template_from(&file).unwrap_err().to_string();
    assert!(message.contains("none.jinja: can't be read"), "{message}");
}
