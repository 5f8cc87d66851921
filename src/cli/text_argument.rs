//! A command's text: TEXT, `-p TEXT` or `-f FILE`, the same for every command that takes one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

use super::failure::{Failure, usage};
use super::input::read_text;

/// The arguments that can give the text.
#[derive(Args)]
pub struct TextArguments {
    /// The text; `-` reads it from stdin
    #[arg(value_name = "TEXT")]
    text: Option<OsString>,
    /// The text, exactly as it is: even if it begins with a dash, it is not an option
    #[arg(
        short,
        long = "prompt",
        value_name = "TEXT",
        allow_hyphen_values = true
    )]
    prompt: Option<OsString>,
    /// A file with the text, exactly as it is; `-` reads stdin
    #[arg(short, long = "file", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl TextArguments {
    /// The text, if there is one. `first` is an argument that turned out to be the text.
    pub fn read(self, first: Option<OsString>) -> Result<Option<String>, Failure> {
        let written: Vec<OsString> = first.into_iter().chain(self.text).collect();
        match (written.as_slice(), self.prompt, self.file) {
            ([], None, None) => Ok(None),
            ([], None, Some(file)) => read_text(&file).map(Some),
            ([], Some(text), None) => utf8(text).map(Some),
            ([text], None, None) if text == "-" => read_text(Path::new("-")).map(Some),
            ([text], None, None) => utf8(text.clone()).map(Some),
            _ => usage("the text is given twice: use only one of TEXT, -p and -f"),
        }
    }
}

/// An argument that is a text.
pub fn utf8(text: OsString) -> Result<String, Failure> {
    text.into_string()
        .or_else(|text| usage(format!("the text '{}' is not UTF-8", text.display())))
}
