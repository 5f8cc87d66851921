//! Alias classes: values that lie in one buffer.
//!
//! A view lies where its operand lies. An op that may work in place writes over an operand that nobody reads later. A
//! class lives from its first writer to its last reader; afterwards offsets are chosen for classes, not values.

use super::draft::{Draft, Scheduler, is_view};
use super::place::{Buffer, round_up};
use crate::graph::{ByValue, Class, Graph, Kind, Value};
use crate::types::ALIGNMENT;

/// A value's life: the steps that write it first and read it last.
#[derive(Clone, Copy, Debug)]
struct Life {
    first: usize,
    last: usize,
}

/// Values, grouped into classes.
pub(super) struct Classes {
    values: Vec<Value>,
    /// The number of each value.
    index: ByValue<usize>,
    /// The class of a value: the number of its representative.
    parent: Vec<usize>,
    /// Each class's life, by its representative.
    lives: Vec<Life>,
    /// Values that are views of another.
    views: Vec<bool>,
}

impl Classes {
    /// The classes of all values that the drafts touch. Graph inputs are written before step 0 and graph outputs are
    /// read after the last.
    pub fn find(scheduler: &Scheduler<'_>, drafts: &[Draft], in_place: bool) -> Classes {
        let graph = scheduler.graph;
        let mut classes = Classes {
            values: Vec::new(),
            index: ByValue::default(),
            parent: Vec::new(),
            lives: Vec::new(),
            views: Vec::new(),
        };
        // The first step that writes each node's outputs.
        let mut first_step = vec![None; graph.id_bound()];
        for (step, draft) in drafts.iter().enumerate().filter(|(_, d)| d.outputs) {
            first_step[draft.node.index()].get_or_insert(step);
        }
        for &id in scheduler.order.iter() {
            if scheduler.classes[id.index()] != Class::Activation {
                continue;
            }
            // A view lives as long as the value it is a view of: it joins that value's class below.
            let life = match graph.node(id).kind {
                Kind::Input => Life { first: 0, last: 0 },
                _ => match first_step[id.index()] {
                    Some(step) => Life {
                        first: step,
                        last: step,
                    },
                    None => Life {
                        first: usize::MAX,
                        last: 0,
                    },
                },
            };
            for output in 0..graph.node(id).outputs.len() {
                classes.add(Value { node: id, output }, life);
            }
        }
        for &id in scheduler.order.iter() {
            if scheduler.classes[id.index()] == Class::Activation
                && is_view(graph, id)
                && let Some(&Some(of)) = graph.inputs(id).first()
            {
                if let Some(&view) = classes.index.get(id.into()) {
                    classes.views[view] = true;
                }
                classes.join(Value::from(id), of);
            }
        }
        for (step, draft) in drafts.iter().enumerate() {
            for value in draft.inputs.iter().flatten() {
                classes.extend(*value, step);
            }
        }
        for &value in graph.outputs() {
            classes.extend(value, drafts.len());
        }
        if in_place {
            for (step, draft) in drafts.iter().enumerate().filter(|(_, d)| d.outputs) {
                classes.work_in_place(graph, draft, step);
            }
        }
        classes
    }

    fn add(&mut self, value: Value, life: Life) {
        let number = self.values.len();
        self.values.push(value);
        self.index.insert(value, number);
        self.parent.push(number);
        self.lives.push(life);
        self.views.push(false);
    }

    /// The representative of a value's class; `None` for weights and literals.
    fn class(&self, value: Value) -> Option<usize> {
        let mut number = *self.index.get(value)?;
        while self.parent[number] != number {
            number = self.parent[number];
        }
        Some(number)
    }

    fn join(&mut self, a: Value, b: Value) {
        let (Some(a), Some(b)) = (self.class(a), self.class(b)) else {
            return;
        };
        if a != b {
            let (x, y) = (self.lives[a], self.lives[b]);
            self.parent[a] = b;
            self.lives[b] = Life {
                first: x.first.min(y.first),
                last: x.last.max(y.last),
            };
        }
    }

    fn extend(&mut self, value: Value, step: usize) {
        if let Some(class) = self.class(value) {
            self.lives[class].last = self.lives[class].last.max(step);
        }
    }

    /// Place the outputs of a step over operands that are read for the last time, where the op allows it.
    ///
    /// An operand may be written over if its class ends with this step, it has as many elements as the output and of
    /// the same width, and no other operand that this output may not replace shares its class: another thread might
    /// still read that other operand.
    fn work_in_place(&mut self, graph: &Graph, draft: &Draft, step: usize) {
        let Some(op) = graph.node(draft.node).op() else {
            return;
        };
        for output in 0..graph.node(draft.node).outputs.len() {
            let value = Value {
                node: draft.node,
                output,
            };
            let allowed = |slot: usize| op.def().in_place.contains(&(output, slot));
            let candidates = draft
                .inputs
                .iter()
                .zip(&draft.reads)
                .filter(|(_, read)| allowed(read.slot));
            let fitting = candidates.filter_map(|(input, _)| *input).find(|&input| {
                let Some(class) = self.class(input) else {
                    return false;
                };
                let others = draft.inputs.iter().zip(&draft.reads);
                let clash = others
                    .filter(|(_, read)| !allowed(read.slot))
                    .any(|(other, _)| other.and_then(|v| self.class(v)) == Some(class));
                let siblings = (0..graph.node(draft.node).outputs.len()).any(|sibling| {
                    self.class(Value {
                        node: draft.node,
                        output: sibling,
                    }) == Some(class)
                });
                graph.ty(input) == graph.ty(value)
                    && self.lives[class].last == step
                    && !clash
                    && !siblings
            });
            if let Some(input) = fitting {
                self.join(value, input);
            }
        }
    }

    /// A buffer for each class, and each value's buffer.
    pub fn buffers(&self, bytes_of: impl Fn(Value) -> usize) -> (Vec<Buffer>, ByValue<usize>) {
        let mut buffers: Vec<Buffer> = Vec::new();
        let mut number_of: Vec<Option<usize>> = vec![None; self.values.len()];
        let mut buffer_of = ByValue::default();
        for &value in &self.values {
            let Some(class) = self.class(value) else {
                continue;
            };
            let life = self.lives[class];
            let number = *number_of[class].get_or_insert_with(|| {
                buffers.push(Buffer {
                    bytes: 0,
                    first: life.first,
                    last: life.last,
                });
                buffers.len() - 1
            });
            buffers[number].bytes = buffers[number].bytes.max(bytes_of(value));
            buffer_of.insert(value, number);
        }
        (buffers, buffer_of)
    }

    /// Bytes that all values except views would take side by side, each rounded up to the alignment.
    pub fn unshared(&self, bytes_of: impl Fn(Value) -> usize) -> usize {
        let own = self
            .values
            .iter()
            .zip(&self.views)
            .filter(|(_, view)| !**view);
        own.map(|(&v, _)| round_up(bytes_of(v), ALIGNMENT))
            .fold(0, usize::saturating_add)
    }
}
