//! Are keys of a configuration reported that a graph file does not read? The configurations in tests/data/unread are
//! small forms of published configurations, with "Llama" as their architecture.

use std::fs;
use std::path::PathBuf;

use crate::common::data;
use smallmind::architecture::config_keys::{Effect, unread_keys};
use smallmind::model::{Compiled, ModelFiles, Source, compile};
use smallmind::{ModelError, Options, Warning};
use tempfile::TempDir;

fn config(name: &str) -> PathBuf {
    data("unread").join(format!("{name}.json"))
}

/// The keys that Llama's graph file leaves unread and that change what is computed.
fn told(name: &str) -> Vec<String> {
    let files = ModelFiles::open_headers(&Source::from(config(name)), &Options::new()).unwrap();
    let keys = unread_keys(&files.graph, &files.config)
        .unwrap()
        .into_iter();
    let keys = keys.filter(|key| key.effect == Effect::Changes);
    keys.map(|key| key.to_string()).collect()
}

#[test]
fn the_multipliers_of_granite_are_reported() {
    let keys = [
        "attention_multiplier (0.015625)",
        "embedding_multiplier (12.0)",
        "logits_scaling (8.0)",
        "residual_multiplier (0.22)",
    ];
    assert_eq!(told("granite"), keys);
}

#[test]
fn the_soft_caps_of_gemma_2_are_reported() {
    let keys = [
        "attn_logit_softcapping (50.0)",
        "final_logit_softcapping (30.0)",
        "hidden_activation ('gelu_pytorch_tanh')",
        "query_pre_attn_scalar (256)",
        "sliding_window (4096)",
    ];
    assert_eq!(told("gemma2"), keys);
}

#[test]
fn the_scale_and_the_norms_of_cohere_are_reported() {
    let keys = [
        "layer_norm_eps (1e-5)",
        "logit_scale (0.0625)",
        "use_qk_norm (true)",
    ];
    assert_eq!(told("cohere"), keys);
}

#[test]
fn the_parallel_blocks_and_partial_rotation_of_stablelm_are_reported() {
    let keys = [
        "layer_norm_eps (1e-5)",
        "partial_rotary_factor (0.25)",
        "use_parallel_residual (true)",
    ];
    assert_eq!(told("stablelm"), keys);
}

#[test]
fn the_long_rotation_of_phi_3_is_reported_and_refused() {
    let keys = [
        "original_max_position_embeddings (4096)",
        "rope_scaling.long_factor ([1.08, 1.11, 1.14, 1.34])",
        "rope_scaling.short_factor ([1.05, 1.05, 1.05, 1.1])",
        "sliding_window (262144)",
    ];
    assert_eq!(told("phi3"), keys);
    let error = compiled(
        &fs::read_to_string(config("phi3")).unwrap(),
        &Options::new(),
    )
    .err();
    let error = error.unwrap().to_string();
    assert!(
        error.contains("must be one of default, linear, llama3, found \"'longrope'\""),
        "{error}"
    );
}

/// Compiles a configuration without weights.
fn compiled(config: &str, options: &Options) -> Result<Compiled, ModelError> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("config.json");
    fs::write(&path, config).unwrap();
    let files = ModelFiles::open_headers(&Source::from(path), options)?;
    compile(&files, options)
}

/// What the warnings of a configuration say, without its path.
fn warnings(config: &str, options: &Options) -> Vec<String> {
    let warnings = compiled(config, options).unwrap().warnings;
    let path = |warning: &Warning| {
        let text = warning.to_string();
        match text.split_once("config.json") {
            Some((before, after)) => {
                let start = before.rfind(['(', ' ']).map_or(0, |at| at + 1);
                format!("{}config.json{after}", &before[..start])
            }
            None => text,
        }
    };
    warnings.iter().map(path).collect()
}

#[test]
fn a_model_that_runs_warns_about_the_keys() {
    let text = fs::read_to_string(config("granite")).unwrap();
    assert_eq!(
        warnings(&text, &Options::new()),
        [
            "config.json: graphs/llama.ron does not read attention_multiplier (0.015625), embedding_multiplier (12.0), logits_scaling (8.0), residual_multiplier (0.22), which may change what the model computes"
        ]
    );
}

#[test]
fn neutral_values_lead_to_no_warning() {
    let text = fs::read_to_string(config("granite")).unwrap();
    let text = text
        .replace("0.015625", "1.0")
        .replace("12.0", "1")
        .replace("0.22", "null");
    let text = text.replace("\"logits_scaling\": 8.0", "\"logits_scaling\": false");
    assert_eq!(warnings(&text, &Options::new()), Vec::<String>::new());
}

#[test]
fn a_context_beyond_the_models_leads_to_a_warning_with_both_numbers() {
    let text = fs::read_to_string(config("stablelm")).unwrap();
    let text = text.replace("layer_norm_eps", "rms_norm_eps");
    let text = text.replace("0.25", "1.0").replace(
        "\"use_parallel_residual\": true",
        "\"use_parallel_residual\": false",
    );
    assert_eq!(
        warnings(&text, &Options::new().context(128)),
        Vec::<String>::new()
    );
    let found = warnings(&text, &Options::new().context(129));
    assert_eq!(
        found,
        [
            "the context is 129 positions, but the model was made for 128 (config.json): beyond that, its output may be nonsense"
        ]
    );
    // A session has at most the model's own number of positions, unless the caller asks for more.
    let compiled = compiled(&text, &Options::new()).unwrap();
    assert_eq!(compiled.plan.options().context, 128);
}

/// A Llama with these rotary settings.
fn rotary(settings: &str) -> String {
    let text = fs::read_to_string(config("stablelm")).unwrap();
    let text = text
        .replace("layer_norm_eps", "rms_norm_eps")
        .replace("partial_rotary_factor\": 0.25", "seed\": 1");
    let text = text.replace(
        "\"use_parallel_residual\": true",
        "\"use_parallel_residual\": false",
    );
    text.replace("\"rope_scaling\": null", settings)
}

#[test]
fn old_rotary_settings_beside_new_ones_win_as_in_transformers_5() {
    let linear = "\"rope_type\": \"linear\", \"factor\": 4.0";
    let of = |settings: &str| {
        compiled(&rotary(settings), &Options::new()).unwrap().params["factor"].clone()
    };
    let beside = format!(
        "\"rope_scaling\": {{{linear}}}, \"rope_parameters\": {{\"rope_type\": \"default\", \"rope_theta\": 10000.0}}"
    );
    let alone = format!("\"rope_parameters\": {{{linear}}}");
    assert_eq!(of(&beside), of(&alone));
    let nothing = "\"rope_scaling\": null, \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 10000.0}";
    assert_ne!(of(nothing), of(&alone));
    // A key that is replaced and has a different value is reported.
    let told = warnings(&rotary(&beside.replace("10000.0", "5e5")), &Options::new());
    assert_eq!(
        told,
        [
            "config.json: rope_parameters.rope_theta (500000.0) is not used, because rope_scaling replaces rope_parameters"
        ]
    );
    assert_eq!(
        warnings(&rotary(&beside), &Options::new()),
        Vec::<String>::new()
    );
}

#[test]
fn an_unknown_kind_of_rotation_is_refused_wherever_it_stands() {
    for settings in [
        "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4.0}",
        "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4.0}",
        "\"rope_scaling\": {\"type\": \"yarn\"}, \"rope_parameters\": {\"rope_type\": \"default\"}",
        "\"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": 4.0}",
        "\"rope_parameters\": {\"type\": \"yarn\"}",
        "\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"yarn\"}}",
    ] {
        let error = compiled(&rotary(settings), &Options::new()).err();
        let error = error
            .unwrap_or_else(|| panic!("{settings} is not refused"))
            .to_string();
        assert!(error.contains("'yarn'"), "{settings}: {error}");
    }
    assert!(
        compiled(
            &rotary("\"rope_scaling\": {\"type\": \"linear\", \"factor\": 4.0}"),
            &Options::new()
        )
        .is_ok()
    );
}

#[test]
fn gemma_3_refuses_a_kind_of_rotation_of_windowed_layers_that_it_does_not_describe() {
    let text = fs::read_to_string(data("gemma3").join("config.json")).unwrap();
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut linear = found.clone();
    linear["rope_parameters"]["sliding_attention"]["rope_type"] = "linear".into();
    let error = compiled(&linear.to_string(), &Options::new()).err();
    let error = error.expect("it is not described").to_string();
    assert!(
        error.contains("'rope_parameters.sliding_attention.rope_type' is 'linear'"),
        "{error}"
    );
    assert_eq!(
        warnings(&found.to_string(), &Options::new()),
        Vec::<String>::new()
    );
}

#[test]
fn no_model_of_a_known_architecture_leads_to_a_warning() {
    for name in [
        "bert",
        "demo",
        "gemma",
        "gemma3",
        "gpt2",
        "llama",
        "llama3-rope",
        "mistral",
        "mistral-long",
        "olmo",
        "olmo2",
        "phi",
        "qwen2",
        "qwen3",
    ] {
        let path = data(name).join("config.json");
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        assert_eq!(
            warnings(&text, &Options::new()),
            Vec::<String>::new(),
            "{name}"
        );
    }
}
