//! White space and line ends as Python has them.

/// Whether Python's `str.isspace` counts the character as white space.
pub fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\x1C'..='\x1F').contains(&character)
}

/// Whether Python's `str.splitlines` ends a line at the character.
fn ends_line(character: char) -> bool {
    matches!(
        character,
        '\n' | '\r' | '\x0B' | '\x0C' | '\x1C'..='\x1E' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// The lines of a text, with their ends if `keep`.
pub fn lines(text: &str, keep: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(ends_line) {
        let (line, tail) = rest.split_at(at);
        let length = match tail.starts_with("\r\n") {
            true => 2,
            false => tail.chars().next().map_or(0, char::len_utf8),
        };
        lines.push(if keep {
            rest.get(..at + length).unwrap_or("")
        } else {
            line
        });
        rest = tail.get(length..).unwrap_or("");
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}
