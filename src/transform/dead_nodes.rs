//! Removing nodes that no output depends on.

use std::collections::HashMap;

use super::change::Change;
use crate::graph::{Graph, GraphError, Name};

/// Remove every op, weight and literal that no output of the graph depends on; inputs stay. Ops are reported.
pub(super) fn run(graph: &mut Graph) -> Result<Vec<Change>, GraphError> {
    let ops: HashMap<Name, &'static str> = graph
        .ids()
        .filter_map(|id| {
            let node = graph.node(id);
            Some((node.name().clone(), node.op()?.name()))
        })
        .collect();
    let gone = graph.edit().sweep();
    let removed = |name: &Name| {
        let op = ops.get(name)?;
        Some(Change {
            at: name.to_string(),
            what: format!("{op} is removed: no output depends on it"),
        })
    };
    Ok(gone.iter().filter_map(removed).collect())
}
