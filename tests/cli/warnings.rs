//! Does every command say what a user should know about a model or a text before its results are believed?

use std::fs;
use std::path::Path;

use super::common::markers;
use super::common::sentences::Sentences;
use super::options::{COMMANDS, Files};
use super::{output, stdout};

/// The demo with a key in its configuration that no parameter reads and that changes what a model computes.
const UNREAD: &str = "\"logits_scaling\": 8.0,";
/// The warning about the key.
const TOLD: &str = "does not read logits_scaling (8.0), which may change what the model computes";
/// A command that reads only a tokenizer, and so nothing that a model computes.
const WITHOUT_MODEL: &str = "tokenize";

#[test]
fn every_command_that_opens_a_model_reports_unread_keys_that_change_it() {
    let files = Files::new();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    // No GGUF file can express what the demo's tokenizer does.
    let bare = folder.path().join("bare");
    for (folder, file) in [
        (&whole, "model.safetensors"),
        (&whole, "tokenizer.json"),
        (&bare, "model.safetensors"),
    ] {
        fs::create_dir_all(folder).unwrap();
        fs::copy(demo.join(file), folder.join(file)).unwrap();
    }
    let config = fs::read_to_string(demo.join("config.json")).unwrap();
    for (more, opens) in [(UNREAD, true), ("", false)] {
        let config = config.replacen('{', &format!("{{{more}"), 1);
        for folder in [&whole, &bare] {
            fs::write(folder.join("config.json"), &config).unwrap();
        }
        for [command, _, rest] in COMMANDS {
            let model = match command {
                "quantize" => &bare,
                _ => &whole,
            };
            let named = model.display();
            let (_, out, errors) = files.outcome(&format!("{command} {named} {rest}"));
            let told = out.contains(TOLD) || errors.contains(TOLD);
            let expected = opens && command != WITHOUT_MODEL;
            assert_eq!(told, expected, "{command}: {errors}");
            if command != "info" {
                assert!(!out.contains(TOLD), "{command}: stdout is for results");
            }
        }
    }
}

#[test]
fn a_command_that_opens_a_model_several_times_tells_each_warning_once() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
    let folder = tempfile::tempdir().unwrap();
    for file in ["model.safetensors", "tokenizer.json"] {
        fs::copy(demo.join(file), folder.path().join(file)).unwrap();
    }
    let config = fs::read_to_string(demo.join("config.json")).unwrap();
    let config = config.replacen('{', &format!("{{{UNREAD}"), 1);
    fs::write(folder.path().join("config.json"), config).unwrap();
    let bench = ["bench", folder.path().to_str().unwrap()];
    let bench = bench.iter().chain(&["-p", "4", "-n", "2", "-r", "1"]);
    for more in [
        &["-t", "1,2,3"][..],
        &["-t", "1,2", "--parallel", "1,2"],
        &["-t", "1", "--ablate"],
    ] {
        // The ablation has a prompt of its own.
        let arguments = bench
            .clone()
            .filter(|argument| !more.contains(&"--ablate") || !["-p", "4"].contains(*argument));
        let output = output(arguments.chain(more));
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{errors}");
        assert_eq!(errors.matches(TOLD).count(), 1, "{more:?}: {errors}");
    }
}

#[test]
fn every_command_that_reads_a_text_tells_of_a_start_that_it_has_twice() {
    let (model, sentences) = (markers::model(), Sentences::new());
    sentences.write("tokenizer_config.json", r#"{"cls_token": "[CLS]"}"#);
    let told = |arguments: &[&str]| {
        let output = output(arguments);
        String::from_utf8(output.stderr).unwrap()
    };
    let (model, sentences) = (
        model.path().to_str().unwrap(),
        sentences.path().to_str().unwrap(),
    );
    for (command, model, start) in [
        ("run", model, "<s>"),
        ("score", model, "<s>"),
        ("tokenize", model, "<s>"),
        ("embed", sentences, "[CLS]"),
    ] {
        let doubled = told(&[command, model, &format!("{start} one")]);
        assert!(
            doubled.contains(&format!("the text begins with {start}"))
                && doubled.contains("the model reads two"),
            "{command}: {doubled}"
        );
        let once = told(&[command, model, &format!("one {start}")]);
        assert!(!once.contains("reads two"), "{command}: {once}");
    }
    // For several texts there is one line.
    let several = told(&["embed", sentences, "[CLS]one", "one", "[CLS]", "[CLS]two"]);
    assert!(several.contains("3 texts begin with [CLS]"), "{several}");
    assert_eq!(several.matches("reads two").count(), 1, "{several}");
}

#[test]
fn a_start_that_is_read_as_text_is_not_doubled() {
    let model = markers::model();
    let model = model.path().to_str().unwrap();
    let ids = stdout(["tokenize", model, "<s>hi", "--no-special"]);
    assert!(!ids.contains("256"), "{ids}");
    let output = output(["run", model, "<s>hi", "-n", "1", "--no-special"]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!errors.contains("reads two"), "{errors}");
}
