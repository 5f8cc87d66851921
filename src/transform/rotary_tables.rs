//! Splitting rotary embeddings into a table, shared by all layers, and its application.

use std::collections::HashMap;

use super::change::{Change, new_op};
use crate::graph::{Graph, GraphError, NodeId, Value};
use crate::ops::{self, Attribute, Op, Split};

/// What makes two tables equal: attributes as text, positions, frequency factors.
type Key = (String, Option<Value>, Option<Value>);

/// Replace every op that the table of ops splits into a table and its application: Rope by an ApplyRotary that reads a
/// RotaryTable. Equal attributes and operands share one table; a table that is already in the graph is shared too.
pub(super) fn run(graph: &mut Graph) -> Result<Vec<Change>, GraphError> {
    let order = graph.order();
    let mut tables: HashMap<Key, NodeId> = HashMap::new();
    let splits: Vec<Split> = ops::table().filter_map(|def| def.split).collect();
    let is_table = |op: &&Op| splits.iter().any(|split| split.table == op.name());
    for &id in order.iter() {
        if let Some(op) = graph.node(id).op().filter(is_table) {
            let key = key(op, graph.inputs(id).iter().copied());
            tables.entry(key).or_insert(id);
        }
    }
    let mut editor = graph.edit();
    let mut changes = Vec::new();
    for id in order {
        let node = editor.graph().node(id);
        let Some((rope, split)) = node.op().and_then(|op| Some((op.clone(), op.def().split?)))
        else {
            continue;
        };
        let name = node.name().clone();
        let inputs = editor.graph().inputs(id);
        let table_op = part(&rope, split.table)?;
        let operands = [
            inputs.get(1).copied().flatten(),
            inputs.get(2).copied().flatten(),
        ];
        editor.at(id);
        let key = key(&table_op, operands);
        let table = match tables.get(&key) {
            Some(table) => *table,
            None => {
                let table = editor.op(table_op, &operands, &["rotary_table"])?;
                *tables.entry(key).or_insert(table)
            }
        };
        let apply = part(&rope, split.apply)?;
        let x = inputs.first().copied().flatten();
        let apply = editor.op(apply, &[x, Some(table.into())], &[&name])?;
        editor.replace(id.into(), apply.into())?;
        changes.push(Change {
            at: name.to_string(),
            what: format!(
                "is rotated by the table \"{}\"",
                editor.graph().name(table.into())
            ),
        });
    }
    if !changes.is_empty() {
        editor.sweep();
    }
    Ok(changes)
}

fn key(table: &Op, operands: impl IntoIterator<Item = Option<Value>>) -> Key {
    let mut operands = operands.into_iter();
    (
        table.to_string(),
        operands.next().flatten(),
        operands.next().flatten(),
    )
}

/// One of the two ops that `whole` is split into: it gets the values of those attributes that it shares with `whole`.
fn part(whole: &Op, name: &'static str) -> Result<Op, GraphError> {
    let known = ops::find(name).map_or(&[][..], |def| def.attributes);
    let shared: Vec<(&str, Attribute)> = whole
        .def()
        .attributes
        .iter()
        .zip(whole.attributes())
        .filter(|(def, _)| known.iter().any(|known| known.name == def.name))
        .map(|(def, value)| (def.name, value.clone()))
        .collect();
    new_op(name, &shared)
}
