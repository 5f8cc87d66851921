//! A topological order of nodes that is maintained while a graph changes, so that finding out whether one node depends on
//! another requires only the nodes between the two.
//!
//! A node with operands or readers on its wrong side is moved together with the nodes between them (Pearce and Kelly 2007):
//! the nodes that lead to it get the lowest of their ranks, the nodes it leads to the highest.

use rustc_hash::FxHashSet;
use smallvec::{SmallVec, smallvec};

use super::node::NodeId;
use super::store::Graph;

/// The rank of nodes that are no longer in the order, or not yet.
const UNRANKED: usize = usize::MAX;

#[derive(Clone, Copy)]
enum Direction {
    Operands,
    Readers,
}

impl Direction {
    /// The neighbours of `id` on one side, some of them several times.
    fn from(self, graph: &Graph, id: NodeId) -> SmallVec<[NodeId; 8]> {
        let nodes = &graph.nodes;
        match self {
            Direction::Operands => nodes.operands(id).flatten().map(|v| v.node).collect(),
            Direction::Readers => nodes.readers(id).map(|(reader, _, _)| reader).collect(),
        }
    }
}

/// A rank for each node, lower than the ranks of its readers.
pub struct TopologicalOrder {
    /// By [`NodeId::index`].
    ranks: Vec<usize>,
}

impl TopologicalOrder {
    /// The order that [`Graph::order`] returned.
    pub fn new(order: &[NodeId]) -> Self {
        let bound = order.iter().map(|id| id.index() + 1).max().unwrap_or(0);
        let mut ranks = vec![UNRANKED; bound];
        for (place, id) in order.iter().enumerate() {
            // The rank below all of these is for nodes that read nothing.
            ranks[id.index()] = place + 1;
        }
        TopologicalOrder { ranks }
    }

    fn rank(&self, id: NodeId) -> usize {
        self.ranks.get(id.index()).copied().unwrap_or(UNRANKED)
    }

    fn set(&mut self, id: NodeId, rank: usize) {
        let size = self.ranks.len().max(id.index() + 1);
        self.ranks.resize(size, UNRANKED);
        self.ranks[id.index()] = rank;
    }

    /// Adds a node that reads nothing.
    pub fn add_leaf(&mut self, id: NodeId) {
        self.set(id, 0);
    }

    /// Gives the nodes `added` the ranks of the nodes `removed`, which nothing in the order reads any more. Each of `added`
    /// may read those before it; `added` is at most as long as `removed`.
    pub fn replace(&mut self, graph: &Graph, removed: &[NodeId], added: &[NodeId]) {
        let mut free: SmallVec<[usize; 8]> = removed.iter().map(|&id| self.rank(id)).collect();
        free.sort_unstable();
        for &id in removed {
            self.set(id, UNRANKED);
        }
        let free = free.iter().skip(free.len().saturating_sub(added.len()));
        for (&id, &rank) in added.iter().zip(free) {
            self.insert(graph, id, rank);
        }
    }

    /// Adds a node at a free rank; neighbours on its wrong side are moved.
    fn insert(&mut self, graph: &Graph, id: NodeId, rank: usize) {
        let lowest_reader = self.neighbours(graph, id, Direction::Readers).min();
        let highest_operand = self.neighbours(graph, id, Direction::Operands).max();
        let (lowest, highest) = (
            lowest_reader.unwrap_or(rank).min(rank),
            highest_operand.unwrap_or(rank).max(rank),
        );
        // In order: the nodes that lead to the node, the node, and the nodes it leads to.
        let mut moved = self.reached(graph, id, Direction::Operands, |rank| rank >= lowest);
        moved.push(id);
        moved.extend(self.reached(graph, id, Direction::Readers, |rank| rank <= highest));
        self.set(id, rank);
        let mut ranks: SmallVec<[usize; 8]> = moved.iter().map(|&id| self.rank(id)).collect();
        ranks.sort_unstable();
        for (id, rank) in moved.into_iter().zip(ranks) {
            self.set(id, rank);
        }
    }

    /// Ranks of the neighbours that are in the order.
    fn neighbours(
        &self,
        graph: &Graph,
        id: NodeId,
        direction: Direction,
    ) -> impl Iterator<Item = usize> {
        let ranks = direction
            .from(graph, id)
            .into_iter()
            .map(|id| self.rank(id));
        ranks.filter(|&rank| rank != UNRANKED)
    }

    /// The nodes that are reached from `from` through nodes whose ranks are in the range, in their order, without
    /// `from`.
    fn reached(
        &self,
        graph: &Graph,
        from: NodeId,
        direction: Direction,
        within: impl Fn(usize) -> bool,
    ) -> SmallVec<[NodeId; 8]> {
        let mut seen = FxHashSet::default();
        let mut found = SmallVec::new();
        let mut stack: SmallVec<[NodeId; 8]> = smallvec![from];
        while let Some(id) = stack.pop() {
            for next in direction.from(graph, id) {
                let rank = self.rank(next);
                if rank != UNRANKED && within(rank) && seen.insert(next) {
                    found.push(next);
                    stack.push(next);
                }
            }
        }
        found.sort_by_key(|&id| self.rank(id));
        found
    }

    /// Whether `to` depends on `from` along a path that avoids all nodes in `barred`.
    pub fn reaches(&self, graph: &Graph, from: NodeId, to: NodeId, barred: &[NodeId]) -> bool {
        let end = self.rank(to);
        let mut seen = FxHashSet::from_iter([from]);
        let mut stack = vec![from];
        while let Some(id) = stack.pop() {
            if id == to {
                return true;
            }
            for (next, _, _) in graph.nodes.readers(id) {
                let between = next == to || self.rank(next) < end;
                if between && !barred.contains(&next) && seen.insert(next) {
                    stack.push(next);
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Value, WeightSource};
    use crate::ops::Op;
    use crate::types::{Dim, Type};

    /// Nodes that each add two of the nodes before them, given by index.
    fn sums(pairs: &[(usize, usize)]) -> (Graph, Vec<NodeId>) {
        let mut graph = Graph::new();
        let mut editor = graph.edit();
        let source = WeightSource { tensor: "w".into() };
        let ty = Type::f32([Dim::Fixed(2)]);
        let mut nodes = vec![editor.weight("w", source, ty).unwrap()];
        for &(a, b) in pairs {
            let operands = [Some(nodes[a].into()), Some(nodes[b].into())];
            let op = Op::new("Add", &[]).unwrap();
            nodes.push(editor.op(op, &operands, &["sum"]).unwrap());
        }
        let outputs = nodes.iter().map(|&id| Value::from(id)).collect();
        editor.set_outputs(outputs);
        (graph, nodes)
    }

    fn is_sound(order: &TopologicalOrder, graph: &Graph) -> bool {
        let ranked = graph.ids().filter(|&id| order.rank(id) != UNRANKED);
        let mut edges = ranked.flat_map(|id| {
            let inputs = graph.inputs(id).into_iter().flatten();
            inputs.map(move |input| (input.node, id))
        });
        edges.all(|(from, to)| order.rank(from) < order.rank(to))
    }

    #[test]
    fn a_node_reaches_the_nodes_that_depend_on_it() {
        let (graph, n) = sums(&[(0, 0), (1, 1), (1, 0), (2, 3), (3, 3)]);
        let order = TopologicalOrder::new(&graph.order());
        assert!(is_sound(&order, &graph));
        for (from, to, reached) in [(1, 4, true), (0, 5, true), (2, 5, false), (4, 1, false)] {
            assert_eq!(order.reaches(&graph, n[from], n[to], &[]), reached);
        }
        assert!(order.reaches(&graph, n[1], n[4], &[n[2]]));
        assert!(!order.reaches(&graph, n[1], n[4], &[n[2], n[3]]));
    }

    #[test]
    fn a_node_that_takes_the_place_of_others_moves_its_neighbours() {
        // 2 and 5 become one node, which reads 4; 3 reads it.
        let (mut graph, n) = sums(&[(0, 0), (1, 1), (2, 2), (0, 1), (2, 4), (5, 3)]);
        let mut order = TopologicalOrder::new(&graph.order());
        let mut editor = graph.edit();
        let op = Op::new("Add", &[]).unwrap();
        let operands = [Some(n[1].into()), Some(n[4].into())];
        let node = editor.op(op, &operands, &["both"]).unwrap();
        for old in [n[2], n[5]] {
            editor.replace(old.into(), node.into()).unwrap();
        }
        order.replace(&graph, &[n[2], n[5]], &[node]);
        assert!(is_sound(&order, &graph));
        assert!(order.reaches(&graph, n[4], n[3], &[]));
        assert!(!order.reaches(&graph, n[3], node, &[]));
    }
}
