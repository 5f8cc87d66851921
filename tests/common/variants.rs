//! Fixtures in the other forms in which models are published, derived from the folders in `tests/data`.

use std::fs;
use std::path::Path;

use half::{bf16, f16};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::{Value, json};

use super::data;

fn config(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(data(name).join("config.json")).unwrap()).unwrap()
}

/// Write a folder with tensors of `name`, renamed by `rename`; tensors for which it returns `None` are left out.
fn write(name: &str, file: &Path, rename: &dyn Fn(&str) -> Option<String>) {
    let bytes = fs::read(data(name).join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let views: Vec<(String, TensorView<'_>)> = tensors
        .tensors()
        .into_iter()
        .filter_map(|(tensor, view)| Some((rename(&tensor)?, view)))
        .collect();
    serialize_to_file(views, None, file).unwrap();
}

/// The model without the prefix of its tensors' names, as in files of models without a head.
pub fn bare(name: &str, prefix: &str, folder: &Path) {
    renamed(name, folder, &|tensor| {
        tensor.strip_prefix(prefix).unwrap_or(tensor).to_string()
    });
}

/// The model with other names for its tensors.
pub fn renamed(name: &str, folder: &Path, rename: &dyn Fn(&str) -> String) {
    fs::create_dir_all(folder).unwrap();
    fs::copy(data(name).join("config.json"), folder.join("config.json")).unwrap();
    write(name, &folder.join("model.safetensors"), &|tensor| {
        Some(rename(tensor))
    });
}

/// The model of the folder `from` as the text model of a checkpoint that also reads images: its configuration is inside
/// the configuration of the whole, without the keys of `left_out`.
pub fn in_a_whole(from: &Path, folder: &Path, left_out: &[&str]) {
    let text = fs::read_to_string(from.join("config.json")).unwrap();
    let mut inner: Value = serde_json::from_str(&text).unwrap();
    for key in left_out.iter().chain(&["architectures"]) {
        inner.as_object_mut().unwrap().remove(*key);
    }
    let whole = json!({
        "architectures": ["WholeForConditionalGeneration"],
        "model_type": "whole",
        "hidden_size": 1,
        "text_config": inner,
        "projector_hidden_act": "gelu",
        "vision_config": {"hidden_size": 8, "model_type": "clip_vision_model"},
    });
    as_a_part(
        from,
        folder,
        &whole,
        "language_model.",
        &["vision_tower.weight"],
    );
}

/// The model of the folder `from` as a part of a checkpoint with the configuration `whole`: `before` stands before the names
/// of its tensors, and the tensors `others` are of other parts.
pub fn as_a_part(from: &Path, folder: &Path, whole: &Value, before: &str, others: &[&str]) {
    fs::write(folder.join("config.json"), whole.to_string()).unwrap();
    let bytes = fs::read(from.join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let other = |name: &&str| {
        let view = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
        (name.to_string(), view)
    };
    let named = tensors.tensors().into_iter();
    let named = named.map(|(name, view)| (format!("{before}{name}"), view));
    let all: Vec<(String, TensorView<'_>)> = named.chain(others.iter().map(other)).collect();
    serialize_to_file(all, None, &folder.join("model.safetensors")).unwrap();
}

/// The model with the configuration that version 4 of transformers writes: rotary parameters at the top level.
pub fn version_4(name: &str, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let mut config = config(name);
    let fields = config.as_object_mut().unwrap();
    let mut rope = fields.remove("rope_parameters").unwrap();
    if let Some(full) = rope.get("full_attention") {
        // Gemma 3 had a base for each kind of layer, and a pattern instead of a list of kinds.
        let local = &rope["sliding_attention"]["rope_theta"];
        fields.insert("rope_theta".into(), full["rope_theta"].clone());
        fields.insert("rope_local_base_freq".into(), local.clone());
        fields.remove("layer_types");
        fields.insert("sliding_window_pattern".into(), json!(6));
        rope = json!({"rope_type": "default"});
    } else {
        let theta = rope.as_object_mut().unwrap().remove("rope_theta").unwrap();
        fields.insert("rope_theta".into(), theta);
    }
    if let Some(factor) = rope.get("partial_rotary_factor") {
        fields.insert("partial_rotary_factor".into(), factor.clone());
    }
    let scaled = rope["rope_type"] != "default";
    fields.insert(
        "rope_scaling".into(),
        if scaled { rope } else { Value::Null },
    );
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    fs::copy(
        data(name).join("model.safetensors"),
        folder.join("model.safetensors"),
    )
    .unwrap();
}

/// The model in two files with an index.
pub fn sharded(name: &str, folder: &Path) {
    fs::copy(data(name).join("config.json"), folder.join("config.json")).unwrap();
    let shards = [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ];
    let shard = |tensor: &str| shards[usize::from(tensor.contains(".mlp."))];
    for file in shards {
        write(name, &folder.join(file), &|tensor| {
            (shard(tensor) == file).then(|| tensor.to_string())
        });
    }
    let bytes = fs::read(data(name).join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let map: serde_json::Map<String, Value> = tensors
        .names()
        .into_iter()
        .map(|tensor| (tensor.to_string(), shard(tensor).into()))
        .collect();
    let index = json!({"metadata": {}, "weight_map": map});
    fs::write(
        folder.join("model.safetensors.index.json"),
        index.to_string(),
    )
    .unwrap();
}

/// The model with every weight rounded to `half` (F16 or BF16): stored as `half` in `narrow`, and as F32 in `wide`.
pub fn rounded(name: &str, half: Dtype, narrow: &Path, wide: &Path) {
    let bytes = fs::read(data(name).join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut rounded = Vec::new();
    for (tensor, view) in tensors.tensors() {
        let values = view
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b));
        let (mut small, mut large) = (Vec::new(), Vec::new());
        for value in values {
            let (bits, value) = match half {
                Dtype::F16 => (
                    f16::from_f32(value).to_bits(),
                    f16::from_f32(value).to_f32(),
                ),
                _ => (
                    bf16::from_f32(value).to_bits(),
                    bf16::from_f32(value).to_f32(),
                ),
            };
            small.extend_from_slice(&bits.to_le_bytes());
            large.extend_from_slice(&value.to_le_bytes());
        }
        rounded.push((tensor, view.shape().to_vec(), small, large));
    }
    for (folder, dtype) in [(narrow, half), (wide, Dtype::F32)] {
        fs::create_dir_all(folder).unwrap();
        fs::copy(data(name).join("config.json"), folder.join("config.json")).unwrap();
        let views = rounded.iter().map(|(tensor, shape, small, large)| {
            let bytes = if dtype == Dtype::F32 { large } else { small };
            (
                tensor.clone(),
                TensorView::new(dtype, shape.clone(), bytes).unwrap(),
            )
        });
        serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
    }
}
