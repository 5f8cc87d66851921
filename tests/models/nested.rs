//! Does the text model of a checkpoint that also reads images use transformers' values for keys that its configuration
//! lacks? The configurations in tests/data/nested lack many keys; transformers' results are beside them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};
use smallmind::architecture::expand::expand;
use smallmind::language::value::Value;
use smallmind::model::{ModelFiles, Source};
use smallmind::types::DType;
use smallmind::{Model, Options};
use tempfile::TempDir;

use crate::common::converted::{changed, written};
use crate::common::gguf::open_bytes;
use crate::common::variants::{as_a_part, in_a_whole, renamed};
use crate::common::{answer, bits, data, expected};

/// Keys, and the parameters that built-in graph files read from them.
const PARAMETERS: [(&str, &str); 12] = [
    ("vocab_size", "vocab"),
    ("hidden_size", "width"),
    ("intermediate_size", "ffn"),
    ("num_hidden_layers", "layers"),
    ("num_attention_heads", "heads"),
    ("num_key_value_heads", "kv"),
    ("head_dim", "head"),
    ("max_position_embeddings", "context"),
    ("rms_norm_eps", "eps"),
    ("hidden_activation", "act"),
    ("query_pre_attn_scalar", "query_scale"),
    ("layer_types", "layer_types"),
];
/// Paths into the rotary settings, and the parameters.
const ROTARY: [(&str, &str); 6] = [
    ("/rope_theta", "theta"),
    ("/rope_type", "rope_type"),
    ("/full_attention/rope_theta", "theta"),
    ("/full_attention/rope_type", "rope_type"),
    ("/full_attention/factor", "factor"),
    ("/sliding_attention/rope_theta", "local_theta"),
];

fn is_same(expected: &Json, found: &Value) -> bool {
    match (expected, found) {
        (Json::Null, Value::Null) => true,
        (Json::Bool(expected), Value::Bool(found)) => expected == found,
        (Json::String(expected), Value::Str(found)) => expected == found,
        (Json::Array(expected), Value::List(found)) => {
            expected.len() == found.len() && expected.iter().zip(found).all(|(e, f)| is_same(e, f))
        }
        (expected, found) => expected.as_f64().is_some() && expected.as_f64() == found.as_number(),
    }
}

fn opened(config: &Json) -> ModelFiles {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config.json");
    fs::write(&file, config.to_string()).unwrap();
    let files = ModelFiles::open_headers(&Source::from(file), &Options::new());
    files.unwrap_or_else(|error| panic!("{error}"))
}

fn parameters(files: &ModelFiles) -> BTreeMap<String, Value> {
    let expanded = expand(&files.graph, &files.config, &|_| false);
    expanded.unwrap_or_else(|error| panic!("{error}")).params
}

#[test]
fn missing_keys_have_the_values_that_transformers_uses() {
    let text = fs::read_to_string(data("nested").join("expected.json")).unwrap();
    let cases: BTreeMap<String, Json> = serde_json::from_str(&text).unwrap();
    let mut compared = 0;
    for (name, case) in &cases {
        let files = opened(&case["config"]);
        let params = parameters(&files);
        let expected = &case["expected"];
        let keys = PARAMETERS.into_iter();
        let keys = keys.map(|(key, param)| (format!("/{key}"), param));
        let rotary = ROTARY.into_iter();
        let rotary = rotary.map(|(path, param)| (format!("/rope_parameters{path}"), param));
        for (path, param) in keys.chain(rotary) {
            let (Some(expected), Some(found)) = (expected.pointer(&path), params.get(param)) else {
                continue;
            };
            assert!(
                is_same(expected, found),
                "{name}: {path} is {expected}, found {param}: {found}"
            );
            compared += 1;
        }
        // Qwen's window applies only if the layers' types ask for it.
        if let Some(window) = expected.get("sliding_window")
            && !params.contains_key("full_below")
        {
            assert!(is_same(window, &params["window"]), "{name}: {window}");
            compared += 1;
        }
        let ids = |key: &str| -> Vec<u32> {
            match &expected[key] {
                Json::Array(ids) => ids.iter().map(|id| id.as_u64().unwrap() as u32).collect(),
                id => id.as_u64().map(|id| id as u32).into_iter().collect(),
            }
        };
        assert_eq!(files.config.eos_tokens().ids, ids("eos_token_id"), "{name}");
        assert_eq!(files.config.bos_token().ids, ids("bos_token_id"), "{name}");
    }
    assert!(compared > 12 * cases.len(), "{compared} values");
}

/// A configuration that stands alone is not completed: files are then written with all keys, so a missing key means
/// that something is wrong.
#[test]
fn a_configuration_that_stands_alone_is_not_completed() {
    let config = |key: &str| {
        let mut config = json!({
            "model_type": "llama", "vocab_size": 8, "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1,
            "intermediate_size": 4
        });
        config.as_object_mut().unwrap().remove(key);
        config
    };
    assert_eq!(parameters(&opened(&config("")))["heads"], Value::Int(1));
    for key in ["num_attention_heads", "hidden_size", "vocab_size"] {
        let files = opened(&config(key));
        let problem = expand(&files.graph, &files.config, &|_| false)
            .map(|_| ())
            .unwrap_err();
        assert!(problem.to_string().contains(key), "{problem}");
        let inside = json!({"model_type": "llava", "text_config": config(key)});
        parameters(&opened(&inside));
    }
}

fn logits(path: &Path, name: &str) -> Vec<u32> {
    let options = Options::new().threads(1);
    let model = Model::open(path, &options).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(model.warnings(), []);
    bits(&answer(&model, &expected(name)).0)
}

#[test]
fn a_model_whose_configuration_leaves_keys_out_has_the_bits_of_one_that_states_them() {
    for (name, stated, left_out) in [
        (
            "llama",
            json!({"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 2, "rms_norm_eps": 1e-6}),
            &[
                "num_attention_heads",
                "head_dim",
                "rms_norm_eps",
                "rope_parameters",
                "hidden_act",
            ][..],
        ),
        (
            "mistral",
            json!({"sliding_window": 4096}),
            &[
                "sliding_window",
                "rms_norm_eps",
                "rope_parameters",
                "tie_word_embeddings",
            ],
        ),
        (
            "gemma3",
            json!({"query_pre_attn_scalar": 256, "sliding_window": 4096}),
            &[
                "query_pre_attn_scalar",
                "sliding_window",
                "layer_types",
                "rope_parameters",
                "tie_word_embeddings",
            ],
        ),
    ] {
        let plain = changed(name, stated);
        let whole = TempDir::new().unwrap();
        in_a_whole(plain.path(), whole.path(), left_out);
        let found = logits(whole.path(), name);
        assert!(found == logits(plain.path(), name), "{name}");
        // The values that count differ from the fixture's values.
        assert!(found != logits(&data(name), name), "{name}");
    }
}

#[test]
fn the_thinker_of_qwen_omni_has_the_bits_of_its_text_model_alone() {
    let text = fs::read_to_string(data("qwen2").join("config.json")).unwrap();
    let mut inner: Json = serde_json::from_str(&text).unwrap();
    inner["model_type"] = json!("qwen2_5_omni_text");
    inner["rope_parameters"]["mrope_section"] = json!([1, 1, 2]);
    let inner_fields = inner.as_object_mut().unwrap();
    inner_fields.remove("architectures");
    inner_fields.remove("rms_norm_eps");
    let thinker = json!({"model_type": "qwen2_5_omni_thinker", "text_config": inner, "audio_config": {"d_model": 8}});
    let whole = json!({"model_type": "qwen2_5_omni", "thinker_config": thinker, "talker_config": {"hidden_size": 1}});
    let others = [
        "thinker.audio_tower.layers.0.fc1.weight",
        "thinker.visual.blocks.0.norm1.weight",
        "talker.model.layers.0.mlp.up_proj.weight",
        "token2wav.weight",
    ];
    let folder = TempDir::new().unwrap();
    as_a_part(&data("qwen2"), folder.path(), &whole, "thinker.", &others);
    assert!(logits(folder.path(), "qwen2") == logits(&data("qwen2"), "qwen2"));
    // The thinker is published alone, too.
    as_a_part(
        &data("qwen2"),
        folder.path(),
        &whole["thinker_config"],
        "",
        &others[..2],
    );
    assert!(logits(folder.path(), "qwen2") == logits(&data("qwen2"), "qwen2"));
    // As a GGUF file, it is the text model.
    let [part, alone] = [folder.path(), &data("qwen2")].map(|folder| {
        let made = open_bytes(&written(folder, DType::F32).unwrap());
        bits(&answer(&made, &expected("qwen2")).0)
    });
    assert!(part == alone);
}

#[test]
fn a_tensor_of_the_text_model_that_nothing_reads_is_still_an_error() {
    let folder = TempDir::new().unwrap();
    renamed("mistral", folder.path(), &|name| match name {
        "model.norm.weight" => "language_model.model.norm.weight2".to_string(),
        name => format!("language_model.{name}"),
    });
    let text = fs::read_to_string(data("mistral").join("config.json")).unwrap();
    let inner: Json = serde_json::from_str(&text).unwrap();
    let whole = json!({"model_type": "mistral3", "text_config": inner});
    fs::write(folder.path().join("config.json"), whole.to_string()).unwrap();
    let error = Model::open(folder.path(), &Options::new()).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("language_model.model.norm.weight2"),
        "{error}"
    );
}
