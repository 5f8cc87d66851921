//! The inputs that the user of `chat` types: single lines, and inputs of several lines.

use std::env;
use std::io::{self, BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor};

use super::failure::{Failure, error};
use super::style::PROMPT;

/// How many inputs are remembered.
const HISTORY: usize = 1000;
/// The mark that begins and ends an input of several lines.
const QUOTES: &str = "\"\"\"";

/// An input.
#[derive(Debug, PartialEq, Eq)]
pub enum Input {
    /// Text, without the marks for several lines.
    Text(String),
    /// Text between `"""`, which is never a command.
    Quoted(String),
    /// Ctrl-C: the input so far is discarded.
    Dropped,
    /// Ctrl-D, or the end of stdin.
    End,
}

/// Where lines come from.
pub enum Lines {
    /// A terminal, with an editor.
    Terminal {
        editor: Box<DefaultEditor>,
        /// The file that remembers inputs; `None` if the system has no place for it.
        history: Option<PathBuf>,
    },
    /// A file or pipe.
    Plain {
        reader: Box<dyn BufRead>,
        /// How many lines were read.
        read: usize,
    },
}

impl Lines {
    /// The lines of stdin.
    pub fn new() -> Result<Lines, Failure> {
        if !io::stdin().is_terminal() {
            return Ok(Lines::Plain {
                reader: Box::new(io::stdin().lock()),
                read: 0,
            });
        }
        let config = Config::builder()
            .max_history_size(HISTORY)?
            .history_ignore_space(true)
            .build();
        let mut editor = Box::new(DefaultEditor::with_config(config)?);
        // Without a helper, even one that does nothing, the prompt's colour is left out.
        editor.set_helper(Some(()));
        let history = history_file();
        if let Some(history) = &history {
            // The first time, there is no history.
            let _ = editor.load_history(history);
        }
        Ok(Lines::Terminal { editor, history })
    }

    /// Whether a person is typing.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Lines::Terminal { .. })
    }

    /// The next input. From a file or pipe, it is a line as it is. On a terminal, a line that ends with a backslash continues
    /// with the next line, `"""` begins an input that continues until a line ends with `"""`, and the whole input is remembered.
    pub fn next(&mut self) -> Result<Input, Failure> {
        if !self.is_terminal() {
            return self.line("");
        }
        let input = whole(&mut |prompt| self.line(prompt))?;
        if let Lines::Terminal { editor, .. } = self {
            match &input {
                Input::Text(text) => editor.add_history_entry(text)?,
                Input::Quoted(text) => {
                    editor.add_history_entry(format!("{QUOTES}{text}{QUOTES}"))?
                }
                Input::Dropped | Input::End => false,
            };
        }
        Ok(input)
    }

    /// One line, without its line end.
    fn line(&mut self, prompt: &str) -> Result<Input, Failure> {
        match self {
            Lines::Terminal { editor, .. } => {
                match editor.readline(&(prompt, format!("{PROMPT}{prompt}{PROMPT:#}"))) {
                    Ok(line) => Ok(Input::Text(line)),
                    Err(ReadlineError::Interrupted) => Ok(Input::Dropped),
                    Err(ReadlineError::Eof) => Ok(Input::End),
                    Err(error) => Err(error.into()),
                }
            }
            Lines::Plain { reader, read } => {
                let mut line = Vec::new();
                *read += 1;
                if reader.read_until(b'\n', &mut line)? == 0 {
                    return Ok(Input::End);
                }
                let Ok(line) = String::from_utf8(line) else {
                    return error(format!("line {read} of stdin is not UTF-8"));
                };
                let line = line.strip_suffix('\n').unwrap_or(&line);
                Ok(Input::Text(
                    line.strip_suffix('\r').unwrap_or(line).to_string(),
                ))
            }
        }
    }

    /// Save the inputs of this session. It is not an error if that fails.
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

/// An input, which may have several lines. `line` reads each of them, with a prompt.
fn whole(line: &mut dyn FnMut(&str) -> Result<Input, Failure>) -> Result<Input, Failure> {
    let mut text = match line("> ")? {
        Input::Text(line) => line,
        other => return Ok(other),
    };
    let quoted = text.trim_start().strip_prefix(QUOTES).map(str::to_string);
    if let Some(begun) = quoted {
        text = begun;
        while !text.trim_end().ends_with(QUOTES) {
            match line("… ")? {
                Input::Text(line) => text = text + "\n" + &line,
                Input::End => break,
                other => return Ok(other),
            }
        }
        let whole = text.trim_end();
        let whole = whole.strip_suffix(QUOTES).unwrap_or(whole);
        return Ok(Input::Quoted(whole.to_string()));
    }
    if text.contains('\n') {
        // An input that was remembered or pasted already has all of its lines.
        return Ok(Input::Text(text));
    }
    while let Some(begun) = text.strip_suffix('\\') {
        match line("… ")? {
            Input::Text(line) => text = format!("{begun}\n{line}"),
            Input::End => return Ok(Input::Text(begun.to_string())),
            other => return Ok(other),
        }
    }
    Ok(Input::Text(text))
}

/// The file of remembered inputs, in the system's folder for a user's data.
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

    /// The inputs that a person types in these lines.
    fn typed(text: &str) -> Vec<String> {
        let mut lines = text.lines();
        let mut inputs = Vec::new();
        let mut line = |_: &str| {
            let line = lines.next().map(|line| Input::Text(line.to_string()));
            Ok(line.unwrap_or(Input::End))
        };
        while let Ok(Input::Text(text) | Input::Quoted(text)) = whole(&mut line) {
            inputs.push(text);
        }
        inputs
    }

    #[test]
    fn a_backslash_at_a_lines_end_continues_in_the_next() {
        assert_eq!(typed("a\\\nb\\\r\nc\nd\n"), ["a\nb\nc", "d"]);
    }

    #[test]
    fn quotes_hold_lines_together_and_end_with_the_text() {
        assert_eq!(typed("\"\"\"a\n\nb\\\nc\"\"\"\nd"), ["a\n\nb\\\nc", "d"]);
        assert_eq!(typed("\"\"\"one line\"\"\"\n"), ["one line"]);
        assert_eq!(typed("\"\"\"never\nended\n"), ["never\nended"]);
        assert_eq!(typed("a\\"), ["a"]);
    }

    #[test]
    fn what_is_quoted_is_known_to_be() {
        let mut given = Some("\"\"\"/quit\"\"\"".to_string());
        let mut line = |_: &str| Ok(given.take().map_or(Input::End, Input::Text));
        let input = whole(&mut line).ok();
        assert_eq!(input, Some(Input::Quoted("/quit".to_string())));
    }

    #[test]
    fn an_input_that_has_its_lines_is_whole() {
        let mut given = Some("a\nb\\".to_string());
        let mut line = |_: &str| Ok(given.take().map_or(Input::End, Input::Text));
        let input = whole(&mut line).ok();
        assert_eq!(input, Some(Input::Text("a\nb\\".to_string())));
    }

    #[test]
    fn without_a_terminal_each_line_is_a_message() {
        let text = "/save x\na\\\r\n\"\"\"b\n\nc";
        let mut lines = Lines::Plain {
            reader: Box::new(text.as_bytes()),
            read: 0,
        };
        let mut inputs = Vec::new();
        while let Ok(Input::Text(text)) = lines.next() {
            inputs.push(text);
        }
        assert_eq!(inputs, ["/save x", "a\\", "\"\"\"b", "", "c"]);
    }
}
