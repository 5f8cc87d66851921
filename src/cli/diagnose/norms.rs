//! Moves norms: to before a block instead of after its residual sum, or the reverse.

use smallmind::architecture::ast::{Node, Operand, OperandKind, Statement};

use super::change::{Change, NORMS, replaced};

/// The name of the norm's output in its new place.
const MOVED: &str = "moved_norm";

fn node(statement: &Statement) -> Option<&Node> {
    match statement {
        Statement::Node(node) => Some(node),
        _ => None,
    }
}

fn reads(node: &Node, name: &str) -> bool {
    let is = |operand: &Operand| matches!(&operand.kind, OperandKind::Name(read) if read == name);
    node.inputs.iter().any(is)
}

/// The name of the residual stream, if the node adds to it.
fn sum(statement: &Statement) -> Option<&str> {
    let node = node(statement)?;
    let name = node.names.first()?;
    (&*node.op == "Add" && reads(node, name)).then_some(name)
}

/// The norm and the name that it reads, if the statement is a norm.
fn norm(statement: &Statement) -> Option<(&Node, &str)> {
    let node = node(statement).filter(|node| NORMS.contains(&&*node.op))?;
    match &node.inputs.first()?.kind {
        OperandKind::Name(read) => Some((node, read)),
        _ => None,
    }
}

/// Statements that read `to` wherever they read `from`.
fn reading(statements: &[Statement], from: &str, to: &str) -> Vec<Statement> {
    replaced(statements, &mut |node| {
        let mut node = node.clone();
        for operand in &mut node.inputs {
            if matches!(&operand.kind, OperandKind::Name(read) if read == from) {
                operand.kind = OperandKind::Name(to.to_string());
            }
        }
        Some(vec![node])
    })
}

/// The norm with another name, reading another value.
fn moved(norm: &Node, name: &str, of: &str) -> Statement {
    let mut norm = norm.clone();
    norm.names = [name.to_string()].into();
    if let Some(operand) = norm.inputs.first_mut() {
        operand.kind = OperandKind::Name(of.to_string());
    }
    Statement::Node(norm)
}

/// Changes a Repeat's body, and notes the norms that it moves.
type Mover<'a> = &'a dyn Fn(&[Statement], &mut Vec<Node>) -> Vec<Statement>;

/// The statements with each Repeat's body changed by `change`; `None` if no norm moves.
fn in_bodies(statements: &[Statement], what: &str, change: Mover<'_>) -> Option<Change> {
    let mut norms = Vec::new();
    let nodes = statements
        .iter()
        .map(|statement| match statement {
            Statement::Repeat {
                position,
                variable,
                count,
                body,
            } => Statement::Repeat {
                position: *position,
                variable: variable.clone(),
                count: count.clone(),
                body: change(body, &mut norms),
            },
            other => other.clone(),
        })
        .collect();
    (!norms.is_empty()).then(|| Change {
        what: what.to_string(),
        at: norms.iter().map(|norm| norm.position).collect(),
        nodes,
    })
}

/// Norms after a residual sum, moved to before the block that the sum ends.
pub fn norms_before(statements: &[Statement]) -> Option<Change> {
    in_bodies(
        statements,
        "each norm before its block instead of after the sum",
        &|body, norms| {
            let mut changed = Vec::new();
            let mut block = 0;
            for (index, pair) in body.windows(2).enumerate() {
                let [added, normed] = pair else { continue };
                let (Some(stream), Some((node, read))) = (sum(added), norm(normed)) else {
                    continue;
                };
                if read != stream
                    || node.names.first().is_none_or(|name| name != stream)
                    || index < block
                {
                    continue;
                }
                changed.push(moved(node, MOVED, stream));
                changed.extend(reading(
                    body.get(block..index).unwrap_or_default(),
                    stream,
                    MOVED,
                ));
                changed.push(added.clone());
                norms.push(node.clone());
                block = index + 2;
            }
            changed.extend_from_slice(body.get(block..).unwrap_or_default());
            changed
        },
    )
}

/// Norms before a block, moved to after the residual sum that ends the block.
pub fn norms_behind(statements: &[Statement]) -> Option<Change> {
    in_bodies(
        statements,
        "each norm after the sum instead of before its block",
        &|body, norms| {
            let mut changed = Vec::new();
            let mut pending: Option<(Node, String)> = None;
            for statement in body {
                if let Some((node, read)) = norm(statement)
                    && node.names.first().is_some_and(|name| name != read)
                    && pending.is_none()
                {
                    pending = Some((node.clone(), read.to_string()));
                    continue;
                }
                let Some((node, stream)) = &pending else {
                    changed.push(statement.clone());
                    continue;
                };
                let name = node.names.first().map_or("", String::as_str);
                changed.extend(reading(std::slice::from_ref(statement), name, stream));
                if sum(statement) == Some(stream) {
                    changed.push(moved(node, stream, stream));
                    norms.push(node.clone());
                    pending = None;
                }
            }
            changed
        },
    )
}
