//! Is a model whose files are in memory the same as a model in a folder?

use std::fs;
use std::path::Path;

use crate::common::gguf::{Meta, Stored, convert};
use crate::common::{all_rows, bits, data, decoders, expected, run, variants};
#[cfg(feature = "tokenizer")]
use smallmind::{EmbedOptions, Pooling};
use smallmind::{Model, ModelBytes, Options};
use tempfile::TempDir;

/// All files of a folder and of its subfolders.
fn held(folder: &Path) -> ModelBytes {
    fn add(folder: &Path, before: &str, mut bytes: ModelBytes) -> ModelBytes {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{before}{}", path.file_name().unwrap().to_str().unwrap());
            bytes = match path.is_dir() {
                true => add(&path, &format!("{name}/"), bytes),
                false => bytes.file(name, fs::read(&path).unwrap()),
            };
        }
        bytes
    }
    add(folder, "", ModelBytes::new())
}

/// Checks that both compute the same bits for the reference prompt.
fn same(name: &str, opened: &Model, held: &Model) {
    let expected = expected(name);
    let [opened, held] = [opened, held].map(|model| {
        let mut session = model.session().unwrap();
        let (rows, steps, tokens) = run(&mut session, &expected.input_ids, expected.greedy.len());
        let steps: Vec<Vec<u32>> = steps.iter().map(|row| bits(row)).collect();
        (bits(&rows), steps, tokens)
    });
    assert!(opened == held, "{name}");
}

#[test]
fn a_folder_is_the_same_in_memory() {
    for name in decoders().filter(|&name| name != "demo") {
        let opened = Model::open(data(name), &all_rows()).unwrap();
        let held = Model::from_bytes(held(&data(name)), &all_rows()).unwrap();
        same(name, &opened, &held);
    }
}

#[test]
fn shards_are_the_same_in_memory() {
    let folder = TempDir::new().unwrap();
    variants::sharded("llama", folder.path());
    let opened = Model::open(folder.path(), &all_rows()).unwrap();
    let held = Model::from_bytes(held(folder.path()), &all_rows()).unwrap();
    same("llama", &opened, &held);
}

#[test]
fn a_gguf_file_is_the_same_in_memory() {
    for (name, stored) in [("llama", Stored::F32), ("qwen3", Stored::Q8_0)] {
        let bytes = convert(name, stored).bytes();
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("m.gguf");
        fs::write(&path, &bytes).unwrap();
        let opened = Model::open(&path, &all_rows()).unwrap();
        let held = Model::from_bytes(ModelBytes::gguf(bytes), &all_rows()).unwrap();
        same(name, &opened, &held);
    }
}

#[test]
fn static_bytes_may_begin_anywhere() {
    static CONFIG: &[u8] = include_bytes!("../data/llama/config.json");
    static WEIGHTS: &[u8] = include_bytes!("../data/llama/model.safetensors");
    for shift in 0..4 {
        let mut shifted = vec![0; shift];
        shifted.extend_from_slice(WEIGHTS);
        let shifted: &'static [u8] = &shifted.leak()[shift..];
        let bytes = ModelBytes::new().config(CONFIG).weights(shifted);
        let opened = Model::open(data("llama"), &all_rows()).unwrap();
        let held = Model::from_bytes(bytes, &all_rows()).unwrap();
        same("llama", &opened, &held);
    }
}

#[test]
fn a_graph_file_in_memory_describes_the_model() {
    let llama =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/graphs/llama.ron")).unwrap();
    let graph = llama.replace("\"LlamaForCausalLM\"", "\"MineForCausalLM\"");
    let config = fs::read_to_string(data("llama").join("config.json")).unwrap();
    let config = config.replace("LlamaForCausalLM", "MineForCausalLM");
    let weights = fs::read(data("llama").join("model.safetensors")).unwrap();
    let bytes = ModelBytes::new()
        .config(config.into_bytes())
        .weights(weights)
        .graph(graph.into_bytes());
    let opened = Model::open(data("llama"), &all_rows()).unwrap();
    let held = Model::from_bytes(bytes, &all_rows()).unwrap();
    assert_eq!(held.compiled().graph_file, "model.ron");
    same("llama", &opened, &held);
}

#[cfg(feature = "tokenizer")]
#[test]
fn text_and_embeddings_are_the_same_in_memory() {
    let sentences = crate::common::sentences::Sentences::new();
    sentences.modules(&[
        "sentence_transformers.models.Transformer",
        "sentence_transformers.models.Pooling",
    ]);
    let pooling = r#"{"pooling_mode_cls_token": true}"#;
    sentences.write("1_Pooling/config.json", pooling);
    let [opened, held] = [
        Model::open(sentences.path(), &Options::default()),
        Model::from_bytes(held(sentences.path()), &Options::default()),
    ]
    .map(|model| {
        let embedder = model.unwrap().embedder(&EmbedOptions::default());
        let embedder = embedder.unwrap();
        assert_eq!(embedder.pooling(), Pooling::Cls);
        bits(&embedder.embed(&["one two"]).unwrap()[0])
    });
    assert_eq!(opened, held);
}

/// Why files in memory are not a model.
fn refusal(bytes: ModelBytes) -> String {
    let error = Model::from_bytes(bytes, &Options::default()).err();
    error.expect("the files must be refused").to_string()
}

#[test]
fn an_error_names_the_part() {
    let llama = || held(&data("llama"));
    let part = Meta::U32(3);
    let split = convert("llama", Stored::F32).with("split.count", part);
    let cases = [
        (ModelBytes::new(), "model in memory: no model: expected"),
        (llama().config(b"{"), "config.json:1:1: EOF"),
        (
            llama().config(b"{}"),
            "config.json:1:1: neither \"architectures\"",
        ),
        (llama().config(b"\xFF"), "config.json: can't be read"),
        (llama().weights(b"none"), "model.safetensors: "),
        (llama().graph(b"Model(\n  nodes: [,"), "model.ron:2:"),
        (
            llama().tokenizer(b"[]"),
            "tokenizer.json: cannot use this tokenizer",
        ),
        (
            llama().file("generation_config.json", b"{\n,"),
            "generation_config.json:2:1: ",
        ),
        (ModelBytes::gguf(b"GGUF"), "model.gguf: "),
        (ModelBytes::gguf(b"none"), "model.gguf: "),
        (
            ModelBytes::gguf(split.bytes()),
            "model.gguf: one of 3 parts",
        ),
        (llama().config(b"{").named("mine"), "mine/config.json:1:1: "),
    ];
    for (bytes, told) in cases {
        let found = refusal(bytes);
        assert!(found.contains(told), "expected {told}, found {found}");
    }
    let alone = ModelBytes::new().config(include_bytes!("../data/llama/config.json"));
    assert!(refusal(alone).contains("model in memory: no weights"));
    let index = br#"{"weight_map": {"a": "gone.safetensors"}}"#;
    let alone = ModelBytes::new()
        .config(include_bytes!("../data/llama/config.json"))
        .file("model.safetensors.index.json", index);
    let found = refusal(alone);
    assert!(
        found.contains(
            "shard `gone.safetensors` (of tensor `a`): gone.safetensors: there is no such file"
        ),
        "{found}"
    );
}

#[cfg(not(feature = "demo"))]
#[test]
fn without_the_demo_its_name_is_refused() {
    let error = Model::open("demo", &Options::default()).err().unwrap();
    assert!(
        error.to_string().contains("the cargo feature `demo`"),
        "{error}"
    );
}
