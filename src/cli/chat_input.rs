//! What the user of `chat` types: lines, and inputs of several lines.

use std::env;
use std::io::{self, BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor};

use super::failure::Failure;

/// Inputs that are remembered.
const HISTORY: usize = 1000;
/// What begins and ends an input of several lines.
const QUOTES: &str = "\"\"\"";

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub enum Input {
    /// Text, without the marks that let it have several lines.
    Text(String),
    /// Ctrl-C: what was typed so far does not count.
    Dropped,
    /// Ctrl-D, or the end of stdin.
    End,
}

/// Where lines come from.
pub enum Lines {
    /// A terminal, with an editor.
    Terminal {
        editor: Box<DefaultEditor>,
        /// Where inputs are remembered; `None` where the system names no place.
        history: Option<PathBuf>,
    },
    /// A file or pipe.
    Plain(Box<dyn BufRead>),
}

impl Lines {
    /// From stdin.
    pub fn new() -> Result<Lines, Failure> {
        if !io::stdin().is_terminal() {
            return Ok(Lines::Plain(Box::new(io::stdin().lock())));
        }
        let config = Config::builder()
            .max_history_size(HISTORY)?
            .history_ignore_space(true)
            .build();
        let mut editor = Box::new(DefaultEditor::with_config(config)?);
        let history = history_file();
        if let Some(history) = &history {
            // The first time there is none.
            let _ = editor.load_history(history);
        }
        Ok(Lines::Terminal { editor, history })
    }

    /// Whether a person types.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Lines::Terminal { .. })
    }

    /// The next input. A line that ends with a backslash goes on with the next one; `"""` begins an input that goes on
    /// until a line ends with `"""`.
    pub fn next(&mut self) -> Result<Input, Failure> {
        let mut text = match self.line("> ")? {
            Input::Text(line) => line,
            other => return Ok(other),
        };
        let quoted = text.trim_start().strip_prefix(QUOTES).map(str::to_string);
        if let Some(begun) = quoted {
            text = begun;
            while !text.trim_end().ends_with(QUOTES) {
                match self.line("… ")? {
                    Input::Text(line) => text = text + "\n" + &line,
                    Input::Dropped => return Ok(Input::Dropped),
                    Input::End => break,
                }
            }
            let whole = text.trim_end();
            text = whole.strip_suffix(QUOTES).unwrap_or(whole).to_string();
        } else {
            while let Some(begun) = text.strip_suffix('\\') {
                match self.line("… ")? {
                    Input::Text(line) => text = format!("{begun}\n{line}"),
                    Input::Dropped => return Ok(Input::Dropped),
                    Input::End => {
                        text = begun.to_string();
                        break;
                    }
                }
            }
        }
        Ok(Input::Text(text))
    }

    /// One line, without its end.
    fn line(&mut self, prompt: &str) -> Result<Input, Failure> {
        match self {
            Lines::Terminal { editor, .. } => match editor.readline(prompt) {
                Ok(line) => {
                    editor.add_history_entry(line.as_str())?;
                    Ok(Input::Text(line))
                }
                Err(ReadlineError::Interrupted) => Ok(Input::Dropped),
                Err(ReadlineError::Eof) => Ok(Input::End),
                Err(error) => Err(error.into()),
            },
            Lines::Plain(reader) => {
                let mut line = String::new();
                if reader.read_line(&mut line)? == 0 {
                    return Ok(Input::End);
                }
                let line = line.strip_suffix('\n').unwrap_or(&line);
                Ok(Input::Text(
                    line.strip_suffix('\r').unwrap_or(line).to_string(),
                ))
            }
        }
    }

    /// Remember the inputs. That they can't be is no reason to fail.
    pub fn remember(&mut self) {
        if let Lines::Terminal {
            editor,
            history: Some(history),
        } = self
        {
            let folder = history.parent().unwrap_or(Path::new("."));
            let _ = std::fs::create_dir_all(folder).map(|()| editor.save_history(history));
        }
    }
}

/// The file of remembered inputs, in the folder that the system has for a user's data.
fn history_file() -> Option<PathBuf> {
    let named = |name: &str| {
        let path = PathBuf::from(env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let data = if cfg!(windows) {
        named("APPDATA")
    } else if cfg!(target_os = "macos") {
        named("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        named("XDG_DATA_HOME").or_else(|| named("HOME").map(|home| home.join(".local/share")))
    };
    data.map(|data| data.join("smallmind/history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(text: &'static str) -> Vec<String> {
        let mut lines = Lines::Plain(Box::new(text.as_bytes()));
        let mut inputs = Vec::new();
        while let Ok(Input::Text(text)) = lines.next() {
            inputs.push(text);
        }
        inputs
    }

    #[test]
    fn a_backslash_at_a_lines_end_goes_on_with_the_next() {
        assert_eq!(inputs("a\\\nb\\\r\nc\nd\n"), ["a\nb\nc", "d"]);
    }

    #[test]
    fn quotes_hold_lines_together_and_end_with_the_text() {
        assert_eq!(inputs("\"\"\"a\n\nb\\\nc\"\"\"\nd"), ["a\n\nb\\\nc", "d"]);
        assert_eq!(inputs("\"\"\"one line\"\"\"\n"), ["one line"]);
        assert_eq!(inputs("\"\"\"never\nended\n"), ["never\nended"]);
        assert_eq!(inputs("a\\"), ["a"]);
    }
}
