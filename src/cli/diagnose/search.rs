//! Finds a single change of the graph file that makes the values agree.

use std::fmt::Write;

use smallmind::files::weight_files::WeightFiles;

use super::super::failure::Failure;
use super::change::Change;
use super::changes::changes;
use super::layers::{Layers, at};
use super::subject::Subject;
use super::trace::{Built, elements, run};

/// The most elements of the weights that each try loads.
const MOST_ELEMENTS: usize = 1 << 26;
/// The most products of a weight and a token that each try computes.
const MOST_PRODUCTS: usize = 1 << 30;

/// The first value that departs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The input of the first layer.
    Before,
    /// A layer's end.
    Layer(usize),
    /// The model's output.
    Output,
}

/// Try one change after another, and report the ones that make the target agree.
pub fn search(
    subject: &Subject<'_>,
    built: &Built,
    target: Target,
    ids: &[u32],
    weights: &WeightFiles,
) -> Result<String, Failure> {
    let nodes = &subject.files.graph.nodes;
    let what = match target {
        Target::Before => "what comes before the layers agrees".to_string(),
        Target::Layer(layer) => format!("layer {layer} agrees"),
        Target::Output => "the output agrees".to_string(),
    };
    let mut text = String::new();
    let mut tried = 0;
    for change in changes(nodes, built.graph()) {
        match agrees(subject, &change, target, ids, weights)? {
            Tried::TooLarge => {
                return Ok(
                    "no changes are tried: there are too many weights for the reference (try a model of the same class with \
                    few layers and random weights)\n"
                        .to_string(),
                );
            }
            Tried::Impossible => {}
            Tried::Departs => tried += 1,
            Tried::Agrees => {
                tried += 1;
                let places: Vec<String> = change
                    .at
                    .iter()
                    .map(|&position| at(&subject.files.graph.file, position))
                    .collect();
                let _ = writeln!(text, "with {} ({}) {what}", change.what, places.join(", "));
            }
        }
    }
    if text.is_empty() {
        let _ = writeln!(text, "none of {tried} single changes makes it agree");
    }
    Ok(text)
}

enum Tried {
    TooLarge,
    /// The changed graph does not fit the weights.
    Impossible,
    Departs,
    Agrees,
}

fn agrees(
    subject: &Subject<'_>,
    change: &Change,
    target: Target,
    ids: &[u32],
    weights: &WeightFiles,
) -> Result<Tried, Failure> {
    let Ok((expanded, built)) = subject.build(&change.nodes) else {
        return Ok(Tried::Impossible);
    };
    let layers = Layers::of(&expanded);
    let name = match target {
        Target::Before => layers.end(None),
        Target::Layer(layer) => layers.end(Some(layer)),
        Target::Output => expanded.outputs.first().map(|output| &*output.value),
    };
    let Some(graph) = name.and_then(|name| built.cut(&[name])) else {
        return Ok(Tried::Impossible);
    };
    let weight_elements = elements(&graph);
    if weight_elements > MOST_ELEMENTS || weight_elements.saturating_mul(ids.len()) > MOST_PRODUCTS
    {
        return Ok(Tried::TooLarge);
    }
    let state = match target {
        Target::Before => subject.hidden.get(None),
        Target::Layer(layer) => subject.hidden.get(Some(layer)),
        Target::Output => Some((subject.expected.rows.as_slice(), subject.expected.width)),
    };
    let (rows, width) = state.unwrap_or_default();
    let expected = rows.get(..ids.len() * width).unwrap_or_default();
    let found = run(&graph, weights, ids)?;
    let found = found.first().map(|tensor| tensor.floats().into_owned());
    let found = found.unwrap_or_default();
    Ok(
        match found.len() != expected.len() || subject.departs(&found, expected) {
            true => Tried::Departs,
            false => Tried::Agrees,
        },
    )
}
