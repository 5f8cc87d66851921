//! A model of zeros whose tokens are bytes and three special tokens, which its chat template writes.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

/// The special tokens, from id 256 on. The tokenizer puts the first before a text.
pub const SPECIAL: [&str; 3] = ["<s>", "<|im_start|>", "<|im_end|>"];
/// The id of `<s>`.
pub const BEGIN: u32 = 256;
/// The id of `<|im_end|>`.
pub const END: u32 = 258;

/// The chat template, in which `<|im_end|>` ends every message.
const TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
                        {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// The model's folder.
pub fn model() -> TempDir {
    let folder = TempDir::new().unwrap();
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&fs::read(demo).unwrap()).unwrap();
    let added = (BEGIN..).zip(SPECIAL).map(|(id, content)| {
        json!({"id": id, "content": content, "special": true, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false})
    });
    tokenizer["added_tokens"] = added.collect();
    let begun = json!([{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]);
    tokenizer["post_processor"] = json!({"type": "TemplateProcessing", "single": begun, "pair": begun,
        "special_tokens": {"<s>": {"id": "<s>", "ids": [BEGIN], "tokens": ["<s>"]}}});
    fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    fs::write(folder.path().join("chat_template.jinja"), TEMPLATE).unwrap();
    super::zeros::llama(folder.path(), 256 + SPECIAL.len());
    folder
}
