//! Rows selected by a list, of floats or of int8 blocks.
//!
//! ```text
//! TakeRows(x, rows) -> y: y[r, …] = x[rows[r], …]
//! ```
//!
//! Nothing is computed. Threads share the rows of the list.

use super::call::{Call, Kernel, Operand};
use super::shape::copy;
use super::simd::Simd;

/// Rows of a tensor by their numbers: inputs `[x, rows]`, output [rows.len(), …] of x's element type. The numbers were
/// checked to be rows of x before the step; the list may be empty, and a number may occur several times. Not in place.
#[derive(Clone, Copy, Debug)]
pub struct TakeRows;

// SAFETY: a thread writes only the rows of its share; nobody writes x or the list.
unsafe impl Kernel for TakeRows {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let rows = call.ints(1);
        if rows.is_empty() {
            return;
        }
        let share = call.share(rows.len());
        // The part of x for one number, in floats or in blocks.
        let part = |row: usize, length: usize| row * length..(row + 1) * length;
        if let Operand::QuantizedTensor(x) = call.inputs[0] {
            let y = call.quantized_output();
            let length = y.blocks.len() / rows.len();
            for row in share {
                let from = &x.blocks[part(rows[row].get() as usize, length)];
                for (from, to) in from.iter().zip(&y.blocks[part(row, length)]) {
                    from.iter()
                        .zip(to)
                        .for_each(|(from, to)| to.set(from.get()));
                }
            }
            return;
        }
        let (x, y) = (call.tensor(0), call.outputs[0]);
        let length = y.cells.len() / rows.len();
        for row in share {
            let from = &x.cells[part(rows[row].get() as usize, length)];
            copy(simd, from, &y.cells[part(row, length)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::call::{QuantizedView, View};
    use crate::kernels::quantized::activation_words;
    use crate::kernels::testing::*;

    const TOKENS: usize = 5;
    /// Lists that are sorted or not, with gaps, with repetitions, longer than the number of rows, and empty.
    const LISTS: [&[i32]; 6] = [
        &[4],
        &[0, 1, 2, 3, 4],
        &[3, 0, 4],
        &[2, 2],
        &[1, 4, 0, 3, 2, 1, 4],
        &[],
    ];

    /// `y[r] = x[rows[r]]`, in plain loops over rows of `length` elements.
    fn plain<T: Copy>(x: &[T], rows: &[i32], length: usize) -> Vec<T> {
        let mut y = Vec::new();
        for &row in rows {
            for i in 0..length {
                y.push(x[row as usize * length + i]);
            }
        }
        y
    }

    #[test]
    fn floats_are_taken_from_the_rows_that_the_list_names() {
        for width in WIDTHS {
            for inner in [&[width][..], &[3, width], &[2, 3, width], &[]] {
                let length: usize = inner.iter().product();
                let x = random(TOKENS * length, 1);
                let from = [&[TOKENS], inner].concat();
                for list in LISTS {
                    let to = [&[list.len()], inner].concat();
                    let want = plain(&x, list, length);
                    everywhere(|isa, threads| {
                        let (x, rows) = (cells(&x), int_cells(list));
                        let y = unwritten(want.len());
                        let inputs = [Operand::Tensor(View::new(&x, &from)), Operand::Ints(&rows)];
                        let outputs = [View::new(&y, &to)];
                        run(&TakeRows, isa, threads, 0, &call(&inputs, &outputs));
                        assert_eq!(
                            bits(&y),
                            bits_of(&want),
                            "{from:?} {list:?} {isa:?} {threads}"
                        );
                    });
                }
            }
        }
    }

    #[test]
    fn int8_blocks_are_taken_from_the_rows_that_the_list_names() {
        // Several rows of blocks belong to a token if there are dimensions in between.
        for (cols, each) in [(32, 1), (96, 1), (64, 3)] {
            let length = activation_words(each, cols);
            let words: Vec<i32> = (0..TOKENS * length).map(|i| i as i32 * 7919).collect();
            for list in LISTS {
                let want = plain(&words, list, length);
                everywhere(|isa, threads| {
                    let (x, rows) = (int_cells(&words), int_cells(list));
                    let y = int_cells(&vec![-1; want.len()]);
                    let x = QuantizedView::new(&x, TOKENS * each, cols);
                    let inputs = [Operand::QuantizedTensor(x), Operand::Ints(&rows)];
                    let call = Call {
                        quantized_output: Some(QuantizedView::new(&y, list.len() * each, cols)),
                        ..call(&inputs, &[])
                    };
                    run(&TakeRows, isa, threads, 0, &call);
                    let y: Vec<i32> = y.iter().map(std::cell::Cell::get).collect();
                    assert_eq!(y, want, "{cols} {each} {list:?} {isa:?} {threads}");
                });
            }
        }
    }
}
