//! Is a session that is loaded from a file the same as it was, wherever it is loaded?

use smallmind::files::digest::Digest;
use smallmind::kernels::simd::Isa;
use smallmind::{Model, Options, SavedSessionError, Session, StepError};

use crate::common::{all_rows, argmax, bits, decoders, expected, open, run};

/// Decode steps after each prompt.
const STEPS: usize = 4;

/// Every output bit of a prompt and some steps.
fn output(session: &mut Session, prompt: &[u32]) -> Vec<u32> {
    let (logits, rows, _) = run(session, prompt, STEPS);
    let rows = rows.iter().flat_map(|row| bits(row));
    bits(&logits).into_iter().chain(rows).collect()
}

fn saved(session: &Session) -> Vec<u8> {
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
            let bytes = saved(&session);
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
            saved(&session)
        };
        let bytes = bytes_of(&all_rows());
        for options in elsewhere(prompt.len()) {
            assert!(bytes_of(&options) == bytes, "{name}, {:?}", options.isa);
        }
        // Other rows in the caches, which belong to tokens that were removed, are not part of it.
        let mut session = open(name, &all_rows()).session().unwrap();
        session.prefill(&prompt).unwrap();
        session.step(7).unwrap();
        assert_eq!(session.truncate(prompt.len()), prompt.len());
        assert!(saved(&session) == bytes, "{name}, truncated");
        assert!(saved(&loaded(&open(name, &all_rows()), &bytes)) == bytes);
    }
}

#[test]
fn windows_keep_the_file_short() {
    // 600 tokens in windows of 48: each of 4 layers has 48 rows of 2 × 2 heads × 16 elements.
    let bytes_at = |place: usize| {
        let mut session = open("mistral-long", &all_rows()).session().unwrap();
        let prompt = expected("mistral-long").input_ids;
        session.prefill(&prompt[..place]).unwrap();
        saved(&session).len()
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
        let mut loaded = loaded(&model, &saved(&session));
        assert!(loaded.logits().is_empty());
        assert!(bits(loaded.read_last_again().unwrap()) == logits, "{name}");
        assert_eq!(loaded.tokens(), prompt);
    }
}

#[test]
fn truncation_says_from_where_tokens_must_be_read_again() {
    for (name, window) in [("llama", None), ("mistral", Some(16)), ("gemma3", Some(16))] {
        let model = open(name, &all_rows());
        let prompt = expected(name).input_ids;
        let fresh = output(&mut model.session().unwrap(), &prompt);
        let mut session = model.session().unwrap();
        session.prefill(&prompt[..30]).unwrap();
        let bytes = saved(&session);
        for keep in [0, 10, 16, 28, 29, 30, 31] {
            let mut session = loaded(&model, &bytes);
            let kept = session.truncate(keep);
            let expected = match window {
                _ if keep >= 30 => 30,
                Some(_) if keep < 29 => 0,
                _ => keep,
            };
            assert_eq!((kept, session.position()), (expected, expected), "{name}");
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
    let mut loaded = loaded(&model, &saved(&session));
    let mut fork = loaded.fork().unwrap();
    assert!(saved(&fork) == saved(&session));
    assert_eq!(fork.truncate(20), 0);
    assert!(output(&mut loaded, &prompt[30..]) == output(&mut session, &prompt[30..]));
}

#[test]
fn a_session_whose_last_token_cannot_be_read_again_is_not_saved() {
    let model = open("mistral", &all_rows());
    let prompt = expected("mistral").input_ids;
    let mut session = model.session().unwrap();
    session.prefill(&prompt[..30]).unwrap();
    let mut loaded = loaded(&model, &saved(&session));
    // The token at 29 sees 14 to 29, and those rows exist. The token at 28 sees 13, which does not.
    assert_eq!(loaded.truncate(29), 29);
    let mut bytes = Vec::new();
    let error = loaded.save(&mut bytes).unwrap_err();
    assert!(
        matches!(error, SavedSessionError::RowGone { position: 13 }),
        "{error}"
    );
    assert!(bytes.is_empty());
    loaded.prefill(&prompt[29..30]).unwrap();
    assert!(saved(&loaded) == saved(&session));
}

#[test]
fn a_session_without_tokens_is_saved_too() {
    let model = open("demo", &all_rows());
    let mut session = loaded(&model, &saved(&model.session().unwrap()));
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
    let mut bytes = saved(&session);
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
