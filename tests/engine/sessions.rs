//! Do sessions of an engine, each on a thread of its own, compute what sessions alone compute?

use std::thread;
use std::time::Instant;

use smallmind::{EngineOptions, Event, GenerateOptions, Model, Options, Session};

use crate::common::{argmax, bits, decoders, open};

/// Sessions side by side.
const SESSIONS: usize = 4;

/// A prompt of its own for each session, whose first tokens are the same.
fn prompt(number: usize, length: usize) -> Vec<u32> {
    let token = |at: usize| match at < length / 2 {
        true => at * 37 + 5,
        false => at * 41 + number * 91,
    };
    (0..length).map(|at| (token(at) % 250) as u32).collect()
}

fn model(name: &str) -> Model {
    open(
        name,
        &Options::new().chunk(24).sequences(SESSIONS).threads(2),
    )
}

/// The bits of the logits after the prompt and after each of the tokens that are chosen greedily, where `read` reads tokens
/// and returns the logits after them.
fn greedy(mut read: impl FnMut(&[u32]) -> Vec<f32>, prompt: &[u32], steps: usize) -> Vec<Vec<u32>> {
    let mut logits = read(prompt);
    let mut all = vec![bits(&logits)];
    for _ in 0..steps {
        logits = read(&[argmax(&logits)]);
        all.push(bits(&logits));
    }
    all
}

/// In a session of its own.
fn alone(model: &Model, prompt: &[u32], steps: usize) -> Vec<Vec<u32>> {
    among(&mut model.session().unwrap(), prompt, steps)
}

/// In this session.
fn among(session: &mut Session, prompt: &[u32], steps: usize) -> Vec<Vec<u32>> {
    let read = |tokens: &[u32]| match *tokens {
        [token] => session.step(token).unwrap().to_vec(),
        _ => session.prefill(tokens).unwrap().to_vec(),
    };
    greedy(read, prompt, steps)
}

#[test]
fn sessions_of_several_threads_have_the_bits_that_they_have_alone() {
    for name in decoders() {
        let model = model(name);
        let engine = model.engine(&EngineOptions::new()).unwrap();
        let (steps, most) = (9, model.context() - 10);
        let prompts: Vec<_> = (0..SESSIONS)
            .map(|n| prompt(n, (40 * n + 3).min(most)))
            .collect();
        thread::scope(|scope| {
            for prompt in &prompts {
                let mut session = engine.session(None).unwrap();
                let model = &model;
                scope.spawn(move || {
                    let found = among(&mut session, prompt, steps);
                    assert_eq!(found, alone(model, prompt, steps), "{name}");
                });
            }
        });
    }
}

#[test]
fn sessions_and_requests_share_steps_and_keep_their_bits() {
    let model = model("llama");
    let mut engine = model.engine(&EngineOptions::new()).unwrap();
    let options = GenerateOptions::new().max_tokens(30).greedy();
    let (mine, theirs) = (prompt(0, 70), prompt(1, 50));
    let mut session = engine.session(120).unwrap();
    let worker = thread::spawn({
        let mine = mine.clone();
        move || among(&mut session, &mine, 20)
    });
    engine.add_tokens(&theirs, &options).unwrap();
    let mut tokens = Vec::new();
    while !engine.is_idle() {
        for event in engine.step() {
            if let Event::Finished { generation, .. } = event {
                tokens = generation.tokens;
            }
        }
    }
    assert_eq!(worker.join().unwrap(), alone(&model, &mine, 20));
    let mut session = model.session().unwrap();
    let mut next = argmax(session.prefill(&theirs).unwrap());
    for token in tokens {
        assert_eq!(token, next);
        next = argmax(session.step(token).unwrap());
    }
}

#[test]
fn a_truncated_session_goes_on_as_if_the_tokens_had_never_been_read() {
    // Windows of 16 and more positions, and none.
    for name in ["llama", "mistral", "gemma3"] {
        let model = model(name);
        let engine = model.engine(&EngineOptions::new()).unwrap();
        let mut session = engine.session(None).unwrap();
        let mut other = engine.session(None).unwrap();
        let read = prompt(0, model.context() - 8);
        session.prefill(&read).unwrap();
        // Another session reads the same pages, which must stay as they are.
        let whole = among(&mut other, &read, 0);
        for position in [read.len() - 1, read.len() / 2, 3, 0] {
            session.truncate(position).unwrap();
            assert_eq!(session.position(), position);
            assert!(session.logits().is_empty());
            let next = prompt(2, 5);
            let kept = [&read[..position], &next].concat();
            assert_eq!(
                among(&mut session, &next, 1),
                alone(&model, &kept, 1),
                "{name} {position}"
            );
        }
        drop(other);
        let mut again = engine.session(None).unwrap();
        assert_eq!(among(&mut again, &read, 0), whole);
    }
}

#[test]
fn a_fork_goes_on_where_its_origin_stands() {
    let model = model("mistral");
    let engine = model.engine(&EngineOptions::new()).unwrap();
    let mut session = engine.session(None).unwrap();
    let read = prompt(0, 90);
    session.prefill(&read).unwrap();
    let mut fork = session.fork().unwrap();
    assert_eq!(fork.tokens(), session.tokens());
    assert_eq!(bits(fork.logits()), bits(session.logits()));
    for (session, number) in [(&mut fork, 1), (&mut session, 2)] {
        let next = prompt(number, 4);
        let all = [&read[..], &next].concat();
        assert_eq!(among(session, &next, 2), alone(&model, &all, 2));
    }
}

#[test]
fn a_session_whose_engine_is_gone_says_so() {
    let model = model("llama");
    let engine = model.engine(&EngineOptions::new()).unwrap();
    let mut session = engine.session(None).unwrap();
    session.prefill(&[1, 2, 3]).unwrap();
    drop(engine);
    let error = session.step(4).unwrap_err();
    assert_eq!(error.to_string(), "the engine of this session is gone");
    assert!(session.truncate(1).is_err());
    // What it knows it still tells.
    assert_eq!(session.tokens(), [1, 2, 3]);
    assert!(!session.logits().is_empty());
}

#[test]
fn a_forgotten_session_keeps_its_slot_and_nothing_else_is_lost() {
    let model = model("llama");
    let engine = model.engine(&EngineOptions::new()).unwrap();
    let mut forgotten = engine.session(None).unwrap();
    forgotten.prefill(&[1, 2, 3]).unwrap();
    std::mem::forget(forgotten);
    let mut others: Vec<_> = (1..SESSIONS)
        .map(|_| engine.session(None).unwrap())
        .collect();
    let refused = engine.session(None).unwrap_err();
    assert_eq!(refused.to_string(), "all 4 sequences are in use");
    let expected = alone(&model, &prompt(0, 30), 3);
    for session in &mut others {
        assert_eq!(among(session, &prompt(0, 30), 3), expected);
    }
    others.pop();
    assert!(engine.session(None).is_ok());
}

#[test]
fn dropped_sessions_return_their_pages() {
    let model = model("gemma3");
    let mut engine = model.engine(&EngineOptions::new()).unwrap();
    for round in 0..20 {
        let mut session = engine.session(None).unwrap();
        session.prefill(&prompt(round, 100)).unwrap();
        let _fork = session.fork().unwrap();
    }
    let (_, promised, _) = engine.pages();
    assert_eq!(promised, 0);
    engine.clear();
    let (all, _, free) = engine.pages();
    assert_eq!(free, all);
}

#[test]
fn a_session_of_more_positions_than_there_are_is_refused_with_the_numbers() {
    let model = model("llama");
    let engine = model.engine(&EngineOptions::new()).unwrap();
    let context = model.context();
    let refused = engine.session(context + 1).unwrap_err().to_string();
    assert_eq!(
        refused,
        format!(
            "{} positions do not fit into a context of {context}",
            context + 1
        )
    );
    let mut session = engine.session(5).unwrap();
    assert_eq!(session.context(), 5);
    let error = session.prefill(&prompt(0, 6)).unwrap_err().to_string();
    assert_eq!(
        error,
        "the context is full: 0 of 5 positions are taken, and 6 more do not fit"
    );
    session.prefill(&prompt(0, 5)).unwrap();
}

/// With `SMALLMIND_TEST_SESSIONS` naming a model: four sessions on four threads generate at least 1.8 times as many tokens
/// in the same time as one session alone. Other programs on the machine would make the figure worthless.
#[test]
fn four_sessions_on_four_threads_are_faster_than_one() {
    let Some(path) = std::env::var_os("SMALLMIND_TEST_SESSIONS") else {
        return;
    };
    let options = Options::new().sequences(SESSIONS).context(512);
    let model = Model::open(std::path::PathBuf::from(path), &options).unwrap();
    let engine = model.engine(&EngineOptions::new()).unwrap();
    let steps = 64;
    // Tokens in a second of `sessions` sessions together.
    let rate = |sessions: usize| {
        let mut all: Vec<_> = (0..sessions)
            .map(|_| engine.session(None).unwrap())
            .collect();
        for (number, session) in all.iter_mut().enumerate() {
            session.prefill(&prompt(number, 32)).unwrap();
        }
        let begun = Instant::now();
        thread::scope(|scope| {
            for session in &mut all {
                scope.spawn(move || {
                    for step in 0..steps {
                        session.step(step % 250).unwrap();
                    }
                });
            }
        });
        (sessions * steps as usize) as f64 / begun.elapsed().as_secs_f64()
    };
    let pair = |_| {
        let (four, one) = (rate(SESSIONS), rate(1));
        println!("{four:.0} and {one:.0} tokens a second");
        four / one
    };
    let mut ratios: Vec<f64> = (0..5).map(pair).collect();
    ratios.sort_by(f64::total_cmp);
    println!("four sessions against one: {ratios:.2?}");
    assert!(ratios[2] >= 1.8, "{ratios:.2?}");
}
