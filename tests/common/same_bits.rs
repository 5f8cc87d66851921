//! Applying a transform and checking that the output keeps its bits.

use super::seeded_weights::SeededWeights;
use smallmind::graph::interpreter::Interpreter;
use smallmind::graph::{Graph, print, verify};
use smallmind::ops::Tensor;
use smallmind::transform::{self, Change, Settings};
use smallmind::types::Dim;

/// Tokens of a few steps, and the numbers of the tokens whose outputs are wanted: in any order, and none.
const STEPS: [(&[i32], &[i32]); 5] = [
    (&[3, 1, 4], &[2]),
    (&[5], &[0]),
    (&[9, 2], &[1, 0, 0]),
    (&[6, 5, 3], &[]),
    (&[5], &[0]),
];

/// The outputs of those steps.
fn run(graph: &Graph, weights: &SeededWeights) -> Vec<Vec<Tensor>> {
    let mut interpreter = Interpreter::new(graph, weights).unwrap();
    let steps = STEPS.iter();
    steps
        .map(|(tokens, wanted)| interpreter.step_wanting(tokens, wanted))
        .collect()
}

fn bits(tensor: &Tensor) -> (Vec<usize>, Vec<u32>) {
    // The promise does not include the payload and sign of a NaN.
    let bit = |x: &f32| if x.is_nan() { u32::MAX } else { x.to_bits() };
    (
        tensor.shape.clone(),
        tensor.floats().iter().map(bit).collect(),
    )
}

/// The rows of a tensor with those numbers.
fn rows(tensor: &Tensor, numbers: &[i32]) -> Tensor {
    let row: usize = tensor.shape[1..].iter().product();
    let mut shape = tensor.shape.clone();
    shape[0] = numbers.len();
    let data = tensor.floats();
    let taken = numbers
        .iter()
        .flat_map(|&number| &data[number as usize * row..][..row]);
    Tensor::f32(shape, taken.copied().collect())
}

/// Whether an output has a row per token in one graph, and only the wanted rows in the other.
fn is_narrowed(before: &Graph, after: &Graph, output: usize) -> bool {
    let first = |graph: &Graph| graph.ty(graph.outputs()[output]).shape.first().copied();
    first(before) == Some(Dim::Tokens) && first(after) == Some(Dim::Rows)
}

/// Apply a transform and check that the graph is valid, prints, has outputs of the same names, and computes the same
/// bits; or the same wanted rows where it narrowed an output.
pub fn apply(name: &str, graph: &Graph) -> (Graph, Vec<Change>) {
    let mut after = graph.clone();
    let changes =
        (transform::find(name).expect("a known transform").run)(&mut after, &Settings::default())
            .unwrap();
    if let Err(error) = verify(&after) {
        panic!("{name}: {error}\n{}", print(&after, "hf"));
    }
    let names = |graph: &Graph| -> Vec<String> {
        let names = graph.outputs().iter().map(|&v| graph.name(v).to_string());
        names.collect()
    };
    assert_eq!(names(graph), names(&after), "{name}");
    let weights = SeededWeights::new(graph, 7);
    let (was, is) = (run(graph, &weights), run(&after, &weights));
    for ((_, wanted), (was, is)) in STEPS.iter().zip(was.iter().zip(&is)) {
        for (output, (was, is)) in was.iter().zip(is).enumerate() {
            match is_narrowed(graph, &after, output) {
                true => assert_eq!(bits(&rows(was, wanted)), bits(is), "{name}"),
                false => assert_eq!(bits(was), bits(is), "{name}"),
            }
        }
    }
    (after, changes)
}
