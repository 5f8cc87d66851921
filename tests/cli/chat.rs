//! Does `smallmind chat` answer line by line when no person is typing?

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use smallmind::chat::Conversation;
use smallmind::{GenerateOptions, Model, Options};
use tempfile::TempDir;

use super::{failure, output, smallmind, stdout};

/// A template whose every character is a token of the demo.
const TEMPLATE: &str =
    "{% for m in messages %}{{ m.role[0]|upper }}: {{ m.content }}\n{% endfor %}A:";

/// A folder with the template, and its path.
fn template() -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("template.jinja");
    fs::write(&path, TEMPLATE).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

/// What `chat` with the demo makes of these lines on stdin.
fn chat(template: &str, arguments: &[&str], input: impl AsRef<[u8]>) -> Output {
    let mut command = smallmind();
    command.args([
        "chat",
        "demo",
        "--template",
        template,
        "--greedy",
        "-n",
        "8",
    ]);
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let written = child.stdin.take().unwrap().write_all(input.as_ref());
    written.unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// The library's answers to these messages.
fn answers(template: &str, messages: &[&str]) -> String {
    let model = Model::open("demo", &Options::new()).unwrap();
    let template = model.chat_template_from(Path::new(template)).unwrap();
    let mut conversation = Conversation::new(&model, template).unwrap();
    let options = GenerateOptions::new().max_tokens(8).greedy();
    let mut answers = String::new();
    for message in messages {
        let say = conversation.say(message, &options, |piece| {
            answers.push_str(piece);
            true
        });
        say.unwrap();
        answers.push('\n');
    }
    answers
}

#[test]
fn each_line_of_a_pipe_is_a_message_whatever_it_begins_with_or_ends_with() {
    let (folder, template) = template();
    let saved = folder.path().join("saved.json");
    let save = format!("/save {}", saved.display());
    let lines = [
        "Who goes?",
        &save,
        "/quit",
        "/usr is a folder?",
        "a\\",
        "\"\"\"b",
        "/",
    ];
    let output = chat(&template, &[], lines.join("\r\n"));
    assert!(output.status.success(), "{}", text(output.stderr));
    assert_eq!(text(output.stdout), answers(&template, &lines));
    assert!(!saved.exists());
}

#[test]
fn a_line_that_is_not_utf8_is_an_error_that_counts_lines() {
    let (_folder, template) = template();
    let output = chat(&template, &[], b"hi\n\n\xFF\n");
    assert_eq!(output.status.code(), Some(1));
    let errors = text(output.stderr);
    assert!(errors.contains("line 3 of stdin is not UTF-8"), "{errors}");
}

#[test]
fn an_empty_line_is_not_a_message() {
    let (_folder, template) = template();
    let output = chat(&template, &[], "\n  \nHail!\n\n");
    assert_eq!(text(output.stdout), answers(&template, &["Hail!"]));
}

#[test]
fn answers_are_drawn_from_new_seeds_unless_one_is_fixed() {
    let (_folder, template) = template();
    let said = |seed: &[&str]| {
        let mut command = smallmind();
        command.args([
            "chat",
            "demo",
            "--template",
            &template,
            "-n",
            "40",
            "--temp",
            "1.5",
        ]);
        let mut child = command
            .args(seed)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"Hail!\n").unwrap();
        text(child.wait_with_output().unwrap().stdout)
    };
    assert_eq!(said(&["--seed", "3"]), said(&["--seed", "3"]));
    assert_ne!(said(&[]), said(&[]));
    assert_ne!(said(&["--seed", "-1"]), said(&["--seed", "-1"]));
}

#[test]
fn the_oldest_turns_make_room_if_that_is_asked_for() {
    let (_folder, template) = template();
    let lines = "Who goes there?\nSpeak, what art thou?\nStand!\n";
    let output = chat(&template, &["-c", "60"], lines);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(output.stderr).contains("the context has 60 positions"));
    let output = chat(&template, &["-c", "60", "--keep", "0"], lines);
    let errors = text(output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(
        errors.contains("messages were forgotten before this answer"),
        "{errors}"
    );
    assert_eq!(text(output.stdout).lines().count(), 3);
}

#[test]
fn run_chat_answers_the_prompt_once() {
    let (_folder, template) = template();
    let arguments = [
        "--template",
        &template,
        "--greedy",
        "-n",
        "8",
        "--system",
        "Sir.",
    ];
    let once = stdout(["run", "demo", "Hail!", "--chat"].iter().chain(&arguments));
    let chat = text(chat(&template, &["--system", "Sir."], "Hail!\n").stdout);
    assert_eq!(once.trim_end(), chat.trim_end());
    let refused = output(["run", "demo", "Hail!", "--system", "Sir."]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(refused.stderr).contains("need --chat"));
}

#[test]
fn a_model_without_a_template_is_an_error_before_anything_is_said() {
    for arguments in [&["chat", "demo"][..], &["run", "demo", "Hail!", "--chat"]] {
        let message = failure(arguments);
        assert!(message.contains("has no chat template"), "{message}");
    }
}

#[test]
fn a_script_stops_at_the_first_error() {
    let (_folder, template) = template();
    let long = "a".repeat(300) + "\nHail!\n";
    let output = chat(&template, &[], &long);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(text(output.stderr).contains("the context has 256 positions"));
}

#[test]
fn chat_wants_a_model() {
    assert_eq!(output(["chat"]).status.code(), Some(2));
}
