//! Does a model spelled out in primitives compile to the same graph as the model written with whole ops?

use std::collections::HashMap;
use std::fmt::Write;

use smallmind::graph::{Graph, Kind, NodeId, Value};
use smallmind::model::{ModelFiles, compile};
use smallmind::{Model, Options};

use crate::common::{BAR, all_rows, data, difference, expected, run, source};

const MODELS: [(&str, &str); 4] = [
    ("gpt2", "gpt2"),
    ("llama", "llama"),
    ("llama-bf16", "llama"),
    ("llama3-rope", "llama"),
];

fn spelled(graph: &str) -> Options {
    all_rows().graph(data("spelled").join(format!("{graph}.ron")))
}

/// The graph with numbers instead of names: each op after its operands, beginning with the ops of the first output.
fn canonical(graph: &Graph) -> String {
    let mut text = String::new();
    let mut numbers: HashMap<NodeId, usize> = HashMap::new();
    for output in graph.outputs() {
        let of = visit(graph, *output, &mut numbers, &mut text);
        writeln!(text, "output {of}").unwrap();
    }
    text
}

/// Writes the ops that lead to the value; returns its canonical name.
fn visit(
    graph: &Graph,
    value: Value,
    numbers: &mut HashMap<NodeId, usize>,
    text: &mut String,
) -> String {
    let node = graph.node(value.node);
    let op = match &node.kind {
        Kind::Op(op) => op,
        Kind::Constant(literal) => return literal.to_string(),
        Kind::Weight(weight) => return weight.tensor.to_string(),
        Kind::Input => return node.name().to_string(),
    };
    if !numbers.contains_key(&value.node) {
        let inputs = graph.inputs(value.node);
        let mut inputs: Vec<String> = inputs
            .iter()
            .map(|input| input.map_or(String::new(), |v| visit(graph, v, numbers, text)))
            .collect();
        // An absent operand at the end is the same as an operand that is not listed.
        while inputs.last().is_some_and(String::is_empty) {
            inputs.pop();
        }
        let number = numbers.len();
        numbers.insert(value.node, number);
        let types: Vec<String> = node.outputs.iter().map(|o| o.ty.to_string()).collect();
        let (inputs, types) = (inputs.join(", "), types.join(", "));
        writeln!(text, "%{number} = {op} [{inputs}] {types}").unwrap();
    }
    format!("%{}.{}", numbers[&value.node], value.output)
}

#[test]
fn whole_and_spelled_models_compile_to_the_same_graph() {
    for (name, graph) in MODELS {
        let compiled = |options: Options| {
            let files = ModelFiles::open_headers(&source(name), &options).unwrap();
            let compiled = compile(&files, &options).unwrap_or_else(|error| panic!("{error}"));
            canonical(&compiled.graph)
        };
        let (whole, written) = (compiled(all_rows()), compiled(spelled(graph)));
        assert_eq!(written, whole, "{name}");
    }
}

#[test]
fn spelled_models_compute_the_expected_logits_raised_or_not() {
    for (name, graph) in MODELS {
        for stop_after in [None, Some("none".to_owned())] {
            let mut options = spelled(graph);
            options.stop_after = stop_after;
            let expected = expected(name);
            let model = Model::open(data(name), &options).unwrap();
            let steps = expected.greedy.len();
            let (logits, _, greedy) =
                run(&mut model.session().unwrap(), &expected.input_ids, steps);
            let difference = difference(&logits, &expected.rows);
            assert!(difference <= BAR, "{name}: {difference:.2e}");
            assert_eq!(greedy, expected.greedy, "{name}");
        }
    }
}

#[test]
fn spelled_models_run_in_few_elementwise_loops_if_nothing_is_raised() {
    let options = spelled("llama").without(["raise_norm", "raise_activation", "raise_rotary"]);
    let files = ModelFiles::open_headers(&source("llama"), &options).unwrap();
    let graph = compile(&files, &options).unwrap().graph;
    let programs: Vec<String> = graph
        .ids()
        .filter_map(|id| graph.node(id).op())
        .filter(|op| op.name() == "Elementwise")
        .map(|op| op.text("program").to_owned())
        .collect();
    // x · e^… of the gate, times the up projection.
    let gate = "t0 = Neg(x0); t1 = Exp(t0); t2 = Add(t1, 1.0); t3 = Div(x0, t2); t4 = Mul(t3, x1)";
    assert!(
        programs.iter().any(|program| program == gate),
        "{programs:#?}"
    );
    let expected = expected("llama");
    let model = Model::open(data("llama"), &options).unwrap();
    let (logits, _, _) = run(&mut model.session().unwrap(), &expected.input_ids, 0);
    assert!(difference(&logits, &expected.rows) <= BAR);
}
