//! Are the rows that a step wants equal to the same rows where all are wanted, in any order and number?

use proptest::prelude::*;
use smallmind::exec::batch::BatchError;
use smallmind::exec::executor::Ended;
use smallmind::exec::pages::Pages;
use smallmind::graph::interpreter::Interpreter;
use smallmind::graph::{Graph, is_bidirectional};
use smallmind::kernels::call::Sequence;
use smallmind::plan::{ModelPlan, PlanOptions};
use smallmind::transform::Settings;
use smallmind::types::{DType, Dim, StepSize};

use super::runner::{Runner, bit, fuse, want_rows};
use crate::common::graph_text::graph;
use crate::common::random_graph::arbitrary_graph;
use crate::common::seeded_weights::{SeededWeights, executor, plan_options};

const CONTEXT: usize = 24;
const CHUNK: usize = 7;
const ROWS: usize = 4;

/// Tokens of each step, and the numbers of those whose outputs are wanted.
const STEPS: [(&[i32], &[i32]); 6] = [
    (&[3, 1, 4, 1], &[3]),
    (&[6, 5], &[1, 0]),
    (&[5], &[0]),
    (&[8, 9], &[]),
    (&[4], &[]),
    (&[2, 7, 1], &[2, 1, 1, 2]),
];

/// A decoder with a head over all tokens, whose rows can be taken.
const DECODER: &str = "x = activation 2 4
     c = CachedAttention x x x
     d = Reshape c | shape=[0,8]
     g = weight 8
     n = RmsNorm d g
     w = weight 11 8
     y = Linear n w
     out y";
/// Int8 blocks that are needed for all tokens, and whose rows are taken too.
const BLOCKS: &str = "x = activation 32
     n = RmsNorm x
     q = QuantizeActivations n
     w = weight 8 32
     b = Cast w | to=Q8_0
     v = weight 32 32
     c = Cast v | to=Q4_0
     k = Linear q c
     kh = Reshape k | shape=[0,4,8]
     a = CachedAttention kh kh kh
     f = Reshape a | shape=[0,-1]
     y = Linear q b
     z = Neg y
     out z f";

fn options(threads: usize) -> PlanOptions {
    PlanOptions {
        rows: Some(ROWS),
        threads,
        ..plan_options(CONTEXT, CHUNK)
    }
}

/// `graph` for steps that compute only the wanted rows.
fn wanting(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    want_rows(&mut graph);
    graph
}

/// A sequence whose steps want the rows that the test asks for.
struct One {
    runner: Runner,
    past: usize,
}

impl One {
    fn new(graph: &Graph, weights: &SeededWeights, threads: usize) -> One {
        let executor = executor(graph, &weights.files(graph), options(threads));
        let plan = executor.plan();
        let mut pages = Pages::new(plan, 1, plan.regions().sequence_pages());
        pages.own(plan, 0, 0, CONTEXT).unwrap();
        One {
            runner: Runner::new(executor, pages),
            past: 0,
        }
    }

    fn step(&mut self, tokens: &[i32], wanted: &[i32]) -> Vec<(Vec<usize>, Vec<u32>)> {
        let sequence = Sequence::alone(tokens.len(), self.past);
        self.past += tokens.len();
        self.runner.step(&[sequence], tokens, wanted)
    }
}

/// In all steps, the outputs of `graph` for the wanted rows are the same rows of the outputs where all are wanted, and
/// the same as the interpreter's; and one output has wanted rows if `narrows`.
fn check(graph: &Graph, threads: usize, narrows: bool) {
    let narrow = wanting(graph);
    let weights = SeededWeights::new(graph, 3);
    let is_narrow = |number: usize| {
        let first = |graph: &Graph| graph.ty(graph.outputs()[number]).shape.first().copied();
        first(graph) == Some(Dim::Tokens) && first(&narrow) == Some(Dim::Rows)
    };
    assert!(!narrows || (0..graph.outputs().len()).any(is_narrow));
    let mut interpreter = Interpreter::new(&narrow, &weights).unwrap();
    let mut all = One::new(graph, &weights, threads);
    let mut some = One::new(&narrow, &weights, threads);
    for (tokens, wanted) in STEPS {
        let (all, some) = (all.step(tokens, wanted), some.step(tokens, wanted));
        let meant = interpreter.step_wanting(tokens, wanted);
        for (number, ((found, meant), (shape, bits))) in
            some.iter().zip(&meant).zip(&all).enumerate()
        {
            let meant_bits: Vec<u32> = meant.floats().iter().map(|&x| bit(x)).collect();
            assert_eq!(*found, (meant.shape.clone(), meant_bits));
            let expected = match is_narrow(number) {
                false => (shape.clone(), bits.clone()),
                true => {
                    let length = bits.len() / tokens.len();
                    let rows = wanted
                        .iter()
                        .flat_map(|&row| &bits[row as usize * length..][..length]);
                    let shape = [&[wanted.len()], &shape[1..]].concat();
                    (shape, rows.copied().collect())
                }
            };
            assert_eq!(
                *found, expected,
                "output {number} of {tokens:?}, {wanted:?}"
            );
        }
    }
}

#[test]
fn rows_of_a_decoder_are_the_same_as_among_all_rows() {
    for threads in 1..=3 {
        check(&graph(DECODER), threads, true);
    }
}

#[test]
fn rows_of_int8_blocks_are_the_same_as_among_all_rows() {
    let graph = graph(BLOCKS);
    let narrow = wanting(&graph);
    let q = narrow.find("q/wanted").unwrap();
    assert_eq!(narrow.ty(q).to_string(), "int8[R, 32]");
    check(&graph, 2, true);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_of_any_graph_are_those_that_it_gives_among_all(seed: u64, fused: bool, threads in 1usize..4) {
        let mut graph = arbitrary_graph(seed);
        if fused {
            fuse(&mut graph, Settings::default());
        }
        graph.edit().sweep();
        prop_assume!(!is_bidirectional(&graph));
        prop_assume!(graph.outputs().iter().all(|&value| graph.ty(value).dtype == DType::F32));
        check(&graph, threads, false);
    }
}

#[test]
fn a_step_wants_no_more_rows_than_the_plan_supports() {
    let graph = graph(DECODER);
    let narrow = wanting(&graph);
    let weights = SeededWeights::new(&graph, 1);
    let mut runner = One::new(&narrow, &weights, 1).runner;
    let mut run = |tokens: usize, rows: usize| {
        runner.write_zeros(tokens, rows.min(ROWS));
        runner.run(&[Sequence::alone(tokens, 0)], rows)
    };
    for (tokens, most) in [(CHUNK, ROWS), (2, ROWS), (1, ROWS)] {
        assert_eq!(run(tokens, most), Ok(Ended::Done));
        for rows in [most + 1, usize::MAX] {
            let least = 0;
            let expected = BatchError::Rows {
                rows,
                tokens,
                least,
                most,
            };
            assert_eq!(run(tokens, rows), Err(expected));
        }
    }
}

#[test]
fn a_plan_without_room_for_rows_computes_none() {
    let graph = wanting(&graph(DECODER));
    let plan = |rows| {
        let options = PlanOptions {
            rows: Some(rows),
            ..options(1)
        };
        ModelPlan::new(&graph, options).unwrap()
    };
    let (none, four) = (plan(0), plan(ROWS));
    let size = StepSize {
        rows: 0,
        ..StepSize::ONE
    };
    let (none, four) = (none.step(), four.step());
    assert_eq!(none.outputs()[0].shape(size).iter().product::<usize>(), 0);
    assert_eq!(none.wanted_rows(1), (0, 0));
    assert!(none.placement().bytes < four.placement().bytes);
}
