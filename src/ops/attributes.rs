//! Attributes: named constants of an op.

use std::borrow::Cow;
use std::fmt;

use smallvec::SmallVec;

/// The value of an attribute.
#[derive(Clone, PartialEq, Debug)]
pub enum Attribute {
    /// Not given, and there is no default.
    Absent,
    /// A whole number.
    Int(i64),
    /// A real number, which kernels round to f32.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// One of a closed set of words, or free text.
    Text(Cow<'static, str>),
    /// Whole numbers.
    Ints(Box<[i64]>),
}

impl Attribute {
    /// A word that is known at compile time.
    pub const fn word(word: &'static str) -> Self {
        Attribute::Text(Cow::Borrowed(word))
    }
}

/// Printed as an attribute is written in a graph file: a text is an expression there, so it has two kinds of quotes.
impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attribute::Absent => f.write_str("\"none\""),
            Attribute::Int(n) => write!(f, "{n}"),
            Attribute::Float(x) => write!(f, "{x:?}"),
            Attribute::Bool(b) => write!(f, "{b}"),
            Attribute::Text(text) => write!(f, "\"'{text}'\""),
            Attribute::Ints(list) => {
                let list: Vec<String> = list.iter().map(i64::to_string).collect();
                write!(f, "[{}]", list.join(", "))
            }
        }
    }
}

/// The values that an attribute may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeKind {
    /// A whole number within `low..=high`.
    Int(i64, i64),
    /// A finite number; whole numbers are accepted too.
    Float,
    /// True or false.
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of whole numbers.
    Ints,
    /// Any text; the shape rule of the op reports what is wrong with it.
    Text,
}

impl fmt::Display for AttributeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AttributeKind::Int(low, high) if *high == i64::MAX => {
                write!(f, "a whole number of {low} or more")
            }
            AttributeKind::Int(low, high) => write!(f, "a whole number from {low} to {high}"),
            AttributeKind::Float => f.write_str("a finite number"),
            AttributeKind::Bool => f.write_str("true or false"),
            AttributeKind::Choice(words) => write!(f, "one of {}", words.join(", ")),
            AttributeKind::Ints => f.write_str("a list of whole numbers"),
            AttributeKind::Text => f.write_str("text"),
        }
    }
}

/// One attribute of an op.
#[derive(Debug)]
pub struct AttributeDef {
    /// The name of the attribute.
    pub name: &'static str,
    /// The values that the attribute may have.
    pub kind: AttributeKind,
    /// The value if the attribute is not given. [`Attribute::Absent`] with `required` false means that the attribute may be
    /// absent.
    pub default: Attribute,
    /// Whether the attribute must be given.
    pub required: bool,
    /// What the attribute does, in a few words.
    pub doc: &'static str,
}

impl AttributeDef {
    /// An attribute that must be given.
    pub const fn required(name: &'static str, kind: AttributeKind, doc: &'static str) -> Self {
        AttributeDef {
            name,
            kind,
            default: Attribute::Absent,
            required: true,
            doc,
        }
    }

    /// An attribute that may be left out.
    pub const fn optional(
        name: &'static str,
        kind: AttributeKind,
        default: Attribute,
        doc: &'static str,
    ) -> Self {
        AttributeDef {
            name,
            kind,
            default,
            required: false,
            doc,
        }
    }
}

/// Values in the order of the definition. Most ops have no attribute or one, and small nodes make a graph of many layers
/// fast to walk.
pub type Attributes = SmallVec<[Attribute; 1]>;

/// Checks the given attributes against their definitions and fills in defaults.
pub(super) fn complete(
    op: &str,
    defs: &'static [AttributeDef],
    given: &[(&str, Attribute)],
) -> Result<Attributes, Vec<String>> {
    let mut problems = Vec::new();
    for (i, (name, _)) in given.iter().enumerate() {
        if !defs.iter().any(|d| d.name == *name) {
            let unknown =
                crate::language::nearest::unknown("attribute", name, defs.iter().map(|d| d.name));
            problems.push(format!("{op}: {unknown}"));
        } else if given[..i].iter().any(|(n, _)| n == name) {
            problems.push(format!("{op}: attribute '{name}' is given twice"));
        }
    }
    let mut values = Attributes::new();
    for def in defs {
        let value = match given.iter().find(|(name, _)| *name == def.name) {
            Some((_, Attribute::Absent)) | None if def.required => {
                problems.push(format!("{op}: attribute '{}' is missing", def.name));
                Attribute::Absent
            }
            Some((_, Attribute::Absent)) | None => def.default.clone(),
            Some((_, value)) => check(def, value.clone()).unwrap_or_else(|found| {
                let found = found.to_string();
                problems.push(format!(
                    "{op}: attribute '{}' must be {}, found {found}",
                    def.name, def.kind
                ));
                Attribute::Absent
            }),
        };
        values.push(value);
    }
    if problems.is_empty() {
        Ok(values)
    } else {
        Err(problems)
    }
}

/// The value in the form that the definition requires, or the original value as an error.
fn check(def: &AttributeDef, value: Attribute) -> Result<Attribute, Attribute> {
    match (def.kind, value) {
        (AttributeKind::Int(low, high), Attribute::Int(n)) if (low..=high).contains(&n) => {
            Ok(Attribute::Int(n))
        }
        (AttributeKind::Float, Attribute::Int(n)) => Ok(Attribute::Float(n as f64)),
        (AttributeKind::Float, Attribute::Float(x)) if x.is_finite() => Ok(Attribute::Float(x)),
        (AttributeKind::Bool, Attribute::Bool(b)) => Ok(Attribute::Bool(b)),
        (AttributeKind::Choice(words), Attribute::Text(text)) if words.contains(&&*text) => {
            Ok(Attribute::Text(text))
        }
        (AttributeKind::Text, Attribute::Text(text)) => Ok(Attribute::Text(text)),
        (AttributeKind::Ints, Attribute::Ints(list)) => Ok(Attribute::Ints(list)),
        (_, value) => Err(value),
    }
}
