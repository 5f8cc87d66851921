//! Do layers that keep only the rows of their window lose anything that is needed?

use std::time::Duration;

use smallmind::{Cancel, Options, Session, StepError};

use crate::common::{all_rows, bits, expected, open, run};

/// Both models see windows of 48 positions, the second in five of six layers; their texts have 600 tokens.
const MODELS: [&str; 2] = ["mistral-long", "gemma3-long"];
/// With this chunk the rings hold 128 positions: 48 + 17, and a block without one.
const CHUNK: usize = 18;

fn options() -> Options {
    all_rows().chunk(CHUNK)
}

/// Every output bit of a prompt and some steps.
fn output(session: &mut Session, prompt: &[u32]) -> Vec<u32> {
    let (logits, rows, _) = run(session, prompt, 4);
    let rows = rows.iter().flat_map(|row| bits(row));
    bits(&logits).into_iter().chain(rows).collect()
}

#[test]
fn truncation_keeps_rows_as_far_as_windows_exist_and_otherwise_none() {
    for name in MODELS {
        let model = open(name, &options());
        assert!(model.plan().windowed_layers > 0, "{name}");
        let prompt = &expected(name).input_ids[..590];
        let fresh = output(&mut model.session().unwrap(), prompt);
        // Of 590 positions, the last 128 exist, from 462 on; the token at 509 sees back to 462.
        for (keep, kept) in [
            (590, 590),
            (589, 589),
            (590 - CHUNK, 590 - CHUNK),
            (509, 509),
            (508, 0),
            (200, 0),
            (1, 0),
            (0, 0),
        ] {
            let mut session = model.session().unwrap();
            session.prefill(prompt).unwrap();
            session.truncate(keep).unwrap();
            let found = (session.position(), session.unread());
            assert_eq!(found, (keep, keep - kept), "{name}");
            if keep == prompt.len() {
                continue;
            }
            // Other tokens overwrite the rows that were removed, and are then removed themselves.
            let other: Vec<u32> = prompt[..20].iter().rev().copied().collect();
            session.prefill(&other[..20.min(590 - keep)]).unwrap();
            session.truncate(keep).unwrap();
            let width = session.logits_width();
            assert!(
                output(&mut session, &prompt[keep..]) == fresh[keep * width..],
                "{name} from {keep}"
            );
        }
    }
}

#[test]
fn a_cancelled_prompt_continues_from_where_it_stopped() {
    for name in MODELS {
        let model = open(name, &options());
        let prompt = expected(name).input_ids;
        let last = |session: &Session| bits(session.logits_row());
        let mut session = model.session().unwrap();
        session.prefill(&prompt).unwrap();
        let expected = last(&session);
        for microseconds in (0..20_000).step_by(700) {
            session.truncate(0).unwrap();
            let cancel = Cancel::new();
            let read = std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_micros(microseconds));
                    cancel.cancel();
                });
                session.prefill_until(&prompt, &cancel).map(|_| ())
            });
            if let Err(error) = read {
                let position = session.position();
                assert_eq!(error, StepError::Cancelled { position });
                session.prefill(&prompt[position..]).unwrap();
            }
            assert!(last(&session) == expected, "{name}, {microseconds} µs");
        }
    }
}

#[test]
fn forks_have_rings_of_their_own() {
    for name in MODELS {
        let model = open(name, &options());
        let prompt = expected(name).input_ids;
        let mut session = model.session().unwrap();
        session.prefill(&prompt[..300]).unwrap();
        let mut fork = session.fork().unwrap();
        let other: Vec<u32> = prompt[..200].iter().rev().copied().collect();
        session.prefill(&other).unwrap();
        let forked = output(&mut fork, &prompt[300..400]);
        let mut alone = model.session().unwrap();
        alone.prefill(&prompt[..300]).unwrap();
        assert!(forked == output(&mut alone, &prompt[300..400]), "{name}");
        // The fork has its own rows too: of its 404 positions, the last 128 exist.
        fork.truncate(330).unwrap();
        assert_eq!(fork.unread(), 0);
        fork.truncate(320).unwrap();
        assert_eq!(fork.unread(), 320);
    }
}
