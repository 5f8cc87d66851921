//! Is a session that is loaded from a file the same as it was, wherever it is loaded?

use smallmind::files::digest::Digest;
use smallmind::kernels::simd::Isa;
use smallmind::{EngineOptions, Model, Options, Session, StepError};

use crate::common::{all_rows, argmax, bits, decoders, expected, open, run};

/// Decode steps after each prompt.
const STEPS: usize = 4;

/// Every output bit of a prompt and some steps.
fn output(session: &mut Session, prompt: &[u32]) -> Vec<u32> {
    let (logits, rows, _) = run(session, prompt, STEPS);
    let rows = rows.iter().flat_map(|row| bits(row));
    bits(&logits).into_iter().chain(rows).collect()
}

fn saved(session: &mut Session) -> Vec<u8> {
    let mut bytes = Vec::new();
    session.save(&mut bytes).unwrap();
    bytes
}

fn loaded(model: &Model, bytes: &[u8]) -> Session {
    model.load_session(&mut &bytes[..]).unwrap()
}

/// Options that don't change bits; `length` positions must be enough.
fn elsewhere(length: usize) -> Vec<Options> {
    let mut all = Vec::new();
    for (i, isa) in Isa::available().into_iter().enumerate() {
        all.push(
            all_rows()
                .isa(isa.name())
                .threads(1 + i % 3)
                .chunk([7, 48, 1024][i % 3])
                .context(length + 40 * i),
        );
    }
    all
}

#[test]
fn a_loaded_session_continues_with_the_same_bits() {
    for name in decoders() {
        let model = open(name, &all_rows());
        let prompt = expected(name).input_ids;
        let elsewhere = elsewhere(prompt.len() + STEPS);
        let others: Vec<Model> = elsewhere
            .iter()
            .map(|options| open(name, options))
            .collect();
        for place in [1, prompt.len() / 2, prompt.len() - 1] {
            let mut session = model.session().unwrap();
            session.prefill(&prompt[..place]).unwrap();
            let bytes = saved(&mut session);
            // The prompts of 600 tokens take long in plain Rust.
            let end = prompt.len().min(place + 60);
            let went_on = output(&mut session, &prompt[place..end]);
            for other in &others {
                let mut session = loaded(other, &bytes);
                assert_eq!(session.tokens(), &prompt[..place], "{name}");
                assert!(
                    output(&mut session, &prompt[place..end]) == went_on,
                    "{name} from {place} on {}",
                    other.isa().name()
                );
            }
        }
    }
}

#[test]
fn the_bytes_depend_only_on_the_model_and_the_tokens() {
    for name in ["llama", "gemma3-long", "mistral-long"] {
        let prompt = expected(name).input_ids;
        let bytes_of = |options: &Options| {
            let mut session = open(name, options).session().unwrap();
            session.prefill(&prompt).unwrap();
            saved(&mut session)
        };
        let bytes = bytes_of(&all_rows());
        for options in elsewhere(prompt.len()) {
            assert!(bytes_of(&options) == bytes, "{name}, {:?}", options.isa);
        }
        // Other rows in the caches, which belong to tokens that were removed, are not part of it.
        let mut session = open(name, &all_rows()).session().unwrap();
        session.prefill(&prompt).unwrap();
        session.step(7).unwrap();
        session.truncate(prompt.len()).unwrap();
        assert!(saved(&mut session) == bytes, "{name}, truncated");
        assert!(saved(&mut loaded(&open(name, &all_rows()), &bytes)) == bytes);
    }
}

#[test]
fn windows_keep_the_file_short() {
    // 600 tokens in windows of 48: each of 4 layers has 48 rows of 2 × 2 heads × 16 elements.
    let bytes_at = |place: usize| {
        let mut session = open("mistral-long", &all_rows()).session().unwrap();
        let prompt = expected("mistral-long").input_ids;
        session.prefill(&prompt[..place]).unwrap();
        saved(&mut session).len()
    };
    assert_eq!(bytes_at(500) - bytes_at(400), 100 * size_of::<u32>());
    assert!(bytes_at(48) - bytes_at(47) > size_of::<u32>());
}

#[test]
fn the_logits_of_the_last_token_can_be_had_again() {
    for name in decoders() {
        let model = open(name, &Options::default());
        let prompt = expected(name).input_ids;
        let mut session = model.session().unwrap();
        let logits = bits(session.prefill(&prompt).unwrap());
        let mut loaded = loaded(&model, &saved(&mut session));
        assert!(loaded.logits().is_empty());
        assert!(bits(loaded.read_last_again().unwrap()) == logits, "{name}");
        assert_eq!(loaded.tokens(), prompt);
    }
}

#[test]
fn a_truncated_session_reads_again_what_the_file_did_not_have() {
    for (name, window) in [("llama", None), ("mistral", Some(16)), ("gemma3", Some(16))] {
        let model = open(name, &all_rows());
        let prompt = expected(name).input_ids;
        let fresh = output(&mut model.session().unwrap(), &prompt);
        let mut session = model.session().unwrap();
        session.prefill(&prompt[..30]).unwrap();
        let bytes = saved(&mut session);
        for keep in [0, 10, 16, 28, 29, 30, 31] {
            let mut session = loaded(&model, &bytes);
            session.truncate(keep).unwrap();
            let kept = keep.min(30);
            let again = match window {
                Some(_) if keep < 29 => kept,
                _ => 0,
            };
            assert_eq!((session.position(), session.unread()), (kept, again));
            let width = session.logits_width();
            assert!(
                output(&mut session, &prompt[kept..]) == fresh[kept * width..],
                "{name} from {kept}"
            );
        }
    }
}

#[test]
fn a_loaded_session_forks_and_is_saved_again() {
    let model = open("mistral", &all_rows());
    let prompt = expected("mistral").input_ids;
    let mut session = model.session().unwrap();
    session.prefill(&prompt[..30]).unwrap();
    let mut loaded = loaded(&model, &saved(&mut session));
    let mut fork = loaded.fork().unwrap();
    assert!(saved(&mut fork) == saved(&mut session));
    fork.truncate(20).unwrap();
    assert_eq!(fork.unread(), 20);
    assert!(output(&mut loaded, &prompt[30..]) == output(&mut session, &prompt[30..]));
}

#[test]
fn tokens_whose_rows_are_gone_are_read_again_before_they_are_saved() {
    let model = open("mistral", &all_rows());
    let prompt = expected("mistral").input_ids;
    let mut session = model.session().unwrap();
    session.prefill(&prompt[..29]).unwrap();
    let expected = saved(&mut session);
    session.prefill(&prompt[29..30]).unwrap();
    let mut loaded = loaded(&model, &saved(&mut session));
    // The token at 29 sees 14 to 29, and those rows exist. The token at 28 sees 13, which does not.
    loaded.truncate(29).unwrap();
    assert_eq!(loaded.unread(), 0);
    assert!(saved(&mut loaded) == expected);
    assert_eq!(loaded.position(), 29);
}

#[test]
fn an_engine_saves_and_loads_the_same_bytes() {
    for name in ["llama", "mistral", "gemma3-long", "qwen3"] {
        let options = Options::new().chunk(24).sequences(3);
        let model = open(name, &options);
        let engine = model.engine(&EngineOptions::new()).unwrap();
        let prompt = expected(name).input_ids;
        let length = prompt.len() - 1;
        let mut alone = model.session().unwrap();
        alone.prefill(&prompt[..length]).unwrap();
        let bytes = saved(&mut alone);
        let logits = bits(alone.step(prompt[length]).unwrap());

        let mut session = engine.session(None).unwrap();
        session.prefill(&prompt).unwrap();
        session.truncate(length).unwrap();
        assert!(saved(&mut session) == bytes, "{name}, truncated");
        let mut fork = session.fork().unwrap();
        assert!(saved(&mut fork) == bytes, "{name}, forked");
        drop(fork);
        let mut loaded = engine.load_session(None, &mut &bytes[..]).unwrap();
        assert_eq!(loaded.tokens(), &prompt[..length]);
        assert!(
            bits(loaded.step(prompt[length]).unwrap()) == logits,
            "{name}"
        );
        assert!(
            bits(session.step(prompt[length]).unwrap()) == logits,
            "{name}"
        );
    }
}

#[test]
fn an_engine_without_room_for_a_saved_session_says_so_and_loses_nothing() {
    let model = open("llama", &Options::new().sequences(2));
    let engine = model.engine(&EngineOptions::new()).unwrap();
    let mut session = engine.session(40).unwrap();
    session.prefill(&[1; 40]).unwrap();
    let bytes = saved(&mut session);
    let refusal = |positions: usize, bytes: &[u8]| {
        let loaded = engine.load_session(positions, &mut &bytes[..]);
        loaded.err().unwrap().to_string()
    };
    assert_eq!(
        refusal(39, &bytes),
        "the session has 40 positions, but the context has 39"
    );
    let cut = &bytes[..bytes.len() - 1];
    assert!(refusal(40, cut).contains("cut off"));
    let loaded = engine.load_session(40, &mut &bytes[..]).unwrap();
    assert_eq!(refusal(40, &bytes), "all 2 sequences are in use");
    drop((session, loaded));
    assert_eq!(engine.pages().1, 0);
}

#[test]
fn a_session_without_tokens_is_saved_too() {
    let model = open("demo", &all_rows());
    let mut session = loaded(&model, &saved(&mut model.session().unwrap()));
    assert_eq!(session.position(), 0);
    assert!(session.read_last_again().is_err());
    let token = argmax(session.prefill(&[1, 2, 3]).unwrap());
    let mut fresh = model.session().unwrap();
    assert_eq!(argmax(fresh.prefill(&[1, 2, 3]).unwrap()), token);
}

#[test]
fn rows_are_loaded_unchanged_and_bad_outputs_are_refused() {
    let model = open("demo", &Options::default());
    let mut session = model.session().unwrap();
    session.prefill(&[1, 2, 3]).unwrap();
    let mut bytes = saved(&mut session);
    // The last row's last element, just before the checksum.
    let end = bytes.len() - 8;
    bytes[end - 4..end].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut digest = Digest::default();
    digest.add(&bytes[..end]);
    bytes[end..].copy_from_slice(&digest.value().to_le_bytes());
    let mut session = loaded(&model, &bytes);
    let error = session.step(4).unwrap_err();
    assert!(matches!(error, StepError::NotFinite { token: 3, .. }));
    assert_eq!((session.position(), session.logits().len()), (3, 0));
}
