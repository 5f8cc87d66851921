//! Do strided weight views read the elements that a dense copy would?

use proptest::prelude::*;
use smallmind::files::map::Mapped;
use smallmind::files::weight::{Weight, WeightError};
use smallmind::types::DType;

/// The naive model: every view operation makes a dense row-major copy.
#[derive(Debug, Clone)]
struct Dense {
    shape: Vec<usize>,
    bits: Vec<u32>,
}

/// All indexes of a shape, row-major.
fn indexes(shape: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for &dim in shape {
        all = all
            .iter()
            .flat_map(|index| (0..dim).map(move |i| [index.as_slice(), &[i]].concat()))
            .collect();
    }
    all
}

impl Dense {
    fn at(&self, index: &[usize]) -> u32 {
        let place = index
            .iter()
            .zip(&self.shape)
            .fold(0, |place, (i, dim)| place * dim + i);
        self.bits[place]
    }

    fn transpose(&self, permutation: &[usize]) -> Dense {
        let shape: Vec<_> = permutation.iter().map(|&axis| self.shape[axis]).collect();
        let from = |index: &Vec<usize>| {
            let mut source = vec![0; index.len()];
            permutation
                .iter()
                .zip(index)
                .for_each(|(&axis, &i)| source[axis] = i);
            self.at(&source)
        };
        Dense {
            bits: indexes(&shape).iter().map(from).collect(),
            shape,
        }
    }

    fn slice(&self, axis: usize, start: usize, end: usize) -> Dense {
        let mut shape = self.shape.clone();
        shape[axis] = end - start;
        let from = |index: &Vec<usize>| {
            let mut source = index.clone();
            source[axis] += start;
            self.at(&source)
        };
        Dense {
            bits: indexes(&shape).iter().map(from).collect(),
            shape,
        }
    }
}

/// One operation; its numbers must still be reduced to what the shape allows.
#[derive(Debug, Clone)]
enum Op {
    Transpose(Vec<u8>),
    Slice(usize, usize, usize),
    Reshape(Vec<usize>),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 8).prop_map(Op::Transpose),
        (any::<usize>(), any::<usize>(), any::<usize>()).prop_map(|(a, b, c)| Op::Slice(a, b, c)),
        prop::collection::vec(any::<usize>(), 0..4).prop_map(Op::Reshape),
    ]
}

fn apply(op: &Op, view: &Weight, dense: &Dense) -> (Weight, Dense) {
    let rank = dense.shape.len();
    match op {
        Op::Transpose(keys) => {
            let mut permutation: Vec<_> = (0..rank).collect();
            permutation.sort_by_key(|&axis| keys[axis % keys.len()]);
            (
                view.transpose(&permutation).unwrap(),
                dense.transpose(&permutation),
            )
        }
        Op::Slice(..) if rank == 0 => (view.clone(), dense.clone()),
        Op::Slice(axis, a, b) => {
            let axis = axis % rank;
            let (a, b) = (a % (dense.shape[axis] + 1), b % (dense.shape[axis] + 1));
            let (start, end) = (a.min(b), a.max(b));
            (
                view.slice(axis, start, end).unwrap(),
                dense.slice(axis, start, end),
            )
        }
        Op::Reshape(seeds) => {
            // A divisor of the number of elements, and the remaining factor.
            let mut left = dense.bits.len();
            let mut shape = Vec::new();
            for seed in seeds {
                let divisors: Vec<_> = (1..=left.max(1))
                    .filter(|d| left.is_multiple_of(*d))
                    .collect();
                let dim = divisors[seed % divisors.len()];
                shape.push(dim);
                left /= dim;
            }
            shape.push(left);
            (
                view.reshape(&shape).unwrap(),
                Dense {
                    shape,
                    bits: dense.bits.clone(),
                },
            )
        }
    }
}

fn value(element: DType, bits: u32) -> f32 {
    match element {
        DType::F32 => f32::from_bits(bits),
        DType::F16 => half::f16::from_bits(bits as u16).to_f32(),
        _ => f32::from_bits(bits << 16),
    }
}

fn weight_of(element: DType, bits: &[u32], start: usize, shape: &[usize]) -> Weight {
    let mut bytes = vec![0xAA; start];
    bytes.extend(
        bits.iter()
            .flat_map(|bits| bits.to_le_bytes()[..element.unit().1].to_vec()),
    );
    Weight::new(Mapped::from_vec(bytes), start, element, shape).unwrap()
}

proptest! {
    #[test]
    fn every_way_to_read_a_view_agrees_with_a_dense_copy(
        shape in prop::collection::vec(0usize..5, 0..5),
        element in prop::sample::select(vec![DType::F32, DType::F16, DType::BF16]),
        start in 0usize..9,
        ops in prop::collection::vec(op(), 0..6),
    ) {
        let count: usize = shape.iter().product();
        // Small whole numbers, subnormals and negative numbers, all distinct and none NaN.
        let bits: Vec<u32> = (0..count as u32).map(|i| i * 3 + if i % 2 == 0 { 0 } else { 0x3C00 }).collect();
        let mut view = weight_of(element, &bits, start, &shape);
        let mut dense = Dense { shape, bits };
        for op in &ops {
            (view, dense) = apply(op, &view, &dense);
        }
        prop_assert_eq!(view.shape(), &dense.shape[..]);
        prop_assert_eq!(view.len(), dense.bits.len());
        for index in indexes(&dense.shape) {
            prop_assert_eq!(view.element_bits(&index), Some(dense.at(&index)));
        }
        let expected: Vec<u32> = dense.bits.iter().map(|&bits| value(element, bits).to_bits()).collect();
        let found: Vec<u32> = view.to_f32().iter().map(|v| v.to_bits()).collect();
        prop_assert_eq!(&found, &expected);
        if let [rows, width] = dense.shape[..] {
            for row in 0..rows {
                let mut bits = vec![0; width];
                view.copy_row_part_bits(row, 0, &mut bits).unwrap();
                prop_assert_eq!(&bits[..], &dense.bits[row * width..][..width]);
                let part = width / 3..width - width / 4;
                let mut values = vec![0.0; part.len()];
                view.copy_row_part_f32(row, part.start, &mut values).unwrap();
                let values: Vec<u32> = values.iter().map(|v| v.to_bits()).collect();
                prop_assert_eq!(&values[..], &expected[row * width..][part]);
            }
        }
    }
}

#[test]
fn every_f16_converts_exactly() {
    let bits: Vec<u32> = (0..1 << 16).collect();
    let values = weight_of(DType::F16, &bits, 1, &[1 << 16]).to_f32();
    for (bits, value) in (0u32..).zip(values) {
        let (sign, exponent, fraction) = (bits >> 15, bits >> 10 & 31, f64::from(bits & 1023));
        let size = match exponent {
            0 => fraction * (-24f64).exp2(),
            31 if fraction == 0.0 => f64::INFINITY,
            31 => f64::NAN,
            _ => (1024.0 + fraction) * (f64::from(exponent) - 25.0).exp2(),
        };
        let expected = if sign == 1 { -size } else { size };
        let same = f64::from(value) == expected || value.is_nan() && expected.is_nan();
        assert!(same, "{bits:#x}: {value} is not {expected}");
    }
}

#[test]
fn a_reshape_that_strides_can_express_copies_nothing() {
    let weight = Weight::from_f32(&[0.0; 24], &[4, 6]).unwrap();
    let upper = weight.slice(0, 0, 2).unwrap().transpose(&[1, 0]).unwrap();
    let split = upper.reshape(&[3, 2, 2]).unwrap();
    assert_eq!(split.strides(), [2, 1, 6]);
    assert!(!split.is_contiguous());
}

#[test]
fn a_reshape_across_a_cut_copies_and_is_contiguous() {
    // GPT-NeoX keeps queries, keys and values interleaved by head: [heads, 3, head].
    let values: Vec<f32> = (0u8..12).map(f32::from).collect();
    let fused = Weight::from_f32(&values, &[2, 3, 2]).unwrap();
    let keys = fused.slice(1, 1, 2).unwrap().reshape(&[4]).unwrap();
    assert_eq!(keys.to_f32(), [2.0, 3.0, 8.0, 9.0]);
    assert!(keys.is_contiguous());
}

#[test]
fn shapes_beyond_the_data_or_beyond_memory_are_refused() {
    let bytes = Mapped::from_vec(vec![0; 16]);
    let new = |start, shape: &[usize]| Weight::new(bytes.clone(), start, DType::F32, shape);
    assert!(new(0, &[2, 2]).is_ok());
    assert!(matches!(
        new(1, &[2, 2]),
        Err(WeightError::TooShort {
            needed: 16,
            available: 15,
            ..
        })
    ));
    assert!(matches!(
        new(99, &[1]),
        Err(WeightError::TooShort { available: 0, .. })
    ));
    assert!(matches!(
        new(0, &[usize::MAX, usize::MAX]),
        Err(WeightError::TooLarge { .. })
    ));
    assert!(matches!(
        new(0, &[usize::MAX / 2]),
        Err(WeightError::TooLarge { .. })
    ));
    assert!(matches!(
        new(0, &[usize::MAX, 2, 0]),
        Err(WeightError::TooLarge { .. })
    ));
}

#[test]
fn wrong_axes_ranges_and_shapes_are_errors() {
    let weight = Weight::from_f32(&[0.0; 6], &[2, 3]).unwrap();
    assert!(matches!(
        weight.transpose(&[0, 0]),
        Err(WeightError::Permutation { .. })
    ));
    assert!(matches!(
        weight.transpose(&[0]),
        Err(WeightError::Permutation { .. })
    ));
    assert!(matches!(
        weight.slice(2, 0, 1),
        Err(WeightError::Axis { axis: 2, .. })
    ));
    assert!(matches!(
        weight.slice(1, 2, 4),
        Err(WeightError::Range { .. })
    ));
    assert!(matches!(
        weight.slice(1, 2, 1),
        Err(WeightError::Range { .. })
    ));
    assert!(matches!(
        weight.reshape(&[4]),
        Err(WeightError::Reshape { .. })
    ));
    assert!(matches!(
        weight.reshape(&[usize::MAX, 7]),
        Err(WeightError::TooLarge { .. })
    ));
    assert!(matches!(
        Weight::from_f32(&[0.0; 6], &[7]),
        Err(WeightError::Reshape { .. })
    ));
}

#[test]
fn rows_outside_a_matrix_or_without_a_matrix_are_errors() {
    let weight = Weight::from_f32(&[0.0; 6], &[2, 3]).unwrap();
    assert!(matches!(
        weight.copy_row_part_bits(2, 0, &mut [0; 3]),
        Err(WeightError::Range { axis: 0, .. })
    ));
    assert!(matches!(
        weight.copy_row_part_bits(0, 2, &mut [0; 2]),
        Err(WeightError::Range { axis: 1, .. })
    ));
    assert!(matches!(
        weight.copy_row_part_bits(0, 0, &mut [0; 4]),
        Err(WeightError::Range { axis: 1, .. })
    ));
    let part = weight.copy_row_part_f32(0, usize::MAX, &mut [0.0]);
    assert!(matches!(part, Err(WeightError::Range { axis: 1, .. })));
    let flat = weight.reshape(&[6]).unwrap();
    assert!(matches!(
        flat.copy_row_part_bits(0, 0, &mut [0; 6]),
        Err(WeightError::NotAMatrix { .. })
    ));
    assert_eq!(weight.element_bits(&[0, 3]), None);
    assert_eq!(weight.element_bits(&[0]), None);
}
