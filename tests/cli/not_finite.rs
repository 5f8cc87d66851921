//! Does every subcommand end with an error where output is not finite?

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::common::damaged::{GAIN, damage, demo_with, encoder};
use crate::common::data;

/// The output of `smallmind` with these arguments and this input on stdin.
fn fed(arguments: &[&str], input: &str) -> Output {
    let mut command = crate::smallmind();
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that reads no input may have ended.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// How a subcommand ends with a model whose weights, and therefore whose output, are not finite.
#[derive(Clone, Copy, PartialEq)]
enum Ends {
    /// It succeeds, because it computes nothing.
    Well,
    /// With an error, and nothing on stdout.
    Refused,
    /// With an error, and with a description of its cause on stdout.
    Diagnosed,
}

/// Every subcommand, with its arguments; MODEL is the damaged model's path.
const COMMANDS: [(&str, &str, Ends); 17] = [
    ("info", "MODEL", Ends::Well),
    ("run", "MODEL KING: -n 8 --greedy", Ends::Refused),
    ("run", "MODEL KING: -n 8 --seed 1", Ends::Refused),
    ("run", "MODEL KING: -n 8 --chat", Ends::Refused),
    ("embed", "ENCODER zero", Ends::Refused),
    ("chat", "MODEL -n 8", Ends::Refused),
    ("check", "MODEL --expected EXPECTED", Ends::Diagnosed),
    ("dump", "MODEL", Ends::Well),
    ("plan", "MODEL", Ends::Well),
    ("explain", "MODEL", Ends::Well),
    ("bench", "-m MODEL -p 8 -n 2 -r 1", Ends::Refused),
    ("quantize", "LLAMA OUTPUT --type q8_0", Ends::Refused),
    ("score", "MODEL -f -", Ends::Refused),
    ("tokenize", "-m MODEL", Ends::Well),
    ("completions", "bash", Ends::Well),
    ("man", "run", Ends::Well),
    (
        "check",
        "ENCODER --expected EXPECTED_OF_ENCODER",
        Ends::Diagnosed,
    ),
];

#[test]
fn every_subcommand_that_computes_output_ends_with_an_error() {
    let folder = demo_with(GAIN, 0..1, f32::NAN);
    let sentences = encoder();
    let llama = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::copy(data("llama").join(file), llama.path().join(file)).unwrap();
    }
    let matrix = "model.layers.0.mlp.up_proj.weight";
    damage(llama.path(), matrix, 3..4, f32::NAN);
    let output = folder.path().join("out.gguf");
    let path = |path: &Path| path.to_str().unwrap().to_string();
    let words = BTreeMap::from([
        ("MODEL", path(folder.path())),
        ("ENCODER", path(sentences.path())),
        ("LLAMA", path(llama.path())),
        ("OUTPUT", path(&output)),
        ("EXPECTED", path(&data("demo").join("expected.safetensors"))),
        (
            "EXPECTED_OF_ENCODER",
            path(&data("bert").join("expected.safetensors")),
        ),
    ]);
    for (command, line, ends) in COMMANDS {
        let line = line
            .split(' ')
            .map(|word| words.get(word).map_or(word, String::as_str));
        let arguments: Vec<&str> = [command].into_iter().chain(line).collect();
        let output = fed(&arguments, "KING:\n");
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let shown = format!("{arguments:?}\n{stdout}\n{stderr}");
        if ends == Ends::Well {
            assert_eq!(output.status.code(), Some(0), "{shown}");
            continue;
        }
        assert_eq!(output.status.code(), Some(1), "{shown}");
        assert!(stderr.starts_with("error: "), "{shown}");
        assert!(stderr.contains("not finite"), "{shown}");
        match (command, ends) {
            // The first lines of its table are printed before the error.
            ("bench", _) => assert!(!stdout.contains("pp8"), "{shown}"),
            (_, Ends::Refused) => assert_eq!(stdout, "", "{shown}"),
            _ => assert!(stdout.contains("its values are not all finite"), "{shown}"),
        }
    }
}

#[test]
fn the_table_of_commands_is_complete() {
    let help = fed(&["help"], "");
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let names = list.lines().take_while(|line| !line.is_empty());
    let names = names.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    for name in names.filter(|name| !name.is_empty() && *name != "help") {
        let known = COMMANDS.iter().any(|(command, ..)| *command == name);
        assert!(
            known,
            "what does `{name}` do with output that is not finite?"
        );
    }
}
