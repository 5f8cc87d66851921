//! Does src/guide/graphs.md mention every op, and do its steps work as it says?

use smallmind::Options;
use smallmind::model::{ModelFiles, Source, compile};

use crate::common::data;

const README: &str = include_str!("../../src/guide/graphs.md");

/// The tutorial's first graph file.
fn example() -> &'static str {
    let (_, rest) = README.split_once("```ron\n").unwrap();
    rest.split_once("```").unwrap().0
}

/// What is wrong with a graph file for OLMo.
fn problems(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("olmo.ron");
    std::fs::write(&path, text).unwrap();
    let options = Options::new().graph(path);
    let files = ModelFiles::open_headers(&Source::Path(data("olmo")), &options).unwrap();
    match compile(&files, &options) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_first_step_lists_the_tensors_that_are_left() {
    let found = problems(example());
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), 1 + 7, "{found}");
    for told in [
        "olmo.ron:1:1: no node reads tensor 'lm_head.weight' [323, 64] of the weight file (a forgotten bias?); `ignore` lists tensors to leave out",
        "olmo.ron:1:1: no node reads the 3 tensors 'model.layers.{n}.mlp.down_proj.weight' [64, 128] of the weight file",
    ] {
        assert!(README.contains(told), "{told}");
        assert!(lines.iter().any(|line| line.contains(told)), "{found}");
    }
}

#[test]
fn a_problem_of_every_layer_is_reported_for_the_first() {
    let whole = include_str!("../../graphs/olmo.ron");
    let wrong = whole.replace(
        "(\"h\", Mul, [\"g\", \"u\"])",
        "(\"h\", Mull, [\"g\", \"u\"])",
    );
    assert_ne!(wrong, whole);
    let found = problems(&wrong);
    assert_eq!(found.matches("unknown op 'Mull'").count(), 1, "{found}");
    assert!(
        found.contains("node \"layer.0/h\": unknown op 'Mull', did you mean 'Mul'?"),
        "{found}"
    );
}
