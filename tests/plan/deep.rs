//! Does compiling take time in proportion to a model's depth?

use std::time::{Duration, Instant};

use smallmind::Options;
use smallmind::model::{ModelFiles, Source, compile};

/// The shortest of `tries` times from a configuration to a plan, for a Llama with this many layers.
fn compile_time(layers: usize, tries: usize) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let config = format!(
        r#"{{"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 160,
            "num_hidden_layers": {layers}, "num_attention_heads": 8, "num_key_value_heads": 2,
            "vocab_size": 323, "max_position_embeddings": 256, "rms_norm_eps": 1e-5}}"#
    );
    std::fs::write(&path, config).unwrap();
    let options = Options::default();
    let times = (0..tries).map(|_| {
        let begun = Instant::now();
        let files = ModelFiles::open_headers(&Source::Path(path.clone()), &options).unwrap();
        let compiled = compile(&files, &options).unwrap();
        let time = begun.elapsed();
        assert_eq!(compiled.plan.caches().len(), layers);
        time
    });
    times.min().unwrap()
}

/// On an idle machine, twice the layers take twice the time, and a release build compiles 2048 in less than a second. Other
/// tests and programs run at the same time, so the bounds are wider, and the best of a few tries counts. Work that is
/// quadratic in the depth would take four times as long, and minutes in all.
#[test]
fn twice_the_layers_take_twice_the_time() {
    // Without optimization the graph is verified after each pass, and everything is much slower.
    let layers = if cfg!(debug_assertions) { 128 } else { 2048 };
    let (half, whole) = (compile_time(layers, 3), compile_time(2 * layers, 3));
    println!("{layers} layers: {half:?}, twice as many: {whole:?}");
    assert!(whole < half.mul_f64(2.8), "{half:?} and {whole:?}");
    assert!(half < Duration::from_secs(3), "{half:?}");
}
