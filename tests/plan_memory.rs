//! Do plans of real shapes lie near the lower bound, and does depth cost no activations?

use std::path::Path;

use smallmind::model::{ModelFiles, Source, compile};
use smallmind::plan::{MemoryReport, StepReport};
use smallmind::{Model, Options};

/// The plan of a model of which only the configuration is at hand.
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
            let without = without.into_iter().map(str::to_string).collect();
            let options = Options {
                chunk: Some(512),
                without,
                ..Options::default()
            };
            let report = plan(folder.path(), &config, &options);
            assert_eq!(report.prefill.tokens, 512);
            assert!(within_two_percent(&report.decode), "{:?}", report.decode);
            assert!(within_two_percent(&report.prefill), "{:?}", report.prefill);
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
        assert_eq!(few.decode.bytes, many.decode.bytes);
        assert_eq!(few.prefill.bytes, many.prefill.bytes);
        assert!(many.kv_cache == 8 * few.kv_cache);
    }
}

#[test]
fn reuse_switched_off_needs_what_the_report_says() {
    let off = |name: &str| Options {
        without: [name.to_string()].into(),
        ..Options::default()
    };
    let with = Model::open("demo", &Options::default()).unwrap().plan();
    let without = Model::open("demo", &off("reuse_buffers")).unwrap().plan();
    assert!(without.prefill.bytes > 2 * with.prefill.bytes);
    let without_in_place = Model::open("demo", &off("in_place")).unwrap().plan();
    assert!(without_in_place.prefill.bytes >= with.prefill.bytes);
}

#[test]
fn a_tiny_model_decodes_on_one_thread_unless_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = r#"{"architectures": ["GPT2LMHeadModel"], "n_embd": 64, "n_layer": 3, "n_head": 4,
                   "n_positions": 128, "vocab_size": 323}"#;
    let two = Options {
        threads: Some(2),
        ..Options::default()
    };
    assert_eq!(plan(folder.path(), tiny, &two).decode.threads, 2);
    assert_eq!(
        plan(folder.path(), tiny, &Options::default())
            .decode
            .threads,
        1
    );
    let all = std::thread::available_parallelism().unwrap().get();
    assert_eq!(
        plan(folder.path(), &gpt2(12), &Options::default())
            .decode
            .threads,
        all
    );
}
