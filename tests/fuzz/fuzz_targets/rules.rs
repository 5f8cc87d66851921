//! Any text as a file of rules: either rules that are known by name, or a list of problems.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use smallmind::rewrite::Passes;
use tempfile::TempDir;

static FOLDER: OnceLock<TempDir> = OnceLock::new();

fuzz_target!(|text: &str| {
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().expect("a folder for the rules"));
    std::fs::write(folder.path().join("linear.ron"), text).expect("the rules can be written");
    if let Ok(passes) = Passes::from_dir(folder.path()) {
        let rules: Vec<&str> = passes.rules("linear").collect();
        assert!(rules.iter().all(|rule| !rule.is_empty()));
    }
});
