//! Does `smallmind info` show what a model's files contain, and what keeps the model from running?

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::common::data;
use super::common::gguf::{Meta, Stored, Writer, convert};
use super::{failure, json, output, smallmind};

/// The output of `info` for a path below `folder`, without the memory figure, which depends on the number of threads.
fn told(folder: &Path, model: &str) -> String {
    let output = smallmind()
        .current_dir(folder)
        .args(["info", model])
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let Some((before, rest)) = text.split_once("yes, with ") else {
        return text;
    };
    let (_, after) = rest.split_once(" bytes").unwrap();
    format!("{before}yes, with … bytes{after}")
}

fn write(folder: &TempDir, writer: &Writer) -> String {
    let path = folder.path().join("model.gguf");
    fs::write(&path, writer.bytes()).unwrap();
    path.display().to_string()
}

#[test]
fn the_demo_is_described() {
    insta::assert_snapshot!(told(Path::new("."), "demo"));
}

#[test]
fn a_models_own_graph_is_named() {
    let folder = TempDir::new().unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::copy(data("qwen3").join(file), folder.path().join(file)).unwrap();
    }
    let graph = concat!(env!("CARGO_MANIFEST_DIR"), "/graphs/qwen3.ron");
    let own = folder.path().join("model.ron");
    fs::copy(graph, &own).unwrap();
    let text = told(folder.path(), ".");
    assert!(text.contains("model.ron (the model's own)"), "{text}");
    let info = |more: &[&str]| {
        let path = folder.path().to_str().unwrap();
        json(["info", path, "--json"].iter().chain(more))
    };
    assert_eq!(info(&[])["own_graph"], true);
    assert_eq!(info(&["--graph", graph])["own_graph"], false);
}

#[test]
fn a_gguf_file_is_described() {
    let folder = TempDir::new().unwrap();
    let text = "{{ bos_token }}\u{1b}[31m".repeat(20);
    let writer = convert("llama", Stored::Q8_0)
        .with("tokenizer.ggml.model", Meta::Text("gpt2".into()))
        .with("tokenizer.ggml.pre", Meta::Text("llama-bpe".into()))
        .with("tokenizer.chat_template", Meta::Text(text));
    write(&folder, &writer);
    insta::assert_snapshot!(told(folder.path(), "model.gguf"));
}

#[test]
fn a_vocabulary_alone_is_described_with_what_it_lacks() {
    let folder = TempDir::new().unwrap();
    let mut writer =
        convert("gpt2", Stored::F32).with("tokenizer.ggml.model", Meta::Text("gpt2".into()));
    writer.tensors.clear();
    writer
        .meta
        .retain(|(key, _)| key.starts_with("general.") || key.starts_with("tokenizer."));
    write(&folder, &writer);
    insta::assert_snapshot!(told(folder.path(), "model.gguf"));
}

#[test]
fn an_architecture_without_a_graph_is_described() {
    let folder = TempDir::new().unwrap();
    let mut writer = convert("llama", Stored::F16);
    writer.meta[0].1 = Meta::Text("mamba".into());
    let told = json(["info", &write(&folder, &writer), "--json"]);
    assert_eq!(told["architecture"][0], "mamba");
    assert_eq!(told["graph"], serde_json::Value::Null);
    assert_eq!(told["runs"], false);
    let missing = told["missing"][0].as_str().unwrap();
    assert!(
        missing.contains("no graph file for the architecture 'mamba'"),
        "{missing}"
    );
    let elements = told["tensors"].as_array().unwrap().iter();
    let elements: u64 = elements.map(|of| of["elements"].as_u64().unwrap()).sum();
    assert_eq!(told["parameters"].as_u64(), Some(elements));
    let bytes: usize = writer.tensors.iter().map(|tensor| tensor.bytes.len()).sum();
    assert_eq!(told["bytes"].as_u64(), Some(bytes as u64));
}

#[test]
fn a_tensor_of_a_type_that_is_not_read_is_named() {
    let folder = TempDir::new().unwrap();
    let mut writer = convert("llama", Stored::F32);
    let unknown = writer
        .tensors
        .iter_mut()
        .find(|t| t.name == "blk.1.ffn_up.weight")
        .unwrap();
    unknown.number = 99;
    let told = json(["info", &write(&folder, &writer), "--json"]);
    let missing = told["missing"].to_string();
    assert!(
        missing.contains("tensor 'blk.1.ffn_up.weight' is type 99"),
        "{missing}"
    );
    let types = told["tensors"].as_array().unwrap();
    let unknown = types
        .iter()
        .find(|of| of["type"] == "type 99 (unknown)")
        .unwrap();
    assert_eq!(
        (unknown["tensors"].as_u64(), unknown["bytes"].as_u64()),
        (Some(1), Some(0))
    );
}

#[test]
fn a_folder_is_described_whether_or_not_it_has_weights() {
    let whole = json(["info", &data("bert").display().to_string(), "--json"]);
    assert_eq!(whole["graph"], "graphs/bert.ron");
    assert_eq!(whole["runs"], true);
    assert_eq!(whole["tensors"][0]["type"], "F32");
    assert_eq!(whole["metadata"]["hidden_size"], 64);
    let config = json([
        "info",
        &data("bert").join("config.json").display().to_string(),
        "--json",
    ]);
    assert_eq!(config["runs"], false);
    assert_eq!(config["missing"][0], "there are no weights");
    assert_eq!(config["metadata"], whole["metadata"]);
}

#[test]
fn files_that_are_not_a_model_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, b"GGUF").unwrap();
    assert!(failure(["info", path.to_str().unwrap()]).contains("model.gguf"));
    let message = failure(["info", folder.path().to_str().unwrap()]);
    assert!(
        message.contains("expected a folder with config.json"),
        "{message}"
    );
    assert_eq!(output(["info"]).status.code(), Some(2));
}

#[test]
fn what_all_layers_lack_is_reported_once_with_their_number() {
    let folder = TempDir::new().unwrap();
    let mut writer = convert("llama", Stored::F32);
    writer
        .tensors
        .retain(|tensor| !tensor.name.ends_with("ffn_up.weight"));
    write(&folder, &writer);
    let text = told(folder.path(), "model.gguf");
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("ffn_up"))
        .collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(
        lines[0].contains("tensors are missing in the weight file, of layer 0 to 2: "),
        "{text}"
    );
    let all = "no tensor 'blk.0.ffn_up.weight', nor any of the 3 like it";
    assert!(lines[1].contains(all), "{text}");
}
