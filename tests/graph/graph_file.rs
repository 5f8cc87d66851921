//! Is a graph file understood as written, and do messages say where a wrong file is wrong?

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use smallmind::architecture::ast::ModelFile;
use smallmind::architecture::expand::{Expanded, FlatInput, expand};
use smallmind::architecture::parameters::{ConfigJson, Leaf, ParameterSource, SourceKind};
use smallmind::architecture::syntax::parse;
use smallmind::language::diagnostics::Problems;
use smallmind::language::value::Value;

const LLAMA: &str = r#"// Llama: RMSNorm, rotary positions, grouped-query attention.
Model(
    architectures: ["LlamaForCausalLM", "llama"],
    prefixes: ["", "transformer."],
    ignore: ["*.rotary_emb.inv_freq"],
    params: {
        "width":  Key(hf: ["hidden_size"], gguf: ["{arch}.embedding_length"]),
        "vocab":  Key(hf: ["vocab_size"], gguf: ["{arch}.vocab_size"]),
        "layers": Key(hf: ["num_hidden_layers"], gguf: ["{arch}.block_count"]),
        "heads":  Key(hf: ["num_attention_heads"], gguf: ["{arch}.attention.head_count"]),
        "kv":     Key(hf: ["num_key_value_heads"], gguf: ["{arch}.attention.head_count_kv"], default: "heads", null: "heads / 2"),
        "head":   Key(hf: ["head_dim"], gguf: ["{arch}.attention.key_length"], default: "width / heads"),
        "theta":  Key(hf: ["rope_parameters.rope_theta", "rope_theta"], gguf: ["{arch}.rope.freq_base"], default: 10000),
        "act":    Key(hf: ["hidden_act"], default: "'silu'"),
        "types":  Key(hf: ["layer_types"], default: ["'full'", "'sliding'"]),
        "half":   0.5,
    },
    require: [("heads % kv == 0", "heads must share keys evenly")],
    weights: {
        "embed":        (shape: ["vocab", "width"], hf: "model.embed_tokens.weight", gguf: "token_embd.weight"),
        "layer.norm1":  (shape: ["width"], hf: "model.layers.{layer}.input_layernorm.weight", gguf: "blk.{layer}.attn_norm.weight"),
        "layer.q":      (shape: ["heads * head", "width"], hf: "model.layers.{layer}.self_attn.q_proj.weight", gguf: "blk.{layer}.attn_q.weight"),
        "layer.q_bias": Weight(shape: ["heads * head"], hf: "model.layers.{layer}.self_attn.q_proj.bias", gguf: "blk.{layer}.attn_q.bias", optional: true),
        "output":       (shape: ["vocab", "width"], hf: "lm_head.weight", gguf: "output.weight", or: "embed"),
        "factors":      (shape: ["head / 2"], gguf: "rope_freqs.weight", optional: true),
    },
    nodes: [
        ("x", Gather, ["embed", "tokens"]),
        Repeat("layer", "layers", [
            ("n", RmsNorm(eps: 1e-5), ["x", "layer.norm1"]),
            ("q", MatMul, ["n", "layer.q"]),
            If("has('layer.q_bias')", [("q", Add, ["q", "layer.q_bias"])], []),
            ("q", Rope(base: "theta", dims: "head", pairs: "source == 'gguf' ? 'adjacent' : 'half'"), ["q", "positions", "factors"]),
            (["a", "b"], Split(shape: ["T", "heads", ["head", 2]]), ["q", "", Num("sqrt(width)"), -2.5]),
            ("a", Activation("act"), ["a"]),
            ("m", Mask(kind: "types[layer]"), ["b"]),
            ("x", Add, ["x", "a"]),
        ]),
        ("logits", MatMul, ["x", "output"]),
    ],
    outputs: ["logits"],
)
"#;

const CONFIG: &str = r#"{"hidden_size": 64, "vocab_size": 320, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": null, "rope_parameters": {"rope_theta": 5e5}}"#;

fn config(text: &str) -> ConfigJson {
    ConfigJson::parse("config.json", text).unwrap()
}

fn llama() -> ModelFile {
    parse("llama.ron", LLAMA).unwrap()
}

/// Expands for a Hugging Face folder whose weight file has all tensors except those whose names end with `absent`.
fn expand_without(
    file: &ModelFile,
    config_text: &str,
    absent: &[&str],
) -> Result<Expanded, Problems> {
    expand(file, &config(config_text), &|tensor| {
        !absent.iter().any(|end| tensor.ends_with(end))
    })
}

/// One line for each node.
fn listing(expanded: &Expanded) -> String {
    let mut lines = String::new();
    for node in &expanded.nodes {
        let attributes = node
            .positional
            .iter()
            .map(Value::to_string)
            .chain(
                node.attributes
                    .iter()
                    .map(|a| format!("{}: {}", a.name, a.value)),
            )
            .collect::<Vec<_>>();
        let inputs = node
            .inputs
            .iter()
            .map(|input| match input {
                FlatInput::Value(name) => name.to_string(),
                FlatInput::Weight(name) => format!("weight {name}"),
                FlatInput::Literal(value) => value.to_string(),
                FlatInput::Absent | FlatInput::Missing(_) => "-".to_owned(),
            })
            .collect::<Vec<_>>();
        lines += &format!(
            "{} = {}({})[{}]\n",
            node.names.join(", "),
            node.op,
            attributes.join(", "),
            inputs.join(", ")
        );
    }
    for weight in &expanded.weights {
        lines += &format!("{} {:?} {}\n", weight.name, weight.dims, weight.tensor);
    }
    lines
}

#[test]
fn the_sketch_expands_to_flat_nodes() {
    let expanded = expand_without(&llama(), CONFIG, &["layers.0.self_attn.q_proj.bias"]).unwrap();
    insta::assert_snapshot!(listing(&expanded), @r"
    x = Gather()[weight embed, tokens]
    layer.0/n = RmsNorm(eps: 1e-5)[x, weight layer.0/norm1]
    layer.0/q#2 = MatMul()[layer.0/n, weight layer.0/q]
    layer.0/q#3 = Rope(base: 500000.0, dims: 16, pairs: 'half')[layer.0/q#2, positions, -]
    layer.0/a, layer.0/b = Split(shape: ['T', 4, [16, 2]])[layer.0/q#3, -, 8.0, -2.5]
    layer.0/a#2 = Activation('silu')[layer.0/a]
    layer.0/m = Mask(kind: 'full')[layer.0/b]
    layer.0/x = Add()[x, layer.0/a#2]
    layer.1/n = RmsNorm(eps: 1e-5)[layer.0/x, weight layer.1/norm1]
    layer.1/q#2 = MatMul()[layer.1/n, weight layer.1/q]
    layer.1/q#3 = Add()[layer.1/q#2, weight layer.1/q_bias]
    layer.1/q#4 = Rope(base: 500000.0, dims: 16, pairs: 'half')[layer.1/q#3, positions, -]
    layer.1/a, layer.1/b = Split(shape: ['T', 4, [16, 2]])[layer.1/q#4, -, 8.0, -2.5]
    layer.1/a#2 = Activation('silu')[layer.1/a]
    layer.1/m = Mask(kind: 'sliding')[layer.1/b]
    layer.1/x = Add()[layer.0/x, layer.1/a#2]
    logits = MatMul()[layer.1/x, weight output]
    embed [320, 64] model.embed_tokens.weight
    layer.0/norm1 [64] model.layers.0.input_layernorm.weight
    layer.0/q [64, 64] model.layers.0.self_attn.q_proj.weight
    layer.1/norm1 [64] model.layers.1.input_layernorm.weight
    layer.1/q [64, 64] model.layers.1.self_attn.q_proj.weight
    layer.1/q_bias [64] model.layers.1.self_attn.q_proj.bias
    output [320, 64] lm_head.weight
    ");
}

#[test]
fn parameters_take_the_first_path_that_is_present_and_not_null() {
    let params = expand_without(&llama(), CONFIG, &[]).unwrap().params;
    assert_eq!(params["kv"], Value::Int(2), "what null means");
    let absent = CONFIG.replace(r#""num_key_value_heads": null,"#, "");
    let params = expand_without(&llama(), &absent, &[]).unwrap().params;
    assert_eq!(params["kv"], Value::Int(4), "what an absent key means");
    let params = expand_without(&llama(), CONFIG, &[]).unwrap().params;
    assert_eq!(params["theta"], Value::Float(5e5), "the first path wins");
    let older = CONFIG.replace(
        r#""rope_parameters": {"rope_theta": 5e5}"#,
        r#""rope_theta": 7"#,
    );
    let params = expand_without(&llama(), &older, &[]).unwrap().params;
    assert_eq!(params["theta"], Value::Int(7), "the second path is tried");
    let none = CONFIG.replace("rope_theta", "other");
    let params = expand_without(&llama(), &none, &[]).unwrap().params;
    assert_eq!(params["theta"], Value::Int(10000), "the default");
}

/// GGUF keys.
struct Keys(BTreeMap<&'static str, Value>);

impl ParameterSource for Keys {
    fn get(&self, path: &str) -> Option<Value> {
        self.0.get(path).cloned()
    }

    fn leaves(&self) -> Vec<Leaf> {
        let leaf = |(key, value): (&&str, &Value)| Leaf {
            name: key.to_string(),
            path: Some(key.to_string()),
            value: value.clone(),
        };
        self.0.iter().map(leaf).collect()
    }

    fn describe(&self) -> String {
        "model.gguf".to_owned()
    }

    fn kind(&self) -> SourceKind {
        SourceKind::Gguf
    }
}

fn keys() -> Keys {
    Keys(BTreeMap::from([
        ("general.architecture", Value::Str("llama".into())),
        ("llama.embedding_length", Value::Int(64)),
        ("llama.vocab_size", Value::Int(320)),
        ("llama.block_count", Value::Int(1)),
        ("llama.attention.head_count", Value::Int(4)),
    ]))
}

#[test]
fn a_gguf_source_chooses_its_keys_tensors_and_branches() {
    let expanded = expand(&llama(), &keys(), &|_| true).unwrap();
    let text = listing(&expanded);
    assert!(text.contains("pairs: 'adjacent'"), "{text}");
    assert!(
        text.contains("[layer.0/q#3, positions, weight factors]"),
        "{text}"
    );
    assert!(
        text.contains("layer.0/q [64, 64] blk.0.attn_q.weight"),
        "{text}"
    );
}

#[test]
fn an_absent_weight_is_replaced_by_its_or() {
    let expanded = expand_without(&llama(), CONFIG, &["lm_head.weight"]).unwrap();
    let reader = expanded.nodes.last().unwrap();
    assert_eq!(reader.inputs[1], FlatInput::Weight("embed".into()));
    let names: Vec<&str> = expanded
        .weights
        .iter()
        .map(|weight| &*weight.name)
        .collect();
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), unique.len(), "each weight is listed once");
    assert!(!unique.contains("output"));
}

/// Two layers that read their own `a` and `b` [2, 4], or rows of the `ab` that contains both.
const PARTS: &str = r#"Model(
    weights: {
        "layer.ab": (shape: [4, 4], hf: "{layer}.ab", optional: true),
        "layer.a":  (shape: [2, 4], hf: "{layer}.a", or: Rows("layer.ab", 0)),
        "layer.b":  (shape: [2, 4], hf: "{layer}.b", optional: true, or: Rows("layer.ab", "layer + 1")),
    },
    nodes: [
        ("x", Id, ["tokens"]),
        Repeat("layer", 2, [
            ("x", Add, ["x", "layer.a"]),
            If("has('layer.b')", [("x", Mul, ["x", "layer.b"]), ("x", Mul, ["layer.b", "x"])], []),
        ]),
    ],
    outputs: ["x"],
)"#;

#[test]
fn an_absent_weight_is_rows_of_the_weight_that_contains_it() {
    let file = parse("parts.ron", PARTS).unwrap();
    let present = |tensors: &'static [&str]| move |tensor: &str| tensors.contains(&tensor);
    // Layer 0 has both in one tensor; layer 1 has its own `a`, no `b`, and nothing to cut `b` from.
    let expanded = expand(&file, &config("{}"), &present(&["0.ab", "1.a"])).unwrap();
    insta::assert_snapshot!(listing(&expanded), @r"
    x = Id()[tokens]
    layer.0/a = Slice(axis: 0, start: 0, end: 2)[weight layer.0/ab]
    layer.0/x = Add()[x, layer.0/a]
    layer.0/b = Slice(axis: 0, start: 1, end: 3)[weight layer.0/ab]
    layer.0/x#2 = Mul()[layer.0/x, layer.0/b]
    layer.0/x#3 = Mul()[layer.0/b, layer.0/x#2]
    layer.1/x = Add()[layer.0/x#3, weight layer.1/a]
    layer.0/ab [4, 4] 0.ab
    layer.1/a [2, 4] 1.a
    ");
    // If the file also has a weight's own tensor, that tensor is read.
    let own = expand(&file, &config("{}"), &|_| true).unwrap();
    assert!(own.nodes.iter().all(|node| *node.op != *"Slice"));
    let again = parse("dump.ron", &dump(&expanded)).unwrap();
    let again = expand(&again, &config("{}"), &|_| true).unwrap();
    assert_eq!(listing(&again), listing(&expanded));
}

/// Prints a flat graph as a dump does: nodes and weights under their canonical names, no Repeat.
fn dump(expanded: &Expanded) -> String {
    let mut text = "Model(\n    weights: {\n".to_owned();
    for weight in &expanded.weights {
        text += &format!(
            "{:?}: (shape: {:?}, hf: {:?}),\n",
            weight.name, weight.dims, weight.tensor
        );
    }
    text += "    },\n    nodes: [\n";
    for node in &expanded.nodes {
        let mut attributes: Vec<_> = node
            .attributes
            .iter()
            .map(|a| format!("{}: {:?}", a.name, a.value.to_string()))
            .collect();
        attributes.extend(
            node.positional
                .iter()
                .map(|value| format!("{:?}", value.to_string())),
        );
        let inputs: Vec<_> = node
            .inputs
            .iter()
            .map(|input| match input {
                FlatInput::Value(name) | FlatInput::Weight(name) => format!("{name:?}"),
                FlatInput::Literal(value) => format!("Num({:?})", value.to_string()),
                FlatInput::Absent | FlatInput::Missing(_) => "\"\"".to_owned(),
            })
            .collect();
        let (names, op) = (&node.names, &node.op);
        text += &format!(
            "({names:?}, {op}({}), [{}]),\n",
            attributes.join(", "),
            inputs.join(", ")
        );
    }
    let outputs: Vec<_> = expanded
        .outputs
        .iter()
        .map(|output| &output.value)
        .collect();
    text + &format!("    ],\n    outputs: {outputs:?},\n)\n")
}

#[test]
fn a_dump_loads_again_unchanged() {
    let expanded = expand_without(&llama(), CONFIG, &["layers.0.self_attn.q_proj.bias"]).unwrap();
    let dumped = dump(&expanded);
    let again = parse("dump.ron", &dumped).unwrap();
    let again = expand(&again, &config("{}"), &|_| true).unwrap();
    assert_eq!(listing(&again), listing(&expanded));
    assert_eq!(again.outputs[0].value, expanded.outputs[0].value);
}

#[test]
fn architectures_are_known_without_parameters() {
    assert_eq!(llama().architectures, ["LlamaForCausalLM", "llama"]);
    assert_eq!(llama().prefixes, ["", "transformer."]);
    let bare = parse("f", r#"(nodes: [], outputs: ["tokens"])"#).unwrap();
    assert_eq!(bare.prefixes, [""], "without prefixes, names stand bare");
}

#[test]
fn a_name_means_its_newest_binding_also_out_of_bodies() {
    let text = r#"Model(
        nodes: [
            ("positions", Add, ["positions", 2]),
            If("true", [("x", A, ["tokens"])], [("x", B, ["tokens"])]),
            Repeat("i", 2, [Repeat("j", "i + 1", [("x", C, ["x", "positions"])])]),
            Repeat("k", 0, [("x", Never, [])]),
            ("x", D, ["x"]),
        ],
        outputs: ["x"],
    )"#;
    let expanded = expand(&parse("f", text).unwrap(), &config("{}"), &|_| true).unwrap();
    insta::assert_snapshot!(listing(&expanded), @r"
    positions#2 = Add()[positions, 2]
    x = A()[tokens]
    i.0/j.0/x = C()[x, positions#2]
    i.1/j.0/x = C()[i.0/j.0/x, positions#2]
    i.1/j.1/x = C()[i.1/j.0/x, positions#2]
    x#2 = D()[i.1/j.1/x]
    ");
    assert_eq!(&*expanded.outputs[0].value, "x#2");
}

/// Reads and expands a text.
fn load(text: &str) -> Result<Expanded, Problems> {
    expand_without(&parse("f", text)?, CONFIG, &["absent"])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}") {
        let _ = load(&text);
        let _ = load(&format!("Model(nodes: [{text}], outputs: [\"tokens\"])"));
    }

    #[test]
    fn no_mutation_makes_it_panic(
        at in any::<prop::sample::Index>(),
        length in 0..12_usize,
        inserted in prop::sample::select(vec![
            "", "\"", "(", ")", "[", "]", "{", "}", ",", ":", "-1", "1e999", "'", "//", "/*", "é", "1000000000000000000", "layer",
            "Some(1)", "\"x\"", "#", "\\", "\n",
        ]),
    ) {
        let start = at.index(LLAMA.len());
        let end = (start + length).min(LLAMA.len());
        if let (Some(before), Some(after)) = (LLAMA.get(..start), LLAMA.get(end..)) {
            let _ = load(&format!("{before}{inserted}{after}"));
        }
    }
}

#[test]
fn null_is_an_error_if_the_graph_file_does_not_say_what_it_means() {
    let file = |key: &str| {
        let text = format!(
            "Model(params: {{\"a\": {key}}}, nodes: [(\"x\", Num, [Num(\"a\")])], outputs: [\"x\"])"
        );
        parse("f", &text).unwrap()
    };
    let problem = |key: &str, json: &str| {
        let expanded = expand(&file(key), &config(json), &|_| true);
        expanded.err().map(|problems| problems.to_string())
    };
    let null = "'a.b' is null in config.json, and the parameter does not say what null means: add 'null: …' (the default counts only where the key is absent)";
    let keyed = r#"Key(hf: ["a.b"], default: 1)"#;
    let told = Some(format!("f:1:16: parameter \"a\": {null}"));
    assert_eq!(problem(keyed, r#"{"a": {"b": null}}"#), told);
    assert_eq!(
        problem(r#"Key(hf: ["a.b"])"#, r#"{"a": {"b": null}}"#),
        told
    );
    // A key may be absent, or null if null has a meaning or another path has a value.
    for (key, json) in [
        (keyed, "{}"),
        (keyed, r#"{"a": null}"#),
        (r#"Key(hf: ["a.b"], null: 1)"#, r#"{"a": {"b": null}}"#),
        (r#"Key(hf: ["a.b", "c"])"#, r#"{"a": {"b": null}, "c": 1}"#),
    ] {
        assert_eq!(problem(key, json), None, "{key} of {json}");
    }
}

/// The parameter "k" for a GGUF file whose key `a.k` has this value, or what is wrong.
fn of_gguf(key: &str, node: &str, value: Value) -> Result<Value, String> {
    let text = format!(
        "Model(params: {{\"k\": Key(gguf: [\"{{arch}}.k\"]{key})}}, nodes: [(\"x\", Num, [Num(\"{node}\")])], outputs: [\"x\"])"
    );
    let keys = Keys(BTreeMap::from([
        ("general.architecture", Value::Str("a".into())),
        ("a.k", value),
    ]));
    let expanded = expand(&parse("f", &text).unwrap(), &keys, &|_| true);
    let expanded = expanded.map_err(|problems| problems.to_string())?;
    Ok(expanded.params["k"].clone())
}

#[test]
fn values_of_gguf_files_get_the_type_of_the_default() {
    let taken = |key: &str, value: Value| of_gguf(key, "1", value).unwrap();
    assert_eq!(taken(", default: false", Value::Int(1)), Value::Bool(true));
    assert_eq!(
        taken(", default: \"true\"", Value::Int(0)),
        Value::Bool(false)
    );
    assert_eq!(taken(", default: 0", Value::Bool(true)), Value::Int(1));
    assert_eq!(taken(", default: 1.0", Value::Int(3)), Value::Int(3));
    // If the default says nothing about the type, the value stays.
    assert_eq!(taken(", default: \"none\"", Value::Int(1)), Value::Int(1));
    assert_eq!(taken("", Value::Bool(true)), Value::Bool(true));
}

#[test]
fn a_value_of_a_gguf_file_of_an_impossible_type_is_refused() {
    for (key, value, found, expected) in [
        (", default: false", Value::Int(2), "an integer", "a boolean"),
        (
            ", default: false",
            Value::Str("yes".into()),
            "a string",
            "a boolean",
        ),
        (
            ", default: 0",
            Value::Str("1".into()),
            "a string",
            "an integer",
        ),
        (", default: 1.0", Value::Bool(true), "a boolean", "a float"),
        (
            ", default: \"'none'\"",
            Value::Int(1),
            "an integer",
            "a string",
        ),
    ] {
        let problem = of_gguf(key, "1", value).unwrap_err();
        let told = format!("parameter \"k\": 'a.k' is {found} in model.gguf, expected {expected}");
        assert!(problem.ends_with(&told), "{problem}");
    }
}

#[test]
fn a_list_of_equal_numbers_is_one_number_unless_its_elements_are_used() {
    let list = |items: [i64; 2]| Value::List(items.map(Value::Int).to_vec());
    assert_eq!(of_gguf("", "2 * k", list([4, 4])), Ok(Value::Int(4)));
    assert_eq!(of_gguf("", "k[0]", list([4, 4])), Ok(list([4, 4])));
    let problem = of_gguf("", "2 * k", list([4, 8])).unwrap_err();
    assert!(
        problem.contains("'*' between an integer and a list"),
        "{problem}"
    );
}
