//! Do prompts with the same beginning share rows within the budget, and keep every bit?

use smallmind::{Model, Options, PrefixStatistics};

use crate::common::{argmax, bits, decoders, expected, open};

/// Decode steps after each prompt.
const STEPS: usize = 3;
/// A budget for all prompts of these tests.
const ROOMY: usize = 64 << 20;

fn options(prefix_cache: usize) -> Options {
    Options::new().prefix_cache(prefix_cache).chunk(100)
}

fn statistics(model: &Model) -> PrefixStatistics {
    model.prefix_statistics().unwrap()
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
fn output(model: &Model, tokens: &[u32]) -> (Vec<u32>, usize) {
    let mut session = model.session().unwrap();
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

#[test]
fn hits_leave_every_bit_alone() {
    for name in decoders() {
        let (plain, cached) = (open(name, &options(0)), open(name, &options(ROOMY)));
        let length = if name.ends_with("-long") { 500 } else { 210 };
        let length = length.min(plain.context() - STEPS);
        let first = prompt(name, length, 0);
        let prompts = [
            first.clone(),
            // The last token is always read.
            first.clone(),
            first[..129.min(length)].to_vec(),
            first[..128.min(length)].to_vec(),
            first[..65].to_vec(),
            behind(name, 110, length, 3),
            behind(name, 63, length, 5),
            behind(name, 64, length, 7),
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
            let (bits, reused) = output(&cached, tokens);
            assert_eq!(reused, known, "{name}, {number}");
            assert!(output(&plain, tokens) == (bits, 0), "{name}, {number}");
        }
        let seen = statistics(&cached);
        assert_eq!(
            (seen.lookups, seen.hits, seen.evictions),
            (9, hits, 0),
            "{name}"
        );
        assert!(hits >= 6 && seen.hit_rate() == hits as f64 / 9.0);
        assert_eq!(plain.prefix_statistics(), None);
    }
}

#[test]
fn chunks_of_any_size_keep_whole_blocks() {
    for name in ["llama", "mistral", "gemma3"] {
        let tokens = prompt(name, 200, 0);
        let expected = output(&open(name, &options(0)), &tokens).0;
        for chunk in [1, 7, 64, 130, 200] {
            let options = options(ROOMY).chunk(chunk);
            let model = open(name, &options);
            assert_eq!(output(&model, &tokens).1, 0);
            assert_eq!(statistics(&model).rows_used, 192, "{name}, {chunk}");
            assert!(
                output(&model, &tokens) == (expected.clone(), 192),
                "{name}, {chunk}"
            );
        }
    }
}

#[test]
fn the_budget_holds_and_the_least_recently_used_makes_room() {
    // The demo's block, and the index entry for it, take 130 KiB.
    for budget in [300_000, 600_000, 1_500_000, 10_000_000] {
        let model = open("demo", &options(budget));
        assert_eq!(model.plan().prefix_cache, budget);
        let plain = open("demo", &options(0));
        let room = statistics(&model).rows / 64;
        assert!(room >= 1, "{budget}");
        for turn in 0..20 {
            let tokens = prompt("demo", 200, turn);
            assert!(
                output(&model, &tokens).0 == output(&plain, &tokens).0,
                "{turn}"
            );
            let seen = statistics(&model);
            assert!(seen.bytes <= budget && seen.rows_used <= seen.rows);
            // The most recent prompts are still there, as far as the budget allows.
            assert_eq!(
                output(&model, &tokens).1,
                64 * room.min(3),
                "{budget}, {turn}"
            );
        }
        let seen = statistics(&model);
        let stored = 20 * room.min(3);
        assert_eq!(seen.rows_used, 64 * room.min(stored));
        assert_eq!(
            seen.evictions as usize,
            stored - room.min(stored),
            "{budget}"
        );
    }
}

#[test]
fn what_is_used_again_stays_and_a_path_loses_its_end_first() {
    let model = open("demo", &options(1_000_000));
    let room = statistics(&model).rows / 64;
    assert!((5..9).contains(&room), "{room}");
    let kept = prompt("demo", 200, 0);
    output(&model, &kept);
    for turn in 1..10 {
        output(&model, &prompt("demo", 70, turn));
        assert_eq!(output(&model, &kept[..100]).1, 64, "{turn}");
    }
    // Its beginning was used in the meantime; its other blocks were not.
    assert_eq!(output(&model, &kept).1, 64);
}

#[test]
fn sessions_that_have_tokens_read_all_and_share_what_they_read() {
    let model = open("llama", &options(ROOMY));
    let tokens = prompt("llama", 150, 0);
    let mut session = model.session().unwrap();
    session.prefill(&tokens[..40]).unwrap();
    session.prefill(&tokens[40..]).unwrap();
    assert_eq!(
        (session.reused_tokens(), statistics(&model).lookups),
        (0, 1)
    );
    assert_eq!(output(&model, &tokens).1, 128);
    // After everything is removed, a prompt begins the session again.
    session.truncate(0);
    session.prefill(&tokens).unwrap();
    assert_eq!(session.reused_tokens(), 128);
    assert_eq!(session.truncate(100), 100);
}

#[test]
fn rows_from_files_are_shared_with_no_other_session() {
    let model = open("llama", &options(ROOMY));
    let tokens = prompt("llama", 150, 0);
    let plain = open("llama", &options(0));
    let mut session = plain.session().unwrap();
    session.prefill(&tokens[..100]).unwrap();
    let mut bytes = Vec::new();
    session.save(&mut bytes).unwrap();
    let mut loaded = model.load_session(&mut &bytes[..]).unwrap();
    loaded.prefill(&tokens[100..]).unwrap();
    loaded.fork().unwrap().prefill(&[1, 2, 3]).unwrap();
    assert_eq!(statistics(&model).rows_used, 0);
}

#[test]
fn sessions_in_several_threads_share_one_cache() {
    let model = open("qwen2", &options(2 << 20));
    let plain = open("qwen2", &options(0));
    let tokens: Vec<Vec<u32>> = (0..6)
        .map(|i| behind("qwen2", 64 * (i % 3), 190, 1 + i as u32))
        .collect();
    let expected: Vec<Vec<u32>> = tokens
        .iter()
        .map(|tokens| output(&plain, tokens).0)
        .collect();
    std::thread::scope(|scope| {
        for shift in 0..3 {
            let (model, tokens, expected) = (&model, &tokens, &expected);
            scope.spawn(move || {
                for round in 0..12 {
                    let which = (round + 2 * shift) % 6;
                    assert!(
                        output(model, &tokens[which]).0 == expected[which],
                        "{which}"
                    );
                }
            });
        }
    });
    let seen = statistics(&model);
    assert_eq!(seen.lookups, 36);
    assert!(seen.hits > 0 && seen.bytes <= 2 << 20);
}

#[test]
fn models_that_return_all_rows_read_all_tokens() {
    let model = open("demo", &crate::common::all_rows().prefix_cache(ROOMY));
    let tokens = prompt("demo", 130, 0);
    for _ in 0..2 {
        let mut session = model.session().unwrap();
        let rows = session.prefill(&tokens).unwrap().len() / model.vocabulary();
        assert_eq!((rows, session.reused_tokens()), (130, 0));
    }
}

#[test]
fn a_budget_below_one_block_is_an_error_that_says_what_is_enough() {
    let refusal = |name: &str, budget: usize| {
        let opened = Model::open(crate::common::source(name), &options(budget));
        opened.expect_err("the budget is too small").to_string()
    };
    let message = refusal("demo", 1000);
    assert!(
        message.starts_with("prefix_cache is 1000; it must be 0, or "),
        "{message}"
    );
    let least = message
        .split_whitespace()
        .find_map(|word| word.parse::<usize>().ok().filter(|&n| n > 1000));
    open("demo", &options(least.unwrap()));
    assert!(refusal("bert", 1 << 20).contains("keeps no rows"));
}
