//! Does every file outside `src/ops/` ask the table of ops, and does none of them name an op?

use std::path::{Path, PathBuf};

use smallmind::ops::table;

/// Files and folders that may name ops, and why.
const OTHER_WORDS: [(&str, &str); 3] = [
    (
        "kernels/functions.rs",
        "the elementwise ops take their names from its rows",
    ),
    (
        "cli/diagnose",
        "it changes graph files, which contain the names of ops",
    ),
    ("embed", "it reads PyTorch's names of modules"),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The lines that name an op, without the file's own tests.
fn names_in(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let named = |line: &&str| table().any(|op| line.contains(&format!("\"{}\"", op.name)));
    code.lines().filter(named).map(str::to_owned).collect()
}

#[test]
fn no_file_outside_of_ops_names_an_op() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut found = Vec::new();
    for file in &files {
        let path = file.strip_prefix(&src).unwrap();
        let is_other = |(folder, _): &(&str, &str)| path.starts_with(folder);
        // Unit tests that have their own file may build graphs of any ops.
        let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
        if is_test || path.starts_with("ops") || OTHER_WORDS.iter().any(is_other) {
            continue;
        }
        let text = std::fs::read_to_string(file).unwrap();
        let lines = names_in(&text).into_iter();
        found.extend(lines.map(|line| format!("{}: {}", path.display(), line.trim())));
    }
    assert!(
        found.is_empty(),
        "ask the table of ops instead:\n{}",
        found.join("\n")
    );
}

#[test]
fn a_quoted_op_is_seen() {
    let text = "op.name() == \"Gather\"\n#[cfg(test)]\nmod tests { \"Gather\" }";
    assert_eq!(names_in(text), ["op.name() == \"Gather\""]);
}
