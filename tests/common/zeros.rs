//! A model whose weights are zero: all its logits are equal, so greedy choice always chooses token 0.

use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};

/// Write config.json and model.safetensors of a one-layer Llama with `vocabulary` tokens into `folder`.
pub fn llama(folder: &Path, vocabulary: usize) {
    let config = format!(
        r#"{{"architectures": ["LlamaForCausalLM"], "vocab_size": {vocabulary}, "hidden_size": 16,
        "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 16, "rms_norm_eps": 1e-5,
        "max_position_embeddings": 1048576}}"#
    );
    fs::write(folder.join("config.json"), config).unwrap();
    let zeros = vec![0u8; vocabulary.max(16) * 16 * 4];
    let layer = |name: &str| format!("model.layers.0.{name}.weight");
    let mut shapes = vec![
        (
            "model.embed_tokens.weight".to_string(),
            vec![vocabulary, 16],
        ),
        ("lm_head.weight".to_string(), vec![vocabulary, 16]),
        ("model.norm.weight".to_string(), vec![16]),
        (layer("input_layernorm"), vec![16]),
        (layer("post_attention_layernorm"), vec![16]),
    ];
    for name in [
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.o_proj",
        "mlp.gate_proj",
        "mlp.up_proj",
        "mlp.down_proj",
    ] {
        shapes.push((layer(name), vec![16, 16]));
    }
    let tensors = shapes.iter().map(|(name, shape)| {
        let bytes = &zeros[..shape.iter().product::<usize>() * 4];
        (
            name,
            TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
        )
    });
    let file = safetensors::serialize(tensors, None).unwrap();
    fs::write(folder.join("model.safetensors"), file).unwrap();
}
