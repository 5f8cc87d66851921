//! How a command ends early, and writing to stdout, which may be closed at any time.

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use smallmind::files::output::write_bytes;

/// The exit code after Ctrl-C: 128 and the number of SIGINT, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// Why a command ends early.
pub enum Failure {
    /// Something went wrong; the message says what.
    Error(String),
    /// Whoever read stdout has had enough, which is no error.
    ClosedPipe,
    /// Ctrl-C.
    Interrupted,
}

impl Failure {
    /// Tell the user, and give the exit code.
    pub fn report(self) -> ExitCode {
        match self {
            Failure::ClosedPipe => ExitCode::SUCCESS,
            Failure::Interrupted => ExitCode::from(INTERRUPTED),
            Failure::Error(message) => {
                note(&format!("error: {message}"));
                ExitCode::FAILURE
            }
        }
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Error(error.to_string())
    }
}

/// An error with this message.
pub fn error<T>(message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Error(message.into()))
}

/// A line on stderr. That stderr is closed can't be told to anybody.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Write to stdout, and see to it that the text is out.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    written.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::ClosedPipe,
        _ => Failure::Error(format!("can't write to stdout: {error}")),
    })
}

/// Write to a file, or to stdout where none is named.
pub fn write(file: Option<&Path>, text: &str) -> Result<(), Failure> {
    match file {
        None => print(text),
        Some(file) => Ok(write_bytes(file, text.as_bytes())?),
    }
}

/// Write to stdout as indented JSON.
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}
