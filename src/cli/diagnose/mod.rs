//! Finds where a graph with wrong values goes wrong, as far as the values tell.
//!
//! What belongs here: which layer is the first whose output departs from what another program computed, which node is
//! the first whose values are out of range, and which single change of the graph file makes the values agree. All of it
//! runs the graph as loaded, without passes, on the scalar reference. What does not belong here: comparing the model's
//! own output (`check.rs`), and mistakes that the loader finds by itself.

mod change;
mod changes;
mod layers;
mod norms;
mod search;
mod subject;
mod trace;

use std::fmt::Write;

use smallmind::architecture::expand::Expanded;
use smallmind::graph::is_bidirectional;

use self::layers::{Layers, at};
pub use self::subject::Subject;
use self::trace::Trace;
use super::compare::Difference;
use super::expected::Hidden;
use super::failure::{Failure, error};

/// The most elements of the weights that a trace loads, as f32: 2 GiB.
const MOST_TRACED: usize = 1 << 29;

/// What the caller wants to know.
#[derive(Clone, Copy)]
pub struct Question {
    /// Whether the model's output departs.
    pub wrong: bool,
    /// Whether to print the statistics of every layer, and of each node of the layer that departs.
    pub trace: bool,
}

impl Subject<'_> {
    /// What the values show. `found` is the model's output for the whole prompt: [T, width].
    pub fn diagnose(&self, found: &[f32], question: Question) -> Result<String, Failure> {
        let nodes = &self.files.graph.nodes;
        let (expanded, built) = self.build(nodes)?;
        let Some(weights) = &self.files.weights else {
            return error("the model has no weights");
        };
        let layers = Layers::of(&expanded);
        let mut text = String::new();
        let row = self.first_row(found, &self.expected.rows, self.expected.width);
        let row = row.filter(|_| question.wrong);
        let row = row.map(|row| first_row(row, self.expected.input_ids.len()) + "\n");
        let row = row.unwrap_or_default();
        let elements = built.weight_elements();
        if elements > MOST_TRACED {
            text += &row;
            let _ = writeln!(
                text,
                "the values are not examined: {elements} weights are too many for the reference (try a model of the same \
                class with few layers and random weights)"
            );
            return Ok(text);
        }
        let tokens = self.tokens(found, is_bidirectional(built.graph()));
        let ids = self.expected.input_ids.get(..tokens).unwrap_or_default();
        let trace = Trace::of_all(&built, weights, ids)?;
        if question.trace {
            text += &layers.table(&trace);
        }
        if question.wrong && self.agrees_as_loaded(&expanded, &trace, tokens) {
            text += &row;
            text.push_str(
                "as loaded, without passes, the graph agrees on the scalar reference: a pass or a kernel is wrong\n",
            );
            return Ok(text);
        }
        let mut target = search::Target::Output;
        if question.wrong && !self.hidden.is_empty() {
            let departing = self.first_layer(&layers, &trace, tokens, &mut text)?;
            if let Some(departing) = departing {
                target = departing;
            }
        }
        if question.wrong {
            let inside = match target {
                search::Target::Layer(layer) => Some(layer),
                _ => None,
            };
            // If no layer is found, the rows of the output tell as much.
            if target == search::Target::Output {
                text += &row;
            }
            match layers.suspect(&expanded, &trace, inside) {
                Some(suspect) => {
                    let _ = writeln!(text, "{}", suspect.describe(&self.files.graph.file));
                }
                None => {
                    let _ = writeln!(text, "no node's values are out of range");
                }
            }
            if let Some(layer) = inside.filter(|_| question.trace) {
                text += &layers.nodes_table(&expanded, &trace, layer);
            }
            text += &search::search(self, &built, target, ids, weights)?;
        }
        Ok(text)
    }

    /// Whether the reference computes the expected values for the first tokens: then the graph file is not to blame.
    fn agrees_as_loaded(&self, expanded: &Expanded, trace: &Trace, tokens: usize) -> bool {
        let rows = self.expected.rows.get(..tokens * self.expected.width);
        let output = expanded.outputs.first();
        output.zip(rows).is_some_and(|(output, rows)| {
            let found = trace.floats(&output.value);
            found.len() == rows.len() && self.first_row(&found, rows, self.expected.width).is_none()
        })
    }

    /// Finds the first layer whose output departs, and describes it in `text`.
    fn first_layer(
        &self,
        layers: &Layers,
        trace: &Trace,
        tokens: usize,
        text: &mut String,
    ) -> Result<Option<search::Target>, Failure> {
        let file = &self.files.graph.file;
        if layers.is_empty() {
            text.push_str("the graph has no layers: hidden states are ignored\n");
            return Ok(None);
        }
        let mut agree = Vec::new();
        for (state, (rows, width)) in self.hidden.states() {
            let Some(name) = layers.end(state) else {
                let count = layers.count();
                return error(format!(
                    "{} has no layer: the graph has {count} layers, counted from 0",
                    Hidden::name(state)
                ));
            };
            let found = trace.floats(name);
            let expected = rows.get(..tokens * width).unwrap_or_default();
            if found.len() != expected.len() {
                return error(format!(
                    "{} has rows of {width}, but \"{name}\" has rows of {}",
                    Hidden::name(state),
                    found.len() / tokens.max(1)
                ));
            }
            if self.departs(&found, expected) {
                let Difference { largest, mean } = Difference::new(&found, expected);
                let place = layers.place(state);
                let (what, target) = match state {
                    None => (
                        "what comes before the layers".to_string(),
                        search::Target::Before,
                    ),
                    Some(layer) => (format!("layer {layer}"), search::Target::Layer(layer)),
                };
                let _ = writeln!(
                    text,
                    "{what} is the first whose output departs{}: {}, largest difference {largest:.3e}, mean {mean:.3e} \
                     standard deviations",
                    match agree.len() {
                        0 => String::new(),
                        n => format!(" ({n} before it agree)"),
                    },
                    place.describe(file),
                );
                if let Some(row) = self.first_row(&found, expected, width) {
                    let _ = writeln!(text, "{}", first_row(row, tokens));
                }
                return Ok(Some(target));
            }
            agree.push(state);
        }
        let _ = writeln!(
            text,
            "all {} hidden states agree: the difference comes after the last of them{}",
            agree.len(),
            layers
                .behind(&agree)
                .map_or(String::new(), |position| format!(
                    " ({})",
                    at(file, position)
                ))
        );
        Ok(None)
    }
}

/// Describes what it means that this row is the first that departs.
fn first_row(row: usize, rows: usize) -> String {
    match row {
        0 if rows > 1 => "the first row departs: rotation and the mask do nothing there".to_string(),
        0 => "the first row departs".to_string(),
        1 => "row 0 agrees, row 1 departs: positions, rotation, the mask, the scale of scores, or the cache".to_string(),
        row => format!(
            "rows 0 to {} agree, row {row} departs: a window, or something that depends on the position",
            row - 1
        ),
    }
}
