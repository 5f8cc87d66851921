//! Do prompts with the same beginning share rows among the sessions of an engine, and keep every bit?

use smallmind::{Engine, EngineOptions, Model, Options, Session};

use crate::common::{argmax, bits, decoders, expected, open};

/// Decode steps after each prompt.
const STEPS: usize = 3;

/// A model whose engines have as many sequences.
fn model(name: &str, sequences: usize) -> Model {
    open(name, &Options::new().chunk(100).sequences(sequences))
}

fn engine(model: &Model) -> Engine {
    model.engine(&EngineOptions::new()).unwrap()
}

/// The model's tokens over and over, `length` of them; `turn` selects different tokens from the start.
fn prompt(name: &str, length: usize, turn: u32) -> Vec<u32> {
    let ids = expected(name).input_ids;
    let ids = ids.iter().cycle().take(length);
    ids.map(|id| (id + turn) % 250).collect()
}

/// `common` tokens that all prompts share, then others.
fn behind(name: &str, common: usize, length: usize, turn: u32) -> Vec<u32> {
    let mut tokens = prompt(name, length, 0);
    let other = prompt(name, length, turn);
    tokens[common..].copy_from_slice(&other[common..]);
    tokens
}

/// Logits of the prompt and some steps, and how many tokens were not read.
fn output_of(mut session: Session, tokens: &[u32]) -> (Vec<u32>, usize) {
    let mut logits = session.prefill(tokens).unwrap().to_vec();
    assert_eq!(session.tokens(), tokens);
    let reused = session.reused_tokens();
    let mut all = bits(&logits);
    for _ in 0..STEPS {
        logits = session.step(argmax(&logits)).unwrap().to_vec();
        all.extend(bits(&logits));
    }
    (all, reused)
}

/// In a session of the engine.
fn output(engine: &Engine, tokens: &[u32]) -> (Vec<u32>, usize) {
    output_of(engine.session(None).unwrap(), tokens)
}

/// In a session that shares nothing.
fn alone(model: &Model, tokens: &[u32]) -> Vec<u32> {
    let (bits, reused) = output_of(model.session().unwrap(), tokens);
    assert_eq!(reused, 0);
    bits
}

#[test]
fn hits_leave_every_bit_alone() {
    for name in decoders() {
        // Pages for so many contexts keep the prefixes of all these prompts.
        let model = model(name, 8);
        let engine = engine(&model);
        let length = if name.ends_with("-long") { 500 } else { 210 };
        let length = length.min(model.context() - STEPS);
        let first = prompt(name, length, 0);
        let prompts = [
            first.clone(),
            // The last token is always read.
            first.clone(),
            first[..129.min(length)].to_vec(),
            first[..128.min(length)].to_vec(),
            first[..65].to_vec(),
            behind(name, 110, length, 3),
            behind(name, 110, length, 3),
        ];
        let mut hits = 0;
        for (number, tokens) in prompts.iter().enumerate() {
            let known = prompts[..number].iter().map(|earlier| {
                let pairs = earlier.iter().zip(&tokens[..tokens.len() - 1]);
                pairs.take_while(|(a, b)| a == b).count() / 64 * 64
            });
            let known = known.max().unwrap_or(0);
            hits += u64::from(known > 0);
            let (bits, reused) = output(&engine, tokens);
            assert_eq!(reused, known, "{name}, {number}");
            assert!(alone(&model, tokens) == bits, "{name}, {number}");
        }
        let seen = engine.prefixes();
        assert_eq!(
            (seen.lookups, seen.hits, seen.evictions),
            (7, hits, 0),
            "{name}"
        );
        assert!(hits >= 5 && seen.hit_rate() == hits as f64 / 7.0);
    }
}

#[test]
fn chunks_of_any_size_keep_whole_blocks() {
    for name in ["llama", "mistral", "gemma3"] {
        let tokens = prompt(name, 200, 0);
        let expected = alone(&model(name, 1), &tokens);
        for chunk in [4, 7, 64, 130, 200] {
            let model = open(name, &Options::new().chunk(chunk).sequences(4));
            let engine = engine(&model);
            assert_eq!(output(&engine, &tokens).1, 0);
            assert_eq!(engine.prefixes().positions, 192, "{name}, {chunk}");
            assert!(
                output(&engine, &tokens) == (expected.clone(), 192),
                "{name}, {chunk}"
            );
        }
    }
}

#[test]
fn sessions_that_have_tokens_read_all_and_share_what_they_read() {
    let model = model("llama", 2);
    let engine = engine(&model);
    let tokens = prompt("llama", 150, 0);
    let mut session = engine.session(None).unwrap();
    session.prefill(&tokens[..40]).unwrap();
    session.prefill(&tokens[40..]).unwrap();
    assert_eq!((session.reused_tokens(), engine.prefixes().lookups), (0, 1));
    assert_eq!(output(&engine, &tokens).1, 128);
    // After everything is removed, a prompt begins the session again.
    session.truncate(0).unwrap();
    session.prefill(&tokens).unwrap();
    assert_eq!(session.reused_tokens(), 128);
}

#[test]
fn rows_from_files_are_shared_with_no_other_session() {
    let model = model("llama", 3);
    let tokens = prompt("llama", 150, 0);
    let mut session = model.session().unwrap();
    session.prefill(&tokens[..100]).unwrap();
    let mut bytes = Vec::new();
    session.save(&mut bytes).unwrap();
    let engine = engine(&model);
    let mut loaded = engine.load_session(None, &mut &bytes[..]).unwrap();
    loaded.prefill(&tokens[100..]).unwrap();
    assert_eq!(engine.prefixes().positions, 0);
    // A session that reads the tokens again reads them from the beginning.
    loaded.truncate(0).unwrap();
    loaded.prefill(&tokens).unwrap();
    assert_eq!(engine.prefixes().positions, 128);
}

#[test]
fn sessions_in_several_threads_share_prefixes() {
    let model = model("qwen2", 3);
    let engine = engine(&model);
    let tokens: Vec<Vec<u32>> = (0..6)
        .map(|i| behind("qwen2", 64 * (i % 3), 190, 1 + i as u32))
        .collect();
    let expected: Vec<Vec<u32>> = tokens.iter().map(|tokens| alone(&model, tokens)).collect();
    std::thread::scope(|scope| {
        for shift in 0..3 {
            let (engine, tokens, expected) = (&engine, &tokens, &expected);
            scope.spawn(move || {
                for round in 0..12 {
                    let which = (round + 2 * shift) % 6;
                    assert!(
                        output(engine, &tokens[which]).0 == expected[which],
                        "{which}"
                    );
                }
            });
        }
    });
    let seen = engine.prefixes();
    assert_eq!(seen.lookups, 36);
    assert!(seen.hits > 0);
}

#[test]
fn a_model_s_own_sessions_share_nothing() {
    let model = model("llama", 2);
    let tokens = prompt("llama", 150, 0);
    let mut session = model.session().unwrap();
    for _ in 0..2 {
        session.truncate(0).unwrap();
        session.prefill(&tokens).unwrap();
        assert_eq!(session.reused_tokens(), 0);
    }
}
