//! Are plans of real shapes close to the lower bound, and is the memory for activations independent of depth?

use std::path::Path;

use smallmind::model::{ModelFiles, Source, compile};
use smallmind::plan::{MemoryReport, StepReport};
use smallmind::{Model, Options};

/// The plan of a model for which only the configuration is at hand.
fn plan(folder: &Path, config: &str, options: &Options) -> MemoryReport {
    let path = folder.join("config.json");
    std::fs::write(&path, config).unwrap();
    let files = ModelFiles::open_headers(&Source::Path(path), options).unwrap();
    let compiled = compile(&files, options).unwrap();
    MemoryReport::new(&compiled.plan, compiled.weight_bytes)
}

fn llama(layers: usize) -> String {
    format!(
        r#"{{"architectures": ["LlamaForCausalLM"], "hidden_size": 576, "intermediate_size": 1536,
            "num_hidden_layers": {layers}, "num_attention_heads": 9, "num_key_value_heads": 3,
            "vocab_size": 49152, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5}}"#
    )
}

fn gpt2(layers: usize) -> String {
    format!(
        r#"{{"architectures": ["GPT2LMHeadModel"], "n_embd": 768, "n_layer": {layers}, "n_head": 12,
            "n_positions": 1024, "vocab_size": 50257}}"#
    )
}

fn within_two_percent(step: &StepReport) -> bool {
    step.lower_bound <= step.bytes && step.bytes as f64 <= 1.02 * step.lower_bound as f64
}

#[test]
fn activations_lie_within_two_percent_of_the_lower_bound() {
    let folder = tempfile::tempdir().unwrap();
    for config in [llama(30), gpt2(12)] {
        for without in [
            vec![],
            vec!["in_place"],
            vec!["fuse_attention", "fuse_norm", "linear"],
        ] {
            let options = Options::new().chunk(512).without(without);
            let report = plan(folder.path(), &config, &options);
            assert_eq!(report.step.tokens, 512);
            assert!(within_two_percent(&report.step), "{:?}", report.step);
        }
    }
}

#[test]
fn more_layers_need_no_more_activations() {
    let folder = tempfile::tempdir().unwrap();
    for architecture in [llama, gpt2] {
        let options = Options::default();
        let [few, many] =
            [3, 24].map(|layers| plan(folder.path(), &architecture(layers), &options));
        assert_eq!(few.step.bytes, many.step.bytes);
        assert!(many.kv_cache == 8 * few.kv_cache);
    }
}

/// Five of six layers see a window of 512 positions.
fn gemma3(layers: usize) -> String {
    format!(
        r#"{{"architectures": ["Gemma3ForCausalLM"], "vocab_size": 262144, "hidden_size": 640,
            "intermediate_size": 2048, "num_hidden_layers": {layers}, "num_attention_heads": 4,
            "num_key_value_heads": 1, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh",
            "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "sliding_window": 512,
            "query_pre_attn_scalar": 256, "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0}}"#
    )
}

#[test]
fn layers_with_a_window_keep_what_a_step_sees() {
    let folder = tempfile::tempdir().unwrap();
    let row = 2 * 256 * size_of::<f32>();
    // 512 + 255 rows and 512 + 511 rows, and a block less one, in whole blocks; the context of 600 is less.
    for (context, chunk, kept) in [
        (8192, 256, 832),
        (8192, 512, 1088),
        (600, 512, 640),
        (32768, 1, 576),
    ] {
        let options = Options::new().context(context).chunk(chunk);
        let report = plan(folder.path(), &gemma3(18), &options);
        let whole = usize::next_multiple_of(context, 64);
        assert_eq!(report.kv_cache, (15 * kept + 3 * whole) * row);
        assert_eq!(report.kv_cache_without_windows, 18 * whole * row);
        assert_eq!(report.windowed_layers, if kept < context { 15 } else { 0 });
        let lines = report.to_string();
        assert_eq!(
            lines.contains("without windows (15 layers)"),
            kept < context
        );
        // Without the fused op, the whole context is returned, so it is kept.
        let options = options.without(["fuse_attention"]);
        let unfused = plan(folder.path(), &gemma3(18), &options);
        assert_eq!(unfused.kv_cache, unfused.kv_cache_without_windows);
    }
}

#[test]
fn reuse_switched_off_needs_what_the_report_says() {
    let off = |name: &str| Options::new().without([name]);
    let with = Model::open("demo", &Options::default()).unwrap().plan();
    let without = Model::open("demo", &off("reuse_buffers")).unwrap().plan();
    assert!(without.step.bytes > 2 * with.step.bytes);
    let without_in_place = Model::open("demo", &off("in_place")).unwrap().plan();
    assert!(without_in_place.step.bytes >= with.step.bytes);
}

#[test]
fn a_tiny_model_decodes_on_one_thread_unless_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = r#"{"architectures": ["GPT2LMHeadModel"], "n_embd": 64, "n_layer": 3, "n_head": 4,
                   "n_positions": 128, "vocab_size": 323}"#;
    let two = Options::new().threads(2);
    let step = |config: &str, options: &Options| plan(folder.path(), config, options).step;
    assert_eq!(step(tiny, &two).decode_threads, 2);
    let alone = step(tiny, &Options::default());
    assert_eq!(alone.decode_threads, 1);
    let all = smallmind::model::threads(&Options::default()).unwrap();
    // A prompt of the same model has enough to do for all.
    assert_eq!(alone.prefill_threads, all);
    assert_eq!(step(&gpt2(12), &Options::default()).decode_threads, all);
}
