//! Finds the tags of a template.

use super::tokens::{self, Kind, Token};

/// What is in a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// `{{ value }}`
    Value,
    /// `{% statement %}`
    Statement,
    /// `{% raw %}`; it has no end if it is at the end of the template.
    Raw { has_end: bool },
}

/// A tag with its tokens. Comments and text are not in tags.
#[derive(Debug)]
pub struct Tag {
    pub content: Content,
    /// The position after the opening delimiter and the sign that controls white space.
    pub start: usize,
    /// The position of the sign that controls white space, or of the closing delimiter.
    pub end: usize,
    pub tokens: Vec<Token>,
}

impl Tag {
    /// The text of a token; it is empty for texts in quotes.
    pub fn text<'a>(&self, template: &'a str, token: usize) -> &'a str {
        match self.tokens.get(token) {
            Some(token) if token.kind != Kind::Text => {
                template.get(token.start..token.end).unwrap_or("")
            }
            _ => "",
        }
    }

    /// The first token with this text that is not in brackets.
    pub fn position(&self, template: &str, wanted: &str) -> Option<usize> {
        let mut depth = 0_usize;
        (0..self.tokens.len()).find(|token| match self.text(template, *token) {
            "(" | "[" | "{" => {
                depth += 1;
                false
            }
            ")" | "]" | "}" => {
                depth = depth.saturating_sub(1);
                false
            }
            text => depth == 0 && text == wanted,
        })
    }
}

/// The tags up to the first one that has no end, about which the engine will tell.
pub fn tags(template: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut at = 0;
    while let Some(found) = template.get(at..).and_then(|rest| rest.find('{')) {
        let open = at + found;
        let rest = template.get(open..).unwrap_or("");
        let (close, content) = match rest.as_bytes().get(1) {
            Some(b'{') => ("}}", Content::Value),
            Some(b'%') => ("%}", Content::Statement),
            Some(b'#') => match rest.get(2..).and_then(|rest| rest.find("#}")) {
                Some(length) => {
                    at = open + length + 4;
                    continue;
                }
                None => break,
            },
            _ => {
                at = open + 1;
                continue;
            }
        };
        let is_signed = matches!(rest.as_bytes().get(2), Some(b'-' | b'+'));
        let start = open + 2 + usize::from(is_signed);
        let Some((tokens, end)) = tokens::of_tag(template, start, close) else {
            break;
        };
        let mut tag = Tag {
            content,
            start,
            end,
            tokens,
        };
        let is_signed = !template.get(end..).unwrap_or("").starts_with(close);
        at = end + 2 + usize::from(is_signed);
        if content == Content::Statement && tag.tokens.len() == 1 && tag.text(template, 0) == "raw"
        {
            let after = template.get(at..).unwrap_or("");
            let length = end_of_raw(after);
            tag.content = Content::Raw {
                has_end: !after.is_empty(),
            };
            at = length.map_or(template.len(), |length| at + length);
        }
        tags.push(tag);
    }
    tags
}

/// The length of a raw block with the tag at its end.
fn end_of_raw(text: &str) -> Option<usize> {
    text.match_indices("{%").find_map(|(at, _)| {
        let tag = text.get(at + 2..)?;
        let tail = tag.strip_prefix(['-', '+']).unwrap_or(tag);
        let tail = tail.trim_start().strip_prefix("endraw")?.trim_start();
        let tail = tail.strip_prefix(['-', '+']).unwrap_or(tail);
        let tail = tail.strip_prefix("%}")?;
        Some(text.len() - tail.len())
    })
}
