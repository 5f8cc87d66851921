//! Do messages say what was found where a model was expected, and what to do about it?

use std::fs;
use std::path::Path;

use smallmind::{Model, Options};
use tempfile::TempDir;

use crate::common::data;
use crate::common::variants::sharded;

fn refusal(path: &Path) -> String {
    let error = Model::open(path, &Options::default());
    error.expect_err("this is not a model").to_string()
}

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn config() -> Vec<u8> {
    fs::read(data("llama").join("config.json")).unwrap()
}

/// First bytes of files, and what messages say about them.
const KINDS: [(&[u8], &str); 6] = [
    (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n",
        "git lfs pull",
    ),
    (b"<!DOCTYPE html><html>Not found</html>", "a web page"),
    (
        b"PK\x03\x04\x00\x00\x08\x08archive/data.pkl",
        "a zip archive",
    ),
    (b"\x80\x02}q\x00X\x06\x00\x00\x00", "a Python pickle"),
    (b"\x08\x07\x12\x07pytorch\x1a\x05", "an ONNX graph"),
    (&[0; 1024], "nothing but zeros"),
];

#[test]
fn weights_of_another_kind_are_named() {
    for (beginning, expected) in KINDS {
        let mut bytes = beginning.to_vec();
        bytes.resize(beginning.len().max(64), b' ');
        for file in ["model.safetensors", "model.gguf"] {
            let folder = folder(&[("config.json", &config()), (file, &bytes)]);
            let message = refusal(folder.path());
            assert!(
                message.contains(expected) && message.contains(file),
                "{message}"
            );
            let message = refusal(&folder.path().join("model.gguf"));
            let is_there = folder.path().join("model.gguf").exists();
            assert_eq!(message.contains(expected), is_there, "{message}");
        }
    }
}

#[test]
fn a_file_of_another_kind_is_named_where_it_is_given_as_the_model() {
    for (bytes, expected) in KINDS {
        let folder = folder(&[("model.bin", bytes)]);
        let message = refusal(&folder.path().join("model.bin"));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_folder_without_weights_is_described_by_what_it_has() {
    for (file, expected) in [
        ("pytorch_model.bin", "save_pretrained"),
        ("pytorch_model-00001-of-00002.bin", "torch.save"),
        ("consolidated.00.pth", "torch.save"),
        ("tf_model.h5", "TensorFlow"),
        ("model.onnx", "ONNX"),
        ("weights.safetensors", "rename it to model.safetensors"),
    ] {
        let folder = folder(&[("config.json", &config()), (file, b"x")]);
        let message = refusal(folder.path());
        assert!(message.contains("no weights"), "{message}");
        assert!(
            message.contains(file) && message.contains(expected),
            "{message}"
        );
    }
}

#[test]
fn an_adapter_is_not_mistaken_for_a_model() {
    let adapter = br#"{"base_model_name_or_path": "org/base", "peft_type": "LORA"}"#;
    for with_config in [false, true] {
        let folder = folder(&[
            ("adapter_config.json", adapter),
            ("adapter_model.safetensors", b""),
        ]);
        if with_config {
            fs::write(folder.path().join("config.json"), config()).unwrap();
        }
        let message = refusal(folder.path());
        assert!(
            message.contains("an adapter") && message.contains("org/base"),
            "{message}"
        );
    }
}

#[test]
fn several_gguf_files_are_named() {
    let folder = folder(&[
        ("a-Q4_0.gguf", &[0; 64]),
        ("a-Q8_0.gguf", &[0; 64]),
        ("mmproj.gguf", b""),
    ]);
    let message = refusal(folder.path());
    assert!(
        message.contains("2 models") && message.contains("a-Q4_0.gguf, a-Q8_0.gguf"),
        "{message}"
    );
}

#[test]
fn folders_with_models_are_named_where_the_folder_above_is_given() {
    let folder = folder(&[("README.md", b"")]);
    fs::create_dir(folder.path().join("sub")).unwrap();
    let message = refusal(folder.path());
    assert!(message.contains("there are README.md, sub"), "{message}");
    fs::write(folder.path().join("sub/config.json"), "{}").unwrap();
    let message = refusal(folder.path());
    assert!(message.contains("in the folders sub"), "{message}");
}

#[test]
fn weights_that_are_given_as_the_model_lead_to_their_folder() {
    let message = refusal(&data("llama").join("model.safetensors"));
    let folder = data("llama").display().to_string();
    assert!(
        message.ends_with(&format!("the model is its folder: {folder}")),
        "{message}"
    );
}

#[test]
fn a_missing_shard_is_named_without_an_index_too() {
    let folder = TempDir::new().unwrap();
    sharded("llama", folder.path());
    let missing = "model-00001-of-00002.safetensors";
    for file in ["model.safetensors.index.json", missing] {
        fs::remove_file(folder.path().join(file)).unwrap();
    }
    let message = refusal(folder.path());
    assert!(
        message.contains("1 of 2 files") && message.contains(missing),
        "{message}"
    );
}

#[test]
fn all_missing_shards_of_an_index_are_named_together() {
    let index =
        br#"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors", "c": "3.safetensors"}}"#;
    let folder = folder(&[
        ("config.json", &config()),
        ("model.safetensors.index.json", index),
        ("2.safetensors", b"x"),
    ]);
    let message = refusal(folder.path());
    assert!(message.contains("2 of 3 files"), "{message}");
    assert!(
        message.contains("1.safetensors, 3.safetensors"),
        "{message}"
    );
}

#[cfg(feature = "tokenizer")]
#[test]
fn a_tokenizer_of_another_kind_is_named() {
    use smallmind::model::open_tokenizer;
    let cases: [(&[&str], &str); 3] = [
        (&["tokenizer.model"], "SentencePiece"),
        (&["vocab.json", "merges.txt"], "vocab.json and merges.txt"),
        (&["vocab.txt", "tokenizer_config.json"], "WordPiece"),
    ];
    for (files, expected) in cases {
        let files: Vec<(&str, &[u8])> = files.iter().map(|file| (*file, &b"{}"[..])).collect();
        let folder = folder(&files);
        let message = open_tokenizer(folder.path()).unwrap_err().to_string();
        assert!(message.contains("no tokenizer.json, but"), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}
