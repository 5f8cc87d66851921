//! What do a model's files say about embeddings, and which of their settings are refused?
#![cfg(feature = "tokenizer")]

use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::json;
use smallmind::model::{Logits, Output};
use smallmind::{EmbedOptions, Embedder, Model, Options, Pooling};

use crate::common::gguf::{Meta, Writer};
use crate::common::sentences::{AROUND, Sentences};

const TRANSFORMER: &str = "sentence_transformers.models.Transformer";
const POOLING: &str = "sentence_transformers.models.Pooling";
const DENSE: &str = "sentence_transformers.models.Dense";
const NORMALIZE: &str = "sentence_transformers.models.Normalize";
/// Number of elements of a hidden state.
const WIDTH: usize = 64;

fn embedder_with(sentences: &Sentences, options: &EmbedOptions) -> Result<Embedder, String> {
    let model = Model::open(sentences.path(), &Options::default()).unwrap();
    let embedder = model.embedder(options);
    let shown = format!("{}/", sentences.path().display());
    embedder.map_err(|error| error.to_string().replace(&shown, ""))
}

fn embedder(sentences: &Sentences) -> Embedder {
    embedder_with(sentences, &EmbedOptions::default()).unwrap()
}

fn refusal(sentences: &Sentences) -> String {
    let result = embedder_with(sentences, &EmbedOptions::default());
    result.expect_err("the files ask for something impossible")
}

/// The hidden states of a text, [tokens, WIDTH].
fn hidden(sentences: &Sentences, tokens: &[u32]) -> Vec<f32> {
    let model = Model::open(sentences.path(), &Options::default()).unwrap();
    model.session().unwrap().prefill(tokens).unwrap().to_vec()
}

fn normalized(mut row: Vec<f32>) -> Vec<f32> {
    smallmind::embed::normalize(&mut row);
    row
}

/// [CLS] zero one two [SEP].
const TEXT: &str = "zero one two";
const TOKENS: [u32; 5] = [AROUND[0], 3, 4, 5, AROUND[1]];

#[test]
fn a_model_whose_files_say_nothing_gives_the_normalised_mean() {
    let sentences = Sentences::new();
    let embedder = embedder(&sentences);
    assert_eq!(embedder.tokens(TEXT).unwrap(), TOKENS);
    assert_eq!(embedder.max_tokens(), 128);
    let mean = Pooling::Mean.pool(&hidden(&sentences, &TOKENS), WIDTH);
    assert_eq!(embedder.embed(&[TEXT]).unwrap(), [normalized(mean)]);
}

#[test]
fn the_pooling_comes_from_the_files() {
    for (mode, pooling) in [
        (r#""pooling_mode_mean_tokens": true"#, Pooling::Mean),
        (r#""pooling_mode_cls_token": true"#, Pooling::Cls),
        (r#""pooling_mode_lasttoken": true"#, Pooling::Last),
        (r#""pooling_mode_max_tokens": true"#, Pooling::Max),
        (r#""pooling_mode": "cls""#, Pooling::Cls),
    ] {
        let sentences = Sentences::new();
        sentences.modules(&[TRANSFORMER, POOLING]);
        let config =
            format!(r#"{{"word_embedding_dimension": 64, "include_prompt": true, {mode}}}"#);
        sentences.write("1_Pooling/config.json", config);
        let embedder = embedder(&sentences);
        assert_eq!(embedder.pooling(), pooling);
        let expected = pooling.pool(&hidden(&sentences, &TOKENS), WIDTH);
        assert_eq!(embedder.embed(&[TEXT]).unwrap(), [expected], "{mode}");
    }
}

#[test]
fn the_caller_may_choose_otherwise() {
    let sentences = Sentences::new();
    sentences.modules(&[TRANSFORMER, POOLING]);
    sentences.write(
        "1_Pooling/config.json",
        r#"{"pooling_mode_mean_tokens": true}"#,
    );
    let rows = hidden(&sentences, &TOKENS);
    for (normalize, expected) in [
        (None, Pooling::Cls.pool(&rows, WIDTH)),
        (Some(true), normalized(Pooling::Cls.pool(&rows, WIDTH))),
    ] {
        let options = EmbedOptions::new()
            .pooling(Some(Pooling::Cls))
            .normalize(normalize);
        let embedder = embedder_with(&sentences, &options).unwrap();
        assert_eq!(embedder.embed(&[TEXT]).unwrap(), [expected]);
    }
    let sentences = Sentences::new();
    let options = EmbedOptions::new().normalize(Some(false));
    let embedder = embedder_with(&sentences, &options).unwrap();
    let expected = Pooling::Mean.pool(&rows, WIDTH);
    assert_eq!(embedder.embed(&[TEXT]).unwrap(), [expected]);
}

/// Writes a dense layer's weights [rows, columns] and bias `[rows]`.
fn write_dense(sentences: &Sentences, folder: &str, weight: (&[f32], usize), bias: &[f32]) {
    let bytes =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|x| x.to_le_bytes()).collect() };
    let (weight, rows) = weight;
    let (w, b) = (bytes(weight), bytes(bias));
    let view = |shape: Vec<usize>, data| TensorView::new(Dtype::F32, shape, data).unwrap();
    let tensors = [
        ("linear.weight", view(vec![rows, weight.len() / rows], &w)),
        ("linear.bias", view(vec![bias.len()], &b)),
    ];
    sentences.write(&format!("{folder}/config.json"), "{}");
    serialize_to_file(
        tensors,
        None,
        &sentences.path().join(folder).join("model.safetensors"),
    )
    .unwrap();
}

#[test]
fn dense_layers_run_between_pooling_and_normalising() {
    let sentences = Sentences::new();
    sentences.modules(&[TRANSFORMER, POOLING, DENSE, NORMALIZE]);
    sentences.write(
        "1_Pooling/config.json",
        r#"{"pooling_mode_cls_token": true}"#,
    );
    let weight: Vec<f32> = (0..3 * WIDTH)
        .map(|i| (i * 29 % 31) as f32 / 31.0 - 0.5)
        .collect();
    let bias = [0.25, -0.5, 0.0];
    write_dense(&sentences, "2_Dense", (&weight, 3), &bias);
    let row = hidden(&sentences, &TOKENS)[..WIDTH].to_vec();
    let product = |r: usize| {
        let pairs = row.iter().zip(&weight[r * WIDTH..(r + 1) * WIDTH]);
        pairs.fold(0.0f32, |sum, (x, w)| sum + x * w) + bias[r]
    };
    let tanh: fn(f32) -> f32 = smallmind::kernels::math::tanh_f32;
    for (activation, function) in [
        ("torch.nn.modules.activation.Tanh", tanh),
        ("torch.nn.modules.linear.Identity", |x| x),
    ] {
        let config = json!({"in_features": 64, "out_features": 3, "bias": true, "activation_function": activation});
        sentences.write("2_Dense/config.json", config.to_string());
        let expected: Vec<f32> = (0..3).map(|r| function(product(r))).collect();
        let found = embedder(&sentences).embed(&[TEXT]).unwrap();
        assert_eq!(found, [normalized(expected)], "{activation}");
    }
    sentences.write(
        "2_Dense/config.json",
        r#"{"activation_function": "torch.nn.Softplus"}"#,
    );
    assert!(
        refusal(&sentences)
            .starts_with("2_Dense/config.json: unknown activation 'torch.nn.Softplus'")
    );
    write_dense(&sentences, "2_Dense", (&weight[..3 * 40], 3), &bias);
    assert_eq!(
        refusal(&sentences),
        "modules.json: the module in \"2_Dense\" takes rows of 40 elements, but it receives rows of 64"
    );
}

#[test]
fn texts_are_truncated_where_the_files_say_and_keep_the_tokens_after_them() {
    let sentences = Sentences::new();
    sentences.modules(&[TRANSFORMER, POOLING]);
    sentences.write(
        "1_Pooling/config.json",
        r#"{"pooling_mode_mean_tokens": true}"#,
    );
    sentences.write(
        "sentence_bert_config.json",
        r#"{"max_seq_length": 4, "do_lower_case": false}"#,
    );
    let embedder = embedder(&sentences);
    assert_eq!(embedder.max_tokens(), 4);
    let cut = [AROUND[0], 3, 4, AROUND[1]];
    assert_eq!(embedder.tokens(TEXT).unwrap(), cut);
    assert_eq!(embedder.tokens("zero one").unwrap(), cut);
    assert_eq!(embedder.tokens("").unwrap(), AROUND);
    assert_eq!(
        embedder.embed(&[TEXT]).unwrap(),
        embedder.embed_tokens(&[&cut]).unwrap()
    );
    // The limit is larger than the model's number of positions.
    sentences.write("sentence_bert_config.json", r#"{"max_seq_length": 100000}"#);
    let embedder = self::embedder(&sentences);
    let tokens = embedder.tokens(&"six ".repeat(500)).unwrap();
    assert_eq!((tokens.len(), tokens[127]), (128, AROUND[1]));
    sentences.write("sentence_bert_config.json", r#"{"max_seq_length": 1}"#);
    let error = self::embedder(&sentences)
        .tokens(TEXT)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("puts 2 tokens around a text that may have 1"),
        "{error}"
    );
}

#[test]
fn the_files_prompt_and_case_come_before_the_tokenizer() {
    let sentences = Sentences::new();
    sentences.modules(&[TRANSFORMER, POOLING]);
    sentences.write(
        "1_Pooling/config.json",
        r#"{"pooling_mode_mean_tokens": true}"#,
    );
    sentences.write(
        "sentence_bert_config.json",
        r#"{"max_seq_length": null, "do_lower_case": true}"#,
    );
    sentences.write(
        "config_sentence_transformers.json",
        r#"{"prompts": {"query": "six ", "document": ""}, "default_prompt_name": "query"}"#,
    );
    let tokens = embedder(&sentences).tokens("ONE Two").unwrap();
    assert_eq!(tokens, [AROUND[0], 9, 4, 5, AROUND[1]]);
    sentences.write(
        "1_Pooling/config.json",
        r#"{"pooling_mode_mean_tokens": true, "include_prompt": false}"#,
    );
    assert!(refusal(&sentences).contains("leaves out the prompt's tokens"));
    sentences.write(
        "config_sentence_transformers.json",
        r#"{"default_prompt_name": "q"}"#,
    );
    assert!(
        refusal(&sentences).contains("default_prompt_name is 'q', which is not one of the prompts")
    );
}

#[test]
fn unsupported_modules_are_named() {
    let sentences = Sentences::new();
    let flags = |flags: &str| sentences.write("1_Pooling/config.json", format!("{{{flags}}}"));
    flags(r#""pooling_mode_mean_tokens": true"#);
    let refused = |types: &[&str]| {
        sentences.modules(types);
        refusal(&sentences)
    };
    assert_eq!(
        refused(&[
            TRANSFORMER,
            POOLING,
            "sentence_transformers.models.WordWeights"
        ]),
        "modules.json: unknown module sentence_transformers.models.WordWeights: known are Transformer, Pooling, Dense and Normalize"
    );
    assert_eq!(
        refused(&[TRANSFORMER]),
        "modules.json: no module is a Pooling, so a text has no single embedding"
    );
    assert!(refused(&[TRANSFORMER, NORMALIZE]).contains("module 1 (from 0) is Normalize"));
    assert!(refused(&[POOLING, TRANSFORMER]).contains("module 0 (from 0) is Pooling"));
    assert!(
        refused(&[TRANSFORMER, TRANSFORMER])
            .contains("expected it first, and in the folder itself")
    );
    sentences.write(
        "modules.json",
        r#"[{"type": "a.Transformer", "path": ""}, {"type": "b.Pooling", "path": "../x"}]"#,
    );
    assert!(refusal(&sentences).contains("\"../x\" leads out of the folder"));
    for text in ["{}", "[1]", r#"[{"type": "a.Transformer"}]"#, "[", "null"] {
        sentences.write("modules.json", text);
        assert!(refusal(&sentences).starts_with("modules.json"), "{text}");
    }
    sentences.modules(&[TRANSFORMER, POOLING]);
    for (set, message) in [
        ("", "no pooling mode is chosen"),
        (
            r#""pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true"#,
            "several pooling modes (mean_tokens, cls_token) at once: expected one",
        ),
        (
            r#""pooling_mode_weightedmean_tokens": true"#,
            "unknown pooling mode 'weightedmean_tokens'",
        ),
    ] {
        flags(set);
        let found = refusal(&sentences);
        assert!(
            found.starts_with(&format!("1_Pooling/config.json: {message}")),
            "{found}"
        );
    }
    // If the caller chooses, the files need not choose.
    let options = EmbedOptions::new()
        .pooling(Some(Pooling::Mean))
        .normalize(None);
    assert!(embedder_with(&sentences, &options).is_ok());
}

/// A language model in the layout of Qwen3-Embedding: the last token, which the tokenizer appends, normalised.
#[test]
fn a_language_models_folder_says_its_pooling_too() {
    let options = Options::new().output(Output::Hidden).logits(Logits::All);
    for (mode, pooling) in [
        ("pooling_mode_lasttoken", Pooling::Last),
        ("pooling_mode_mean_tokens", Pooling::Mean),
    ] {
        let sentences = Sentences::of("qwen3");
        sentences.modules(&[TRANSFORMER, POOLING, NORMALIZE]);
        let config = json!({
            "word_embedding_dimension": WIDTH,
            "pooling_mode_cls_token": false,
            mode: true,
            "include_prompt": true,
        });
        sentences.write("1_Pooling/config.json", config.to_string());
        let prompts = json!({
            "prompts": {"query": "Instruct: three\nQuery:", "document": ""},
            "default_prompt_name": null,
            "similarity_fn_name": "cosine",
        });
        sentences.write("config_sentence_transformers.json", prompts.to_string());
        let model = Model::open(sentences.path(), &options).unwrap();
        let embedder = model.embedder(&EmbedOptions::default()).unwrap();
        assert_eq!(embedder.pooling(), pooling);
        assert_eq!(embedder.tokens(TEXT).unwrap(), TOKENS);
        let rows = model.session().unwrap().prefill(&TOKENS).unwrap().to_vec();
        assert_eq!(rows.len(), TOKENS.len() * WIDTH);
        let expected = normalized(pooling.pool(&rows, WIDTH));
        assert_eq!(embedder.embed(&[TEXT]).unwrap(), [expected]);
    }
    // A longer text is cut before the tokens that the tokenizer appends.
    let sentences = Sentences::of("qwen3");
    let options = options.context(4);
    let model = Model::open(sentences.path(), &options).unwrap();
    let embedder = model.embedder(&EmbedOptions::default()).unwrap();
    assert_eq!(embedder.pooling(), Pooling::Last);
    let cut = [AROUND[0], 3, 4, AROUND[1]];
    assert_eq!(embedder.tokens(TEXT).unwrap(), cut);
}

/// An encoder in a GGUF file with this pooling type, and a graph file that reads it.
fn gguf(pooling_type: Option<u32>) -> (tempfile::TempDir, Model) {
    let folder = tempfile::tempdir().unwrap();
    let graph = r#"Model(
        weights: {"embed": (shape: [16, 8], gguf: "token_embd.weight")},
        nodes: [
            ("x", Gather, ["embed", "tokens"]),
            ("h", Reshape(shape: [0, 2, 4]), ["x"]),
            ("a", Attention(causal: false), ["h", "h", "h"]),
            ("y", Reshape(shape: [0, 8]), ["a"]),
        ],
        outputs: ["y"],
    )"#;
    let (graph_file, file) = (
        folder.path().join("graph.ron"),
        folder.path().join("model.gguf"),
    );
    std::fs::write(&graph_file, graph).unwrap();
    let values = (0..128u32).flat_map(|i| (i as f32 / 64.0 - 1.0).to_le_bytes());
    let mut writer = Writer::new().with("general.architecture", Meta::Text("encoder".into()));
    if let Some(number) = pooling_type {
        writer = writer.with("encoder.pooling_type", Meta::U32(number));
    }
    let writer = writer.tensor("token_embd.weight", &[8, 16], 0, values.collect());
    std::fs::write(&file, writer.bytes()).unwrap();
    let options = Options::new().graph(graph_file);
    let model = Model::open(file, &options).unwrap();
    (folder, model)
}

#[test]
fn a_gguf_files_pooling_type_is_followed() {
    for (number, pooling) in [
        (None, Pooling::Mean),
        (Some(1), Pooling::Mean),
        (Some(2), Pooling::Cls),
        (Some(3), Pooling::Last),
    ] {
        let (_folder, model) = gguf(number);
        let embedder = model.embedder(&EmbedOptions::default()).unwrap();
        assert_eq!(embedder.pooling(), pooling);
        let rows = model
            .session()
            .unwrap()
            .prefill(&[3, 15, 7])
            .unwrap()
            .to_vec();
        let expected = normalized(pooling.pool(&rows, 8));
        assert_eq!(embedder.embed_tokens(&[&[3, 15, 7]]).unwrap(), [expected]);
    }
    for number in [0, 4] {
        let (_folder, model) = gguf(Some(number));
        let error = model.embed_tokens(&[&[1]]).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("the file's pooling_type is {number}, ")),
            "{error}"
        );
        let options = EmbedOptions::new()
            .pooling(Some(Pooling::Max))
            .normalize(None);
        assert!(model.embedder(&options).is_ok());
    }
}
