//! Rewrites a template before the engine compiles it, where operators and statements differ from Jinja's and the engine has
//! no hook for them: `a < b` becomes `a | __lt__(b)`.
//!
//! What belongs here: reading tags and expressions, and writing them with filters in place of operators. Lines stay as they
//! are, and so does what can't be read, for the engine to report. What is absent: what the filters do (`operators/`).

mod escapes;
#[cfg(test)]
mod examples;
mod origins;
mod reader;
mod statements;
mod tags;
mod tokens;
mod tree;
mod writer;

pub use origins::Origins;

use reader::Reader;
use statements::Statements;
use tags::{Content, Tag, tags};
use tree::Level;
use writer::Writer;

/// The template that the engine reads, and where its parts come from.
pub fn rewritten(template: &str) -> (String, Origins) {
    let mut writer = Writer::new(template);
    let tags = tags(template);
    let mut statements = Statements::new(template, &tags);
    for (place, tag) in tags.iter().enumerate() {
        match tag.content {
            Content::Statement => statements.rewrite(tag, place + 1, &mut writer),
            Content::Raw { has_end } => raw(template, tag, has_end, &mut writer),
            Content::Value => {
                let mut reader = Reader::new(template, &tag.tokens);
                let value = reader.expression().filter(|_| reader.is_at_end());
                if let Some(value) = value {
                    writer.node(&value, Level::Loose);
                }
            }
        }
    }
    writer.finish()
}

/// Keeps the line end after the tag. A raw block that begins at the end of the template needs no end: it becomes a comment.
fn raw(template: &str, tag: &Tag, has_end: bool, writer: &mut Writer) {
    let is_signed = !template.get(tag.end..).unwrap_or("").starts_with("%}");
    writer.keep(tag.end);
    match (has_end, is_signed) {
        (true, true) => {}
        (true, false) => writer.add("+", tag.end, tag.end),
        (false, _) => writer.add("%}{% endraw ", tag.end, tag.end),
    }
}
