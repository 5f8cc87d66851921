//! Does the driver refuse what it must, whatever a rule says, and follow the options?

use std::collections::BTreeSet;
use std::fs;

use smallmind::graph::{Graph, print};
use smallmind::rewrite::{PassError, PassOptions, Passes, Report};
use smallmind::types::Bits;

use crate::common::graph_text::graph;

fn passes() -> Passes {
    Passes::builtin().unwrap_or_else(|error| panic!("{error}"))
}

/// The built-in passes with these rules for gate.ron, and no other rules.
fn with_rules(rules: &str) -> Passes {
    let directory = tempfile::tempdir().unwrap();
    let pipeline = r#"Pipeline([Rules(name: "gate", bits: Within(1.0))])"#;
    fs::write(directory.path().join("pipeline.ron"), pipeline).unwrap();
    fs::write(directory.path().join("gate.ron"), rules).unwrap();
    Passes::from_dir(directory.path()).unwrap_or_else(|error| panic!("{error}"))
}

fn run(passes: &Passes, graph: &mut Graph) -> Report {
    let options = PassOptions {
        verify: true,
        near_misses: true,
        ..PassOptions::default()
    };
    passes
        .run(graph, &options)
        .unwrap_or_else(|error| panic!("{error}"))
}

fn without(names: &[&str]) -> PassOptions {
    PassOptions {
        without: names.iter().map(|name| (*name).to_owned()).collect(),
        ..PassOptions::default()
    }
}

/// The one reason why a rule did not fire.
fn reason(report: &Report, rule: &str) -> String {
    let rule = report.rule(rule).expect("the rule is there");
    assert_eq!(rule.fired, [""; 0]);
    match rule.near.as_slice() {
        [near] => near.reason.clone(),
        other => panic!("{other:?}"),
    }
}

const ADD_NORM: &str = r#"[Rule(
    name: "r",
    match: [("s", Add, ["x", "r"]), ("y", LayerNorm, ["s", "g", "b?"])],
    emit: [(["s", "y"], AddLayerNorm(eps: "y.eps"), ["x", "r", "g", "b?"])],
    bits: Same,
)]"#;

#[test]
fn near_misses_are_reported_only_if_asked_for() {
    let text = "x = activation 8
        y = Pow x | exponent=3.0
        out y";
    let passes = Passes::builtin().unwrap();
    for near_misses in [false, true] {
        let options = PassOptions {
            near_misses,
            ..PassOptions::default()
        };
        let report = passes.run(&mut graph(text), &options).unwrap();
        let near = &report.rule("square").unwrap().near;
        assert_eq!(!near.is_empty(), near_misses, "{near:?}");
    }
}

#[test]
fn a_match_whose_outside_path_comes_back_is_refused() {
    // The norm's other operand depends on the sum: one op for both would read its own output.
    let rules = r#"[Rule(
        name: "r",
        match: [("s", Add, ["x", "r"]), ("y", Mul, ["s", "z"])],
        emit: [(["s", "y"], AddRmsNorm(eps: 1.0), ["x", "r", "z"])],
        bits: Within(1.0),
    )]"#;
    let mut looping = graph(
        "x = activation 8
         r = activation 8
         s = Add x r
         t = Tanh s
         z = Neg t
         y = Mul s z
         out y",
    );
    let reason = reason(&run(&with_rules(rules), &mut looping), "r");
    assert_eq!(
        reason,
        "\"s\" is read by \"t\", on which \"y\" depends, so one op for both would make a cycle"
    );
}

#[test]
fn a_replaced_value_keeps_its_outside_readers_and_its_name() {
    let mut fused = graph(
        "x = activation 8
         r = activation 8
         g = weight 8
         s = Add x r
         y = LayerNorm s g
         z = Tanh s
         out y z s",
    );
    let report = run(&with_rules(ADD_NORM), &mut fused);
    assert_eq!(report.rule("r").unwrap().fired, ["s"]);
    let text = print(&fused, "hf");
    assert!(
        text.contains(r#"(["s", "y"], AddLayerNorm, ["x", "r", "g"])"#),
        "{text}"
    );
    assert!(text.contains(r#"("z", Tanh, ["s"])"#), "{text}");
    assert!(text.contains(r#"outputs: ["y", "z", "s"]"#), "{text}");
}

#[test]
fn a_leaf_that_the_match_itself_produces_does_not_match() {
    let mut doubled = graph(
        "x = activation 8
         w = weight 8 8
         l = Linear x w
         y = Add l l
         out y",
    );
    let report = run(&passes(), &mut doubled);
    assert_eq!(report.rule("linear_residual").unwrap().fired, [""; 0]);
}

#[test]
fn two_nodes_of_a_pattern_are_never_one_node() {
    let rules = r#"[Rule(
        name: "r",
        match: [("a", Tanh, ["x"]), ("b", Tanh, ["z"]), ("y", Add, ["a", "b"])],
        emit: [("t", Add, ["x", "z"]), ("y", Tanh, ["t"])],
        bits: Within(1.0),
    )]"#;
    let text = "x = activation 8
         z = activation 8
         a = Tanh x
         b = Tanh z
         y = Add a";
    let passes = with_rules(rules);
    let report = run(&passes, &mut graph(&format!("{text} a\nout y")));
    assert_eq!(report.rule("r").unwrap().fired, [""; 0]);
    let report = run(&passes, &mut graph(&format!("{text} b\nout y")));
    assert_eq!(report.rule("r").unwrap().fired, ["y"]);
}

#[test]
fn a_number_in_a_pattern_must_be_near() {
    let rules = r#"[Rule(
        name: "r",
        match: [("h", Mul, ["x", 0.5]), ("y", Tanh, ["h"])],
        emit: [("y", Sigmoid, ["x"])],
        bits: Within(1.0),
    )]"#;
    let passes = with_rules(rules);
    let fire = |number: &str| {
        let text = format!("x = activation 8\nh = Mul {number} x\ny = Tanh h\nout y");
        run(&passes, &mut graph(&text))
    };
    assert_eq!(fire("0.50000001").rule("r").unwrap().fired, ["y"]);
    let told = reason(&fire("0.6"), "r");
    assert_eq!(told, "\"h\" reads the number 0.6; the rule wants 0.5");
}

#[test]
fn a_missing_neighbour_is_reported_if_most_of_the_pattern_is_present() {
    let mut other = graph(
        "q = activation 4 2
         k = activation 2 2
         s = AttentionScores q k
         p = Tanh s
         vt = Transpose k | perm=[1,0,2]
         o = MatMul p vt | transpose_b=false
         y = Transpose o | perm=[1,0,2]
         out y",
    );
    let report = run(&passes(), &mut other);
    let near = &report.rule("attention_values").unwrap().near;
    let reasons: Vec<&str> = near.iter().map(|near| near.reason.as_str()).collect();
    assert_eq!(reasons, ["\"p\" is Tanh where the rule wants Softmax"]);
}

#[test]
fn a_dead_reader_does_not_prevent_a_match() {
    let mut fused = graph(
        "x = activation 8
         w = weight 8 8
         l = Linear x w
         y = Silu l
         unread = Tanh l
         out y",
    );
    let report = run(&passes(), &mut fused);
    assert_eq!(report.rule("linear_silu").unwrap().fired, ["y"]);
}

/// A pre-norm block with SwiGLU, attention spelled out and rotary positions, `layers` times.
fn llama(layers: usize) -> Graph {
    let mut text = String::from("x0 = activation 8\n");
    for layer in 0..layers {
        let next = layer + 1;
        let block = "
            L.g1 = weight 8
            L.n1 = RmsNorm xL L.g1
            L.wq = weight 8 8
            L.wk = weight 4 8
            L.wv = weight 4 8
            L.q0 = MatMul L.n1 L.wq
            L.k0 = MatMul L.n1 L.wk
            L.v0 = MatMul L.n1 L.wv
            L.q1 = Reshape L.q0 | shape=[0,4,2]
            L.k1 = Reshape L.k0 | shape=[0,2,2]
            L.v1 = Reshape L.v0 | shape=[0,2,2]
            L.q2 = Rope L.q1 positions | base=10000.0 dims=2
            L.k2 = Rope L.k1 positions | base=10000.0 dims=2
            L.keys L.values = Cache L.k2 L.v1
            L.qt = Transpose L.q2 | perm=[1,0,2]
            L.kt = Transpose L.keys | perm=[1,0,2]
            L.s0 = MatMul L.qt L.kt
            L.s1 = Div L.s0 1.4142135
            L.s2 = CausalMask L.s1
            L.p = Softmax L.s2
            L.vt = Transpose L.values | perm=[1,0,2]
            L.o0 = MatMul L.p L.vt | transpose_b=false
            L.o1 = Transpose L.o0 | perm=[1,0,2]
            L.o2 = Reshape L.o1 | shape=[0,8]
            L.wo = weight 8 8
            L.o3 = MatMul L.o2 L.wo
            L.h = Add xL L.o3
            L.g2 = weight 8
            L.n2 = RmsNorm L.h L.g2
            L.wg = weight 16 8
            L.wu = weight 16 8
            L.wd = weight 8 16
            L.gate = MatMul L.n2 L.wg
            L.up = MatMul L.n2 L.wu
            L.act = Silu L.gate
            L.m = Mul L.act L.up
            L.d = MatMul L.m L.wd
            xN = Add L.h L.d\n";
        let block = block
            .replace("L.", &format!("layer{layer}."))
            .replace("xL", &format!("x{layer}"));
        text += &block.replace("xN", &format!("x{next}"));
    }
    text += &format!(
        "gf = weight 8\nnf = RmsNorm x{layers} gf\nhead = weight 11 8\nlogits = MatMul nf head\nout logits"
    );
    graph(&text)
}

#[test]
fn a_llama_block_spelled_out_is_fused_whole() {
    let mut model = llama(3);
    run(&passes(), &mut model);
    let text = print(&model, "hf");
    let ops = |name: &str| text.matches(&format!(", {name}")).count();
    let found = [
        "MergedLinear",
        "CachedAttention",
        "AddRmsNorm",
        "GatedLinear",
        "Linear",
        "RotaryTable",
    ]
    .map(|name| (name, ops(name)));
    assert_eq!(
        found,
        [
            ("MergedLinear", 3),
            ("CachedAttention", 3),
            ("AddRmsNorm", 6),
            ("GatedLinear", 3),
            ("Linear", 7),
            ("RotaryTable", 1)
        ],
        "{text}"
    );
    for gone in ["MatMul", "Softmax", "Rope", "Cache,", "Silu", "Transpose"] {
        assert_eq!(ops(gone), 0, "{gone}\n{text}");
    }
}

#[test]
fn two_runs_print_the_same_text() {
    let rewritten = || {
        let mut model = llama(2);
        let report = run(&passes(), &mut model);
        (print(&model, "hf"), report.to_string())
    };
    assert_eq!(rewritten(), rewritten());
}

#[test]
fn a_pass_and_a_rule_can_be_left_out() {
    let passes = passes();
    let options = without(&["gate", "linear_silu", "in_place"]);
    let report = passes.run(&mut llama(1), &options).unwrap();
    assert!(report.rule("gated_linear").is_none());
    assert!(report.rule("linear_silu").is_none());
    assert!(report.rule("lower_matmul").is_some());
    assert!(!passes.is_on("in_place", &options));
    assert!(passes.is_on("reuse_buffers", &options));
}

#[test]
fn the_pipeline_stops_after_a_pass() {
    let passes = passes();
    let options = PassOptions {
        stop_after: Some("fuse_norm".into()),
        ..PassOptions::default()
    };
    let report = passes.run(&mut llama(1), &options).unwrap();
    assert_eq!(
        report.passes.last().map(|pass| pass.name.as_str()),
        Some("fuse_norm")
    );
    assert!(!passes.is_on("linear", &options));
    assert!(!passes.is_on("reuse_buffers", &options));
}

#[test]
fn options_that_name_nothing_are_refused() {
    let passes = passes();
    let fail = |options: &PassOptions| match passes.run(&mut llama(1), options) {
        Err(error @ PassError::Unknown(_)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let text = fail(&without(&["linear_bais"]));
    assert_eq!(
        text,
        "unknown pass or rule 'linear_bais', did you mean 'linear_bias'?"
    );
    let options = PassOptions {
        stop_after: Some("fuse_nrom".into()),
        ..PassOptions::default()
    };
    assert_eq!(
        fail(&options),
        "unknown pass 'fuse_nrom', did you mean 'fuse_norm'?"
    );
}

#[test]
fn the_pipeline_says_its_order_and_its_promises() {
    let passes = passes();
    let names: BTreeSet<&str> = passes.names().collect();
    assert_eq!(names.len(), passes.names().count());
    assert_eq!(passes.names().next(), Some("hidden_output"));
    assert_eq!(passes.bits("raise_attention"), Some(Bits::Within(1e-5)));
    assert_eq!(passes.bits("add_rms_norm"), Some(Bits::Same));
    assert_eq!(passes.bits("nothing"), None);
    for name in passes.names() {
        assert!(
            passes.doc(name).is_some_and(|doc| !doc.is_empty()),
            "{name}"
        );
    }
}

#[test]
fn the_report_reads_as_text_and_as_json() {
    let mut model = graph(
        "x = activation 8
         w = weight 6 8
         l = Linear x w
         y = Silu l
         z = Tanh l
         out y z",
    );
    let report = run(&passes(), &mut model);
    let text = report.to_string();
    assert!(
        text.contains("\nlinear (same bits): 4 ops -> 4\n"),
        "{text}"
    );
    let line = "    linear_silu: did not fire\n        not at \"y\": \"l\" is also read by \"z\"\n";
    assert!(text.contains(line), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    let passes = json["passes"].as_array().unwrap();
    let linear = passes.iter().find(|pass| pass["name"] == "linear").unwrap();
    let rule = linear["rules"]
        .as_array()
        .unwrap()
        .iter()
        .find(|rule| rule["name"] == "linear_silu")
        .unwrap();
    assert_eq!(rule["near"][0]["reason"], "\"l\" is also read by \"z\"");
}
