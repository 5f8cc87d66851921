//! Do `dump`, `plan` and `explain` show what the compiler did?

use std::ffi::OsStr;
use std::path::PathBuf;

use super::{bits, json, stdout};

#[test]
fn a_dump_is_a_graph_file_of_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump.ron");
    let path = path.to_str().unwrap();
    for arguments in [
        &["--after", "none"][..],
        &["--after", "raise_attention"],
        &[],
    ] {
        stdout(["dump", "demo", "-o", path].iter().chain(arguments));
        assert_eq!(
            bits(&["--graph", path], None),
            bits(&[], None),
            "{arguments:?}"
        );
    }
}

#[test]
fn dumps_show_the_graph_where_the_passes_stopped() {
    let dump = |arguments: &[&str]| stdout(["dump", "demo"].iter().chain(arguments));
    let loaded = dump(&["--after", "none"]);
    assert!(
        loaded.starts_with("// demo (graphs/gpt2.ron), graph as loaded\nModel("),
        "{loaded}"
    );
    assert!(
        loaded.contains("Softmax") && !loaded.contains("Attention("),
        "{loaded}"
    );
    let raised = dump(&["--after", "raise_attention"]);
    assert!(
        !raised.contains("Softmax") && raised.contains("Attention("),
        "{raised}"
    );
    assert!(
        raised.starts_with("// demo (graphs/gpt2.ron), graph after the pass raise_attention\n")
    );
    assert!(dump(&["--without", "raise_attention"]).contains("Softmax"));
}

#[test]
fn dot_dumps_are_for_graphviz() {
    let text = stdout(["dump", "demo", "--format", "dot"]);
    let mut lines = text.lines();
    assert!(lines.next().is_some_and(|line| line.starts_with("// ")));
    assert_eq!(lines.next(), Some("digraph {"));
}

#[test]
fn compiling_needs_no_weights() {
    let config: PathBuf = [env!("CARGO_MANIFEST_DIR"), "demo", "config.json"]
        .iter()
        .collect();
    for command in ["dump", "plan", "explain"] {
        assert!(
            stdout([OsStr::new(command), config.as_os_str()])
                .lines()
                .count()
                > 10,
            "{command}"
        );
    }
}

#[test]
fn plan_states_every_byte_for_the_options_given() {
    let plan = json([
        "plan", "demo", "-c", "64", "-t", "3", "--chunk", "16", "--json",
    ]);
    assert_eq!(
        [&plan["context"], &plan["threads"], &plan["chunk"]],
        [64, 3, 16]
    );
    let bytes = |name: &str| plan[name].as_u64().unwrap();
    assert_eq!(
        bytes("arena"),
        bytes("activations") + bytes("scratch") + bytes("kv_cache")
    );
    // Ids of 64 tokens, one sequence, and a page for each of two layers' caches.
    assert_eq!(bytes("session_lists"), 64 * 4 + 32 + 2 * 12);
    let text = stdout(["plan", "demo"]);
    assert!(text.contains("KV cache") && text.contains("lists of a session"));
}

#[test]
fn explain_says_what_each_pass_did() {
    let report = json(["explain", "demo", "--json"]);
    let passes = report["passes"].as_array().unwrap();
    assert!(
        passes.iter().any(|pass| pass["name"] == "raise_attention"),
        "{report}"
    );
    assert!(stdout(["explain", "demo"]).contains("raise_attention"));
    // Because BERT's norms have biases, the rule for norms without bias does not fire.
    let bert = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/bert");
    assert!(stdout(["explain", bert]).contains("        not at \""));
}
