//! Does a folder become the GGUF file that says the same?
#![cfg(feature = "chat")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use common::gguf::{Stored, convert as converted};
use common::{BAR, Expected, all_rows, bits, data, difference, expected, open, run};
use serde_json::{Value as Json, json};
use smallmind::blocks::BlockFormat;
use smallmind::convert::{Quantization, QuantizeError, Target};
use smallmind::exec::pool::Pool;
use smallmind::load::gguf::GgufFile;
use smallmind::load::map::Mapped;
use smallmind::load::parameters::ParameterSource;
use smallmind::load::safetensors::{Elements, NewTensor, write_tensors};
use smallmind::load::tokenizer::Tokenizer;
use smallmind::load::value::Value;
use smallmind::load::weight_files::{Open, WeightFiles};
use smallmind::model::Activations;
use smallmind::{Model, Options};
use tempfile::TempDir;

/// Models whose GGUF files have the bits of their folders.
const IN_ORDER: [&str; 8] = [
    "bert",
    "gemma",
    "gemma3",
    "gemma3-long",
    "gpt2",
    "phi",
    "qwen2",
    "qwen3",
];

/// Models whose q and k are permuted in GGUF files, so that scores add up in another order.
const PERMUTED: [&str; 7] = [
    "llama",
    "llama-bf16",
    "llama-long",
    "llama3-rope",
    "mistral",
    "mistral-long",
    "olmo",
];

fn written(folder: &Path, target: Target) -> Result<Vec<u8>, QuantizeError> {
    let mut out = Vec::new();
    let quantization = Quantization::plan(folder, target, None)?;
    let pool = Pool::new(1).unwrap();
    quantization.write(&mut out, &pool, |_| ControlFlow::Continue(()))?;
    Ok(out)
}

fn file(folder: &Path, target: Target) -> GgufFile {
    let bytes = written(folder, target).unwrap_or_else(|error| panic!("{error}"));
    GgufFile::from_bytes(Path::new("made.gguf"), Mapped::from_vec(bytes)).unwrap()
}

fn refusal(folder: &Path) -> String {
    match written(folder, Target::F32) {
        Ok(_) => panic!("the folder must be refused"),
        Err(error) => error.to_string(),
    }
}

fn model(bytes: &[u8]) -> Model {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("made.gguf");
    fs::write(&path, bytes).unwrap();
    let options = Options {
        activations: Activations::F32,
        ..all_rows()
    };
    Model::open(path, &options).unwrap_or_else(|error| panic!("{error}"))
}

/// Logits of the prompt and of the greedy steps, and the greedy tokens.
fn answer(model: &Model, expected: &Expected) -> (Vec<f32>, Vec<Vec<f32>>, Vec<u32>) {
    let mut session = model.session().unwrap();
    run(&mut session, &expected.input_ids, expected.greedy.len())
}

/// A fixture with changes to its config.json (null takes a field away).
fn changed(name: &str, changes: Json) -> TempDir {
    let folder = TempDir::new().unwrap();
    let text = fs::read_to_string(data(name).join("config.json")).unwrap();
    let mut config: Json = serde_json::from_str(&text).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let weights = "model.safetensors";
    fs::copy(data(name).join(weights), folder.path().join(weights)).unwrap();
    folder
}

#[test]
fn f32_files_have_the_bits_of_their_folders_where_no_row_is_permuted() {
    for name in IN_ORDER {
        let expected = expected(name);
        let folder = answer(&open(name, &all_rows()), &expected);
        let made = model(&written(&data(name), Target::F32).unwrap());
        let made = answer(&made, &expected);
        assert_eq!(bits(&made.0), bits(&folder.0), "{name}");
        assert_eq!(bits(&made.1.concat()), bits(&folder.1.concat()), "{name}");
    }
}

#[test]
fn f32_files_give_the_tokens_and_nearly_the_logits_where_rows_are_permuted() {
    for name in PERMUTED {
        let expected = expected(name);
        let folder = answer(&open(name, &all_rows()), &expected);
        let made = model(&written(&data(name), Target::F32).unwrap());
        let made = answer(&made, &expected);
        let found = difference(&made.0, &folder.0);
        assert!(found <= 1e-5, "{name}: {found:.2e} deviations");
        assert_eq!(made.2, expected.greedy, "{name}");
        assert!(difference(&made.0, &expected.rows) <= BAR, "{name}");
    }
}

/// The tests' own converter, which was written from what llama.cpp's does, knows nothing of graph files.
#[test]
fn tensors_and_keys_are_those_that_another_converter_writes() {
    for name in IN_ORDER.into_iter().chain(PERMUTED) {
        let made = file(&data(name), Target::F32);
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
            // The other files have tokens that mean nothing.
            if !["tokenizer.ggml.tokens", "tokenizer.ggml.eos_token_id"].contains(&key) {
                let [left, right] = [&made, &other].map(|file| file.metadata().get(key));
                assert_eq!(left, right, "{name} {key}");
            }
        }
    }
}

#[test]
fn blocks_are_those_of_the_f32_file() {
    let target = Target::Blocks(BlockFormat::Q8_0);
    for name in ["llama", "gpt2"] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("whole.gguf");
        fs::write(&path, written(&data(name), Target::F32).unwrap()).unwrap();
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
        let new: Vec<_> = tensors
            .iter()
            .map(|(name, shape, values)| NewTensor {
                name,
                shape,
                elements: Elements::F32(values),
            })
            .collect();
        write_tensors(&folder.path().join(shard), &new).unwrap();
        map.extend(tensors.iter().map(|(name, _, _)| (*name, shard)));
    }
    let index = folder.path().join("model.safetensors.index.json");
    fs::write(index, json!({"weight_map": map}).to_string()).unwrap();
    let (made, other) = (file(folder.path(), Target::F32), file(&whole, Target::F32));
    for tensor in other.names() {
        assert!(made.bytes(tensor).unwrap() == other.bytes(tensor).unwrap());
    }
}

#[test]
fn a_parameter_that_gguf_files_can_not_say_is_refused_by_name() {
    for (name, changes, expected) in [
        (
            "llama",
            json!({"hidden_act": "relu"}),
            "parameter \"act\": it is 'relu', and a GGUF file of the architecture 'llama' can't say so: it would be read as 'silu'",
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
    let made = file(changed("qwen2", rope).path(), Target::F32);
    let theta = made.metadata().get("qwen2.rope.freq_base");
    assert_eq!(theta, Some(Value::Float(20000.0)));
    let scaled =
        json!({"rope_parameters": {"rope_type": "linear", "rope_theta": 10000, "factor": 4}});
    let made = file(changed("llama", scaled).path(), Target::F32);
    let get = |key: &str| made.metadata().get(&format!("llama.rope.scaling.{key}"));
    assert_eq!(get("type"), Some(Value::Str("linear".to_string())));
    assert_eq!(get("factor"), Some(Value::Float(4.0)));
}

#[test]
fn a_graph_file_that_does_not_speak_of_gguf_files_is_refused() {
    let folder = TempDir::new().unwrap();
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("graphs/gpt2.ron"));
    let statement = "    gguf: (architecture: \"gpt2\", differs: [\"out_in\"]),\n";
    let text = text.unwrap();
    assert!(text.contains(statement));
    let path = folder.path().join("own.ron");
    fs::write(&path, text.replace(statement, "")).unwrap();
    let error = Quantization::plan(&data("gpt2"), Target::F32, Some(&path)).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("own.ron:1:1: no GGUF file can be written"),
        "{message}"
    );
}

#[test]
fn mistakes_in_what_a_graph_file_says_of_gguf_files_are_told_with_their_place() {
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
        let error = Quantization::plan(&data("llama"), Target::F32, Some(&path)).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(expected), "{from}: {message}");
        assert!(message.contains("own.ron:"), "{message}");
    }
}

#[test]
fn a_folder_without_a_tokenizer_says_so_and_keeps_its_tokens() {
    let made = written(&data("llama"), Target::F32).unwrap();
    let model = model(&made);
    assert_eq!(model.vocabulary(), 323);
    assert_eq!(model.eos_tokens(), open("llama", &all_rows()).eos_tokens());
    let message = model.encode("text").unwrap_err().to_string();
    assert!(message.contains("the file has no vocabulary"), "{message}");
    let folder = changed("llama", json!({}));
    fs::write(folder.path().join("tokenizer.model"), "").unwrap();
    let message = refusal(folder.path());
    assert!(
        message.contains("tokenizer.model: a vocabulary is read from tokenizer.json alone"),
        "{message}"
    );
}

/// The 256 characters that stand for bytes.
fn alphabet() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("graphs/demo/tokenizer.json");
    let json: Json = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let vocab = json["model"]["vocab"].as_object().unwrap();
    let mut tokens: Vec<_> = vocab.iter().map(|(t, id)| (id.as_u64(), t)).collect();
    tokens.sort();
    tokens.truncate(256);
    tokens.into_iter().map(|(_, text)| text.clone()).collect()
}

fn ids<'t>(tokens: impl IntoIterator<Item = &'t String>) -> Json {
    let tokens = tokens.into_iter().enumerate();
    Json::Object(tokens.map(|(id, t)| (t.clone(), Json::from(id))).collect())
}

fn special(id: usize, text: &str, special: bool) -> Json {
    json!({"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
           "normalized": false, "special": special})
}

/// Puts `before` before each text, and `after` behind it.
fn template(before: &[(&str, usize)], after: &[(&str, usize)]) -> Json {
    let part = |(text, _): &(&str, usize)| json!({"SpecialToken": {"id": text, "type_id": 0}});
    let text = [json!({"Sequence": {"id": "A", "type_id": 0}})];
    let single: Vec<Json> = before
        .iter()
        .map(part)
        .chain(text)
        .chain(after.iter().map(part))
        .collect();
    let entry = |(text, id): &(&str, usize)| {
        (
            text.to_string(),
            json!({"id": text, "ids": [id], "tokens": [text]}),
        )
    };
    let special: serde_json::Map<_, _> = before.iter().chain(after).map(entry).collect();
    json!({"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": special})
}

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Bytes, and what some of them join to.
fn byte_level() -> Json {
    let mut tokens = alphabet();
    let merges = ["h e", "l l", "he ll", "hell o", "\u{120} w", "1 2", "12 3"];
    tokens.extend(merges.map(|merge| merge.replace(' ', "")));
    let count = tokens.len();
    let split = json!({"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": false});
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    json!({
        "version": "1.0",
        "added_tokens": [special(count, "<bos>", true), special(count + 1, "<turn>", false)],
        "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, bytes]},
        "post_processor": template(&[("<bos>", count)], &[]),
        "decoder": bytes,
        "model": {"type": "BPE", "ignore_merges": true, "vocab": ids(&tokens), "merges": merges},
    })
}

/// Unknown 0, BOS 1, EOS 2, bytes, letters, and what they join to.
fn sentence_piece() -> Json {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).to_vec();
    tokens.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    tokens.extend("▁helowrdabc,.".chars().map(String::from));
    let merges = [
        "▁ h",
        "l l",
        "e ll",
        "▁h ell",
        "▁hell o",
        "▁ w",
        "o r",
        "▁ ▁",
    ];
    tokens.extend(merges.map(|merge| merge.replace(' ', "")));
    let normalizers = [
        json!({"type": "Prepend", "prepend": "▁"}),
        json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"}),
    ];
    json!({
        "version": "1.0",
        "added_tokens": [special(0, "<unk>", true), special(1, "<s>", true), special(2, "</s>", true)],
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": null,
        "post_processor": template(&[("<s>", 1)], &[]),
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]},
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
                  "vocab": ids(&tokens), "merges": merges},
    })
}

fn word_piece() -> Json {
    let mut tokens: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
        .map(String::from)
        .to_vec();
    tokens.extend(["hello", "world", "##ly", "the", "a", "##s", ",", "!"].map(String::from));
    tokens.extend(('b'..='z').flat_map(|c| [c.to_string(), format!("##{c}")]));
    let marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].into_iter().enumerate();
    let added: Vec<Json> = marks.map(|(id, text)| special(id, text, true)).collect();
    json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                       "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": template(&[("[CLS]", 2)], &[("[SEP]", 3)]),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": ids(&tokens)},
    })
}

/// A fixture's folder with a tokenizer.
fn with_tokenizer(name: &str, tokenizer: &Json) -> TempDir {
    let folder = changed(name, json!({}));
    fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    folder
}

fn tokenizers(name: &str, tokenizer: &Json) -> [Tokenizer; 2] {
    let folder = with_tokenizer(name, tokenizer);
    let path: PathBuf = folder.path().join("tokenizer.json");
    let made = file(folder.path(), Target::F32);
    [
        Tokenizer::open(&path).unwrap(),
        Tokenizer::from_gguf(made.metadata()).unwrap(),
    ]
}

const TEXTS: [&str; 6] = [
    "hello world",
    "hello, hello  world 12345!",
    "say hello<turn>12",
    "Grüße, 世界 \u{1F642}",
    "the worlds hell",
    "",
];

#[test]
fn a_text_has_the_tokens_that_it_had() {
    let kinds = [
        ("llama", byte_level()),
        ("llama", sentence_piece()),
        ("bert", word_piece()),
    ];
    for (name, tokenizer) in kinds {
        let [given, made] = tokenizers(name, &tokenizer);
        let kind = &tokenizer["model"]["type"];
        for text in TEXTS {
            for special in [false, true] {
                let [given, made] = [&given, &made].map(|t| t.encode(text, special).unwrap());
                assert_eq!(made, given, "{kind} {text:?} {special}");
            }
        }
        let ids = given.encode("hello world", true).unwrap();
        assert!(ids.len() < 11, "{kind}: pieces are joined: {ids:?}");
        let [given, made] = [given, made].map(|t| t.decode(&ids, true).unwrap());
        assert_eq!(made, given, "{kind}");
    }
}

#[test]
fn the_vocabulary_is_filled_up_and_the_special_tokens_are_named() {
    let folder = with_tokenizer("llama", &sentence_piece());
    let config = json!({"bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": "<unk>",
                        "chat_template": "{{ messages }}"});
    fs::write(
        folder.path().join("tokenizer_config.json"),
        config.to_string(),
    )
    .unwrap();
    let made = file(folder.path(), Target::F32);
    let get = |key: &str| made.metadata().get(&format!("tokenizer.{key}"));
    assert_eq!(get("ggml.tokens.length"), Some(Value::Int(323)));
    assert_eq!(get("ggml.model"), Some(Value::Str("llama".to_string())));
    let tokens = made
        .metadata()
        .texts("tokenizer.ggml.tokens")
        .unwrap()
        .unwrap();
    assert_eq!(tokens[322], "[PAD322]");
    for (key, id) in [("bos", 1), ("eos", 2), ("unknown", 0), ("padding", 0)] {
        let key = format!("ggml.{key}_token_id");
        assert_eq!(get(&key), Some(Value::Int(id)), "{key}");
    }
    assert_eq!(get("ggml.add_bos_token"), Some(Value::Bool(true)));
    assert_eq!(get("ggml.add_eos_token"), Some(Value::Bool(false)));
    let template = Value::Str("{{ messages }}".to_string());
    assert_eq!(get("chat_template"), Some(template));
}

#[test]
fn what_a_vocabulary_can_not_say_is_refused_by_its_part() {
    let set = |mut json: Json, pointer: &str, value: Json| {
        *json.pointer_mut(pointer).unwrap() = value;
        json
    };
    let regex = "/pre_tokenizer/pretokenizers/0/pattern/Regex";
    for (name, tokenizer, expected) in [
        (
            "llama",
            set(byte_level(), regex, json!(r"\w+|\W")),
            r#"pre_tokenizer: no known name of tokenizer.ggml.pre stands for its expressions ["\\w+|\\W"]"#,
        ),
        (
            "llama",
            set(
                byte_level(),
                "/pre_tokenizer/pretokenizers/0",
                json!({"type": "Whitespace"}),
            ),
            "pre_tokenizer: {\"type\":\"Whitespace\"} can't be written",
        ),
        (
            "llama",
            set(byte_level(), "/normalizer", json!({"type": "Lowercase"})),
            "normalizer: {\"type\":\"Lowercase\"} can't be written",
        ),
        (
            "llama",
            set(byte_level(), "/added_tokens/1/lstrip", json!(true)),
            "added_tokens: \"<turn>\" has \"lstrip\": true",
        ),
        (
            "llama",
            set(byte_level(), "/added_tokens/1/id", json!(400)),
            "the tokens have ids up to 400, but the model has 323 tokens",
        ),
        (
            "llama",
            set(byte_level(), "/added_tokens/1/id", json!(33)),
            "added_tokens: \"<turn>\" has the id 33, which is that of",
        ),
        (
            "llama",
            set(sentence_piece(), "/normalizer", json!(null)),
            "normalizer: nothing puts \"▁\" for spaces",
        ),
        (
            "bert",
            set(
                word_piece(),
                "/normalizer/handle_chinese_chars",
                json!(false),
            ),
            "normalizer: {\"type\":\"BertNormalizer\"",
        ),
        (
            "bert",
            set(word_piece(), "/post_processor", json!(null)),
            "post_processor: a vocabulary of WordPiece puts one token before a text",
        ),
        (
            "llama",
            set(
                sentence_piece(),
                "/model",
                json!({"type": "Unigram", "unk_id": 0, "vocab": [["a", 0.0]]}),
            ),
            "model: Unigram can't be written yet",
        ),
    ] {
        let folder = with_tokenizer(name, &tokenizer);
        let message = refusal(folder.path());
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("tokenizer.json: "), "{message}");
    }
}
