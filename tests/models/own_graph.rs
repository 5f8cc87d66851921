//! Is a model run with the graph file that it contains?

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{all_rows, answer, bits, data, expected};
use smallmind::model::{GGUF_GRAPH, GraphOrigin, ModelFiles, Source};
use smallmind::{Model, Options};
use tempfile::TempDir;

/// Qwen 3's graph, for an architecture that nobody knows.
fn graph() -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("graphs/qwen3.ron"));
    let text = text.unwrap();
    text.replace("\"Qwen3ForCausalLM\"", "\"MineForCausalLM\"")
        .replace("\"qwen3\"", "\"mine\"")
}

/// A folder with a model of that architecture, with `graph` next to its weights.
fn folder(graph: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let config = fs::read_to_string(data("qwen3").join("config.json")).unwrap();
    let config = config.replace("Qwen3ForCausalLM", "MineForCausalLM");
    let config = config.replace("\"qwen3\"", "\"mine\"");
    fs::write(folder.path().join("config.json"), config).unwrap();
    let weights = "model.safetensors";
    fs::copy(data("qwen3").join(weights), folder.path().join(weights)).unwrap();
    fs::write(folder.path().join("model.ron"), graph).unwrap();
    folder
}

fn rows(path: impl Into<Source>) -> Vec<u32> {
    let model = Model::open(path, &all_rows()).unwrap();
    bits(&answer(&model, &expected("qwen3")).0)
}

fn origin(path: &Path, options: &Options) -> (String, GraphOrigin) {
    let files = ModelFiles::open_headers(&path.into(), options).unwrap();
    (files.graph.file, files.graph_origin)
}

fn refusal(path: &Path, options: &Options) -> String {
    let error = Model::open(path, options).err();
    error.expect("it must be refused").to_string()
}

#[test]
fn a_folder_is_run_by_its_own_graph() {
    let folder = folder(&graph());
    assert!(rows(folder.path()) == rows(data("qwen3")));
    let (file, from) = origin(folder.path(), &Options::default());
    assert_eq!(from, GraphOrigin::Own);
    assert_eq!(PathBuf::from(file), folder.path().join("model.ron"));
    let (_, from) = origin(&data("qwen3"), &Options::default());
    assert_eq!(from, GraphOrigin::BuiltIn);
}

#[test]
fn the_callers_graph_wins() {
    let folder = folder("nothing at all");
    let path = folder.path().join("other.ron");
    fs::write(&path, graph()).unwrap();
    let options = Options::new().graph(path.clone());
    let (file, from) = origin(folder.path(), &options);
    assert_eq!((PathBuf::from(file), from), (path, GraphOrigin::Given));
}

#[test]
fn a_broken_graph_is_reported_with_its_line() {
    let broken = graph().replace(
        "(\"h\", Mul, [\"g\", \"u\"])",
        "(\"h\", Mull, [\"g\", \"u\"])",
    );
    let line = 1 + broken
        .lines()
        .position(|line| line.contains("Mull"))
        .unwrap();
    let folder = folder(&broken);
    let found = refusal(folder.path(), &Options::default());
    let place = format!("{}:{line}:", folder.path().join("model.ron").display());
    assert!(found.starts_with(&place), "{found}");
    assert!(found.contains("did you mean 'Mul'"), "{found}");
}

#[cfg(feature = "chat")]
#[test]
fn a_gguf_file_of_the_folder_carries_the_graph() {
    let folder = folder(&graph());
    let bytes = crate::common::converted::written(folder.path(), smallmind::types::DType::F32);
    let path = folder.path().join("mine.gguf");
    fs::write(&path, bytes.unwrap()).unwrap();
    let (file, from) = origin(&path, &Options::default());
    assert_eq!(from, GraphOrigin::Own);
    assert_eq!(file, format!("{} ({GGUF_GRAPH})", path.display()));
    assert!(rows(path.as_path()) == rows(data("qwen3")));
}

#[test]
fn a_graph_key_that_is_not_a_text_is_refused() {
    use crate::common::gguf::{Meta, Stored, convert};
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("m.gguf");
    for (value, told) in [
        (Meta::U32(1), "must contain a graph file's text"),
        (
            Meta::Text("Model(\n  oops: 1)".into()),
            "(smallmind.graph):2:3: ",
        ),
    ] {
        fs::write(
            &path,
            convert("qwen3", Stored::F32)
                .with(GGUF_GRAPH, value)
                .bytes(),
        )
        .unwrap();
        let found = refusal(&path, &Options::default());
        assert!(found.contains(told), "{found}");
    }
}
