//! Does all-MiniLM-L6-v2 return the embeddings that sentence-transformers computes?
//!
//! The model is not part of this repository: `SMALLMIND_TEST_MODELS` names the folder that contains `all-minilm-l6-v2`.
//! Without it nothing is tested, and a line on stderr says so.
#![cfg(feature = "tokenizer")]

use std::path::{Path, PathBuf};

use serde_json::Value;
use smallmind::kernels::simd::Isa;
use smallmind::{EmbedOptions, Model, Options, Pooling};

use crate::common::{bits, data, published_model};

struct Case {
    text: String,
    ids: Vec<u32>,
    embedding: Vec<f64>,
}

/// What another program computed, in decimals with six digits.
fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(data("reference").join("all-minilm-l6-v2.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let list = |value: &Value| value.as_array().unwrap().clone();
    let case = |case: &Value| Case {
        text: case["text"].as_str().unwrap().to_string(),
        ids: list(&case["ids"])
            .iter()
            .map(|id| id.as_u64().unwrap() as u32)
            .collect(),
        embedding: list(&case["embedding"])
            .iter()
            .map(|x| x.as_f64().unwrap())
            .collect(),
    };
    cases.iter().map(case).collect()
}

/// The model's folder, if it is there.
fn folder() -> Option<PathBuf> {
    let weights = published_model("all-minilm-l6-v2/model.safetensors")?;
    weights.parent().map(Path::to_path_buf)
}

#[test]
fn embeddings_of_a_batch_match_sentence_transformers() {
    let Some(folder) = folder() else { return };
    let cases = cases();
    let tokens: Vec<&[u32]> = cases.iter().map(|case| case.ids.as_slice()).collect();
    let mut expected = None;
    for isa in Isa::available() {
        if isa.name() == "scalar" {
            continue; // It would take minutes, and the fixtures already test it.
        }
        for threads in [1, 2] {
            let options = Options::new().isa(isa.name()).threads(threads);
            let model = Model::open(&folder, &options).unwrap();
            let embeddings = model.embed_tokens(&tokens).unwrap();
            for (case, found) in cases.iter().zip(&embeddings) {
                assert_eq!(found.len(), case.embedding.len());
                for (x, y) in found.iter().zip(&case.embedding) {
                    let difference = (f64::from(*x) - y).abs();
                    assert!(difference <= 1e-5, "{:?}: {x} for {y}", case.text);
                }
            }
            let found: Vec<Vec<u32>> = embeddings.iter().map(|row| bits(row)).collect();
            assert!(*expected.get_or_insert(found.clone()) == found);
        }
    }
}

#[test]
fn texts_become_the_expected_tokens_truncated_where_the_files_say() {
    let Some(folder) = folder() else { return };
    let model = Model::open(&folder, &Options::default()).unwrap();
    let embedder = model.embedder(&EmbedOptions::default()).unwrap();
    assert_eq!(embedder.pooling(), Pooling::Mean);
    assert_eq!(embedder.max_tokens(), 256);
    for case in cases() {
        let tokens = embedder.tokens(&case.text).unwrap();
        let last = *case.ids.last().unwrap();
        let mut cut = case.ids[..case.ids.len().min(256) - 1].to_vec();
        cut.push(last);
        assert_eq!(tokens, cut, "{:?}", case.text);
    }
}

#[test]
fn a_text_and_its_tokens_have_the_same_embedding() {
    let Some(folder) = folder() else { return };
    let model = Model::open(&folder, &Options::default()).unwrap();
    let short: Vec<Case> = cases()
        .into_iter()
        .filter(|case| case.ids.len() <= 256)
        .collect();
    assert!(short.len() >= 5);
    let texts: Vec<&str> = short.iter().map(|case| case.text.as_str()).collect();
    let tokens: Vec<&[u32]> = short.iter().map(|case| case.ids.as_slice()).collect();
    assert_eq!(
        model.embed(&texts).unwrap(),
        model.embed_tokens(&tokens).unwrap()
    );
}
