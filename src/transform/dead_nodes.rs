//! Removing nodes that no output depends on.

use super::change::Change;
use crate::graph::{Graph, GraphError};

/// Remove every op, weight and literal that no output of the graph depends on; inputs stay. Ops are reported.
pub(super) fn run(graph: &mut Graph) -> Result<Vec<Change>, GraphError> {
    let mut changes = Vec::new();
    graph.edit().sweep_each(|node| {
        let change = node.op().map(|op| Change {
            at: node.name().to_string(),
            what: format!("{} is removed: no output depends on it", op.name()),
        });
        changes.extend(change);
    });
    changes.reverse();
    Ok(changes)
}
