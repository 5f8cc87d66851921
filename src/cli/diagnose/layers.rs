//! Finds where layers end, and the first node whose values are out of range.
//!
//! A node named "layer.3/…" belongs to layer 3. A layer's end is the last of its values that is read outside the layer: the
//! value with which the Repeat's next iteration, or the nodes after the Repeat, continue.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use smallmind::architecture::expand::{Expanded, FlatInput, FlatNode};
use smallmind::language::diagnostics::Position;

use super::trace::{Statistics, Trace};

/// How many times larger, or smaller, a value's root mean square may be than the residual stream's root mean square at the
/// layer's beginning, or than 1 if that is less. Published models stay far below this even where single channels grow large.
const FACTOR: f64 = 1e4;

/// The layers of a graph.
pub struct Layers {
    /// Indices of each layer's nodes, in the file's order.
    nodes: Vec<Vec<usize>>,
    /// Each layer's end, by its unique name.
    ends: Vec<String>,
    /// The value with which the first layer begins.
    before: Option<String>,
    /// The lines of each layer's first and last nodes in the file.
    places: Vec<Place>,
    /// The position of the first node after each layer.
    behind: Vec<Option<Position>>,
}

/// Lines of a graph file.
#[derive(Clone, Copy)]
pub struct Place {
    first: usize,
    last: usize,
}

impl Place {
    /// "olmo.ron:36-62".
    pub fn describe(self, file: &str) -> String {
        match self.first == self.last {
            true => format!("{file}:{}", self.first),
            false => format!("{file}:{}-{}", self.first, self.last),
        }
    }
}

/// "olmo.ron:36:13".
pub fn at(file: &str, position: Position) -> String {
    format!("{file}:{}:{}", position.line, position.column)
}

/// A node whose values are out of range.
pub struct Suspect {
    name: String,
    op: String,
    position: Position,
    why: String,
}

impl Suspect {
    /// The node, its position, and what is wrong with it.
    pub fn describe(&self, file: &str) -> String {
        format!(
            "{}: node \"{}\", {}: {}",
            at(file, self.position),
            self.name,
            self.op,
            self.why
        )
    }
}

/// The outermost iteration that a unique name belongs to.
fn layer(name: &str) -> Option<usize> {
    let (iteration, _) = name.split_once('/')?;
    let (_, number) = iteration.rsplit_once('.')?;
    number.parse().ok()
}

fn reads(node: &FlatNode) -> impl Iterator<Item = &str> {
    node.inputs.iter().filter_map(|input| match input {
        FlatInput::Value(name) => Some(&**name),
        _ => None,
    })
}

impl Layers {
    /// The layers of an expanded graph file; none if nothing is repeated.
    pub fn of(expanded: &Expanded) -> Layers {
        let layer_of = |node: &FlatNode| node.names.first().and_then(|name| layer(name));
        let mut nodes: Vec<Vec<usize>> = Vec::new();
        for (index, node) in expanded.nodes.iter().enumerate() {
            if let Some(number) = layer_of(node).filter(|&n| n <= nodes.len()) {
                if number == nodes.len() {
                    nodes.push(Vec::new());
                }
                if let Some(of_layer) = nodes.get_mut(number) {
                    of_layer.push(index);
                }
            }
        }
        let mut layers = Layers {
            nodes,
            ends: Vec::new(),
            before: None,
            places: Vec::new(),
            behind: Vec::new(),
        };
        let mut outside: HashMap<usize, HashSet<&str>> = HashMap::new();
        for node in &expanded.nodes {
            let own = layer_of(node);
            for name in reads(node) {
                if let Some(of) = layer(name).filter(|&of| own != Some(of)) {
                    outside.entry(of).or_default().insert(name);
                }
            }
        }
        for output in &expanded.outputs {
            if let Some(of) = layer(&output.value) {
                outside.entry(of).or_default().insert(&output.value);
            }
        }
        for (number, of_layer) in layers.nodes.iter().enumerate() {
            let all = || {
                of_layer
                    .iter()
                    .filter_map(|&index| expanded.nodes.get(index))
            };
            let read = outside.remove(&number).unwrap_or_default();
            let end = all()
                .flat_map(|node| &node.names)
                .rfind(|name| read.contains(&***name));
            // Layers whose values nothing continues from: no stream runs through them.
            let Some(end) = end else {
                break;
            };
            layers.ends.push(end.to_string());
            let lines = || all().map(|node| node.position.line);
            layers.places.push(Place {
                first: lines().min().unwrap_or(1),
                last: lines().max().unwrap_or(1),
            });
            let last = of_layer.last().copied().unwrap_or(0);
            layers
                .behind
                .push(expanded.nodes.get(last + 1).map(|node| node.position));
        }
        let first: HashSet<&str> = layers
            .nodes
            .iter()
            .take(1)
            .flatten()
            .filter_map(|&index| expanded.nodes.get(index))
            .flat_map(reads)
            .collect();
        layers.before = expanded
            .nodes
            .iter()
            .flat_map(|node| &node.names)
            .rfind(|name| layer(name).is_none() && first.contains(&***name))
            .map(|name| name.to_string());
        layers
    }

    /// Whether there are no layers.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The number of layers.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// The value at a layer's end; `None` as the layer means the value before the first layer.
    pub fn end(&self, layer: Option<usize>) -> Option<&str> {
        match layer {
            None => self.before.as_deref(),
            Some(layer) => self.ends.get(layer).map(String::as_str),
        }
    }

    /// The lines of a layer; for the part before the first layer, from the file's first line to there.
    pub fn place(&self, layer: Option<usize>) -> Place {
        let start = self.places.first().map_or(1, |place| place.first);
        let before = Place {
            first: 1,
            last: start.saturating_sub(1).max(1),
        };
        layer
            .and_then(|layer| self.places.get(layer).copied())
            .unwrap_or(before)
    }

    /// The position of the first node after the last of these layers.
    pub fn behind(&self, layers: &[Option<usize>]) -> Option<Position> {
        let last = layers.iter().flatten().max()?;
        self.behind.get(*last).copied().flatten()
    }

    /// The residual stream at each layer's end.
    pub fn table(&self, trace: &Trace) -> String {
        let mut text = format!("{:<12} {:>12} {:>12}\n", "residual", "rms", "largest");
        let starts = self.before.iter().map(|name| ("before".to_string(), name));
        let ends = self.ends.iter().enumerate();
        let ends = ends.map(|(layer, name)| (format!("layer {layer}"), name));
        for (label, name) in starts.chain(ends) {
            let Statistics { rms, largest, .. } = trace.statistics(name);
            let _ = writeln!(text, "{label:<12} {rms:>12.4e} {largest:>12.4e}");
        }
        text
    }

    /// Every node of one layer.
    pub fn nodes_table(&self, expanded: &Expanded, trace: &Trace, layer: usize) -> String {
        let mut text = format!(
            "{:>5} {:<24} {:<12} {:>12} {:>12}\n",
            "line", "node", "op", "rms", "largest"
        );
        let indices = self.nodes.get(layer).into_iter().flatten();
        for node in indices.filter_map(|&index| expanded.nodes.get(index)) {
            for name in node.names.iter().filter(|name| trace.has(name)) {
                let Statistics { rms, largest, .. } = trace.statistics(name);
                let (line, op) = (node.position.line, &node.op);
                let _ = writeln!(
                    text,
                    "{line:>5} {name:<24} {op:<12} {rms:>12.4e} {largest:>12.4e}"
                );
            }
        }
        text
    }

    /// The first node, of one layer or of all layers, whose values are not finite, or all zero, or larger or smaller than the
    /// residual stream at the beginning of its layer by more than [`FACTOR`].
    pub fn suspect(
        &self,
        expanded: &Expanded,
        trace: &Trace,
        inside: Option<usize>,
    ) -> Option<Suspect> {
        expanded.nodes.iter().find_map(|node| {
            let name = node.names.first()?;
            let own = layer(name);
            if inside.is_some() && own != inside {
                return None;
            }
            let start = own.and_then(|layer| self.end(layer.checked_sub(1)));
            let stream = start.map_or(1.0, |start| trace.statistics(start).rms.max(1.0));
            let why = node.names.iter().filter(|name| trace.has(name)).find_map(|name| {
                let Statistics { rms, largest, finite } = trace.statistics(name);
                if !finite {
                    Some("its values are not all finite".to_string())
                } else if largest == 0.0 {
                    Some("all its values are 0".to_string())
                } else if rms > FACTOR * stream {
                    Some(format!(
                        "its root mean square is {rms:.2e}, but its layer begins with {stream:.2e}"
                    ))
                } else {
                    None
                }
            })?;
            Some(Suspect {
                name: name.to_string(),
                op: node.op.to_string(),
                position: node.position,
                why,
            })
        })
    }
}
