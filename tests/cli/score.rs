//! Does `score` print what the library computes, for people and for programs?

use std::io::Write;
use std::process::Stdio;

use super::{failure, json, smallmind, stdout};

fn text(folder: &tempfile::TempDir, text: &[u8]) -> String {
    let path = folder.path().join("text.txt");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_string()
}

#[test]
fn a_score_is_the_same_in_both_forms_and_from_stdin() {
    let folder = tempfile::tempdir().unwrap();
    let file = &text(&folder, b"ROMEO:\nI do not");
    let report = json(["score", "demo", "-f", file, "--json", "--top", "3"]);
    assert_eq!(report["tokens"], 15);
    assert_eq!(report["scored"], 14);
    let (nll, perplexity) = (&report["mean_nll"], &report["perplexity"]);
    let (nll, perplexity) = (nll.as_f64().unwrap(), perplexity.as_f64().unwrap());
    assert!(nll > 0.5 && nll < 4.0, "{nll}");
    assert!((nll.exp() - perplexity).abs() < 1e-9 * perplexity);
    let top = report["top"].as_array().unwrap();
    assert_eq!(top.len(), 3);
    assert_eq!(top[0]["token"], "Ġ");
    assert_eq!(top[0]["id"], 32);
    assert!(top[0]["logprob"].as_f64().unwrap() < 0.0);

    let lines = stdout(["score", "demo", "-f", file, "--top", "3"]);
    assert!(
        lines.contains(&format!("mean nll    {nll:.6}\n")),
        "{lines}"
    );
    assert_eq!(lines.lines().count(), 7);

    let mut child = smallmind()
        .args(["score", "demo", "-f", "-", "--top", "3", "--chunk", "4"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"ROMEO:\nI do not").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), lines);
}

#[test]
fn a_text_of_any_length_has_a_score() {
    let folder = tempfile::tempdir().unwrap();
    let file = &text(&folder, "All the world's a stage. ".repeat(40).as_bytes());
    let report = json(["score", "demo", "-f", file, "--json", "--top", "0"]);
    assert_eq!(report["scored"], 999);
    assert_eq!(report["top"].as_array().unwrap().len(), 0);
}

#[test]
fn an_input_that_cannot_be_scored_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = &text(&folder, b"\xC3");
    let message = failure(["score", "demo", "-f", file]);
    assert!(message.contains("is not UTF-8 at byte 0"), "{message}");
    let file = &text(&folder, b"a");
    let message = failure(["score", "demo", "-f", file]);
    assert!(message.contains("a score needs at least two"), "{message}");
    let message = failure(["score", "demo", "-f", "no/such/file"]);
    assert!(message.contains("can't read no/such/file"), "{message}");
    let message = failure(["score", "tests/data/llama", "-f", file]);
    assert!(message.contains("no tokenizer.json"), "{message}");
}
