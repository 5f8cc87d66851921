//! Do texts that several threads embed at the same time keep their bits?

use std::thread;

use smallmind::embed::Pooling;
use smallmind::model::{Logits, Output};
use smallmind::{EmbedOptions, Embedder, Options};

use crate::common::{bits, decoders, encoders, expected, open};

/// A text of its own for each thread and round.
fn text(ids: &[u32], thread: usize, round: usize) -> Vec<u32> {
    let length = 1 + (7 * thread + 3 * round) % ids.len();
    ids[..length].to_vec()
}

fn embedding(embedder: &Embedder, text: &[u32]) -> Vec<u32> {
    bits(&embedder.embed_tokens(&[text]).unwrap()[0])
}

#[test]
fn embeddings_of_several_threads_have_the_bits_that_they_have_alone() {
    for name in encoders() {
        let ids = expected(name).input_ids;
        let model = open(name, &Options::new().threads(2));
        let shared = model.embedder(&EmbedOptions::new()).unwrap();
        let alone = model.embedder(&EmbedOptions::new()).unwrap();
        thread::scope(|scope| {
            for number in 0..5 {
                let (embedder, alone, ids) = (shared.clone(), &alone, &ids);
                scope.spawn(move || {
                    for round in 0..20 {
                        let text = text(ids, number, round);
                        let found = embedding(&embedder, &text);
                        assert!(found == embedding(alone, &text), "{name}");
                    }
                });
            }
        });
        assert!(shared.steps() <= 100);
    }
}

#[test]
fn a_text_that_is_refused_costs_the_other_threads_nothing() {
    let ids = expected("bert").input_ids;
    let model = open("bert", &Options::new());
    let embedder = model.embedder(&EmbedOptions::new()).unwrap();
    let expected = embedding(&embedder, &ids);
    thread::scope(|scope| {
        let embedder = &embedder;
        scope.spawn(move || {
            for _ in 0..20 {
                let error = embedder.embed_tokens(&[&[1], &[1 << 30]]).unwrap_err();
                assert!(error.to_string().starts_with("text 1 (from 0): token"));
            }
        });
        for _ in 0..20 {
            assert!(embedding(embedder, &ids) == expected);
        }
    });
}

#[test]
fn texts_of_decoders_are_read_side_by_side_with_the_same_bits() {
    for name in decoders() {
        let ids = expected(name).input_ids;
        let options = Options::new()
            .output(Output::Hidden)
            .logits(Logits::All)
            .chunk(24)
            .threads(2);
        for pooling in [Pooling::Mean, Pooling::Last] {
            let embedder = |sequences: usize| {
                let model = open(name, &options.clone().sequences(sequences));
                let pooled = EmbedOptions::new().pooling(pooling);
                model.embedder(&pooled).unwrap()
            };
            let (shared, alone) = (embedder(4), embedder(1));
            let texts: Vec<Vec<u32>> = (0..12).map(|number| text(&ids, number, number)).collect();
            let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
            let expected: Vec<_> = texts.iter().map(|text| embedding(&alone, text)).collect();
            let found = shared.embed_tokens(&texts).unwrap();
            let found: Vec<_> = found.iter().map(|vector| bits(vector)).collect();
            assert!(found == expected, "{name}, {pooling:?}");
            assert!(shared.steps() < alone.steps(), "{name}");
            thread::scope(|scope| {
                for (text, expected) in texts.iter().zip(&expected) {
                    let shared = &shared;
                    scope.spawn(move || assert!(embedding(shared, text) == *expected, "{name}"));
                }
            });
        }
    }
}
