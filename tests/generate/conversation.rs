//! Does a conversation read only what is new, and answer as if it had read everything?
#![cfg(feature = "chat")]

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};
use smallmind::chat::{ChatError, Conversation, Message, TemplateError, Turn, WhenFull};
use smallmind::text::template_files::TemplateFileError;
use smallmind::{Cancel, Finish, GenerateOptions, LogitsHook, Model, Options};
use tempfile::TempDir;

/// A template whose every character is a token of the demo.
const PLAIN: &str = "{% for m in messages %}{{ m.role[0]|upper }}: {{ m.content }}\n{% endfor %}A:";

fn demo(context: usize) -> Conversation {
    let options = Options::new().context(context);
    with_template(&Model::open("demo", &options).unwrap(), PLAIN)
}

fn with_template(model: &Model, text: &str) -> Conversation {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("template.jinja");
    fs::write(&file, text).unwrap();
    Conversation::new(model, model.chat_template_from(&file).unwrap()).unwrap()
}

fn greedy(max_tokens: usize) -> GenerateOptions {
    GenerateOptions::new().max_tokens(max_tokens).greedy()
}

fn say(conversation: &mut Conversation, text: &str) -> (Turn, String) {
    let mut answer = String::new();
    let turn = conversation
        .say(text, &greedy(12), |piece| {
            answer.push_str(piece);
            true
        })
        .unwrap();
    (turn, answer)
}

#[test]
fn later_turns_read_only_what_is_new() {
    let mut conversation = demo(256);
    conversation.set_system(Some("Be brief."));
    let (first, answer) = say(&mut conversation, "What is that?");
    assert_eq!(first.reused_tokens, 0);
    assert_eq!(
        first.read_tokens,
        "S: Be brief.\nU: What is that?\nA:".len()
    );
    let before = "S: Be brief.\nU: What is that?\nA:".len() + answer.len();
    assert_eq!(
        conversation.messages()[2],
        Message::new("assistant", answer.trim_end())
    );
    let (second, _) = say(&mut conversation, "And this?");
    let whole = second.reused_tokens + second.read_tokens;
    assert!(second.reused_tokens >= first.read_tokens && second.reused_tokens <= before);
    assert!(second.read_tokens < whole / 2, "{second:?}");
    assert_eq!(second.generated_tokens, 12);
}

#[test]
fn what_was_kept_changes_no_answer() {
    let mut kept = demo(256);
    let questions = ["Who goes there?", "Speak, what art thou?", "Go."];
    let answers: Vec<String> = questions.iter().map(|q| say(&mut kept, q).1).collect();
    for turn in 1..questions.len() {
        let mut fresh = demo(256);
        fresh.set_messages(kept.messages()[..2 * turn].to_vec());
        let (took, answer) = say(&mut fresh, questions[turn]);
        assert_eq!(took.reused_tokens, 0);
        assert_eq!(answer, answers[turn]);
    }
}

#[test]
fn undo_removes_a_question_and_its_answer() {
    let mut conversation = demo(256);
    conversation.set_system(Some("s"));
    say(&mut conversation, "One?");
    let before = conversation.messages().to_vec();
    let (_, answer) = say(&mut conversation, "Two?");
    assert_eq!(conversation.undo().as_deref(), Some("Two?"));
    assert_eq!(conversation.messages(), before);
    let (again, same) = say(&mut conversation, "Two?");
    assert_eq!(same, answer);
    assert_eq!(again.read_tokens, 1, "all but the last token was known");
    conversation.reset();
    assert_eq!(conversation.messages(), [Message::new("system", "s")]);
    assert_eq!(conversation.undo(), None);
}

#[test]
fn a_hook_has_its_say_in_answers() {
    let mut conversation = demo(256);
    let hook = LogitsHook::new(|tokens, logits| {
        // The question's last byte is read, and the answer can only be "x".
        assert!(tokens.len() >= "U: Hail!\nA:".len());
        logits.fill(f32::NEG_INFINITY);
        logits[usize::from(b'x')] = 0.0;
        Ok(std::ops::ControlFlow::Continue(()))
    });
    let options = greedy(5).logits_hook(hook);
    conversation.say("Hail!", &options, |_| true).unwrap();
    assert_eq!(
        conversation.messages()[1],
        Message::new("assistant", "xxxxx")
    );
    let fails = LogitsHook::new(|_, _| Err("enough".into()));
    let options = greedy(5).logits_hook(fails);
    let error = conversation.say("And?", &options, |_| true).unwrap_err();
    assert_eq!(error.to_string(), "the logits hook: enough");
    assert_eq!(conversation.messages().len(), 2);
}

#[test]
fn a_cancelled_answer_keeps_what_was_said_and_no_answer_leaves_nothing() {
    let mut conversation = demo(256);
    let cancel = Cancel::new();
    cancel.cancel();
    let turn = conversation.say("Hail!", &greedy(100).cancel(&cancel), |_| true);
    assert_eq!(turn.unwrap().finish, Finish::Cancelled);
    assert!(conversation.messages().is_empty());
    let mut pieces = 0;
    let turn = conversation
        .say("Hail!", &greedy(100), |_| {
            pieces += 1;
            pieces < 3
        })
        .unwrap();
    assert_eq!(turn.finish, Finish::Cancelled);
    assert_eq!(conversation.messages().len(), 2);
    assert!(turn.generated_tokens < 100);
}

#[test]
fn a_conversation_that_does_not_fit_is_an_error_and_stays_as_it_was() {
    let mut conversation = demo(64);
    say(&mut conversation, "Hail!");
    let before = conversation.messages().to_vec();
    let error = conversation
        .say(&"a".repeat(64), &greedy(5), |_| true)
        .unwrap_err();
    assert!(
        matches!(error, ChatError::TooLong { context: 64, .. }),
        "{error}"
    );
    assert_eq!(conversation.messages(), before);
    say(&mut conversation, "Ay.");
}

/// A conversation that fills its context with turns: a system text and `turns` questions of 4 bytes.
fn filled(context: usize, turns: usize) -> Conversation {
    let mut conversation = demo(context);
    let mut messages = vec![Message::new("system", "Sir.")];
    for turn in 0..turns {
        messages.push(Message::new("user", format!("Q{turn}: ")));
        messages.push(Message::new("assistant", format!("A{turn}. ")));
    }
    conversation.set_messages(messages);
    conversation
}

#[test]
fn the_oldest_turns_are_forgotten_if_asked_except_the_first_that_are_kept() {
    // "S: Sir.\n", "U: Q0: \nA: A0. \n" and so on, and "U: Now?\nA:": 8 + 16 for each turn + 10 bytes, and 12 for the answer.
    for (keep, left) in [(0, ["Q2: ", "Now?"]), (1, ["Q0: ", "Now?"])] {
        let mut conversation = filled(8 + 16 + 10 + 12, 3);
        conversation.set_when_full(WhenFull::Forget { keep });
        let (turn, _) = say(&mut conversation, "Now?");
        assert_eq!(turn.forgotten_messages, 4);
        let questions: Vec<&str> = conversation
            .messages()
            .iter()
            .filter(|message| message.role == "user")
            .map(|message| message.content.as_str())
            .collect();
        assert_eq!(questions, left, "{keep}");
        assert_eq!(conversation.messages()[0].role, "system");
        // There is also room for the answer: a quarter of the context.
        assert!(turn.generated_tokens >= 46 / 4, "{turn:?}");
    }
}

#[test]
fn what_still_does_not_fit_is_an_error_and_nothing_is_forgotten() {
    let mut conversation = filled(60, 3);
    let before = conversation.messages().to_vec();
    for when_full in [
        WhenFull::Refuse,
        WhenFull::Forget { keep: 3 },
        WhenFull::Forget { keep: 0 },
    ] {
        conversation.set_when_full(when_full);
        let text = match when_full {
            WhenFull::Forget { keep: 0 } => "a".repeat(60),
            _ => "Now?".to_string(),
        };
        let error = conversation.say(&text, &greedy(5), |_| true).unwrap_err();
        assert!(matches!(error, ChatError::TooLong { .. }), "{error}");
        assert_eq!(conversation.messages(), before);
    }
}

#[test]
fn another_answer_replaces_the_last_and_no_answer_leaves_it() {
    let mut conversation = demo(256);
    let options = GenerateOptions::new().max_tokens(12);
    let error = conversation.retry(&options, |_| true).unwrap_err();
    assert_eq!(error.to_string(), "there is no question yet");
    conversation.say("Who goes?", &options, |_| true).unwrap();
    let first = conversation.messages().to_vec();
    let turn = conversation
        .retry(&options.clone().seed(1), |_| true)
        .unwrap();
    assert_eq!(turn.read_tokens, 1, "all but the last token was known");
    let second = conversation.messages().to_vec();
    assert_eq!((first.len(), second.len()), (2, 2));
    assert_eq!(first[0], second[0]);
    assert_ne!(first[1], second[1]);
    conversation.retry(&options, |_| true).unwrap();
    assert_eq!(conversation.messages(), first);

    let cancel = Cancel::new();
    cancel.cancel();
    let turn = conversation.retry(&options.clone().cancel(&cancel), |_| true);
    assert_eq!(turn.unwrap().finish, Finish::Cancelled);
    assert_eq!(conversation.messages(), first);
    assert!(cancel.reset() && !cancel.is_cancelled());
}

#[test]
fn a_model_without_a_template_says_where_one_could_be() {
    let model = Model::open("demo", &Options::default()).unwrap();
    let message = model.chat_template().unwrap_err().to_string();
    assert!(message.contains("demo has no chat template"), "{message}");
    assert!(message.contains("--template"), "{message}");
    let folder = folder(json!({}));
    let model = Model::open(folder.path(), &Options::default()).unwrap();
    let message = model.chat_template().unwrap_err().to_string();
    for place in ["chat_template.jinja", "tokenizer_config.json"] {
        assert!(message.contains(place), "{message}");
    }
}

/// Tokens of the models that [`folder`] makes; the first four are special.
const TOKENS: [&str; 9] = [
    "<|im_end|>",
    "<s>",
    "</s>",
    "<|im_start|>",
    "user",
    "assistant",
    "yes",
    "no",
    "\n",
];

/// A model of zeros, whose logits are all equal, so greedy choice chooses token 0. Its tokenizer puts `<s>` before a
/// text; `config` is tokenizer_config.json.
fn folder(config: Json) -> TempDir {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, json: Json| {
        fs::write(folder.path().join(name), json.to_string()).unwrap();
    };
    let ids = || TOKENS.iter().enumerate();
    let vocabulary: serde_json::Map<String, Json> = ids()
        .map(|(id, token)| (token.to_string(), json!(id)))
        .collect();
    let added: Vec<Json> = ids()
        .map(|(id, token)| {
            json!({"id": id, "content": token, "special": id < 4, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false})
        })
        .collect();
    let begin = json!([{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]);
    write(
        "tokenizer.json",
        json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
            "pre_tokenizer": null, "decoder": null,
            "post_processor": {"type": "TemplateProcessing", "single": begin, "pair": begin,
                "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "no"}}),
    );
    write("tokenizer_config.json", config);
    crate::common::zeros::llama(folder.path(), TOKENS.len());
    folder
}

fn open(folder: &Path) -> Model {
    Model::open(folder, &Options::default()).unwrap()
}

const CHATML: &str = "{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}\
                      {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

#[test]
fn special_tokens_of_the_template_are_tokens_and_the_text_begins_once() {
    let folder = folder(json!({"chat_template": CHATML, "bos_token": {"content": "<s>"}}));
    let model = open(folder.path());
    let mut conversation = Conversation::new(&model, model.chat_template().unwrap()).unwrap();
    conversation.set_messages(vec![Message::new("user", "yes")]);
    assert_eq!(
        conversation.tokens().unwrap(),
        [1, 3, 4, 8, 6, 0, 8, 3, 5, 8]
    );
}

#[test]
fn the_token_that_the_template_puts_after_an_answer_ends_it() {
    let folder = folder(json!({"chat_template": CHATML, "bos_token": "<s>"}));
    let model = open(folder.path());
    assert!(model.eos_tokens().is_empty());
    let mut conversation = Conversation::new(&model, model.chat_template().unwrap()).unwrap();
    let (turn, answer) = say(&mut conversation, "yes");
    assert_eq!(turn.finish, Finish::EndOfText);
    assert_eq!((turn.generated_tokens, answer.as_str()), (1, ""));
}

#[test]
fn the_tokenizer_configurations_end_token_ends_an_answer() {
    let folder =
        folder(json!({"chat_template": "{{ messages[0].content }}", "eos_token": "<|im_end|>"}));
    let model = open(folder.path());
    let mut conversation = Conversation::new(&model, model.chat_template().unwrap()).unwrap();
    assert_eq!(say(&mut conversation, "yes").0.finish, Finish::EndOfText);
}

#[test]
fn templates_are_found_in_their_order() {
    let named =
        |name: &str| json!({"name": name, "template": format!("{name} {{{{ eos_token }}}}")});
    let folder = folder(
        json!({"chat_template": [named("tool_use"), named("default")], "eos_token": "</s>"}),
    );
    let render = || {
        let template = open(folder.path()).chat_template()?;
        template.render(&[], true, std::time::SystemTime::now())
    };
    assert_eq!(render().unwrap(), "default </s>");
    let config = folder.path().join("tokenizer_config.json");
    fs::write(
        &config,
        json!({"chat_template": [named("tool_use")]}).to_string(),
    )
    .unwrap();
    let error = render().unwrap_err();
    assert!(
        matches!(&error, TemplateError::File(TemplateFileError::NoDefault { names, .. }) if names == &["tool_use"]),
        "{error}"
    );
    fs::write(&config, "{}").unwrap();
    fs::write(
        folder.path().join("chat_template.json"),
        r#"{"chat_template": "json"}"#,
    )
    .unwrap();
    assert_eq!(render().unwrap(), "json");
    fs::write(folder.path().join("chat_template.jinja"), "jinja\n").unwrap();
    assert_eq!(render().unwrap(), "jinja");
}
