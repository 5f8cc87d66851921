//! What happens when a graph file is wrong, or strange, all the way from the file to a step?

use smallmind::model::Logits;
use smallmind::{Model, Options};

use crate::common::tiny::{Tiny, graph, walk};

/// Each graph's nodes, which begin at line 6, and the message that refuses them.
fn refuse(cases: &[(&str, &str)]) {
    let differs = |(nodes, expected): &(&str, &str)| {
        let found = Tiny::new(nodes).refusal();
        (found != *expected).then(|| format!("{nodes}\n  expected {expected}\n  found    {found}"))
    };
    let wrong: Vec<String> = cases.iter().filter_map(differs).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_mistake_in_the_grammar_names_its_line() {
    refuse(&[
        (
            "(\"y\", Neg [\"x\"]),",
            "graph.ron:6:11: Expected comma (either all values in parentheses have names, or none)",
        ),
        (
            "(\"y\", Neg, [\"x\"]",
            "graph.ron:6:17: Expected comma (either all values in parentheses have names, or none)",
        ),
    ]);
}

#[test]
fn an_unknown_word_is_named_with_the_nearest_known_one() {
    refuse(&[
        (
            "(\"y\", Softmaks, [\"x\"]),",
            "graph.ron:6:1: node \"y\": unknown op 'Softmaks', did you mean 'Softmax'?",
        ),
        (
            "(\"y\", RmsNorm(epz: 1e-5), [\"x\", \"gain\"]),",
            "graph.ron:6:1: node \"y\": RmsNorm: unknown attribute 'epz', did you mean 'eps'?",
        ),
        (
            "(\"y\", Neg, [\"embde\"]),",
            "graph.ron:6:13: node \"y\": unknown name 'embde', did you mean 'embed'?",
        ),
        (
            "(\"y\", Activation(\"'gelu_mew'\"), [\"x\"]),",
            "graph.ron:6:1: node \"y\": unknown activation 'gelu_mew', did you mean 'gelu_new'?",
        ),
    ]);
}

#[test]
fn a_function_that_whole_numbers_lack_is_refused() {
    refuse(&[(
        "(\"y\", Div, [\"positions\", \"positions\"]),",
        "graph.ron:6:1: node \"y\": Div: whole numbers have no such function: cast them to f32 first",
    )]);
}

#[test]
fn a_cast_to_a_type_that_such_values_do_not_have_is_refused() {
    refuse(&[
        (
            "(\"y\", Cast(to: \"'f16'\"), [\"x\"]),",
            "graph.ron:6:1: node \"y\": Cast(to: \"'f16'\") gives f16[T, 8], but values that depend on the tokens are f32, i32 or int8",
        ),
        (
            "(\"c\", Cast(to: \"'i32'\"), [\"gain\"]), (\"y\", Mul, [\"x\", \"c\"]),",
            "graph.ron:6:1: node \"c\": Cast(to: \"'i32'\") gives i32[8], but weights are floats",
        ),
        (
            "(\"y\", Cast(to: \"'bf16'\"), [\"positions\"]),",
            "graph.ron:6:1: node \"y\": Cast: i32[T] can't be bf16, which needs floats in rows of whole blocks of 1",
        ),
    ]);
}

#[test]
fn an_attribute_of_the_wrong_kind_or_size_is_refused() {
    refuse(&[
        (
            "(\"y\", RmsNorm(eps: true), [\"x\", \"gain\"]),",
            "graph.ron:6:1: node \"y\": RmsNorm: attribute 'eps' must be a finite number, found true",
        ),
        (
            "(\"y\", RmsNorm(eps: \"sqrt(-1.0)\"), [\"x\", \"gain\"]),",
            "graph.ron:6:21: node \"y\": sqrt(-1.0) is not a finite number in \"sqrt(-1.0)\"",
        ),
        (
            "(\"y\", RmsNorm(eps: \"1e300 * 1e300\"), [\"x\", \"gain\"]),",
            "graph.ron:6:27: node \"y\": 1e300 * 1e300 is not a finite number in \"1e300 * 1e300\"",
        ),
        (
            "(\"y\", CausalMask(window: 0), [\"x\"]),",
            "graph.ron:6:1: node \"y\": CausalMask: attribute 'window' must be a whole number of 1 or more, found 0",
        ),
        (
            "(\"y\", Transpose(perm: [0, 0]), [\"x\"]),",
            "graph.ron:6:1: node \"y\": Transpose: perm [0, 0] is not a permutation of the dimensions of f32[T, 8]",
        ),
        (
            "(\"y\", Transpose(perm: [1, 99999999999]), [\"x\"]),",
            "graph.ron:6:1: node \"y\": Transpose: perm [1, 99999999999] is not a permutation of the dimensions of f32[T, 8]",
        ),
        (
            "(\"y\", Concat(axis: 7), [\"x\", \"x\"]),",
            "graph.ron:6:1: node \"y\": Concat: attribute 'axis' must be a whole number from -4 to 3, found 7",
        ),
        (
            "(\"y\", Concat(axis: -3), [\"x\", \"x\"]),",
            "graph.ron:6:1: node \"y\": Concat: axis -3 of 2 dimensions",
        ),
        (
            "(\"y\", Activation(1), [\"x\"]),",
            "graph.ron:6:1: node \"y\": Activation takes the function's name, Activation(\"act\"), found an integer",
        ),
        (
            "(\"y\", Activation, [\"x\"]),",
            "graph.ron:6:1: node \"y\": Activation takes the function's name, Activation(\"act\")",
        ),
        (
            "(\"y\", Neg(\"'a'\"), [\"x\"]),",
            "graph.ron:6:1: node \"y\": Neg: expected named attributes, found a value without a name",
        ),
        (
            "(\"r\", Reshape(shape: [0, 2, 4]), [\"x\"]), (\"y\", Rope(base: 1e4, dims: 3), [\"r\", \"positions\"]),",
            "graph.ron:6:42: node \"y\": Rope: dims must be even, found 3",
        ),
        (
            "(\"r\", Reshape(shape: [0, 2, 4]), [\"x\"]), (\"y\", Rope(base: 1e4, dims: 6), [\"r\", \"positions\"]),",
            "graph.ron:6:42: node \"y\": Rope: can't rotate 6 dimensions in heads of 4",
        ),
        (
            "(\"r\", Reshape(shape: [0, 2, 4]), [\"x\"]), (\"y\", Rope(base: 1e4, dims: 4, rope_type: \"'yarn'\"), [\"r\", \"positions\"]),",
            "graph.ron:6:42: node \"y\": Rope: attribute 'rope_type' must be one of default, linear, llama3, found \"'yarn'\"",
        ),
        (
            "(\"y\", MergedLinear(segments: 0), [\"x\", \"w\"]),",
            "graph.ron:6:1: node \"y\": MergedLinear: attribute 'segments' must be a whole number from 1 to 64, found 0",
        ),
        (
            "(\"y\", MergedLinear(segments: 1000000000000), [\"x\", \"w\"]),",
            "graph.ron:6:1: node \"y\": MergedLinear: attribute 'segments' must be a whole number from 1 to 64, found 1000000000000",
        ),
        (
            "(\"y\", Slice(axis: 1, start: 5, end: 5), [\"x\"]),",
            "graph.ron:6:1: node \"y\": Slice: 5..5 is not part of 8 elements",
        ),
        (
            "(\"y\", Slice(axis: 1, start: -9223372036854775807), [\"x\"]),",
            "graph.ron:6:1: node \"y\": Slice: -9223372036854775807..end is not part of 8 elements",
        ),
        (
            "(\"y\", Slice(axis: 0, start: -2), [\"x\"]),",
            "graph.ron:6:1: node \"y\": Slice: of dimension 0 of f32[T, 8] only the last element can be taken (start -1, no end)",
        ),
        (
            "(\"y\", Slice(axis: 0, start: 1), [\"x\"]),",
            "graph.ron:6:1: node \"y\": Slice: of dimension 0 of f32[T, 8] only the last element can be taken (start -1, no end)",
        ),
    ]);
}

#[test]
fn operands_that_do_not_fit_are_refused_with_their_types() {
    refuse(&[
        (
            "(\"y\", TakeRows, [\"x\", \"positions\"]),",
            "graph.ron:6:1: node \"y\": TakeRows: rows must be i32[R], found i32[T]",
        ),
        (
            "(\"r\", TakeRows, [\"x\", \"wanted\"]), (\"y\", TakeRows, [\"r\", \"wanted\"]),",
            "graph.ron:6:35: node \"y\": TakeRows: x must have a row for each token, found f32[R, 8]",
        ),
        (
            "(\"y\", TakeRows, [\"w\", \"wanted\"]),",
            "graph.ron:6:1: node \"y\": TakeRows: x must have a row for each token, found f32[8, 8]",
        ),
        (
            "(\"r\", TakeRows, [\"x\", \"wanted\"]), (\"y\", Add, [\"r\", \"x\"]),",
            "graph.ron:6:35: node \"y\": Add: f32[R, 8] and f32[T, 8] do not broadcast",
        ),
        (
            "(\"r\", TakeRows, [\"x\", \"wanted\"]), (\"y\", Slice(axis: 0, start: -1), [\"r\"]),",
            "graph.ron:6:35: node \"y\": Slice: dimension 0 of f32[R, 8] may be empty: no part of it is certain to exist",
        ),
        (
            "(\"y\", Add, [\"x\"]),",
            "graph.ron:6:1: node \"y\": Add needs input 1 (b), which is absent",
        ),
        (
            "(\"y\", Neg, [\"x\", \"x\"]),",
            "graph.ron:6:1: node \"y\": Neg takes at most 1 inputs, found 2",
        ),
        (
            "(\"y\", Neg, [\"\"]),",
            "graph.ron:6:1: node \"y\": Neg needs input 0 (x), which is absent",
        ),
        (
            "(\"y\", Concat, []),",
            "graph.ron:6:1: node \"y\": Concat needs input 0 (x), which is absent",
        ),
        (
            "((\"y\", Neg, [\"x\"])),",
            "graph.ron:6:1: expected a node (\"name\", Op, [\"input\", …]), found a tuple",
        ),
        (
            "([\"y\", \"z\"], Neg, [\"x\"]),",
            "graph.ron:6:1: node \"y\": Neg: wrong number of output names: expected 1, found 2",
        ),
        (
            "([], Neg, [\"x\"]),",
            "graph.ron:6:1: a node needs at least one name",
        ),
        (
            "(\"y\", MatMul, [\"x\", \"gain\"]),",
            "graph.ron:6:1: node \"y\": MatMul: b must have two dimensions or more, found f32[8]",
        ),
        (
            "(\"h\", MatMul, [\"x\", \"up\"]), (\"y\", MatMul, [\"h\", \"w\"]),",
            "graph.ron:6:29: node \"y\": MatMul: f32[T, 12] and f32[8, 8] differ in the dimension they share: 12 and 8",
        ),
        (
            "(\"y\", RmsNorm(eps: 1e-5), [\"x\", \"w\"]),",
            "graph.ron:6:1: node \"y\": RmsNorm: gain must be f32[8], found f32[8, 8]",
        ),
        (
            "(\"y\", Add, [\"x\", \"positions\"]),",
            "graph.ron:6:1: node \"y\": Add: f32[T, 8] and i32[T] do not mix",
        ),
        (
            "(\"y\", Neg, [\"tokens\"]),",
            "graph.ron:6:1: node \"y\": Neg: input 0 (x) can't be i32[T]",
        ),
        (
            "(\"y\", Gather, [\"embed\", \"x\"]),",
            "graph.ron:6:1: node \"y\": Gather: input 1 (ids) can't be f32[T, 8]",
        ),
        (
            "(\"y\", Reshape(shape: [-1, -1]), [\"x\"]),",
            "graph.ron:6:1: node \"y\": Reshape: -1 is not a dimension",
        ),
        (
            "(\"y\", Reshape(shape: [4, 9223372036854775807, 4]), [\"x\"]),",
            "graph.ron:6:1: node \"y\": Reshape: f32[T, 8] does not fit into f32[4, 9223372036854775807, 4]",
        ),
        (
            "(\"y\", Reshape(shape: [8, 0]), [\"x\"]),",
            "graph.ron:6:1: node \"y\": Reshape: f32[T, 8] does not fit into f32[8, 8]",
        ),
        (
            "(\"y\", Reshape(shape: [0, 1, 2, 2, 2]), [\"x\"]),",
            "graph.ron:6:1: node \"y\": expected a value of at most 4 dimensions, found f32[T, 1, 2, 2, 2]",
        ),
        (
            "([\"y\", \"z\"], Cache, [\"x\", \"x\"]),",
            "graph.ron:6:1: node \"y\": Cache: k must have 3 dimensions, found f32[T, 8]",
        ),
        (
            "(\"c\", Slice(axis: 0, start: -1), [\"x\"]), (\"c\", Reshape(shape: [1, 2, 4]), [\"c\"]), ([\"y\", \"z\"], Cache, [\"c\", \"c\"]),",
            "graph.ron:6:83: node \"y\": Cache: k must be [T, heads, head_dim], found f32[1, 2, 4]",
        ),
        (
            "(\"c\", Slice(axis: 0, start: -1), [\"x\"]), (\"c\", Reshape(shape: [1, 2, 4]), [\"c\"]), (\"y\", CachedAttention, [\"c\", \"c\", \"c\"]),",
            "graph.ron:6:83: node \"y\": CachedAttention: q must be [T, heads, head_dim], found f32[1, 2, 4]",
        ),
        (
            "(\"r\", Reshape(shape: [0, 2, 4]), [\"x\"]), (\"y\", CachedAttention, [\"r\", \"r\", \"r\", \"x\"]),",
            "graph.ron:6:42: node \"y\": CachedAttention: can't rotate 8 dimensions in heads of 4",
        ),
        (
            "(\"t\", Reshape(shape: [0, 8, 1]), [\"x\"]), (\"t\", Transpose(perm: [1, 2, 0]), [\"t\"]), (\"y\", AttentionScores, [\"t\", \"t\"]),",
            "graph.ron:6:84: node \"y\": AttentionScores: q must be [.., heads, head_dim] with a known head_dim, found f32[8, 1, T]",
        ),
    ]);
}

#[test]
fn a_weight_where_an_activation_belongs_is_refused_and_the_reverse() {
    refuse(&[
        (
            "(\"g\", Slice(axis: 0, start: -1), [\"x\"]), (\"g\", Reshape(shape: [8]), [\"g\"]), (\"y\", RmsNorm(eps: 1e-5), [\"x\", \"g\"]),",
            "graph.ron:6:77: node \"y\": RmsNorm: input 1 (gain) must be a weight: \"g#2\" is not",
        ),
        (
            "(\"y\", Linear, [\"x\", \"x\"]),",
            "graph.ron:6:1: node \"y\": Linear: input 1 (weight) must be a weight: \"x\" is not",
        ),
        (
            "(\"y\", Concat(axis: 1), [\"x\", \"x\", \"w\"]),",
            "graph.ron:6:1: node \"y\": Concat: input 2 must be f32[T, 8], found f32[8, 8]",
        ),
        (
            "(\"s\", Slice(axis: 0, start: -1), [\"x\"]), (\"y\", MatMul, [\"w\", \"s\"]),",
            "graph.ron:6:42: node \"y\": MatMul: input 0 (a) must be a value that depends on the tokens: \"w\" is not",
        ),
        (
            "(\"y\", Gather, [\"x\", \"tokens\"]),",
            "graph.ron:6:1: node \"y\": Gather: input 0 (table) must be a weight: \"x\" is not",
        ),
        (
            "(\"y\", Linear, [\"x\", \"w\", \"\", \"w\"]),",
            "graph.ron:6:1: node \"y\": Linear: residual must be f32[T, 8], found f32[8, 8]",
        ),
        (
            "(\"y\", MatMul, [2.0, \"w\"]),",
            "graph.ron:6:1: node \"y\": MatMul: a must have a dimension, found f32[]",
        ),
    ]);
}

#[test]
fn an_index_that_can_leave_its_table_is_refused() {
    refuse(&[
        (
            "(\"y\", Gather, [\"table\", \"wanted\"]),",
            "graph.ron:6:1: node \"y\": Gather needs ids that are tokens, or positions plus a number from 0 to 16777216: \"wanted\" is neither",
        ),
        (
            "(\"i\", Add, [\"wanted\", 1]), (\"y\", TakeRows, [\"x\", \"i\"]),",
            "graph.ron:6:28: node \"y\": TakeRows needs numbers that are \"wanted\": \"i\" is not",
        ),
        (
            "(\"i\", Sub, [\"positions\", 1]), (\"y\", Gather, [\"table\", \"i\"]),",
            "graph.ron:6:31: node \"y\": Gather needs ids that are tokens, or positions plus a number from 0 to 16777216: \"i\" is neither",
        ),
        (
            "(\"i\", Add, [\"tokens\", 1]), (\"y\", Gather, [\"table\", \"i\"]),",
            "graph.ron:6:28: node \"y\": Gather needs ids that are tokens, or positions plus a number from 0 to 16777216: \"i\" is neither",
        ),
        (
            "(\"i\", Add, [\"positions\", \"positions\"]), (\"y\", Gather, [\"table\", \"i\"]),",
            "graph.ron:6:41: node \"y\": Gather needs ids that are tokens, or positions plus a number from 0 to 16777216: \"i\" is neither",
        ),
        (
            "(\"i\", Mul, [\"positions\", 3]), (\"y\", Gather, [\"table\", \"i\"]),\n(\"z\", Gather, [\"table\", \"i\"]), (\"y\", Add, [\"y\", \"z\"]),",
            "graph.ron:6:31: node \"y\": Gather needs ids that are tokens, or positions plus a number from 0 to 16777216: \"i\" is neither\ngraph.ron:7:1: node \"z\": Gather needs ids that are tokens, or positions plus a number from 0 to 16777216: \"i\" is neither",
        ),
        (
            "(\"i\", Add, [\"positions\", 2000000000]), (\"y\", Gather, [\"table\", \"i\"]),",
            "graph.ron:6:40: node \"y\": Gather needs ids that are tokens, or positions plus a number from 0 to 16777216: \"i\" is neither",
        ),
    ]);
}

#[test]
fn an_output_that_no_step_computes_is_refused() {
    let cases = [
        (
            "\"tokens\"",
            "graph.ron:7:11: output \"tokens\" must be computed floats, found i32[T]",
        ),
        (
            "\"i\"",
            "graph.ron:7:11: output \"i\" must be computed floats, found i32[T]",
        ),
        (
            "\"t\"",
            "graph.ron:7:11: output \"t\" does not depend on the tokens",
        ),
        (
            "\"w\"",
            "graph.ron:7:11: 'w' is a weight; an output must depend on the tokens",
        ),
        ("\"z\"", "graph.ron:7:11: unknown name 'z'"),
        (
            "\"x\", \"x\"",
            "graph.ron:7:16: output \"x\" is listed twice",
        ),
        ("", "graph.ron:7:10: a model needs at least one output"),
        (
            "\"x\", 1",
            "graph.ron:7:16: expected a text in \"double quotes\", found the number 1",
        ),
    ];
    let nodes = "(\"i\", Add, [\"positions\", 1]), (\"t\", Transpose(perm: [1, 0]), [\"w\"]),";
    for (outputs, expected) in cases {
        assert_eq!(
            Tiny::with_graph(&graph(nodes, outputs)).refusal(),
            expected,
            "{outputs}"
        );
    }
    assert_eq!(
        Tiny::with_graph("Model(nodes: [], outputs: [\"x\"])").refusal(),
        "graph.ron:1:28: unknown name 'x'"
    );
    assert_eq!(
        Tiny::with_graph("Model(nodes: [])").refusal(),
        "graph.ron:1:1: Model has no 'outputs'"
    );
}

#[test]
fn all_problems_of_a_graph_are_reported_with_their_lines() {
    let nodes = "(\"a\", Softmaks, [\"x\"]),\n(\"b\", RmsNorm(eps: 1e-5), [\"x\", \"up\"]),\n(\"c\", Concat, [\"w\", \"x\"]),\n(\"y\", MatMul, [\"x\", \"cube\"]),";
    let found = Tiny::with_graph(&graph(nodes, "\"y\", \"y\", \"tokens\"")).refusal();
    assert_eq!(
        found,
        "graph.ron:6:1: node \"a\": unknown op 'Softmaks', did you mean 'Softmax'?\ngraph.ron:7:1: node \"b\": RmsNorm: gain must be f32[8], found f32[12, 8]\ngraph.ron:8:1: node \"c\": Concat: dimension 0 of f32[T, 8] is not known\ngraph.ron:9:1: node \"y\": MatMul: the leading dimensions of f32[T, 8] are not a multiple of the leading dimensions of f32[2, 4, 8]\ngraph.ron:10:16: output \"y\" is listed twice\ngraph.ron:10:21: output \"tokens\" must be computed floats, found i32[T]"
    );
}

#[test]
fn a_weight_expression_that_fills_the_memory_is_refused() {
    let doublings = "(\"d\", Concat, [\"d\", \"d\"]),\n".repeat(30);
    let nodes = format!(
        "(\"d\", Concat, [\"head\", \"head\"]),\n{doublings}(\"y\", MatMul, [\"x\", \"d\"]),"
    );
    assert_eq!(
        Tiny::new(&nodes).refusal(),
        "graph.ron:18:1: node \"d#13\": f32[131072, 8] is too large: a value that is computed from weights may have at most 8 times as many elements as the weights"
    );
    let doublings = "(\"d\", Concat(axis: 1), [\"d\", \"d\"]),\n".repeat(60);
    let nodes = format!("(\"d\", Neg, [\"x\"]),\n{doublings}(\"y\", Neg, [\"d\"]),");
    assert_eq!(
        Tiny::new(&nodes).refusal(),
        "graph.ron:44:1: node \"d#39\": expected a value of at most 1099511627776 elements, found f32[T, 2199023255552]"
    );
}

#[test]
fn an_arena_larger_than_the_machine_is_an_error() {
    // 2^28 floats per token are more than a terabyte for the two plans.
    let doublings = "(\"d\", Concat(axis: 1), [\"d\", \"d\"]),\n".repeat(33);
    let nodes = format!("(\"d\", Neg, [\"x\"]),\n{doublings}(\"y\", Neg, [\"d\"]),");
    let model = Tiny::new(&nodes).open().unwrap();
    let error = model.session().err().unwrap().to_string();
    assert_eq!(
        error,
        "the plan needs an arena of 3298534883328 bytes (3145728 MiB), and the system does not give that much memory"
    );
}

/// Graphs that are odd, but valid.
const ODD: [&str; 15] = [
    "(\"y\", Softmax, [\"x\"]),",
    "(\"y\", Reshape(shape: [0, 2, 2, 2]), [\"x\"]),",
    "(\"y\", Slice(axis: 0, start: -1), [\"x\"]), (\"y\", Reshape(shape: [8]), [\"y\"]), (\"y\", Linear, [\"y\", \"head\"]),",
    "(\"y\", Slice(axis: 0, start: -1), [\"x\"]), (\"y\", Slice(axis: 1, start: 3, end: 4), [\"y\"]), (\"y\", Reshape(shape: []), [\"y\"]), (\"y\", Exp, [\"y\"]),",
    "(\"r\", Reshape(shape: [0, 2, 4]), [\"x\"]), (\"y\", Attention, [\"r\", \"r\", \"r\"]),",
    "(\"r\", Reshape(shape: [0, 2, 4]), [\"x\"]), (\"y\", AttentionScores(causal: true, window: 2), [\"r\", \"r\"]),",
    "(\"r\", Reshape(shape: [0, 2, 4]), [\"x\"]), ([\"k\", \"v\"], Cache(window: 9223372036854775807), [\"r\", \"r\"]), (\"y\", Attention(window: 9223372036854775807), [\"r\", \"k\", \"v\"]),",
    "(\"r\", Reshape(shape: [0, 2, 4]), [\"x\"]), ([\"y\", \"v\"], Cache, [\"r\", \"r\"]),",
    "(\"r\", Reshape(shape: [0, 2, 4]), [\"x\"]), ([\"k\", \"v\"], Cache(window: 1), [\"r\", \"r\"]), (\"s\", AttentionScores, [\"r\", \"k\"]), (\"y\", CausalMask(window: 1), [\"s\"]),",
    "(\"r\", Reshape(shape: [0, 2, 4]), [\"x\"]), (\"y\", CachedAttention(softcap: 1e-30), [\"r\", \"r\", \"r\"]),",
    "(\"r\", Reshape(shape: [0, 2, 4]), [\"x\"]), (\"t\", RotaryTable(base: 1e4, dims: 2, rope_type: \"'linear'\", factor: 1e-30), [\"positions\"]), (\"y\", CachedAttention, [\"r\", \"r\", \"r\", \"t\"]),",
    "(\"r\", Reshape(shape: [0, 2, 4]), [\"x\"]), (\"y\", Rope(base: 1e300, dims: 2, rope_type: \"'llama3'\", factor: 1e-30, low_freq_factor: 1, high_freq_factor: 1), [\"r\", \"tokens\"]),",
    "(\"i\", Add, [3, \"positions\"]), (\"i\", Sub, [\"i\", 2]), (\"p\", Gather, [\"table\", \"i\"]), (\"y\", Add, [\"x\", \"p\"]),",
    "(\"t\", Transpose(perm: [1, 0]), [\"x\"]), (\"y\", MatMul, [\"t\", \"t\"]),",
    "(\"y\", RmsNorm(eps: 1e300), [\"x\", \"gain\"]), (\"y\", Div, [\"y\", 0]), (\"y\", Sqrt, [\"y\"]),",
];

#[test]
fn an_odd_graph_runs_and_gives_the_same_whatever_the_passes() {
    for nodes in ODD {
        let tiny = Tiny::new(nodes);
        let run = |model: Model| {
            let mut session = model.session().unwrap();
            walk(&mut session).map(|()| crate::common::bits(session.logits()))
        };
        let mut options = tiny.options();
        options.logits = Logits::All;
        let open = |options: &Options| {
            Model::open(tiny.folder(), options).unwrap_or_else(|error| panic!("{nodes}: {error}"))
        };
        // A model whose tokens see later tokens reads a text in one step.
        if open(&options).is_bidirectional() {
            options.chunk = options.context;
        }
        let model = open(&options);
        options.stop_after = Some("fold_constants".to_string());
        options.threads = Some(1);
        options.isa = Some("scalar".to_string());
        let plain = Model::open(tiny.folder(), &options).unwrap();
        assert_eq!(run(model), run(plain), "{nodes}");
    }
}

#[test]
fn a_merged_layer_may_have_as_many_segments_as_its_attribute_says() {
    let names: Vec<String> = (0..64).map(|i| format!("\"y{i}\"")).collect();
    let weights = vec!["\"w\""; 64].join(", ");
    let nodes = format!(
        "([{}], MergedLinear(segments: 64), [\"x\", {weights}]), (\"y\", Add, [\"y0\", \"y63\"]),",
        names.join(", ")
    );
    let model = Tiny::new(&nodes).open().unwrap();
    walk(&mut model.session().unwrap()).unwrap();
}
