//! Why and how a command ends early, and writing to stdout, which may be closed at any time.

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use smallmind::files::output::write_bytes;

use super::style::{ASIDE, ERROR, REMARK};

/// The exit code after a mistake in the arguments, as in clap.
const USAGE: u8 = 2;
/// The exit code after Ctrl-C: 128 plus the number of SIGINT, as in shells.
pub const INTERRUPTED: u8 = 130;

/// Why a command ends early.
pub enum Failure {
    /// Something went wrong; the message says what.
    Error(String),
    /// The arguments are not understood; the message says why.
    Usage(String),
    /// The reader of stdout has closed it, which is not an error.
    ClosedPipe,
    /// Ctrl-C.
    Interrupted,
}

impl Failure {
    /// Tell the user, and return the exit code.
    pub fn report(self) -> ExitCode {
        match self {
            Failure::ClosedPipe => ExitCode::SUCCESS,
            Failure::Interrupted => ExitCode::from(INTERRUPTED),
            Failure::Usage(message) => {
                complain(&message);
                note("\nFor more information, try '--help'.");
                ExitCode::from(USAGE)
            }
            Failure::Error(message) => {
                complain(&message);
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

/// A mistake in the arguments, with this message.
pub fn usage<T>(message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Usage(message.into()))
}

/// A line on stderr. If stderr is closed, nobody can be told.
pub fn note(line: &str) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// An error, on stderr.
pub fn complain(message: &str) {
    note(&format!("{ERROR}error:{ERROR:#} {message}"));
}

/// A text that is part of a chat but not of the model's answers, on stderr.
pub fn aside(text: &str) {
    note(&format!("{ASIDE}{text}{ASIDE:#}"));
}

/// Something that the user should know, on stderr.
pub fn remark(message: &str) {
    note(&format!("{REMARK}note:{REMARK:#} {message}"));
}

/// Something that may be wrong, on stderr.
pub fn warn(message: &str) {
    note(&format!("{REMARK}warning:{REMARK:#} {message}"));
}

/// Write to stdout, and flush it.
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

/// Write to a file, or to stdout if no file is named.
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
