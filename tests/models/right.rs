//! Do models compute what another program computes for them?

use std::collections::BTreeMap;

use safetensors::Dtype;
use smallmind::graph::Graph;
use smallmind::graph::interpreter::Interpreter;
use smallmind::model::{ModelFiles, compile};
use smallmind::{Model, Options};

use crate::common::variants::{bare, renamed, rounded, sharded, version_4};
use crate::common::{
    BAR, Expected, all_rows, decoders, difference, expected, models, open, run, source,
};

fn agrees(name: &str, model: &Model, expected: &Expected) {
    let mut session = model.session().unwrap();
    let (logits, _, greedy) = run(&mut session, &expected.input_ids, expected.greedy.len());
    let difference = difference(&logits, &expected.rows);
    assert!(
        difference <= BAR,
        "{name}: rows differ by {difference:.2e} deviations"
    );
    assert_eq!(greedy, expected.greedy, "{name}");
}

#[test]
fn fused_graphs_compute_the_expected_logits_and_tokens() {
    for name in models() {
        agrees(name, &open(name, &all_rows()), &expected(name));
    }
}

#[test]
fn unfused_graphs_compute_the_expected_logits_and_tokens() {
    for name in models() {
        let options = all_rows().stop_after("none");
        agrees(name, &open(name, &options), &expected(name));
    }
}

/// Runs the scalar reference over a graph; returns logits [tokens, vocabulary] and the greedy tokens.
fn interpret(graph: &Graph, files: &ModelFiles, expected: &Expected) -> (Vec<f32>, Vec<u32>) {
    let mut interpreter = Interpreter::new(graph, files.weights.as_ref().unwrap()).unwrap();
    let prompt: Vec<i32> = expected.input_ids.iter().map(|&id| id as i32).collect();
    let logits = interpreter.step(&prompt).swap_remove(0);
    let width = logits.width();
    let mut last = logits.floats()[logits.floats().len() - width..].to_vec();
    let mut greedy = Vec::new();
    while greedy.len() < expected.greedy.len() {
        let token = crate::common::argmax(&last);
        greedy.push(token);
        last = interpreter
            .step(&[token as i32])
            .swap_remove(0)
            .floats()
            .into_owned();
    }
    (logits.floats().into_owned(), greedy)
}

#[test]
fn the_scalar_reference_computes_the_expected_logits_and_tokens_fused_and_unfused() {
    for name in models() {
        for stop_after in [None, Some("none".to_string())] {
            let mut options = all_rows();
            options.stop_after = stop_after;
            let files = ModelFiles::open(&source(name), &options).unwrap();
            let compiled = compile(&files, &options).unwrap();
            let expected = expected(name);
            let (logits, greedy) = interpret(&compiled.graph, &files, &expected);
            let difference = difference(&logits, &expected.rows);
            assert!(
                difference <= BAR,
                "{name}: rows differ by {difference:.2e} deviations"
            );
            assert_eq!(greedy, expected.greedy, "{name}");
        }
    }
}

#[test]
fn kernels_compute_the_bits_of_the_scalar_reference() {
    for name in models() {
        for stop_after in [None, Some("none".to_string())] {
            let mut options = all_rows();
            options.stop_after = stop_after;
            let files = ModelFiles::open(&source(name), &options).unwrap();
            let compiled = compile(&files, &options).unwrap();
            let expected = expected(name);
            let (reference, _) = interpret(&compiled.graph, &files, &expected);
            let model = open(name, &options);
            let (logits, _, _) = run(&mut model.session().unwrap(), &expected.input_ids, 0);
            assert_eq!(
                crate::common::bits(&logits),
                crate::common::bits(&reference),
                "{name}"
            );
        }
    }
}

#[test]
fn names_without_the_prefix_are_found() {
    let folder = tempfile::tempdir().unwrap();
    for (name, prefix) in [
        ("gpt2", "transformer."),
        ("llama", "model."),
        ("gemma3", "model."),
        ("phi", "model."),
    ] {
        let path = folder.path().join(name);
        bare(name, prefix, &path);
        let model = Model::open(path, &all_rows()).unwrap();
        agrees(name, &model, &expected(name));
    }
}

#[test]
fn names_of_old_bert_files_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let old = |tensor: &str| {
        let tensor = tensor.replace("LayerNorm.weight", "LayerNorm.gamma");
        format!(
            "bert.{}",
            tensor.replace("LayerNorm.bias", "LayerNorm.beta")
        )
    };
    renamed("bert", folder.path(), &old);
    let model = Model::open(folder.path(), &all_rows()).unwrap();
    agrees("bert", &model, &expected("bert"));
}

#[test]
fn configurations_of_transformers_4_describe_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    for name in decoders() {
        if ["demo", "gpt2"].contains(&name) {
            continue;
        }
        let path = folder.path().join(name);
        version_4(name, &path);
        let model = Model::open(path, &all_rows()).unwrap();
        agrees(name, &model, &expected(name));
    }
}

#[test]
fn a_sharded_model_computes_the_same_logits() {
    let folder = tempfile::tempdir().unwrap();
    sharded("llama", folder.path());
    let model = Model::open(folder.path(), &all_rows()).unwrap();
    agrees("llama", &model, &expected("llama"));
}

#[test]
fn the_last_row_is_the_same_with_and_without_the_others() {
    let mut rows = BTreeMap::new();
    for name in decoders() {
        let prompt = expected(name).input_ids;
        for (label, options) in [("last", Options::default()), ("all", all_rows())] {
            let mut session = open(name, &options).session().unwrap();
            session.prefill(&prompt).unwrap();
            rows.insert(label, crate::common::bits(session.logits_row()));
        }
        assert_eq!(rows["last"], rows["all"], "{name}");
    }
}

#[test]
fn weights_of_16_bits_compute_as_the_same_weights_of_32_bits() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["gpt2", "llama"] {
        for half in [Dtype::F16, Dtype::BF16] {
            let [narrow, wide] =
                ["narrow", "wide"].map(|f| folder.path().join(format!("{name}-{half:?}-{f}")));
            rounded(name, half, &narrow, &wide);
            let prompt = expected(name).input_ids;
            let [narrow, wide] = [narrow, wide].map(|path| Model::open(path, &all_rows()).unwrap());
            assert!(narrow.plan().packed_weights < wide.plan().packed_weights);
            let [narrow, wide] = [narrow, wide].map(|model| {
                let (logits, rows, _) = run(&mut model.session().unwrap(), &prompt, 4);
                crate::common::bits(&logits.into_iter().chain(rows.concat()).collect::<Vec<_>>())
            });
            assert!(narrow == wide, "{name}, {half:?}");
        }
    }
}
