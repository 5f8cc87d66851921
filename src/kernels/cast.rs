//! Conversion of numbers in the arena to another type.
//!
//! ```text
//! Cast(x) -> y:  for i in 0..elements: y[i] = x[i] as y's type
//! ```
//!
//! Whole numbers become the nearest float, with ties to even. Floats lose their fraction, become the smallest or the largest
//! i32 if they are out of range, and 0 if they are NaN. A number that keeps its type is copied.

use super::call::{Call, Kernel, Operand};
use super::simd::Simd;

/// `y = x` in f32 or i32, according to the type of the output; x may have either type. In place is allowed if the types are
/// equal.
#[derive(Clone, Copy, Debug)]
pub struct Cast;

// SAFETY: a piece writes and reads only the elements of its share.
unsafe impl Kernel for Cast {
    fn pieces(&self, call: &Call<'_>) -> usize {
        call.element_pieces(
            call.outputs
                .first()
                .map_or(call.int_output.len(), |y| y.cells.len()),
        )
    }

    #[inline(always)]
    unsafe fn run<S: Simd>(&self, _: S, call: &Call<'_>) {
        match call.outputs.first() {
            Some(y) => {
                let share = call.share_elements(y.cells.len());
                let y = &y.cells[share.clone()];
                match call.inputs[0] {
                    Operand::Ints(x) => {
                        let pairs = y.iter().zip(&x[share]);
                        pairs.for_each(|(y, x)| y.set(x.get() as f32));
                    }
                    _ => {
                        let pairs = y.iter().zip(&call.tensor(0).cells[share]);
                        pairs.for_each(|(y, x)| y.set(x.get()));
                    }
                }
            }
            None => {
                let share = call.share_elements(call.int_output.len());
                let y = &call.int_output[share.clone()];
                match call.inputs[0] {
                    Operand::Ints(x) => {
                        let pairs = y.iter().zip(&x[share]);
                        pairs.for_each(|(y, x)| y.set(x.get()));
                    }
                    _ => {
                        let pairs = y.iter().zip(&call.tensor(0).cells[share]);
                        pairs.for_each(|(y, x)| y.set(x.get() as i32));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::kernels::call::View;
    use crate::kernels::testing::*;

    fn ints(cells: &[Cell<i32>]) -> Vec<i32> {
        cells.iter().map(Cell::get).collect()
    }

    #[test]
    fn each_type_becomes_each_other() {
        everywhere(|isa, threads| {
            for width in WIDTHS {
                let mut floats: Vec<f32> = random(width, 5).iter().map(|x| x * 1e3).collect();
                floats[0] = [f32::NAN, 4e9, -4e9, -0.5][width % 4];
                let whole: Vec<i32> = floats.iter().map(|&x| x as i32).collect();
                let back: Vec<f32> = whole.iter().map(|&n| n as f32).collect();
                let (float_cells, int_cells) = (cells(&floats), int_cells(&whole));
                let x = Operand::Tensor(View::new(&float_cells, &[width]));
                let n = Operand::Ints(&int_cells);
                for (input, wanted) in [(x, &floats), (n, &back)] {
                    let y = unwritten(width);
                    let out = [View::new(&y, &[width])];
                    run(&Cast, isa, threads, 0, &call(&[input], &out));
                    assert_eq!(bits(&y), bits_of(wanted), "{width} {isa:?}");
                }
                for input in [x, n] {
                    let y = int_cells_of(width);
                    let inputs = [input];
                    let call = Call {
                        int_output: &y,
                        ..call(&inputs, &[])
                    };
                    run(&Cast, isa, threads, 0, &call);
                    assert_eq!(ints(&y), whole, "{width} {isa:?}");
                }
            }
        });
    }

    fn int_cells_of(count: usize) -> Vec<Cell<i32>> {
        int_cells(&vec![99; count])
    }
}
