//! The storage of nodes and the edges between them: what each node reads, and which nodes read it.
//!
//! An edge is stored twice, at its reader and at the node that is read, and each end knows where the other end is stored. So
//! an edge is added and removed in constant time, even if all layers of a model read one node.

use smallvec::SmallVec;

use super::node::{Node, NodeId, Value};
use crate::ops::OpDef;

/// The content of one input slot. Numbers are narrow so that many edges fit into a cache line; no memory can hold more
/// nodes, outputs or slots than these numbers can count.
#[derive(Clone, Copy, Debug)]
struct Operand {
    node: NodeId,
    output: u32,
    /// The index of this edge among the readers of `node`.
    at: u32,
}

impl Operand {
    fn value(self) -> Value {
        Value {
            node: self.node,
            output: self.output as usize,
        }
    }
}

/// The other end of an operand.
#[derive(Clone, Copy, Debug)]
struct Reader {
    node: NodeId,
    slot: u32,
    /// Which output of the node is read.
    output: u32,
}

/// The edges of a node. They are stored apart from the node, so that walks along the edges touch less memory.
#[derive(Clone, Default, Debug)]
struct Lines {
    /// By slot; `None` is an optional input that is absent.
    operands: SmallVec<[Option<Operand>; 4]>,
    /// All readers of the outputs of the node, in no particular order.
    readers: SmallVec<[Reader; 2]>,
}

/// The properties of each node that walks over the whole graph read. They are stored apart from the node, which is many
/// times as large.
#[derive(Clone, Copy, Default, Debug)]
struct Mark {
    /// The definition of its op; `None` if it is not an op.
    op: Option<&'static OpDef>,
    /// The place in the file, inherited by a replacement: it orders nodes that no edge orders.
    place: u32,
    /// Whether the node exists.
    is_there: bool,
}

/// The nodes of a graph, by [`NodeId`].
#[derive(Clone, Default, Debug)]
pub(super) struct Storage {
    nodes: Vec<Option<Node>>,
    /// As long as `nodes`.
    lines: Vec<Lines>,
    /// As long as `nodes`.
    marks: Vec<Mark>,
    /// Ids of nodes that were removed; the last one is reused next.
    free: Vec<NodeId>,
}

/// Unless a function says otherwise, the ids it receives must belong to existing nodes; other ids are a mistake of the
/// caller, and cause a panic.
impl Storage {
    pub fn node(&self, id: NodeId) -> &Node {
        let node = self.nodes.get(id.index()).and_then(Option::as_ref);
        node.expect("a node of this graph")
    }

    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        let node = self.nodes.get_mut(id.index()).and_then(Option::as_mut);
        node.expect("a node of this graph")
    }

    /// Whether the node exists.
    pub fn contains(&self, id: NodeId) -> bool {
        self.marks.get(id.index()).is_some_and(|mark| mark.is_there)
    }

    /// The definition of the node's op; `None` if the node is not an op.
    pub fn def(&self, id: NodeId) -> Option<&'static OpDef> {
        self.marks[id.index()].op
    }

    /// The node's place in the file, or the place of the node that it replaces.
    pub fn place(&self, id: NodeId) -> u32 {
        self.marks[id.index()].place
    }

    /// Reserve memory for `nodes` more nodes.
    pub fn reserve(&mut self, nodes: usize) {
        self.nodes.reserve(nodes);
        self.lines.reserve(nodes);
        self.marks.reserve(nodes);
    }

    /// A bound on [`NodeId::index`].
    pub fn bound(&self) -> usize {
        self.nodes.len()
    }

    /// All nodes by ascending id.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        let there = (0..self.nodes.len()).map(NodeId::from_index);
        there.filter(|&id| self.contains(id))
    }

    /// What a node reads, by slot.
    pub fn operands(&self, id: NodeId) -> impl ExactSizeIterator<Item = Option<Value>> + '_ {
        let operands = self.lines[id.index()].operands.iter();
        operands.map(|operand| operand.map(Operand::value))
    }

    /// The readers of a node: the reading node, its slot, and which output it reads.
    pub fn readers(&self, id: NodeId) -> impl Iterator<Item = (NodeId, usize, usize)> + '_ {
        let readers = self.lines[id.index()].readers.iter();
        readers.map(|reader| (reader.node, reader.slot as usize, reader.output as usize))
    }

    /// Add a node at the given place in the file's order, with the given number of slots, all absent.
    pub fn add(&mut self, node: Node, place: u32, slots: usize) -> NodeId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            self.lines.push(Lines::default());
            self.marks.push(Mark::default());
            NodeId::from_index(self.nodes.len() - 1)
        });
        let op = node.op().map(|op| op.def());
        self.marks[id.index()] = Mark {
            op,
            place,
            is_there: true,
        };
        self.nodes[id.index()] = Some(node);
        self.lines[id.index()].operands = SmallVec::from_elem(None, slots);
        id
    }

    /// Puts `value` into a slot of `reader`, replacing its content.
    pub fn connect(&mut self, reader: NodeId, slot: usize, value: Value) {
        self.disconnect(reader, slot);
        let (node, output) = (value.node, value.output as u32);
        let readers = &mut self.lines[node.index()].readers;
        let at = readers.len() as u32;
        readers.push(Reader {
            node: reader,
            slot: slot as u32,
            output,
        });
        self.lines[reader.index()].operands[slot] = Some(Operand { node, output, at });
    }

    /// Empties a slot.
    pub fn disconnect(&mut self, reader: NodeId, slot: usize) {
        let Some(operand) = self.lines[reader.index()].operands[slot].take() else {
            return;
        };
        let at = operand.at as usize;
        let readers = &mut self.lines[operand.node.index()].readers;
        readers.swap_remove(at);
        // The last reader has moved to the index of the removed one.
        if let Some(&moved) = readers.get(at) {
            let operands = &mut self.lines[moved.node.index()].operands;
            if let Some(other) = &mut operands[moved.slot as usize] {
                other.at = operand.at;
            }
        }
    }

    /// Removes a node, with its edges to operands and to readers. Returns `None` if it does not exist.
    pub fn remove(&mut self, id: NodeId) -> Option<Node> {
        if !self.contains(id) {
            return None;
        }
        for slot in 0..self.lines[id.index()].operands.len() {
            self.disconnect(id, slot);
        }
        while let Some(&Reader { node, slot, .. }) = self.lines[id.index()].readers.last() {
            self.disconnect(node, slot as usize);
        }
        self.free.push(id);
        self.marks[id.index()] = Mark::default();
        self.nodes[id.index()].take()
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;
    use crate::graph::{Kind, Output};
    use crate::types::{Literal, Type};

    fn node() -> Node {
        let output = Output {
            name: "value".into(),
            ty: Type::f32([]),
        };
        Node {
            kind: Kind::Constant(Literal::Int(0)),
            outputs: smallvec![output],
        }
    }

    /// Whether every edge is stored at both of its ends, and each end knows the index of the other.
    fn is_sound(storage: &Storage) -> bool {
        let operands = |id: NodeId| storage.lines[id.index()].operands.iter().enumerate();
        let lines = storage.ids().flat_map(|id| {
            operands(id).filter_map(move |(slot, operand)| Some((id, slot, (*operand)?)))
        });
        let lines: Vec<(NodeId, usize, Operand)> = lines.collect();
        let is_known = |(id, slot, operand): (NodeId, usize, Operand)| {
            let end = storage.lines[operand.node.index()].readers[operand.at as usize];
            (end.node, end.slot as usize, end.output) == (id, slot, operand.output)
        };
        let readers = storage
            .ids()
            .map(|id| storage.lines[id.index()].readers.len());
        readers.sum::<usize>() == lines.len() && lines.into_iter().all(is_known)
    }

    #[test]
    fn edges_are_added_and_removed_at_both_ends() {
        let mut storage = Storage::default();
        for _ in 0..9 {
            storage.add(node(), 0, 3);
        }
        // A fixed walk through all kinds of changes.
        let mut state = 7u64;
        let mut below = |bound: usize| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 33) as usize % bound
        };
        for _ in 0..3000 {
            let ids: Vec<NodeId> = storage.ids().collect();
            let (reader, source) = (ids[below(ids.len())], ids[below(ids.len())]);
            match below(12) {
                0 if ids.len() > 2 => assert!(storage.remove(reader).is_some()),
                1 => assert!(!ids.contains(&storage.add(node(), 0, 3))),
                2 | 3 => storage.disconnect(reader, below(3)),
                _ => storage.connect(reader, below(3), source.into()),
            }
            assert!(is_sound(&storage));
        }
    }
}
