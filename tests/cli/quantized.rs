//! Do `--weights` and `--activations` reach the compiler from every subcommand?

use super::{EXPECTED, failure, json, output, stdout};

/// The fingerprint that `check` prints for the demo, whether the outputs are as expected or not.
fn fingerprint(arguments: &[&str]) -> String {
    let check = ["check", "demo", "--expected", EXPECTED];
    let output = output(check.iter().chain(arguments));
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("bits "));
    line.unwrap_or_else(|| panic!("{text}")).to_string()
}

#[test]
fn dumps_and_explanations_show_what_was_quantized() {
    let dump = |arguments: &[&str]| stdout(["dump", "demo"].iter().chain(arguments));
    let int8 = dump(&["--weights", "q8_0"]);
    assert!(int8.contains("Cast(to: \"'Q8_0'\")"), "{int8}");
    assert!(int8.contains("QuantizedAddLayerNorm"), "{int8}");
    let floats = dump(&["--weights", "q8_0", "--activations", "f32"]);
    assert!(floats.contains("Cast(to: \"'Q8_0'\")"), "{floats}");
    assert!(!floats.contains("Quantize"), "{floats}");
    assert!(!dump(&[]).contains("Cast"));
    let report = stdout(["explain", "demo", "--weights", "q4_k"]);
    // Rows of 128 elements are not blocks of 256.
    assert!(report.contains("f32 becomes Q5_0"), "{report}");
}

#[test]
fn plans_count_the_bytes_of_blocks() {
    let packed = |arguments: &[&str]| {
        let plan = json(["plan", "demo", "--json"].iter().chain(arguments));
        plan["packed_weights"].as_u64().unwrap()
    };
    let floats = packed(&[]);
    assert_eq!(packed(&["--weights", "q8_0"]) * 128, floats * 34);
    assert_eq!(packed(&["--weights", "q4_0"]) * 128, floats * 18);
    assert_eq!(packed(&["--weights", "f16"]) * 2, floats);
    let exact = packed(&["--weights", "q8_0", "--activations", "f32"]);
    assert_eq!(exact, floats);
}

#[test]
fn float_activations_are_the_pass_left_out() {
    let exact = fingerprint(&["--weights", "q4_0", "--activations", "f32"]);
    let without = ["--weights", "q4_0", "--without", "quantize_activations"];
    assert_eq!(fingerprint(&without), exact);
    assert_ne!(fingerprint(&["--weights", "q4_0"]), exact);
    assert_eq!(fingerprint(&["--activations", "f32"]), fingerprint(&[]));
}

#[test]
fn programs_run_with_them() {
    let run = ["run", "demo", "ROMEO:", "-n", "4", "--greedy"];
    assert!(!stdout(run.iter().chain(&["--weights", "q6_k"])).is_empty());
    let bench = ["bench", "-p", "4", "-n", "2", "-r", "1", "-o", "json"];
    let rows = json(bench.iter().chain(&["--weights", "q8_0"]));
    assert_eq!(rows.as_array().map(Vec::len), Some(2));
}

#[test]
fn folders_of_passes_may_lack_the_pass() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = "Pipeline([Transform(name: \"fold_constants\", bits: Same)])";
    std::fs::write(folder.path().join("pipeline.ron"), pipeline).unwrap();
    let passes = folder.path().to_str().unwrap();
    stdout(["plan", "demo", "--activations", "f32", "--passes", passes]);
    let message = failure([
        "plan",
        "demo",
        "--without",
        "quantize_activations",
        "--passes",
        passes,
    ]);
    assert!(message.contains("'quantize_activations'"), "{message}");
}
