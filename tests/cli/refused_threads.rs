//! With a limit on its processes, does the program report the limit or continue with fewer threads?

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

/// A user that runs nothing else. Root has no limit, so root's child processes run as this user.
const NOBODY: u32 = 54_321;

/// `smallmind run demo` with this many threads, under a limit of `processes`.
fn limited(program: &std::path::Path, processes: u32, threads: &str) -> Output {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        // Dash has a different letter for this limit than all other shells.
        .arg("ulimit -u \"$1\" 2>/dev/null || ulimit -p \"$1\" || exit 99; shift; exec \"$@\"")
        .arg("sh")
        .arg(processes.to_string())
        .arg(program)
        .args([
            "run", "demo", "ROMEO:", "-n", "4", "--greedy", "-t", threads,
        ])
        .stdin(Stdio::null())
        .current_dir("/");
    // SAFETY: the function has no preconditions.
    if unsafe { geteuid() } == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.output().unwrap()
}

// SAFETY: the signature of geteuid(2) in the C library that std links.
unsafe extern "C" {
    fn geteuid() -> u32;
}

#[test]
fn a_refused_thread_is_an_error_or_one_thread_fewer() {
    // The copy must be where any user can reach it.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("smallmind");
    std::fs::copy(env!("CARGO_BIN_EXE_smallmind"), &program).unwrap();
    for path in [folder.path(), &program] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let free = limited(&program, 4096, "2");
    let expected = String::from_utf8(free.stdout).unwrap();
    let errors = String::from_utf8(free.stderr).unwrap();
    assert!(free.status.success() && !expected.is_empty(), "{errors}");
    let mut refused = 0;
    for processes in 1..10 {
        for threads in ["1", "8"] {
            let output = limited(&program, processes, threads);
            let errors = String::from_utf8(output.stderr).unwrap();
            if output.status.success() {
                assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
                continue;
            }
            refused += 1;
            assert_eq!(
                output.status.code(),
                Some(1),
                "{processes} processes: {errors}"
            );
            assert!(errors.starts_with("error: can't start threads"), "{errors}");
        }
    }
    // The limit is effective: a pool of eight threads does not start within one process.
    assert!(refused > 0);
}
