//! Models whose rows are whole blocks of every format, written as GGUF files.

use std::path::PathBuf;

use half::f16;
use smallmind::blocks::BlockFormat;
use tempfile::TempDir;

use super::gguf::{Meta, Writer};

/// Number of tokens that the models know.
pub const VOCABULARY: usize = 75;
/// Elements of a row of activations.
const WIDTH: usize = 256;
const FEED_FORWARD: usize = 512;
const LAYERS: usize = 2;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;

/// The kinds of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// RMS norms, rotary positions, grouped heads, a gate, and a separate head.
    Llama,
    /// Layer norms, biases, learned positions, and a head that is also the embedding.
    Gpt2,
}

/// A fixed sequence that looks random, in −1..1.
fn noise(name: &str, count: usize) -> impl Iterator<Item = f32> {
    let mut state = name.bytes().fold(0x9e37_79b9_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (0..count).map(move |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / 8_388_608.0 - 1.0
    })
}

/// Blocks of `values`; for a format that can only be read, blocks of random numbers with scales of about their size.
pub fn blocks(format: BlockFormat, name: &str, values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; values.len() / format.elements() * format.bytes()];
    if format.quantize(values, &mut bytes).is_ok() {
        return bytes;
    }
    let noise = noise(name, bytes.len());
    for (byte, noise) in bytes.iter_mut().zip(noise) {
        *byte = (noise * 127.0) as i8 as u8;
    }
    let largest = |values: &[f32]| values.iter().fold(0f32, |largest, x| largest.max(x.abs()));
    let mut scale = |scale: f32| {
        for block in bytes.chunks_exact_mut(format.bytes()) {
            for at in format.scales() {
                block[at..at + 2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
            }
        }
        bytes.clone()
    };
    let mut of_scale_one = vec![0.0; values.len()];
    format.dequantize(&scale(1.0), &mut of_scale_one);
    scale(largest(values) / largest(&of_scale_one))
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// The model's file. `format_of` returns the format of each matrix by its name; `None` stores F32.
pub fn model(family: Family, format_of: impl Fn(&str) -> Option<BlockFormat>) -> Writer {
    let arch = match family {
        Family::Llama => "llama",
        Family::Gpt2 => "gpt2",
    };
    let mut writer = Writer::new().with("general.architecture", Meta::Text(arch.into()));
    let numbers = [
        ("embedding_length", WIDTH),
        ("block_count", LAYERS),
        ("feed_forward_length", FEED_FORWARD),
        ("context_length", 64),
        ("attention.head_count", HEADS),
        ("attention.head_count_kv", KV_HEADS),
        ("vocab_size", VOCABULARY),
    ];
    for (key, value) in numbers {
        writer = writer.with(&format!("{arch}.{key}"), Meta::U32(value as u32));
    }
    let mut tensors: Vec<(String, Vec<usize>)> = Vec::new();
    let mut add = |name: String, shape: &[usize]| tensors.push((name, shape.to_vec()));
    add("token_embd.weight".into(), &[VOCABULARY, WIDTH]);
    add("output_norm.weight".into(), &[WIDTH]);
    if family == Family::Gpt2 {
        add("position_embd.weight".into(), &[64, WIDTH]);
        add("output_norm.bias".into(), &[WIDTH]);
    } else {
        add("output.weight".into(), &[VOCABULARY, WIDTH]);
    }
    for layer in 0..LAYERS {
        let mut add = |name: &str, shape: &[usize]| add(format!("blk.{layer}.{name}"), shape);
        add("attn_norm.weight", &[WIDTH]);
        add("ffn_norm.weight", &[WIDTH]);
        add("attn_output.weight", &[WIDTH, WIDTH]);
        add("ffn_up.weight", &[FEED_FORWARD, WIDTH]);
        add("ffn_down.weight", &[WIDTH, FEED_FORWARD]);
        match family {
            Family::Llama => {
                let kv = WIDTH / HEADS * KV_HEADS;
                add("attn_q.weight", &[WIDTH, WIDTH]);
                add("attn_k.weight", &[kv, WIDTH]);
                add("attn_v.weight", &[kv, WIDTH]);
                add("ffn_gate.weight", &[FEED_FORWARD, WIDTH]);
            }
            Family::Gpt2 => {
                add("attn_qkv.weight", &[3 * WIDTH, WIDTH]);
                add("attn_norm.bias", &[WIDTH]);
                add("ffn_norm.bias", &[WIDTH]);
                add("attn_qkv.bias", &[3 * WIDTH]);
                add("attn_output.bias", &[WIDTH]);
                add("ffn_up.bias", &[FEED_FORWARD]);
                add("ffn_down.bias", &[WIDTH]);
            }
        }
    }
    for (name, shape) in tensors {
        let count = shape.iter().product();
        let is_gain = name.ends_with("norm.weight");
        let values: Vec<f32> = noise(&name, count)
            .map(|x| match shape.len() {
                1 if is_gain => 1.0 + 0.2 * x,
                1 => 0.1 * x,
                _ => 0.15 * x,
            })
            .collect();
        let dims: Vec<u64> = shape.iter().rev().map(|&dim| dim as u64).collect();
        let format = format_of(&name).filter(|_| shape.len() == 2);
        writer = match format {
            Some(format) => writer.tensor(
                &name,
                &dims,
                format.number(),
                blocks(format, &name, &values),
            ),
            None => writer.tensor(&name, &dims, 0, floats(&values)),
        };
    }
    writer
}

/// The same file with the floats that its blocks stand for, in F32.
pub fn widened(writer: &Writer) -> Writer {
    let mut wide = writer.clone();
    for tensor in &mut wide.tensors {
        let format = BlockFormat::numbered(tensor.number);
        if let Some(format) = format {
            let mut values = vec![0.0; tensor.dims.iter().product::<u64>() as usize];
            format.dequantize(&tensor.bytes, &mut values);
            tensor.bytes = floats(&values);
            tensor.number = 0;
        }
    }
    wide
}

/// A file whose layers mix formats and floats, as published ones do.
pub fn mixed(family: Family) -> Writer {
    model(family, |name| match name {
        "token_embd.weight" => Some(BlockFormat::Q6K),
        "position_embd.weight" => None,
        "blk.1.ffn_up.weight" => None,
        _ if name.contains("attn_q") => Some(BlockFormat::Q4K),
        _ if name.contains("attn_k") => Some(BlockFormat::Q5_0),
        _ if name.contains("attn_v") => Some(BlockFormat::Q8_0),
        _ if name.contains("gate") => Some(BlockFormat::Q4_0),
        _ if name.contains("down") => Some(BlockFormat::Q6K),
        _ => Some(BlockFormat::Q5K),
    })
}

/// A file and the folder that contains it.
pub struct File {
    pub path: PathBuf,
    pub folder: TempDir,
}

/// The file, written.
pub fn written(writer: &Writer) -> File {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, writer.bytes()).unwrap();
    File { path, folder }
}
