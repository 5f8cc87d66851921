//! Do steps with many operands allocate anything?

use smallmind::graph::Graph;
use smallmind::graph::interpreter::Interpreter;
use smallmind::plan::PlanOptions;

use crate::allocations;
use crate::common::bits;
use crate::common::graph_text::graph;
use crate::common::seeded_weights::{SeededWeights, plan_options, session};

/// Forty operands in one step, and fourteen outputs of another.
fn wide() -> Graph {
    let parts: String = (0..40).map(|n| format!("x{n} = activation 3\n")).collect();
    let names = |letter: &str, count: usize| -> String {
        (0..count).map(|n| format!(" {letter}{n}")).collect()
    };
    let weights: String = (0..14).map(|n| format!("w{n} = weight 5 120\n")).collect();
    graph(&format!(
        "{parts}all = Concat{} | axis=1
         {weights}{} = MergedLinear all{}{} | segments=14
         y = Concat{} | axis=1
         out y",
        names("x", 40),
        names("y", 14),
        names("w", 14),
        " -".repeat(14),
        names("y", 14),
    ))
}

pub fn steps_of_many_operands_allocate_nothing() {
    let graph = wide();
    let weights = SeededWeights::new(&graph, 3);
    let files = weights.files(&graph);
    let steps: [&[u32]; 3] = [&[3, 1, 4, 1, 5], &[9], &[2, 6]];
    for threads in [1, 2] {
        let options = PlanOptions {
            threads,
            ..plan_options(16, 8)
        };
        let mut session = session(&graph, &files, options);
        // The first job starts the pool's threads.
        session.prefill(&[1]).unwrap();
        for step in steps {
            session.truncate(0).unwrap();
            let count = allocations(|| {
                session.prefill(step).unwrap();
            });
            assert_eq!(count, 0, "{threads} threads, {step:?}");
            let ids: Vec<i32> = step.iter().map(|&id| id as i32).collect();
            let expected = Interpreter::new(&graph, &weights).unwrap().step(&ids);
            let expected = bits(&expected[0].floats());
            assert!(
                bits(session.logits()) == expected,
                "{threads} threads, {step:?}"
            );
        }
    }
}
