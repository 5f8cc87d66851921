//! Dense copies: the same elements in another order or position, and the causal mask.
//!
//! ```text
//! Copy(x) -> y:            y[i] = x[i], shapes of as many elements
//! Transpose(x) -> y:       y[i0, i1, …] = x at the index whose dimension perm[d] is i_d
//! Slice(x) -> y:           y[…, i, …] = x[…, start + i, …] along axis; a negative start counts from the end
//! Concat(x0, x1, …) -> y:  along axis, x0 then x1 then …
//! Gather(table, ids) -> y: y[i] = table[ids[i]], rows
//! CausalMask(x) -> y:      y[…, t, s] = x[…, t, s] where s is visible to t, and −∞ elsewhere
//! ```
//!
//! Nothing is computed. Pieces share the rows of what is written (of each input for Concat).

use std::cell::Cell;

use super::call::{Call, Kernel, MAX_RANK, Operand, View, padded, row_offset, strides};
use super::simd::{LANES, Simd};

/// `to[i] = from[i]`.
#[inline(always)]
pub(super) fn copy<S: Simd>(simd: S, from: &[Cell<f32>], to: &[Cell<f32>]) {
    for at in (0..to.len()).step_by(LANES) {
        simd.store_at(to, at, simd.load_at(from, at));
    }
}

/// The same elements in another shape: input `[x]`, output `[y]` with as many elements. In place it does nothing.
#[derive(Clone, Copy, Debug)]
pub struct Copy;

// SAFETY: a piece reads and writes only the elements of its share.
unsafe impl Kernel for Copy {
    fn pieces(&self, call: &Call<'_>) -> usize {
        call.element_pieces(call.outputs[0].cells.len())
    }

    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let y = call.outputs[0].cells;
        let share = call.share_elements(y.len());
        copy(simd, &call.tensor(0).cells[share.clone()], &y[share]);
    }
}

/// Permuted dimensions: output dimension `d` is input dimension `perm[d]`. Not in place.
#[derive(Clone, Debug)]
pub struct Transpose {
    /// A permutation of the input's dimensions.
    pub perm: Vec<usize>,
}

// SAFETY: a piece writes only the rows of its share, and nobody writes the input.
unsafe impl Kernel for Transpose {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let (x, y) = (call.tensor(0), call.outputs[0]);
        let lead = MAX_RANK - self.perm.len();
        let x_strides = strides(padded(x.shape()));
        let mut permuted = x_strides;
        for (d, &from) in self.perm.iter().enumerate() {
            permuted[lead + d] = x_strides[lead + from];
        }
        let (dims, step) = (padded(y.shape()), permuted[MAX_RANK - 1]);
        for row in call.share(y.rows()) {
            let (start, to) = (row_offset(dims, permuted, row), y.row(row));
            if step == 1 {
                copy(simd, &x.cells[start..start + to.len()], to);
            } else {
                for (i, to) in to.iter().enumerate() {
                    to.set(x.cells[start + i * step].get());
                }
            }
        }
    }
}

/// A part of one axis; the output's length along that axis is the length of the part. Not in place.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// The axis that is cut, below the input's rank.
    pub axis: usize,
    /// The first element of the part; if negative, it is counted from the end of the axis at run time.
    pub start: i64,
}

// SAFETY: a piece writes only the rows of its share, and nobody writes the input.
unsafe impl Kernel for Slice {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let (x, y) = (call.tensor(0), call.outputs[0]);
        let length = x.shape()[self.axis] as i64;
        // As in ONNX, a start beyond either end means that end.
        let start = if self.start < 0 {
            length + self.start
        } else {
            self.start
        }
        .clamp(0, length);
        let (dims, x_strides) = (padded(y.shape()), strides(padded(x.shape())));
        let base = start as usize * x_strides[MAX_RANK - x.shape().len() + self.axis];
        for row in call.share(y.rows()) {
            let (from, to) = (base + row_offset(dims, x_strides, row), y.row(row));
            copy(simd, &x.cells[from..from + to.len()], to);
        }
    }
}

/// Tensors joined one after another along one axis; all other dimensions are equal. Not in place.
#[derive(Clone, Copy, Debug)]
pub struct Concat {
    /// The axis along which they are joined, below the inputs' rank.
    pub axis: usize,
}

// SAFETY: inputs go to different parts of the output, and a piece copies only the rows of its share of each input.
unsafe impl Kernel for Concat {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let y = call.outputs[0];
        let y_strides = strides(padded(y.shape()));
        let stride = y_strides[MAX_RANK - y.shape().len() + self.axis];
        let mut base = 0;
        for input in 0..call.inputs.len() {
            let x = call.tensor(input);
            let dims = padded(x.shape());
            for row in call.share(x.rows()) {
                let start = base + row_offset(dims, y_strides, row);
                copy(simd, x.row(row), &y.cells[start..start + x.width()]);
            }
            base += x.shape()[self.axis] * stride;
        }
    }
}

/// Rows of a table: inputs `[table, ids]`, output [.., width], one row for each id. The ids were checked before the step.
#[derive(Clone, Copy, Debug)]
pub struct Gather;

// SAFETY: a piece writes only the rows of its share; nobody writes the table or the ids.
unsafe impl Kernel for Gather {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, _: S, call: &Call<'_>) {
        let Operand::Rows(table) = call.inputs[0] else {
            unreachable!("input 0 is not a table of rows");
        };
        let (ids, y) = (call.ints(1), call.outputs[0]);
        for row in call.share(y.rows()) {
            table.copy_row(ids[row].get() as usize, y.row(row));
        }
    }
}

/// Scores `[.., T, S]`, in which positions that a token must not see become −∞, in place or not. Token `t` is at
/// position past + t, and sees position `s` if s ≤ past + t and, with a window, s + window > past + t.
#[derive(Clone, Copy, Debug)]
pub struct CausalMask {
    /// The number of positions that a token sees, including its own; `None` means all of them.
    pub window: Option<usize>,
}

// SAFETY: a piece reads and writes only the rows of its share.
unsafe impl Kernel for CausalMask {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let (x, y) = (call.tensor(0), call.outputs[0]);
        let tokens = tokens_of(x);
        let hidden = simd.splat(f32::NEG_INFINITY);
        for row in call.share(x.rows()) {
            let (x, y) = (x.row(row), y.row(row));
            let end = call.past() + row % tokens + 1;
            let start = self.window.map_or(0, |window| end.saturating_sub(window));
            for at in (0..y.len()).step_by(LANES) {
                let visible = simd.lanes_between(start.saturating_sub(at), end.saturating_sub(at));
                simd.store_at(y, at, simd.select(visible, simd.load_at(x, at), hidden));
            }
        }
    }
}

/// The second-to-last dimension.
#[inline(always)]
fn tokens_of(scores: View<'_>) -> usize {
    padded(scores.shape())[MAX_RANK - 2]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::kernels::call::Sequence;
    use crate::kernels::packed::{RowSource, RowTable};
    use crate::kernels::testing::*;

    fn index(shape: &[usize], coordinates: &[usize]) -> usize {
        shape
            .iter()
            .zip(coordinates)
            .fold(0, |offset, (dim, c)| offset * dim + c)
    }

    fn coordinates(shape: &[usize], mut index: usize) -> Vec<usize> {
        let mut coordinates = vec![0; shape.len()];
        for (c, dim) in coordinates.iter_mut().zip(shape).rev() {
            (*c, index) = (index % dim, index / dim);
        }
        coordinates
    }

    /// Checks that `kernel` on `inputs` writes an output of `shape` with the element `want` at each coordinate.
    fn check<K: Kernel + Clone>(
        kernel: &K,
        inputs: &[(&[f32], &[usize])],
        shape: &[usize],
        want: impl Fn(&[usize]) -> f32,
    ) {
        let elements = shape.iter().product();
        let want: Vec<f32> = (0..elements)
            .map(|i| want(&coordinates(shape, i)))
            .collect();
        everywhere(|isa, threads| {
            let memory: Vec<_> = inputs.iter().map(|(data, _)| cells(data)).collect();
            let operands: Vec<_> = memory
                .iter()
                .zip(inputs)
                .map(|(cells, (_, shape))| Operand::Tensor(View::new(cells, shape)))
                .collect();
            let out = unwritten(elements);
            run(
                kernel,
                isa,
                threads,
                0,
                &call(&operands, &[View::new(&out, shape)]),
            );
            assert_eq!(bits(&out), bits_of(&want), "{shape:?} {isa:?} {threads}");
        });
    }

    #[test]
    fn copy_keeps_every_element() {
        for width in WIDTHS {
            let x = random(6 * width, 1);
            let input: &[usize] = &[2, 3, width];
            check(&Copy, &[(&x, input)], &[6 * width], |c| x[c[0]]);
        }
    }

    #[test]
    fn transpose_moves_each_coordinate() {
        for width in WIDTHS {
            let x = random(6 * width, 2);
            let shape = [2, 3, width];
            let perms: [[usize; 3]; 6] = [
                [0, 1, 2],
                [0, 2, 1],
                [1, 0, 2],
                [1, 2, 0],
                [2, 0, 1],
                [2, 1, 0],
            ];
            for perm in perms {
                let out = perm.map(|d| shape[d]);
                check(
                    &Transpose {
                        perm: perm.to_vec(),
                    },
                    &[(&x, &shape)],
                    &out,
                    |c| {
                        let mut from = [0; 3];
                        perm.iter().zip(c).for_each(|(&d, &c)| from[d] = c);
                        x[index(&shape, &from)]
                    },
                );
            }
        }
    }

    #[test]
    fn slice_counts_from_either_end() {
        for width in WIDTHS {
            let shape = [3, 2, width + 2];
            let x = random(shape.iter().product(), 3);
            for (axis, start, length, first) in [
                (2, 1, width, 1),
                (2, -1, 1, width + 1),
                (2, -(width as i64), width, 2),
                (2, -1000, width, 0),
                (0, 1, 2, 1),
                (0, -1, 1, 2),
                (1, 1, 1, 1),
                (1, 0, 2, 0),
            ] {
                let mut out = shape;
                out[axis] = length;
                check(&Slice { axis, start }, &[(&x, &shape)], &out, |c| {
                    let mut from = c.to_vec();
                    from[axis] += first;
                    x[index(&shape, &from)]
                });
            }
        }
    }

    #[test]
    fn concat_appends_along_any_axis() {
        for width in WIDTHS {
            for axis in 0..3 {
                let (a_shape, mut b_shape, mut out) = ([2, 3, width], [2, 3, width], [2, 3, width]);
                b_shape[axis] = 4;
                out[axis] += 4;
                let (a, b) = (random(6 * width, 4), random(b_shape.iter().product(), 5));
                check(
                    &Concat { axis },
                    &[(&a, &a_shape), (&b, &b_shape)],
                    &out,
                    |c| {
                        let mut from = c.to_vec();
                        if c[axis] < a_shape[axis] {
                            return a[index(&a_shape, c)];
                        }
                        from[axis] -= a_shape[axis];
                        b[index(&b_shape, &from)]
                    },
                );
            }
        }
    }

    /// Element [row, col] is 1000 · row + col.
    struct Numbered(usize);

    impl RowSource for Numbered {
        fn rows(&self) -> usize {
            50
        }
        fn cols(&self) -> usize {
            self.0
        }
        fn copy_part(&self, row: usize, start: usize, out: &mut [f32]) {
            for (i, out) in out.iter_mut().enumerate() {
                *out = (1000 * row + start + i) as f32;
            }
        }
    }

    #[test]
    fn gather_copies_a_row_for_each_id() {
        let ids = [3, 49, 0, 3, 12];
        for width in WIDTHS {
            let table = RowTable::new(Arc::new(Numbered(width)));
            let want: Vec<f32> = (0..5 * width)
                .map(|i| (1000 * ids[i / width] as usize + i % width) as f32)
                .collect();
            everywhere(|isa, threads| {
                let (ids, out) = (int_cells(&ids), unwritten(5 * width));
                let inputs = [Operand::Rows(&table), Operand::Ints(&ids)];
                let outputs = [View::new(&out, &[5, width])];
                run(&Gather, isa, threads, 0, &call(&inputs, &outputs));
                assert_eq!(bits(&out), bits_of(&want), "{width} {isa:?}");
            });
        }
    }

    #[test]
    fn causal_mask_hides_the_future_and_what_left_the_window() {
        for (tokens, past) in [(1, 0), (1, 16), (5, 0), (5, 12), (3, 30), (17, 16)] {
            let keys = past + tokens;
            let x = random(2 * tokens * keys, 6);
            for window in [None, Some(1), Some(4), Some(16), Some(100)] {
                let visible = |c: &[usize]| {
                    let (position, s) = (past + c[1], c[2]);
                    s <= position && window.is_none_or(|window| s + window > position)
                };
                let shape = [2, tokens, keys];
                let want: Vec<f32> = (0..x.len())
                    .map(|i| {
                        if visible(&coordinates(&shape, i)) {
                            x[i]
                        } else {
                            f32::NEG_INFINITY
                        }
                    })
                    .collect();
                everywhere(|isa, threads| {
                    let (input, fresh) = (cells(&x), unwritten(x.len()));
                    for out in [&fresh, &input] {
                        let inputs = [Operand::Tensor(View::new(&input, &shape))];
                        let outputs = [View::new(out, &shape)];
                        let call = Call {
                            sequences: &[Sequence::alone(tokens, past)],
                            ..call(&inputs, &outputs)
                        };
                        run(&CausalMask { window }, isa, threads, 0, &call);
                        assert_eq!(bits(out), bits_of(&want), "{shape:?} {window:?} {isa:?}");
                    }
                });
            }
        }
    }
}
