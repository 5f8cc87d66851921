//! Does every built-in rule fire where it should, not fire where it must not, and keep its promise about bits?

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;
use smallmind::graph::interpreter::Interpreter;
use smallmind::graph::{Graph, print, verify};
use smallmind::ops::Tensor;
use smallmind::rewrite::{PassOptions, Passes, Report};
use smallmind::types::Bits;

use crate::cases::{CASES, Case};
use crate::common::graph_text::{VOCAB, graph};
use crate::common::random_graph::arbitrary_graph;
use crate::common::seeded_weights::SeededWeights;
use crate::raising::RAISING;
use crate::raising_attention::RAISING_ATTENTION;

fn passes() -> &'static Passes {
    static PASSES: LazyLock<Passes> =
        LazyLock::new(|| Passes::builtin().unwrap_or_else(|error| panic!("{error}")));
    &PASSES
}

/// Options with which only the one rule is on.
fn only(passes: &Passes, rule: &str) -> PassOptions {
    let mut without = BTreeSet::new();
    for pass in passes.names() {
        if !passes.rules(pass).any(|name| name == rule) {
            without.insert(pass.to_owned());
        }
        let others = passes.rules(pass).filter(|name| *name != rule);
        without.extend(others.map(str::to_owned));
    }
    PassOptions {
        without,
        near_misses: true,
        ..PassOptions::default()
    }
}

fn cases() -> impl Iterator<Item = &'static Case> {
    CASES.iter().chain(RAISING).chain(RAISING_ATTENTION)
}

/// Rules that leave as many ops as they match, with a lower sum of ranks.
const LOWERING: [&str; 6] = [
    "lower_matmul",
    "square",
    "square_root",
    "reciprocal_root",
    "reciprocal_power",
    "erf_divide",
];

/// The outputs of three steps: a prompt, one token, and two.
fn outputs(graph: &Graph) -> Vec<Tensor> {
    let weights = SeededWeights::new(graph, 7);
    let mut interpreter = Interpreter::new(graph, &weights).unwrap();
    let steps: [&[usize]; 3] = [&[1, 5, 3, 9], &[2], &[8, 1]];
    let mut all = Vec::new();
    for tokens in steps {
        let tokens: Vec<i32> = tokens.iter().map(|&t| (t % VOCAB) as i32).collect();
        all.extend(interpreter.step(&tokens));
    }
    all
}

/// Fails unless both graphs have the same outputs, as far as `bits` promises.
fn assert_same(name: &str, bits: Bits, plain: &[Tensor], rewritten: &[Tensor]) {
    assert_eq!(plain.len(), rewritten.len(), "{name}");
    for (a, b) in plain.iter().zip(rewritten) {
        assert_eq!(a.shape, b.shape, "{name}");
        let (a, b) = (a.floats(), b.floats());
        let largest = a
            .iter()
            .filter(|x| x.is_finite())
            .fold(0f32, |m, x| m.max(x.abs()));
        for (x, y) in a.iter().zip(b.iter()) {
            let same = match bits {
                Bits::Same => x.to_bits() == y.to_bits(),
                Bits::Within(_) if !x.is_finite() => x.to_bits() == y.to_bits(),
                Bits::Within(limit) => f64::from((x - y).abs()) <= limit * f64::from(largest),
            };
            assert!(same, "{name}: {x} became {y}");
        }
    }
}

fn run(graph: &mut Graph, options: &PassOptions) -> Report {
    let report = passes().run(graph, options);
    report.unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_shipped_rule_has_a_case() {
    let passes = passes();
    let rules: BTreeSet<&str> = passes.names().flat_map(|pass| passes.rules(pass)).collect();
    let cases: BTreeSet<&str> = cases().map(|case| case.rule).collect();
    assert_eq!(rules, cases);
}

#[test]
fn every_rule_fires_once_on_its_graph_and_keeps_its_promise() {
    let passes = passes();
    for Case { rule, fires, .. } in cases() {
        let mut graph = graph(fires);
        let plain = outputs(&graph);
        let before = graph.op_count();
        let report = run(&mut graph, &only(passes, rule));
        let fired = &report.rule(rule).expect("the rule's pass ran").fired;
        assert_eq!(fired.len(), 1, "{rule}:\n{report}");
        let bits = passes.bits(rule).expect("the rule is known");
        assert_same(rule, bits, &plain, &outputs(&graph));
        assert!(
            graph.op_count() < before || LOWERING.contains(rule),
            "{rule}"
        );
    }
}

#[test]
fn no_rule_fires_on_its_other_graph_and_the_report_says_why() {
    let passes = passes();
    let mut silent = Vec::new();
    for Case {
        rule,
        stays,
        because,
        ..
    } in cases()
    {
        let mut graph = graph(stays);
        let before = print(&graph, "hf");
        let report = run(&mut graph, &only(passes, rule));
        let report = report.rule(rule).expect("the rule's pass ran");
        assert_eq!(report.fired, [""; 0], "{rule}");
        assert_eq!(print(&graph, "hf"), before, "{rule}");
        let reasons: Vec<&str> = report
            .near
            .iter()
            .map(|near| near.reason.as_str())
            .collect();
        let said = match because.is_empty() {
            true => reasons.is_empty(),
            false => reasons.iter().any(|r| r.contains(because)),
        };
        if !said {
            silent.push(format!("{rule}: {reasons:?}"));
        }
    }
    assert_eq!(silent, [""; 0]);
}

/// Options with which every pass and rule that may move bits is off.
fn same_only(passes: &Passes) -> PassOptions {
    let names = passes
        .names()
        .filter(|name| passes.bits(name) != Some(Bits::Same));
    PassOptions {
        without: names.map(str::to_owned).collect(),
        stop_after: None,
        verify: true,
        ..PassOptions::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn same_passes_keep_every_bit_of_random_graphs(seed: u64) {
        let mut graph = arbitrary_graph(seed);
        let plain = outputs(&graph);
        let mut options = same_only(passes());
        // This pass returns other rows.
        options.without.insert("wanted_rows".into());
        run(&mut graph, &options);
        verify(&graph).unwrap();
        assert_same("a random graph", Bits::Same, &plain, &outputs(&graph));
    }

    #[test]
    fn rules_leave_nothing_to_do_for_themselves(seed: u64) {
        let mut graph = arbitrary_graph(seed);
        let passes = passes();
        let others = passes.names().filter(|pass| passes.rules(pass).next().is_none());
        let options = PassOptions {
            without: others.map(str::to_owned).collect(),
            ..PassOptions::default()
        };
        run(&mut graph, &options);
        let again = run(&mut graph, &options);
        let fired = again.passes.iter().flat_map(|pass| &pass.rules).map(|rule| rule.fired.len());
        prop_assert_eq!(fired.sum::<usize>(), 0, "{}", again);
    }
}
