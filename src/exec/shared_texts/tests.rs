//! Which texts share a step, and what an error or a panic of one means for the others.

use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use super::{Rows, SharedTexts};
use crate::exec::step_error::StepError;
use crate::{Model, Options};

/// What a text does with its rows: it keeps them, after a signal if it waits for one, or panics.
enum Sink {
    Keep(Vec<f32>),
    Wait(Receiver<()>),
    Panic,
}

impl Rows for Sink {
    fn add(&mut self, rows: &[f32]) {
        match self {
            Sink::Keep(kept) => kept.extend_from_slice(rows),
            Sink::Wait(signal) => {
                signal.recv().expect("the test signals");
                *self = Sink::Keep(rows.to_vec());
            }
            Sink::Panic => panic!("rows that nobody can take"),
        }
    }
}

/// Rows of 200 tokens fit in a step.
fn texts(name: &str) -> SharedTexts<Sink> {
    let folder = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    let options = Options::new().chunk(200).sequences(4).threads(1);
    let model = Model::open(folder.as_str(), &options).expect("the model opens");
    model.shared_texts().expect("there is memory")
}

fn text(number: usize) -> Vec<u32> {
    (0..5 + 3 * number as u32)
        .map(|at| (at * 7 + number as u32) % 200)
        .collect()
}

/// The bits that a text has alone.
fn alone(texts: &SharedTexts<Sink>, number: usize) -> Vec<u32> {
    let found = texts.read(vec![(text(number), Sink::Keep(Vec::new()))]);
    bits(found.into_iter().next().expect("an answer"))
}

fn bits(answer: Result<Sink, StepError>) -> Vec<u32> {
    match answer {
        Ok(Sink::Keep(rows)) => rows.iter().map(|x| x.to_bits()).collect(),
        _ => panic!("the text has no rows"),
    }
}

/// Waits until so many texts wait.
fn until_waiting(texts: &SharedTexts<Sink>, count: usize) {
    while texts.queue().waiting.len() < count {
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn texts_that_arrive_during_a_step_share_the_next_one() {
    for name in ["bert", "llama"] {
        let texts = texts(name);
        let expected: Vec<_> = (0..4).map(|number| alone(&texts, number)).collect();
        let before = texts.steps();
        let (signal, wait) = channel();
        thread::scope(|scope| {
            let first = scope.spawn(|| texts.read(vec![(text(0), Sink::Wait(wait))]));
            while !texts.queue().running || !texts.queue().waiting.is_empty() {
                thread::sleep(Duration::from_millis(1));
            }
            let others: Vec<_> = (1..4)
                .map(|number| {
                    let texts = &texts;
                    scope.spawn(move || texts.read(vec![(text(number), Sink::Keep(Vec::new()))]))
                })
                .collect();
            until_waiting(&texts, 3);
            signal.send(()).expect("the text waits");
            let all = std::iter::once(first).chain(others);
            for (thread, expected) in all.zip(&expected) {
                let found = thread.join().expect("no panic").into_iter().next();
                assert!(bits(found.expect("an answer")) == *expected, "{name}");
            }
        });
        assert_eq!(texts.steps() - before, 2, "{name}");
    }
}

#[test]
fn a_text_that_cannot_be_read_is_an_error_of_its_own() {
    for name in ["bert", "llama"] {
        let texts = texts(name);
        let expected = alone(&texts, 2);
        let keep = || Sink::Keep(Vec::new());
        let mut found = texts.read(vec![
            (vec![], keep()),
            (text(2), keep()),
            (vec![1, 1 << 30], keep()),
            (vec![1; 1 << 20], keep()),
        ]);
        let errors: Vec<_> = found.drain(2..).map(|answer| answer.err()).collect();
        assert!(matches!(
            errors[..],
            [
                Some(StepError::UnknownToken { .. }),
                Some(StepError::ContextFull { .. })
            ]
        ));
        assert!(bits(found.remove(1)) == expected, "{name}");
        assert_eq!(found.remove(0).err(), Some(StepError::Empty));
        assert!(texts.read(Vec::new()).is_empty());
    }
}

#[test]
fn more_texts_than_a_step_reads_are_read_in_several() {
    for name in ["bert", "llama"] {
        let texts = texts(name);
        let expected: Vec<_> = (0..30).map(|number| alone(&texts, number)).collect();
        let before = texts.steps();
        let given = (0..30).map(|number| (text(number), Sink::Keep(Vec::new())));
        let found = texts.read(given.collect());
        for (number, (answer, expected)) in found.into_iter().zip(&expected).enumerate() {
            assert!(bits(answer) == *expected, "{name} {number}");
        }
        // 1,455 tokens, 200 in a step: fewer steps than texts, and no text waits for a text of another call.
        let steps = texts.steps() - before;
        assert!((8..30).contains(&steps), "{name}: {steps} steps");
    }
}

#[test]
fn a_panic_in_a_step_loses_the_step_s_texts_and_nothing_else() {
    for name in ["bert", "llama"] {
        let texts = texts(name);
        let expected = alone(&texts, 1);
        let panicked = thread::scope(|scope| {
            let panics = scope.spawn(|| texts.read(vec![(text(0), Sink::Panic)]));
            panics.join().is_err()
        });
        assert!(panicked);
        assert!(alone(&texts, 1) == expected, "{name}");
    }
}
