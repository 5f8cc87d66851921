//! Do the shell scripts know every subcommand and its options?

use super::{output, smallmind, stdout};
use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn each_script_knows_the_subcommands_and_their_options() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = stdout(["completions", shell]);
        for word in ["quantize", "completions", "logit-bias", "save-session"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(output(["completions", "cmd"]).status.code(), Some(2));
}

#[test]
fn bash_completes_a_subcommand_and_an_option() {
    let mut bash = match Command::new("bash")
        .arg("-s")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
    {
        Ok(bash) => bash,
        Err(error) => return println!("skipped: {error}"),
    };
    let script = smallmind()
        .args(["completions", "bash"])
        .output()
        .unwrap()
        .stdout;
    let mut stdin = bash.stdin.take().unwrap();
    stdin.write_all(&script).unwrap();
    // What bash sets and calls when it completes the last of these words.
    let ask = |words: &[&str]| {
        let [.., before, last] = words else {
            panic!("too few words")
        };
        format!(
            "\nCOMP_WORDS=({}); COMP_CWORD={}; _smallmind smallmind '{last}' '{before}'; echo \"${{COMPREPLY[@]}}\"\n",
            words.join(" "),
            words.len() - 1
        )
    };
    for words in [&["smallmind", "quan"][..], &["smallmind", "run", "--logit"]] {
        stdin.write_all(ask(words).as_bytes()).unwrap();
    }
    drop(stdin);
    let answers = bash.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8(answers.stdout).unwrap(),
        "quantize\n--logit-bias\n"
    );
}
