//! Does the command line do what it promises, and end as programs should?
#![cfg(feature = "cli")]

mod bench;
mod chat;
#[cfg(target_os = "linux")]
mod chat_terminal;
mod check;
mod colours;
#[path = "../common/mod.rs"]
mod common;
mod compile;
mod completions;
mod embed;
mod gguf;
mod hub;
mod info;
mod man;
mod mistakes;
mod not_finite;
mod options;
mod quantize;
mod quantized;
#[cfg(target_os = "linux")]
mod refused_threads;
mod run;
mod score;
mod tokenize;
mod warnings;

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What transformers computed for the demo.
const EXPECTED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/demo/expected.safetensors"
);

fn smallmind() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smallmind"));
    command.env_remove("SMALLMIND_ISA").stdin(Stdio::null());
    command
}

fn output<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    smallmind().args(arguments).output().unwrap()
}

/// Whether a line of stderr is a note or warning, and not an error.
fn is_note(line: &str) -> bool {
    line.starts_with("note: ") || line.starts_with("warning: ")
}

/// The stdout of a command that succeeds; on stderr there may only be notes and warnings.
fn stdout<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> String {
    let output = output(arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    assert!(errors.lines().all(is_note), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The stderr of a command that fails without a result.
fn failure<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> String {
    let output = output(arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(output.stdout.is_empty());
    let mut errors: Vec<&str> = errors.lines().skip_while(|line| is_note(line)).collect();
    assert!(
        errors
            .first()
            .is_some_and(|line| line.starts_with("error: ")),
        "{errors:?}"
    );
    errors.push("");
    errors.join("\n")
}

fn json<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Value {
    serde_json::from_str(&stdout(arguments)).unwrap()
}

/// The fingerprint that `check` prints for the demo.
fn bits(arguments: &[&str], isa: Option<&str>) -> String {
    let mut command = smallmind();
    command
        .args(["check", "demo", "--expected", EXPECTED])
        .args(arguments);
    if let Some(isa) = isa {
        command.env("SMALLMIND_ISA", isa);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        isa.is_none_or(|isa| text.contains(&format!("isa {isa}\n"))),
        "{text}"
    );
    let line = text.lines().find(|line| line.starts_with("bits ")).unwrap();
    line.to_string()
}

#[test]
fn a_path_that_is_not_a_model_is_an_error() {
    for command in ["run", "dump", "plan", "explain", "info"] {
        let message = failure([command, "no/such/model"]);
        assert!(
            message.contains("no/such/model: there is no such file or folder"),
            "{message}"
        );
    }
}

#[test]
fn a_mistake_in_the_arguments_exits_with_2() {
    for arguments in [
        &["walk"][..],
        &["dump"],
        &["run", "--max-tokens", "many"],
        &["bench", "-r", "0"],
    ] {
        let output = output(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty());
    }
}

#[test]
fn an_option_out_of_its_range_is_an_error_that_states_the_range() {
    let message = failure(["run", "demo", "--top-p", "1.5"]);
    assert!(
        message.contains("top_p is 1.5; it must be between 0 and 1"),
        "{message}"
    );
    let message = failure(["plan", "demo", "-c", "257"]);
    assert!(message.contains("from 1 to 256"), "{message}");
}

#[test]
fn an_unknown_pass_is_an_error_that_names_the_nearest() {
    for arguments in [
        ["dump", "demo", "--after", "fuse_nrom"],
        ["run", "demo", "--without", "fuse_nrom"],
    ] {
        let message = failure(arguments);
        assert!(
            message.contains("'fuse_nrom', did you mean 'fuse_norm'?"),
            "{message}"
        );
    }
}

#[test]
fn an_unknown_instruction_set_is_an_error() {
    let output = smallmind()
        .args(["plan", "demo"])
        .env("SMALLMIND_ISA", "avx9")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("'avx9'"));
}
