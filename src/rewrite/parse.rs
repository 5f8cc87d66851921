//! Parses the text of a rule file into rules as written. `check` resolves their names.
//!
//! ```text
//! [Rule(name: "…", match: [node, …], guard: [Guard(…), …], emit: [node, …], bits: Same), …]
//! node    = ("output" or ["output", …], Op(attribute: value), ["operand", "optional?", "", number])
//! ```
//!
//! A value is a number, true, false, a text (which is an expression) or a list of values, as in graph files.

use crate::language::diagnostics::{Position, Problem, Problems};
use crate::language::document::{self, Form, Kind, Tree};
use crate::language::expression::Expression;
use crate::language::node::{InputForm, OpForm, TreeReader};
use crate::language::value::Value as Number;
use crate::types::Bits;

/// A rule as written.
pub struct RawRule {
    pub position: Position,
    pub name: String,
    pub bits: Bits,
    pub pattern: Vec<RawNode>,
    pub guards: Vec<RawGuard>,
    pub emit: Vec<RawNode>,
}

/// `("name", Op(…), ["operand", …])`
pub struct RawNode {
    pub position: Position,
    pub outputs: Vec<(String, Position)>,
    pub op: (String, Position),
    pub attributes: Vec<RawAttribute>,
    pub inputs: Vec<RawOperand>,
}

/// `name: value`
pub struct RawAttribute {
    pub name: String,
    pub position: Position,
    pub term: RawTerm,
}

/// The value of an attribute.
pub enum RawTerm {
    Constant(Number),
    Formula(RawFormula),
}

/// An expression with its position.
pub struct RawFormula {
    pub expression: Expression,
    pub text: String,
    pub position: Position,
}

/// An operand with its position.
pub struct RawOperand {
    pub position: Position,
    pub kind: RawOperandKind,
}

/// See [`RawOperand`].
pub enum RawOperandKind {
    /// `"name"` or `"name?"`.
    Name { name: String, optional: bool },
    /// `""`
    Absent,
    /// A number or `Num(number)`.
    Number(f64),
}

/// A guard with its arguments.
pub struct RawGuard {
    pub name: String,
    pub position: Position,
    pub arguments: Vec<RawArgument>,
}

/// An argument of a guard.
pub enum RawArgument {
    Text(String, Position),
    Number(f64),
    Guard(RawGuard),
}

/// Reads a rule file. Messages call it `file`.
pub fn parse(file: &str, text: &str) -> Result<Vec<RawRule>, Problems> {
    let tree = document::parse(file, text)?;
    let mut reader = RuleReader::default();
    let rules = reader.items(&tree, RuleReader::rule);
    Problems::check(file, reader.problems, rules)
}

/// Notes problems while it reads.
#[derive(Default)]
pub(super) struct RuleReader {
    pub problems: Vec<Problem>,
    /// The rule being read.
    subject: Option<String>,
}

impl TreeReader for RuleReader {
    fn problem(&mut self, position: Position, message: impl Into<String>) {
        let message = match &self.subject {
            Some(rule) => format!("rule \"{rule}\": {}", message.into()),
            None => message.into(),
        };
        self.problems.push(Problem::new(position, message));
    }
}

impl RuleReader {
    /// The fields of a form that `known` lists. The caller has checked the form's name.
    pub fn named_fields<'t, const N: usize>(
        &mut self,
        form: &'t Form<'t>,
        known: [&str; N],
    ) -> [Option<&'t Tree<'t>>; N] {
        if let Some(first) = form.arguments.first() {
            let known = known.join(", ");
            self.problem(
                first.position,
                format!("expected a value with a name ({known}), found one without a name"),
            );
        }
        self.fields(form, known)
    }

    /// `Same` or `Within(number)`.
    pub fn bits(&mut self, tree: &Tree) -> Option<Bits> {
        if let Kind::Form(form) = &tree.kind {
            match (form.name, form.arguments.as_slice()) {
                (Some("Same"), []) => return Some(Bits::Same),
                (Some("Within"), [tolerance]) => {
                    if let Some(x) = number(tolerance).filter(|x| *x > 0.0) {
                        return Some(Bits::Within(x));
                    }
                }
                _ => {}
            }
        }
        self.expected("Same or Within(a positive number)", tree);
        None
    }

    fn rule(&mut self, tree: &Tree) -> Option<RawRule> {
        let form = match &tree.kind {
            Kind::Form(form) if form.name == Some("Rule") => form,
            _ => {
                self.expected("Rule(name: \"…\", match: […], emit: […], bits: …)", tree);
                return None;
            }
        };
        let known = ["name", "match", "guard", "emit", "bits"];
        let [name, pattern, guard, emit, bits] = self.named_fields(form, known);
        let name = name.and_then(|tree| self.text(tree)).map(str::to_owned);
        self.subject.clone_from(&name);
        let missing = [
            ("name", name.is_none()),
            ("match", pattern.is_none()),
            ("emit", emit.is_none()),
            ("bits", bits.is_none()),
        ];
        for (field, missing) in missing {
            if missing {
                self.problem(tree.position, format!("a rule needs '{field}'"));
            }
        }
        let pattern = pattern.map_or_else(Vec::new, |tree| self.items(tree, Self::node));
        let guards = guard.map_or_else(Vec::new, |tree| self.items(tree, Self::guard));
        let emit = emit.map_or_else(Vec::new, |tree| self.items(tree, Self::node));
        let bits = bits.and_then(|tree| self.bits(tree));
        self.subject = None;
        Some(RawRule {
            position: tree.position,
            name: name?,
            bits: bits?,
            pattern,
            guards,
            emit,
        })
    }

    fn node(&mut self, tree: &Tree) -> Option<RawNode> {
        let node = self.node_form(tree, "operand")?;
        let outputs = self.names(node.names)?;
        let OpForm {
            name,
            arguments,
            attributes,
        } = self.op_form(node.op)?;
        if let Some(argument) = arguments.first() {
            self.problem(
                argument.position,
                format!("expected a named attribute of {name}, found a value without a name"),
            );
        }
        let attributes = attributes.iter().filter_map(|field| {
            Some(RawAttribute {
                name: field.name.to_owned(),
                position: field.position,
                term: self.term(&field.value)?,
            })
        });
        let attributes = attributes.collect();
        Some(RawNode {
            position: tree.position,
            outputs,
            op: (name.to_owned(), node.op.position),
            attributes,
            inputs: self.items(node.inputs, Self::operand),
        })
    }

    fn term(&mut self, tree: &Tree) -> Option<RawTerm> {
        let constant = match &tree.kind {
            Kind::Integer(n) => Number::Int(*n),
            Kind::Float(x) => Number::Float(*x),
            Kind::Bool(b) => Number::Bool(*b),
            Kind::Text(text, position) => {
                return self.formula(text, *position).map(RawTerm::Formula);
            }
            Kind::List(_) => Number::List(self.items(tree, |reader, item| match item.kind {
                Kind::Integer(n) => Some(Number::Int(n)),
                _ => {
                    reader.expected("a whole number", item);
                    None
                }
            })),
            _ => {
                self.expected("a number, true, false, \"an expression\" or a list", tree);
                return None;
            }
        };
        Some(RawTerm::Constant(constant))
    }

    fn formula(&mut self, text: &str, position: Position) -> Option<RawFormula> {
        match formula(text, position) {
            Ok(formula) => Some(formula),
            Err((at, message)) => {
                self.problem(at, message);
                None
            }
        }
    }

    fn operand(&mut self, tree: &Tree) -> Option<RawOperand> {
        let expected = "an operand: \"name\", \"name?\", \"\" or a number";
        let kind = match self.input_form(tree, expected)? {
            InputForm::Absent => RawOperandKind::Absent,
            InputForm::Name(text) => {
                let name = text.strip_suffix('?');
                RawOperandKind::Name {
                    name: name.unwrap_or(text).to_owned(),
                    optional: name.is_some(),
                }
            }
            InputForm::Number(tree) => RawOperandKind::Number(self.number(tree)?),
        };
        Some(RawOperand {
            position: tree.position,
            kind,
        })
    }

    fn number(&mut self, tree: &Tree) -> Option<f64> {
        let found = number(tree);
        if found.is_none() {
            self.expected("a number", tree);
        }
        found
    }

    fn guard(&mut self, tree: &Tree) -> Option<RawGuard> {
        let (name, arguments) = match &tree.kind {
            Kind::Form(form) if form.fields.is_empty() => (form.name, form.arguments.as_slice()),
            _ => (None, [].as_slice()),
        };
        let Some(name) = name else {
            self.expected("a guard, such as SameShape(\"a\", \"b\")", tree);
            return None;
        };
        let arguments = arguments.iter().filter_map(|argument| {
            Some(match &argument.kind {
                Kind::Text(text, position) => RawArgument::Text(text.clone(), *position),
                Kind::Form(_) => RawArgument::Guard(self.guard(argument)?),
                _ => RawArgument::Number(self.number(argument)?),
            })
        });
        let arguments = arguments.collect();
        Some(RawGuard {
            name: name.to_owned(),
            position: tree.position,
            arguments,
        })
    }
}

/// Parses an expression whose text begins at `position`; an error says what is wrong, and where.
pub(super) fn formula(text: &str, position: Position) -> Result<RawFormula, (Position, String)> {
    match Expression::parse(text) {
        Ok(expression) => Ok(RawFormula {
            expression,
            text: text.to_owned(),
            position,
        }),
        Err(error) => {
            let at = position.advance(text, error.offset);
            Err((at, format!("{error} in \"{text}\"")))
        }
    }
}

fn number(tree: &Tree) -> Option<f64> {
    match tree.kind {
        Kind::Integer(n) => Some(n as f64),
        Kind::Float(x) => Some(x),
        _ => None,
    }
}
