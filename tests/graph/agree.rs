//! Are disagreements between a graph file, a configuration and a weight file reported?

use smallmind::architecture::bind::{Headers, bind};
use smallmind::architecture::expand::expand;
use smallmind::architecture::parameters::ConfigJson;
use smallmind::architecture::syntax::parse;
use smallmind::files::weight_file::TensorHeader;
use smallmind::types::DType;

/// A graph file around some weights, the first at line 2, and nodes, the first at line 3; "x" is the embedding [T, 4].
fn graph(weights: &str, nodes: &str, more: &str) -> String {
    format!(
        "Model({more}params: {{\"tied\": Key(hf: [\"tie_word_embeddings\"], default: \"true\")}}, weights: {{\"embed\": (shape: [8, 4], hf: \"embed\"),\n\
         {weights}}}, nodes: [(\"x\", Gather, [\"embed\", \"tokens\"]),\n{nodes}], outputs: [\"y\"])"
    )
}

/// What is wrong with a graph file, for a configuration and a weight file with tensors of these names and shapes.
fn problems(text: &str, config: &str, tensors: &[(&str, &[usize])]) -> String {
    let header = |(name, shape): &(&str, &[usize])| {
        let header = TensorHeader {
            dtype: Some(DType::F32),
            written: "F32".to_owned(),
            shape: shape.to_vec(),
        };
        ((*name).to_owned(), header)
    };
    let headers: Headers = tensors.iter().map(header).collect();
    let config = ConfigJson::parse("config.json", config).unwrap();
    let expanded = expand(&parse("f", text).unwrap(), &config, &|name| {
        headers.contains_key(name)
    });
    let graph = expanded.and_then(|expanded| bind("f", &expanded, Some(&headers)));
    graph
        .err()
        .map(|problems| problems.to_string())
        .unwrap_or_default()
}

const EMBED: (&str, &[usize]) = ("embed", &[8, 4]);
const GAIN: (&str, &[usize]) = ("gain", &[4]);

fn of_nodes(nodes: &str) -> String {
    problems(&graph("", nodes, ""), "{}", &[EMBED])
}

#[test]
fn a_node_that_nothing_reads_is_refused_with_the_name_that_was_meant() {
    assert_eq!(
        of_nodes(
            "(\"hidden\", Neg, [\"x\"]), (\"hiden\", Exp, [\"hidden\"]), (\"y\", Exp, [\"hidden\"])"
        ),
        "f:3:25: node \"hiden\": nothing reads 'hiden', did you mean 'hidden'? (`unread` lists nodes that may stay without a reader)"
    );
    // In a chain, the last node is reported, and in a Repeat the first iteration.
    assert_eq!(
        of_nodes(
            "Repeat(\"i\", 2, [(\"a\", Neg, [\"x\"]), (\"far\", Exp, [\"a\"])]), (\"y\", Exp, [\"x\"])"
        ),
        "f:3:36: node \"i.0/far\": nothing reads 'far' (`unread` lists nodes that may stay without a reader)"
    );
}

#[test]
fn a_node_may_be_left_unread_if_the_file_says_so() {
    let nodes = "(\"probe\", Neg, [\"x\"]), (\"y\", Exp, [\"x\"])";
    let text = graph("", nodes, "unread: [\"probe\"], ");
    assert_eq!(problems(&text, "{}", &[EMBED]), "");
    let text = graph("", nodes, "unread: [\"prob\"], ");
    let found = problems(&text, "{}", &[EMBED]);
    assert!(
        found.contains("unknown name 'prob', did you mean 'probe'?"),
        "{found}"
    );
    assert!(found.contains("nothing reads 'probe'"), "{found}");
}

#[test]
fn an_unread_output_beside_a_read_one_is_not_a_mistake() {
    let nodes = "([\"sum\", \"y\"], AddRmsNorm, [\"x\", \"x\", \"\"])";
    assert_eq!(of_nodes(nodes), "");
}

#[test]
fn a_tensor_that_only_an_unread_node_reads_is_unread() {
    let weights = "\"gain\": (shape: [4], hf: \"gain\")";
    let unread = "(\"far\", Mul, [\"x\", \"gain\"]), (\"y\", Exp, [\"x\"])";
    let found = problems(&graph(weights, unread, ""), "{}", &[EMBED, GAIN]);
    assert!(
        found.contains("no node reads tensor 'gain' [4] of the weight file"),
        "{found}"
    );
    assert!(found.contains("nothing reads 'far'"), "{found}");
    let read = "(\"y\", Mul, [\"x\", \"gain\"])";
    assert_eq!(
        problems(&graph(weights, read, ""), "{}", &[EMBED, GAIN]),
        ""
    );
}

#[test]
fn a_missing_gain_does_not_mean_1_unless_that_is_written() {
    let weights = "\"gain\": (shape: [4], hf: \"gain\", optional: true), \"bias\": (shape: [4], hf: \"bias\", optional: true)";
    let found = |nodes: &str, tensors: &[(&str, &[usize])]| {
        problems(&graph(weights, nodes, ""), "{}", tensors)
    };
    for (norm, nodes) in [
        ("RmsNorm", "(\"y\", RmsNorm, [\"x\", \"gain\"])"),
        (
            "LayerNorm",
            "(\"y\", LayerNorm, [\"x\", \"gain\", \"bias\"])",
        ),
    ] {
        let told = format!(
            "f:3:1: node \"y\": {norm}: input 1 (gain) is the weight \"gain\", which the weight file lacks: if that is intended, write an If(\"has(…)\", …) in which a node has \"\" as this input"
        );
        assert_eq!(found(nodes, &[EMBED]), told);
        // A missing bias adds nothing.
        assert_eq!(found(nodes, &[EMBED, GAIN]), "");
    }
    let written = "If(\"has('gain')\", [(\"y\", RmsNorm, [\"x\", \"gain\"])], [(\"y\", RmsNorm, [\"x\", \"\"])])";
    assert_eq!(found(written, &[EMBED]), "");
    assert_eq!(found(written, &[EMBED, GAIN]), "");
}

#[test]
fn a_missing_required_operand_is_reported_as_the_missing_weight() {
    let weights = "\"bias\": (shape: [4], hf: \"bias\", optional: true)";
    assert_eq!(
        problems(
            &graph(weights, "(\"y\", Add, [\"x\", \"bias\"])", ""),
            "{}",
            &[EMBED]
        ),
        "f:3:1: node \"y\": Add: input 1 (b) is the weight \"bias\", which the weight file lacks"
    );
}

/// Nodes of attention with a cache.
fn cached(cache: &str, attention: &str) -> String {
    format!(
        "(\"r\", Reshape(shape: [0, 2, 2]), [\"x\"]), ([\"k\", \"v\"], Cache{cache}, [\"r\", \"r\"]), {attention}"
    )
}

#[test]
fn a_cache_whose_window_differs_from_its_readers_is_refused() {
    let whole = |window: &str| format!("(\"y\", Attention{window}, [\"r\", \"k\", \"v\"])");
    let spelled = |window: &str| {
        format!(
            "(\"t\", Transpose(perm: [1, 2, 0]), [\"k\"]), (\"q\", Transpose(perm: [1, 0, 2]), [\"r\"]), (\"s\", MatMul(transpose_b: false), [\"q\", \"t\"]), \
             (\"s\", Mul, [\"s\", 0.5]), (\"s\", CausalMask{window}, [\"s\"]), (\"p\", Softmax, [\"s\"]), (\"w\", Transpose(perm: [1, 0, 2]), [\"v\"]), \
             (\"y\", MatMul(transpose_b: false), [\"p\", \"w\"])"
        )
    };
    let told = |cache: &str, reader: &str, node: &str, window: &str| {
        format!(
            "f:3:42: node \"k\": Cache has the window {cache}, but {reader} \"{node}\", which reads its keys, has the window {window}: the two must be equal"
        )
    };
    assert_eq!(
        of_nodes(&cached("(window: 3)", &whole("(window: 4)"))),
        told("3", "Attention", "y", "4")
    );
    assert_eq!(
        of_nodes(&cached("(window: 3)", &whole(""))),
        told("3", "Attention", "y", "\"none\"")
    );
    assert_eq!(
        of_nodes(&cached("", &whole("(window: 4)"))),
        told("\"none\"", "Attention", "y", "4")
    );
    assert_eq!(
        of_nodes(&cached("(window: 3)", &spelled(""))),
        told("3", "CausalMask", "s#3", "\"none\"")
    );
    for window in ["", "(window: 3)"] {
        assert_eq!(of_nodes(&cached(window, &whole(window))), "");
        assert_eq!(of_nodes(&cached(window, &spelled(window))), "");
    }
}

#[test]
fn a_window_that_would_reach_ahead_is_refused() {
    let refused = |op: &str, nodes: &str| {
        let nodes = format!("(\"r\", Reshape(shape: [0, 2, 2]), [\"x\"]), {nodes}");
        let told = format!(
            "f:3:42: node \"y\": {op}: window 2 needs causal: true, because a window reaches back and never ahead"
        );
        assert_eq!(of_nodes(&nodes), told);
    };
    refused(
        "Attention",
        "(\"y\", Attention(causal: false, window: 2), [\"r\", \"r\", \"r\"])",
    );
    refused(
        "AttentionScores",
        "(\"y\", AttentionScores(window: 2), [\"r\", \"r\"])",
    );
    for nodes in [
        "(\"y\", Attention(window: 2), [\"r\", \"r\", \"r\"])",
        "(\"y\", Attention(causal: false), [\"r\", \"r\", \"r\"])",
        "(\"y\", AttentionScores(causal: true, window: 2), [\"r\", \"r\"])",
    ] {
        assert_eq!(
            of_nodes(&format!(
                "(\"r\", Reshape(shape: [0, 2, 2]), [\"x\"]), {nodes}"
            )),
            ""
        );
    }
}

const HEAD: &str = "\"head\": (shape: [8, 4], hf: \"head\", or: If(\"tied\", \"embed\"))";
const LOGITS: &str = "(\"y\", MatMul, [\"x\", \"head\"])";

#[test]
fn a_head_that_is_missing_and_not_tied_is_an_error_that_says_so() {
    let text = graph(HEAD, LOGITS, "");
    let found = |config: &str| problems(&text, config, &[EMBED]);
    assert_eq!(
        found(r#"{"tie_word_embeddings": false}"#),
        "f:2:1: weight \"head\": the weight file has no tensor 'head', and \"embed\" may not stand in for it, as config.json says tie_word_embeddings is false"
    );
    assert_eq!(found(r#"{"tie_word_embeddings": true}"#), "");
    assert_eq!(found("{}"), "", "the default ties them");
    let by_default = text.replace("default: \"true\"", "default: \"false\"");
    let found = problems(&by_default, "{}", &[EMBED]);
    assert!(
        found.ends_with("as config.json has no tie_word_embeddings, which means false"),
        "{found}"
    );
}

#[test]
fn a_lone_head_that_is_tied_is_the_embedding_too() {
    let text = graph(HEAD, LOGITS, "");
    let text = text.replace(
        "hf: \"embed\")",
        "hf: \"embed\", or: If(\"tied\", \"head\"))",
    );
    let head: (&str, &[usize]) = ("head", &[8, 4]);
    let found = |config: &str, tensors: &[(&str, &[usize])]| problems(&text, config, tensors);
    let (tied, apart) = (
        r#"{"tie_word_embeddings": true}"#,
        r#"{"tie_word_embeddings": false}"#,
    );
    assert_eq!(found(tied, &[head]), "");
    assert_eq!(found(tied, &[EMBED]), "");
    assert_eq!(found(apart, &[EMBED, head]), "");
    let lone = found(apart, &[head]);
    assert!(
        lone.contains("no tensor 'embed', and \"head\" may not stand in for it"),
        "{lone}"
    );
    // If neither is there, the one declared first is reported as missing, once.
    let none = found(tied, &[GAIN]);
    assert!(
        none.contains("weight \"embed\": the weight file has no tensor 'embed'"),
        "{none}"
    );
    assert!(!none.contains("'head'"), "{none}");
}

/// A weight and a node for each of five layers.
const LAYERS: (&str, &str) = (
    "\"layer.w\": (shape: [4, 4], hf: \"layers.{layer}.w\"), \"layer.b\": (shape: [4], hf: \"layers.{layer}.b\")",
    "Repeat(\"layer\", 5, [(\"x\", MatMul, [\"x\", \"layer.w\"]), (\"x\", Add, [\"x\", \"layer.b\"])]), (\"y\", Neg, [\"x\"])",
);

/// The tensors of the weights of five layers, without some.
fn without(absent: &[&str]) -> Vec<(String, Vec<usize>)> {
    let layers = (0..5).flat_map(|i| {
        [
            (format!("layers.{i}.w"), vec![4, 4]),
            (format!("layers.{i}.b"), vec![4]),
        ]
    });
    let all = layers.chain([("embed".to_owned(), vec![8, 4])]);
    all.filter(|(name, _)| !absent.contains(&name.as_str()))
        .collect()
}

fn of_layers(absent: &[&str]) -> String {
    let tensors = without(absent);
    let tensors: Vec<(&str, &[usize])> = tensors
        .iter()
        .map(|(name, shape)| (name.as_str(), shape.as_slice()))
        .collect();
    problems(&graph(LAYERS.0, LAYERS.1, ""), "{}", &tensors)
}

#[test]
fn missing_tensors_are_counted_and_their_layers_named() {
    assert_eq!(of_layers(&[]), "");
    let found = of_layers(&["layers.1.w", "layers.3.w", "layers.4.w", "layers.4.b"]);
    let first = "f:1:1: 4 of 11 tensors are missing in the weight file, of layer 1, 3 to 4: 'layers.1.w', 'layers.3.w', 'layers.4.w' and 1 more";
    assert_eq!(found.lines().next(), Some(first), "{found}");
    let more = "weight \"layer.1/w\": the weight file has no tensor 'layers.1.w', nor 2 like it, of layer 1, 3 to 4";
    assert!(found.contains(more), "{found}");
    assert_eq!(found.lines().count(), 3, "{found}");
    let all = of_layers(&[
        "layers.0.b",
        "layers.1.b",
        "layers.2.b",
        "layers.3.b",
        "layers.4.b",
    ]);
    assert!(
        all.contains("has no tensor 'layers.0.b', nor any of the 5 like it"),
        "{all}"
    );
}
