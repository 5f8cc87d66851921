//! Rewrites statements: the values in them, and the statements to which the engine gives another meaning than Jinja.

use super::reader::Reader;
use super::tags::Tag;
use super::tree::{Form, Level, Node};
use super::writer::Writer;

/// The variables of a macro with the arguments for which it has no names. The engine's macros do not have them.
const OTHERS: [&str; 2] = ["kwargs", "varargs"];

/// A block that is open, with what its end needs to know.
enum Open {
    If,
    For { has_scope: bool },
    Macro { name: String, has_others: bool },
}

/// The values in a statement, and whether they are iterated over.
type Values = Vec<(Node, bool)>;

/// The tags of a template, which are rewritten one after the other.
pub struct Statements<'a> {
    template: &'a str,
    tags: &'a [Tag],
    open: Vec<Open>,
}

impl<'a> Statements<'a> {
    /// The tags of a template, none of which has been rewritten.
    pub fn new(template: &'a str, tags: &'a [Tag]) -> Statements<'a> {
        let open = Vec::new();
        Statements {
            template,
            tags,
            open,
        }
    }

    /// Rewrites the statement in a tag; `next` is the number of the tag after it.
    pub fn rewrite(&mut self, tag: &Tag, next: usize, writer: &mut Writer) {
        let is_alone = tag.tokens.len() == 1;
        match tag.text(self.template, 0) {
            "if" => self.open.push(Open::If),
            "for" => self.open.push(Open::For { has_scope: false }),
            "generation" if is_alone => {
                self.open.push(Open::If);
                return replace(tag, "if true", writer);
            }
            "endgeneration" if is_alone => {
                self.open.pop();
                return replace(tag, "endif", writer);
            }
            "else" => {
                if let Some(Open::For { has_scope: false }) = self.open.last()
                    && self.else_sets(next)
                {
                    self.open.pop();
                    self.open.push(Open::For { has_scope: true });
                    writer.keep(tag.end);
                    writer.add("%}{% with ", tag.end, tag.end);
                }
            }
            "endif" => drop(self.open.pop()),
            "endfor" => {
                if let Some(Open::For { has_scope: true }) = self.open.pop() {
                    writer.keep(tag.start);
                    writer.add(" endwith %}{% ", tag.start, tag.start);
                }
            }
            "macro" => return self.begin_macro(tag, next, writer),
            "endmacro" => self.end_macro(tag, writer),
            _ => {}
        }
        for (value, is_iterated) in self.values(tag).into_iter().flatten() {
            let is_iterated = is_iterated && !matches!(value.form, Form::List(_));
            let level = if is_iterated {
                Level::Filtered
            } else {
                Level::Loose
            };
            writer.node(&value, level);
            if is_iterated {
                writer.filter("__iter__", &value);
            }
        }
    }

    /// The values in a statement; `None` if it can't be read.
    fn values(&self, tag: &Tag) -> Option<Values> {
        let mut reader = Reader::new(self.template, &tag.tokens);
        let mut values = Vec::new();
        reader.at = 1;
        match tag.text(self.template, 0) {
            "if" | "elif" => values.push((reader.alternative()?, false)),
            "for" => {
                reader.at = tag.position(self.template, "in")? + 1;
                values.push((reader.alternative()?, true));
                if reader.skip("if") {
                    values.push((reader.expression()?, false));
                }
                reader.skip("recursive");
            }
            "set" => {
                let assigned = tag.position(self.template, "=");
                let comma = tag.position(self.template, ",");
                reader.at = assigned.map_or(1, |at| at + 1);
                let has_targets = assigned.is_some() && comma < assigned && comma.is_some();
                while !reader.is_at_end() {
                    values.push((reader.expression()?, false));
                    reader.skip(",");
                }
                if let ([(_, is_iterated)], true) = (values.as_mut_slice(), has_targets) {
                    *is_iterated = true;
                }
            }
            _ => {
                while !reader.is_at_end() {
                    values.push((reader.expression()?, false));
                    let _ = reader.skip(",") || reader.skip("=");
                }
            }
        }
        reader.is_at_end().then_some(values)
    }

    /// Whether what is set after the `else` of a loop, whose first tag has this number, needs a scope of its own: the engine
    /// would keep it after the loop. The engine can't leave such a scope in the middle.
    fn else_sets(&self, first: usize) -> bool {
        let (mut depth, mut sets) = (0_usize, false);
        for tag in self.tags.iter().skip(first) {
            match tag.text(self.template, 0) {
                "for" => depth += 1,
                "endfor" if depth == 0 => break,
                "endfor" => depth -= 1,
                "set" | "macro" => sets = true,
                "break" | "continue" => return false,
                _ => {}
            }
        }
        sets
    }

    /// A macro that names the variables of its other arguments gets them as parameters.
    fn begin_macro(&mut self, tag: &Tag, next: usize, writer: &mut Writer) {
        let others = self.others(next);
        self.open.push(Open::Macro {
            name: tag.text(self.template, 1).to_string(),
            has_others: !others.is_empty(),
        });
        for (signature, _) in self.values(tag).into_iter().flatten() {
            let Form::Verbatim { parts, .. } = &signature.form else {
                return;
            };
            for (level, part) in parts {
                writer.node(part, *level);
            }
            let end = signature.end.saturating_sub(1);
            writer.keep(end);
            let last = tag.text(self.template, tag.tokens.len().saturating_sub(2));
            let mut comma = if ["(", ","].contains(&last) { "" } else { ", " };
            for name in &others {
                writer.add(&format!("{comma}{name}=none"), end, end);
                comma = ", ";
            }
        }
    }

    /// Those of the variables that the macro names whose first tag has this number.
    fn others(&self, first: usize) -> Vec<&'static str> {
        let mut depth = 0_usize;
        let mut found = Vec::new();
        for tag in self.tags.iter().skip(first) {
            match tag.text(self.template, 0) {
                "macro" => depth += 1,
                "endmacro" if depth == 0 => break,
                "endmacro" => depth -= 1,
                _ if depth == 0 => {
                    let tokens = 0..tag.tokens.len();
                    found.extend(tokens.filter_map(|token| {
                        let text = tag.text(self.template, token);
                        OTHERS.into_iter().find(|name| *name == text)
                    }));
                }
                _ => {}
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// After such a macro comes a statement that lets it be called with other arguments.
    fn end_macro(&mut self, tag: &Tag, writer: &mut Writer) {
        if let Some(Open::Macro {
            name,
            has_others: true,
        }) = self.open.pop()
        {
            writer.keep(tag.end);
            let statement = format!("%}}{{% set {name} = {name} | __others__ ");
            writer.add(&statement, tag.end, tag.end);
        }
    }
}

/// Writes another name in place of the only token.
fn replace(tag: &Tag, name: &str, writer: &mut Writer) {
    if let [token] = tag.tokens.as_slice() {
        writer.keep(token.start);
        writer.add(name, token.start, token.end);
        writer.skip(token.end);
    }
}
