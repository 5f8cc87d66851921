//! What a folder contains that is not a model or lacks a part of one, and what to do about it.

use serde_json::Value as Json;

#[cfg(feature = "tokenizer")]
use super::file_names::TOKENIZER;
use super::file_names::{CONFIG, LARGEST_TEXT};
use crate::files::folder::Folder;
use crate::files::foreign::CONVERT;
use crate::files::gguf::models_among;
use crate::files::json;
use crate::files::weight_files::SINGLE_FILE;
use crate::language::diagnostics::shortened;

/// The most subfolders that are looked at.
const MOST_FOLDERS: usize = 20;
/// The longest list of names in a message, in characters.
const LONGEST_LIST: usize = 200;
/// The file that shows that a folder contains an adapter.
const ADAPTER: &str = "adapter_config.json";

/// Weights that only other programs can read: the endings of their names, and what they are.
const OTHER_WEIGHTS: [(&[&str], &str); 6] = [
    (
        &[".bin", ".pt", ".pth", ".ckpt"],
        "weights as torch.save writes them",
    ),
    (&[".h5", ".keras"], "weights of TensorFlow and Keras"),
    (&[".msgpack"], "weights of Flax"),
    (&[".npz", ".npy"], "arrays of NumPy"),
    (&[".onnx"], "ONNX graphs"),
    (&[".tflite"], "models of TensorFlow Lite"),
];
/// Tokenizers that are not supported: the files that make up each, and what it is.
#[cfg(feature = "tokenizer")]
const OTHER_TOKENIZERS: [(&[&str], &str); 6] = [
    (&["tokenizer.model"], "a SentencePiece model"),
    (&["spiece.model"], "a SentencePiece model"),
    (&["vocab.json", "merges.txt"], "byte-level BPE in two files"),
    (&["vocab.txt"], "WordPiece"),
    (&["tekken.json"], "Mistral's own format"),
    (&["tokenizer_config.json"], "settings without a vocabulary"),
];

/// What a folder without supported weights contains, after "; " if there is anything to say.
pub(super) fn instead_of_weights(folder: &Folder) -> String {
    let names = folder.names();
    if let Some(told) = adapter(folder) {
        return format!("; {told}");
    }
    for (ends, what) in OTHER_WEIGHTS {
        let found = names.iter().filter(|name| {
            let name = name.to_ascii_lowercase();
            let is_weights = name != "training_args.bin";
            is_weights && ends.iter().any(|end| name.ends_with(end))
        });
        let found: Vec<&str> = found.map(String::as_str).collect();
        if !found.is_empty() {
            return format!("; there are {what} ({}): {CONVERT}", list(&found));
        }
    }
    if folder.has(SINGLE_FILE) {
        return String::new();
    }
    let others = names.iter().filter(|name| name.ends_with(".safetensors"));
    let others: Vec<&str> = others.map(String::as_str).collect();
    match others[..] {
        [] => String::new(),
        [one] => format!("; if {one} has all of the weights, rename it to model.safetensors"),
        _ => format!("; nothing says which of {} belong together", list(&others)),
    }
}

/// What a folder that is not a model contains, after "; " if there is anything to say.
pub(super) fn instead_of_model(folder: &Folder) -> String {
    let weights = instead_of_weights(folder);
    if !weights.is_empty() {
        return weights;
    }
    let names = folder.names();
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    if has("model_index.json") {
        return "; it is a pipeline of diffusers, whose models are in subfolders".to_string();
    }
    let below = names.iter().take(MOST_FOLDERS).filter(|name| {
        let inside = folder.path(name);
        let Ok(folder) = inside.canonicalize() else {
            return false;
        };
        let folder = Folder::Disk(folder);
        matches!(folder.names().len(), 1..) && is_model(&folder)
    });
    let below: Vec<&str> = below.map(String::as_str).collect();
    if !below.is_empty() {
        return format!(
            "; there are models in the folders {}: choose one of them",
            list(&below)
        );
    }
    if has("snapshots") {
        return "; it is a repository in the cache of the Hub: use the folder of a revision in `snapshots`, or `-hf ORGANIZATION/NAME`".to_string();
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    match names.is_empty() || folder.has(SINGLE_FILE) {
        true => String::new(),
        false => format!("; there are {}", list(&names)),
    }
}

/// What a folder has instead of [`TOKENIZER`], as the end of a sentence about the missing file.
#[cfg(feature = "tokenizer")]
pub(super) fn instead_of_tokenizer(folder: &Folder) -> String {
    let found = OTHER_TOKENIZERS.iter();
    let mut found = found.filter(|(files, _)| files.iter().all(|file| folder.has(file)));
    match found.next() {
        None => String::new(),
        Some((files, what)) => format!(
            ", but {} ({what}; in Python, `AutoTokenizer.from_pretrained(\"FOLDER\").save_pretrained(\"FOLDER\")` of transformers writes {TOKENIZER})",
            files.join(" and ")
        ),
    }
}

fn is_model(folder: &Folder) -> bool {
    folder.has(CONFIG) || !models_among(&folder.names()).is_empty()
}

/// The message about an adapter, if the folder has one.
fn adapter(folder: &Folder) -> Option<String> {
    if !folder.has(ADAPTER) {
        return None;
    }
    let text = folder.text(ADAPTER, LARGEST_TEXT).ok();
    let json = text.and_then(|text| json::parse::<Json>(&text).ok());
    let base = json.and_then(|json| {
        let base = json.get("base_model_name_or_path")?.as_str()?;
        Some(format!(" of {}", shortened(base, LONGEST_LIST)))
    });
    Some(format!(
        "it is an adapter ({ADAPTER}), which changes a model{} and is not one itself: merge both (in Python, `merge_and_unload` of peft), save the result, and use that",
        base.unwrap_or_default()
    ))
}

fn list(names: &[&str]) -> String {
    shortened(&names.join(", "), LONGEST_LIST).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> Folder {
        let files = files.iter().map(|(name, text)| {
            let text = text.as_bytes().to_vec();
            (name.to_string(), crate::files::map::Mapped::from_vec(text))
        });
        Folder::Memory {
            name: "folder".into(),
            files: files.collect(),
        }
    }

    #[test]
    fn weights_of_other_programs_are_named_with_what_to_do() {
        for (file, expected) in [
            ("pytorch_model.bin", "torch.save"),
            ("consolidated.00.pth", "torch.save"),
            ("tf_model.h5", "TensorFlow"),
            ("flax_model.msgpack", "Flax"),
            ("model.onnx", "ONNX"),
        ] {
            let told = instead_of_weights(&folder(&[("config.json", "{}"), (file, "")]));
            assert!(told.contains(expected) && told.contains(file), "{told}");
            assert!(told.contains("save_pretrained"), "{told}");
        }
        for file in ["training_args.bin", "README.md"] {
            assert_eq!(instead_of_weights(&folder(&[(file, "")])), "");
        }
    }

    #[test]
    fn an_adapter_is_told_with_its_model() {
        let files = [
            (
                "adapter_config.json",
                r#"{"base_model_name_or_path": "org/base"}"#,
            ),
            ("adapter_model.safetensors", ""),
        ];
        let told = instead_of_model(&folder(&files));
        assert!(
            told.contains("an adapter") && told.contains("of org/base"),
            "{told}"
        );
    }

    #[cfg(feature = "tokenizer")]
    #[test]
    fn other_tokenizers_are_named() {
        let told = instead_of_tokenizer(&folder(&[("vocab.json", ""), ("merges.txt", "")]));
        assert!(told.contains("vocab.json and merges.txt"), "{told}");
        assert_eq!(instead_of_tokenizer(&folder(&[("vocab.json", "")])), "");
    }
}
