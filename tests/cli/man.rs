//! Do the manual pages say what the help says?

use super::{output, stdout};

#[test]
fn the_page_of_the_program_lists_the_commands() {
    let page = stdout(["man"]);
    assert!(page.contains(".TH smallmind 1"), "{page}");
    for part in [
        "run",
        "quantize",
        "completions",
        "Exit codes",
        "SMALLMIND_ISA",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn the_page_of_a_command_has_its_options() {
    let page = stdout(["man", "run"]);
    assert!(page.contains(".TH smallmind-run 1"), "{page}");
    for part in ["\\-\\-logit\\-bias", "\\-hf NAME", "smallmind run"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn there_is_no_page_for_an_unknown_command() {
    let output = output(["man", "walk"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
}
