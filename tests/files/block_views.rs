//! Do views of quantized tensors have the elements of views of their floats, and keep every block whole?

use proptest::prelude::*;
use smallmind::blocks::BlockFormat;
use smallmind::files::map::Mapped;
use smallmind::files::weight::{Weight, WeightError};
use smallmind::types::DType;

/// Meaningless blocks, but with finite scales: bytes of a fixed sequence, with the upper bits of each kept low.
fn blocks(format: BlockFormat, count: usize) -> Vec<u8> {
    let byte = |i: usize| (i * 37 % 251) as u8 & 0x3b;
    (0..count * format.bytes()).map(byte).collect()
}

/// A tensor of blocks that begins `start` bytes into its data, and the same tensor in F32.
fn pair(format: BlockFormat, start: usize, shape: &[usize]) -> (Weight, Weight) {
    let count = shape.iter().product::<usize>() / format.elements();
    let blocks = blocks(format, count);
    let mut floats = vec![0.0; count * format.elements()];
    format.dequantize(&blocks, &mut floats);
    let bytes = [vec![0xff; start], blocks].concat();
    let element = DType::Blocks(format);
    let quantized = Weight::new(Mapped::from_vec(bytes), start, element, shape).unwrap();
    (quantized, Weight::from_f32(&floats, shape).unwrap())
}

/// An operation on views of three dimensions; its numbers must still be reduced to what the shape allows.
#[derive(Debug, Clone)]
enum Op {
    Transpose(usize),
    Slice(usize, usize, usize),
    Reshape(usize, usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0usize..6).prop_map(Op::Transpose),
        (0usize..3, any::<usize>(), any::<usize>()).prop_map(|(axis, a, b)| Op::Slice(axis, a, b)),
        (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Op::Reshape(a, b)),
    ]
}

const PERMUTATIONS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [1, 0, 2],
    [0, 2, 1],
    [2, 0, 1],
    [1, 2, 0],
    [2, 1, 0],
];

/// The operation on a view, and whether it would cut through blocks of `unit` elements.
fn apply(op: &Op, view: &Weight, unit: usize) -> (Result<Weight, WeightError>, bool) {
    let shape = view.shape();
    match *op {
        Op::Transpose(which) => {
            let permutation = PERMUTATIONS[which];
            (view.transpose(&permutation), permutation[2] != 2)
        }
        Op::Slice(axis, a, b) => {
            // Half of the cuts through rows are between blocks.
            let step = if axis == 2 && a % 2 == 0 { unit } else { 1 };
            let most = shape[axis] / step + 1;
            let (a, b) = (a / 2 % most * step, b % most * step);
            let (start, end) = (a.min(b), a.max(b));
            let cuts = axis == 2 && !(start.is_multiple_of(unit) && end.is_multiple_of(unit));
            (view.slice(axis, start, end), cuts)
        }
        Op::Reshape(a, b) => {
            let divisor = |n: usize, seed: usize| {
                let divisors: Vec<_> = (1..=n.max(1)).filter(|d| n.is_multiple_of(*d)).collect();
                divisors[seed % divisors.len()]
            };
            let first = divisor(view.len(), a);
            let second = divisor(view.len() / first, b);
            let last = view.len() / first / second;
            let cuts = !last.is_multiple_of(unit);
            (view.reshape(&[first, second, last]), cuts)
        }
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

proptest! {
    #[test]
    fn views_of_blocks_mean_what_views_of_floats_mean(
        format in prop::sample::select(BlockFormat::ALL.to_vec()),
        (outer, rows, width) in (1usize..4, 1usize..5, 1usize..4),
        start in 0usize..5,
        ops in prop::collection::vec(op(), 0..6),
    ) {
        let unit = format.elements();
        let (mut quantized, mut floats) = pair(format, start, &[outer, rows, width * unit]);
        for op in &ops {
            let (found, cuts) = apply(op, &quantized, unit);
            match found {
                Ok(view) => {
                    prop_assert!(!cuts, "{:?}", op);
                    floats = apply(op, &floats, unit).0.unwrap();
                    quantized = view;
                }
                Err(error) => {
                    prop_assert!(cuts, "{:?}: {}", op, error);
                    prop_assert!(error.to_string().contains("cut through quantized blocks"));
                }
            }
        }
        prop_assert_eq!(quantized.shape(), floats.shape());
        prop_assert_eq!(bits(&quantized.to_f32()), bits(&floats.to_f32()));
        let rows = quantized.shape()[0] * quantized.shape()[1];
        let matrix = |view: &Weight| view.reshape(&[rows, view.shape()[2]]).unwrap();
        let (quantized, floats) = (matrix(&quantized), matrix(&floats));
        let width = quantized.shape()[1];
        for row in 0..rows {
            let part = width / 3..width - width / 4;
            let (mut found, mut expected) = (vec![0.0; part.len()], vec![0.0; part.len()]);
            quantized.copy_row_part_f32(row, part.start, &mut found).unwrap();
            floats.copy_row_part_f32(row, part.start, &mut expected).unwrap();
            prop_assert_eq!(bits(&found), bits(&expected));
            let mut found = vec![0; part.len()];
            quantized.copy_row_part_bits(row, part.start, &mut found).unwrap();
            prop_assert_eq!(found, bits(&expected));
            let blocks = quantized.row_blocks(row).unwrap().unwrap();
            let mut found = vec![0.0; width];
            format.dequantize(blocks, &mut found);
            let mut expected = vec![0.0; width];
            floats.copy_row_part_f32(row, 0, &mut expected).unwrap();
            prop_assert_eq!(bits(&found), bits(&expected));
        }
    }
}

#[test]
fn a_tensor_whose_rows_are_not_whole_blocks_is_refused() {
    let element = DType::Blocks(BlockFormat::Q8_0);
    let bytes = || Mapped::from_vec(vec![0; 340]);
    let new = |shape: &[usize]| Weight::new(bytes(), 0, element, shape);
    assert!(new(&[5, 64]).is_ok());
    let error = new(&[20, 16]).unwrap_err().to_string();
    assert!(
        error.contains("shape [20, 16] in Q8_0 would cut through quantized blocks, each of 32"),
        "{error}"
    );
    assert!(matches!(new(&[]), Err(WeightError::CutsBlocks { .. })));
    assert!(matches!(
        new(&[6, 64]),
        Err(WeightError::TooShort { needed: 408, .. })
    ));
}
