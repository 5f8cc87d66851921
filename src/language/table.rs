//! Tables that the library carries as RON files.

use serde::de::DeserializeOwned;

use super::diagnostics::{Position, Problem, Problems};

/// Reads a table. Messages call it `name`.
///
/// # Errors
/// If the text is not a `T`.
pub fn read_table<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, Problems> {
    ron::from_str(text).map_err(|error| {
        let start = error.span.start;
        let position = Position {
            line: start.line,
            column: start.col,
        };
        Problems::one(name, Problem::new(position, error.code.to_string()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_and_a_mistake_has_its_place() {
        let read = |text: &str| read_table::<Vec<String>>("table.ron", text);
        assert_eq!(read("[\"a\", \"b\"]"), Ok(vec!["a".into(), "b".into()]));
        let problems = read("[\n  \"a\",\n  1]").unwrap_err().to_string();
        assert!(problems.starts_with("table.ron:3:"), "{problems}");
    }
}
