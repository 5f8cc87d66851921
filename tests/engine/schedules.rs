//! Are the logits of a sequence the same to the bit, whatever others are in the step, whenever they come and go?

use proptest::prelude::*;
use smallmind::exec::batcher::{Batcher, SequenceId, pages_of};
use smallmind::{Model, Options};

use crate::common::{argmax, bits, decoders, open};

/// Sequences side by side.
const SEQUENCES: usize = 16;

/// A sequence of a random schedule.
#[derive(Clone, Debug)]
struct Drawn {
    /// The step before which it is opened.
    arrival: usize,
    /// Tokens of its prompt; the first `common` are the same in all sequences.
    prompt: usize,
    common: usize,
    /// Selects its other tokens.
    turn: u32,
    /// Tokens that it generates.
    generated: usize,
}

impl Drawn {
    fn tokens(&self) -> Vec<u32> {
        let token = |at: usize, turn: u32| (at as u32 * 37 + turn * 91 + 5) % 250;
        let tokens = (0..self.prompt).map(|at| match at < self.common {
            true => token(at, 0),
            false => token(at, self.turn),
        });
        tokens.collect()
    }
}

fn drawn(longest: usize) -> impl Strategy<Value = Drawn> {
    let prompt = prop_oneof![1..20usize, 1..longest];
    (0..12usize, prompt, 0..longest, 1..4u32, 1..6usize).prop_map(
        |(arrival, prompt, common, turn, generated)| Drawn {
            arrival,
            prompt,
            common: common.min(prompt),
            turn,
            generated,
        },
    )
}

/// The logits of each generated token, in a session of its own.
fn alone(model: &Model, drawn: &Drawn) -> Vec<Vec<u32>> {
    let mut session = model.session().unwrap();
    let mut logits = session.prefill(&drawn.tokens()).unwrap().to_vec();
    let mut all = vec![bits(&logits)];
    for _ in 1..drawn.generated {
        logits = session.step(argmax(&logits)).unwrap().to_vec();
        all.push(bits(&logits));
    }
    all
}

/// The logits of all sequences, which are opened as scheduled and closed when they are done; `room` tokens per step.
fn together(batcher: &mut Batcher, schedule: &[Drawn], room: usize) -> Vec<Vec<Vec<u32>>> {
    let mut results = vec![Vec::new(); schedule.len()];
    let mut open: Vec<(usize, SequenceId)> = Vec::new();
    let mut waiting: Vec<usize> = (0..schedule.len()).collect();
    waiting.sort_by_key(|&number| schedule[number].arrival);
    let mut step = 0;
    while !(waiting.is_empty() && open.is_empty()) {
        while let Some(&number) = waiting.first() {
            let drawn = &schedule[number];
            if drawn.arrival > step && !open.is_empty() {
                break;
            }
            match batcher.open(drawn.prompt + drawn.generated) {
                Ok(id) => {
                    batcher.push(id, &drawn.tokens()).unwrap();
                    open.push((number, id));
                    waiting.remove(0);
                }
                Err(refused) => {
                    assert!(refused.is_for_now(), "{refused}");
                    break;
                }
            }
        }
        assert!(batcher.step(room).unwrap() > 0);
        step += 1;
        open.retain(|&(number, id)| {
            let Some(logits) = batcher.logits(id).unwrap() else {
                return true;
            };
            results[number].push(bits(logits));
            let next = argmax(logits);
            let goes_on = results[number].len() < schedule[number].generated;
            match goes_on {
                true => batcher.push(id, &[next]).unwrap(),
                false => batcher.close(id),
            }
            goes_on
        });
    }
    results
}

/// The model, whose prompts are cut into small chunks so that schedules mix them.
fn model(name: &str) -> Model {
    open(
        name,
        &Options::new().chunk(24).sequences(SEQUENCES).threads(2),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn every_sequence_has_the_bits_that_it_has_alone(
        schedule in prop::collection::vec(drawn(150), 1..SEQUENCES),
        room in 1..40usize,
        scarce in any::<bool>(),
    ) {
        for name in decoders() {
            let model = model(name);
            let longest = model.context();
            let fits: Vec<Drawn> = schedule
                .iter()
                .map(|drawn| {
                    let prompt = drawn.prompt.min(longest - drawn.generated);
                    Drawn { prompt, common: drawn.common.min(prompt), ..drawn.clone() }
                })
                .collect();
            let plan = &model.compiled().plan;
            let needed = fits.iter().map(|drawn| pages_of(plan, drawn.prompt + drawn.generated));
            // Pages for the longest sequence only, or for all sequences.
            let pages = match scarce {
                true => needed.max().unwrap(),
                false => needed.sum(),
            };
            let mut batcher = model.batcher(pages).unwrap();
            let found = together(&mut batcher, &fits, room);
            for (drawn, found) in fits.iter().zip(found) {
                prop_assert!(found == alone(&model, drawn), "{name} {drawn:?}");
            }
            batcher.clear();
            prop_assert_eq!(batcher.pages(), (pages, 0, pages));
        }
    }
}

#[test]
fn sequences_that_come_and_go_leave_nothing() {
    let model = model("mistral");
    let plan = &model.compiled().plan;
    let pages = 3 * pages_of(plan, 100);
    let mut batcher = model.batcher(pages).unwrap();
    let one = Drawn {
        arrival: 0,
        prompt: 70,
        common: 64,
        turn: 1,
        generated: 2,
    };
    let expected = alone(&model, &one);
    // More of them in long checks.
    let rounds = std::env::var("SMALLMIND_TEST_ROUNDS");
    let rounds = rounds.map_or(300, |rounds| rounds.parse().unwrap());
    let mut times = Vec::new();
    for round in 0..rounds {
        let begun = std::time::Instant::now();
        let mut schedule = vec![one.clone(); 1 + round % 4];
        schedule.push(Drawn {
            turn: 2 + round as u32 % 7,
            prompt: 3 + round % 40,
            common: 0,
            ..one.clone()
        });
        let found = together(&mut batcher, &schedule, 64);
        assert!(found[0] == expected, "round {round}");
        let (_, promised, _) = batcher.pages();
        assert_eq!(promised, 0);
        times.push(begun.elapsed());
    }
    let mean = |times: &[std::time::Duration]| {
        times.iter().sum::<std::time::Duration>() / times.len() as u32
    };
    let part = rounds / 10;
    println!(
        "{rounds} rounds; a round of the first tenth took {:?}, of the last {:?}",
        mean(&times[..part]),
        mean(&times[rounds - part..])
    );
    batcher.clear();
    assert_eq!(batcher.pages(), (pages, 0, pages));
}
