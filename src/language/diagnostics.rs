//! What is wrong with a file: positions, problems, and "did you mean".

use std::fmt;

pub use crate::language::nearest::{nearest, shortened, unknown};

/// A place in a text file. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Position {
    /// The first character of a file.
    pub const START: Position = Position { line: 1, column: 1 };

    /// The place `offset` bytes into `text`, where `text` begins at `self`. An offset past the end means the end; one inside
    /// a character means the beginning of that character.
    pub fn advance(self, text: &str, offset: usize) -> Position {
        let mut position = self;
        for (at, character) in text.char_indices() {
            if at + character.len_utf8() > offset {
                break;
            }
            if character == '\n' {
                position = Position {
                    line: position.line + 1,
                    column: 1,
                };
            } else {
                position.column += 1;
            }
        }
        position
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The node that the problem concerns, if any.
    pub node: Option<String>,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Problem {
    /// A problem at `position` that concerns no particular node. A message that quotes a file at length is cut.
    pub fn new(position: Position, message: impl Into<String>) -> Self {
        let message = message.into();
        Problem {
            line: position.line,
            column: position.column,
            node: None,
            message: shortened(&message, LONGEST_MESSAGE).into_owned(),
        }
    }

    /// The same problem, attributed to the node `node`.
    pub fn of(mut self, node: impl Into<String>) -> Self {
        self.node = Some(node.into());
        self
    }

    /// The same problem, attributed to something else that has a name: `weight "embed": …`.
    pub fn about(mut self, what: &str, name: &str) -> Self {
        self.message = format!("{what} \"{name}\": {}", self.message);
        self
    }
}

/// Everything that is wrong with one file; never empty when returned as an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The file, as the user named it.
    pub file: String,
    /// The problems, in the order of their positions.
    pub problems: Vec<Problem>,
}

/// The most characters of a message that are kept.
const LONGEST_MESSAGE: usize = 1000;
/// How many problems are shown; the rest are counted.
const SHOWN: usize = 100;

impl Problems {
    /// A single problem.
    pub fn one(file: impl Into<String>, problem: Problem) -> Self {
        Problems {
            file: file.into(),
            problems: vec![problem],
        }
    }

    /// `value` if nothing is wrong, else the problems sorted by position.
    ///
    /// # Errors
    /// The problems, if there are any.
    pub fn check<T>(file: &str, mut problems: Vec<Problem>, value: T) -> Result<T, Problems> {
        if problems.is_empty() {
            return Ok(value);
        }
        problems.sort_by_key(|problem| (problem.line, problem.column));
        Err(Problems {
            file: file.to_owned(),
            problems,
        })
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().take(SHOWN).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let (file, line, column) = (&self.file, problem.line, problem.column);
            write!(f, "{file}:{line}:{column}: ")?;
            if let Some(node) = &problem.node {
                write!(f, "node \"{node}\": ")?;
            }
            write!(f, "{}", problem.message)?;
        }
        match self.problems.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n{}: and {more} more", self.file),
        }
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advance_counts_lines_and_characters_not_bytes() {
        let at = Position { line: 3, column: 7 };
        assert_eq!(at.advance("äb", 2), Position { line: 3, column: 8 });
        assert_eq!(at.advance("a\nbc", 3), Position { line: 4, column: 2 });
        assert_eq!(at.advance("a", 99), Position { line: 3, column: 8 });
    }

    #[test]
    fn problems_print_one_line_each() {
        let problems = Problems {
            file: "a.ron".into(),
            problems: vec![
                Problem::new(Position { line: 2, column: 3 }, "no"),
                Problem::new(Position { line: 4, column: 5 }, "neither").of("x"),
            ],
        };
        let text = problems.to_string();
        assert_eq!(text, "a.ron:2:3: no\na.ron:4:5: node \"x\": neither");
    }
}
