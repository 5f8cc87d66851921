//! Norms, softmax and mean: reductions of rows.

use criterion::Criterion;
use smallmind::kernels::norm::{Floats, LayerNorm, Reduce, Reduction, RmsNorm, Softmax};

use super::case::{Case, Input, bench, count, floats};

const WIDTH: usize = 768;

/// Every reduction.
pub fn all(criterion: &mut Criterion) {
    for tokens in [1, 512] {
        for residual in [false, true] {
            let name = format!(
                "{tokens} x {WIDTH}{}",
                if residual { ", residual" } else { "" }
            );
            // x and y; with a residual, also the residual and the sum.
            let counts = || floats(if residual { 4 } else { 2 } * tokens * WIDTH);
            let kernel = RmsNorm {
                output: std::marker::PhantomData::<Floats>,
                eps: 1e-5,
                residual,
            };
            bench(criterion, "RmsNorm", &name, kernel, counts(), || {
                norm(tokens, residual, 1)
            });
            let kernel = LayerNorm {
                output: std::marker::PhantomData::<Floats>,
                eps: 1e-5,
                residual,
            };
            bench(criterion, "LayerNorm", &name, kernel, counts(), || {
                norm(tokens, residual, 2)
            });
        }
    }
    let square = [1000, 1000];
    bench(
        criterion,
        "Softmax",
        "1000 x 1000",
        Softmax,
        count(1_000_000),
        || Case::new(1000, vec![Input::tensor(&square, 1)], &[&square]),
    );
    bench(
        criterion,
        "ReduceMean",
        "1000 x 1000",
        Reduce {
            reduction: Reduction::Mean,
        },
        count(1_000_000),
        || Case::new(1000, vec![Input::tensor(&square, 1)], &[&[1000, 1]]),
    );
}

/// Rows, perhaps a residual, and `weights` of a row's width: the gain, the bias.
fn norm(tokens: usize, residual: bool, weights: u32) -> Case {
    let shape = [tokens, WIDTH];
    let mut inputs = vec![Input::tensor(&shape, 1)];
    let mut outputs = vec![&shape[..]];
    if residual {
        inputs.push(Input::tensor(&shape, 2));
        outputs.push(&shape);
    }
    inputs.extend((0..weights).map(|weight| Input::constant(&[WIDTH], 3 + weight)));
    Case::new(tokens, inputs, &outputs)
}
