//! Do prompts and single steps allocate anything?

use smallmind::model::{Activations, Logits};
use smallmind::{Model, Options};

use crate::allocations;
use crate::common::quantized::{Family, mixed, written};
use crate::common::{decoders, expected, open};

pub fn prompts_and_steps_allocate_nothing_and_fit_the_plan() {
    for name in decoders() {
        for logits in [Logits::Last, Logits::All] {
            for (threads, stop_after) in [(1, None), (2, None), (2, Some("none".to_string()))] {
                let mut options = Options::new().threads(threads).chunk(16).logits(logits);
                options.stop_after = stop_after;
                let model = open(name, &options);
                let prompt = expected(name).input_ids;
                let prompt: Vec<u32> = prompt.into_iter().cycle().take(100).collect();
                let mut session = model.session().unwrap();
                // The first job starts the pool's threads.
                session.step(prompt[0]).unwrap();
                for round in 0..2 {
                    let what = format!("{name}, {threads} threads, {logits:?}, round {round}");
                    session.truncate(0).unwrap();
                    let read = allocations(|| {
                        session.prefill(&prompt).unwrap();
                        for token in 0..8 {
                            session.step(token).unwrap();
                        }
                    });
                    assert_eq!(read, 0, "{what}");
                }
                let mut bytes = Vec::new();
                session.save(&mut bytes).unwrap();
                let mut loaded = model.load_session(&mut &bytes[..]).unwrap();
                let read = allocations(|| {
                    loaded.prefill(&prompt[..10]).unwrap();
                    for token in 0..4 {
                        loaded.step(token).unwrap();
                    }
                });
                assert_eq!(read, 0, "{name}, loaded");
            }
        }
    }
    let prompt: Vec<u32> = (0..40).collect();
    for family in [Family::Llama, Family::Gpt2] {
        let file = written(&mixed(family));
        for activations in [Activations::Int8, Activations::F32] {
            for threads in [1, 2] {
                let options = Options::new()
                    .threads(threads)
                    .chunk(16)
                    .activations(activations);
                let model = Model::open(&file.path, &options).unwrap();
                let mut session = model.session().unwrap();
                session.step(prompt[0]).unwrap();
                session.truncate(0).unwrap();
                let count = allocations(|| {
                    session.prefill(&prompt).unwrap();
                    for token in 0..8 {
                        session.step(token).unwrap();
                    }
                });
                assert_eq!(count, 0, "{family:?}, {threads} threads, {activations:?}");
            }
        }
    }
}
