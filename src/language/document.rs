//! RON text as a tree in which every value has its position.
//!
//! The crate `ron` reads typed values and forgets positions, so each level is read as raw text borrowed from the source: an
//! element's position is the distance of its text from the beginning of the source. Graph files, rules and dumps are all
//! read with this module.

use std::fmt;

use ron::value::RawValue;
use serde::Deserializer as _;
use serde::de::{MapAccess, SeqAccess, Visitor};

use super::diagnostics::{Position, Problem, Problems};

/// The longest file, in bytes. A dump of the largest model is a tenth of this.
pub const LARGEST_FILE: usize = 4 << 20;
/// How deep brackets may be nested.
const DEEPEST: usize = 64;

/// One value of the file, with its position.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree<'a> {
    /// Where the value begins.
    pub position: Position,
    /// What the value is.
    pub kind: Kind<'a>,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind<'a> {
    /// `"text"`, with escapes resolved, and the position of its first character.
    Text(String, Position),
    /// A number without point or exponent.
    Integer(i64),
    /// A number with point or exponent; finite.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// `[…]`
    List(Vec<Tree<'a>>),
    /// `{key: value, …}`, repeated keys included.
    Map(Vec<(Tree<'a>, Tree<'a>)>),
    /// `Name`, `Name(…)` or `(…)`
    Form(Form<'a>),
}

/// `Name`, `Name(…)` or `(…)`: at most one of `arguments` and `fields` is not empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Form<'a> {
    /// The name before the parenthesis.
    pub name: Option<&'a str>,
    /// The values, if they have no names.
    pub arguments: Vec<Tree<'a>>,
    /// The values, if they have names; repeated names included.
    pub fields: Vec<Field<'a>>,
}

/// `name: value`
#[derive(Debug, Clone, PartialEq)]
pub struct Field<'a> {
    /// The name.
    pub name: &'a str,
    /// Where the name begins.
    pub position: Position,
    /// The value.
    pub value: Tree<'a>,
}

impl Tree<'_> {
    /// What the value is, for messages: "a list", "Add(…)", …
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::Text(text, _) => format!("the text \"{text}\""),
            Kind::Integer(value) => format!("the number {value}"),
            Kind::Float(value) => format!("the number {value:?}"),
            Kind::Bool(value) => value.to_string(),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a map".to_owned(),
            Kind::Form(Form { name: None, .. }) => "a tuple".to_owned(),
            Kind::Form(Form {
                name: Some(name), ..
            }) => format!("{name}(…)"),
        }
    }
}

/// Reads a file that contains one value.
///
/// A mistake in the brackets or quotes ends the reading; values that are valid RON but not allowed in graph files are all
/// reported.
pub fn parse<'a>(file: &str, source: &'a str) -> Result<Tree<'a>, Problems> {
    if source.len() > LARGEST_FILE {
        let message = format!("a file longer than {LARGEST_FILE} bytes");
        return Err(Problems::one(file, Problem::new(Position::START, message)));
    }
    let whole: &RawValue = ron::from_str(source).map_err(|error| {
        let start = error.span.start;
        let position = Position {
            line: start.line,
            column: start.col,
        };
        let mut message = error.code.to_string();
        if error.code == ron::Error::ExpectedComma {
            message += " (either all values in parentheses have names, or none)";
        }
        Problems::one(file, Problem::new(position, message))
    })?;
    let line_starts = std::iter::once(0)
        .chain(source.match_indices('\n').map(|(at, _)| at + 1))
        .collect();
    let mut reader = Reader {
        source,
        line_starts,
        problems: Vec::new(),
    };
    let tree = reader.tree(whole.get_ron(), 0);
    let position = Position::START;
    let tree = tree.unwrap_or(Tree {
        position,
        kind: Kind::Bool(false),
    });
    Problems::check(file, reader.problems, tree)
}

struct Reader<'a> {
    source: &'a str,
    /// Byte offset of every line's beginning.
    line_starts: Vec<usize>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// Where `part`, which must borrow from the source, begins. Beyond the first 4096 bytes of a line, columns count bytes.
    fn position(&self, part: &str) -> Position {
        let offset = (part.as_ptr() as usize).saturating_sub(self.source.as_ptr() as usize);
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self
            .line_starts
            .get(line.saturating_sub(1))
            .copied()
            .unwrap_or(0);
        let before = self.source.get(start..offset).unwrap_or("");
        let column = if before.len() > 4096 {
            before.len()
        } else {
            before.chars().count()
        };
        Position {
            line: line.max(1),
            column: column + 1,
        }
    }

    fn problem(&mut self, position: Position, message: impl Into<String>) {
        self.problems.push(Problem::new(position, message));
    }

    /// The value of `text`; `None` if a problem was noted instead.
    fn tree(&mut self, text: &'a str, depth: usize) -> Option<Tree<'a>> {
        let text = skip_blank(text);
        let position = self.position(text);
        if depth > DEEPEST {
            self.problem(
                position,
                format!("brackets nested more than {DEEPEST} deep"),
            );
            return None;
        }
        match self.kind(text, position, depth) {
            Ok(kind) => Some(Tree { position, kind }),
            Err(Some(message)) => {
                self.problem(position, message);
                None
            }
            Err(None) => None,
        }
    }

    /// The error is a message about this value, or `None` if problems inside it were noted.
    fn kind(
        &mut self,
        text: &'a str,
        at: Position,
        depth: usize,
    ) -> Result<Kind<'a>, Option<String>> {
        let word = word(text);
        let quote = match word {
            "r" => text.get(1..).map(|rest| rest.trim_start_matches('#')),
            "" => Some(text),
            _ => None,
        };
        if quote.is_some_and(|rest| rest.starts_with('"')) {
            let content = text.find('"').map_or(0, |quote| quote + 1);
            let value = ron::from_str(text).map_err(|error| error.code.to_string())?;
            return Ok(Kind::Text(value, at.advance(text, content)));
        }
        match word {
            "true" => return Ok(Kind::Bool(true)),
            "false" => return Ok(Kind::Bool(false)),
            _ => {}
        }
        if text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
            return number(text).map_err(Some);
        }
        let parts = parts(text).map_err(|error| {
            let message = format!("a kind of value that graph files don't use ({error})");
            Some(message)
        })?;
        let form = |arguments, fields| {
            let name = Some(word).filter(|word| !word.is_empty());
            Kind::Form(Form {
                name,
                arguments,
                fields,
            })
        };
        let noted = self.problems.len();
        let kind = match parts {
            Parts::Nothing => form(Vec::new(), Vec::new()),
            Parts::Items(items) => {
                let mut trees = Vec::with_capacity(items.len());
                for item in items {
                    trees.extend(self.tree(item.get_ron(), depth + 1));
                }
                match text.starts_with('[') {
                    true => Kind::List(trees),
                    false => form(trees, Vec::new()),
                }
            }
            Parts::Fields(items) => {
                let mut fields = Vec::with_capacity(items.len());
                for (name, value) in items {
                    let position = self.position(name);
                    let value = self.tree(value.get_ron(), depth + 1);
                    fields.extend(value.map(|value| Field {
                        name,
                        position,
                        value,
                    }));
                }
                form(Vec::new(), fields)
            }
            Parts::Entries(items) => {
                let mut entries = Vec::with_capacity(items.len());
                for (key, value) in items {
                    let key = self.tree(key.get_ron(), depth + 1);
                    let value = self.tree(value.get_ron(), depth + 1);
                    entries.extend(key.zip(value));
                }
                Kind::Map(entries)
            }
        };
        match self.problems.len() == noted {
            true => Ok(kind),
            false => Err(None),
        }
    }
}

/// The text after leading whitespace and comments. The text must be valid RON.
fn skip_blank(text: &str) -> &str {
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if rest.starts_with("//") {
            rest = rest
                .find('\n')
                .and_then(|end| rest.get(end..))
                .unwrap_or("");
        } else if rest.starts_with("/*") {
            rest = rest.get(comment_length(rest)..).unwrap_or("");
        } else {
            return rest;
        }
    }
}

/// The length in bytes of the block comment at the beginning of the text, including nested comments.
fn comment_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth = depth.saturating_sub(1);
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The letters, digits and `_` at the beginning of the text, if the first of them is a letter or `_`.
fn word(text: &str) -> &str {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return "";
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    text.get(..end.unwrap_or(text.len())).unwrap_or("")
}

fn number<'a>(text: &str) -> Result<Kind<'a>, String> {
    if let Ok(value) = ron::from_str::<i64>(text) {
        return Ok(Kind::Integer(value));
    }
    let value: f64 = ron::from_str(text).map_err(|error| error.code.to_string())?;
    let written: String = text
        .chars()
        .take_while(|c| !",)]} \n\r\t/".contains(*c))
        .collect();
    if !written.contains(['.', 'e', 'E']) {
        return Err(format!("the number {written} does not fit in 64 bits"));
    }
    match value.is_finite() {
        true => Ok(Kind::Float(value)),
        false => Err(format!("the number {written} is too large")),
    }
}

/// The unparsed parts of a list, map, tuple or struct.
enum Parts<'a> {
    Nothing,
    Items(Vec<&'a RawValue>),
    Fields(Vec<(&'a str, &'a RawValue)>),
    Entries(Vec<(&'a RawValue, &'a RawValue)>),
}

fn parts(text: &str) -> Result<Parts<'_>, ron::Error> {
    let mut deserializer = ron::Deserializer::from_str(text).map_err(|error| error.code)?;
    let parts = deserializer.deserialize_any(PartsVisitor {
        entries: text.starts_with('{'),
    })?;
    deserializer.end()?;
    Ok(parts)
}

struct PartsVisitor {
    /// Whether the named parts are the entries of a map rather than the fields of a struct.
    entries: bool,
}

impl<'de> Visitor<'de> for PartsVisitor {
    type Value = Parts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "a list, a map, a tuple or a name")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Parts::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Parts::Items(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        if self.entries {
            let mut entries = Vec::new();
            while let Some(entry) = map.next_entry()? {
                entries.push(entry);
            }
            return Ok(Parts::Entries(entries));
        }
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Parts::Fields(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_survive_comments_and_nesting() {
        let source =
            "// one\n(a: /* x /* y */ */ [1,\n  Op(b: \"ü\", c: 2.5), // two\n  r#\"q\"#],)";
        let tree = parse("f", source).unwrap();
        let Kind::Form(form) = &tree.kind else {
            panic!("{tree:?}")
        };
        assert_eq!(form.fields[0].position, Position { line: 2, column: 2 });
        let Kind::List(items) = &form.fields[0].value.kind else {
            panic!("{form:?}")
        };
        let places: Vec<_> = items
            .iter()
            .map(|item| (item.position.line, item.position.column))
            .collect();
        assert_eq!(places, [(2, 22), (3, 3), (4, 3)]);
        let Kind::Form(op) = &items[1].kind else {
            panic!("{items:?}")
        };
        assert_eq!(op.name, Some("Op"));
        assert_eq!(
            op.fields[1].position,
            Position {
                line: 3,
                column: 14
            }
        );
        let text = Kind::Text("q".into(), Position { line: 4, column: 6 });
        assert_eq!(items[2].kind, text);
    }

    #[test]
    fn every_value_of_a_foreign_kind_is_reported() {
        let source = "[1,\n'c',\nb\"bytes\",\nSome(1),\nNone,\ninf,\n1..2,\n99999999999999999999]";
        let problems = parse("f", source).unwrap_err();
        let lines: Vec<_> = problems
            .problems
            .iter()
            .map(|problem| problem.line)
            .collect();
        assert_eq!(lines, [2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        for (open, close) in [
            ("[", "]"),
            ("A(", ")"),
            ("A(b:", ")"),
            ("{1:", "}"),
            ("/*", "*/"),
        ] {
            let deep = format!("{}1{}", open.repeat(200_000), close.repeat(200_000));
            assert!(parse("f", &deep).is_err());
        }
    }
}
