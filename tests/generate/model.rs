//! Does generation with a whole model do what its options say?
#![cfg(feature = "tokenizer")]

use std::time::Instant;

use smallmind::{
    Cancel, Finish, GenerateError, GenerateOptions, Generation, Model, Options, SamplerOptions,
    Session, StepError,
};

use crate::common::{bits, data};

const PROMPT: &str = "The old man";

fn demo() -> Model {
    crate::common::open("demo", &Options::default())
}

fn greedy(max_tokens: Option<usize>) -> GenerateOptions {
    GenerateOptions::new().max_tokens(max_tokens).greedy()
}

/// The text's pieces and how it ended.
fn generate(
    model: &Model,
    session: &mut Session,
    prompt: &str,
    options: &GenerateOptions,
) -> (Vec<String>, Generation) {
    let mut pieces = Vec::new();
    let each = |piece: &str| {
        pieces.push(piece.to_string());
        true
    };
    let generation = model.generate(session, prompt, options, each).unwrap();
    (pieces, generation)
}

/// The text after a prompt in a new session.
fn text(model: &Model, options: &GenerateOptions) -> String {
    generate(model, &mut model.session().unwrap(), PROMPT, options)
        .0
        .concat()
}

#[test]
fn greedy_text_is_the_same_each_time() {
    let model = demo();
    let first = text(&model, &greedy(Some(60)));
    assert_eq!(first.len(), 60);
    assert_eq!(first, text(&model, &greedy(Some(60))));
}

#[test]
fn the_seed_decides_drawn_text() {
    let model = demo();
    let seeded = |seed| {
        let sampler = SamplerOptions::greedy().temperature(1.5).seed(seed);
        text(
            &model,
            &GenerateOptions::new().max_tokens(60).sampler(sampler),
        )
    };
    assert_eq!(seeded(1), seeded(1));
    assert_ne!(seeded(1), seeded(2));
}

#[test]
fn as_many_tokens_come_as_were_asked_for() {
    let model = demo();
    let whole = text(&model, &greedy(Some(9)));
    for n in [0, 1, 2, 9] {
        let mut session = model.session().unwrap();
        let (pieces, generation) = generate(&model, &mut session, PROMPT, &greedy(Some(n)));
        assert_eq!(pieces.concat(), whole[..n]);
        assert_eq!(
            (generation.finish, generation.tokens.len()),
            (Finish::Length, n)
        );
        assert_eq!(generation.prompt_tokens, PROMPT.len());
        // The last token was chosen, but not read.
        assert_eq!(session.position(), PROMPT.len() + n.saturating_sub(1));
    }
}

#[test]
fn text_without_a_limit_ends_where_the_context_does() {
    let model = crate::common::open("demo", &Options::new().context(20));
    let mut session = model.session().unwrap();
    let (pieces, generation) = generate(&model, &mut session, PROMPT, &greedy(None));
    assert_eq!(generation.finish, Finish::ContextFull);
    assert_eq!(generation.tokens.len(), 20 - PROMPT.len() + 1);
    assert_eq!(pieces.concat(), text(&demo(), &greedy(Some(10))));
}

#[test]
fn a_prompt_that_fills_the_context_is_followed_by_one_token() {
    let model = crate::common::open("demo", &Options::new().context(Some(PROMPT.len())));
    let first = text(&demo(), &greedy(Some(1)));
    for (most, finish) in [
        (Some(1), Finish::Length),
        (Some(2), Finish::ContextFull),
        (None, Finish::ContextFull),
    ] {
        let (pieces, generation) =
            generate(&model, &mut model.session().unwrap(), PROMPT, &greedy(most));
        assert_eq!(
            (pieces.concat(), generation.finish),
            (first.clone(), finish)
        );
    }
}

#[test]
fn a_prompt_longer_than_the_context_is_an_error_and_the_session_continues() {
    let model = crate::common::open("demo", &Options::new().context(12));
    let mut session = model.session().unwrap();
    session.prefill(&[84, 104]).unwrap();
    let before = bits(session.logits());
    let error = model
        .generate(&mut session, PROMPT, &greedy(Some(1)), |_| true)
        .unwrap_err();
    assert!(matches!(
        error,
        GenerateError::Step(StepError::ContextFull {
            position: 2,
            context: 12,
            tokens: 11
        })
    ));
    assert_eq!(
        error.to_string(),
        "the context is full: 2 of 12 positions are taken, and 11 more do not fit"
    );
    assert_eq!(
        (session.tokens(), bits(session.logits())),
        (&[84, 104][..], before)
    );
    let (pieces, _) = generate(&model, &mut session, &PROMPT[2..], &greedy(Some(1)));
    assert_eq!(pieces.concat(), text(&demo(), &greedy(Some(1))));
}

#[test]
fn an_empty_prompt_needs_a_token_that_begins_texts() {
    let error = demo().encode("").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the prompt is empty, and this model has no token that begins a text"
    );
    let folder = llama(|_| ());
    let model = Model::open(folder.path(), &Options::default()).unwrap();
    assert_eq!(model.encode("").unwrap(), [1]);
}

#[test]
fn a_model_without_a_tokenizer_takes_token_ids() {
    let model = crate::common::open("llama", &Options::default());
    let mut session = model.session().unwrap();
    let error = model
        .generate(&mut session, "a", &greedy(None), |_| true)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the model has no tokenizer.json, so it can neither read nor write text"
    );
    let generation = model
        .generate_tokens(&mut session, &[1, 5], &greedy(Some(3)), |_| true)
        .unwrap();
    assert_eq!(generation.tokens.len(), 3);
    let error = model
        .generate_tokens(&mut model.session().unwrap(), &[], &greedy(Some(3)), |_| {
            true
        })
        .unwrap_err();
    assert_eq!(error.to_string(), "no token was given");
}

#[test]
fn a_stop_string_over_several_tokens_ends_the_text_before_it() {
    let model = demo();
    let whole = text(&model, &greedy(Some(60)));
    let stop = &whole[20..25];
    let at = whole.find(stop).unwrap();
    let options = greedy(Some(60)).stop(["never\u{1F600}", stop]);
    let mut session = model.session().unwrap();
    let (pieces, generation) = generate(&model, &mut session, PROMPT, &options);
    assert_eq!(pieces.concat(), whole[..at]);
    assert_eq!(generation.finish, Finish::Stop(1));
    assert_eq!(generation.tokens.len(), at + stop.len());
}

#[test]
fn text_held_back_for_a_stop_string_comes_at_the_end() {
    let model = demo();
    let whole = text(&model, &greedy(Some(30)));
    // The text's last characters begin the stop string, but nothing completes it.
    let options = greedy(Some(30)).stop([format!("{}\u{0}", &whole[25..])]);
    let (pieces, generation) = generate(&model, &mut model.session().unwrap(), PROMPT, &options);
    assert_eq!(
        (pieces.concat(), generation.finish),
        (whole, Finish::Length)
    );
}

#[test]
fn options_that_mean_nothing_are_refused_before_anything_runs() {
    let model = demo();
    let mut session = model.session().unwrap();
    let sampler = |change: fn(&mut SamplerOptions)| {
        let mut options = GenerateOptions::default();
        change(&mut options.sampler);
        options
    };
    for (options, expected) in [
        (
            sampler(|s| s.temperature = -1.0),
            "temperature is -1; it must be 0 or a positive number",
        ),
        (
            sampler(|s| s.temperature = f32::NAN),
            "temperature is NaN; it must be 0 or a positive number",
        ),
        (
            sampler(|s| s.top_p = 1.5),
            "top_p is 1.5; it must be between 0 and 1",
        ),
        (
            sampler(|s| s.min_p = -0.5),
            "min_p is -0.5; it must be between 0 and 1",
        ),
        (
            sampler(|s| s.repetition_penalty = 0.0),
            "repetition_penalty is 0; it must be a positive number",
        ),
        (
            GenerateOptions::new().stop(["a", ""]),
            "stop string 1 is empty",
        ),
    ] {
        let error = model
            .generate(&mut session, PROMPT, &options, |_| true)
            .unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(session.position(), 0);
    }
}

#[test]
fn a_callback_that_has_enough_ends_the_text() {
    let model = demo();
    let whole = text(&model, &greedy(Some(20)));
    let mut pieces = String::new();
    let each = |piece: &str| {
        pieces += piece;
        pieces.len() < 5
    };
    let mut session = model.session().unwrap();
    let generation = model
        .generate(&mut session, PROMPT, &greedy(None), each)
        .unwrap();
    assert_eq!(
        (generation.finish, pieces.as_str()),
        (Finish::Cancelled, &whole[..5])
    );
}

#[test]
fn cancelling_before_the_prompt_reads_nothing() {
    let model = demo();
    let mut session = model.session().unwrap();
    let cancel = Cancel::new();
    cancel.cancel();
    let generation = model
        .generate(&mut session, PROMPT, &greedy(None).cancel(&cancel), |_| {
            true
        })
        .unwrap();
    assert_eq!(
        (
            generation.finish,
            generation.tokens.len(),
            session.position()
        ),
        (Finish::Cancelled, 0, 0)
    );
    assert_eq!(
        generate(&model, &mut session, PROMPT, &greedy(Some(9)))
            .0
            .concat(),
        text(&model, &greedy(Some(9)))
    );
}

#[test]
fn cancelling_between_tokens_ends_the_text_and_the_session_continues() {
    let model = demo();
    let whole = text(&model, &greedy(Some(20)));
    let cancel = Cancel::new();
    let mut session = model.session().unwrap();
    let mut tokens = Vec::new();
    let each = |token| {
        tokens.push(token);
        if tokens.len() == 4 {
            cancel.cancel();
        }
        true
    };
    let prompt = model.encode(PROMPT).unwrap();
    let generation = model
        .generate_tokens(&mut session, &prompt, &greedy(None).cancel(&cancel), each)
        .unwrap();
    assert_eq!(
        (generation.finish, &generation.tokens),
        (Finish::Cancelled, &tokens)
    );
    assert_eq!(tokens.len(), 4);
    // The fourth token was chosen, but not read.
    let (rest, _) = generate(&model, &mut session, &whole[3..4], &greedy(Some(16)));
    assert_eq!(rest.concat(), whole[4..]);
}

/// Cancels the reading of a prompt, then reads the rest; returns the position at which it stopped.
fn cancel_within(prompt: &[u32], chunk: usize) -> usize {
    let model = crate::common::open("llama", &Options::new().context(8192).chunk(chunk));
    let mut whole = model.session().unwrap();
    let begun = Instant::now();
    whole.prefill(prompt).unwrap();
    let full = begun.elapsed();
    let mut session = model.session().unwrap();
    let cancel = Cancel::new();
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(full / 20);
            cancel.cancel();
        });
        session.prefill_until(prompt, &cancel).map(|_| ())
    });
    let position = session.position();
    assert_eq!(result, Err(StepError::Cancelled { position }));
    assert_eq!(session.tokens(), &prompt[..position]);
    session.prefill(&prompt[position..]).unwrap();
    assert_eq!(bits(session.logits()), bits(whole.logits()));
    assert_eq!(bits(session.step(7).unwrap()), bits(whole.step(7).unwrap()));
    position
}

#[test]
fn cancelling_within_a_prompt_stops_after_a_chunk_and_the_session_continues() {
    let prompt: Vec<u32> = (0..5000).map(|i| i * 31 % 323).collect();
    let position = cancel_within(&prompt, 64);
    assert!(position.is_multiple_of(64) && position < 3500, "{position}");
}

#[test]
fn cancelling_within_a_prompt_stops_within_a_large_chunk_and_the_session_continues() {
    let prompt: Vec<u32> = (0..5000).map(|i| i * 31 % 323).collect();
    assert_eq!(cancel_within(&prompt, 8192), 0);
}

#[test]
fn a_truncated_session_is_as_good_as_a_new_one() {
    let model = demo();
    let mut session = model.session().unwrap();
    generate(
        &model,
        &mut session,
        "Something else entirely",
        &greedy(Some(30)),
    );
    session.truncate(0).unwrap();
    assert!(session.logits().is_empty() && session.tokens().is_empty());
    assert_eq!(
        generate(&model, &mut session, PROMPT, &greedy(Some(30)))
            .0
            .concat(),
        text(&model, &greedy(Some(30)))
    );
    session.truncate(1000).unwrap();
    assert_eq!(session.position(), PROMPT.len() + 29);
}

#[test]
fn characters_of_several_tokens_come_whole() {
    let model = demo();
    let tokenizer = model.tokenizer().unwrap();
    // Every token may be drawn, so most bytes are not part of a valid character.
    let sampler = SamplerOptions::greedy().temperature(1e6);
    for prompt in ["é", "für", "\u{1F600}", "a\u{1F1E9}\u{1F1EA}", "ü\u{0308}"] {
        for sampler in [sampler.clone(), SamplerOptions::greedy()] {
            let options = GenerateOptions::new().max_tokens(100).sampler(sampler);
            let (pieces, generation) =
                generate(&model, &mut model.session().unwrap(), prompt, &options);
            assert_eq!(
                pieces.concat(),
                tokenizer.decode(&generation.tokens, true).unwrap(),
                "{prompt}"
            );
            assert!(pieces.iter().all(|piece| !piece.is_empty()), "{prompt}");
        }
    }
}

/// The llama fixture with the demo's tokenizer and an edited config.json.
fn llama(edit: impl FnOnce(&mut serde_json::Value)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(data("llama").join("config.json")).unwrap();
    let mut config = serde_json::from_str(&text).unwrap();
    edit(&mut config);
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    for (from, file) in [
        (data("llama"), "model.safetensors"),
        (data("../../demo"), "tokenizer.json"),
    ] {
        std::fs::copy(from.join(file), folder.path().join(file)).unwrap();
    }
    folder
}

#[test]
fn a_token_that_ends_texts_ends_the_text_and_is_not_shown() {
    let prompt = [1, 5, 9];
    let run = |model: &Model, most| {
        let mut shown = Vec::new();
        let each = |token| {
            shown.push(token);
            true
        };
        let mut session = model.session().unwrap();
        let generation = model
            .generate_tokens(&mut session, &prompt, &greedy(Some(most)), each)
            .unwrap();
        (shown, generation)
    };
    let folder = llama(|config| config["eos_token_id"] = serde_json::Value::Null);
    let endless = run(
        &Model::open(folder.path(), &Options::default()).unwrap(),
        40,
    )
    .0;
    let end = endless[7];
    let at = endless.iter().position(|&token| token == end).unwrap();
    let folder = llama(|config| config["eos_token_id"] = serde_json::json!([322, end]));
    let (shown, generation) = run(
        &Model::open(folder.path(), &Options::default()).unwrap(),
        40,
    );
    assert_eq!(
        (shown, generation.finish),
        (endless[..at].to_vec(), Finish::EndOfText)
    );
    assert_eq!(generation.tokens, endless[..=at]);
}

#[test]
fn models_are_shared_and_sessions_move_between_threads() {
    fn shared<T: Send + Sync + Clone>(_: &T) {}
    fn moved<T: Send>(_: &T) {}
    let model = demo();
    shared(&model);
    moved(&model.session().unwrap());
    let expected = text(&model, &greedy(Some(12)));
    let mut session = model.session().unwrap();
    let other = model.clone();
    let found =
        std::thread::spawn(move || generate(&other, &mut session, PROMPT, &greedy(Some(12))));
    assert_eq!(found.join().unwrap().0.concat(), expected);
    // The session and the model's first handle have been dropped; others still work.
    assert_eq!(text(&model, &greedy(Some(12))), expected);
}

#[test]
fn sessions_come_and_go() {
    let model = demo();
    let expected = text(&model, &greedy(Some(3)));
    let mut kept = Vec::new();
    for i in 0..200 {
        let mut session = model.session().unwrap();
        let (pieces, _) = generate(&model, &mut session, PROMPT, &greedy(Some(3)));
        assert_eq!(pieces.concat(), expected);
        if i % 50 == 0 {
            kept.push(session);
        }
    }
    drop(model);
    for mut session in kept {
        session.step(65).unwrap();
    }
}

#[test]
fn sessions_of_one_model_run_at_the_same_time() {
    let options = Options::new().threads(3);
    let model = crate::common::open("demo", &options);
    let expected = text(&model, &greedy(Some(40)));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(text(&model, &greedy(Some(40))), expected));
        }
    });
}
