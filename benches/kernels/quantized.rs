//! Products of int8 activations with quantized weights, and quantizing the activations.
//!
//! One token counts the bytes of the weights, which bound it; more tokens count operations.

use criterion::{Criterion, Throughput};
use smallmind::blocks::BlockFormat;
use smallmind::kernels::linear::Linear;
use smallmind::kernels::quantized::{Blocks, QuantizeActivations, QuantizedMatrix};
use smallmind::kernels::weights::Weights as _;

use super::case::{Case, Input, bench, count, floats, tokens_of};

/// The formats that are most common in files.
const FORMATS: [BlockFormat; 7] = [
    BlockFormat::Q8_0,
    BlockFormat::Q5_0,
    BlockFormat::Q4_0,
    BlockFormat::Q4_1,
    BlockFormat::Q6K,
    BlockFormat::Q4K,
    BlockFormat::Q5K,
];

/// Every format, and the quantizer.
pub fn all(criterion: &mut Criterion) {
    for format in FORMATS {
        for tokens in [1, 16, 512] {
            linear(criterion, tokens, 2048, 2048, format);
        }
        // A head, larger than most last-level caches.
        linear(criterion, 1, 2048, 32000, format);
    }
    for tokens in [1, 512] {
        quantize(criterion, tokens, 2048);
    }
}

fn linear(criterion: &mut Criterion, tokens: usize, cols: usize, rows: usize, format: BlockFormat) {
    let name = format!("{} {cols} to {rows} {format}", tokens_of(tokens));
    let counts = match tokens {
        1 => Throughput::BytesDecimal(QuantizedMatrix::bytes_for(rows, cols, format) as u64),
        _ => count(2 * tokens * cols * rows),
    };
    let kernel = Linear {
        activation: None,
        weights: Blocks,
    };
    bench(criterion, "QuantizedLinear", &name, kernel, counts, || {
        let inputs = vec![
            Input::quantized_tensor(tokens, cols, 1),
            Input::quantized(rows, cols, format, 2),
            Input::Absent,
            Input::Absent,
        ];
        Case::new(tokens, inputs, &[&[tokens, rows]]).scratch(Blocks::scratch_floats(cols, tokens))
    });
}

fn quantize(criterion: &mut Criterion, tokens: usize, cols: usize) {
    let name = format!("{} of {cols}", tokens_of(tokens));
    let counts = floats(tokens * cols);
    let kernel = QuantizeActivations;
    bench(
        criterion,
        "QuantizeActivations",
        &name,
        kernel,
        counts,
        || Case::new(tokens, vec![Input::tensor(&[tokens, cols], 1)], &[]).quantized(tokens, cols),
    );
}
