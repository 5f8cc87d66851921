//! Writing GGUF files, and writing the fixtures of `tests/data` as llama.cpp's converters do.

use std::fs;
use std::path::Path;

use half::{bf16, f16};
use serde_json::Value as Json;
use smallmind::Model;
use smallmind::files::weight_files::{Open, WeightFiles};
use smallmind::model::Activations;

use super::{all_rows, data, write_f32};

/// Models whose q and k keep their order in GGUF files: their results have the same bits as the folder's.
pub const IN_ORDER: [&str; 8] = [
    "bert",
    "gemma",
    "gemma3",
    "gemma3-long",
    "gpt2",
    "phi",
    "qwen2",
    "qwen3",
];

/// Models whose q and k are permuted in GGUF files, so that scores add up in another order.
pub const PERMUTED: [&str; 5] = ["llama", "llama-bf16", "llama-long", "llama3-rope", "olmo"];

/// Models whose q and k are also permuted, and whose window llama.cpp's converter leaves out and SmallMind's keeps.
pub const WINDOWED: [&str; 2] = ["mistral", "mistral-long"];

/// The model of a GGUF file, computed in floats.
pub fn open_bytes(bytes: &[u8]) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, bytes).unwrap();
    let options = all_rows().activations(Activations::F32);
    Model::open(path, &options).unwrap_or_else(|error| panic!("{error}"))
}

/// A metadata value.
#[derive(Clone, Debug)]
pub enum Meta {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    Text(String),
    /// The element type's number, and the elements.
    Array(u32, Vec<Meta>),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl Meta {
    pub fn number(&self) -> u32 {
        match self {
            Meta::U8(_) => 0,
            Meta::I8(_) => 1,
            Meta::U16(_) => 2,
            Meta::I16(_) => 3,
            Meta::U32(_) => 4,
            Meta::I32(_) => 5,
            Meta::F32(_) => 6,
            Meta::Bool(_) => 7,
            Meta::Text(_) => 8,
            Meta::Array(..) => 9,
            Meta::U64(_) => 10,
            Meta::I64(_) => 11,
            Meta::F64(_) => 12,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Meta::U8(x) => out.push(*x),
            Meta::I8(x) => out.extend(x.to_le_bytes()),
            Meta::U16(x) => out.extend(x.to_le_bytes()),
            Meta::I16(x) => out.extend(x.to_le_bytes()),
            Meta::U32(x) => out.extend(x.to_le_bytes()),
            Meta::I32(x) => out.extend(x.to_le_bytes()),
            Meta::F32(x) => out.extend(x.to_le_bytes()),
            Meta::Bool(x) => out.push(u8::from(*x)),
            Meta::Text(x) => text(out, x.as_bytes()),
            Meta::Array(element, values) => {
                out.extend(element.to_le_bytes());
                out.extend((values.len() as u64).to_le_bytes());
                values.iter().for_each(|value| value.write(out));
            }
            Meta::U64(x) => out.extend(x.to_le_bytes()),
            Meta::I64(x) => out.extend(x.to_le_bytes()),
            Meta::F64(x) => out.extend(x.to_le_bytes()),
        }
    }
}

/// A length, then bytes.
pub fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend(bytes);
}

/// A tensor to be written.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub name: String,
    /// Innermost first, as in the format.
    pub dims: Vec<u64>,
    /// The type's number.
    pub number: u32,
    pub bytes: Vec<u8>,
}

/// A file to be written.
#[derive(Clone, Debug)]
pub struct Writer {
    pub version: u32,
    pub meta: Vec<(String, Meta)>,
    pub tensors: Vec<Tensor>,
    /// The alignment of tensor data in bytes; `meta` states it only if the test adds it.
    pub alignment: usize,
}

impl Writer {
    pub fn new() -> Self {
        Writer {
            version: 3,
            meta: Vec::new(),
            tensors: Vec::new(),
            alignment: 32,
        }
    }

    pub fn with(mut self, key: &str, value: Meta) -> Self {
        self.meta.push((key.to_string(), value));
        self
    }

    pub fn tensor(mut self, name: &str, dims: &[u64], number: u32, bytes: Vec<u8>) -> Self {
        self.tensors.push(Tensor {
            name: name.to_string(),
            dims: dims.to_vec(),
            number,
            bytes,
        });
        self
    }

    /// The same with queries, keys and values of each layer in one tensor, one after the other.
    pub fn fused(mut self) -> Self {
        let mut tensors: Vec<Tensor> = Vec::new();
        let part = |name: &str| {
            let (layer, rest) = name.split_once(".attn_")?;
            let (part, kind) = rest.split_once('.')?;
            let fused = format!("{layer}.attn_qkv.{kind}");
            ["q", "k", "v"]
                .contains(&part)
                .then_some((fused, part.to_string()))
        };
        let mut parts: Vec<(String, String, Tensor)> = Vec::new();
        for tensor in self.tensors {
            match part(&tensor.name) {
                Some((fused, part)) => parts.push((fused, part, tensor)),
                None => tensors.push(tensor),
            }
        }
        for order in ["q", "k", "v"] {
            for (fused, _, tensor) in parts.iter().filter(|(_, part, _)| part == order) {
                match tensors.iter_mut().find(|known| known.name == *fused) {
                    None => tensors.push(Tensor {
                        name: fused.clone(),
                        ..tensor.clone()
                    }),
                    Some(whole) => {
                        assert_eq!(whole.number, tensor.number, "{fused}");
                        *whole.dims.last_mut().unwrap() += tensor.dims.last().unwrap();
                        whole.bytes.extend(&tensor.bytes);
                    }
                }
            }
        }
        self.tensors = tensors;
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.meta.len() as u64).to_le_bytes());
        for (key, value) in &self.meta {
            text(&mut out, key.as_bytes());
            out.extend(value.number().to_le_bytes());
            value.write(&mut out);
        }
        let mut data = Vec::new();
        for tensor in &self.tensors {
            data.resize(data.len().next_multiple_of(self.alignment), 0);
            text(&mut out, tensor.name.as_bytes());
            out.extend((tensor.dims.len() as u32).to_le_bytes());
            tensor
                .dims
                .iter()
                .for_each(|dim| out.extend(dim.to_le_bytes()));
            out.extend(tensor.number.to_le_bytes());
            out.extend((data.len() as u64).to_le_bytes());
            data.extend(&tensor.bytes);
        }
        out.resize(out.len().next_multiple_of(self.alignment), 0);
        out.extend(data);
        out
    }
}

/// How matrices are stored; vectors are always F32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    F32,
    F16,
    BF16,
    Q8_0,
}

impl Stored {
    fn number(self) -> u32 {
        match self {
            Stored::F32 => 0,
            Stored::F16 => 1,
            Stored::BF16 => 30,
            Stored::Q8_0 => 8,
        }
    }

    /// The bytes of elements whose rows are whole blocks.
    pub fn bytes(self, values: &[f32]) -> Vec<u8> {
        match self {
            Stored::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Stored::F16 => values
                .iter()
                .flat_map(|&x| f16::from_f32(x).to_le_bytes())
                .collect(),
            Stored::BF16 => values
                .iter()
                .flat_map(|&x| bf16::from_f32(x).to_le_bytes())
                .collect(),
            Stored::Q8_0 => values.chunks(32).flat_map(q8_0_block).collect(),
        }
    }

    /// The elements that those bytes stand for.
    pub fn rounded(self, values: &[f32]) -> Vec<f32> {
        match self {
            Stored::F32 => values.to_vec(),
            Stored::F16 => values.iter().map(|&x| f16::from_f32(x).to_f32()).collect(),
            Stored::BF16 => values.iter().map(|&x| bf16::from_f32(x).to_f32()).collect(),
            Stored::Q8_0 => values
                .chunks(32)
                .flat_map(|chunk| {
                    let block = q8_0_block(chunk);
                    let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
                    block[2..]
                        .iter()
                        .map(|&q| scale * f32::from(q as i8))
                        .collect::<Vec<_>>()
                })
                .collect(),
        }
    }
}

/// 32 elements as a scale, which is the largest magnitude / 127, and multiples of it.
fn q8_0_block(values: &[f32]) -> Vec<u8> {
    let largest = values.iter().fold(0f32, |a, x| a.max(x.abs()));
    let scale = f16::from_f32(largest / 127.0);
    let inverse = match scale.to_f32() {
        0.0 => 0.0,
        scale => 1.0 / scale,
    };
    let mut block = scale.to_le_bytes().to_vec();
    block.extend(
        values
            .iter()
            .map(|x| (x * inverse).round().clamp(-127.0, 127.0) as i8 as u8),
    );
    block
}

/// Rows [heads, 2, head / 2] in the order [heads, head / 2, 2], as converters permute q and k of Llama.
fn permuted(values: &[f32], heads: usize, row: usize) -> Vec<f32> {
    let head = values.len() / row / heads;
    let mut out = Vec::with_capacity(values.len());
    for h in 0..heads {
        for i in 0..head {
            let from = h * head + i % 2 * (head / 2) + i / 2;
            out.extend(&values[from * row..][..row]);
        }
    }
    out
}

fn transposed(values: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    let at = |i: usize| values[i % rows * cols + i / rows];
    (0..rows * cols).map(at).collect()
}

/// A fixture's tensors: name, shape, elements.
fn tensors(name: &str) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let files = WeightFiles::open(&data(name), Open::Data).unwrap();
    let names = files.names().map(str::to_string);
    names
        .map(|name| {
            let weight = files.weight(&name).unwrap();
            (name, weight.shape().to_vec(), weight.to_f32())
        })
        .collect()
}

/// The GGUF name for a Hugging Face name, part by part; `arch` is the GGUF name of the architecture.
fn renamed(arch: &str, name: &str) -> String {
    let name = name
        .trim_start_matches("transformer.")
        .trim_start_matches("model.");
    let norm_behind = match arch {
        "gemma3" => "post_attention_norm",
        _ => "ffn_norm",
    };
    let parts = [
        ("lm_head", "output"),
        ("embed_tokens", "token_embd"),
        ("wte", "token_embd"),
        ("wpe", "position_embd"),
        ("ln_f", "output_norm"),
        ("final_layernorm", "output_norm"),
        ("embeddings.word_embeddings", "token_embd"),
        ("embeddings.position_embeddings", "position_embd"),
        ("embeddings.token_type_embeddings", "token_types"),
        ("embeddings.LayerNorm", "token_embd_norm"),
        ("encoder.layer.", "blk."),
        ("layers.", "blk."),
        ("h.", "blk."),
        ("input_layernorm", "attn_norm"),
        ("ln_1", "attn_norm"),
        ("post_attention_layernorm", norm_behind),
        ("pre_feedforward_layernorm", "ffn_norm"),
        ("post_feedforward_layernorm", "post_ffw_norm"),
        ("ln_2", "ffn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.dense", "attn_output"),
        ("self_attn.q_norm", "attn_q_norm"),
        ("self_attn.k_norm", "attn_k_norm"),
        ("attn.c_attn", "attn_qkv"),
        ("attn.c_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
        ("mlp.c_fc", "ffn_up"),
        ("mlp.c_proj", "ffn_down"),
        ("mlp.fc1", "ffn_up"),
        ("mlp.fc2", "ffn_down"),
        ("attention.self.query", "attn_q"),
        ("attention.self.key", "attn_k"),
        ("attention.self.value", "attn_v"),
        ("attention.output.dense", "attn_output"),
        ("attention.output.LayerNorm", "attn_output_norm"),
        ("intermediate.dense", "ffn_up"),
        ("output.dense", "ffn_down"),
        ("output.LayerNorm", "layer_output_norm"),
    ];
    if let Some(rest) = name.strip_prefix("norm.") {
        return format!("output_norm.{rest}");
    }
    parts
        .iter()
        .fold(name.to_string(), |name, (hf, gguf)| name.replace(hf, gguf))
}

/// How a matrix is stored: converters keep matrices whose rows are not whole blocks in F16.
fn stored_as(stored: Stored, row: usize) -> Stored {
    match stored {
        Stored::Q8_0 if !row.is_multiple_of(32) => Stored::F16,
        other => other,
    }
}

fn config(name: &str) -> Json {
    let text = fs::read_to_string(data(name).join("config.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The name of a fixture's architecture in GGUF files.
pub fn architecture(name: &str) -> String {
    match config(name)["model_type"].as_str().unwrap() {
        "mistral" => "llama",
        "gemma3_text" => "gemma3",
        "phi" => "phi2",
        other => other,
    }
    .to_string()
}

/// The keys that the converter of the fixture's architecture writes.
fn keys(name: &str) -> Writer {
    let config = config(name);
    let arch = &architecture(name);
    let count = |key: &str| config[key].as_u64();
    let number = |key: &str| count(key).map(|n| Meta::U32(n as u32));
    let float = |key: &str| config[key].as_f64().map(|x| Meta::F32(x as f32));
    let mut writer = Writer::new().with("general.architecture", Meta::Text(arch.to_string()));
    let mut add = |key: &str, value: Option<Meta>| {
        if let Some(value) = value {
            writer.meta.push((format!("{arch}.{key}"), value));
        }
    };
    if arch == "gpt2" {
        add("embedding_length", number("n_embd"));
        add("block_count", number("n_layer"));
        add("attention.head_count", number("n_head"));
        add("context_length", number("n_positions"));
        let width = config["n_embd"].as_u64().unwrap();
        add("feed_forward_length", Some(Meta::U32(4 * width as u32)));
        add("attention.layer_norm_epsilon", float("layer_norm_epsilon"));
    } else {
        add("embedding_length", number("hidden_size"));
        add("block_count", number("num_hidden_layers"));
        add("attention.head_count", number("num_attention_heads"));
        add("attention.head_count_kv", number("num_key_value_heads"));
        add("attention.key_length", number("head_dim"));
        add("attention.value_length", number("head_dim"));
        add("context_length", number("max_position_embeddings"));
        add("feed_forward_length", number("intermediate_size"));
        add("attention.layer_norm_rms_epsilon", float("rms_norm_eps"));
        add("attention.layer_norm_epsilon", float("layer_norm_eps"));
        let rope = &config["rope_parameters"];
        let head = count("hidden_size").unwrap() / count("num_attention_heads").unwrap();
        match arch.as_str() {
            "llama" => {
                let turned = count("head_dim").unwrap_or(head);
                add("rope.dimension_count", Some(Meta::U32(turned as u32)));
            }
            "phi2" => {
                let turned = head as f64 * rope["partial_rotary_factor"].as_f64().unwrap();
                add("rope.dimension_count", Some(Meta::U32(turned as u32)));
            }
            "olmo" => {
                add("attention.layer_norm_epsilon", Some(Meta::F32(1e-5)));
                add("attention.clamp_kqv", float("clip_qkv"));
            }
            "gemma3" => add("attention.sliding_window", number("sliding_window")),
            "bert" => add("attention.causal", Some(Meta::Bool(false))),
            _ => {}
        }
        let theta = [&rope["full_attention"]["rope_theta"], &rope["rope_theta"]];
        // The converters of Gemma and Phi 2 leave the base out.
        if !["gemma", "phi2"].contains(&arch.as_str())
            && let Some(theta) = theta.iter().find_map(|theta| theta.as_f64())
        {
            add("rope.freq_base", Some(Meta::F32(theta as f32)));
        }
    }
    let types = number("type_vocab_size");
    let types = types.map(|types| ("tokenizer.ggml.token_type_count".to_string(), types));
    writer.meta.extend(types);
    let vocabulary = config["vocab_size"].as_u64().unwrap();
    let tokens = (0..vocabulary).map(|id| Meta::Text(format!("token {id}")));
    writer
        .with("tokenizer.ggml.tokens", Meta::Array(8, tokens.collect()))
        .with("tokenizer.ggml.eos_token_id", Meta::U32(2))
}

/// The number by which Llama 3's scaling divides each rotary frequency.
fn rotary_factors(rope: &Json, head: usize) -> Vec<f32> {
    let number = |key: &str| rope[key].as_f64().unwrap();
    let (factor, low, high) = (
        number("factor"),
        number("low_freq_factor"),
        number("high_freq_factor"),
    );
    let original = number("original_max_position_embeddings");
    let frequency = |i: usize| number("rope_theta").powf(-(2.0 * i as f64) / head as f64);
    let of_wave = |wave: f64| match wave {
        wave if wave < original / high => 1.0,
        wave if wave > original / low => factor,
        wave => {
            let smooth = (original / wave - low) / (high - low);
            1.0 / ((1.0 - smooth) / factor + smooth)
        }
    };
    (0..head / 2)
        .map(|i| of_wave(2.0 * std::f64::consts::PI / frequency(i)) as f32)
        .collect()
}

/// Whether converters permute the rows of q and k, so that dimensions that are rotated together are adjacent.
fn turns_side_by_side(arch: &str) -> bool {
    ["llama", "olmo"].contains(&arch)
}

/// A fixture of `tests/data` as a GGUF file.
pub fn convert(name: &str, stored: Stored) -> Writer {
    let config = config(name);
    let arch = architecture(name);
    let mut writer = keys(name);
    let rope = &config["rope_parameters"];
    if rope["rope_type"] == "llama3" {
        let head = config["head_dim"].as_u64().unwrap() as usize;
        let factors = Stored::F32.bytes(&rotary_factors(rope, head));
        writer = writer.tensor("rope_freqs.weight", &[head as u64 / 2], 0, factors);
    }
    for (tensor, mut shape, mut values) in tensors(name) {
        if arch == "bert" && tensor.contains("pooler") {
            continue;
        }
        let renamed = renamed(&arch, &tensor);
        for (part, heads) in [
            ("attn_q.", "num_attention_heads"),
            ("attn_k.", "num_key_value_heads"),
        ] {
            if turns_side_by_side(&arch) && renamed.contains(part) {
                let row = shape.get(1).copied().unwrap_or(1);
                values = permuted(&values, config[heads].as_u64().unwrap() as usize, row);
            }
        }
        if arch.starts_with("gemma") && renamed.ends_with("norm.weight") {
            values.iter_mut().for_each(|gain| *gain += 1.0);
        }
        if tensor.contains(".c_") && shape.len() == 2 {
            values = transposed(&values, shape[0], shape[1]);
            shape.reverse();
        }
        let stored = match shape.len() {
            1 => Stored::F32,
            _ => stored_as(stored, shape[1]),
        };
        let dims: Vec<u64> = shape.iter().rev().map(|&dim| dim as u64).collect();
        writer = writer.tensor(&renamed, &dims, stored.number(), stored.bytes(&values));
    }
    writer
}

/// A folder like the fixture's, whose matrices are rounded as `stored` rounds them in a GGUF file, in F32.
pub fn rounded(name: &str, stored: Stored, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    fs::copy(data(name).join("config.json"), folder.join("config.json")).unwrap();
    let tensors: Vec<_> = tensors(name)
        .into_iter()
        .map(|(tensor, shape, values)| {
            let values = match shape.len() {
                1 => values,
                // Blocks run along the rows of [out, in].
                _ if tensor.contains(".c_") => {
                    let stored = stored_as(stored, shape[0]);
                    let turned = transposed(&values, shape[0], shape[1]);
                    transposed(&stored.rounded(&turned), shape[1], shape[0])
                }
                _ => stored_as(stored, shape[1]).rounded(&values),
            };
            (tensor, shape, values)
        })
        .collect();
    write_f32(&folder.join("model.safetensors"), &tensors);
}
