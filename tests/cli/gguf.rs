//! Does the command line accept GGUF files?

use std::ffi::OsStr;
use std::path::PathBuf;

use tempfile::TempDir;

use super::common::gguf::{Stored, convert};
use super::{failure, json, stdout};

fn written(folder: &TempDir, name: &str) -> String {
    let path: PathBuf = folder.path().join(format!("{name}.gguf"));
    std::fs::write(&path, convert(name, Stored::F32).bytes()).unwrap();
    path.display().to_string()
}

#[test]
fn commands_without_text_take_a_gguf_file_without_a_vocabulary() {
    let folder = TempDir::new().unwrap();
    let model = &written(&folder, "gpt2");
    let expected = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/gpt2/expected.safetensors"
    );
    let check = stdout(["check", model, "--expected", expected]);
    assert!(check.contains("greedy tokens equal"), "{check}");
    assert!(stdout(["plan", model]).contains("packed into panels"));
    assert!(stdout(["dump", model]).contains("gguf: \"blk.0.attn_qkv.weight\""));
    assert!(stdout(["explain", model]).contains("fold_constants"));
    let rows = json([
        "bench", "-m", model, "-p", "8", "-n", "2", "-r", "1", "-o", "json",
    ]);
    assert_eq!(rows[0]["n_context"], 128, "the context comes from the file");
    assert_eq!(rows[1]["n_gen"], 2);
}

#[test]
fn a_dump_of_a_gguf_file_runs_with_the_same_bits() {
    let folder = TempDir::new().unwrap();
    let model = &written(&folder, "llama3-rope");
    let graph = &folder.path().join("dump.ron").display().to_string();
    let expected = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/llama3-rope/expected.safetensors"
    );
    stdout(["dump", model, "-o", graph]);
    let check = ["check", model, "--expected", expected];
    let again = check.into_iter().chain(["--graph", graph]);
    assert_eq!(stdout(check), stdout(again));
}

#[test]
fn run_says_what_the_vocabulary_lacks_before_it_reads_weights() {
    let folder = TempDir::new().unwrap();
    let path = PathBuf::from(written(&folder, "llama"));
    let message = failure([OsStr::new("run"), path.as_ref(), OsStr::new("a prompt")]);
    assert!(
        message.contains(
            "llama.gguf: the file has no vocabulary (tokenizer.ggml.model is missing), so it can neither read nor write text"
        ),
        "{message}"
    );
}

#[test]
fn help_names_gguf_files() {
    for command in ["run", "check", "dump", "plan", "explain", "bench"] {
        assert!(
            stdout([command, "--help"]).contains("GGUF file"),
            "{command}"
        );
    }
}
