//! Are rules that can't be right refused when they are read, at their line, with a helpful message?

use std::fs;

use smallmind::rewrite::{PassError, Passes};

/// The message about a directory that contains `files`.
fn refusal(files: &[(&str, &str)]) -> String {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    match Passes::from_dir(directory.path()) {
        Ok(_) => panic!("accepted: {files:?}"),
        Err(error) => error.to_string(),
    }
}

/// Fails unless these rules, as the file gate.ron, are refused at `line` with a message that contains `message`.
fn refused(rules: &str, line: usize, message: &str) {
    let found = refusal(&[("gate.ron", rules)]);
    let place = format!("gate.ron:{line}:");
    let hit = found
        .lines()
        .any(|l| l.contains(&place) && l.contains(message));
    assert!(hit, "expected {place} … {message}, found\n{found}");
}

/// A rule with these parts, one on each line; `match` is line 3, `guard` line 4, `emit` line 5.
fn rule(pattern: &str, guard: &str, emit: &str) -> String {
    format!(
        "[Rule(\n    name: \"r\",\n    match: [{pattern}],\n    guard: [{guard}],\n    emit: [{emit}],\n    bits: Same,\n)]"
    )
}

const SUM: &str = r#"("s", Add, ["x", "r"]), ("y", LayerNorm, ["s", "g"])"#;
const FUSED: &str = r#"(["s", "y"], AddLayerNorm(eps: "y.eps"), ["x", "r", "g"])"#;

#[test]
fn the_rule_from_which_the_refused_ones_differ_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let text = rule(SUM, r#"SameShape("x", "r")"#, FUSED);
    fs::write(directory.path().join("gate.ron"), text).unwrap();
    let passes = Passes::from_dir(directory.path()).unwrap();
    assert!(passes.rules("gate").eq(["r"]));
}

#[test]
fn an_unknown_op() {
    let pattern = r#"("s", Add, ["x", "r"]), ("y", LayerNrm, ["s", "g"])"#;
    refused(
        &rule(pattern, "", FUSED),
        3,
        "unknown op 'LayerNrm', did you mean 'LayerNorm'?",
    );
}

#[test]
fn an_unknown_op_on_the_right() {
    let emit = r#"(["s", "y"], AddLayrNorm(eps: "y.eps"), ["x", "r", "g"])"#;
    refused(
        &rule(SUM, "", emit),
        5,
        "unknown op 'AddLayrNorm', did you mean 'AddLayerNorm'?",
    );
}

#[test]
fn too_many_operands() {
    let pattern = r#"("s", Add, ["x", "r", "q"]), ("y", LayerNorm, ["s", "g"])"#;
    refused(
        &rule(pattern, "", FUSED),
        3,
        "Add takes at most 2 operands, found 3",
    );
}

#[test]
fn too_few_operands() {
    let emit = r#"(["s", "y"], AddLayerNorm(eps: "y.eps"), ["x"])"#;
    refused(
        &rule(SUM, "", emit),
        5,
        "AddLayerNorm needs operand 1 (residual)",
    );
}

#[test]
fn a_wrong_number_of_outputs() {
    let emit = r#"("y", AddLayerNorm(eps: "y.eps"), ["x", "r", "g"])"#;
    refused(
        &rule(SUM, "", emit),
        5,
        "AddLayerNorm: wrong number of output names: expected 2, found 1",
    );
}

#[test]
fn an_op_whose_operands_vary() {
    let pattern = r#"("y", MergedLinear(segments: 1), ["x", "w"])"#;
    let emit = r#"("y", Linear, ["x", "w"])"#;
    refused(
        &rule(pattern, "", emit),
        3,
        "MergedLinear takes any number of operands, which no rule can match",
    );
}

#[test]
fn an_optional_operand_where_none_is_allowed() {
    let pattern = r#"("s", Add, ["x", "r?"]), ("y", LayerNorm, ["s", "g"])"#;
    refused(
        &rule(pattern, "", FUSED),
        3,
        "'r' can't be optional: Add requires this operand",
    );
}

#[test]
fn an_operand_that_is_optional_in_one_place_alone() {
    let pattern = r#"("s", LayerNorm, ["x", "g", "b?"]), ("y", Add, ["s", "b"])"#;
    refused(
        &rule(pattern, "", FUSED),
        3,
        "'b' is optional in one place and required in another: write 'b?' everywhere or nowhere",
    );
}

#[test]
fn an_attribute_that_is_a_list_of_other_values() {
    let pattern = r#"("y", Transpose(perm: "[0, 1.5]"), ["x"])"#;
    let problem = "Transpose: 'perm' is a list whose elements are not all whole numbers";
    refused(&rule(pattern, "", FUSED), 3, problem);
}

#[test]
fn a_question_mark_on_only_one_side() {
    let pattern = r#"("s", Add, ["x", "r"]), ("y", LayerNorm, ["s", "g", "b?"])"#;
    let emit = r#"(["s", "y"], AddLayerNorm(eps: "y.eps"), ["x", "r", "g", "b"])"#;
    refused(
        &rule(pattern, "", emit),
        5,
        "'b' may be absent; write \"b?\"",
    );
}

#[test]
fn an_unknown_attribute() {
    let pattern = r#"("s", Add, ["x", "r"]), ("y", LayerNorm(epsilon: 0.1), ["s", "g"])"#;
    refused(
        &rule(pattern, "", FUSED),
        3,
        "LayerNorm: unknown attribute 'epsilon'",
    );
}

#[test]
fn an_unknown_attribute_in_an_expression() {
    let emit = r#"(["s", "y"], AddLayerNorm(eps: "y.epsi"), ["x", "r", "g"])"#;
    refused(
        &rule(SUM, "", emit),
        5,
        "LayerNorm: unknown attribute 'epsi', did you mean 'eps'?",
    );
}

#[test]
fn an_attribute_with_an_impossible_value() {
    let pattern = r#"("l", Linear(activation: "'swish'"), ["x", "w"]), ("y", Silu, ["l"])"#;
    let emit = r#"("y", Linear(activation: "'silu'"), ["x", "w"])"#;
    refused(
        &rule(pattern, "", emit),
        3,
        "attribute 'activation' must be one of none, relu",
    );
}

#[test]
fn an_attribute_that_would_be_dropped() {
    let emit = r#"(["s", "y"], AddLayerNorm, ["x", "r", "g"])"#;
    let message = "attribute 'eps' of 'y' is neither constrained nor used";
    refused(&rule(SUM, "", emit), 3, message);
}

#[test]
fn an_unbound_name_on_the_right() {
    let emit = r#"(["s", "y"], AddLayerNorm(eps: "y.eps"), ["x", "residue", "g"])"#;
    refused(
        &rule(SUM, "", emit),
        5,
        "unknown name 'residue': nothing in 'match' binds it",
    );
}

#[test]
fn an_unbound_name_in_a_guard() {
    refused(
        &rule(SUM, r#"IsWeight("gain")"#, FUSED),
        4,
        "unknown name 'gain'",
    );
}

#[test]
fn an_unknown_guard() {
    let message = "unknown guard 'SameShap', did you mean 'SameShape'?";
    refused(&rule(SUM, r#"SameShap("x", "r")"#, FUSED), 4, message);
}

#[test]
fn a_guard_with_other_arguments() {
    let message = "expected Rank(\"value\", number)";
    refused(&rule(SUM, r#"Rank("x", "two")"#, FUSED), 4, message);
}

#[test]
fn a_leaf_that_nothing_uses() {
    let pattern = r#"("s", Add, ["x", "r"]), ("y", LayerNorm, ["s", "g", "b?"])"#;
    refused(
        &rule(pattern, "", FUSED),
        1,
        "'b' is bound, but it is neither emitted nor used by a guard",
    );
}

#[test]
fn a_matched_node_that_nothing_uses() {
    let pattern = r#"("s", Add, ["x", "r"]), ("z", Tanh, ["s"]), ("y", LayerNorm, ["s", "g"])"#;
    refused(
        &rule(pattern, "", FUSED),
        3,
        "'z' is matched, but no matched node reads it",
    );
}

#[test]
fn a_name_bound_twice() {
    let pattern = r#"("s", Add, ["x", "r"]), ("s", LayerNorm, ["s", "g"])"#;
    refused(&rule(pattern, "", FUSED), 3, "'s' is bound twice");
}

#[test]
fn a_node_that_comes_before_what_it_reads() {
    let pattern = r#"("y", LayerNorm, ["s", "g"]), ("s", Add, ["x", "r"])"#;
    refused(
        &rule(pattern, "", FUSED),
        3,
        "'s' is an output of a later node",
    );
}

#[test]
fn a_removed_value_read_on_the_right() {
    let pattern = r#"("a", Add, ["x", "r"]), ("s", Tanh, ["a"]), ("y", RmsNorm, ["s", "g"])"#;
    let emit = r#"(["s", "y"], AddRmsNorm(eps: "y.eps"), ["x", "a", "g"])"#;
    refused(
        &rule(pattern, r#"IsActivation("r")"#, emit),
        5,
        "'a' is a matched node's output",
    );
}

#[test]
fn an_emitted_value_that_nothing_needs() {
    let emit = r#"(["t", "y"], AddLayerNorm(eps: "y.eps"), ["x", "r", "g"])"#;
    refused(
        &rule(SUM, "", emit),
        5,
        "'t' is emitted, but it replaces nothing",
    );
}

#[test]
fn a_number_that_no_guard_promises() {
    let pattern = r#"("a", Exp, ["x"]), ("y", Mul, ["a", "c"])"#;
    let emit = r#"("y", RmsNorm(eps: "c"), ["x", "x"])"#;
    refused(&rule(pattern, "", emit), 5, "add Literal(\"c\")");
}

#[test]
fn nodes_that_no_value_connects() {
    let pattern = r#"("a", Exp, ["x"]), ("b", Exp, ["z"])"#;
    let emit = r#"(["a", "b"], AddRmsNorm, ["x", "z", "x"])"#;
    refused(&rule(pattern, "", emit), 1, "not all connected");
}

#[test]
fn a_rule_that_adds_ops() {
    let emit = r#"("t", Mul, ["x", "x"]), ("u", Neg, ["t"]), ("y", Neg, ["u"])"#;
    refused(
        &rule(r#"("y", Exp, ["x"])"#, "", emit),
        1,
        "emits 3 ops in place of 1",
    );
}

#[test]
fn a_rule_that_commutes() {
    let emit = r#"("y", Add, ["b", "a"])"#;
    let message = "does not lower the sum of their ranks (40 to 40)";
    refused(&rule(r#"("y", Add, ["a", "b"])"#, "", emit), 1, message);
}

#[test]
fn a_rule_that_an_earlier_more_general_one_shadows() {
    let rules = r#"[
    Rule(
        name: "general",
        match: [("l", Linear(activation: "'none'"), ["x", "w", "b?"]), ("y", Silu, ["l"])],
        emit: [("y", Linear(activation: "'silu'"), ["x", "w", "b?"])],
        bits: Same,
    ),
    Rule(
        name: "special",
        match: [("m", Linear(activation: "'none'"), ["a", "u", "c"]), ("z", Silu, ["m"])],
        guard: [IsWeight("u")],
        emit: [("z", Linear(activation: "'silu'"), ["a", "u", "c"])],
        bits: Same,
    ),
]"#;
    refused(
        rules,
        8,
        "rule \"special\": never fires: \"general\", in line 2,",
    );
}

#[test]
fn a_rule_shadowed_by_one_with_its_operands_the_other_way_round() {
    let one = |name: &str, operands: &str, guard: &str| {
        format!(
            r#"Rule(name: "{name}", match: [("l", Linear, ["x", "w"]), ("y", Add, [{operands}])], guard: [SameType("l", "r"){guard}],
            emit: [("y", Linear(activation: "l.activation"), ["x", "w", "", "r"])], bits: Same),"#
        )
    };
    let (first, second) = (r#""l", "r""#, r#""r", "l""#);
    let rules = format!("[{}\n{}]", one("a", first, ""), one("b", second, ""));
    refused(&rules, 3, "rule \"b\": never fires: \"a\", in line 1,");
    // With one more guard in the earlier rule, the later rule is no longer shadowed.
    let directory = tempfile::tempdir().unwrap();
    let rules = format!(
        "[{}\n{}]",
        one("a", first, r#", IsActivation("r")"#),
        one("b", second, "")
    );
    fs::write(directory.path().join("gate.ron"), rules).unwrap();
    Passes::from_dir(directory.path()).unwrap();
}

#[test]
fn a_name_that_occurs_twice() {
    let one = rule(SUM, "", FUSED);
    let rules = format!("{},\n{}", &one[..one.len() - 1], &one[1..]);
    refused(
        &rules,
        8,
        "rule \"r\": the name is already used by the rule in line 1",
    );
}

#[test]
fn a_mistake_of_syntax() {
    refused("[\n    Rule(name: \"r\", match: [(\"s\", Add],\n]", 2, "");
}

#[test]
fn a_mistake_in_an_expression() {
    let emit = r#"(["s", "y"], AddLayerNorm(eps: "y.eps +"), ["x", "r", "g"])"#;
    refused(&rule(SUM, "", emit), 5, "in \"y.eps +\"");
}

#[test]
fn a_field_that_is_missing_and_one_that_is_unknown() {
    let text = "[Rule(\n    name: \"r\",\n    matches: [],\n    emit: [],\n    bits: Same,\n)]";
    refused(text, 3, "unknown field 'matches', did you mean 'match'?");
    refused(text, 1, "a rule needs 'match'");
}

#[test]
fn all_problems_are_reported_and_not_only_the_first() {
    let emit = r#"(["s", "z"], AddLayerNorm(eps: "y.esp"), ["x", "q", "g"])"#;
    let found = refusal(&[("gate.ron", &rule(SUM, r#"IsWeight("gain")"#, emit))]);
    assert_eq!(found.lines().count(), 4, "{found}");
}

#[test]
fn a_pass_that_promises_more_than_its_rules() {
    let pipeline = r#"Pipeline([
    Rules(name: "raise_attention", bits: Same),
])"#;
    let found = refusal(&[("pipeline.ron", pipeline)]);
    let message = "the pass promises same bits, but its rule 'scores' only within 1e-5";
    assert!(
        found.contains("pipeline.ron:2:") && found.contains(message),
        "{found}"
    );
}

#[test]
fn a_pipeline_with_unknown_passes() {
    let pipeline = r#"Pipeline([
    Transform(name: "fold_constant", bits: Same),
    Rules(name: "absent", bits: Same),
])"#;
    let found = refusal(&[("pipeline.ron", pipeline)]);
    assert!(
        found.contains("unknown transform 'fold_constant', did you mean 'fold_constants'?"),
        "{found}"
    );
    assert!(
        found.contains(":3:5: there is no file") && found.contains("absent.ron"),
        "{found}"
    );
}

#[test]
fn a_rule_file_that_the_pipeline_does_not_name() {
    let found = refusal(&[("linaer.ron", "[]")]);
    assert!(
        found.contains("linaer.ron") && found.contains("no Rules of this name"),
        "{found}"
    );
}

#[test]
fn a_name_that_two_passes_share() {
    let text = rule(SUM, "", FUSED).replace("\"r\",\n", "\"linear_bias\",\n");
    let found = refusal(&[("gate.ron", &text)]);
    assert!(
        found.contains("the name 'linear_bias' is already used by the pass in line"),
        "{found}"
    );
}

#[test]
fn a_directory_that_does_not_exist() {
    let error = Passes::from_dir("/nowhere/at/all".as_ref()).unwrap_err();
    assert!(matches!(error, PassError::Read { .. }), "{error}");
}
