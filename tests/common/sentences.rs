//! A fixture (BERT, or another one) as a folder of sentence-transformers, with a tokenizer of ten words.

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use super::data;

/// [CLS], which the tokenizer puts before a text, and [SEP], which it puts after it.
pub const AROUND: [u32; 2] = [1, 2];

/// A folder with the model and its tokenizer. The words `zero` to `six` are tokens 3 to 9; all other words are token 0.
pub struct Sentences {
    folder: TempDir,
}

impl Sentences {
    pub fn new() -> Sentences {
        Sentences::of("bert")
    }

    /// With the model in a folder of `tests/data`.
    pub fn of(name: &str) -> Sentences {
        let folder = tempfile::tempdir().unwrap();
        for file in ["config.json", "model.safetensors"] {
            fs::copy(data(name).join(file), folder.path().join(file)).unwrap();
        }
        let special = |name: &str| json!({"SpecialToken": {"id": name, "type_id": 0}});
        let token = |name: &str, id: u32| json!({"id": name, "ids": [id], "tokens": [name]});
        let text = json!({"Sequence": {"id": "A", "type_id": 0}});
        let tokenizer = json!({
            "version": "1.0",
            "truncation": {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
            "padding": null,
            "added_tokens": [],
            "normalizer": null,
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [special("[CLS]"), text, special("[SEP]")],
                "pair": [special("[CLS]"), text, special("[SEP]")],
                "special_tokens": {"[CLS]": token("[CLS]", AROUND[0]), "[SEP]": token("[SEP]", AROUND[1])},
            },
            "decoder": null,
            "model": {
                "type": "WordLevel",
                "vocab": {
                    "[UNK]": 0, "[CLS]": AROUND[0], "[SEP]": AROUND[1],
                    "zero": 3, "one": 4, "two": 5, "three": 6, "four": 7, "five": 8, "six": 9,
                },
                "unk_token": "[UNK]",
            },
        });
        let sentences = Sentences { folder };
        sentences.write("tokenizer.json", tokenizer.to_string());
        sentences
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file, and creates its folder if necessary.
    pub fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        let path = self.folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes modules.json: the first type is in the model's own folder, each other type in a folder named after its number and
    /// type.
    pub fn modules(&self, types: &[&str]) {
        let module = |(number, name): (usize, &&str)| {
            let last = name.rsplit('.').next().unwrap();
            let path = match number {
                0 => String::new(),
                _ => format!("{number}_{last}"),
            };
            json!({"idx": number, "name": number.to_string(), "path": path, "type": name})
        };
        let modules: Vec<_> = types.iter().enumerate().map(module).collect();
        self.write("modules.json", json!(modules).to_string());
    }
}
