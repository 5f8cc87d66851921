//! What the benchmarks of whole models share: folders of models that are not in the repository.
#![allow(dead_code)] // Each benchmark uses a part.

use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::{Value, json};

/// The configuration of a Llama-shaped model.
pub struct Llama {
    /// Elements of a token between layers.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Elements of a token inside the feed-forward block.
    pub ffn: usize,
    /// Token ids.
    pub vocabulary: usize,
}

/// SmolLM2-135M.
pub const SMOLLM2_135M: Llama = Llama {
    width: 576,
    layers: 30,
    heads: 9,
    kv_heads: 3,
    ffn: 1536,
    vocabulary: 49152,
};

/// Small enough that dispatch and memory for activations matter, besides the products.
pub const SMALL: Llama = Llama {
    width: 256,
    layers: 4,
    heads: 8,
    kv_heads: 2,
    ffn: 688,
    vocabulary: 1000,
};

impl Llama {
    fn config(&self) -> Value {
        json!({
            "architectures": ["LlamaForCausalLM"],
            "hidden_act": "silu",
            "hidden_size": self.width,
            "intermediate_size": self.ffn,
            "max_position_embeddings": 2048,
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "num_key_value_heads": self.kv_heads,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "tie_word_embeddings": true,
            "vocab_size": self.vocabulary,
        })
    }

    /// Names and shapes of the model's tensors, as Hugging Face names them.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (width, ffn) = (self.width, self.ffn);
        let kv_width = width / self.heads * self.kv_heads;
        let mut tensors = vec![
            (
                "model.embed_tokens.weight".to_string(),
                vec![self.vocabulary, width],
            ),
            ("model.norm.weight".to_string(), vec![width]),
        ];
        for layer in 0..self.layers {
            let of_layer = [
                ("input_layernorm", vec![width]),
                ("self_attn.q_proj", vec![width, width]),
                ("self_attn.k_proj", vec![kv_width, width]),
                ("self_attn.v_proj", vec![kv_width, width]),
                ("self_attn.o_proj", vec![width, width]),
                ("post_attention_layernorm", vec![width]),
                ("mlp.gate_proj", vec![ffn, width]),
                ("mlp.up_proj", vec![ffn, width]),
                ("mlp.down_proj", vec![width, ffn]),
            ];
            tensors.extend(
                of_layer
                    .map(|(name, shape)| (format!("model.layers.{layer}.{name}.weight"), shape)),
            );
        }
        tensors
    }

    /// Write only the configuration, which is enough to compile.
    pub fn write_config(&self, folder: &Path) {
        write_config(folder, &self.config());
    }

    /// Write the configuration and f32 weights, the same on each run.
    pub fn write(&self, folder: &Path) {
        self.write_config(folder);
        let mut state = 1;
        let data: Vec<(String, Vec<usize>, Vec<u8>)> = self
            .tensors()
            .into_iter()
            .map(|(name, shape)| {
                // A product of `shape[1]` terms has about the magnitude of its input; gains are near 1.
                let (center, spread) = match shape[..] {
                    [_, cols] => (0.0, (3.0 / cols as f32).sqrt()),
                    _ => (1.0, 0.1),
                };
                let values =
                    (0..shape.iter().product()).map(|_| center + spread * unit(&mut state));
                let bytes = values.flat_map(f32::to_le_bytes).collect();
                (name, shape, bytes)
            })
            .collect();
        let views = data.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
            (name, view.expect("as many bytes as the shape asks for"))
        });
        let file = folder.join("model.safetensors");
        serialize_to_file(views, None, &file).expect("the folder can be written");
    }
}

/// Write only the configuration of GPT-2 (124 M).
pub fn write_gpt2_config(folder: &Path) {
    let config = json!({
        "activation_function": "gelu_new",
        "architectures": ["GPT2LMHeadModel"],
        "layer_norm_epsilon": 1e-5,
        "n_embd": 768,
        "n_head": 12,
        "n_layer": 12,
        "n_positions": 1024,
        "tie_word_embeddings": true,
        "vocab_size": 50257,
    });
    write_config(folder, &config);
}

fn write_config(folder: &Path, config: &Value) {
    fs::create_dir_all(folder).expect("the folder can be made");
    fs::write(folder.join("config.json"), config.to_string()).expect("the folder can be written");
}

/// The next number in −1..1 of Steele's SplitMix64.
fn unit(state: &mut u64) -> f32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ x >> 31) >> 40) as f32 / 8_388_608.0 - 1.0
}
