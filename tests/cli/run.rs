//! Does `smallmind run` write the text, the whole text and nothing but the text?

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use smallmind::{GenerateOptions, Model, Options};

use super::{common, failure, is_note, output, smallmind, stdout};

/// A generation that goes on for a long time, because the model of zeros never ends a text and, without a table of
/// positions, can have any context. `read` bytes of its output have been read.
fn endless_run(folder: &Path, read: usize) -> Child {
    common::zeros::llama(folder, 256);
    let tokenizer = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/tokenizer.json");
    fs::copy(tokenizer, folder.join("tokenizer.json")).unwrap();
    let mut command = smallmind();
    command
        .arg("run")
        .arg(folder)
        .args(["a", "-n", "200000", "-c", "200000", "-t", "1"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut start = vec![0; read];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut start)
        .unwrap();
    child
}

#[test]
fn run_writes_the_generated_text_and_nothing_else_to_stdout() {
    let model = Model::open("demo", &Options::default()).unwrap();
    let mut session = model.session().unwrap();
    let options = GenerateOptions::new().max_tokens(24).greedy();
    let mut text = String::new();
    let each = |piece: &str| {
        text.push_str(piece);
        true
    };
    model
        .generate(&mut session, "ROMEO:", &options, each)
        .unwrap();
    let output = output(["run", "demo", "ROMEO:", "-n", "24", "--greedy", "--verbose"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
}

#[test]
fn verbose_prints_rates_and_surroundings_on_stderr() {
    let output = output([
        "run",
        "demo",
        "ROMEO:",
        "-n",
        "4",
        "--isa",
        "scalar",
        "-t",
        "1",
        "--verbose",
    ]);
    let errors = String::from_utf8(output.stderr).unwrap();
    for part in [
        "load ",
        "6 tokens, ",
        "3 tokens, ",
        "tokens/s",
        "scalar",
        "threads     1\n",
        "256 positions",
        "memory ",
    ] {
        assert!(errors.contains(part), "no {part:?} in:\n{errors}");
    }
}

#[test]
fn without_arguments_the_demo_continues_its_default_prompt() {
    let nothing: [&str; 0] = [];
    assert_eq!(stdout(nothing), stdout(["run", "demo", "KING RICHARD:\n"]));
}

#[test]
fn a_dash_reads_the_prompt_from_stdin() {
    let mut command = smallmind();
    command.args(["run", "demo", "-", "-n", "20"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"JULIET:\n").unwrap();
    let text = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(text, stdout(["run", "demo", "JULIET:\n", "-n", "20"]));
}

#[test]
fn a_bias_makes_tokens_likely_or_impossible() {
    // The demo's tokens are bytes.
    let run = |bias: &str| {
        stdout([
            "run",
            "demo",
            "ROMEO:",
            "--greedy",
            "-n",
            "24",
            "--logit-bias",
            bias,
        ])
    };
    let plain = stdout(["run", "demo", "ROMEO:", "--greedy", "-n", "24"]);
    assert!(plain.contains('e'));
    assert!(!run("101=-inf").contains('e'));
    assert_eq!(run("101-inf"), run("101=-inf"));
    for always in ["120+1e9", "120=1e9"] {
        assert_eq!(run(always), "x".repeat(24));
    }
    let message = failure(["run", "demo", "ROMEO:", "--logit-bias", "256=1"]);
    assert!(
        message.contains("token 256 is not in the vocabulary of 256"),
        "{message}"
    );
    let mistake = output(["run", "demo", "ROMEO:", "--logit-bias", "e=1"]);
    assert_eq!(mistake.status.code(), Some(2));
}

#[test]
fn the_seed_changes_the_text_and_greedy_is_temperature_zero() {
    let run = |arguments: &[&str]| stdout(["run", "demo", "A", "-n", "40"].iter().chain(arguments));
    assert_ne!(run(&["--seed", "1"]), run(&["--seed", "2"]));
    assert_eq!(run(&["--greedy"]), run(&["--temp", "0"]));
    assert_eq!(run(&["--greedy"]), run(&["--top-k", "1"]));
}

#[test]
fn a_stop_string_ends_the_text_before_it() {
    let whole = stdout(["run", "demo", "ROMEO:", "--greedy", "-n", "40"]);
    let stop: String = whole.chars().skip(10).take(3).collect();
    let cut = stdout([
        "run", "demo", "ROMEO:", "--greedy", "-n", "40", "--stop", "@@", "--stop", &stop,
    ]);
    assert_eq!(Some(cut.as_str()), whole.split(&stop).next());
}

#[test]
fn zero_tokens_are_no_text() {
    assert_eq!(stdout(["run", "demo", "ROMEO:", "-n", "0"]), "");
}

#[test]
fn an_empty_prompt_needs_a_token_that_begins_texts() {
    let message = failure(["run", "demo", ""]);
    assert!(message.contains("the prompt is empty"), "{message}");
}

#[test]
fn a_prompt_longer_than_the_context_is_an_error_with_both_numbers() {
    let message = failure(["run", "demo", &"a".repeat(300)]);
    assert!(
        message.contains("300 tokens") && message.contains("256 positions"),
        "{message}"
    );
}

#[test]
fn a_closed_pipe_ends_the_text_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = endless_run(folder.path(), 10);
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.lines().all(is_note), "{errors}");
    assert_eq!(output.status.code(), Some(0));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_text_with_130() {
    let folder = tempfile::tempdir().unwrap();
    let child = endless_run(folder.path(), 1);
    let interrupt = |child: &Child| {
        let pid = child.id().to_string();
        let status = Command::new("kill").args(["-INT", &pid]).status().unwrap();
        assert!(status.success());
    };
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.lines().all(is_note), "{errors}");
    assert_eq!(output.status.code(), Some(130));
    assert!(output.stdout.len() < 199_999);
}

#[test]
fn a_saved_session_continues_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session");
    let file = file.to_str().unwrap();
    let run = |more: &[&str]| stdout(["run", "demo"].iter().chain(more).chain(&["--greedy"]));
    let whole = run(&["ROMEO:", "-n", "30"]);
    let first = run(&["ROMEO:", "-n", "12", "--save-session", file]);
    // With other threads and chunks, and the same file for input and output.
    let both = ["--load-session", file, "--save-session", file];
    let second = run(&[&both[..], &["-n", "10", "-t", "1", "--chunk", "3"]].concat());
    let third = run(&["--load-session", file, "-n", "8", "--isa", "scalar"]);
    assert_eq!(first + &second + &third, whole);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    // A prompt continues the session.
    run(&["ROMEO:", "-n", "0", "--save-session", file]);
    let continued = run(&["\nO", "--load-session", file, "-n", "8"]);
    assert_eq!(continued, run(&["ROMEO:\nO", "-n", "8"]));
}

#[test]
fn a_session_that_cannot_be_loaded_or_saved_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session");
    let path = file.to_str().unwrap();
    let load = ["run", "demo", "--load-session", path];
    assert!(failure(load).contains(path));
    fs::write(&file, "ROMEO: but soft").unwrap();
    let message = failure(load);
    assert!(
        message.contains(path) && message.contains("not a saved session"),
        "{message}"
    );
    stdout([
        "run",
        "demo",
        &"a".repeat(40),
        "-n",
        "0",
        "--save-session",
        path,
    ]);
    let message = failure(load.iter().chain(&["-c", "39"]));
    assert!(
        message.contains("40 positions") && message.contains("has 39"),
        "{message}"
    );
    let message = failure(["run", "demo", "aaaaa", "--load-session", path, "-c", "44"]);
    assert!(
        message.contains("5 tokens") && message.contains("the session uses 40"),
        "{message}"
    );
    let nowhere = folder.path().join("no/such/folder");
    let nowhere = nowhere.to_str().unwrap();
    let output = output(["run", "demo", "a", "-n", "1", "--save-session", nowhere]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains(nowhere));
}

/// The text, and the output on stderr.
fn both(arguments: &[&str]) -> (String, String) {
    let output = output(arguments);
    assert!(output.status.success());
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_line_on_stderr_says_what_ended_a_text_that_the_model_did_not_end() {
    let run = ["run", "demo", "ROMEO:", "--greedy"];
    let told = |more: &[&str]| both(&[&run, more].concat()).1;
    assert_eq!(
        told(&["-n", "4"]),
        "note: the text stopped at the limit of tokens, 4 (-n N; -n -1 goes on until the model ends the text)\n"
    );
    assert_eq!(
        told(&["-c", "20"]),
        "note: the text stopped because the context of 20 positions is full (--context)\n"
    );
    assert_eq!(told(&["--stop", "e"]), "");
}

#[test]
fn minus_one_goes_on_until_the_context_is_full() {
    let (text, _) = both(&["run", "demo", "ROMEO:", "--greedy", "-c", "20", "-n", "-1"]);
    let (whole, _) = both(&["run", "demo", "ROMEO:", "--greedy", "-n", "100"]);
    // The last token does not need a position.
    assert_eq!(text, whole[..20 - "ROMEO:".len() + 1]);
}

#[test]
fn minus_one_is_a_new_seed_which_is_printed_and_repeats_the_text() {
    let run = [
        "run", "demo", "ROMEO:", "-n", "40", "--temp", "1.5", "--seed",
    ];
    let seeded = |seed: &str| both(&[&run[..], &[seed]].concat());
    let (text, told) = seeded("-1");
    let (_, seed) = told.split_once("the seed is ").unwrap();
    let seed = seed.split(' ').next().unwrap();
    assert_eq!(seeded(seed).0, text);
    assert_ne!(seeded("-1").0, text);
}

#[cfg(unix)]
#[test]
fn a_session_is_saved_into_devices_and_through_links() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    symlink("/dev/null", path("null")).unwrap();
    symlink("target", path("link")).unwrap();
    for name in ["null", "link"] {
        let file = path(name).display().to_string();
        stdout(["run", "demo", "a", "-n", "1", "--save-session", &file]);
        let kind = std::fs::symlink_metadata(path(name)).unwrap();
        assert!(kind.is_symlink(), "{name}");
    }
    let null = std::fs::metadata("/dev/null").unwrap();
    assert!(null.file_type().is_char_device());
    let target = path("target").display().to_string();
    stdout(["run", "demo", "-n", "1", "--load-session", &target]);
}

#[test]
fn what_the_files_ask_for_but_the_model_does_not_do_is_reported_on_stderr() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(demo.join(file), folder.path().join(file)).unwrap();
    }
    let path = folder.path().join("config.json");
    let run = |config: &str| {
        fs::write(&path, config).unwrap();
        let folder = folder.path().to_str().unwrap();
        let output = output(["run", folder, "ROMEO:", "-n", "4", "--greedy"]);
        assert!(output.status.success());
        let errors = String::from_utf8(output.stderr).unwrap();
        let is_warning = |line: &&str| line.starts_with("warning: ");
        let warnings: Vec<String> = errors
            .lines()
            .filter(is_warning)
            .map(str::to_string)
            .collect();
        (output.stdout, warnings)
    };
    let config = fs::read_to_string(&path).unwrap();
    let (text, warnings) = run(&config);
    assert_eq!(warnings, [""; 0]);
    let (again, warnings) =
        run(&config.replacen('{', "{\"logits_scaling\": 8.0, \"colour\": 3,", 1));
    let told = "graphs/gpt2.ron does not read logits_scaling (8.0), which may change what the model computes";
    assert!(
        warnings.len() == 1 && warnings[0].ends_with(told),
        "{warnings:?}"
    );
    assert_eq!(text, again);
}

#[test]
fn a_text_that_begins_twice_is_reported() {
    let folder = common::markers::model();
    let model = folder.path().to_str().unwrap();
    let told = |more: &[&str]| both(&[&["run", model, "-n", "1", "-p"][..], more].concat()).1;
    assert!(told(&["<s>a"]).starts_with("note: the text begins with <s>"));
    assert!(told(&["a"]).starts_with("note: the text stopped"));
    assert!(told(&["<s>a", "--no-special"]).starts_with("note: the text stopped"));
}
