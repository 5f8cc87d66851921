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
use smallmind::{EngineOptions, Event, GenerateOptions, Model, Options};

/// The variable that names the model that the separate process opens.
const MODEL: &str = "SMALLMIND_TEST_RESIDENT";
/// The variable that says whether it reads the files instead of mapping them.
const READ: &str = "SMALLMIND_TEST_READ";
/// The variable that says that an engine runs, within the given number of bytes.
const ENGINE: &str = "SMALLMIND_TEST_ENGINE";
/// The text before the figures that it prints.
const FIGURES: &str = "resident and planned ";

const WIDTH: usize = 512;
const INNER: usize = 1024;
const LAYERS: usize = 8;
const VOCABULARY: usize = 1000;
const CONTEXT: usize = 2048;
/// Texts that an engine runs at once.
const SEQUENCES: usize = 8;

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
    if let Some(bytes) = std::env::var_os(ENGINE) {
        let bytes: usize = bytes.to_str().unwrap().parse().unwrap();
        let model = Model::open(model, &options.sequences(SEQUENCES)).unwrap();
        let planned = fill_engine(&model, bytes);
        println!("\n{FIGURES}{} {planned}", resident() - before);
        return;
    }
    let model = Model::open(model, &options).unwrap();
    let mut session = model.session().unwrap();
    session.prefill(&[1, 2, 3]).unwrap();
    session.step(4).unwrap();
    let taken = resident() - before;
    println!("\n{FIGURES}{taken} {}", model.plan().total);
}

/// Runs as many texts at once as an engine with that budget has pages for, and returns the bytes that it states. The
/// engine is leaked: its memory is to be measured.
fn fill_engine(model: &Model, budget: usize) -> usize {
    let options = EngineOptions::new().memory(budget);
    let planned = model.engine_memory(&options).unwrap();
    assert!(planned.total <= budget);
    let mut engine = model.engine(&options).unwrap();
    let generated = 20;
    let prompt = planned.positions / SEQUENCES - generated;
    let options = GenerateOptions::new().max_tokens(generated).greedy();
    for turn in 0..SEQUENCES {
        let tokens: Vec<u32> = (0..prompt)
            .map(|at| ((at * 7 + turn * 31) % 900) as u32)
            .collect();
        engine.add_tokens(&tokens, &options).unwrap();
    }
    let mut done = 0;
    let mut most = 0;
    while !engine.is_idle() {
        for event in engine.step() {
            match event {
                Event::Finished { .. } => done += 1,
                Event::Failed { error, .. } => panic!("{error}"),
                _ => {}
            }
        }
        most = most.max(engine.running());
    }
    assert!(
        (done, most >= SEQUENCES - 1) == (SEQUENCES, true),
        "{done} {most}"
    );
    std::mem::forget(engine);
    planned.total
}

/// The memory that a process uses for the model, not counting what it uses at its start, and what the model's plan states.
fn figures(model: &Path, read: bool, engine: Option<usize>) -> (usize, usize) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "a_model_alone", "--ignored", "--nocapture"])
        .env(MODEL, model);
    if read {
        command.env(READ, "1");
    }
    if let Some(budget) = engine {
        command.env(ENGINE, budget.to_string());
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
fn a_model_uses_the_memory_that_its_plan_states_in_total() {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path());
    for read in [false, true] {
        let (small, stated) = figures(&data("llama"), read, None);
        let program = small - stated;
        let (taken, planned) = figures(folder.path(), read, None);
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

#[test]
fn an_engine_under_full_load_uses_the_memory_that_it_states() {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path());
    let (small, stated) = figures(&data("llama"), false, None);
    let program = small - stated;
    let budget = 256 << 20;
    let (taken, planned) = figures(folder.path(), false, Some(budget));
    let taken = taken - program;
    let ratio = taken as f64 / planned as f64;
    println!("{taken} bytes of {planned}, within {budget}");
    assert!(planned > budget - (1 << 20), "{planned}");
    assert!(
        (0.95..=1.05).contains(&ratio),
        "{taken} of {planned} bytes: {ratio}"
    );
}
