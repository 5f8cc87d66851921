//! Do the transforms that fold, share and merge do what they say, and leave alone what they must? Every bit is compared
//! on the way.

use smallmind::ops::{Attribute, Op};
use smallmind::types::Literal;

use super::made::{build, ints, ops, untouched};
use crate::common::same_bits::apply;

#[test]
fn ops_on_literals_become_a_literal() {
    let graph = build(|m| {
        let x = m.embedded();
        let (a, b, c) = (m.number(0.1), m.number(3.0), m.number(-2.0));
        let sum = m.op("sum", "Add", &[], &[a, b]);
        let quotient = m.op("quotient", "Div", &[], &[sum, c]);
        vec![m.op("y", "Mul", &[], &[x, quotient])]
    });
    let (after, changes) = apply("fold_constants", &graph);
    assert_eq!(ops(&after), ["Gather", "Mul"]);
    assert_eq!(changes.len(), 2);
    let y = after.outputs()[0].node;
    let expected = f64::from((0.1f32 + 3.0) / -2.0);
    assert_eq!(
        after.literal(after.inputs(y)[1].unwrap()),
        Some(Literal::Float(expected))
    );
}

#[test]
fn whole_literals_stay_whole() {
    let graph = build(|m| {
        let one = m.editor.constant(Literal::Int(1)).into();
        let two = m.op("two", "Add", &[], &[one, one]);
        let positions = m.positions;
        let moved = m.op("moved", "Add", &[], &[positions, two]);
        let table = m.weight("table", &[16, 4]);
        vec![m.op("y", "Gather", &[], &[table, moved])]
    });
    let (after, _) = apply("fold_constants", &graph);
    let moved = after.find("moved").unwrap().node;
    assert_eq!(
        after.literal(after.inputs(moved)[1].unwrap()),
        Some(Literal::Int(2))
    );
}

#[test]
fn a_literal_that_no_file_can_contain_is_not_folded() {
    let graph = build(|m| {
        let x = m.embedded();
        let (one, zero) = (m.number(1.5), m.number(0.0));
        let infinite = m.op("infinite", "Div", &[], &[one, zero]);
        vec![m.op("y", "Mul", &[], &[x, infinite])]
    });
    untouched("fold_constants", &graph);
}

#[test]
fn products_with_one_are_removed() {
    let graph = build(|m| {
        let x = m.embedded();
        let one = m.number(1.0);
        let whole = m.editor.constant(Literal::Int(1)).into();
        let a = m.op("a", "Mul", &[], &[x, one]);
        let b = m.op("b", "Mul", &[], &[whole, a]);
        let c = m.op("c", "Div", &[], &[b, one]);
        vec![m.op("y", "Neg", &[], &[c])]
    });
    let (after, changes) = apply("fold_constants", &graph);
    assert_eq!(ops(&after), ["Gather", "Neg"]);
    assert_eq!(changes.len(), 3);
}

#[test]
fn sums_with_zero_and_quotients_of_one_stay() {
    let graph = build(|m| {
        let x = m.embedded();
        let (zero, one) = (m.number(0.0), m.number(1.0));
        let a = m.op("a", "Add", &[], &[x, zero]);
        vec![m.op("y", "Div", &[], &[one, a])]
    });
    untouched("fold_constants", &graph);
}

#[test]
fn a_product_with_one_that_broadcasts_stays() {
    let graph = build(|m| {
        let x = m.number(0.5);
        let ones = m.weight("ones", &[8]);
        let spread = m.op("spread", "Mul", &[], &[x, ones]);
        let input = m.embedded();
        vec![m.op("y", "Add", &[], &[input, spread])]
    });
    untouched("fold_constants", &graph);
}

#[test]
fn reshapes_of_reshapes_collapse() {
    let graph = build(|m| {
        let x = m.embedded();
        let a = m.reshape("a", x, &[0, 4, 2]);
        let b = m.reshape("b", a, &[0, 2, -1]);
        let back = m.reshape("back", b, &[0, 8]);
        let same = m.reshape("same", x, &[0, -1]);
        let sum = m.op("sum", "Add", &[], &[back, same]);
        vec![sum, b]
    });
    let (after, _) = apply("fold_constants", &graph);
    assert_eq!(ops(&after), ["Gather", "Reshape", "Add"]);
    let b = after.outputs()[1].node;
    let kept = after.node(b).op().unwrap();
    assert_eq!(kept.ints("shape"), [0, 2, 4]);
}

#[test]
fn a_reshape_of_a_moved_reshape_does_not_collapse() {
    let graph = build(|m| {
        let x = m.embedded();
        let a = m.reshape("a", x, &[0, 2, 4]);
        let turned = m.op("turned", "Transpose", &[ints("perm", &[1, 0, 2])], &[a]);
        vec![m.reshape("y", turned, &[2, 0, 2, 2])]
    });
    untouched("fold_constants", &graph);
}

#[test]
fn transposes_compose_and_cancel() {
    let graph = build(|m| {
        let x = m.embedded();
        let x = m.reshape("heads", x, &[0, 4, 2]);
        let a = m.op("a", "Transpose", &[ints("perm", &[1, 2, 0])], &[x]);
        let b = m.op("b", "Transpose", &[ints("perm", &[1, 2, 0])], &[a]);
        let c = m.op("c", "Transpose", &[ints("perm", &[1, 2, 0])], &[b]);
        let sum = m.op("sum", "Add", &[], &[c, x]);
        vec![sum, b]
    });
    let (after, _) = apply("fold_constants", &graph);
    assert_eq!(ops(&after), ["Gather", "Reshape", "Transpose", "Add"]);
    let b = after.outputs()[1].node;
    assert_eq!(after.node(b).op().unwrap().ints("perm"), [2, 0, 1]);
}

#[test]
fn an_output_that_is_another_output_times_one_keeps_its_name() {
    let graph = build(|m| {
        let x = m.embedded();
        let one = m.number(1.0);
        let y = m.op("y", "Mul", &[], &[x, one]);
        vec![x, y]
    });
    untouched("fold_constants", &graph);
}

#[test]
fn an_output_of_literals_stays_an_op() {
    let graph = build(|m| {
        let (a, b) = (m.number(0.1), m.number(3.0));
        vec![m.op("y", "Add", &[], &[a, b])]
    });
    untouched("fold_constants", &graph);
}

#[test]
fn what_occurs_twice_is_computed_once() {
    let graph = build(|m| {
        let x = m.embedded();
        let (w, same_w) = (m.weight("w", &[8, 8]), m.weight("w", &[8, 8]));
        let a = m.op("a", "Linear", &[], &[x, w]);
        let b = m.op("b", "Linear", &[], &[x, same_w]);
        let (c, d) = (m.number(0.5), m.number(0.5));
        let a = m.op("a2", "Mul", &[], &[a, c]);
        let b = m.op("b2", "Mul", &[], &[d, b]);
        vec![m.op("y", "Add", &[], &[a, b])]
    });
    let (after, changes) = apply("common_subexpressions", &graph);
    assert_eq!(ops(&after), ["Gather", "Linear", "Mul", "Add"]);
    assert!(after.find("a2").is_some() && after.find("b2").is_none());
    assert_eq!(changes.len(), 3);
}

#[test]
fn what_differs_in_a_sign_an_attribute_or_an_operand_is_computed_twice() {
    let graph = build(|m| {
        let x = m.embedded();
        let (plus, minus) = (m.number(0.0), m.number(-0.0));
        let a = m.op("a", "Add", &[], &[x, plus]);
        let b = m.op("b", "Add", &[], &[x, minus]);
        let c = m.op("c", "Sub", &[], &[a, b]);
        let d = m.op("d", "Sub", &[], &[b, a]);
        let gain = m.weight("gain", &[8]);
        let eps = |x| [("eps", Attribute::Float(x))];
        let e = m.op("e", "RmsNorm", &eps(1e-5), &[c, gain]);
        let f = m.op("f", "RmsNorm", &eps(1e-6), &[c, gain]);
        let g = m.op("g", "Add", &[], &[d, e]);
        vec![m.op("y", "Add", &[], &[f, g])]
    });
    untouched("common_subexpressions", &graph);
}

#[test]
fn caches_of_equal_operands_stay_two() {
    let graph = build(|m| {
        let x = m.embedded();
        let x = m.reshape("heads", x, &[0, 4, 2]);
        let a = m.op("a", "CachedAttention", &[], &[x, x, x]);
        let b = m.op("b", "CachedAttention", &[], &[x, x, x]);
        let c = m.op("c", "Cache", &[], &[x, x]);
        let d = m.op("d", "Cache", &[], &[x, x]);
        let sum = m.op("sum", "Add", &[], &[a, b]);
        vec![sum, m.op("y", "Add", &[], &[c, d])]
    });
    untouched("common_subexpressions", &graph);
}

#[test]
fn operands_that_are_absent_are_equal_however_they_are_written() {
    let graph = build(|m| {
        let x = m.embedded();
        let w = m.weight("w", &[8, 8]);
        let a = m.op("a", "Linear", &[], &[x, w]);
        let inputs = [Some(x), Some(w), None, None];
        let linear = Op::new("Linear", &[]).unwrap();
        let b = m.editor.op(linear, &inputs, &["b"]).unwrap().into();
        vec![m.op("y", "Add", &[], &[a, b])]
    });
    let (after, _) = apply("common_subexpressions", &graph);
    assert_eq!(ops(&after), ["Gather", "Linear", "Add"]);
}

#[test]
fn equal_outputs_stay_two_and_an_equal_inner_value_takes_the_output_s_name() {
    let graph = build(|m| {
        let x = m.embedded();
        let a = m.op("a", "Neg", &[], &[x]);
        let b = m.op("b", "Neg", &[], &[x]);
        let c = m.op("c", "Neg", &[], &[x]);
        let y = m.op("y", "Add", &[], &[a, b]);
        vec![y, b, c]
    });
    let (after, _) = apply("common_subexpressions", &graph);
    assert_eq!(ops(&after), ["Gather", "Neg", "Neg", "Add"]);
}

#[test]
fn only_what_no_output_needs_is_dead() {
    let graph = build(|m| {
        let x = m.embedded();
        let unused = m.weight("unused", &[8]);
        let dead = m.op("dead", "Mul", &[], &[x, unused]);
        m.op("deader", "Neg", &[], &[dead]);
        vec![m.op("y", "Neg", &[], &[x])]
    });
    let (after, changes) = apply("dead_nodes", &graph);
    assert_eq!(ops(&after), ["Gather", "Neg"]);
    let at: Vec<&str> = changes.iter().map(|c| c.at.as_str()).collect();
    assert_eq!(at, ["dead", "deader"]);
    assert!(after.find("positions").is_some());
    untouched("dead_nodes", &after);
}

/// Rope attributes.
fn rope(base: f64, pairs: &'static str) -> [(&'static str, Attribute); 3] {
    [
        ("base", Attribute::Float(base)),
        ("dims", Attribute::Int(2)),
        ("pairs", Attribute::word(pairs)),
    ]
}

#[test]
fn ropes_with_the_same_rotation_share_a_table() {
    let graph = build(|m| {
        let x = m.embedded();
        let x = m.reshape("heads", x, &[0, 4, 2]);
        let p = m.positions;
        let a = m.op("a", "Rope", &rope(1e4, "half"), &[x, p]);
        let b = m.op("b", "Rope", &rope(1e4, "adjacent"), &[a, p]);
        vec![b]
    });
    let (after, changes) = apply("rotary_tables", &graph);
    let mut names = ops(&after);
    names.sort();
    assert_eq!(
        names,
        [
            "ApplyRotary",
            "ApplyRotary",
            "Gather",
            "Reshape",
            "RotaryTable"
        ]
    );
    assert_eq!(changes.len(), 2);
    untouched("rotary_tables", &after);
}

#[test]
fn ropes_of_other_bases_or_factors_have_their_own_tables() {
    let graph = build(|m| {
        let x = m.embedded();
        let x = m.reshape("heads", x, &[0, 4, 2]);
        let (p, factors) = (m.positions, m.weight("factors", &[1]));
        let a = m.op("a", "Rope", &rope(1e4, "half"), &[x, p]);
        let b = m.op("b", "Rope", &rope(1e3, "half"), &[a, p]);
        vec![m.op("c", "Rope", &rope(1e4, "half"), &[b, p, factors])]
    });
    let (after, _) = apply("rotary_tables", &graph);
    let tables = ops(&after).into_iter().filter(|op| *op == "RotaryTable");
    assert_eq!(tables.count(), 3);
}

#[test]
fn a_table_has_the_scaling_of_its_rope() {
    let graph = build(|m| {
        let x = m.embedded();
        let x = m.reshape("heads", x, &[0, 4, 2]);
        let p = m.positions;
        let mut attributes = rope(1e4, "half").to_vec();
        attributes.push(("rope_type", Attribute::word("linear")));
        attributes.push(("factor", Attribute::Float(8.0)));
        vec![m.op("y", "Rope", &attributes, &[x, p])]
    });
    let (after, _) = apply("rotary_tables", &graph);
    let table = after.find("rotary_table").unwrap().node;
    assert_eq!(after.node(table).op().unwrap().float("factor"), 8.0);
}

#[test]
fn linear_layers_of_one_operand_merge() {
    let graph = build(|m| {
        let x = m.embedded();
        let (q, k, v) = (
            m.weight("q", &[8, 8]),
            m.weight("k", &[4, 8]),
            m.weight("v", &[4, 8]),
        );
        let bias = m.weight("bias", &[4]);
        let q = m.op("q", "Linear", &[], &[x, q]);
        let k = m.op("k", "Linear", &[], &[x, k, bias]);
        let v = m.op("v", "Linear", &[], &[x, v]);
        let k = m.op("k2", "Neg", &[], &[k]);
        vec![q, k, v]
    });
    let (after, changes) = apply("merge_linear", &graph);
    assert_eq!(ops(&after), ["Gather", "MergedLinear", "Neg"]);
    let [change] = &changes[..] else {
        panic!("{changes:?}")
    };
    assert!(change.what.contains("3 segments"), "{}", change.what);
    let merged = after.find("k").unwrap();
    assert_eq!((merged.output, merged.node), (1, after.outputs()[0].node));
    assert_eq!(after.inputs(merged.node)[4], None);
    assert!(after.inputs(merged.node)[5].is_some());
}

#[test]
fn linear_layers_with_activation_residual_or_another_operand_do_not_merge() {
    let graph = build(|m| {
        let x = m.embedded();
        let w = m.weight("w", &[8, 8]);
        let silu = [("activation", Attribute::word("silu"))];
        let a = m.op("a", "Linear", &[], &[x, w]);
        let b = m.op("b", "Linear", &silu, &[x, w]);
        let bias = m.weight("bias", &[8]);
        let c = m.op("c", "Linear", &[], &[x, w, bias, b]);
        let d = m.op("d", "Linear", &[], &[a, w]);
        vec![c, d]
    });
    untouched("merge_linear", &graph);
}

#[test]
fn linear_layers_merge_into_steps_of_at_most_64() {
    let graph = build(|m| {
        let x = m.embedded();
        (0..65)
            .map(|i| {
                let w = m.weight(&format!("w{i}"), &[1, 8]);
                m.op(&format!("y{i}"), "Linear", &[], &[x, w])
            })
            .collect()
    });
    let (after, changes) = apply("merge_linear", &graph);
    assert_eq!(changes.len(), 1);
    assert_eq!(ops(&after), ["Gather", "MergedLinear", "Linear"]);
}
