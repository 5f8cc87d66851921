//! Products: with a packed weight, with several, gated, and of two computed tensors.
//!
//! One token counts the bytes of the weights, which bound it; more tokens count operations. The head's weights are
//! larger than most last-level caches, the others' smaller: both are read again in each iteration.

use criterion::{Criterion, Throughput};
use smallmind::kernels::elementwise::UnaryFunction;
use smallmind::kernels::linear::{GatedLinear, Linear, MergedLinear};
use smallmind::kernels::matmul::MatMul;
use smallmind::kernels::packed::PackedMatrix;
use smallmind::kernels::weights::{Floats, Weights as _};
use smallmind::types::DType;

use super::case::{Case, Input, bench, count, tokens_of};

const TYPES: [(DType, &str); 3] = [
    (DType::F32, "f32"),
    (DType::F16, "f16"),
    (DType::BF16, "bf16"),
];

/// Every product.
pub fn all(criterion: &mut Criterion) {
    for (weight_type, name) in TYPES {
        for (cols, rows) in [(768, 3072), (3072, 768)] {
            // The scalar kernel is measured with 16 tokens, the others also with 512.
            for tokens in [1, 16, 512] {
                linear(criterion, tokens, cols, rows, weight_type, name);
            }
        }
        linear(criterion, 1, 576, 49152, weight_type, name);
    }
    linear(criterion, 512, 512, 512, DType::F32, "f32");
    for tokens in [1, 512] {
        epilogue(criterion, tokens);
        merged(criterion, tokens);
        gated(criterion, tokens);
    }
    mat_mul(criterion);
}

/// The throughput unit of a product of `tokens` rows with weights [rows, cols].
fn counts(tokens: usize, cols: usize, rows: usize, weight_type: DType) -> Throughput {
    match tokens {
        1 => Throughput::BytesDecimal(PackedMatrix::bytes_for(rows, cols, weight_type) as u64),
        _ => count(2 * tokens * cols * rows),
    }
}

fn linear(
    criterion: &mut Criterion,
    tokens: usize,
    cols: usize,
    rows: usize,
    weight_type: DType,
    type_name: &str,
) {
    let name = format!("{} {cols} to {rows} {type_name}", tokens_of(tokens));
    let kernel = Linear {
        activation: None,
        weights: Floats,
    };
    bench(
        criterion,
        "Linear",
        &name,
        kernel,
        counts(tokens, cols, rows, weight_type),
        || {
            let weights = Input::packed(rows, cols, weight_type, 2);
            let inputs = vec![
                Input::tensor(&[tokens, cols], 1),
                weights,
                Input::Absent,
                Input::Absent,
            ];
            Case::new(tokens, inputs, &[&[tokens, rows]])
                .scratch(Floats::scratch_floats(cols, tokens))
        },
    );
}

/// With a bias, an activation and a residual.
fn epilogue(criterion: &mut Criterion, tokens: usize) {
    let (cols, rows) = (768, 3072);
    let name = format!(
        "{} {cols} to {rows} f32, bias, gelu, residual",
        tokens_of(tokens)
    );
    let kernel = Linear {
        weights: Floats,
        activation: Some(UnaryFunction::GeluTanh),
    };
    bench(
        criterion,
        "Linear",
        &name,
        kernel,
        counts(tokens, cols, rows, DType::F32),
        || {
            let inputs = vec![
                Input::tensor(&[tokens, cols], 1),
                Input::packed(rows, cols, DType::F32, 2),
                Input::constant(&[rows], 3),
                Input::tensor(&[tokens, rows], 4),
            ];
            Case::new(tokens, inputs, &[&[tokens, rows]])
                .scratch(Floats::scratch_floats(cols, tokens))
        },
    );
}

/// Queries, keys and values of nine heads over three.
fn merged(criterion: &mut Criterion, tokens: usize) {
    let (cols, rows) = (576, [576, 192, 192]);
    let name = format!("{} {cols} to 576, 192, 192 f32", tokens_of(tokens));
    let kernel = MergedLinear {
        segments: 3,
        weights: Floats,
    };
    let counts = counts(tokens, cols, rows.iter().sum(), DType::F32);
    bench(criterion, "MergedLinear", &name, kernel, counts, || {
        let mut inputs = vec![Input::tensor(&[tokens, cols], 1)];
        inputs.extend(rows.map(|rows| Input::packed(rows, cols, DType::F32, rows as u32)));
        inputs.extend(rows.map(|_| Input::Absent));
        let outputs = rows.map(|rows| [tokens, rows]);
        let outputs: Vec<_> = outputs.iter().map(|shape| &shape[..]).collect();
        Case::new(tokens, inputs, &outputs).scratch(Floats::scratch_floats(cols, tokens))
    });
}

fn gated(criterion: &mut Criterion, tokens: usize) {
    let (cols, rows) = (576, 1536);
    let name = format!("{} {cols} to {rows} f32, silu", tokens_of(tokens));
    let kernel = GatedLinear {
        weights: Floats,
        activation: UnaryFunction::Silu,
    };
    let counts = counts(tokens, cols, 2 * rows, DType::F32);
    bench(criterion, "GatedLinear", &name, kernel, counts, || {
        let inputs = vec![
            Input::tensor(&[tokens, cols], 1),
            Input::packed(rows, cols, DType::F32, 2),
            Input::packed(rows, cols, DType::F32, 3),
            Input::Absent,
            Input::Absent,
        ];
        Case::new(tokens, inputs, &[&[tokens, rows]]).scratch(Floats::scratch_floats(cols, tokens))
    });
}

/// Scores and values of attention spelled out: twelve heads over 512 positions.
fn mat_mul(criterion: &mut Criterion) {
    let (heads, positions, dim) = (12, 512, 64);
    let many = [heads, positions, dim];
    let square = [heads, positions, positions];
    for tokens in [1, positions] {
        let counts = || count(2 * heads * tokens * positions * dim);
        let name = format!("{}, queries and keys", tokens_of(tokens));
        let kernel = MatMul { transpose_b: true };
        bench(criterion, "MatMul", &name, kernel, counts(), || {
            let inputs = vec![
                Input::tensor(&[heads, tokens, dim], 1),
                Input::tensor(&many, 2),
            ];
            Case::new(tokens, inputs, &[&[heads, tokens, positions]])
        });
        let name = format!("{}, weights and values", tokens_of(tokens));
        let kernel = MatMul { transpose_b: false };
        bench(criterion, "MatMul", &name, kernel, counts(), || {
            let weights = Input::tensor(&[heads, tokens, square[2]], 1);
            Case::new(
                tokens,
                vec![weights, Input::tensor(&many, 2)],
                &[&[heads, tokens, dim]],
            )
        });
    }
}
