//! Does a damaged graph file or configuration ever do worse than be refused?
//!
//! 1500 graph files and 700 configurations, always the same ones; each is compiled from headers only.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use smallmind::Options;
use smallmind::model::{ModelFiles, Source, builtin_graphs, compile};
use tempfile::TempDir;

use crate::common::data;
use crate::common::random::Random;

/// The most time that one damaged file may take; undamaged files take some milliseconds.
const LONGEST: Duration = Duration::from_secs(5);
/// Bytes of the largest message.
const LONGEST_MESSAGE: usize = 1 << 17;

/// A copy of a fixture, with or without its weights.
fn folder(name: &str, weights: bool) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(
        data(name).join("config.json"),
        folder.path().join("config.json"),
    )
    .unwrap();
    if weights {
        fs::copy(
            data(name).join("model.safetensors"),
            folder.path().join("model.safetensors"),
        )
        .unwrap();
    }
    folder
}

/// Compile the contents of the folder; returns whether that worked. If it failed, the message must be a good one.
fn try_compile(folder: &Path, options: &Options, what: &str) -> bool {
    let begun = Instant::now();
    let files = ModelFiles::open_headers(&Source::from(folder), options);
    let compiled = files.and_then(|files| compile(&files, options).map(|_| ()));
    assert!(
        begun.elapsed() < LONGEST,
        "{:?} for {what}",
        begun.elapsed()
    );
    if let Err(error) = &compiled {
        let message = error.to_string();
        assert!(
            !message.is_empty() && message.len() < LONGEST_MESSAGE,
            "{} bytes for {what}",
            message.len()
        );
        assert!(
            !message.contains("the plan is wrong"),
            "{message} for {what}"
        );
    }
    compiled.is_ok()
}

/// The text after up to three changes, each of a few bytes.
fn damaged(text: &str, random: &mut Random) -> String {
    let words = [
        "",
        " ",
        "\"",
        "(",
        ")",
        "[",
        "]",
        ",",
        "0",
        "-1",
        "9",
        "1e18",
        "18446744073709551615",
        "true",
        "layers",
        "x",
        "q",
        "Add",
        "MatMul",
        "Cache",
        "é",
    ];
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        let end = (at + random.below(4)).min(bytes.len());
        match random.below(4) {
            0 => bytes[at] = *random.pick(b"0123456789\"()[],:abxyqTS'*/+-%. \n"),
            1 => drop(bytes.splice(at..end, [])),
            2 => drop(bytes.splice(at..end, random.pick(&words).bytes())),
            // One line moves elsewhere.
            _ => {
                let lines: Vec<&[u8]> = bytes.split_inclusive(|&b| b == b'\n').collect();
                let (from, to) = (random.below(lines.len()), random.below(lines.len()));
                let mut order = lines.clone();
                let line = order.remove(from);
                order.insert(to.min(order.len()), line);
                bytes = order.concat();
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_damaged_graph_file_is_refused_or_compiles_in_time() {
    let mut random = Random(1);
    let (mut good, mut all) = (0, 0);
    for weights in [true, false] {
        for name in ["gpt2", "llama"] {
            let file = format!("graphs/{name}.ron");
            let graph = builtin_graphs().find(|(path, _)| *path == file).unwrap().1;
            let folder = folder(name, weights);
            let path = folder.path().join("graph.ron");
            let options = Options::new().graph(path.clone());
            for _ in 0..375 {
                let text = damaged(graph, &mut random);
                fs::write(&path, &text).unwrap();
                good += usize::from(try_compile(folder.path(), &options, &text));
                all += 1;
            }
        }
    }
    assert_eq!(all, 1500);
    // Damage to comments and defaults is harmless; if much more damage were harmless, there would be too little damage.
    assert!((50..1000).contains(&good), "{good}");
}

#[test]
fn an_absurd_configuration_is_refused_or_compiles_in_time() {
    let values = [
        json!(0),
        json!(-1),
        json!(1),
        json!(7),
        json!(400),
        json!(1e18),
        json!(1_000_000_000_000_000_000_u64),
        json!(u64::MAX),
        json!(1e308),
        json!(0.1),
        json!(null),
        json!(true),
        json!("silu"),
        json!("9".repeat(100_000)),
        json!([]),
        json!([1, [2, {"a": 3}]]),
        json!(vec![0; 100_000]),
        json!({"rope_type": "llama3", "factor": 0, "low_freq_factor": 0, "high_freq_factor": 0}),
        json!({"rope_theta": 1e308, "rope_type": "linear", "factor": -1e-308}),
    ];
    let mut random = Random(2);
    let mut all = 0;
    for (name, weights) in [
        ("gpt2", true),
        ("llama", true),
        ("gpt2", false),
        ("llama", false),
    ] {
        let folder = folder(name, weights);
        let path = folder.path().join("config.json");
        let sound: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let keys: Vec<&String> = sound.as_object().unwrap().keys().collect();
        for _ in 0..175 {
            let mut config = sound.clone();
            let mut changes = Vec::new();
            for _ in 0..=random.below(2) {
                let (key, value) = (random.pick(&keys), random.pick(&values));
                config[key.as_str()] = value.clone();
                changes.push(format!(
                    "{key}: {}",
                    value.to_string().chars().take(80).collect::<String>()
                ));
            }
            fs::write(&path, config.to_string()).unwrap();
            try_compile(folder.path(), &Options::default(), &changes.join(", "));
            all += 1;
        }
    }
    assert_eq!(all, 700);
}
