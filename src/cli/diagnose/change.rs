//! What a change of a graph file is, and the walks over statements that make changes.

use smallmind::architecture::ast::{Node, Statement};
use smallmind::language::diagnostics::Position;

/// A changed graph file.
pub struct Change {
    /// What was changed: "pairs: 'adjacent' in Rope".
    pub what: String,
    /// Where it was changed.
    pub at: Vec<Position>,
    /// The file's nodes with the change.
    pub nodes: Vec<Statement>,
}

/// The norm ops.
pub const NORMS: [&str; 2] = ["RmsNorm", "LayerNorm"];

/// Calls `visit` with every node, in order.
pub fn each<'a>(statements: &'a [Statement], visit: &mut dyn FnMut(&'a Node)) {
    for statement in statements {
        match statement {
            Statement::Node(node) => visit(node),
            Statement::Repeat { body, .. } => each(body, visit),
            Statement::If { yes, no, .. } => {
                each(yes, visit);
                each(no, visit);
            }
        }
    }
}

/// The statements, with nodes replaced where `change` returns other nodes.
pub fn replaced(
    statements: &[Statement],
    change: &mut dyn FnMut(&Node) -> Option<Vec<Node>>,
) -> Vec<Statement> {
    let mut changed = Vec::with_capacity(statements.len());
    for statement in statements {
        match statement {
            Statement::Node(node) => match change(node) {
                Some(nodes) => changed.extend(nodes.into_iter().map(Statement::Node)),
                None => changed.push(statement.clone()),
            },
            Statement::Repeat {
                position,
                variable,
                count,
                body,
            } => changed.push(Statement::Repeat {
                position: *position,
                variable: variable.clone(),
                count: count.clone(),
                body: replaced(body, change),
            }),
            Statement::If { condition, yes, no } => changed.push(Statement::If {
                condition: condition.clone(),
                yes: replaced(yes, change),
                no: replaced(no, change),
            }),
        }
    }
    changed
}
