//! Does a model use as much memory in total as its plan states, neither more nor less?
//!
//! A separate process opens the model, so that nothing else is measured. The system's figures are read where Linux shows
//! them.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::data;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::{Value, json};
use smallmind::model::WeightAccess;
use smallmind::{Model, Options};

/// The variable that names the model that the separate process opens.
const MODEL: &str = "SMALLMIND_TEST_RESIDENT";
/// The variable that says whether it reads the files instead of mapping them.
const READ: &str = "SMALLMIND_TEST_READ";
/// The text before the figures that it prints.
const FIGURES: &str = "resident and planned ";

const WIDTH: usize = 512;
const INNER: usize = 1024;
const LAYERS: usize = 8;
const VOCABULARY: usize = 1000;
const CONTEXT: usize = 2048;

/// A model of about 90 MB whose weights are zeros.
fn write_model(folder: &Path) {
    let text = fs::read_to_string(data("llama").join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    for (key, value) in [
        ("hidden_size", json!(WIDTH)),
        ("intermediate_size", json!(INNER)),
        ("num_hidden_layers", json!(LAYERS)),
        ("num_attention_heads", json!(8)),
        ("num_key_value_heads", json!(8)),
        ("head_dim", json!(WIDTH / 8)),
        ("vocab_size", json!(VOCABULARY)),
        ("max_position_embeddings", json!(CONTEXT)),
        ("tie_word_embeddings", json!(false)),
    ] {
        config[key] = value;
    }
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut shapes = vec![
        (
            "model.embed_tokens.weight".to_string(),
            vec![VOCABULARY, WIDTH],
        ),
        ("model.norm.weight".to_string(), vec![WIDTH]),
        ("lm_head.weight".to_string(), vec![VOCABULARY, WIDTH]),
    ];
    for layer in 0..LAYERS {
        for (name, shape) in [
            ("input_layernorm", vec![WIDTH]),
            ("post_attention_layernorm", vec![WIDTH]),
            ("self_attn.q_proj", vec![WIDTH, WIDTH]),
            ("self_attn.k_proj", vec![WIDTH, WIDTH]),
            ("self_attn.v_proj", vec![WIDTH, WIDTH]),
            ("self_attn.o_proj", vec![WIDTH, WIDTH]),
            ("mlp.gate_proj", vec![INNER, WIDTH]),
            ("mlp.up_proj", vec![INNER, WIDTH]),
            ("mlp.down_proj", vec![WIDTH, INNER]),
        ] {
            shapes.push((format!("model.layers.{layer}.{name}.weight"), shape));
        }
    }
    let zeros = vec![0; 4 * WIDTH * INNER.max(VOCABULARY)];
    let tensors = shapes.iter().map(|(name, shape)| {
        let bytes = 4 * shape.iter().product::<usize>();
        let view = TensorView::new(Dtype::F32, shape.clone(), &zeros[..bytes]);
        (name, view.unwrap())
    });
    serialize_to_file(tensors, None, &folder.join("model.safetensors")).unwrap();
}

/// Bytes that this process has in memory.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kibibytes.unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
#[ignore = "what figures runs in a process of its own"]
fn a_model_alone() {
    let Some(model) = std::env::var_os(MODEL).map(PathBuf::from) else {
        eprintln!("skipped: {MODEL} names no model");
        return;
    };
    let access = match std::env::var_os(READ).is_some() {
        true => WeightAccess::Read,
        false => WeightAccess::Mapped,
    };
    let before = resident();
    let options = Options::new().threads(2).chunk(64).weight_access(access);
    let model = Model::open(model, &options).unwrap();
    let mut session = model.session().unwrap();
    session.prefill(&[1, 2, 3]).unwrap();
    session.step(4).unwrap();
    let taken = resident() - before;
    println!("\n{FIGURES}{taken} {}", model.plan().total);
}

/// The memory that a process uses for the model, not counting what it uses at its start, and what the model's plan states.
fn figures(model: &Path, read: bool) -> (usize, usize) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "a_model_alone", "--ignored", "--nocapture"])
        .env(MODEL, model);
    if read {
        command.env(READ, "1");
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let line = text
        .split(FIGURES)
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let line = line.unwrap_or_else(|| panic!("{text}"));
    let (taken, planned) = line.split_once(' ').unwrap();
    (taken.parse().unwrap(), planned.parse().unwrap())
}

#[test]
fn a_model_takes_what_its_plan_states_in_total() {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path());
    for read in [false, true] {
        let (small, stated) = figures(&data("llama"), read);
        let program = small - stated;
        let (taken, planned) = figures(folder.path(), read);
        let taken = taken - program;
        let ratio = taken as f64 / planned as f64;
        println!("read {read}: {taken} bytes of {planned}, besides {program} of the program");
        assert!(planned > 100 << 20, "{planned}");
        assert!(
            (0.95..=1.05).contains(&ratio),
            "{taken} of {planned} bytes: {ratio}"
        );
    }
}
