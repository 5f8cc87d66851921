//! Are the logits of a sequence the same to the bit, whatever others are in the step, whenever they come and go?

use std::time::{Duration, Instant};

use proptest::prelude::*;
use smallmind::exec::batcher::{Batcher, SequenceId, pages_of};
use smallmind::graph::interpreter::Interpreter;
use smallmind::kernels::simd::Isa;
use smallmind::model::ModelFiles;
use smallmind::{Model, Options};

use crate::common::{argmax, bits, decoders, long_run, open, source};

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
    /// Steps after which it is closed, done or not.
    closed: Option<usize>,
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
    let prompt = prop_oneof![4 => 1..20usize, 4 => 1..=150usize, 1 => 1..=longest];
    let closed = prop_oneof![3 => Just(None), 1 => (1..8usize).prop_map(Some)];
    let parts = (0..20usize, prompt, 0..=longest, 1..4u32, 1..8usize, closed);
    parts.prop_map(|(arrival, prompt, common, turn, generated, closed)| Drawn {
        arrival,
        prompt,
        common: common.min(prompt),
        turn,
        generated,
        closed,
    })
}

/// The logits of each generated token, in a session of its own, and the tokens but the last.
fn alone(model: &Model, drawn: &Drawn) -> (Vec<Vec<u32>>, Vec<u32>) {
    let mut session = model.session().unwrap();
    let mut logits = session.prefill(&drawn.tokens()).unwrap().to_vec();
    let (mut all, mut tokens) = (vec![bits(&logits)], Vec::new());
    for _ in 1..drawn.generated {
        tokens.push(argmax(&logits));
        logits = session.step(argmax(&logits)).unwrap().to_vec();
        all.push(bits(&logits));
    }
    (all, tokens)
}

/// The logits of each generated token, as the graph of the model means them.
fn meant(model: &Model, files: &ModelFiles, drawn: &Drawn, generated: &[u32]) -> Vec<Vec<u32>> {
    let tokens: Vec<i32> = drawn
        .tokens()
        .iter()
        .chain(generated)
        .map(|&token| token as i32)
        .collect();
    let wanted: Vec<i32> = (drawn.prompt - 1..tokens.len()).map(|t| t as i32).collect();
    let weights = files.weights.as_ref().unwrap();
    let mut interpreter = Interpreter::new(&model.compiled().graph, weights).unwrap();
    let outputs = interpreter.step_wanting(&tokens, &wanted);
    let rows = outputs[0].floats();
    rows.chunks(outputs[0].width()).map(bits).collect()
}

/// The logits of all sequences, which are opened as scheduled and closed when they are done or are to be closed; each
/// step has room for as many tokens as the next of `rooms`.
fn together(batcher: &mut Batcher, schedule: &[Drawn], rooms: &[usize]) -> Vec<Vec<Vec<u32>>> {
    let mut results = vec![Vec::new(); schedule.len()];
    let mut open: Vec<(usize, SequenceId, usize)> = Vec::new();
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
                    open.push((number, id, step));
                    waiting.remove(0);
                }
                Err(refused) => {
                    assert!(refused.is_for_now(), "{refused}");
                    break;
                }
            }
        }
        let room = rooms[step % rooms.len()];
        let read = batcher.step(room).unwrap();
        assert!((1..=room).contains(&read));
        step += 1;
        open.retain(|&(number, id, begun)| {
            let drawn = &schedule[number];
            let mut goes_on = true;
            if let Some(logits) = batcher.logits(id).unwrap() {
                results[number].push(bits(logits));
                let next = argmax(logits);
                goes_on = results[number].len() < drawn.generated;
                if goes_on {
                    batcher.push(id, &[next]).unwrap();
                }
            }
            goes_on &= drawn.closed.is_none_or(|steps| step - begun < steps);
            if !goes_on {
                batcher.close(id);
            }
            goes_on
        });
    }
    results
}

/// The model, whose prompts are cut into small chunks so that schedules mix them.
fn options() -> Options {
    Options::new().chunk(24).sequences(SEQUENCES).threads(2)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: long_run("SMALLMIND_TEST_CASES", 25),
        failure_persistence: None,
        max_shrink_time: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_sequence_has_the_bits_that_it_has_alone_and_that_its_graph_means(
        name in prop::sample::select(decoders().collect::<Vec<_>>()),
        isa in prop::sample::select(Isa::available()),
        threads in 1..4usize,
        schedule in prop::collection::vec(drawn(330), 1..=SEQUENCES + 4),
        rooms in prop::collection::vec(1..40usize, 1..6),
        // Hundredths of the pages that all sequences together need.
        pages in prop_oneof![Just(0usize), 0..100usize, Just(100)],
        seen: prop::sample::Index,
    ) {
        let options = options().threads(threads).isa(isa.name());
        let model = open(name, &options);
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
        // At least for the longest sequence.
        let pages = needed.clone().max().unwrap().max(needed.sum::<usize>() * pages / 100);
        let mut batcher = model.batcher(pages).unwrap();
        let found = together(&mut batcher, &fits, &rooms);
        for (number, (drawn, found)) in fits.iter().zip(found).enumerate() {
            let (expected, generated) = alone(&model, drawn);
            prop_assert!(drawn.closed.is_some() || found.len() == drawn.generated);
            prop_assert!(found == expected[..found.len()], "{name} {drawn:?}");
            // The interpreter is slow: it runs for one sequence of each schedule.
            if number == seen.index(fits.len()) {
                let files = ModelFiles::open(&source(name), &options).unwrap();
                prop_assert!(meant(&model, &files, drawn, &generated) == expected, "{name} {drawn:?}");
            }
        }
        batcher.clear();
        prop_assert_eq!(batcher.pages(), (pages, 0, pages));
    }
}

#[test]
fn sequences_that_come_and_go_leave_nothing() {
    let model = open("mistral", &options());
    let plan = &model.compiled().plan;
    let pages = 3 * pages_of(plan, 100);
    let mut batcher = model.batcher(pages).unwrap();
    let one = Drawn {
        arrival: 0,
        prompt: 70,
        common: 64,
        turn: 1,
        generated: 2,
        closed: None,
    };
    let (expected, _) = alone(&model, &one);
    // More of them, and for longer, in long checks.
    let rounds = long_run("SMALLMIND_TEST_ROUNDS", 300);
    let least = Duration::from_secs(long_run("SMALLMIND_TEST_SECONDS", 0));
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.len() < rounds || begun.elapsed() < least {
        let round = times.len();
        let begun = Instant::now();
        let mut schedule = vec![one.clone(); 1 + round % 4];
        schedule.push(Drawn {
            turn: 2 + round as u32 % 7,
            prompt: 3 + round % 40,
            common: 0,
            closed: (round % 3 == 0).then_some(1),
            ..one.clone()
        });
        let found = together(&mut batcher, &schedule, &[64]);
        assert!(found[0] == expected, "round {round}");
        let (_, promised, _) = batcher.pages();
        assert_eq!(promised, 0);
        times.push(begun.elapsed());
    }
    let rounds = times.len();
    let median = |times: &mut [Duration]| {
        times.sort();
        times[times.len() / 2]
    };
    let (first, last) = (
        median(&mut times[..rounds / 10]),
        median(&mut times[rounds - rounds / 10..]),
    );
    println!(
        "{rounds} rounds in {:.0?}; a round of the first tenth took {first:?}, of the last {last:?}",
        begun.elapsed()
    );
    assert!(least.is_zero() || last < 2 * first, "{first:?}, {last:?}");
    batcher.clear();
    assert_eq!(batcher.pages(), (pages, 0, pages));
}
