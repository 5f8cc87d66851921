//! Does an executor refuse weights and sessions that don't match its plan?

use std::sync::Arc;

use smallmind::exec::arena::Arena;
use smallmind::exec::batch::{Batch, BatchError};
use smallmind::exec::executor::{Ended, Executor, ExecutorError};
use smallmind::exec::frames::Frames;
use smallmind::exec::pages::Pages;
use smallmind::exec::pool::Pool;
use smallmind::graph::Graph;
use smallmind::kernels::call::Sequence;
use smallmind::plan::{ModelPlan, PlanOptions};

use crate::common::graph_text::graph;
use crate::common::seeded_weights::{SeededWeights, plan_options, stored};

const CONTEXT: usize = 12;
const CHUNK: usize = 8;

/// A decoder: it keeps keys and values.
const DECODER: &str = "x = activation 2 4
     w = weight 8 8
     c = CachedAttention x x x
     d = Reshape c | shape=[0,8]
     y = MatMul d w | transpose_b=true
     out y";
/// An encoder whose steps read several texts.
const ENCODER: &str = "x = activation 2 4
     g = weight 8
     c = Attention x x x | causal=false
     d = Reshape c | shape=[0,8]
     y = RmsNorm d g
     out y";
/// An encoder that mixes tokens outside attention.
const MIXED: &str = "x = activation 8
     t = Transpose x | perm=[1,0]
     s = Softmax t
     y = Transpose s | perm=[1,0]
     out y";

fn plan(graph: &Graph, context: usize, threads: usize) -> Arc<ModelPlan> {
    let options = PlanOptions {
        threads,
        ..plan_options(context, CHUNK)
    };
    Arc::new(ModelPlan::new(graph, options).unwrap())
}

fn executor(text: &str, context: usize) -> Executor {
    let graph = graph(text);
    let plan = plan(&graph, context, 1);
    let files = SeededWeights::new(&graph, 1).files(&graph);
    let weights = stored(&graph, &plan, &files);
    Executor::new(plan, weights, Pool::new(1).unwrap()).unwrap()
}

/// A step of sequences that end at these tokens, each after `past` positions, with all the pages that they need.
fn run(executor: &Executor, past: usize, ends: &[usize]) -> Result<Ended, BatchError> {
    let plan = executor.plan();
    let pages = ends.len() * plan.regions().sequence_pages();
    let mut pages = Pages::new(plan, ends.len(), pages);
    let mut sequences = Vec::new();
    for (number, &end) in ends.iter().enumerate() {
        let table = pages.table(number);
        pages.own(plan, table, 0, CONTEXT).unwrap();
        sequences.push(Sequence {
            start: number.checked_sub(1).map_or(0, |before| ends[before]),
            end,
            past,
            table,
        });
    }
    run_in(executor, &pages, &sequences)
}

fn run_in(executor: &Executor, pages: &Pages, sequences: &[Sequence]) -> Result<Ended, BatchError> {
    let plan = executor.plan();
    let regions = plan.regions();
    let bytes = regions.first_page() + pages.count() * regions.page();
    let mut arena = Arena::new(bytes).unwrap();
    let frames = Frames::new(plan.session_lists().frames());
    let rows = sequences.last().map_or(0, |last| last.end);
    let batch = Batch {
        sequences,
        rows,
        pages,
    };
    executor.run(&mut arena, &frames, batch, None)
}

#[test]
fn threads_and_weights_must_match_the_plan() {
    let graph = graph(DECODER);
    let files = SeededWeights::new(&graph, 1).files(&graph);
    let plan = plan(&graph, CONTEXT, 2);
    let weights = || stored(&graph, &plan, &files);
    let made =
        |weights, threads| Executor::new(plan.clone(), weights, Pool::new(threads).unwrap()).err();
    assert_eq!(made(weights(), 2), None);
    let (expected, found) = (2, 1);
    let threads = ExecutorError::Threads { expected, found };
    assert_eq!(made(weights(), 1), Some(threads));
    let fewer = || weights().into_iter().skip(1).collect();
    let count = ExecutorError::WeightCount { expected, found };
    assert_eq!(made(fewer(), 2), Some(count));
    // A table in place of a packed matrix, and the reverse.
    let reversed = weights().into_iter().rev().collect();
    assert!(matches!(
        made(reversed, 2),
        Some(ExecutorError::Weight { number: 0, .. })
    ));
    // A matrix of another shape.
    let other = crate::common::graph_text::graph(&DECODER.replace("weight 8 8", "weight 7 8"));
    let files = SeededWeights::new(&other, 1).files(&other);
    let others = stored(&other, &self::plan(&other, CONTEXT, 2), &files);
    assert!(matches!(
        made(others, 2),
        Some(ExecutorError::Weight { .. })
    ));
}

#[test]
fn the_arena_must_match_the_plan() {
    let executor = executor(DECODER, CONTEXT);
    let expected = executor.plan().regions().total();
    let frames = Frames::new(executor.plan().session_lists().frames());
    for found in [0, expected - 1, expected + 64] {
        let mut arena = Arena::new(found).unwrap();
        let mut pages = Pages::new(executor.plan(), 1, 1);
        pages.own(executor.plan(), 0, 0, 1).unwrap();
        let batch = Batch {
            sequences: &[Sequence::alone(1, 0)],
            rows: 1,
            pages: &pages,
        };
        let result = executor.run(&mut arena, &frames, batch, None);
        assert_eq!(result, Err(BatchError::Arena { expected, found }));
    }
}

#[test]
fn tokens_and_positions_must_fit() {
    let executor = executor(DECODER, CONTEXT);
    let run = |tokens, past| run(&executor, past, &[tokens]);
    for (tokens, past) in [
        (1, 0),
        (CHUNK, 0),
        (CHUNK, CONTEXT - CHUNK),
        (1, CONTEXT - 1),
    ] {
        assert_eq!(run(tokens, past), Ok(Ended::Done), "{tokens} {past}");
    }
    for tokens in [0, CHUNK + 1, usize::MAX] {
        let most = CHUNK;
        assert_eq!(run(tokens, 0), Err(BatchError::Tokens { tokens, most }));
    }
    for (tokens, past) in [(1, CONTEXT), (CHUNK, CONTEXT - CHUNK + 1), (1, usize::MAX)] {
        let expected = BatchError::Context {
            tokens,
            past,
            context: CONTEXT,
        };
        assert_eq!(run(tokens, past), Err(expected));
    }
}

#[test]
fn a_plan_that_computes_all_rows_wants_all() {
    let executor = executor(DECODER, CONTEXT);
    let mut arena = Arena::new(executor.plan().regions().total()).unwrap();
    let frames = Frames::new(executor.plan().session_lists().frames());
    let mut pages = Pages::new(executor.plan(), 1, 1);
    pages.own(executor.plan(), 0, 0, CONTEXT).unwrap();
    for rows in [0, 2, 4, usize::MAX] {
        let (tokens, least, most) = (3, 3, 3);
        let batch = Batch {
            sequences: &[Sequence::alone(tokens, 0)],
            rows,
            pages: &pages,
        };
        let expected = BatchError::Rows {
            rows,
            tokens,
            least,
            most,
        };
        let result = executor.run(&mut arena, &frames, batch, None);
        assert_eq!(result, Err(expected));
    }
}

#[test]
fn sequences_must_be_side_by_side_and_for_a_plan_that_reads_several() {
    for text in [DECODER, MIXED] {
        let executor = executor(text, CONTEXT);
        let refused = BatchError::Sequences { most: 1, found: 2 };
        assert_eq!(run(&executor, 0, &[2, 5]), Err(refused));
    }
    let encoder = executor(ENCODER, CONTEXT);
    for ends in [&[2, 5][..], &[5], &[1, 2, 3, 4, 5]] {
        assert_eq!(run(&encoder, 0, ends), Ok(Ended::Done));
    }
    for (ends, number) in [(&[2, 2, 5][..], 1), (&[3, 2, 5], 1), (&[5, 4], 1)] {
        let before = ends[number - 1];
        let expected = BatchError::Boundary {
            number,
            start: before,
            end: ends[number],
            expected: before,
        };
        assert_eq!(run(&encoder, 0, ends), Err(expected), "{ends:?}");
    }
    let late = [Sequence {
        start: 1,
        ..Sequence::alone(5, 0)
    }];
    let expected = BatchError::Boundary {
        number: 0,
        start: 1,
        end: 5,
        expected: 0,
    };
    let none = Pages::new(encoder.plan(), 0, 0);
    assert_eq!(run_in(&encoder, &none, &late), Err(expected));
    assert_eq!(run(&encoder, 1, &[5]), Err(BatchError::Past { past: 1 }));
    // A text longer than the context, in a step that is longer.
    let short = executor(ENCODER, 4);
    assert_eq!(run(&short, 0, &[4, 8]), Ok(Ended::Done));
    let expected = BatchError::Context {
        tokens: 5,
        past: 0,
        context: 4,
    };
    assert_eq!(run(&short, 0, &[3, 8]), Err(expected));
}
