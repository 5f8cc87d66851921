//! Do the transforms keep every bit of random graphs?

use proptest::prelude::*;
use smallmind::graph::{Graph, verify};
use smallmind::transform::{self, Settings};

use crate::common::random_graph::arbitrary_graph;
use crate::common::same_bits::apply;

/// All transforms one after another, each applied to the result of the previous one.
fn pipeline(graph: &Graph) -> Graph {
    let all = transform::all().iter();
    all.fold(graph.clone(), |graph, def| apply(def.name, &graph).0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_graphs_are_valid(seed in any::<u64>()) {
        let graph = arbitrary_graph(seed);
        prop_assert!(verify(&graph).is_ok());
        prop_assert!(!graph.outputs().is_empty());
    }

    #[test]
    fn each_transform_keeps_the_bits_of_any_graph(seed in any::<u64>()) {
        let graph = arbitrary_graph(seed);
        for def in transform::all() {
            apply(def.name, &graph);
        }
    }

    #[test]
    fn all_transforms_together_keep_the_bits_of_any_graph(seed in any::<u64>()) {
        pipeline(&arbitrary_graph(seed));
    }

    #[test]
    fn a_second_run_finds_nothing(seed in any::<u64>()) {
        for def in transform::all() {
            let mut graph = arbitrary_graph(seed);
            (def.run)(&mut graph, &Settings::default()).unwrap();
            prop_assert_eq!((def.run)(&mut graph, &Settings::default()).unwrap(), vec![], "{}", def.name);
        }
    }
}
