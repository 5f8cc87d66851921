//! Does `smallmind embed` print a vector for each text?

use std::io::Write;
use std::process::{Output, Stdio};

use serde_json::Value;
use smallmind::model::{self, Logits};
use smallmind::{EmbedOptions, Model, Options, Pooling};

use super::common::sentences::Sentences;
use super::{failure, smallmind, stdout};

/// The output of the command for a text on stdin.
fn piped(arguments: &[&str], text: &[u8]) -> Output {
    let mut command = smallmind();
    command.arg("embed").args(arguments).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    child.wait_with_output().unwrap()
}

fn lines(text: &str) -> Vec<Value> {
    let line = |line| serde_json::from_str(line).unwrap();
    text.lines().map(line).collect()
}

#[test]
fn each_text_becomes_a_line_with_its_embedding() {
    let sentences = Sentences::new();
    let model = sentences.path().to_str().unwrap();
    let texts = ["one two", "", "six five four three"];
    let expected = Model::open(sentences.path(), &Default::default())
        .unwrap()
        .embed(&texts)
        .unwrap();
    let given = stdout(["embed", model, texts[0], texts[1], texts[2]]);
    let from_stdin = piped(&[model], b"one two\r\n\nsix five four three");
    assert_eq!(String::from_utf8(from_stdin.stdout).unwrap(), given);
    assert!(from_stdin.status.success());
    for (number, line) in lines(&given).iter().enumerate() {
        assert_eq!(line["index"], number);
        assert_eq!(line["tokens"], [4, 2, 6][number]);
        let found: Vec<f32> = serde_json::from_value(line["embedding"].clone()).unwrap();
        assert_eq!(found, expected[number]);
    }
}

#[test]
fn pooling_and_normalising_can_be_chosen() {
    let sentences = Sentences::new();
    let model = sentences.path().to_str().unwrap();
    let row = |arguments: &[&str]| -> Vec<f32> {
        let all = [&["embed", model, "one two"], arguments].concat();
        serde_json::from_value(lines(&stdout(all))[0]["embedding"].clone()).unwrap()
    };
    let length = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>().sqrt();
    assert!((length(&row(&[])) - 1.0).abs() < 1e-6);
    let long = row(&["--no-normalize"]);
    assert!((length(&long) - 1.0).abs() > 0.1);
    assert_ne!(row(&["--no-normalize", "--pooling", "cls"]), long);
}

#[test]
fn a_language_models_last_hidden_state_is_its_embedding() {
    let row = |arguments: &[&str]| -> Vec<f32> {
        let all = [&["embed", "demo", "ROMEO:"], arguments].concat();
        serde_json::from_value(lines(&stdout(all))[0]["embedding"].clone()).unwrap()
    };
    let options = Options::new().output(model::Output::Hidden);
    let model = Model::open("demo", &options).unwrap();
    let expected = model.embed(&["ROMEO:"]).unwrap();
    assert_eq!(row(&[]), expected[0]);
    assert_eq!(row(&["--pooling", "last"]), expected[0]);
    let model = Model::open("demo", &options.logits(Logits::All)).unwrap();
    let mean = EmbedOptions::new().pooling(Pooling::Mean);
    let expected = model.embedder(&mean).unwrap().embed(&["ROMEO:"]).unwrap();
    assert_eq!(row(&["--pooling", "mean"]), expected[0]);
}

#[test]
fn input_without_texts_or_a_tokenizer_is_an_error() {
    let sentences = Sentences::new();
    let model = sentences.path().to_str().unwrap();
    for (arguments, text, message) in [
        (
            &[model, "-"][..],
            &b""[..],
            "no text to embed: stdin is empty",
        ),
        (&[model], b"one\n\xff\n", "line 2 of stdin is not UTF-8"),
        (
            &["demo", "--without", "hidden_output"],
            b"one\n",
            "output needs the pass \"hidden_output\", which does not run",
        ),
    ] {
        let output = piped(arguments, text);
        assert_eq!(output.status.code(), Some(1));
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.starts_with(&format!("error: {message}")), "{errors}");
        assert!(output.stdout.is_empty());
    }
    std::fs::remove_file(sentences.path().join("tokenizer.json")).unwrap();
    assert!(failure(["embed", model, "one"]).contains("the model has no tokenizer.json"));
}
