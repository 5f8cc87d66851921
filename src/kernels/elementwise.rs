//! Functions of one element, and functions of two elements with broadcasting.
//!
//! ```text
//! Unary(x) -> y:      for i in 0..elements: y[i] = function(x[i])
//! Binary(a, b) -> y:  for i in indices(y):  y[i] = function(a[i where a is not 1 wide], b[i where b is not 1 wide])
//! IntBinary(a, b):    the same in i32, shapes equal or one element
//! ```
//!
//! Sixteen elements are computed at once; nothing is added across elements, so no order matters. A piece's share is
//! consecutive: blocks of 16 where operands have the output's shape or one element, rows where they are broadcast. An
//! operand of the output's shape may be the output's memory.

use std::cell::Cell;

use super::call::{Call, Kernel, MAX_RANK, Operand, padded, row_offset, strides};
pub use super::functions::{BinaryFunction, UnaryFunction};
use super::simd::Simd;

/// `y = function(x)` with equal shapes, in place or not.
#[derive(Clone, Copy, Debug)]
pub struct Unary {
    /// The function that is computed.
    pub function: UnaryFunction,
}

// SAFETY: a piece writes and reads only the elements of its share.
unsafe impl Kernel for Unary {
    fn pieces(&self, call: &Call<'_>) -> usize {
        call.element_pieces(call.outputs[0].cells.len())
    }

    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let y = call.outputs[0].cells;
        let share = call.share_elements(y.len());
        let x = &call.tensor(0).cells[share.clone()];
        let y = &y[share];
        for at in (0..y.len()).step_by(16) {
            simd.store_at(y, at, self.function.apply(simd, simd.load_at(x, at)));
        }
    }
}

/// The elements of an operand, in the arena or in a constant.
#[derive(Clone, Copy)]
pub(super) enum ElementwiseInput<'a> {
    /// In the arena.
    Cells(&'a [Cell<f32>]),
    /// In a constant.
    Slice(&'a [f32]),
}

impl<'a> ElementwiseInput<'a> {
    /// The elements of the operand, and its dimensions.
    #[inline(always)]
    pub(super) fn of(operand: &'a Operand<'a>) -> (ElementwiseInput<'a>, [usize; MAX_RANK]) {
        match operand {
            Operand::Tensor(view) => (ElementwiseInput::Cells(view.cells), padded(view.shape())),
            Operand::Constant(data, shape) => (ElementwiseInput::Slice(data), padded(shape)),
            _ => unreachable!("the operand is neither a tensor nor a constant"),
        }
    }

    #[inline(always)]
    pub(super) fn len(self) -> usize {
        match self {
            ElementwiseInput::Cells(cells) => cells.len(),
            ElementwiseInput::Slice(slice) => slice.len(),
        }
    }

    /// `count` elements, beginning at `start`.
    #[inline(always)]
    pub(super) fn part(self, start: usize, count: usize) -> ElementwiseInput<'a> {
        match self {
            ElementwiseInput::Cells(cells) => ElementwiseInput::Cells(&cells[start..start + count]),
            ElementwiseInput::Slice(slice) => ElementwiseInput::Slice(&slice[start..start + count]),
        }
    }

    /// The block that begins at `at`, or the only element in all lanes.
    #[inline(always)]
    pub(super) fn block<S: Simd>(self, simd: S, at: usize, only: bool) -> S::F32 {
        match self {
            ElementwiseInput::Cells(cells) if only => simd.splat(cells[0].get()),
            ElementwiseInput::Slice(slice) if only => simd.splat(slice[0]),
            ElementwiseInput::Cells(cells) => simd.load_at(cells, at),
            ElementwiseInput::Slice(slice) => simd.load_slice_at(slice, at),
        }
    }
}

/// `y = function(a, b)`, where the output has the shape that numpy's broadcasting defines. Each operand may be an arena
/// tensor or a constant; an operand with the shape of the output may be in the output's memory.
#[derive(Clone, Copy, Debug)]
pub struct Binary {
    /// The function that is computed.
    pub function: BinaryFunction,
}

impl Binary {
    /// `y = function(a, b)`, where each operand has either one element or as many as `y`.
    #[inline(always)]
    fn walk<S: Simd>(
        self,
        simd: S,
        y: &[Cell<f32>],
        a: ElementwiseInput<'_>,
        b: ElementwiseInput<'_>,
    ) {
        let (only_a, only_b) = (a.len() < y.len(), b.len() < y.len());
        for at in (0..y.len()).step_by(16) {
            let (a, b) = (a.block(simd, at, only_a), b.block(simd, at, only_b));
            simd.store_at(y, at, self.function.apply(simd, a, b));
        }
    }
}

// SAFETY: a piece writes only the elements of its share. If an operand is the output's memory it has the output's
// shape, so the piece reads only the elements of its share from that operand.
unsafe impl Kernel for Binary {
    fn pieces(&self, call: &Call<'_>) -> usize {
        call.element_pieces(call.outputs[0].cells.len())
    }

    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let y = call.outputs[0];
        let (a, a_dims) = ElementwiseInput::of(&call.inputs[0]);
        let (b, b_dims) = ElementwiseInput::of(&call.inputs[1]);
        let elements = y.cells.len();
        let flat = |source: ElementwiseInput<'_>| source.len() == elements || source.len() == 1;
        if flat(a) && flat(b) {
            let share = call.share_elements(elements);
            let part = |source: ElementwiseInput<'_>| {
                if source.len() == elements {
                    (share.start, share.len())
                } else {
                    (0, 1)
                }
            };
            let ((a_start, a_count), (b_start, b_count)) = (part(a), part(b));
            if !share.is_empty() {
                self.walk(
                    simd,
                    &y.cells[share],
                    a.part(a_start, a_count),
                    b.part(b_start, b_count),
                );
            }
            return;
        }
        let dims = padded(y.shape());
        let (a_strides, b_strides) = (broadcast_strides(a_dims), broadcast_strides(b_dims));
        for row in call.share(y.rows()) {
            let a = a.part(row_offset(dims, a_strides, row), a_dims[MAX_RANK - 1]);
            let b = b.part(row_offset(dims, b_strides, row), b_dims[MAX_RANK - 1]);
            self.walk(simd, y.row(row), a, b);
        }
    }
}

/// The strides of a dense operand, with 0 for the dimensions that are repeated.
#[inline(always)]
pub(super) fn broadcast_strides(dims: [usize; MAX_RANK]) -> [usize; MAX_RANK] {
    let mut strides = strides(dims);
    for (stride, dim) in strides.iter_mut().zip(dims) {
        if dim == 1 {
            *stride = 0;
        }
    }
    strides
}

/// `function(a, b)` in i32, written to the int output of the call. Each operand has the length of the output or one element;
/// a constant contains one integral value. In place is allowed.
#[derive(Clone, Copy, Debug)]
pub struct IntBinary {
    /// The function that is computed: the [`ints`](super::functions::BinaryRow::ints) of a row.
    pub function: fn(i32, i32) -> i32,
}

// SAFETY: a piece writes only the elements of its share, and from operands of the output's length it reads no others;
// an operand that is shorter is not the output's memory.
unsafe impl Kernel for IntBinary {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, _: S, call: &Call<'_>) {
        let y = call.int_output;
        let at = |input: usize, i: usize| match call.inputs[input] {
            Operand::Ints(cells) if cells.len() == y.len() => cells[i].get(),
            Operand::Ints(cells) => cells[0].get(),
            Operand::Constant(data, _) => data[0] as i32,
            _ => unreachable!("input {input} holds neither ints nor a constant"),
        };
        for i in call.share(y.len()) {
            y[i].set((self.function)(at(0, i), at(1, i)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::call::View;
    use crate::kernels::simd::Single;
    use crate::kernels::testing::*;

    /// Every combination of a width and a function.
    fn each<F: Copy>(functions: &[F]) -> impl Iterator<Item = (usize, F)> + '_ {
        let widths = WIDTHS.iter().copied();
        widths.flat_map(|width| functions.iter().map(move |&function| (width, function)))
    }

    #[test]
    fn unary_equals_the_plain_loop_in_place_too() {
        everywhere(|isa, threads| {
            for (width, function) in each(UnaryFunction::ALL) {
                let input = random(width, 7)
                    .iter()
                    .map(|x| x.abs() + 0.01)
                    .collect::<Vec<_>>();
                let want: Vec<f32> = input.iter().map(|&x| function.apply(Single, x)).collect();
                let x = cells(&input);
                let y = unwritten(width);
                for out in [&y, &x] {
                    let out = View::new(out, &[width]);
                    let inputs = [Operand::Tensor(View::new(&x, &[width]))];
                    run(&Unary { function }, isa, threads, 0, &call(&inputs, &[out]));
                    assert_eq!(
                        bits(out.cells),
                        bits_of(&want),
                        "{function:?} {width} {isa:?}"
                    );
                }
            }
        });
    }

    /// Numpy's broadcasting, one index at a time.
    fn twin(
        function: BinaryFunction,
        y: &[usize],
        a: (&[f32], &[usize]),
        b: (&[f32], &[usize]),
    ) -> Vec<f32> {
        let element = |(data, shape): (&[f32], &[usize]), mut index: usize| {
            let mut coordinates = vec![0; y.len()];
            for (c, dim) in coordinates.iter_mut().zip(y).rev() {
                *c = index % dim;
                index /= dim;
            }
            let skip = y.len() - shape.len();
            let mut offset = 0;
            for (c, &dim) in coordinates[skip..].iter().zip(shape) {
                offset = offset * dim + if dim == 1 { 0 } else { *c };
            }
            data[offset]
        };
        let elements = y.iter().product();
        (0..elements)
            .map(|i| (function.row().scalar)(element(a, i), element(b, i)))
            .collect()
    }

    #[test]
    fn binary_broadcasts_as_numpy_does() {
        everywhere(|isa, threads| {
            for (w, function) in each(BinaryFunction::ALL) {
                let shapes: [(&[usize], &[usize], &[usize]); 10] = [
                    (&[3, w], &[3, w], &[3, w]),
                    (&[3, w], &[3, w], &[]),
                    (&[3, w], &[1], &[3, w]),
                    (&[3, w], &[3, w], &[w]),
                    (&[3, w], &[w], &[3, w]),
                    (&[3, w], &[3, w], &[3, 1]),
                    (&[3, w], &[3, 1], &[1, w]),
                    (&[2, 3, 2, w], &[3, 1, w], &[2, 1, 2, 1]),
                    (&[2, 3, 2, w], &[2, 1, 2, w], &[3, 1, 1]),
                    (&[1, w], &[1, w], &[w]),
                ];
                for (y, a, b) in shapes {
                    let a_data = random(a.iter().product(), 1);
                    let b_data = random(b.iter().product(), 2);
                    let want = bits_of(&twin(function, y, (&a_data, a), (&b_data, b)));
                    let (a_cells, b_cells) = (cells(&a_data), cells(&b_data));
                    let kernel = Binary { function };
                    for (a_is_constant, b_is_constant) in
                        [(false, false), (true, false), (false, true), (true, true)]
                    {
                        let of = |constant, data, cells, shape| match constant {
                            true => Operand::Constant(data, shape),
                            false => Operand::Tensor(View::new(cells, shape)),
                        };
                        let inputs = [
                            of(a_is_constant, &a_data[..], &a_cells[..], a),
                            of(b_is_constant, &b_data[..], &b_cells[..], b),
                        ];
                        let out = unwritten(want.len());
                        run(
                            &kernel,
                            isa,
                            threads,
                            0,
                            &call(&inputs, &[View::new(&out, y)]),
                        );
                        assert_eq!(bits(&out), want, "{function:?} {y:?} {a:?} {b:?} {isa:?}");
                    }
                    let inputs = [(&a_cells, a), (&b_cells, b)]
                        .map(|(cells, shape)| Operand::Tensor(View::new(cells, shape)));
                    if let Some(over) = [(a, &a_cells), (b, &b_cells)].iter().find(|o| o.0 == y) {
                        run(
                            &kernel,
                            isa,
                            threads,
                            0,
                            &call(&inputs, &[View::new(over.1, y)]),
                        );
                        assert_eq!(bits(over.1), want, "in place {y:?} {a:?} {b:?} {isa:?}");
                    }
                }
            }
        });
    }

    #[test]
    fn both_operands_may_be_the_output() {
        everywhere(|isa, threads| {
            let x = cells(&random(33, 3));
            let want: Vec<f32> = x.iter().map(|x| x.get() + x.get()).collect();
            let view = View::new(&x, &[33]);
            let kernel = Binary {
                function: BinaryFunction::Add,
            };
            let inputs = [Operand::Tensor(view), Operand::Tensor(view)];
            run(&kernel, isa, threads, 0, &call(&inputs, &[view]));
            assert_eq!(bits(&x), bits_of(&want));
        });
    }

    #[test]
    fn ints_take_a_constant_or_each_other() {
        everywhere(|isa, threads| {
            let positions = int_cells(&[0, 1, 2, i32::MAX, -7]);
            let two = Operand::Constant(&[2.0], &[]);
            let ints = |function: BinaryFunction| function.row().ints.unwrap();
            let expected = [
                (BinaryFunction::Add, [2, 3, 4, i32::MIN + 1, -5]),
                (BinaryFunction::Sub, [-2, -1, 0, i32::MAX - 2, -9]),
                (BinaryFunction::Mul, [0, 2, 4, -2, -14]),
                (BinaryFunction::Min, [0, 1, 2, 2, -7]),
                (BinaryFunction::Max, [2, 2, 2, i32::MAX, 2]),
            ];
            for (function, want) in expected {
                let function = ints(function);
                let out = int_cells(&[99; 5]);
                let inputs = [Operand::Ints(&positions), two];
                let call = Call {
                    int_output: &out,
                    ..call(&inputs, &[])
                };
                run(&IntBinary { function }, isa, threads, 0, &call);
                assert_eq!(out.iter().map(Cell::get).collect::<Vec<_>>(), want);
            }
            let inputs = [Operand::Ints(&positions), Operand::Ints(&positions)];
            let call = Call {
                int_output: &positions,
                ..call(&inputs, &[])
            };
            let function = ints(BinaryFunction::Sub);
            run(&IntBinary { function }, isa, threads, 0, &call);
            assert_eq!(positions.iter().map(Cell::get).collect::<Vec<_>>(), [0; 5]);
        });
    }
}
