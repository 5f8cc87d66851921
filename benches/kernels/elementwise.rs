//! Functions of a million elements, and arithmetic over ten million.

use criterion::Criterion;
use smallmind::kernels::elementwise::{Binary, BinaryFunction, Unary, UnaryFunction};

use super::case::{Case, Input, bench, count, floats};

const FUNCTIONS: [(&str, UnaryFunction); 8] = [
    ("GeluTanh", UnaryFunction::GeluTanh),
    ("GeluErf", UnaryFunction::GeluErf),
    ("Silu", UnaryFunction::Silu),
    ("Exp", UnaryFunction::Exp),
    ("Tanh", UnaryFunction::Tanh),
    ("Erf", UnaryFunction::Erf),
    ("Sigmoid", UnaryFunction::Sigmoid),
    ("Relu", UnaryFunction::Relu),
];

/// Rows and width of ten million elements.
const SHAPE: [usize; 2] = [10_000, 1000];

/// Every elementwise op.
pub fn all(criterion: &mut Criterion) {
    for (op, function) in FUNCTIONS {
        bench(
            criterion,
            op,
            "1 M",
            Unary { function },
            count(1_000_000),
            || {
                let shape = [1000, 1000];
                Case::new(1000, vec![Input::tensor(&shape, 1)], &[&shape])
            },
        );
    }
    let elements = SHAPE[0] * SHAPE[1];
    let function = UnaryFunction::Relu;
    bench(
        criterion,
        "Relu",
        "10 M",
        Unary { function },
        floats(2 * elements),
        || Case::new(SHAPE[0], vec![Input::tensor(&SHAPE, 1)], &[&SHAPE]),
    );
    for (op, function) in [("Add", BinaryFunction::Add), ("Mul", BinaryFunction::Mul)] {
        let kernel = Binary { function };
        bench(criterion, op, "10 M", kernel, floats(3 * elements), || {
            binary(Input::tensor(&SHAPE, 2))
        });
        bench(
            criterion,
            op,
            "10 M and a number",
            kernel,
            floats(2 * elements),
            || binary(Input::constant(&[], 2)),
        );
        bench(
            criterion,
            op,
            "10 M and a row",
            kernel,
            floats(2 * elements),
            || binary(Input::constant(&[SHAPE[1]], 2)),
        );
        bench(
            criterion,
            op,
            "10 M and a column",
            kernel,
            floats(2 * elements),
            || binary(Input::tensor(&[SHAPE[0], 1], 2)),
        );
    }
}

fn binary(second: Input) -> Case {
    Case::new(SHAPE[0], vec![Input::tensor(&SHAPE, 1), second], &[&SHAPE])
}
