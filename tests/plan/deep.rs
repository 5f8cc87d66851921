//! Does compiling take time in proportion to a model's depth?

use std::time::{Duration, Instant};

use smallmind::Options;
use smallmind::model::{ModelFiles, Source, compile};

/// The time from a configuration to a plan, for a Llama of that many layers.
fn compile_time(layers: usize) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let config = format!(
        r#"{{"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 160,
            "num_hidden_layers": {layers}, "num_attention_heads": 8, "num_key_value_heads": 2,
            "vocab_size": 323, "max_position_embeddings": 256, "rms_norm_eps": 1e-5}}"#
    );
    std::fs::write(&path, config).unwrap();
    let options = Options::default();
    let begun = Instant::now();
    let files = ModelFiles::open_headers(&Source::Path(path), &options).unwrap();
    let compiled = compile(&files, &options).unwrap();
    let time = begun.elapsed();
    assert_eq!(compiled.plan.caches.len(), layers);
    time
}

#[test]
fn twice_the_layers_take_twice_the_time() {
    for layers in [256, 512, 1024, 2048, 3840] {
        eprintln!("{layers} {:?}", compile_time(layers));
    }
}
