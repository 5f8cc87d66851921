//! Does `tokenize` read stdin as it is, without weights, and say what is wrong with it?

use std::io::Write;
use std::process::{Output, Stdio};

use super::smallmind;
use super::stdout;

/// The output of `tokenize` for an input.
fn tokenize(model: &str, flags: &[&str], input: &[u8]) -> Output {
    let mut child = smallmind()
        .args(["tokenize", "-m", model])
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses its model reads no input.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn given(model: &str, flags: &[&str], input: &str) -> String {
    let output = tokenize(model, flags, input.as_bytes());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(model: &str, flags: &[&str], input: &[u8]) -> String {
    let output = tokenize(model, flags, input);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

const LLAMA: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/vocab/ggml-vocab-llama-spm.gguf"
);

#[test]
fn a_vocabulary_alone_is_enough_for_ids_and_for_the_text_back() {
    assert_eq!(given(LLAMA, &[], "Hello world\n"), "1 15043 3186 13\n");
    assert_eq!(given(LLAMA, &["--ids"], "Hello"), "1 15043\n");
    assert_eq!(given(LLAMA, &["--no-special"], "Hello"), "15043\n");
    assert_eq!(
        given(LLAMA, &["--decode"], "1 15043 3186,13\n"),
        "<s> Hello world\n"
    );
    assert_eq!(
        given(LLAMA, &["--decode", "--no-special"], "1 15043 3186"),
        "Hello world"
    );
}

#[test]
fn special_tokens_in_a_text_are_text_if_none_are_wanted() {
    assert_eq!(given(LLAMA, &[], "</s>"), "1 2\n");
    assert_eq!(
        given(LLAMA, &["--no-special"], "</s>"),
        "1533 29879 29958\n"
    );
}

#[test]
fn the_demo_and_a_folder_without_weights_will_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(
        concat!(env!("CARGO_MANIFEST_DIR"), "/demo/tokenizer.json"),
        folder.path().join("tokenizer.json"),
    )
    .unwrap();
    let folder = folder.path().to_str().unwrap();
    for model in ["demo", folder] {
        assert_eq!(given(model, &[], "Hi\r\n"), "72 105 13 10\n", "{model}");
        assert_eq!(given(model, &["--decode"], "72 105"), "Hi", "{model}");
        assert_eq!(given(model, &[], ""), "\n", "{model}");
    }
}

#[test]
fn an_invalid_input_is_an_error() {
    assert_eq!(
        refused("demo", &[], b"ab\xFFc"),
        "error: stdin is not UTF-8 at byte 2 (from 0)\n"
    );
    for (input, message) in [
        ("12 x", "error: `x` is not a token id\n"),
        ("-1", "error: `-1` is not a token id\n"),
        ("99999999999", "error: `99999999999` is not a token id\n"),
        (
            "32000",
            "error: token 32000 is not in the vocabulary of 32000\n",
        ),
    ] {
        assert_eq!(refused(LLAMA, &["--decode"], input.as_bytes()), message);
    }
}

#[test]
fn a_model_without_a_tokenizer_is_an_error() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/llama");
    assert_eq!(
        refused(folder, &[], b"text"),
        "error: the model has no tokenizer.json, so it can neither read nor write text\n"
    );
    assert!(refused("no/such", &[], b"").contains("there is no such file or folder"));
}

#[test]
fn help_says_what_happens_to_a_newline() {
    let help = stdout(["tokenize", "--help"]);
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        help.contains("a newline at the end is part of the text"),
        "{help}"
    );
}
