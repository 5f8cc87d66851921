//! Do models from GGUF files compute the same as from their Hugging Face folders?

use std::path::PathBuf;

use smallmind::architecture::parameters::ParameterSource;
#[cfg(feature = "tokenizer")]
use smallmind::model::Text;
use smallmind::model::{ModelFiles, Source, compile};
use smallmind::plan::MemoryReport;
use smallmind::{Model, ModelError, Options};
use tempfile::TempDir;

use crate::common::gguf::{IN_ORDER, Meta, PERMUTED, Stored, Writer, convert, open_bytes, rounded};
use crate::common::{BAR, all_rows, answer, bits, data, difference, expected, open};

fn written(folder: &TempDir, writer: &Writer) -> PathBuf {
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, writer.bytes()).unwrap();
    path
}

fn open_gguf(writer: &Writer) -> Model {
    open_bytes(&writer.bytes())
}

#[test]
fn f32_files_lead_to_the_expected_logits_and_tokens() {
    for name in IN_ORDER.into_iter().chain(PERMUTED) {
        let expected = expected(name);
        let (logits, _, greedy) = answer(&open_gguf(&convert(name, Stored::F32)), &expected);
        let difference = difference(&logits, &expected.rows);
        assert!(difference <= BAR, "{name}: {difference:.2e} deviations");
        assert_eq!(greedy, expected.greedy, "{name}");
    }
}

#[test]
fn f32_files_have_the_bits_of_their_folders_where_no_row_is_permuted() {
    for name in IN_ORDER {
        let expected = expected(name);
        let folder = answer(&open(name, &all_rows()), &expected);
        let file = answer(&open_gguf(&convert(name, Stored::F32)), &expected);
        assert_eq!(bits(&file.0), bits(&folder.0), "{name}");
        assert_eq!(bits(&file.1.concat()), bits(&folder.1.concat()), "{name}");
    }
}

/// Converters write `llama` into Mistral files and leave out the window; other tools state it.
#[test]
fn mistral_files_have_the_name_of_llama_and_keep_a_window_that_they_state() {
    for name in ["mistral", "mistral-long"] {
        let text = std::fs::read_to_string(data(name).join("config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_str(&text).unwrap();
        let window = Meta::U32(config["sliding_window"].as_u64().unwrap() as u32);
        let expected = expected(name);
        let convert = || convert(name, Stored::F32);
        let stated = convert().with("llama.attention.sliding_window", window.clone());
        // The same under Mistral's own name, which has another graph file.
        let mut own = convert().with("llama.attention.sliding_window", window);
        for (key, value) in &mut own.meta {
            *key = key.replace("llama.", "mistral.");
            if key == "general.architecture" {
                *value = Meta::Text("mistral".into());
            }
        }
        let [stated, own] = [stated, own].map(|writer| answer(&open_gguf(&writer), &expected));
        let found = difference(&stated.0, &expected.rows);
        assert!(found <= BAR, "{name}: {found:.2e} deviations");
        assert_eq!(stated.2, expected.greedy, "{name}");
        assert_eq!(bits(&stated.0), bits(&own.0), "{name}");
        let zero = convert().with("llama.attention.sliding_window", Meta::U32(0));
        let [left_out, zero] =
            [convert(), zero].map(|writer| answer(&open_gguf(&writer), &expected).0);
        assert_eq!(bits(&left_out), bits(&zero), "{name}");
        assert!(difference(&left_out, &expected.rows) > BAR, "{name}");
    }
}

#[test]
fn gemma_3_takes_its_windows_from_the_file_whatever_their_form() {
    let expected = expected("gemma3");
    let logits = |writer: &Writer| bits(&answer(&open_gguf(writer), &expected).0);
    let file = || convert("gemma3", Stored::F32);
    let left_out = logits(&file());
    let pattern = |value| file().with("gemma3.attention.sliding_window_pattern", value);
    assert_eq!(logits(&pattern(Meta::U32(6))), left_out);
    let list = (0..7).map(|layer| Meta::Bool(layer != 5)).collect();
    assert_eq!(logits(&pattern(Meta::Array(7, list))), left_out);
    assert_ne!(logits(&pattern(Meta::U32(2))), left_out);
    let local = file().with("gemma3.rope.freq_base_swa", Meta::F32(10000.0));
    assert_eq!(logits(&local), left_out);
    let mut without = file();
    without
        .meta
        .retain(|(key, _)| !key.ends_with("sliding_window"));
    assert_ne!(logits(&without), left_out);
    // Scaling is only for layers that see all keys.
    let scaled = file()
        .with("gemma3.rope.scaling.type", Meta::Text("linear".into()))
        .with("gemma3.rope.scaling.factor", Meta::F32(8.0));
    assert_ne!(logits(&scaled), left_out);
    let of_none = pattern(Meta::U32(100));
    let mut scaled = of_none.clone();
    scaled.meta.extend([
        (
            "gemma3.rope.scaling.type".into(),
            Meta::Text("linear".into()),
        ),
        ("gemma3.rope.scaling.factor".into(), Meta::F32(8.0)),
    ]);
    assert_eq!(logits(&scaled), logits(&of_none));
}

#[test]
fn files_of_other_types_compute_what_the_rounded_weights_compute() {
    let folder = TempDir::new().unwrap();
    for stored in [Stored::F16, Stored::BF16, Stored::Q8_0] {
        for name in ["gpt2", "llama"] {
            let path = folder.path().join(format!("{name}-{stored:?}"));
            rounded(name, stored, &path);
            let expected = expected(name);
            let (plain, _, _) = answer(&Model::open(path, &all_rows()).unwrap(), &expected);
            let (found, _, _) = answer(&open_gguf(&convert(name, stored)), &expected);
            // Llama's q and k are permuted, so scores are added up in another order.
            if name == "gpt2" {
                assert_eq!(bits(&found), bits(&plain), "{name} {stored:?}");
            }
            let difference = difference(&found, &plain);
            assert!(difference <= 1e-5, "{name} {stored:?}: {difference:.2e}");
        }
    }
}

#[test]
fn rounding_to_f16_changes_little() {
    for name in ["gpt2", "llama", "llama3-rope"] {
        let expected = expected(name);
        let (found, _, _) = answer(&open_gguf(&convert(name, Stored::F16)), &expected);
        let difference = difference(&found, &expected.rows);
        assert!(
            difference > 0.0 && difference <= 0.01,
            "{name}: {difference:.2e}"
        );
    }
}

#[test]
fn context_vocabulary_and_end_of_text_come_from_the_file() {
    let model = open_gguf(&convert("gpt2", Stored::F32));
    assert_eq!(model.context(), 128);
    assert_eq!(model.vocabulary(), 323);
    assert_eq!(model.eos_tokens(), [2]);
    assert_eq!(model.bos_token(), None);
}

#[test]
fn the_header_is_enough_to_compile() {
    let folder = TempDir::new().unwrap();
    let writer = convert("llama3-rope", Stored::Q8_0);
    let path = written(&folder, &writer);
    let options = Options::default();
    let whole = Model::open(&path, &options).unwrap();
    let data: usize = writer.tensors.iter().map(|tensor| tensor.bytes.len()).sum();
    let bytes = writer.bytes();
    // All data except some padding is gone.
    std::fs::write(&path, &bytes[..bytes.len() - data]).unwrap();
    let files = ModelFiles::open_headers(&Source::from(&path), &options).unwrap();
    let compiled = compile(&files, &options).unwrap();
    let report = MemoryReport::new(&compiled.plan, compiled.weight_bytes);
    assert_eq!(report.to_string(), whole.plan().to_string());
    assert!(matches!(
        Model::open(&path, &options),
        Err(ModelError::Files(_))
    ));
}

fn refusal(writer: &Writer) -> String {
    let folder = TempDir::new().unwrap();
    match Model::open(written(&folder, writer), &Options::default()) {
        Ok(_) => panic!("the model must be refused"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_type_that_is_not_read_is_named_with_its_tensor() {
    let mut writer = convert("llama", Stored::F32);
    let q = writer
        .tensors
        .iter_mut()
        .find(|tensor| tensor.name == "blk.1.ffn_up.weight")
        .unwrap();
    q.number = 40;
    let message = refusal(&writer);
    assert!(
        message.contains("tensor 'blk.1.ffn_up.weight' is NVFP4, expected F32"),
        "{message}"
    );
}

#[test]
fn what_the_graph_file_does_not_support_is_refused() {
    let llama = || convert("llama", Stored::F32);
    for (writer, expected) in [
        (
            llama().with("llama.expert_count", Meta::U32(8)),
            "mixtures of experts are not supported",
        ),
        (
            llama().with("llama.rope.scaling.type", Meta::Text("yarn".into())),
            "yarn",
        ),
        (
            llama().with("split.count", Meta::U16(3)),
            "one of 3 parts of a model",
        ),
        (
            llama().tensor("blk.0.attn_q_norm.weight", &[8], 0, vec![0; 32]),
            "no node reads tensor 'blk.0.attn_q_norm.weight'",
        ),
        (
            Writer::new().with("general.architecture", Meta::Text("lama".into())),
            "no graph file for the architecture 'lama', the nearest is 'llama'",
        ),
        (Writer::new(), "no text \"general.architecture\""),
    ] {
        let message = refusal(&writer);
        assert!(message.contains(expected), "{message}");
        assert!(
            message.contains("model.gguf") || message.contains("graphs/"),
            "{message}"
        );
    }
}

/// The scale of scores in the graph as loaded.
fn attention_scale(writer: &Writer) -> f64 {
    let folder = TempDir::new().unwrap();
    let options = Options::new().stop_after("none");
    let source = Source::from(written(&folder, writer));
    let files = ModelFiles::open_headers(&source, &options).unwrap();
    let graph = compile(&files, &options).unwrap().graph;
    let mut ops = graph.ids().filter_map(|id| graph.node(id).op());
    ops.find(|op| op.name() == "Attention")
        .unwrap()
        .float("scale")
}

#[test]
fn gemma_3_scales_scores_by_a_heads_width_except_in_its_largest_model() {
    let mut writer = convert("gemma3", Stored::F32);
    assert_eq!(attention_scale(&writer), 1.0 / 32f64.sqrt());
    // The model with 62 layers, here with width 64 and 4 heads.
    let (first, rest): (Vec<_>, Vec<_>) = writer
        .tensors
        .into_iter()
        .filter(|tensor| !tensor.name.starts_with("blk.") || tensor.name.starts_with("blk.0."))
        .partition(|tensor| tensor.name.starts_with("blk.0."));
    writer.tensors = rest;
    for layer in 0..62 {
        writer
            .tensors
            .extend(first.iter().cloned().map(|mut tensor| {
                tensor.name = tensor.name.replace("blk.0.", &format!("blk.{layer}."));
                tensor
            }));
    }
    for (key, value) in &mut writer.meta {
        if key == "gemma3.block_count" {
            *value = Meta::U32(62);
        }
    }
    assert_eq!(attention_scale(&writer), 0.25);
}

#[test]
fn a_missing_tensor_has_the_name_that_files_of_this_kind_use() {
    let mut writer = convert("bert", Stored::F32);
    writer
        .tensors
        .retain(|tensor| tensor.name != "blk.1.layer_output_norm.bias");
    let message = refusal(&writer);
    assert!(
        message.contains("no tensor 'blk.1.layer_output_norm.bias'"),
        "{message}"
    );
}

#[test]
fn rope_scaling_none_is_no_scaling_and_a_factor_alone_is_linear() {
    let expected = expected("llama");
    let logits = |writer: &Writer| bits(&answer(&open_gguf(writer), &expected).0);
    let llama = || convert("llama", Stored::F32);
    let scaled = |kind: &str, factor| {
        llama()
            .with("llama.rope.scaling.type", Meta::Text(kind.into()))
            .with("llama.rope.scaling.factor", Meta::F32(factor))
    };
    let plain = logits(&llama());
    assert_eq!(logits(&scaled("none", 4.0)), plain);
    let linear = logits(&scaled("linear", 4.0));
    assert_ne!(linear, plain);
    let old = llama().with("llama.rope.scale_linear", Meta::F32(4.0));
    assert_eq!(logits(&old), linear);
}

#[test]
fn a_vocabulary_may_be_stated_without_tokens() {
    let mut writer = convert("llama", Stored::F32);
    writer
        .meta
        .retain(|(key, _)| key != "tokenizer.ggml.tokens");
    assert!(refusal(&writer).contains("'tokenizer.ggml.tokens.length', 'llama.vocab_size'"));
    let writer = writer.with("llama.vocab_size", Meta::U32(323));
    assert_eq!(open_gguf(&writer).vocabulary(), 323);
}

#[test]
fn a_gguf_file_is_known_by_its_first_bytes() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.bin");
    std::fs::write(&path, convert("llama", Stored::F32).bytes()).unwrap();
    let files = ModelFiles::open(&Source::from(&path), &Options::default()).unwrap();
    assert_eq!(files.config.kind().name(), "gguf");
    let path = folder.path().join("other.gguf");
    std::fs::write(&path, b"no model").unwrap();
    let error = ModelFiles::open(&Source::from(&path), &Options::default()).err();
    let message = error.unwrap().to_string();
    assert!(message.contains("other.gguf: not a GGUF file"), "{message}");
}

#[cfg(feature = "tokenizer")]
#[test]
fn text_needs_a_vocabulary_and_ids_do_not() {
    let model = open_gguf(&convert("llama", Stored::F32));
    let message = model.encode("text").unwrap_err().to_string();
    assert!(
        message.ends_with(
            "model.gguf: the file has no vocabulary (tokenizer.ggml.model is missing), so it can neither read nor write text"
        ),
        "{message}"
    );
}

#[cfg(feature = "tokenizer")]
#[test]
fn if_text_is_needed_a_model_without_it_is_refused_before_its_weights_are_read() {
    let folder = TempDir::new().unwrap();
    let options = |text| {
        Options::new()
            .text(text)
            .progress(|_| panic!("a weight was read"))
    };
    for (kind, expected) in [
        (None, "tokenizer.ggml.model is missing"),
        (
            Some("rwkv"),
            "tokenizer.ggml.model is `rwkv`, a kind of vocabulary that is not known",
        ),
    ] {
        let mut writer = convert("llama", Stored::F32);
        if let Some(kind) = kind {
            writer = writer.with("tokenizer.ggml.model", Meta::Text(kind.into()));
        }
        let path = written(&folder, &writer);
        let error = Model::open(path, &options(Text::Needed)).err().unwrap();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let error = Model::open(crate::common::data("llama"), &options(Text::Needed)).err();
    assert_eq!(
        error.unwrap().to_string(),
        "the model has no tokenizer.json, so it can neither read nor write text"
    );
}

#[test]
fn every_token_that_a_file_names_as_an_end_ends_a_text() {
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let list = |ids: &[u32]| Meta::Array(4, ids.iter().map(|&id| Meta::U32(id)).collect());
    let signed = |ids: &[i32]| Meta::Array(5, ids.iter().map(|&id| Meta::I32(id)).collect());
    let ends = |keys: &[(&str, Meta)]| {
        let mut writer = convert("llama", Stored::F32);
        for (name, value) in keys {
            writer.meta.retain(|(known, _)| *known != key(name));
            writer = writer.with(&key(name), value.clone());
        }
        let model = open_gguf(&writer);
        (model.eos_tokens().to_vec(), model.warnings().len())
    };
    assert_eq!(ends(&[]), (vec![2], 0));
    assert_eq!(ends(&[("eos_token_id", list(&[7, 9, 7]))]), (vec![7, 9], 0));
    assert_eq!(ends(&[("eos_token_ids", list(&[2, 7]))]), (vec![2, 7], 0));
    let all = [
        ("eos_token_ids", signed(&[7, -1])),
        ("eot_token_id", Meta::U64(11)),
        ("eom_token_id", signed(&[9, 7])),
    ];
    assert_eq!(ends(&all), (vec![2, 7, 11, 9], 0));
    // A value that is not a token is reported, and the others count.
    let text = Meta::Array(8, vec![Meta::Text("x".into())]);
    assert_eq!(ends(&[("eos_token_ids", text)]), (vec![2], 1));
}
