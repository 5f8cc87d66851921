//! Do language models opened for hidden states return what their heads read, and what do they leave out?

use std::fs;
use std::path::{Path, PathBuf};

use smallmind::embed::normalize;
use smallmind::files::safetensors::TensorFile;
use smallmind::files::weight_file::{Open, WeightFile};
use smallmind::graph::{Kind, print_ignoring};
use smallmind::model::{Logits, ModelFiles, Output, builtin_graphs, compile};
use smallmind::ops::WeightForm;
use smallmind::{
    EmbedError, EmbedOptions, EngineOptions, GenerateError, GenerateOptions, Model, ModelError,
    Options, Pooling, ScoreOptions,
};
use tempfile::TempDir;

use crate::common::tiny::{Tiny, graph};
use crate::common::{
    BAR, all_rows, bits, data, decoders, difference, encoders, expected, open, read_keys, source,
    write_f32,
};

fn hidden() -> Options {
    Options::new().output(Output::Hidden)
}

fn all_hidden() -> Options {
    hidden().logits(Logits::All)
}

/// The outputs for every token of the model's prompt.
fn rows(name: &str, model: &Model) -> Vec<f32> {
    let mut rows = Vec::new();
    let mut session = model.session().unwrap();
    let each = &mut |chunk: &[f32]| rows.extend_from_slice(chunk);
    let prompt = expected(name).input_ids;
    session.prefill_each(&prompt, each).unwrap();
    rows
}

/// A graph file in which the model's graph ends with the final norm.
fn headless_graph(name: &str, folder: &TempDir) -> PathBuf {
    let files = ModelFiles::open_headers(&source(name), &Options::new()).unwrap();
    let mut graphs = builtin_graphs();
    let (_, text) = graphs.find(|(file, _)| *file == files.graph.file).unwrap();
    let (before, after) = text.split_once("(\"logits\", MatMul").unwrap();
    assert!(after.contains("outputs: [\"logits\"]"));
    let ignored = "ignore: [\"lm_head.*\", \"*.lm_head.*\", ";
    let before = match before.contains("    ignore: [") {
        true => before.replace("ignore: [", ignored),
        false => before.replace("    params: {", &format!("    {ignored}],\n    params: {{")),
    };
    let path = folder.path().join(format!("{name}.ron"));
    fs::write(&path, format!("{before}],\n    outputs: [\"n\"],\n)\n")).unwrap();
    path
}

#[test]
fn hidden_states_are_those_of_a_graph_that_ends_with_the_norm() {
    let folder = TempDir::new().unwrap();
    for name in decoders() {
        let headless = all_rows().graph(headless_graph(name, &folder));
        let other = rows(name, &open(name, &headless));
        let model = open(name, &all_hidden());
        let found = rows(name, &model);
        assert_eq!(bits(&found), bits(&other), "{name}");
        let session = model.session().unwrap();
        let (tokens, width) = (expected(name).input_ids.len(), session.logits_width());
        assert_eq!(found.len(), tokens * width, "{name}");
        // The last row alone.
        let mut session = open(name, &hidden()).session().unwrap();
        let last = session.prefill(&expected(name).input_ids).unwrap();
        assert_eq!(bits(last), bits(&found[(tokens - 1) * width..]), "{name}");
    }
}

/// The head's matrix in the model's file, and its bias.
fn head(name: &str) -> (Vec<f32>, Option<Vec<f32>>) {
    let path = match name {
        "demo" => Path::new(env!("CARGO_MANIFEST_DIR")).join("demo"),
        name => data(name),
    };
    let path = path.join("model.safetensors");
    let file = WeightFile::open(&path, Open::Data).unwrap();
    let read = |tensor: &&str| Some(file.weight(tensor).ok()?.to_f32());
    let heads = [
        "lm_head.weight",
        "model.embed_tokens.weight",
        "transformer.wte.weight",
    ];
    let head = heads.iter().find_map(read).unwrap();
    (head, read(&"lm_head.bias"))
}

#[test]
fn the_heads_products_with_hidden_states_are_the_logits_of_another_program() {
    for name in decoders() {
        let model = open(name, &all_hidden());
        let width = model.session().unwrap().logits_width();
        let (head, bias) = head(name);
        let mut logits = Vec::new();
        for row in rows(name, &model).chunks_exact(width) {
            for (token, column) in head.chunks_exact(width).enumerate() {
                let sum: f64 = row.iter().zip(column).map(|(x, w)| f64::from(x * w)).sum();
                let bias = bias.as_ref().map_or(0.0, |bias| bias[token]);
                logits.push(sum as f32 + bias);
            }
        }
        if let Some(cap) = softcap(name) {
            logits.iter_mut().for_each(|x| *x = cap * (*x / cap).tanh());
        }
        let difference = difference(&logits, &expected(name).rows);
        assert!(difference <= BAR, "{name}: {difference:e}");
    }
}

/// What the model's configuration says about capping logits.
fn softcap(name: &str) -> Option<f32> {
    let text = fs::read_to_string(data(name).join("config.json")).ok()?;
    let config: serde_json::Value = serde_json::from_str(&text).unwrap();
    Some(config.get("final_logit_softcapping")?.as_f64()? as f32)
}

#[test]
fn the_embedding_is_pooled_from_hidden_states() {
    let folder = TempDir::new().unwrap();
    for name in decoders() {
        let text = expected(name).input_ids;
        let headless = all_rows().graph(headless_graph(name, &folder));
        let rows = rows(name, &open(name, &headless));
        let width = rows.len() / text.len();
        let mut mean = vec![0f32; width];
        for row in rows.chunks_exact(width) {
            mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        mean.iter_mut().for_each(|sum| *sum /= text.len() as f32);
        let mut last = rows[rows.len() - width..].to_vec();
        normalize(&mut mean);
        normalize(&mut last);
        let embedding = |options: &Options, pooling: Option<Pooling>| {
            let options = options.clone().chunk(7);
            let model = open(name, &options);
            let embedder = model
                .embedder(&EmbedOptions::new().pooling(pooling))
                .unwrap();
            bits(&embedder.embed_tokens(&[&text]).unwrap()[0])
        };
        assert_eq!(embedding(&all_hidden(), Some(Pooling::Mean)), bits(&mean));
        assert_eq!(embedding(&all_hidden(), Some(Pooling::Last)), bits(&last));
        assert_eq!(embedding(&hidden(), None), bits(&last), "{name}");
    }
}

#[test]
fn spelled_and_fused_graphs_have_hidden_states_too() {
    for name in ["llama", "gpt2"] {
        let expected = rows(name, &open(name, &all_hidden()));
        let spelled = data("spelled").join(format!("{name}.ron"));
        let found = rows(name, &open(name, &all_hidden().graph(spelled)));
        assert!(difference(&found, &expected) <= BAR, "{name}");
    }
    let folder = TempDir::new().unwrap();
    for name in decoders() {
        // As `smallmind dump` prints it: a graph whose ops are fused, with rows taken before the head.
        let model = open(name, &Options::new());
        let compiled = model.compiled();
        let path = folder.path().join(format!("{name}.fused.ron"));
        let keys = read_keys(&source(name));
        let kind = compiled.source.name();
        let text = print_ignoring(&compiled.graph, kind, &compiled.ignore, &keys);
        fs::write(&path, text).unwrap();
        let row = |options: Options| {
            let mut session = open(name, &options).session().unwrap();
            bits(session.prefill(&expected(name).input_ids).unwrap())
        };
        assert_eq!(row(hidden().graph(path)), row(hidden()), "{name}");
    }
}

#[test]
fn the_head_is_not_loaded_and_a_tied_table_is_not_packed() {
    // A head of its own, [323, 64].
    let (with, without) = (open("llama", &Options::new()), open("llama", &hidden()));
    let (with, without) = (with.plan(), without.plan());
    assert_eq!(with.weights - without.weights, 323 * 64 * 4);
    assert!(with.packed_weights - without.packed_weights >= 323 * 64 * 4);
    assert_eq!(with.mapped_weights, without.mapped_weights);
    // The head is the table.
    let (with, tied) = (open("qwen2", &Options::new()), open("qwen2", &hidden()));
    let (with, without) = (with.plan(), tied.plan());
    assert_eq!(with.weights, without.weights);
    assert!(with.packed_weights - without.packed_weights >= 323 * 64 * 4);
    let graph = &tied.compiled().graph;
    let table = graph.ids().find(|&id| match &graph.node(id).kind {
        Kind::Weight(weight) => &*weight.tensor == "model.embed_tokens.weight",
        _ => false,
    });
    let table = table.unwrap();
    let needs = tied.compiled().plan.weights().iter();
    let forms: Vec<WeightForm> = needs
        .filter(|need| need.value().node == table)
        .map(|need| need.form())
        .collect();
    assert_eq!(forms, [WeightForm::Table]);
}

/// A copy of the model without some tensors.
fn without(name: &str, tensors: &[&str]) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::copy(
        data(name).join("config.json"),
        folder.path().join("config.json"),
    )
    .unwrap();
    let file = TensorFile::open(&data(name).join("model.safetensors")).unwrap();
    let names = file.names().filter(|tensor| !tensors.contains(tensor));
    let kept: Vec<(String, Vec<usize>, Vec<f32>)> = names
        .map(|tensor| {
            let shape = file.get(tensor).unwrap().shape.to_vec();
            (tensor.to_string(), shape, file.read_f32(tensor).unwrap())
        })
        .collect();
    write_f32(&folder.path().join("model.safetensors"), &kept);
    folder
}

#[test]
fn a_file_without_a_head_has_hidden_states_but_no_logits() {
    let folder = without("llama", &["lm_head.weight"]);
    let refused = |folder: &TempDir, options: &Options| {
        let error = Model::open(folder.path(), options).err();
        error.expect("a tensor is missing").to_string()
    };
    assert!(refused(&folder, &Options::new()).contains("no tensor 'lm_head.weight'"));
    let model = Model::open(folder.path(), &all_hidden()).unwrap();
    let found = rows("llama", &model);
    assert_eq!(
        bits(&found),
        bits(&rows("llama", &open("llama", &all_hidden())))
    );
    // Everything else is still needed.
    let folder = without("llama", &["lm_head.weight", "model.norm.weight"]);
    let found = refused(&folder, &hidden());
    assert!(found.contains("no tensor 'norm.weight'"), "{found}");
    assert!(!found.contains("lm_head"), "{found}");
    // Where the head is the table, the table is still needed.
    let folder = without("qwen2", &["model.embed_tokens.weight"]);
    assert!(refused(&folder, &hidden()).contains("embed_tokens.weight"));
}

#[test]
fn encoders_are_not_affected() {
    for name in encoders() {
        let [plain, asked] = [Options::new(), all_hidden()].map(|options| open(name, &options));
        assert_eq!(
            bits(&rows(name, &plain)),
            bits(&rows(name, &asked)),
            "{name}"
        );
        assert_eq!(plain.plan().weights, asked.plan().weights);
        let embedder = asked.embedder(&EmbedOptions::new()).unwrap();
        assert_eq!(embedder.pooling(), Pooling::Mean);
        let unfused = open(name, &hidden().stop_after("none"));
        assert!(unfused.embedder(&EmbedOptions::new()).is_ok());
    }
}

#[test]
fn logits_that_are_not_a_product_are_refused() {
    let tiny = |nodes: &str| Tiny::with_graph(&graph(nodes, "\"y\""));
    let open = |tiny: &Tiny| Model::open(tiny.folder(), &tiny.options().output(Output::Hidden));
    let attention = r#"
        ("h", Reshape(shape: [0, "heads", 4]), ["x"]),
        (["k", "v"], Cache, ["h", "h"]),
        ("a", Attention(scale: 0.5), ["h", "k", "v"]),
        ("a", Reshape(shape: [0, 8]), ["a"]),"#;
    let softmax = format!(r#"{attention} ("l", MatMul, ["a", "head"]), ("y", Softmax, ["l"]),"#);
    let error = open(&tiny(&softmax)).unwrap_err().to_string();
    let message = "output \"y\" has a column for each of 16 tokens, but it is not a matrix product";
    assert!(error.contains(message), "{error}");
    // The same with an output that is a hidden state already.
    let model = open(&tiny(&format!(r#"{attention} ("y", Add, ["a", "x"]),"#))).unwrap();
    assert_eq!(model.session().unwrap().logits_width(), 8);
    let scaled =
        format!(r#"{attention} ("l", MatMul, ["a", "head"]), ("y", Mul, ["l", Num(0.5)]),"#);
    let model = open(&tiny(&scaled)).unwrap();
    assert_eq!(model.session().unwrap().logits_width(), 8);
}

#[test]
fn the_pass_cannot_be_left_out_where_there_is_a_head() {
    for options in [
        hidden().without(["hidden_output"]),
        hidden().stop_after("none"),
    ] {
        let files = ModelFiles::open_headers(&source("llama"), &options).unwrap();
        let error = compile(&files, &options).err();
        assert!(matches!(
            error,
            Some(ModelError::PassLeftOut {
                option: "output",
                pass: "hidden_output"
            })
        ));
    }
    // The other passes can.
    let options = all_hidden();
    let unfused = rows(
        "llama",
        &open("llama", &options.clone().stop_after("hidden_output")),
    );
    assert!(difference(&unfused, &rows("llama", &open("llama", &options))) <= BAR);
}

#[test]
fn a_model_opened_for_logits_has_no_embeddings() {
    let model = open("demo", &Options::default());
    let error = model.embed_tokens(&[&[1]]).unwrap_err();
    assert!(
        matches!(error, EmbedError::NoHiddenState { vocabulary: 256 }),
        "{error}"
    );
    let model = open("demo", &hidden());
    let mean = EmbedOptions::new().pooling(Pooling::Mean);
    let error = model.embedder(&mean).unwrap().embed_tokens(&[&[1, 2]]);
    assert!(matches!(error, Err(EmbedError::LastRowOnly)));
}

#[test]
fn a_model_opened_for_hidden_states_does_not_generate() {
    let model = open("demo", &all_hidden());
    let mut session = model.session().unwrap();
    let options = GenerateOptions::new();
    let error = model.generate_tokens(&mut session, &[1], &options, |_| true);
    assert!(matches!(error, Err(GenerateError::NoLogits)));
    let error = model.score_tokens(&mut session, &[1, 2], &ScoreOptions::default());
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("opened for hidden states")
    );
    let mut engine = model.engine(&EngineOptions::default()).unwrap();
    let error = engine.add_tokens(&[1], &options).unwrap_err().to_string();
    assert!(error.contains("opened for hidden states"), "{error}");
}
