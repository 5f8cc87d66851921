//! Does a folder become a GGUF file that describes the same model?
#![cfg(feature = "chat")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::json;
use smallmind::blocks::BlockFormat;
use smallmind::convert::Quantization;
use smallmind::files::gguf::GgufFile;
use smallmind::files::map::Mapped;
use smallmind::files::weight_files::{Open, WeightFiles};
use smallmind::language::value::Value;
use smallmind::types::DType;
use tempfile::TempDir;

use crate::common::converted::{changed, file, refusal, warnings, written};
use crate::common::gguf::{IN_ORDER, PERMUTED, Stored, WINDOWED, convert as converted, open_bytes};
use crate::common::variants::in_a_whole;
use crate::common::{BAR, all_rows, answer, bits, data, difference, expected, open, write_f32};

#[test]
fn f32_files_have_the_bits_of_their_folders_where_no_row_is_permuted() {
    for name in IN_ORDER {
        let expected = expected(name);
        let folder = answer(&open(name, &all_rows()), &expected);
        let made = open_bytes(&written(&data(name), DType::F32).unwrap());
        let made = answer(&made, &expected);
        assert_eq!(bits(&made.0), bits(&folder.0), "{name}");
        assert_eq!(bits(&made.1.concat()), bits(&folder.1.concat()), "{name}");
    }
}

#[test]
fn f32_files_keep_the_tokens_and_nearly_the_logits_if_rows_are_permuted() {
    for name in PERMUTED.into_iter().chain(WINDOWED) {
        let expected = expected(name);
        let folder = answer(&open(name, &all_rows()), &expected);
        let made = open_bytes(&written(&data(name), DType::F32).unwrap());
        let made = answer(&made, &expected);
        let found = difference(&made.0, &folder.0);
        assert!(found <= 1e-5, "{name}: {found:.2e} deviations");
        assert_eq!(made.2, expected.greedy, "{name}");
        assert!(difference(&made.0, &expected.rows) <= BAR, "{name}");
    }
}

/// The tests' own converter, which was written after llama.cpp's converter, knows nothing about graph files.
#[test]
fn tensors_and_keys_equal_those_of_another_converter() {
    for name in IN_ORDER.into_iter().chain(PERMUTED).chain(WINDOWED) {
        let made = file(&data(name), DType::F32);
        let other = converted(name, Stored::F32).bytes();
        let other = GgufFile::from_bytes(Path::new("other.gguf"), Mapped::from_vec(other)).unwrap();
        let names = |file: &GgufFile| file.names().map(str::to_string).collect::<Vec<_>>();
        assert_eq!(names(&made), names(&other), "{name}");
        for tensor in other.names() {
            let (left, right) = (made.tensor(tensor).unwrap(), other.tensor(tensor).unwrap());
            assert_eq!(left.shape, right.shape, "{name} {tensor}");
            let [left, right] = [&made, &other].map(|file| file.weight(tensor).unwrap().to_f32());
            match tensor {
                "rope_freqs.weight" => {
                    let pairs = left.iter().zip(&right);
                    let close = |(l, r): (&f32, &f32)| (l - r).abs() <= 1e-5 * r.abs();
                    assert!(pairs.into_iter().all(close), "{left:?} {right:?}");
                    assert!(left.iter().any(|&factor| factor > 1.0));
                }
                _ => assert!(bits(&left) == bits(&right), "{name} {tensor}"),
            }
        }
        for key in other.metadata().keys() {
            // The other files have meaningless tokens.
            if !["tokenizer.ggml.tokens", "tokenizer.ggml.eos_token_id"].contains(&key) {
                let [left, right] = [&made, &other].map(|file| file.metadata().get(key));
                assert_eq!(left, right, "{name} {key}");
            }
        }
    }
}

#[test]
fn the_text_model_of_a_checkpoint_that_reads_images_becomes_the_file_of_that_model_alone() {
    for name in ["gemma3", "mistral"] {
        let folder = TempDir::new().unwrap();
        // Files have the names of their folders.
        let whole = folder.path().join(name);
        fs::create_dir(&whole).unwrap();
        let left_out = [
            "rms_norm_eps",
            "rope_parameters",
            "tie_word_embeddings",
            "eos_token_id",
        ];
        in_a_whole(&data(name), &whole, &left_out);
        let found = written(&whole, DType::F32).unwrap();
        assert!(found == written(&data(name), DType::F32).unwrap(), "{name}");
    }
}

#[test]
fn blocks_equal_the_blocks_of_the_f32_file() {
    let target = DType::Blocks(BlockFormat::Q8_0);
    for name in ["llama", "gpt2"] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("whole.gguf");
        fs::write(&path, written(&data(name), DType::F32).unwrap()).unwrap();
        let (direct, over) = (file(&data(name), target), file(&path, target));
        let mut blocks = 0;
        for tensor in over.names() {
            assert!(direct.bytes(tensor).unwrap() == over.bytes(tensor).unwrap());
            let found = direct.tensor(tensor).unwrap().tensor_type;
            blocks += usize::from(found.block_format().is_some());
        }
        assert!(blocks > 0, "{name}");
        let get = |key: &str| direct.metadata().get(key);
        assert_eq!(get("general.file_type"), Some(Value::Int(7)));
        assert_eq!(get("general.name"), Some(Value::Str(name.to_string())));
    }
}

#[test]
fn shards_are_one_model() {
    let whole = data("llama");
    let folder = TempDir::new().unwrap();
    let copied = folder.path().join("config.json");
    fs::copy(whole.join("config.json"), copied).unwrap();
    let files = WeightFiles::open(&whole, Open::Data).unwrap();
    let mut map = BTreeMap::new();
    for (shard, parity) in [("first.safetensors", 0), ("second.safetensors", 1)] {
        let names = files.names().enumerate();
        let names = names.filter(|(index, _)| index % 2 == parity);
        let tensors: Vec<_> = names
            .map(|(_, name)| (name, files.weight(name).unwrap()))
            .map(|(name, weight)| (name, weight.shape().to_vec(), weight.to_f32()))
            .collect();
        write_f32(&folder.path().join(shard), &tensors);
        map.extend(tensors.iter().map(|(name, _, _)| (*name, shard)));
    }
    let index = folder.path().join("model.safetensors.index.json");
    fs::write(index, json!({"weight_map": map}).to_string()).unwrap();
    let (made, other) = (file(folder.path(), DType::F32), file(&whole, DType::F32));
    for tensor in other.names() {
        assert!(made.bytes(tensor).unwrap() == other.bytes(tensor).unwrap());
    }
}

#[test]
fn a_parameter_that_gguf_files_cannot_express_is_refused_by_name() {
    for (name, changes, expected) in [
        (
            "llama",
            json!({"hidden_act": "relu"}),
            "parameter \"act\": it is 'relu', and a GGUF file of the architecture 'llama' can't express that: it would be read as 'silu'",
        ),
        (
            "gpt2",
            json!({"scale_attn_by_inverse_layer_idx": true}),
            "parameter \"scaled_by_layer\": it is true",
        ),
        (
            "gemma3",
            json!({"query_pre_attn_scalar": 7}),
            "parameter \"query_scale\": it is 7",
        ),
        (
            "qwen3",
            json!({"rope_parameters": {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0}}),
            "parameter \"scaling\": it is 'llama3'",
        ),
    ] {
        let message = refusal(changed(name, changes).path());
        assert!(message.contains(expected), "{message}");
        assert!(
            message.contains(&format!("graphs/{name}.ron:")),
            "{message}"
        );
    }
}

#[test]
fn a_whole_number_is_written_as_the_float_that_programs_read() {
    let rope = json!({"rope_parameters": null, "rope_theta": 20000});
    let made = file(changed("qwen2", rope).path(), DType::F32);
    let theta = made.metadata().get("qwen2.rope.freq_base");
    assert_eq!(theta, Some(Value::Float(20000.0)));
    let scaled =
        json!({"rope_parameters": {"rope_type": "linear", "rope_theta": 10000, "factor": 4}});
    let made = file(changed("llama", scaled).path(), DType::F32);
    let get = |key: &str| made.metadata().get(&format!("llama.rope.scaling.{key}"));
    assert_eq!(get("type"), Some(Value::Str("linear".to_string())));
    assert_eq!(get("factor"), Some(Value::Float(4.0)));
}

#[test]
fn a_graph_file_that_says_nothing_about_gguf_files_is_refused() {
    let folder = TempDir::new().unwrap();
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("graphs/gpt2.ron"));
    let statement = "    gguf: (architecture: \"gpt2\", differs: [\"out_in\", \"tied\"]),\n";
    let text = text.unwrap();
    assert!(text.contains(statement));
    let path = folder.path().join("own.ron");
    fs::write(&path, text.replace(statement, "")).unwrap();
    let error = Quantization::plan(&data("gpt2"), DType::F32, Some(&path)).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("own.ron:1:1: no GGUF file can be written"),
        "{message}"
    );
}

#[test]
fn mistakes_in_what_a_graph_file_says_about_gguf_files_are_reported_with_their_place() {
    let folder = TempDir::new().unwrap();
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("graphs/llama.ron"));
    let text = text.unwrap();
    let path = folder.path().join("own.ron");
    for (from, to, expected) in [
        (
            "differs: [\"pairs\"",
            "differs: [\"pears\"",
            "unknown parameter 'pears'",
        ),
        (
            "perm: [0, 2, 1, 3]",
            "perm: [0, 2, 1, 7]",
            "weight \"layer.0/q_proj\": Transpose",
        ),
        (
            "keys: {\"{arch}.attention.value_length\"",
            "keys: {\"{arch}.block_count\"",
            "the key 'llama.block_count' is written twice",
        ),
        (
            "gguf: \"blk.{layer}.attn_k.weight\"",
            "gguf: \"blk.{layer}.attn_q.weight\"",
            "the tensor 'blk.0.attn_q.weight' is written twice",
        ),
        (
            "differs: [\"pairs\", ",
            "differs: [",
            "parameter \"pairs\": it is 'half'",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(&path, text.replace(from, to)).unwrap();
        let error = Quantization::plan(&data("llama"), DType::F32, Some(&path)).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(expected), "{from}: {message}");
        assert!(message.contains("own.ron:"), "{message}");
    }
}

#[test]
fn a_folder_without_a_tokenizer_says_so_and_keeps_its_tokens() {
    let made = written(&data("llama"), DType::F32).unwrap();
    let model = open_bytes(&made);
    assert_eq!(model.vocabulary(), 323);
    assert_eq!(model.eos_tokens(), open("llama", &all_rows()).eos_tokens());
    let message = model.encode("text").unwrap_err().to_string();
    assert!(message.contains("the file has no vocabulary"), "{message}");
    let folder = changed("llama", json!({}));
    fs::write(folder.path().join("tokenizer.model"), "").unwrap();
    let message = refusal(folder.path());
    assert!(
        message.contains("tokenizer.model: a vocabulary is read only from tokenizer.json"),
        "{message}"
    );
}

#[test]
fn what_the_new_file_does_not_say_is_reported_and_another_model_is_refused() {
    let folder = changed("olmo", json!({"logits_scaling": 8.0, "eos_token_id": "2"}));
    let told = warnings(folder.path());
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("logits_scaling (8.0)"), "{told:?}");
    assert!(told[1].contains("eos_token_id is '2'"), "{told:?}");

    let plain = Quantization::plan(&data("olmo"), DType::F32, None).unwrap();
    assert_eq!(plain.warnings(), []);

    // GPT-2 has no rotary positions.
    let folder = changed("gpt2", json!({"rope_scaling": {"type": "yarn"}}));
    let refused = refusal(folder.path());
    assert!(refused.contains("rope_scaling.type"), "{refused}");
}
