//! Does a published quantized model compute what another program computes from the same file?
//!
//! `SMALLMIND_TEST_MODELS` names the folder that contains `gemma-3-270m-q4_k_m.gguf`; without it, nothing is tested.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use smallmind::model::{Activations, Logits};
use smallmind::{Model, Options, Session};

use crate::common::published_model;

/// What the other program computed for a prompt, with floats everywhere after the blocks were widened.
#[derive(Deserialize)]
struct Reference {
    text: String,
    /// The prompt's tokens.
    ids: Vec<u32>,
    /// The most probable next tokens, and the logarithms of their probabilities.
    top20_ids: Vec<usize>,
    top20_logprobs: Vec<f64>,
    /// The mean of −log p over the prompt's tokens except the first.
    mean_nll: f64,
    /// The tokens that greedy choice appends.
    greedy32: Vec<u32>,
}

/// The model's file, if it is there.
fn model() -> Option<PathBuf> {
    published_model("gemma-3-270m-q4_k_m.gguf")
}

fn references() -> Vec<Reference> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/reference/gemma-3-270m-q4_k_m.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn open(path: &Path, activations: Activations) -> Session {
    let options = Options::new()
        .activations(activations)
        .logits(Logits::All)
        .context(256);
    let model = Model::open(path, &options).unwrap_or_else(|error| panic!("{error}"));
    model.session().unwrap()
}

/// The logarithm of the sum of exponentials.
fn normalizer(logits: &[f32]) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|x| (f64::from(*x) - largest).exp()).sum();
    largest + sum.ln()
}

/// The logits of every token of the prompt.
fn rows(session: &mut Session, ids: &[u32]) -> Vec<Vec<f32>> {
    let width = session.logits_width();
    let mut rows = Vec::new();
    session.truncate(0).unwrap();
    session
        .prefill_each(ids, &mut |part| {
            rows.extend(part.chunks_exact(width).map(<[f32]>::to_vec));
        })
        .unwrap();
    rows
}

fn mean_nll(rows: &[Vec<f32>], ids: &[u32]) -> f64 {
    let of = |(row, &next): (&Vec<f32>, &u32)| normalizer(row) - f64::from(row[next as usize]);
    let sum: f64 = rows.iter().zip(&ids[1..]).map(of).sum();
    sum / (ids.len() - 1) as f64
}

fn argmax(row: &[f32]) -> u32 {
    (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best }) as u32
}

#[test]
fn with_float_activations_it_matches_the_references_tokens_and_probabilities() {
    let Some(path) = model() else { return };
    let mut session = open(&path, Activations::F32);
    for reference in references() {
        let rows = rows(&mut session, &reference.ids);
        let nll = mean_nll(&rows, &reference.ids);
        let text = &reference.text;
        assert!(
            (nll - reference.mean_nll).abs() <= 1e-4,
            "{text}: {nll} is not {}",
            reference.mean_nll
        );
        let last = rows.last().unwrap();
        let normalizer = normalizer(last);
        for (&id, &expected) in reference.top20_ids.iter().zip(&reference.top20_logprobs) {
            let found = f64::from(last[id]) - normalizer;
            assert!(
                (found - expected).abs() <= 2e-3,
                "{text}: token {id}: {found} is not {expected}"
            );
        }
        let mut greedy = vec![argmax(last)];
        while greedy.len() < reference.greedy32.len() {
            let token = greedy[greedy.len() - 1];
            greedy.push(argmax(session.step(token).unwrap()));
        }
        assert_eq!(greedy, reference.greedy32, "{text}");
    }
}

#[test]
fn int8_activations_keep_its_mean_surprise_and_its_next_token() {
    let Some(path) = model() else { return };
    let mut session = open(&path, Activations::Int8);
    let (mut found, mut expected, mut tokens) = (0.0, 0.0, 0.0);
    for reference in references() {
        let rows = rows(&mut session, &reference.ids);
        let nll = mean_nll(&rows, &reference.ids);
        let (text, floats) = (&reference.text, reference.mean_nll);
        println!("{text}: {nll:.5}, in floats {floats:.5}");
        // The mean over few tokens varies more than the mean over many.
        let bar = if reference.ids.len() < 10 { 0.1 } else { 0.02 };
        assert!((nll - floats).abs() <= bar, "{text}: {nll} is not {floats}");
        let likeliest = reference.top20_ids[0] as u32;
        assert_eq!(argmax(&rows[rows.len() - 1]), likeliest, "{text}");
        let count = (reference.ids.len() - 1) as f64;
        found += nll * count;
        expected += floats * count;
        tokens += count;
    }
    let (found, expected) = (found / tokens, expected / tokens);
    println!("all {tokens} tokens: {found:.5}, in floats {expected:.5}");
    assert!(
        (found - expected).abs() <= 0.02,
        "{found} is not {expected}"
    );
}
