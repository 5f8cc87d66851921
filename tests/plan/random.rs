//! Do plans of arbitrary graphs keep their promises, and do they compute what the graph says?

use proptest::prelude::*;
use smallmind::StepError;
use smallmind::blocks::BlockFormat;
use smallmind::files::weight_files::WeightFiles;
use smallmind::graph::interpreter::Interpreter;
use smallmind::graph::{Graph, is_bidirectional, verify};
use smallmind::kernels::simd::Isa;
use smallmind::ops::Tensor;
use smallmind::plan::{ModelPlan, PlanOptions, StepPlan};
use smallmind::transform::Settings;
use smallmind::types::DType;

use super::runner::{fuse, want_rows};
use crate::common::random_graph::{arbitrary_graph, graph_of_width};
use crate::common::seeded_weights::{SeededWeights, plan_options, session};

const CONTEXT: usize = 48;
const CHUNK: usize = 9;

fn options(threads: usize, isa: Isa) -> PlanOptions {
    PlanOptions {
        threads,
        isa,
        ..plan_options(CONTEXT, CHUNK)
    }
}

/// Whether every output is an f32 value (others are refused), and whether steps continue each other, as in the
/// interpreter.
fn plannable(graph: &Graph) -> bool {
    !is_bidirectional(graph)
        && graph
            .outputs()
            .iter()
            .all(|&value| graph.ty(value).dtype == DType::F32)
}

/// Whether buffers that share bytes are never alive in the same phase, by plain comparison of all pairs.
fn disjoint(plan: &StepPlan) -> bool {
    let all: Vec<_> = plan
        .buffers()
        .iter()
        .zip(&plan.placement().offsets)
        .collect();
    let meet = |(a, x): (&_, usize), (b, y): (&_, usize)| {
        let (a, b): (
            &smallmind::plan::place::Buffer,
            &smallmind::plan::place::Buffer,
        ) = (a, b);
        a.bytes > 0
            && b.bytes > 0
            && x < y + b.bytes
            && y < x + a.bytes
            && a.first <= b.last
            && b.first <= a.last
    };
    (0..all.len()).all(|i| (0..i).all(|j| !meet((all[i].0, *all[i].1), (all[j].0, *all[j].1))))
}

/// The bits of an output.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// Stands for outputs that are not finite: a session returns an error, and goes no further.
const NOT_FINITE: u32 = u32::MAX;

const STEPS: [&[u32]; 4] = [&[3, 1, 4, 1, 5, 9, 2], &[6], &[5, 3], &[5]];

fn interpreted(graph: &Graph, weights: &SeededWeights) -> Vec<Vec<Vec<u32>>> {
    let mut interpreter = Interpreter::new(graph, weights).unwrap();
    let mut all = Vec::new();
    for step in STEPS {
        let tokens: Vec<i32> = step.iter().map(|&t| t as i32).collect();
        let outputs = interpreter.step_wanting(&tokens, &[tokens.len() as i32 - 1]);
        let finite = |tensor: &Tensor| tensor.floats().iter().all(|x| x.is_finite());
        if !outputs.iter().all(finite) {
            all.push(vec![vec![NOT_FINITE]]);
            break;
        }
        let outputs = outputs.iter().map(|tensor| bits(&tensor.floats()));
        all.push(outputs.collect());
    }
    all
}

fn executed(graph: &Graph, files: &WeightFiles, threads: usize, isa: Isa) -> Vec<Vec<Vec<u32>>> {
    let mut session = session(graph, files, options(threads, isa));
    let mut all = Vec::new();
    for step in STEPS {
        match session.prefill(step) {
            Err(StepError::NotFinite { .. }) => {
                all.push(vec![vec![NOT_FINITE]]);
                break;
            }
            read => read.unwrap(),
        };
        all.push(
            (0..graph.outputs().len())
                .map(|i| bits(session.output(i)))
                .collect(),
        );
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn plans_keep_live_buffers_apart_and_lie_near_the_lower_bound(seed: u64, fused: bool, rows: bool) {
        let mut graph = arbitrary_graph(seed);
        if fused {
            fuse(&mut graph, Settings::default());
        }
        if rows {
            want_rows(&mut graph);
        }
        verify(&graph).unwrap();
        prop_assume!(plannable(&graph));
        let plan = ModelPlan::new(&graph, options(2, Isa::detect())).unwrap();
        let plan = plan.step();
        prop_assert!(disjoint(plan));
        prop_assert!(plan.placement().bytes >= plan.placement().lower_bound);
        prop_assert!(plan.placement().bytes <= plan.unshared() + 64 * plan.buffers().len());
    }

    #[test]
    fn plans_with_int8_blocks_are_right_and_compute_what_the_graph_means(
        seed: u64,
        format in prop::sample::select(vec![BlockFormat::Q4_0, BlockFormat::Q5_1, BlockFormat::Q8_0]),
        threads in 1usize..4,
        rows: bool,
    ) {
        let mut graph = graph_of_width(seed, 32);
        let weights = SeededWeights::new(&graph, 7);
        let settings = Settings { weights: Some(DType::Blocks(format)), ..Settings::default() };
        fuse(&mut graph, settings);
        if rows {
            want_rows(&mut graph);
        }
        verify(&graph).unwrap();
        prop_assume!(plannable(&graph));
        let plan = ModelPlan::new(&graph, options(2, Isa::detect())).unwrap();
        prop_assert!(disjoint(plan.step()));
        let files = weights.files(&graph);
        let expected = interpreted(&graph, &weights);
        for isa in Isa::available() {
            prop_assert_eq!(&executed(&graph, &files, threads, isa), &expected, "{}", isa.name());
        }
    }

    #[test]
    fn plans_compute_what_the_graph_means(seed: u64, fused: bool, rows: bool, threads in 1usize..4) {
        let mut graph = arbitrary_graph(seed);
        if fused {
            fuse(&mut graph, Settings::default());
        }
        if rows {
            want_rows(&mut graph);
        }
        prop_assume!(plannable(&graph));
        let weights = SeededWeights::new(&graph, 7);
        let files = weights.files(&graph);
        let expected = interpreted(&graph, &weights);
        for isa in Isa::available() {
            prop_assert_eq!(&executed(&graph, &files, threads, isa), &expected, "{}", isa.name());
        }
    }
}
