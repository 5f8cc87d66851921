//! The graph file's grammar: nodes, Repeats and Ifs. The rest of the grammar is in `syntax`.

use std::collections::HashSet;

use super::ast::{Argument, Node, Operand, OperandKind, Statement, Step};
use super::syntax::{GraphFileReader, PREDEFINED};
use crate::graph::Name;
use crate::language::diagnostics::nearest;
use crate::language::document::{Form, Kind, Tree};
use crate::language::expression::is_name;
use crate::language::node::{InputForm, NodeForm, OpForm, TreeReader};

/// An op with its attributes, as a node has them.
struct OpCall {
    op: Name,
    positional: Option<Argument>,
    attributes: Vec<(Name, Argument)>,
}

impl GraphFileReader {
    pub(super) fn statement(&mut self, tree: &Tree) -> Option<Statement> {
        let form = match &tree.kind {
            Kind::Form(form) => form,
            _ => {
                self.expected(
                    "a node (\"name\", Op, [\"input\"]), Repeat(…) or If(…)",
                    tree,
                );
                return None;
            }
        };
        match form.name {
            None => self.node(tree).map(Statement::Node),
            Some("Repeat") => self.repeat(tree, form),
            Some("If") => self.condition(tree, form),
            Some(name) => {
                let hint = match nearest(name, ["Repeat", "If"]) {
                    Some(near) => format!(", did you mean '{near}'?"),
                    None => format!("; a node is written (\"name\", {name}(…), [\"input\", …])"),
                };
                self.problem(tree.position, format!("unknown statement '{name}'{hint}"));
                None
            }
        }
    }

    fn repeat(&mut self, tree: &Tree, form: &Form) -> Option<Statement> {
        let [variable, count, body] = form.arguments.as_slice() else {
            self.expected("Repeat(\"variable\", count, [nodes])", tree);
            return None;
        };
        let name = self.text(variable).unwrap_or("").to_owned();
        let name = self.name(name, variable.position);
        let count = self.argument(count);
        if matches!(variable.kind, Kind::Text(..)) {
            if !is_name(&name) || PREDEFINED.contains(&name.as_str()) {
                self.problem(
                    variable.position,
                    format!("'{name}' can't be a variable's name"),
                );
            } else if self.params.contains(&name) {
                self.problem(
                    variable.position,
                    format!("'{name}' is already the name of a parameter"),
                );
            } else if self.variables.contains(&name) {
                let message =
                    format!("'{name}' is already the variable of a Repeat around this one");
                self.problem(variable.position, message);
            }
        }
        self.all_variables.insert(name.clone());
        self.variables.push(name.clone());
        let body = self.list(Some(body), Self::statement);
        self.variables.pop();
        Some(Statement::Repeat {
            position: tree.position,
            variable: name,
            count: count?,
            body,
        })
    }

    fn condition(&mut self, tree: &Tree, form: &Form) -> Option<Statement> {
        let [condition, yes, no] = form.arguments.as_slice() else {
            self.expected("If(\"condition\", [nodes], [nodes])", tree);
            return None;
        };
        let condition = self.formula(condition);
        let yes = self.list(Some(yes), Self::statement);
        let no = self.list(Some(no), Self::statement);
        Some(Statement::If {
            condition: condition?,
            yes,
            no,
        })
    }

    fn node(&mut self, tree: &Tree) -> Option<Node> {
        let NodeForm { names, op, inputs } = self.node_form(tree, "input")?;
        let names = self.names(names)?;
        self.subject = names.first().map(|(name, _)| ("node", name.clone()));
        if names.is_empty() {
            self.problem(tree.position, "a node needs at least one name");
        }
        let mut seen = HashSet::new();
        for (name, position) in &names {
            self.name(name.clone(), *position);
            if name.is_empty() {
                self.problem(*position, "a node's name can't be empty");
            } else if self.weights.contains(name) {
                let message = format!("'{name}' is a weight; a node needs a name of its own");
                self.problem(*position, message);
            } else if !seen.insert(name) {
                self.problem(*position, format!("two outputs are named '{name}'"));
            }
        }
        let op = self.op(op);
        let inputs = self.list(Some(inputs), Self::operand);
        self.subject = None;
        let op = op?;
        Some(Node {
            position: tree.position,
            names: names.into_iter().map(|(name, _)| name).collect(),
            op: op.op,
            positional: op.positional,
            attributes: op.attributes,
            inputs,
        })
    }

    fn op(&mut self, tree: &Tree) -> Option<OpCall> {
        let OpForm {
            name,
            arguments,
            attributes: fields,
        } = self.op_form(tree)?;
        if let Some(second) = arguments.get(1) {
            self.problem(
                second.position,
                format!("{name} takes one value without a name"),
            );
        }
        let positional = arguments.first().and_then(|tree| self.argument(tree));
        let mut attributes: Vec<(Name, Argument)> = Vec::with_capacity(fields.len());
        for field in fields {
            if attributes.iter().any(|(name, _)| **name == *field.name) {
                let message = format!("the attribute '{}' is given twice", field.name);
                self.problem(field.position, message);
            }
            let value = self.argument(&field.value);
            let name = self.name(field.name.to_owned(), field.position);
            attributes.extend(value.map(|value| (name.into(), value)));
        }
        Some(OpCall {
            op: self.name(name.to_owned(), tree.position).into(),
            positional,
            attributes,
        })
    }

    /// What is done to one tensor: an op without inputs.
    pub(super) fn step(&mut self, tree: &Tree) -> Option<Step> {
        let call = self.op(tree)?;
        Some(Step {
            position: tree.position,
            op: call.op,
            operand: call.positional,
            attributes: call.attributes,
        })
    }

    fn operand(&mut self, tree: &Tree) -> Option<Operand> {
        let expected = "an input: \"name\", \"\", a number or Num(\"expression\")";
        let kind = match self.input_form(tree, expected)? {
            InputForm::Absent => OperandKind::Absent,
            InputForm::Name(name) => OperandKind::Name(name.to_owned()),
            InputForm::Number(tree) => OperandKind::Literal(self.argument(tree)?),
        };
        let position = tree.position;
        Some(Operand { position, kind })
    }
}
