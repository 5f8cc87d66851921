//! Are values that are needed for only a few rows computed for those rows only, and everything else whole? Every bit is
//! compared on the way.

use smallmind::Options;
use smallmind::graph::{Value, print};
use smallmind::model::{ModelFiles, compile};
use smallmind::transform::every_row;

use super::made::{Made, VOCAB, build, ints, ops, untouched};
use crate::common::same_bits::apply;
use crate::common::{models, source};

/// A block after attention, and a head.
fn decoder(m: &mut Made<'_>) -> (Value, Value) {
    let x = m.embedded();
    let heads = m.reshape("heads", x, &[0, 4, 2]);
    let y = m.op("attention", "CachedAttention", &[], &[heads, heads, heads]);
    let y = m.reshape("flat", y, &[0, -1]);
    let (w, gain) = (m.weight("o", &[8, 8]), m.weight("gain", &[8]));
    let y = m.op("o", "Linear", &[], &[y, w]);
    let norm = m.op("norm", "AddRmsNorm", &[], &[y, x, gain]);
    let n = Value {
        node: norm.node,
        output: 1,
    };
    let head = m.weight("head", &[VOCAB, 8]);
    (norm, m.op("logits", "Linear", &[], &[n, head]))
}

#[test]
fn only_the_wanted_rows_are_computed_after_the_last_attention() {
    let graph = build(|m| vec![decoder(m).1]);
    let (after, changes) = apply("wanted_rows", &graph);
    let ty = |name: &str| after.ty(after.find(name).unwrap()).to_string();
    assert_eq!(ty("logits"), format!("f32[R, {VOCAB}]"));
    assert_eq!(ty("flat"), "f32[R, 8]");
    assert_eq!(ty("norm.0"), "f32[R, 8]");
    assert_eq!(ty("attention"), "f32[T, 4, 2]");
    // The attention's output and the residual.
    let at: Vec<&str> = changes.iter().map(|c| c.at.as_str()).collect();
    assert_eq!(at, ["attention", "x"]);
    untouched("wanted_rows", &after);
}

#[test]
fn a_value_that_is_wanted_whole_elsewhere_is_computed_whole() {
    let graph = build(|m| {
        let (sum, logits) = decoder(m);
        let heads = m.reshape("heads2", sum, &[0, 4, 2]);
        let again = m.op("again", "CachedAttention", &[], &[heads, heads, heads]);
        vec![logits, again]
    });
    let (after, _) = apply("wanted_rows", &graph);
    let ty = |name: &str| after.ty(after.find(name).unwrap()).to_string();
    assert_eq!(ty("norm.0"), "f32[T, 8]");
    assert_eq!(ty("norm.1/wanted"), "f32[R, 8]");
    assert_eq!(ty("logits"), format!("f32[R, {VOCAB}]"));
    assert_eq!(ty("again"), "f32[R, 4, 2]");
    assert_eq!(ty("again/whole"), "f32[T, 4, 2]");
}

#[test]
fn readers_of_the_wanted_rows_share_them() {
    let graph = build(|m| {
        let x = m.embedded();
        let a = m.op("a", "Neg", &[], &[x]);
        let b = m.op("b", "Add", &[], &[x, a]);
        vec![m.op("y", "Mul", &[], &[b, x])]
    });
    let (after, changes) = apply("wanted_rows", &graph);
    assert_eq!(ops(&after), ["Gather", "TakeRows", "Neg", "Add", "Mul"]);
    assert_eq!(changes.len(), 1);
}

#[test]
fn an_output_that_is_named_twice_has_its_rows_taken_once() {
    let graph = build(|m| {
        let x = m.embedded();
        let y = m.op("y", "Neg", &[], &[x]);
        vec![x, y, x]
    });
    let (after, _) = apply("wanted_rows", &graph);
    assert_eq!(ops(&after), ["Gather", "TakeRows", "Neg"]);
    assert_eq!(after.outputs()[0], after.outputs()[2]);
}

#[test]
fn a_dead_reader_does_not_ask_for_whole_values() {
    let graph = build(|m| {
        let logits = decoder(m).1;
        m.op("dead", "Transpose", &[ints("perm", &[1, 0])], &[logits]);
        vec![logits]
    });
    let (after, _) = apply("wanted_rows", &graph);
    assert_eq!(
        after.ty(after.find("norm.0").unwrap()).to_string(),
        "f32[R, 8]"
    );
}

#[test]
fn a_value_for_each_pair_of_tokens_is_computed_whole() {
    // [T, 1] + [T] is [T, T]: each of its rows needs all tokens of the text, which is therefore read in one step.
    let graph = build(|m| {
        let x = m.embedded();
        let column = m.op("column", "ReduceMean", &[], &[x]);
        let row = m.reshape("row", column, &[0]);
        vec![m.op("y", "Add", &[], &[column, row])]
    });
    let (after, _) = apply("wanted_rows", &graph);
    assert_eq!(after.ty(after.outputs()[0]).to_string(), "f32[T, T]");
}

#[test]
fn what_adds_up_along_a_vector_of_tokens_is_computed_whole() {
    let graph = build(|m| {
        let x = m.embedded();
        let column = m.op("column", "ReduceMean", &[], &[x]);
        let scores = m.reshape("scores", column, &[0]);
        vec![m.op("y", "Softmax", &[], &[scores])]
    });
    let (after, _) = apply("wanted_rows", &graph);
    let scores = after.find("scores").unwrap();
    assert_eq!(after.ty(scores).to_string(), "f32[T]");
}

#[test]
fn outputs_without_a_row_per_token_are_left_whole() {
    let graph = build(|m| {
        let x = m.embedded();
        let turned = m.op("turned", "Transpose", &[ints("perm", &[1, 0])], &[x]);
        let heads = m.reshape("heads", x, &[0, 4, 2]);
        let keys = m.op("cache", "Cache", &[], &[heads, heads]);
        vec![turned, keys, m.positions]
    });
    untouched("wanted_rows", &graph);
}

#[test]
fn a_model_with_every_row_again_is_the_model_without_the_pass() {
    for name in models() {
        let print_of = |options: &Options, undo: bool| {
            let files = ModelFiles::open_headers(&source(name), options).unwrap();
            let graph = compile(&files, options).unwrap().graph;
            let graph = if undo {
                every_row(&graph).unwrap()
            } else {
                graph
            };
            print(&graph, "hf")
        };
        let without = Options::new().without(["wanted_rows"]);
        assert_eq!(
            print_of(&Options::new(), true),
            print_of(&without, false),
            "{name}"
        );
    }
}
