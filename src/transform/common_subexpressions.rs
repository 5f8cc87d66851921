//! Computing equal values only once.

use rustc_hash::FxHashMap;
use std::collections::hash_map::Entry;

use smallvec::SmallVec;

use super::change::{Change, is_read, redirect, redirectable};
use crate::graph::{Graph, GraphError, Kind, Name, NodeId, Value};
use crate::types::{Literal, Type};

/// What makes two nodes equal.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    /// The tensor and the type it is read as.
    Weight(Name, Type),
    Int(i32),
    /// The bits of the number, so that 0 and −0 differ.
    Float(u64),
    /// The op with its attributes as text, which is different for different attributes, and its operands without absent
    /// operands at the end.
    Op(String, SmallVec<[Option<Value>; 4]>),
}

/// Merge equal nodes into the first of them, operands before the ops that read them. The first node's names are kept,
/// except that outputs of the graph keep their own names; two equal outputs of the graph stay two.
pub(super) fn run(graph: &mut Graph) -> Result<Vec<Change>, GraphError> {
    let order = graph.order();
    let mut editor = graph.edit();
    let mut first: FxHashMap<Key, NodeId> = FxHashMap::default();
    let mut changes = Vec::new();
    let mut merged = false;
    for id in order {
        let Some(key) = key(editor.graph(), id) else {
            continue;
        };
        let kept = match first.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(id);
                continue;
            }
            Entry::Occupied(entry) => *entry.get(),
        };
        let graph = editor.graph();
        let pairs: SmallVec<[(Value, Value); 2]> = (0..graph.node(id).outputs.len())
            .map(|output| (Value { node: id, output }, Value { node: kept, output }))
            .collect();
        let possible = pairs.iter().all(|&(v, k)| redirectable(graph, v, k));
        if !possible || !pairs.iter().any(|&(v, _)| is_read(graph, v)) {
            continue;
        }
        let change = Change {
            at: graph.node(id).name().to_string(),
            what: format!("is already computed as \"{}\"", graph.node(kept).name()),
        };
        // Literals are written where they are used: that two uses share a node is not worth reporting.
        if graph.literal(id.into()).is_none() {
            changes.push(change);
        }
        for (value, kept) in pairs {
            merged |= redirect(&mut editor, value, kept)?;
        }
    }
    if merged {
        editor.sweep();
    }
    Ok(changes)
}

/// The key of a node; `None` for nodes that are never merged.
fn key(graph: &Graph, id: NodeId) -> Option<Key> {
    match &graph.node(id).kind {
        Kind::Input => None,
        Kind::Weight(source) => Some(Key::Weight(
            source.tensor.clone(),
            graph.ty(id.into()).clone(),
        )),
        Kind::Constant(Literal::Int(n)) => Some(Key::Int(*n)),
        Kind::Constant(Literal::Float(x)) => Some(Key::Float(x.to_bits())),
        // Two of them have separate memory, even if they are given the same values.
        Kind::Op(op) if op.has_state() => None,
        Kind::Op(op) => {
            let mut inputs = graph.inputs(id);
            if op.def().commutative
                && let Some(pair) = inputs.get_mut(..2)
            {
                pair.sort();
            }
            while inputs.last() == Some(&None) {
                inputs.pop();
            }
            Some(Key::Op(op.to_string(), inputs))
        }
    }
}
