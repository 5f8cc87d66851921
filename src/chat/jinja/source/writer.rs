//! Writes a template anew, with filters in place of the operators that differ from Jinja's.

use super::escapes::unescaped;
use super::origins::Origins;
use super::tree::{Form, Level, Node, Operator, Rank};

/// The text written so far, and how much of the template it replaces.
pub struct Writer<'a> {
    template: &'a str,
    at: usize,
    text: String,
    origins: Origins,
}

impl<'a> Writer<'a> {
    /// A writer at the beginning of the template.
    pub fn new(template: &'a str) -> Writer<'a> {
        Writer {
            template,
            at: 0,
            text: String::with_capacity(template.len()),
            origins: Origins::default(),
        }
    }

    /// The new text, and where it comes from.
    pub fn finish(mut self) -> (String, Origins) {
        self.keep(self.template.len());
        (self.text, self.origins)
    }

    /// Keeps the template's text up to here.
    pub fn keep(&mut self, end: usize) {
        let kept = self.template.get(self.at..end).unwrap_or("");
        self.origins.keep(self.text.len(), self.at, kept.len());
        self.text.push_str(kept);
        self.at = self.at.max(end);
    }

    /// Leaves out the template's text up to here, except for its line ends.
    pub fn skip(&mut self, end: usize) {
        let skipped = self.template.get(self.at..end).unwrap_or("");
        let lines = skipped.matches('\n').count();
        self.text.extend(std::iter::repeat_n('\n', lines));
        self.at = self.at.max(end);
    }

    /// Writes text that stands for the template's text from `start` to `end`.
    pub fn add(&mut self, text: &str, start: usize, end: usize) {
        self.origins.add(self.text.len(), text.len(), start, end);
        self.text.push_str(text);
    }

    /// Writes an expression where it must be bound this tightly. What comes before it is kept.
    pub fn node(&mut self, node: &Node, needed: Level) {
        self.keep(node.start);
        let in_brackets = node.level() < needed;
        if in_brackets {
            self.add("(", node.start, node.start);
        }
        match &node.form {
            Form::Number { .. } => {}
            Form::Text => self.literal(node),
            Form::List(values) => {
                for value in values {
                    self.node(value, Level::Loose);
                }
            }
            Form::Verbatim { parts, .. } => {
                for (level, part) in parts {
                    self.node(part, *level);
                }
            }
            Form::Chain {
                rank,
                operators,
                operands,
            } => match (node.is_kept(), rank, operators.len()) {
                (true, ..) => {
                    for operand in operands {
                        self.node(operand, Level::Loose);
                    }
                }
                (false, Rank::Joined, _) => self.joined("__concat__", operators, operands),
                (false, Rank::Compared, 2..) => self.joined("__compare__", operators, operands),
                _ => self.chain(operators, operands),
            },
            Form::Signed { operand, .. } if node.is_kept() => self.node(operand, Level::Postfix),
            Form::Signed { operator, operand } => {
                self.skip(operand.start);
                self.node(operand, Level::Filtered);
                let name = if operator.name == "-" {
                    "__neg__"
                } else {
                    "__pos__"
                };
                self.filter(name, node);
            }
            Form::Slice { base, bounds } => self.slice(node, base, bounds),
            Form::Item { base, key } if node.is_kept() => {
                self.node(base, Level::Postfix);
                self.node(key, Level::Loose);
            }
            Form::Item { base, key } => {
                self.node(base, Level::Filtered);
                self.skip(key.start);
                self.add(" | __getitem__(", node.start, key.start);
                self.node(key, Level::Loose);
                self.skip(node.end);
                self.add(")", node.end, node.end);
            }
        }
        self.keep(node.end);
        if in_brackets {
            self.add(")", node.end, node.end);
        }
    }

    /// Writes a filter without arguments after an expression.
    pub fn filter(&mut self, name: &str, node: &Node) {
        self.add(&format!(" | {name}"), node.start, node.end);
    }

    /// `a | operator(b) | operator(c)`.
    fn chain(&mut self, operators: &[Operator], operands: &[Node]) {
        let Some((first, others)) = operands.split_first() else {
            return;
        };
        self.node(first, Level::Filtered);
        for (operator, operand) in operators.iter().zip(others) {
            self.skip(operand.start);
            let filter = format!(" | {}(", filter(operator.name));
            self.add(&filter, first.start, operator.end);
            self.node(operand, Level::Loose);
            self.add(")", operand.end, operand.end);
        }
    }

    /// `a | filter(b, c)`; for comparisons, with the operators before the operands.
    fn joined(&mut self, name: &str, operators: &[Operator], operands: &[Node]) {
        let Some((first, others)) = operands.split_first() else {
            return;
        };
        self.node(first, Level::Filtered);
        let mut before = format!(" | {name}(");
        for (operator, operand) in operators.iter().zip(others) {
            self.skip(operand.start);
            if name == "__compare__" {
                before += &format!("'{}', ", operator.name);
            }
            self.add(&before, first.start, operator.end);
            self.node(operand, Level::Loose);
            before = ", ".to_string();
        }
        self.add(")", self.at, self.at);
    }

    fn slice(&mut self, node: &Node, base: &Node, bounds: &[Option<Box<Node>>; 3]) {
        self.node(base, Level::Filtered);
        let mut before = " | __slice__(";
        for bound in bounds {
            match bound {
                Some(bound) => {
                    self.skip(bound.start);
                    self.add(before, node.start, bound.start);
                    self.node(bound, Level::Loose);
                }
                None => self.add(&format!("{before}none"), node.start, self.at),
            }
            before = ", ";
        }
        self.skip(node.end);
        self.add(")", node.end, node.end);
    }

    /// A text in quotes, with escapes that the engine knows.
    fn literal(&mut self, node: &Node) {
        let written = self.template.get(node.start..node.end).unwrap_or("");
        if let Some(text) = unescaped(written) {
            self.add(&text, node.start, node.end);
            self.at = node.end;
        }
    }
}

/// The filter that does what an operator does in Python.
fn filter(operator: &str) -> &'static str {
    match operator {
        "<" => "__lt__",
        "<=" => "__le__",
        ">" => "__gt__",
        ">=" => "__ge__",
        "in" => "__in__",
        "not in" => "__not_in__",
        "+" => "__add__",
        "-" => "__sub__",
        "*" => "__mul__",
        "/" => "__truediv__",
        "//" => "__floordiv__",
        _ => "__mod__",
    }
}
