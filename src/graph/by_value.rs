//! A table with one entry per value of a graph.

use rustc_hash::FxHashMap;

use super::node::Value;

/// At most one entry for each value. First outputs, which nearly all values are, are stored in a list by node, so that
/// looking up the values of neighbouring nodes reads neighbouring memory.
#[derive(Clone, Debug)]
pub struct ByValue<T> {
    /// By [`super::NodeId::index`].
    first: Vec<Option<T>>,
    others: FxHashMap<Value, T>,
}

impl<T> Default for ByValue<T> {
    fn default() -> Self {
        ByValue {
            first: Vec::new(),
            others: FxHashMap::default(),
        }
    }
}

impl<T> ByValue<T> {
    /// The value's entry.
    pub fn get(&self, value: Value) -> Option<&T> {
        match value.output {
            0 => self.first.get(value.node.index())?.as_ref(),
            _ => self.others.get(&value),
        }
    }

    /// Set the value's entry.
    pub fn insert(&mut self, value: Value, entry: T) {
        if value.output > 0 {
            self.others.insert(value, entry);
            return;
        }
        let index = value.node.index();
        if index >= self.first.len() {
            self.first.resize_with(index + 1, || None);
        }
        self.first[index] = Some(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::NodeId;

    #[test]
    fn each_output_has_its_own_entry() {
        let mut table = ByValue::default();
        let value = |node, output| Value {
            node: NodeId::from_index(node),
            output,
        };
        table.insert(value(3, 0), "first");
        table.insert(value(3, 1), "second");
        table.insert(value(1, 0), "other");
        table.insert(value(1, 0), "newer");
        assert_eq!(table.get(value(3, 0)), Some(&"first"));
        assert_eq!(table.get(value(3, 1)), Some(&"second"));
        assert_eq!(table.get(value(1, 0)), Some(&"newer"));
        assert_eq!(table.get(value(2, 0)), None);
        assert_eq!(table.get(value(9, 0)), None);
        assert_eq!(table.get(value(1, 1)), None);
    }
}
