//! Are the mistakes that strangers make in graph files located, by an error or by `smallmind check`?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use smallmind::graph::Value;
use smallmind::graph::interpreter::Interpreter;
use smallmind::model::{ModelFiles, compile};
use tempfile::TempDir;

use crate::common::{all_rows, data, expected, source};

/// A graph file of `graphs/`.
fn graph(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("graphs");
    fs::read_to_string(path.join(format!("{name}.ron"))).unwrap()
}

/// The text with each of these parts replaced by another; the text must contain each part.
fn edited(text: &str, edits: &[(&str, &str)]) -> String {
    edits.iter().fold(text.to_string(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

/// The number of the first line with the part, from 1.
fn line(text: &str, part: &str) -> usize {
    let (before, _) = text.split_once(part).unwrap();
    before.matches('\n').count() + 1
}

/// A graph file with a mistake for a fixture, and what it is compared with.
struct Case {
    folder: TempDir,
    model: PathBuf,
    expected: PathBuf,
}

impl Case {
    fn new(model: &str, text: &str) -> Case {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("mine.ron"), text).unwrap();
        Case {
            folder,
            model: data(model),
            expected: data(model).join("expected.safetensors"),
        }
    }

    /// With the correct graph's elements of these values, as `hidden.0`, `hidden.1`, …
    fn with_hidden(mut self, model: &str, values: &[&str]) -> Case {
        let path = self.folder.path().join("expected.safetensors");
        write_hidden(model, &self.expected, &path, values);
        self.expected = path;
        self
    }

    fn run(&self, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smallmind"));
        command
            .current_dir(self.folder.path())
            .arg("check")
            .arg(&self.model)
            .args(["--graph", "mine.ron", "--expected"])
            .arg(&self.expected)
            .args(more);
        command.output().unwrap()
    }

    /// The output of `check` about values that depart.
    fn departs(&self) -> String {
        let output = self.run(&[]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.is_empty(), "{errors}");
        text
    }

    /// The message about a graph file that does not load.
    fn refused(&self) -> String {
        let output = self.run(&[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    }
}

/// Writes the expected tensors of a fixture, and its correct graph's elements of these values.
fn write_hidden(model: &str, expected_file: &Path, path: &Path, values: &[&str]) {
    let options = all_rows().stop_after("none");
    let files = ModelFiles::open(&source(model), &options).unwrap();
    let mut graph = compile(&files, &options).unwrap().graph;
    let outputs: Vec<Value> = values
        .iter()
        .map(|name| graph.find(name).unwrap())
        .collect();
    graph.edit().set_outputs(outputs);
    let mut interpreter = Interpreter::new(&graph, files.weights.as_ref().unwrap()).unwrap();
    let ids: Vec<i32> = expected(model)
        .input_ids
        .iter()
        .map(|&id| id as i32)
        .collect();
    let rows = interpreter.step(&ids);
    let bytes: Vec<Vec<u8>> = rows
        .iter()
        .map(|rows| rows.floats().iter().flat_map(|x| x.to_le_bytes()).collect())
        .collect();
    let file = fs::read(expected_file).unwrap();
    let known = SafeTensors::deserialize(&file).unwrap();
    let mut views: Vec<(String, TensorView<'_>)> = known.tensors();
    for (layer, (rows, bytes)) in rows.iter().zip(&bytes).enumerate() {
        let view = TensorView::new(Dtype::F32, rows.shape.clone(), bytes).unwrap();
        views.push((format!("hidden.{layer}"), view));
    }
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

const STREAM: [&str; 2] = ["layer.0/x#2", "layer.1/x#2"];

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{text}\nlacks: {part}");
    }
}

#[test]
fn wrong_rotary_pairs_are_named() {
    let right = "\"source == 'gguf' ? 'adjacent' : 'half'\"";
    let text = edited(&graph("llama"), &[(right, "\"'adjacent'\"")]);
    let case = Case::new("llama", &text);
    let (q, k) = (line(&text, "(\"q\", Rope("), line(&text, "(\"k\", Rope("));
    let found = format!(
        "with pairs: \"'half'\" in Rope (mine.ron:{q}:13, mine.ron:{k}:13) the output agrees"
    );
    says(
        &case.departs(),
        &["row 0 agrees, row 1 departs: positions, rotation", &found],
    );
    let case = case.with_hidden("llama", &STREAM);
    let layer = format!(
        "layer 0 is the first whose output departs: mine.ron:{}-{}",
        line(
            &text,
            "(\"n\", RmsNorm(eps: \"eps\"), [\"x\", \"layer.norm1\"])"
        ),
        line(&text, "(\"x\", Add, [\"h\", \"x\"])"),
    );
    let agrees = found.replace("the output agrees", "layer 0 agrees");
    says(&case.departs(), &[&layer, &agrees]);
}

#[test]
fn a_square_matrix_that_is_transposed_by_mistake_is_named() {
    let text = edited(
        &graph("llama"),
        &[(
            "(\"a\", MatMul, [\"a\", \"layer.o_proj\"])",
            "(\"a\", MatMul(transpose_b: false), [\"a\", \"layer.o_proj\"])",
        )],
    );
    let at = line(&text, "transpose_b: false");
    let found =
        format!("with transpose_b: true in MatMul \"a\" (mine.ron:{at}:13) the output agrees");
    says(
        &Case::new("llama", &text).departs(),
        &[
            "the first row departs: rotation and the mask do nothing there",
            &found,
        ],
    );
}

#[test]
fn a_matrix_that_is_not_square_does_not_fit_transposed() {
    let text = edited(
        &graph("llama"),
        &[(
            "(\"u\", MatMul, [\"n\", \"layer.up_proj\"])",
            "(\"u\", MatMul(transpose_b: false), [\"n\", \"layer.up_proj\"])",
        )],
    );
    let place = format!(
        "mine.ron:{}:13: node \"layer.0/u\": ",
        line(&text, "transpose_b")
    );
    says(&Case::new("llama", &text).refused(), &[&place]);
}

#[test]
fn a_forgotten_bias_is_a_tensor_that_no_node_reads() {
    let text = edited(
        &graph("gpt2"),
        &[("(\"a\", Add, [\"a\", \"layer.attn_proj_bias\"]),", "")],
    );
    says(
        &Case::new("gpt2", &text).refused(),
        &["no node reads the 3 tensors 'transformer.h.{n}.attn.c_proj.bias'"],
    );
}

#[test]
fn heads_in_place_of_key_value_heads_do_not_fit() {
    let text = edited(
        &graph("llama"),
        &[(
            "(\"k\", Reshape(shape: [0, \"kv\", \"head\"]), [\"k\"])",
            "(\"k\", Reshape(shape: [0, \"heads\", \"head\"]), [\"k\"])",
        )],
    );
    let at = line(&text, "(\"k\", Reshape(");
    let place = format!("mine.ron:{at}:13: node \"layer.0/k#2\": ");
    says(&Case::new("llama", &text).refused(), &[&place, "Reshape"]);
}

#[test]
fn norms_after_their_blocks_are_to_be_moved_before_them() {
    let text = edited(
        &graph("llama"),
        &[
            (
                "(\"n\", RmsNorm(eps: \"eps\"), [\"x\", \"layer.norm1\"]),",
                "",
            ),
            (
                "(\"n\", RmsNorm(eps: \"eps\"), [\"x\", \"layer.norm2\"]),",
                "",
            ),
            (
                "(\"x\", Add, [\"a\", \"x\"]),",
                "(\"x\", Add, [\"a\", \"x\"]), (\"x\", RmsNorm(eps: \"eps\"), [\"x\", \"layer.norm1\"]),",
            ),
            (
                "(\"x\", Add, [\"h\", \"x\"]),",
                "(\"x\", Add, [\"h\", \"x\"]), (\"x\", RmsNorm(eps: \"eps\"), [\"x\", \"layer.norm2\"]),",
            ),
            (
                "MatMul, [\"n\", \"layer.q_proj\"]",
                "MatMul, [\"x\", \"layer.q_proj\"]",
            ),
            (
                "MatMul, [\"n\", \"layer.k_proj\"]",
                "MatMul, [\"x\", \"layer.k_proj\"]",
            ),
            (
                "MatMul, [\"n\", \"layer.v_proj\"]",
                "MatMul, [\"x\", \"layer.v_proj\"]",
            ),
            (
                "MatMul, [\"n\", \"layer.gate_proj\"]",
                "MatMul, [\"x\", \"layer.gate_proj\"]",
            ),
            (
                "MatMul, [\"n\", \"layer.up_proj\"]",
                "MatMul, [\"x\", \"layer.up_proj\"]",
            ),
        ],
    );
    let case = Case::new("llama", &text);
    let moved = "with each norm before its block instead of after the sum";
    says(&case.departs(), &[moved, "the output agrees"]);
    let text = case.with_hidden("llama", &STREAM).departs();
    says(
        &text,
        &[
            "layer 0 is the first whose output departs",
            moved,
            "layer 0 agrees",
        ],
    );
}

#[test]
fn norms_before_their_blocks_are_to_be_moved_after_them() {
    let text = edited(
        &graph("bert"),
        &[
            (
                "(\"q\", MatMul, [\"x\", \"layer.query\"])",
                "(\"n\", LayerNorm(eps: \"eps\"), [\"x\", \"layer.norm1\", \"layer.norm1_bias\"]),
            (\"q\", MatMul, [\"n\", \"layer.query\"])",
            ),
            (
                "MatMul, [\"x\", \"layer.key\"]",
                "MatMul, [\"n\", \"layer.key\"]",
            ),
            (
                "MatMul, [\"x\", \"layer.value\"]",
                "MatMul, [\"n\", \"layer.value\"]",
            ),
            (
                "            (\"x\", LayerNorm(eps: \"eps\"), [\"x\", \"layer.norm1\", \"layer.norm1_bias\"]),\n",
                "",
            ),
            (
                "(\"h\", MatMul, [\"x\", \"layer.up\"])",
                "(\"n\", LayerNorm(eps: \"eps\"), [\"x\", \"layer.norm2\", \"layer.norm2_bias\"]),
            (\"h\", MatMul, [\"n\", \"layer.up\"])",
            ),
            (
                "            (\"x\", LayerNorm(eps: \"eps\"), [\"x\", \"layer.norm2\", \"layer.norm2_bias\"]),\n",
                "",
            ),
        ],
    );
    says(
        &Case::new("bert", &text).departs(),
        &[
            "with each norm after the sum instead of before its block",
            "the output agrees",
        ],
    );
}

#[test]
fn weights_of_the_same_shape_that_were_mistaken_for_each_other_are_named() {
    let text = edited(
        &graph("llama"),
        &[
            ("[\"n\", \"layer.gate_proj\"]", "[\"n\", \"layer.spare\"]"),
            ("[\"n\", \"layer.up_proj\"]", "[\"n\", \"layer.gate_proj\"]"),
            ("[\"n\", \"layer.spare\"]", "[\"n\", \"layer.up_proj\"]"),
        ],
    );
    says(
        &Case::new("llama", &text).departs(),
        &[
            "with 'layer.up_proj' and 'layer.gate_proj' exchanged in MatMul",
            "the output agrees",
        ],
    );
}

#[test]
fn the_other_form_of_gelu_is_named() {
    let text = edited(&graph("gpt2"), &[("Activation(\"act\")", "Gelu")]);
    let at = line(&text, ", Gelu,");
    let found = format!("with Activation(\"'gelu_new'\") (mine.ron:{at}:13) the output agrees");
    says(&Case::new("gpt2", &text).departs(), &[&found]);
}

#[test]
fn gains_that_lack_their_1_are_named() {
    let text = edited(
        &graph("gemma"),
        &[("\"source == 'hf' ? 1.0 : 0.0\"", "\"0.0\"")],
    );
    // Here every gain is a sum with 0, so each norm's gain is too small by 1.
    says(
        &Case::new("gemma", &text).departs(),
        &["with 1 added to the gain of a norm", "the output agrees"],
    );
}

#[test]
fn an_embedding_that_is_not_scaled_is_named() {
    let text = edited(
        &graph("gemma"),
        &[("(\"x\", Mul, [\"x\", Num(\"sqrt(width)\")]),", "")],
    );
    let at = line(&text, "(\"x\", Gather");
    let found = format!("with the embedding times sqrt(64) (mine.ron:{at}:9) the output agrees");
    says(&Case::new("gemma", &text).departs(), &[&found]);
}

#[test]
fn a_wrong_scale_of_scores_is_named() {
    let text = edited(
        &graph("qwen3"),
        &[("scale: \"1 / sqrt(head)\"", "scale: \"1 / sqrt(width)\"")],
    );
    says(
        &Case::new("qwen3", &text).departs(),
        &[
            "row 0 agrees, row 1 departs",
            "with scale: \"1 / sqrt(32)\" in Attention",
        ],
    );
}

#[test]
fn a_window_of_the_wrong_width_shows_in_the_first_row_that_departs() {
    let text = edited(
        &graph("mistral"),
        &[(
            "\"stated_window == 0 ? none : stated_window\"",
            "\"stated_window - 1\"",
        )],
    );
    says(
        &Case::new("mistral", &text).departs(),
        &[
            "rows 0 to 14 agree, row 15 departs: a window",
            "single changes makes it agree",
        ],
    );
}

#[test]
fn the_first_node_whose_values_are_out_of_range_is_named() {
    for (wrong, why) in [
        (
            "(\"h\", Mul, [\"g\", \"u\"]), (\"h\", Mul, [\"h\", 1e30])",
            "its root mean square is ",
        ),
        (
            "(\"h\", Mul, [\"g\", \"u\"]), (\"h\", Div, [\"h\", 0.0])",
            "its values are not all finite",
        ),
        (
            "(\"h\", Mul, [\"g\", \"u\"]), (\"h\", Mul, [\"h\", 0.0])",
            "all its values are 0",
        ),
    ] {
        let text = edited(&graph("llama"), &[("(\"h\", Mul, [\"g\", \"u\"])", wrong)]);
        let op = &wrong[wrong.rfind("(\"h\", ").unwrap() + 6..][..3];
        let at = line(&text, "(\"h\", Mul, [\"g\", \"u\"])");
        let column = 13 + wrong.rfind("(\"h\", ").unwrap();
        let found = format!("mine.ron:{at}:{column}: node \"layer.0/h#2\", {op}: {why}");
        says(&Case::new("llama", &text).departs(), &[&found]);
    }
}

#[test]
fn a_mistake_after_the_layers_is_located_there() {
    let text = edited(
        &graph("llama"),
        &[(
            "[\"x\", \"norm\"])",
            "[\"x\", \"norm\"]), (\"n\", Mul, [\"n\", 0.5])",
        )],
    );
    let case = Case::new("llama", &text)
        .with_hidden("llama", &["layer.0/x#2", "layer.1/x#2", "layer.2/x#2"]);
    let found = format!(
        "all 3 hidden states agree: the difference comes after the last of them (mine.ron:{}:9)",
        line(&text, "[\"x\", \"norm\"]")
    );
    says(
        &case.departs(),
        &[&found, "no node's values are out of range"],
    );
}

#[test]
fn a_later_layer_that_departs_is_named() {
    let text = edited(
        &graph("llama"),
        &[(
            "(\"h\", Mul, [\"g\", \"u\"])",
            "(\"h\", Mul, [\"g\", \"u\"]), If(\"layer == 1\", [(\"h\", Mul, [\"h\", 1.5])], [])",
        )],
    );
    let case = Case::new("llama", &text).with_hidden("llama", &STREAM);
    says(
        &case.departs(),
        &["layer 1 is the first whose output departs (1 before it agree)"],
    );
    let traced = case.run(&["--trace"]);
    let traced = String::from_utf8(traced.stdout).unwrap();
    says(&traced, &["residual", "layer 2 ", "layer.1/h#2"]);
    assert!(!traced.contains("layer.0/h#2"), "{traced}");
}

#[test]
fn hidden_states_that_do_not_fit_the_graph_are_refused() {
    let wrong = edited(
        &graph("llama"),
        &[(
            "[\"x\", \"norm\"])",
            "[\"x\", \"norm\"]), (\"n\", Mul, [\"n\", 0.5])",
        )],
    );
    let values = ["layer.0/x#2", "layer.1/x#2", "layer.2/x#2", "layer.2/x#2"];
    let output = Case::new("llama", &wrong)
        .with_hidden("llama", &values)
        .run(&[]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("hidden.3 has no layer: the graph has 3 layers, counted from 0"),
        "{message}"
    );
    let output = Case::new("llama", &wrong)
        .with_hidden("llama", &["layer.0/g"])
        .run(&[]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("hidden.0 has rows of"), "{message}");
}

#[test]
fn a_right_graph_is_traced_if_that_is_asked_for() {
    let output = Case::new("llama", &graph("llama")).run(&["--trace"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    says(&text, &["residual", "before", "layer 2"]);
    assert!(
        !text.contains("departs") && !text.contains("layer 3"),
        "{text}"
    );
}

#[test]
fn the_tutorial_shows_what_check_says() {
    let readme = include_str!("../../src/guide/graphs.md");
    let (_, excerpt) = readme
        .split_once("With the wrong rotary pairs:\n\n```text\n")
        .unwrap();
    let (excerpt, _) = excerpt.split_once("```").unwrap();
    let right = "\"source == 'gguf' ? 'adjacent' : 'half'\"";
    let text = edited(&graph("olmo"), &[(right, "\"'adjacent'\"")]);
    let found = Case::new("olmo", &text)
        .with_hidden("olmo", &STREAM)
        .departs()
        .replace("mine.ron", "olmo.ron");
    let lines: Vec<&str> = excerpt.lines().map(str::trim).collect();
    says(&found, &lines);
}

#[test]
fn a_wrong_pass_is_distinguished_from_a_wrong_graph_file() {
    let case = Case::new("llama", &graph("llama"));
    let passes = case.folder.path().join("passes");
    fs::create_dir(&passes).unwrap();
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("passes")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ron") {
            let text = fs::read_to_string(&path).unwrap();
            let right = "[\"x\", \"gate\", \"up\", \"gb?\", \"ub?\"]";
            let text = text.replace(right, "[\"x\", \"up\", \"gate\", \"ub?\", \"gb?\"]");
            fs::write(passes.join(path.file_name().unwrap()), text).unwrap();
        }
    }
    let output = case.run(&["--passes", passes.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    says(
        &text,
        &["the graph agrees on the scalar reference: a pass or a kernel is wrong"],
    );
}

/// The residual stream's table that `--trace` prints.
fn stream(model: &Path, expected: &Path, more: &[&str]) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smallmind"));
    command
        .arg("check")
        .arg(model)
        .arg("--expected")
        .arg(expected);
    let output = command.arg("--trace").args(more).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(str::to_string);
    let lines: Vec<String> = lines
        .skip_while(|line| !line.starts_with("residual"))
        .collect();
    assert!(!lines.is_empty(), "{text}");
    lines
}

#[test]
fn every_architectures_layers_are_found() {
    for name in crate::common::models().filter(|&name| name != "demo") {
        let config = fs::read_to_string(data(name).join("config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_str(&config).unwrap();
        let layers = ["n_layer", "num_hidden_layers"].map(|key| config[key].as_u64());
        let layers = layers.into_iter().flatten().next().unwrap() as usize;
        let lines = stream(&data(name), &data(name).join("expected.safetensors"), &[]);
        assert!(lines[1].starts_with("before "), "{name}: {lines:?}");
        assert_eq!(lines.len(), 2 + layers, "{name}: {lines:?}");
    }
}

#[test]
fn a_dump_has_the_layers_of_the_graph_file() {
    let folder = TempDir::new().unwrap();
    let dump = folder.path().join("dump.ron").display().to_string();
    let model = data("llama");
    let mut command = Command::new(env!("CARGO_BIN_EXE_smallmind"));
    command
        .arg("dump")
        .arg(&model)
        .args(["--after", "none", "-o", &dump]);
    assert!(command.status().unwrap().success());
    let expected = model.join("expected.safetensors");
    assert_eq!(
        stream(&model, &expected, &["--graph", &dump]),
        stream(&model, &expected, &[])
    );
}
