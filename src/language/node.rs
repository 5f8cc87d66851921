//! What graphs, rules and dumps write in the same way: lists, texts, fields, and nodes such as `("name", Op(…), ["input"])`.
//!
//! The callers decide what names, attributes and inputs mean.

use super::diagnostics::Position;
use super::document::{Field, Form, Kind, Tree};
use super::nearest::unknown;

/// A node as written: `("name", Op(…), ["input", …])`, or with a list of names.
pub struct NodeForm<'t> {
    /// The names of the node's outputs.
    pub names: &'t Tree<'t>,
    /// The node's op.
    pub op: &'t Tree<'t>,
    /// The list of the node's inputs.
    pub inputs: &'t Tree<'t>,
}

/// An op as written: `Op`, or `Op(value, attribute: value, …)`.
pub struct OpForm<'t> {
    /// The op's name.
    pub name: &'t str,
    /// Values without a name.
    pub arguments: &'t [Tree<'t>],
    /// Attributes with names.
    pub attributes: &'t [Field<'t>],
}

/// An input of a node as written.
pub enum InputForm<'t> {
    /// `""`
    Absent,
    /// `"name"`
    Name(&'t str),
    /// A number, or the content of `Num(…)`.
    Number(&'t Tree<'t>),
}

/// Reads trees and notes what is wrong with them.
pub trait TreeReader: Sized {
    /// Notes a problem.
    fn problem(&mut self, position: Position, message: impl Into<String>);

    /// Notes that something else was found where `expected` should be.
    fn expected(&mut self, expected: &str, found: &Tree) {
        let message = format!("expected {expected}, found {}", found.describe());
        self.problem(found.position, message);
    }

    /// A text.
    fn text<'t>(&mut self, tree: &'t Tree) -> Option<&'t str> {
        match &tree.kind {
            Kind::Text(text, _) => Some(text),
            _ => {
                self.expected("a text in \"double quotes\"", tree);
                None
            }
        }
    }

    /// The results of `read` for each item of a list.
    fn items<T>(
        &mut self,
        tree: &Tree,
        mut read: impl FnMut(&mut Self, &Tree) -> Option<T>,
    ) -> Vec<T> {
        match &tree.kind {
            Kind::List(items) => items.iter().filter_map(|item| read(self, item)).collect(),
            _ => {
                self.expected("a list […]", tree);
                Vec::new()
            }
        }
    }

    /// The values of the fields that `known` lists.
    fn fields<'t, const N: usize>(
        &mut self,
        form: &'t Form<'t>,
        known: [&str; N],
    ) -> [Option<&'t Tree<'t>>; N] {
        let mut values = [None; N];
        for field in &form.fields {
            let index = known.iter().position(|known| *known == field.name);
            match index.and_then(|index| values.get_mut(index)) {
                None => self.problem(field.position, unknown("field", field.name, known)),
                Some(Some(_)) => {
                    let message = format!("the field '{}' is given twice", field.name);
                    self.problem(field.position, message);
                }
                Some(value) => *value = Some(&field.value),
            }
        }
        values
    }

    /// The parts of a node. `inputs` is the word for its inputs in messages.
    fn node_form<'t>(&mut self, tree: &'t Tree<'t>, inputs: &str) -> Option<NodeForm<'t>> {
        let parts = match &tree.kind {
            Kind::Form(form) if form.name.is_none() => form.arguments.as_slice(),
            _ => &[],
        };
        let [names, op, list] = parts else {
            self.expected(&format!("a node (\"name\", Op, [\"{inputs}\", …])"), tree);
            return None;
        };
        Some(NodeForm {
            names,
            op,
            inputs: list,
        })
    }

    /// A node's names and their positions.
    fn names(&mut self, tree: &Tree) -> Option<Vec<(String, Position)>> {
        match &tree.kind {
            Kind::Text(name, _) => Some(vec![(name.clone(), tree.position)]),
            Kind::List(_) => Some(self.items(tree, |reader, item| {
                Some((reader.text(item)?.to_owned(), item.position))
            })),
            _ => {
                self.expected("a name or a list of names", tree);
                None
            }
        }
    }

    /// The parts of an op.
    fn op_form<'t>(&mut self, tree: &'t Tree<'t>) -> Option<OpForm<'t>> {
        match &tree.kind {
            Kind::Form(Form {
                name: Some(name),
                arguments,
                fields,
            }) => Some(OpForm {
                name,
                arguments,
                attributes: fields,
            }),
            _ => {
                self.expected("an op: Name or Name(attribute: value)", tree);
                None
            }
        }
    }

    /// An input of a node. `expected` describes the allowed forms in messages.
    fn input_form<'t>(&mut self, tree: &'t Tree<'t>, expected: &str) -> Option<InputForm<'t>> {
        match &tree.kind {
            Kind::Text(name, _) if name.is_empty() => Some(InputForm::Absent),
            Kind::Text(name, _) => Some(InputForm::Name(name)),
            Kind::Integer(_) | Kind::Float(_) => Some(InputForm::Number(tree)),
            Kind::Form(Form {
                name: Some("Num"),
                arguments,
                ..
            }) if let [argument] = arguments.as_slice() => Some(InputForm::Number(argument)),
            _ => {
                self.expected(expected, tree);
                None
            }
        }
    }
}
