//! Do models run, however their files are arranged?

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use smallmind::{Model, Options};
use tempfile::TempDir;

use crate::common::gguf::{Stored, convert};
use crate::common::variants::{renamed, sharded};
use crate::common::{answer, bits, data, expected};

/// The bits of all logits of the prompt.
fn logits(path: &Path, name: &str) -> Vec<u32> {
    let options = Options::new().threads(1);
    let model = Model::open(path, &options).unwrap_or_else(|error| panic!("{error}"));
    bits(&answer(&model, &expected(name)).0)
}

#[test]
fn a_folder_with_one_gguf_file_is_that_model() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("model-q8.gguf");
    fs::write(&file, convert("llama", Stored::F16).bytes()).unwrap();
    fs::write(folder.path().join("mmproj-model.gguf"), "GGUF").unwrap();
    let expected = logits(&file, "llama");
    assert!(logits(folder.path(), "llama") == expected);
    // As in repositories of GGUF files.
    fs::copy(
        data("llama").join("config.json"),
        folder.path().join("config.json"),
    )
    .unwrap();
    assert!(logits(folder.path(), "llama") == expected);
}

#[test]
fn shards_without_an_index_are_one_model() {
    let folder = TempDir::new().unwrap();
    sharded("llama", folder.path());
    fs::remove_file(folder.path().join("model.safetensors.index.json")).unwrap();
    assert!(logits(folder.path(), "llama") == logits(&data("llama"), "llama"));
}

#[test]
fn the_text_model_of_a_checkpoint_that_reads_images_too_runs() {
    let text = fs::read_to_string(data("llama").join("config.json")).unwrap();
    let mut inner: Value = serde_json::from_str(&text).unwrap();
    let inner_fields = inner.as_object_mut().unwrap();
    inner_fields.remove("architectures");
    let eos = inner_fields.remove("eos_token_id");
    let whole = json!({
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "llava",
        "eos_token_id": eos,
        "text_config": inner,
        "vision_config": {"hidden_size": 8, "model_type": "clip_vision_model"},
    });
    let expected = logits(&data("llama"), "llama");
    let names: [fn(&str) -> String; 2] = [
        |name| format!("language_model.{name}"),
        |name| match name.strip_prefix("model.") {
            Some(rest) => format!("model.language_model.{rest}"),
            None => name.to_string(),
        },
    ];
    for rename in names {
        let folder = TempDir::new().unwrap();
        renamed("llama", folder.path(), &rename);
        fs::write(folder.path().join("config.json"), whole.to_string()).unwrap();
        assert!(logits(folder.path(), "llama") == expected);
    }
}
