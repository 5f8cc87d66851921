//! Does `smallmind chat` answer line by line, and do its commands do what they say?

use std::fs;
use std::io::Write;
use std::process::{Output, Stdio};

use serde_json::{Value as Json, json};
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
fn chat(template: &str, arguments: &[&str], input: &str) -> Output {
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
    let written = child.stdin.take().unwrap().write_all(input.as_bytes());
    written.unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn each_line_gets_an_answer_and_the_saved_messages_are_those_of_the_answers() {
    let (folder, template) = template();
    let saved = folder.path().join("saved.json");
    let input = format!(
        "Who goes?\n\"\"\"Two\nlines\"\"\"\n/save {}\n",
        saved.display()
    );
    let output = chat(&template, &["--system", "Sir."], &input);
    let errors = text(output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("5 messages written to"), "{errors}");
    let json: Json = serde_json::from_slice(&fs::read(&saved).unwrap()).unwrap();
    let content = |n: usize| json["messages"][n]["content"].as_str().unwrap();
    assert_eq!(
        json["messages"][0],
        json!({"role": "system", "content": "Sir."})
    );
    assert_eq!((content(1), content(3)), ("Who goes?", "Two\nlines"));
    let answers = text(output.stdout);
    assert!(
        answers.starts_with(content(2)) && answers.trim_end().ends_with(content(4)),
        "{answers}"
    );
}

#[test]
fn a_loaded_conversation_goes_on_as_if_it_had_never_ended() {
    let (folder, template) = template();
    let saved = folder.path().join("saved.json").display().to_string();
    let whole = chat(&template, &[], "One?\nTwo?\n");
    let first = chat(&template, &[], &format!("One?\n/save {saved}\n"));
    let second = chat(
        &template,
        &[],
        &format!("/load {saved}\nTwo?\n/quit\nThree?\n"),
    );
    assert_eq!(
        text(whole.stdout),
        text(first.stdout) + &text(second.stdout)
    );
}

#[test]
fn undo_reset_system_and_stats_work_on_the_conversation() {
    let (_folder, template) = template();
    let alone = text(chat(&template, &[], "Two?\n").stdout);
    for forget in ["/undo", "/reset"] {
        let output = chat(&template, &[], &format!("One?\n{forget}\nTwo?\n"));
        assert!(text(output.stdout).ends_with(&alone));
    }
    let with_system = text(chat(&template, &["--system", "Sir."], "Two?\n").stdout);
    assert_eq!(
        text(chat(&template, &[], "/system Sir.\nTwo?\n").stdout),
        with_system
    );
    let errors = text(chat(&template, &[], "/stats\nTwo?\n/stats\n").stderr);
    for part in [
        "no answer yet",
        "reused      0 tokens",
        "prompt      10 tokens, ",
        "generation  8 tokens, ",
        "of 256 positions",
    ] {
        assert!(errors.contains(part), "no {part:?} in:\n{errors}");
    }
}

#[test]
fn mistakes_in_commands_are_told_and_end_nothing() {
    let (_folder, template) = template();
    let output = chat(
        &template,
        &[],
        "/sing\n/save\n/load no/such/file\n/undo now\n/help\n/undo\nHail!\n",
    );
    let errors = text(output.stderr);
    assert!(output.status.success());
    for part in [
        "no command /sing",
        "/save takes the name of a file",
        "no/such/file: can't be read",
        "/undo takes nothing behind it",
        "/load FILE",
        "there is nothing to forget",
    ] {
        assert!(errors.contains(part), "no {part:?} in:\n{errors}");
    }
    assert!(!output.stdout.is_empty());
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
    assert!(failure(["run", "demo", "Hail!", "--system", "Sir."]).contains("need --chat"));
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
