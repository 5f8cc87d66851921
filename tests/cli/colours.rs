//! Are there colours on a terminal, and nowhere else?

use super::output;

#[test]
fn nothing_that_is_piped_has_colours() {
    for arguments in [
        &["--help"][..],
        &["run", "--help"],
        &["run", "no/such"],
        &["run", "--no-such-option"],
        &["run", "demo", "A", "-n", "2", "--verbose"],
        &["completions", "bash"],
    ] {
        let output = output(arguments);
        for written in [output.stdout, output.stderr] {
            assert!(!written.contains(&0x1b), "{arguments:?}");
        }
    }
}
