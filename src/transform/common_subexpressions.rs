//! Computing equal values only once.

use std::collections::hash_map::Entry;
use std::fmt::Write;
use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashMap, FxHasher};
use smallvec::SmallVec;

use super::change::{Change, is_read, redirect, redirectable};
use crate::graph::{Graph, GraphError, Kind, Name, NodeId, Value};
use crate::types::{Literal, Type};

/// What makes two nodes equal.
#[derive(PartialEq, Eq, Hash)]
enum Key<'a> {
    /// The tensor and the type it is read as.
    Weight(&'a Name, &'a Type),
    Int(i32),
    /// The bits of the number, so that 0 and −0 differ.
    Float(u64),
    /// The operands of an op, without absent operands at the end. The op itself is compared apart.
    Op(SmallVec<[Option<Value>; 4]>),
}

/// The first node of each kind, by a number that is the hash of what it computes, or the next free number after the hash.
#[derive(Default)]
struct Firsts {
    by_number: FxHashMap<u64, NodeId>,
    /// The op with its attributes as text, which tells any two apart: of the node that is looked up, and of another.
    texts: [String; 2],
}

impl Firsts {
    /// The first node that computes what `id` does, if it is another node.
    fn find(&mut self, graph: &Graph, id: NodeId) -> Option<NodeId> {
        let key = key(graph, id)?;
        let [text, other_text] = &mut self.texts;
        write_op(graph, id, text);
        let mut hasher = FxHasher::default();
        (&key, &*text).hash(&mut hasher);
        let mut number = hasher.finish();
        loop {
            let first = match self.by_number.entry(number) {
                Entry::Vacant(entry) => {
                    entry.insert(id);
                    return None;
                }
                Entry::Occupied(entry) => *entry.get(),
            };
            // Operands come before their readers, so that the operands of the first are not merged any more.
            if self::key(graph, first).as_ref() == Some(&key) {
                write_op(graph, first, other_text);
                if text == other_text {
                    return Some(first);
                }
            }
            number = number.wrapping_add(1);
        }
    }
}

/// Merge equal nodes into the first of them, operands before the ops that read them. The first node's names are kept,
/// except that outputs of the graph keep their own names; two equal outputs of the graph stay two.
pub(super) fn run(graph: &mut Graph) -> Result<Vec<Change>, GraphError> {
    let order = graph.order();
    let mut editor = graph.edit();
    let mut firsts = Firsts::default();
    let mut changes = Vec::new();
    let mut merged = false;
    for id in order {
        let graph = editor.graph();
        let Some(kept) = firsts.find(graph, id) else {
            continue;
        };
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

/// Writes the op of a node with its attributes over `text`; nothing if it is not an op.
fn write_op(graph: &Graph, id: NodeId, text: &mut String) {
    text.clear();
    if let Some(op) = graph.node(id).op() {
        // Writing to a text cannot fail.
        let _ = write!(text, "{op}");
    }
}

/// The key of a node; `None` for those that are never merged.
fn key(graph: &Graph, id: NodeId) -> Option<Key<'_>> {
    match &graph.node(id).kind {
        Kind::Input => None,
        Kind::Weight(source) => Some(Key::Weight(&source.tensor, graph.ty(id.into()))),
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
            Some(Key::Op(inputs))
        }
    }
}
