//! Does a published model use the memory that its plan states, and not much more, while it is loaded and run?
//!
//! `SMALLMIND_TEST_MODELS` names the folder that contains `gemma-3-270m-q4_k_m.gguf`; without it, nothing is tested. The
//! system's figures are read where Linux shows them.
#![cfg(all(feature = "cli", target_os = "linux"))]

mod common;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::published_model;
use serde_json::Value as Json;
use smallmind::model::open_tokenizer;

/// The variable that names the model whose tokenizer a child process builds; empty for none.
const ALONE: &str = "SMALLMIND_TEST_TOKENIZER";
/// The text before the figure that the child process prints.
const PEAK: &str = "peak bytes ";

/// The model's file, if it is there.
fn model() -> Option<PathBuf> {
    published_model("gemma-3-270m-q4_k_m.gguf")
}

/// The most bytes that a living process ever had in memory.
fn peak(process: &str) -> usize {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(&path).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes = kibibytes.unwrap_or_else(|| panic!("{path} tells no peak:\n{status}"));
    kibibytes.parse::<usize>().unwrap() * 1024
}

/// The peak of this test program when it builds only the tokenizer of `model`, or nothing at all.
fn peak_of_tokenizer(model: &Path) -> usize {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command
        .args(["--exact", "the_tokenizer_alone", "--ignored", "--nocapture"])
        .env(ALONE, model)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let figure = text.split(PEAK).nth(1).and_then(|rest| rest.lines().next());
    figure.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

#[test]
#[ignore = "what peak_of_tokenizer runs in a process of its own"]
fn the_tokenizer_alone() {
    let Some(model) = std::env::var_os(ALONE) else {
        eprintln!("skipped: {ALONE} names no model");
        return;
    };
    let tokenizer = (!model.is_empty()).then(|| open_tokenizer(PathBuf::from(model)).unwrap());
    println!("\n{PEAK}{}", peak("self"));
    drop(tokenizer);
}

/// A program that ends with the test, whether or not the test fails.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The most bytes that the program ever had in memory, measured once the model has written something.
fn peak_of_run(model: &Path) -> usize {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smallmind"));
    command
        .args(["run".as_ref(), model, "Once upon a time".as_ref()])
        .args(["--greedy", "-n", "2000"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut program = Running(command.spawn().unwrap());
    // After a few tokens the program is still generating, so it is alive when it is measured.
    let stdout = program.0.stdout.as_mut().unwrap();
    stdout.read_exact(&mut [0; 32]).unwrap();
    peak(&program.0.id().to_string())
}

#[test]
fn the_peak_stays_within_1_3_times_weights_and_arena() {
    let Some(model) = model() else { return };
    let mut command = Command::new(env!("CARGO_BIN_EXE_smallmind"));
    let output = command.args(["plan".as_ref(), &*model, "--json".as_ref()]);
    let plan: Json = serde_json::from_slice(&output.output().unwrap().stdout).unwrap();
    let bytes = |name: &str| plan[name].as_u64().unwrap() as usize;
    let planned = bytes("packed_weights") + bytes("dense_weights") + bytes("arena");

    let tokenizer = peak_of_tokenizer(&model) - peak_of_tokenizer(Path::new(""));
    let peak = peak_of_run(&model);
    let mebibytes = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    println!(
        "peak {:.1} MiB, the tokenizer's share {:.1}, planned {:.1}",
        mebibytes(peak),
        mebibytes(tokenizer),
        mebibytes(planned)
    );
    assert!(
        (peak - tokenizer) as f64 <= 1.3 * planned as f64,
        "{peak} bytes less {tokenizer} of the tokenizer are more than 1.3 times {planned}"
    );
    // The planned memory is in use, so the figures describe the same things.
    assert!(peak >= bytes("packed_weights"), "{peak} of {planned}");
}
