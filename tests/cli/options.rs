//! Is every option of every command used, or refused? One row for each says how its effect shows.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use super::common::sentences::Sentences;
use super::common::{data, markers};
use super::{EXPECTED, smallmind, stdout};

/// How each command is run, with everything that it needs: the command, its model and the rest. `{…}` stand for files.
pub const COMMANDS: [[&str; 3]; 12] = [
    ["info", "demo", ""],
    ["run", "demo", "A -n 2 --greedy"],
    ["embed", "{sentences}", "zero"],
    ["chat", "demo", "--template {template} --greedy -n 2"],
    ["check", "demo", "--expected {expected}"],
    ["dump", "demo", ""],
    ["plan", "demo", ""],
    ["explain", "demo", ""],
    ["bench", "demo", "-p 2 -n 0 -r 1 -o json"],
    ["quantize", "{llama}", "{new} --type q8_0"],
    ["score", "demo", "ROMEO"],
    ["tokenize", "demo", "Hi"],
];

/// Options that several commands share, each with a value that changes the outcome.
const SHARED: [(&str, &str); 14] = [
    ("--graph", "no/such"),
    ("--passes", "no/such"),
    ("--without", "no_such_pass"),
    ("--weights", "q8_0"),
    ("--context", "0"),
    ("--chunk", "0"),
    ("--isa", "none"),
    ("--threads", "0"),
    ("--temp", "-1"),
    ("--top-p", "2"),
    ("--min-p", "2"),
    ("--repeat-penalty", "0"),
    ("--logit-bias", "999999=1"),
    ("--json", ""),
];

/// Options that change no output: `--no-mmap` decides how weights are loaded, which `tests/resident_memory.rs` checks.
const UNSEEN: [&str; 1] = ["--no-mmap"];

/// For each option, the arguments without it, and what is added with it.
const OWN: [(&str, &str, &str); 65] = [
    ("info --activations", "info demo --weights q4_0", "f32"),
    ("run --prompt", "run demo -n 4 --greedy", "A"),
    ("run --file", "run demo -n 4 --greedy", "{text}"),
    ("run --chat", "run demo A -n 4 --greedy", ""),
    (
        "run --system",
        "run demo A -n 60 --greedy --chat --template {template}",
        "Sir.",
    ),
    ("run --system", "run demo A -n 4 --greedy", "Sir."),
    (
        "run --template",
        "run demo A -n 4 --greedy --chat",
        "{template}",
    ),
    ("run --template", "run demo A -n 4 --greedy", "{template}"),
    ("run --max-tokens", "run demo A --greedy", "4"),
    ("run --stop", "run demo A -n 60 --greedy", "e"),
    (
        "run --no-special",
        "run {markers} <s><s><s><s> -c 8 -n 2",
        "",
    ),
    ("run --load-session", "run demo A -n 2", "no/such"),
    (
        "run --load-session",
        "run demo A -n 2 --chat --template {template}",
        "no/such",
    ),
    ("run --save-session", "run demo A -n 2", "no/such/x"),
    (
        "run --save-session",
        "run demo A -n 2 --chat --template {template}",
        "{new}",
    ),
    ("run --verbose", "run demo A -n 2", ""),
    ("run --weights", "run demo A -n 60", "q4_0"),
    (
        "chat --weights",
        "chat demo --template {template} -n 60 --seed 1",
        "q4_0",
    ),
    (
        "run --verbose",
        "run demo A -n 2 --chat --template {template}",
        "",
    ),
    ("run --temp", "run demo A -n 40", "0"),
    ("run --temp", "run demo A -n 2 --greedy", "1"),
    ("run --top-k", "run demo A -n 40", "1"),
    ("run --top-k", "run demo A -n 2 --greedy", "1"),
    ("run --top-p", "run demo A -n 2 --greedy", "1"),
    ("run --min-p", "run demo A -n 2 --greedy", "1"),
    ("run --seed", "run demo A -n 40", "5"),
    ("run --seed", "run demo A -n 2 --greedy", "5"),
    ("run --greedy", "run demo A -n 40", ""),
    (
        "run --activations",
        "run demo A -n 100 --temp 1.5 --weights q4_0",
        "f32",
    ),
    ("embed --prompt", "embed {sentences}", "zero"),
    ("embed --pooling", "embed {sentences} zero", "max"),
    ("embed --no-normalize", "embed {sentences} zero", ""),
    (
        "embed --activations",
        "embed {sentences} zero --weights q4_0",
        "f32",
    ),
    (
        "chat --system",
        "chat demo --template {template} --greedy -n 4",
        "Sir.",
    ),
    ("chat --template", "chat demo --greedy -n 4", "{template}"),
    (
        "chat --max-tokens",
        "chat demo --template {template} --greedy -c 120",
        "4",
    ),
    (
        "chat --keep",
        "chat demo --template {template} --greedy -n 4 -c 48",
        "0",
    ),
    (
        "chat --stop",
        "chat demo --template {template} --greedy -n 60",
        "e",
    ),
    (
        "chat --no-special",
        "chat {markers} -c 60 -n 2 --seed 1",
        "",
    ),
    (
        "chat --verbose",
        "chat demo --template {template} --greedy -n 2",
        "",
    ),
    (
        "chat --top-k",
        "chat demo --template {template} -n 40 --seed 1",
        "1",
    ),
    (
        "chat --seed",
        "chat demo --template {template} -n 40 --seed 1",
        "5",
    ),
    (
        "chat --greedy",
        "chat demo --template {template} -n 2 --seed 1",
        "",
    ),
    (
        "chat --activations",
        "chat demo --template {template} -n 60 --seed 1 --weights q4_0",
        "f32",
    ),
    ("check --expected", "check demo", "{expected}"),
    (
        "check --output",
        "check demo --expected {expected}",
        "no/such/x",
    ),
    ("check --tolerance", "check demo --expected {expected}", "0"),
    (
        "check --hidden",
        "check demo --expected {expected}",
        "no/such",
    ),
    ("check --trace", "check demo --expected {expected}", ""),
    (
        "check --activations",
        "check demo --expected {expected} --weights q4_0",
        "f32",
    ),
    ("dump --after", "dump demo", "none"),
    ("dump --format", "dump demo", "dot"),
    ("dump --output", "dump demo", "no/such/x"),
    ("dump --activations", "dump demo --weights q4_0", "f32"),
    ("plan --parallel", "plan demo", "2"),
    ("plan --memory", "plan demo --parallel 2", "1KiB"),
    ("plan --activations", "plan demo --weights q4_0", "f32"),
    (
        "explain --activations",
        "explain demo --weights q4_0",
        "f32",
    ),
    ("score --prompt", "score demo", "ROMEO"),
    ("score --file", "score demo", "{text}"),
    ("score --top", "score demo ROMEO", "1"),
    (
        "score --activations",
        "score demo ROMEO --weights q4_0",
        "f32",
    ),
    ("tokenize --prompt", "tokenize demo", "Hi"),
    ("tokenize --file", "tokenize demo", "{text}"),
    ("tokenize --ids", "tokenize demo 72 --decode", ""),
];

/// Like [`OWN`], for `bench`, `quantize` and `tokenize`.
const MORE: [(&str, &str, &str); 17] = [
    ("tokenize --decode", "tokenize demo 72", ""),
    ("tokenize --no-special", "tokenize {markers} <s>", ""),
    ("bench --n-prompt", "bench demo -n 2 -r 1 -o json", "3"),
    (
        "bench --n-prompt",
        "bench demo -n 2 -r 1 -o json --ablate",
        "3",
    ),
    ("bench --n-gen", "bench demo -p 2 -r 1 -o json", "3"),
    (
        "bench --n-gen",
        "bench {sentences} -p 2 -r 1 -o json --batch 2",
        "3",
    ),
    (
        "bench --batch",
        "bench {sentences} -p 2 -r 1 -n 0 -o json",
        "2",
    ),
    (
        "bench --batch",
        "bench demo -n 2 -r 1 -o json --ablate",
        "2",
    ),
    ("bench --repetitions", "bench demo -p 2 -n 0 -o json", "1"),
    ("bench --ablate", "bench demo -n 2 -r 1 -o json", ""),
    ("bench --parallel", "bench demo -p 2 -n 1 -r 1 -o json", "2"),
    (
        "bench --parallel",
        "bench demo -p 2 -n 1 -r 1 -o json --batch 2",
        "2",
    ),
    (
        "bench --parallel",
        "bench demo -n 2 -r 1 -o json --ablate",
        "2",
    ),
    ("bench --output", "bench demo -p 2 -n 0 -r 1 -o json", "md"),
    (
        "bench --activations",
        "bench demo -p 2 -n 0 -r 1 -o json",
        "f32",
    ),
    ("quantize --type", "quantize {llama} {new}", "q8_0"),
    (
        "quantize --force",
        "quantize {llama} {text} --type q8_0",
        "",
    ),
];

/// The files that the rows name.
pub struct Files {
    folder: TempDir,
    sentences: Sentences,
    markers: TempDir,
}

impl Files {
    pub fn new() -> Files {
        let folder = TempDir::new().unwrap();
        let template = "{% for m in messages %}{{ m.content }}\n{% endfor %}A:";
        fs::write(folder.path().join("template"), template).unwrap();
        fs::write(folder.path().join("text"), "ROMEO").unwrap();
        Files {
            folder,
            sentences: Sentences::new(),
            markers: markers::model(),
        }
    }

    /// A word, in which the part in braces is replaced by the path that it stands for.
    fn spelled(&self, word: &str) -> String {
        let Some((before, rest)) = word.split_once('{') else {
            return word.to_string();
        };
        let path = match rest.trim_end_matches('}') {
            "sentences" => self.sentences.path().to_path_buf(),
            "markers" => self.markers.path().to_path_buf(),
            "expected" => EXPECTED.into(),
            "llama" => data("llama"),
            name => self.folder.path().join(name),
        };
        format!("{before}{}", path.display())
    }

    /// The exit code and the output, without times and rates.
    pub fn outcome(&self, line: &str) -> (Option<i32>, String, String) {
        let _ = fs::remove_file(self.folder.path().join("new"));
        fs::write(self.folder.path().join("text"), "ROMEO").unwrap();
        let mut command = smallmind();
        command.args(line.split_whitespace().map(|word| self.spelled(word)));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let questions = b"<s><s><s><s><s><s>\nSpeak, what art thou?\nStand!\n";
        // A command that reads no input may have ended already.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), questions);
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let mut written = text(&output.stdout);
        if let Ok(Value::Array(mut rows)) = serde_json::from_str(&written) {
            for row in rows.iter_mut().filter_map(Value::as_object_mut) {
                let samples = row.get("samples_ns").and_then(Value::as_array);
                let samples = samples.map(Vec::len);
                let is_time = |name: &str| {
                    let mut marks = ["_ns", "_ts", "speed", "t_pp", "t_tg"].iter();
                    name == "t" || marks.any(|mark| name.contains(mark))
                };
                row.retain(|name, _| !is_time(name));
                row.insert("samples".to_string(), samples.into());
            }
            written = format!("{rows:?}");
        }
        (output.status.code(), written, text(&output.stderr))
    }
}

/// The options that a command's help lists.
fn listed(command: &str) -> BTreeSet<String> {
    let help = stdout([command, "--help"]);
    let lines = help
        .lines()
        .filter(|line| line.trim_start().starts_with('-'));
    let names = lines.filter_map(|line| {
        let (_, name) = line.split_once("--")?;
        let end = name.find(|c: char| !c.is_alphanumeric() && c != '-');
        Some(format!("--{}", &name[..end.unwrap_or(name.len())]))
    });
    names.filter(|name| name != "--help").collect()
}

/// The arguments without and with an option, for each of a command's options.
fn rows([command, model, rest]: [&str; 3]) -> Vec<(String, String, String)> {
    let mut rows = Vec::new();
    let named = format!("{command} {rest}");
    rows.push((
        "--model".to_string(),
        named.clone(),
        "--model no/such".to_string(),
    ));
    rows.push(("--hf".to_string(), named, "-hf no_name".to_string()));
    let own = OWN.iter().chain(&MORE);
    for (option, without, value) in own {
        let (owner, option) = option.split_once(' ').unwrap();
        if owner == command {
            rows.push((
                option.to_string(),
                without.to_string(),
                format!("{option}={value}"),
            ));
        }
    }
    let own: BTreeSet<String> = rows.iter().map(|row| row.0.clone()).collect();
    let mut listed = listed(command);
    listed.retain(|option| !UNSEEN.contains(&option.as_str()));
    let shared = SHARED
        .iter()
        .filter(|(option, _)| listed.contains(*option) && !own.contains(*option));
    let base = format!("{command} {model} {rest}");
    // With greedy choice, the options of the draw are refused.
    let base = base.replace(" --greedy", " --seed 1");
    rows.extend(shared.map(|(option, value)| {
        (
            option.to_string(),
            base.clone(),
            format!("{option}={value}"),
        )
    }));
    rows
}

#[test]
fn every_option_of_every_command_is_read_or_refused() {
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let threads = COMMANDS.map(|command| {
            scope.spawn(move || {
                let files = Files::new();
                let rows = rows(command);
                let known: BTreeSet<String> = rows.iter().map(|row| row.0.clone()).collect();
                let mut listed = listed(command[0]);
                listed.retain(|option| !UNSEEN.contains(&option.as_str()));
                assert_eq!(known, listed, "{}", command[0]);
                let mut wrong = Vec::new();
                for (_, without, with) in rows {
                    let with = format!("{without} {}", with.trim_end_matches('='));
                    let outcome = files.outcome(&without);
                    let other = files.outcome(&with);
                    let refused = other.0 == Some(2);
                    if outcome == other {
                        wrong.push(with);
                    } else if !refused {
                        let again = files.outcome(&without);
                        if outcome != again {
                            wrong.push(format!("{without}, each time: {outcome:?}, {again:?}"));
                        }
                    }
                }
                wrong
            })
        });
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(
        wrong, [""; 0],
        "these change nothing and are not refused, or change without it"
    );
}

#[test]
fn every_command_with_options_is_asked() {
    let help = stdout(["--help"]);
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let lines = commands.lines().take_while(|line| !line.is_empty());
    let listed: BTreeSet<&str> = lines
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let asked = COMMANDS.iter().map(|[command, ..]| *command);
    let asked: BTreeSet<&str> = asked.chain(["completions", "man", "help"]).collect();
    assert_eq!(listed, asked);
}

#[test]
fn the_model_and_the_text_may_be_arguments_or_options() {
    let files = Files::new();
    let same = |lines: &[&str]| {
        let outcomes = lines.iter().map(|line| files.outcome(line));
        let outcomes: Vec<_> = outcomes.collect();
        for (line, outcome) in lines.iter().zip(&outcomes) {
            assert_eq!(outcome.0, Some(0), "{line}: {}", outcome.2);
            assert_eq!(outcome, &outcomes[0], "{line}");
        }
    };
    same(&[
        "run demo ROMEO -n 8",
        "run -m demo ROMEO -n 8",
        "run ROMEO -n 8 --model demo",
        "run demo -n 8 -p ROMEO",
        "run -m demo --prompt ROMEO -n 8",
        "run demo -f {text} -n 8",
    ]);
    same(&[
        "score demo ROMEO",
        "score -m demo -p ROMEO",
        "score -m demo ROMEO",
        "score demo -f {text}",
    ]);
    same(&[
        "tokenize demo Hi",
        "tokenize -m demo Hi",
        "tokenize demo -p Hi",
    ]);
    same(&[
        "embed {sentences} one two",
        "embed -m {sentences} one two",
        "embed {sentences} -p one -p two",
    ]);
    same(&["plan demo", "plan -m demo"]);
    same(&[
        "quantize {llama} {new} --type f16",
        "quantize -m {llama} {new} --type f16",
    ]);
}

#[test]
fn a_text_is_taken_as_it_is() {
    for text in ["-", "-hf", "--", "--help", "demo", ""] {
        let ids = stdout(["tokenize", "demo", "-p", text]);
        let bytes: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
        assert_eq!(ids.trim_end(), bytes.join(" "), "{text}");
    }
}

#[test]
fn too_many_and_too_few_arguments_are_mistakes() {
    let files = Files::new();
    for line in [
        "info",
        "chat",
        "score demo",
        "quantize {llama} --type q8_0",
        "plan -m demo demo",
        "bench -m demo demo",
        "plan -m demo -hf a/b",
        "run demo ROMEO -p ROMEO",
        "run -m demo ROMEO -f {text}",
        "quantize -m {llama} {new} {new} --type q8_0",
        "run demo A -n -2",
        "run demo A --seed -2",
        "run demo A --system Sir.",
    ] {
        let (code, written, errors) = files.outcome(line);
        assert_eq!((code, written.as_str()), (Some(2), ""), "{line}: {errors}");
        assert!(errors.starts_with("error: "), "{line}: {errors}");
    }
}
