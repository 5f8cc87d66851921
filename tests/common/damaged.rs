//! Models whose weights are damaged, so that their results are not finite.

use std::fs;
use std::ops::Range;
use std::path::Path;

use smallmind::files::safetensors::TensorFile;
use tempfile::TempDir;

use super::sentences::Sentences;
use super::write_f32;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/demo");
/// The final norm's gain: if it is NaN, every logit is NaN.
pub const GAIN: &str = "transformer.ln_f.weight";
/// The positions' table.
pub const POSITIONS: &str = "transformer.wpe.weight";
/// The tokens' table, which is also the head.
pub const TOKENS: &str = "transformer.wte.weight";
/// Elements of the demo's hidden state.
pub const WIDTH: usize = 128;

/// Sets elements of a tensor in a folder's safetensors file.
pub fn damage(folder: &Path, tensor: &str, elements: Range<usize>, value: f32) {
    edit(folder, tensor, |values| values[elements].fill(value));
}

/// Edits the elements of a tensor in a folder's safetensors file.
pub fn edit(folder: &Path, tensor: &str, edit: impl FnOnce(&mut [f32])) {
    let path = folder.join("model.safetensors");
    let file = TensorFile::open(&path).unwrap();
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = file
        .names()
        .map(|name| {
            let shape = file.get(name).unwrap().shape.to_vec();
            (name.to_string(), shape, file.read_f32(name).unwrap())
        })
        .collect();
    drop(file);
    let (.., values) = tensors
        .iter_mut()
        .find(|(name, ..)| name == tensor)
        .unwrap();
    edit(values);
    fs::remove_file(&path).unwrap();
    write_f32(&path, &tensors);
}

/// The demo with a chat template, and these elements of a tensor set to `value`.
pub fn demo_with(tensor: &str, elements: Range<usize>, value: f32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(Path::new(DEMO).join(file), folder.path().join(file)).unwrap();
    }
    let template = "{% for m in messages %}{{ m.content }}\n{% endfor %}";
    fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
    damage(folder.path(), tensor, elements, value);
    folder
}

/// BERT, with every hidden state NaN.
pub fn encoder() -> Sentences {
    let sentences = Sentences::new();
    let path = sentences.path().join("model.safetensors");
    let file = TensorFile::open(&path).unwrap();
    let is_gain = |name: &&str| name.ends_with("layer.2.output.LayerNorm.weight");
    let gain = file.names().find(is_gain).unwrap().to_string();
    drop(file);
    damage(sentences.path(), &gain, 0..1, f32::NAN);
    sentences
}
