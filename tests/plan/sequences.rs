//! Does a step over several sequences compute for each what its graph says for the sequence alone, wherever the pages
//! lie, and are steps refused whose pages don't fit?

use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;
use smallmind::exec::batch::BatchError;
use smallmind::exec::batcher::{Batcher, pages_of};
use smallmind::exec::executor::Ended;
use smallmind::exec::pages::Pages;
use smallmind::graph::interpreter::Interpreter;
use smallmind::graph::{Graph, NodeId, is_bidirectional, keeps_sequences_apart};
use smallmind::kernels::call::Sequence;
use smallmind::kernels::simd::Isa;
use smallmind::ops::Tensor;
use smallmind::plan::PlanOptions;
use smallmind::transform::Settings;
use smallmind::types::{DType, Dim};

use super::runner::{Runner, bit, fuse, want_rows};
use crate::common::graph_text::{VOCAB, graph};
use crate::common::random::Random;
use crate::common::random_graph::arbitrary_graph;
use crate::common::seeded_weights::{SeededWeights, executor, plan_options};

const CONTEXT: usize = 210;
const CHUNK: usize = 20;
const SEQUENCES: usize = 4;

fn options(threads: usize, isa: Isa) -> PlanOptions {
    PlanOptions {
        sequences: SEQUENCES,
        rows: Some(CHUNK),
        threads,
        isa,
        ..plan_options(CONTEXT, CHUNK)
    }
}

/// A random graph whose steps may read several sequences, fused or not, for all rows or for the wanted ones; `None` if
/// the seed makes another graph.
fn drawn_graph((seed, fused, narrow): (u64, bool, bool)) -> Option<Graph> {
    let mut graph = arbitrary_graph(seed);
    if fused {
        fuse(&mut graph, Settings::default());
    }
    if narrow {
        want_rows(&mut graph);
    }
    graph.edit().sweep();
    let floats = graph
        .outputs()
        .iter()
        .all(|&value| graph.ty(value).dtype == DType::F32);
    // Some graphs look positions up in a table of 64 rows, a weight or computed from one: fewer rows than the context has
    // positions.
    let short = |id: NodeId| graph.ty(id.into()).shape.first() == Some(&Dim::Fixed(64));
    let short = graph.ids().any(short);
    (floats && !short && !is_bidirectional(&graph) && keeps_sequences_apart(&graph))
        .then_some(graph)
}

/// What [`drawn_graph`] makes a graph of, for which `also` holds.
fn seeds(also: fn(&Graph) -> bool) -> impl Strategy<Value = (u64, bool, bool)> {
    let seeds = (any::<u64>(), any::<bool>(), any::<bool>());
    seeds.prop_filter("another graph", move |&seed| {
        drawn_graph(seed).as_ref().is_some_and(also)
    })
}

/// Whether the first output has one row for each token, or for each wanted one.
fn has_rows(graph: &Graph) -> bool {
    let shape = &graph.ty(graph.outputs()[0]).shape;
    matches!(shape[..], [Dim::Tokens | Dim::Rows, Dim::Fixed(_)])
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|&x| bit(x)).collect()
}

/// What one step reads of a sequence: its number, its tokens, the position of the first of them, and the numbers of
/// those among them whose outputs are wanted.
struct Part {
    number: usize,
    tokens: Vec<i32>,
    past: usize,
    wanted: Vec<i32>,
}

/// All sequences of `graph` have pages for the whole context, given block by block in random order.
fn runner(
    graph: &Graph,
    weights: &SeededWeights,
    options: PlanOptions,
    random: &mut Random,
) -> Runner {
    let executor = executor(graph, &weights.files(graph), options);
    let plan = executor.plan();
    let mut pages = Pages::new(plan, SEQUENCES, SEQUENCES * plan.regions().sequence_pages());
    let mut blocks: Vec<(usize, usize)> = (0..SEQUENCES)
        .flat_map(|number| (0..CONTEXT).step_by(64).map(move |first| (number, first)))
        .collect();
    while !blocks.is_empty() {
        let (number, first) = blocks.swap_remove(random.below(blocks.len()));
        let table = pages.table(number);
        pages.own(plan, table, first, first + 1).unwrap();
    }
    Runner::new(executor, pages)
}

/// Runs a step; for each part the bits of each output: of its tokens, of its wanted tokens, or the whole output where it
/// has neither.
fn step(runner: &mut Runner, parts: &[Part]) -> Vec<Vec<Vec<u32>>> {
    let mut sequences: Vec<Sequence> = Vec::new();
    let (mut ids, mut wanted) = (Vec::new(), Vec::new());
    let mut wanted_of: Vec<Range<usize>> = Vec::new();
    for part in parts {
        let start = ids.len();
        ids.extend(&part.tokens);
        let first = wanted.len();
        wanted.extend(part.wanted.iter().map(|row| row + start as i32));
        wanted_of.push(first..wanted.len());
        sequences.push(Sequence {
            start,
            end: ids.len(),
            past: part.past,
            table: runner.pages.table(part.number),
        });
    }
    let outputs = runner.step(&sequences, &ids, &wanted);
    let slots = runner.executor.plan().step().outputs();
    let of_part = |number: usize| {
        let outputs = slots.iter().zip(&outputs).map(|(slot, (shape, bits))| {
            let rows = shape.first().copied().unwrap_or(1);
            let range = match slot.ty().shape.first() {
                Some(Dim::Tokens) => sequences[number].start..sequences[number].end,
                Some(Dim::Rows) => wanted_of[number].clone(),
                _ => 0..rows,
            };
            let row = bits.len() / rows.max(1);
            bits[range.start * row..range.end * row].to_vec()
        });
        outputs.collect()
    };
    (0..parts.len()).map(of_part).collect()
}

/// The next part of a sequence: up to `most` tokens.
fn part(random: &mut Random, number: usize, past: usize, most: usize) -> Part {
    let length = 1 + random.below(most.min(CONTEXT - past));
    Part {
        number,
        tokens: (0..length).map(|_| random.below(VOCAB) as i32).collect(),
        past,
        wanted: (0..length as i32)
            .filter(|_| random.below(3) == 0)
            .collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, max_shrink_time: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn a_step_of_several_sequences_computes_what_the_graph_means_for_each(
        drawn in seeds(|_| true),
        order: u64,
        threads in 1..4usize,
        isa in prop::sample::select(Isa::available()),
    ) {
        let graph = drawn_graph(drawn).unwrap();
        let mut random = Random(order);
        let weights = SeededWeights::new(&graph, 7);
        let mut runner = runner(&graph, &weights, options(threads, isa), &mut random);
        let mut alone: Vec<Interpreter> = (0..SEQUENCES)
            .map(|_| Interpreter::new(&graph, &weights).unwrap())
            .collect();
        let mut past = [0; SEQUENCES];
        for _ in 0..12 {
            // Some of the sequences, in any order.
            let mut numbers: Vec<usize> = (0..SEQUENCES).filter(|&n| past[n] < CONTEXT).collect();
            let (mut parts, mut left) = (Vec::new(), CHUNK);
            while left > 0 && !numbers.is_empty() && (parts.is_empty() || random.below(4) > 0) {
                let number = numbers.swap_remove(random.below(numbers.len()));
                let part = part(&mut random, number, past[number], left);
                left -= part.tokens.len();
                parts.push(part);
            }
            if parts.is_empty() {
                break;
            }
            let found = step(&mut runner, &parts);
            for (part, found) in parts.iter().zip(found) {
                past[part.number] += part.tokens.len();
                let meant = alone[part.number].step_wanting(&part.tokens, &part.wanted);
                let meant: Vec<Vec<u32>> = meant.iter().map(|tensor| bits(&tensor.floats())).collect();
                prop_assert_eq!(found, meant);
            }
        }
    }

    #[test]
    fn sequences_that_share_a_beginning_compute_what_the_graph_means(
        drawn in seeds(has_rows),
        order: u64,
        threads in 1..4usize,
        common in 60..200usize,
        room in 1..=CHUNK,
    ) {
        let graph = drawn_graph(drawn).unwrap();
        let mut random = Random(order);
        let weights = SeededWeights::new(&graph, 7);
        let executor = Arc::new(executor(&graph, &weights.files(&graph), options(threads, Isa::detect())));
        let pages = SEQUENCES * pages_of(executor.plan(), CONTEXT);
        let mut batcher = Batcher::new(executor, VOCAB, pages).unwrap();
        let beginning: Vec<u32> = (0..common).map(|_| random.below(VOCAB) as u32).collect();
        for round in 0..3 {
            let mut open = Vec::new();
            for number in 0..SEQUENCES {
                let mut tokens = beginning.clone();
                if number > 0 {
                    tokens.truncate(1 + random.below(4 * common));
                }
                tokens.extend((0..1 + random.below(9)).map(|_| random.below(VOCAB) as u32));
                let id = batcher.open(tokens.len()).unwrap();
                batcher.push(id, &tokens).unwrap();
                if (round, number) == (1, 0) && pages > 0 {
                    prop_assert!(batcher.reused(id) >= common / 64 * 64);
                }
                open.push((id, tokens));
            }
            while !open.is_empty() {
                prop_assert!(batcher.step(room).unwrap() > 0);
                let mut at = 0;
                while at < open.len() {
                    let (id, tokens) = &open[at];
                    let logits = batcher.logits(*id);
                    if logits == Ok(None) {
                        at += 1;
                        continue;
                    }
                    let ids: Vec<i32> = tokens.iter().map(|&token| token as i32).collect();
                    let mut interpreter = Interpreter::new(&graph, &weights).unwrap();
                    let outputs: Vec<Tensor> = interpreter.step_wanting(&ids, &[ids.len() as i32 - 1]);
                    let meant = outputs[0].floats();
                    let width = batcher.logits_width();
                    let meant = &meant[meant.len() - width..];
                    match logits {
                        Ok(Some(logits)) => prop_assert_eq!(bits(logits), bits(meant)),
                        // An output that is not finite, which need not be the first.
                        _ => prop_assert!(outputs.iter().any(|t| t.floats().iter().any(|x| !x.is_finite()))),
                    }
                    batcher.close(*id);
                    open.swap_remove(at);
                }
            }
        }
        batcher.clear();
        prop_assert_eq!(batcher.pages(), (pages, 0, pages));
    }
}

/// A decoder whose second layer sees a window.
const DECODER: &str = "x = activation 2 4
     a = CachedAttention x x x
     b = CachedAttention a a a | window=20
     y = Reshape b | shape=[0,8]
     out y";

/// How a step over `sequences` of [`DECODER`] ends, where each table that `owned` names has pages for a range of
/// positions.
fn ended(
    owned: &[(usize, Range<usize>)],
    sequences: &[(Range<usize>, usize, usize)],
) -> Result<Ended, BatchError> {
    let graph = graph(DECODER);
    let weights = SeededWeights::new(&graph, 1);
    let executor = executor(&graph, &weights.files(&graph), options(1, Isa::detect()));
    let plan = executor.plan();
    let all = SEQUENCES * plan.regions().sequence_pages();
    let mut pages = Pages::new(plan, SEQUENCES, all);
    for (number, range) in owned {
        let table = pages.table(*number);
        pages.own(plan, table, range.start, range.end).unwrap();
    }
    let sequences: Vec<Sequence> = sequences
        .iter()
        .map(|(range, past, table)| Sequence {
            start: range.start,
            end: range.end,
            past: *past,
            table: *table,
        })
        .collect();
    let rows = sequences.last().map_or(0, |last| last.end);
    Runner::new(executor, pages).run(&sequences, rows)
}

#[test]
fn a_step_whose_pages_do_not_fit_is_refused() {
    // Four blocks of the first layer, two of the second.
    let table = |number: usize| number * 6;
    let all = [(0, 0..200), (1, 0..200)];
    let two = |first: usize, second: usize| [(0..3, 0, first), (3..5, 130, second)];
    assert_eq!(ended(&all, &two(table(0), table(1))), Ok(Ended::Done));
    assert_eq!(ended(&all, &two(table(1), table(0))), Ok(Ended::Done));
    // One table for two sequences, a table that begins nowhere, one without pages, and some that don't exist.
    for second in [
        table(0),
        table(1) + 1,
        table(2),
        table(SEQUENCES),
        usize::MAX,
    ] {
        let refused = ended(&all, &two(table(0), second));
        assert_eq!(refused, Err(BatchError::Pages), "{second}");
    }
    // Pages that the step writes are missing, or pages that only the first layer still reads.
    let needs = [(0..4, 126, table(0))];
    for (owned, is_enough) in [
        (0..130, true),
        (0..128, false),
        (64..130, false),
        (0..64, false),
    ] {
        let expected = if is_enough {
            Ok(Ended::Done)
        } else {
            Err(BatchError::Pages)
        };
        assert_eq!(ended(&[(0, owned.clone())], &needs), expected, "{owned:?}");
    }
}

#[test]
fn a_step_of_more_sequences_than_the_plan_has_is_refused() {
    let owned: Vec<_> = (0..SEQUENCES).map(|number| (number, 0..1)).collect();
    let sequences = |count: usize| -> Vec<_> {
        (0..count)
            .map(|number| (number..number + 1, 0, number * 6))
            .collect()
    };
    assert_eq!(ended(&owned, &sequences(SEQUENCES)), Ok(Ended::Done));
    let (most, found) = (SEQUENCES, SEQUENCES + 1);
    let expected = Err(BatchError::Sequences { most, found });
    assert_eq!(ended(&owned, &sequences(found)), expected);
}

#[test]
fn a_value_for_each_pair_of_tokens_mixes_sequences_and_later_tokens() {
    let pairs = |first: &str| {
        graph(&format!(
            "x = activation 2 4
             a = Reshape x | shape=[0,8]
             b = Reshape x | shape={first}
             y = Add a b
             out y"
        ))
    };
    let mixed = pairs("[0,1,8]");
    assert!(is_bidirectional(&mixed) && !keeps_sequences_apart(&mixed));
    let apart = pairs("[0,8]");
    assert!(!is_bidirectional(&apart) && keeps_sequences_apart(&apart));
}
