//! Splitting rotary embeddings into a table, shared by all layers, and its application.

use std::collections::HashMap;

use super::{Change, new_op};
use crate::graph::{Graph, GraphError, NodeId, Value};
use crate::ops::{Attribute, Op};

/// What makes two tables equal: attributes as text, positions, frequency factors.
type Key = (String, Option<Value>, Option<Value>);

/// Replace every Rope by an ApplyRotary that reads a RotaryTable. There is one table for all of equal attributes and
/// operands; one that is in the graph already is used too.
pub(super) fn run(graph: &mut Graph) -> Result<Vec<Change>, GraphError> {
    let order = graph.order();
    let mut tables: HashMap<Key, NodeId> = HashMap::new();
    for &id in &order {
        if let Some(op) = graph.node(id).op().filter(|op| op.name() == "RotaryTable") {
            let key = key(op, graph.inputs(id).iter().copied());
            tables.entry(key).or_insert(id);
        }
    }
    let mut editor = graph.edit();
    let mut changes = Vec::new();
    for id in order {
        let node = editor.graph().node(id);
        let Some(rope) = node.op().filter(|op| op.name() == "Rope").cloned() else {
            continue;
        };
        let name = node.name().clone();
        let inputs = editor.graph().inputs(id);
        let table_op = table_of(&rope)?;
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
        let pairs = Attribute::Text(rope.text("pairs").to_string().into());
        let apply = new_op("ApplyRotary", &[("pairs", pairs)])?;
        let x = inputs.first().copied().flatten();
        let apply = editor.op(apply, &[x, Some(table.into())], &[&name])?;
        editor.replace(id.into(), apply.into())?;
        changes.push(Change {
            at: name.to_string(),
            what: format!(
                "turns by the table \"{}\"",
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

/// The table of a Rope: the attributes that both have are equal.
fn table_of(rope: &Op) -> Result<Op, GraphError> {
    let shared: Vec<(&str, Attribute)> = rope
        .def()
        .attributes
        .iter()
        .zip(rope.attributes())
        .filter(|(def, _)| def.name != "pairs")
        .map(|(def, value)| (def.name, value.clone()))
        .collect();
    new_op("RotaryTable", &shared)
}
