//! Applying a transform and checking that the output keeps its bits.

use super::seeded_weights::SeededWeights;
use smallmind::graph::interpreter::Interpreter;
use smallmind::graph::{Graph, print, verify};
use smallmind::ops::Tensor;
use smallmind::transform::{self, Change, Settings};

/// Shapes and bits of the outputs of a few steps.
fn run(graph: &Graph, weights: &SeededWeights) -> Vec<Vec<Tensor>> {
    let mut interpreter = Interpreter::new(graph, weights).unwrap();
    let steps: [&[i32]; 3] = [&[3, 1, 4], &[5], &[9, 2]];
    steps.iter().map(|step| interpreter.step(step)).collect()
}

fn bits(tensor: &Tensor) -> (Vec<usize>, Vec<u32>) {
    // The promise does not include the payload and sign of a NaN.
    let bit = |x: &f32| if x.is_nan() { u32::MAX } else { x.to_bits() };
    (
        tensor.shape.clone(),
        tensor.floats().iter().map(bit).collect(),
    )
}

/// The last row of a tensor with a row for each token.
fn last_row(tensor: &Tensor) -> Tensor {
    let row: usize = tensor.shape[1..].iter().product();
    let mut shape = tensor.shape.clone();
    shape[0] = 1;
    let data = tensor.floats();
    Tensor::f32(shape, data[data.len() - row..].to_vec())
}

/// Apply a transform and check that the graph is valid, can be printed, has outputs of the same names, and computes the
/// same bits; or the same last rows where it narrowed an output.
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
    for (was, is) in was.iter().flatten().zip(is.iter().flatten()) {
        if name == "last_row" && is.shape != was.shape {
            assert_eq!(bits(&last_row(was)), bits(is), "{name}");
        } else {
            assert_eq!(bits(was), bits(is), "{name}");
        }
    }
    (after, changes)
}
