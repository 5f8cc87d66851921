//! Several elementwise functions in one loop over tiles.
//!
//! ```text
//! for each tile of up to 256 elements of y:
//!     for each step of the program: register = function(sources), 16 elements at once
//!     the last step writes y
//! ```
//!
//! Registers are tiles in the thread's scratch, so that what lies between two steps stays in the L1 cache. Every element
//! gets the operations of the separate kernels in their order. A piece's share is consecutive: blocks of 16 where
//! operands have the output's shape or one element, rows where they are broadcast, a row being cut into tiles.

use std::cell::Cell;

use super::call::{Call, Kernel, MAX_RANK, padded, row_offset};
use super::elementwise::{self, broadcast_strides};
use super::functions::Function;
use super::simd::{LANES, Simd};

/// The most operands.
pub const MOST_INPUTS: usize = 8;

/// The source from which a step reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ChainInput {
    /// Operand `n`.
    Input(usize),
    /// The result of step `n`.
    Result(usize),
    /// A number, rounded to f32.
    Number(f64),
}

/// One step of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The function that the step computes.
    pub function: Function,
    /// The one or two sources of the function.
    pub sources: Vec<ChainInput>,
}

/// Elements of a tile.
const TILE: usize = 256;

/// The source from which an instruction reads.
#[derive(Clone, Copy, Debug, PartialEq)]
enum From {
    Input(usize),
    Register(usize),
    Number(f32),
}

/// One step with its registers assigned.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Instruction {
    function: Function,
    /// Both are the same if the function has one operand.
    from: [From; 2],
    /// The register that the instruction writes; the last instruction writes the output instead.
    to: usize,
}

/// `y = program(x0, x1, …)`, where the output has the shape that numpy's broadcasting defines. Operands are arena tensors or
/// constants; an operand with the shape of the output may be in the output's memory.
#[derive(Clone, Debug)]
pub struct ElementwiseChain {
    instructions: Vec<Instruction>,
    registers: usize,
}

impl ElementwiseChain {
    /// The kernel of these steps. Each step reads only earlier results; the last step computes `y`. A register is reused
    /// after the last read of its value.
    pub fn new(steps: &[Step]) -> Self {
        let mut free: Vec<usize> = Vec::new();
        let mut registers = 0;
        let mut register_of: Vec<usize> = Vec::with_capacity(steps.len());
        let mut instructions = Vec::with_capacity(steps.len());
        for (n, step) in steps.iter().enumerate() {
            let from = |at: usize| match step.sources[at.min(step.sources.len() - 1)] {
                ChainInput::Input(slot) => From::Input(slot),
                ChainInput::Result(n) => From::Register(register_of[n]),
                ChainInput::Number(x) => From::Number(x as f32),
            };
            let from = [from(0), from(1)];
            let later = &steps[n + 1..];
            for (result, register) in register_of.iter().enumerate() {
                let source = ChainInput::Result(result);
                let is_last = step.sources.contains(&source)
                    && !later.iter().any(|step| step.sources.contains(&source));
                if is_last {
                    free.push(*register);
                }
            }
            let to = match free.pop() {
                Some(register) => register,
                None if later.is_empty() => 0,
                None => {
                    registers += 1;
                    registers - 1
                }
            };
            register_of.push(to);
            instructions.push(Instruction {
                function: step.function,
                from,
                to,
            });
        }
        ElementwiseChain {
            instructions,
            registers,
        }
    }

    /// The scratch that each thread needs, in floats.
    pub fn scratch_floats(&self) -> usize {
        self.registers * TILE
    }

    /// Runs the program over `y.len()` elements; each operand has that many elements, or one.
    #[inline(always)]
    fn walk<S: Simd>(
        &self,
        simd: S,
        y: &[Cell<f32>],
        inputs: &[elementwise::ElementwiseInput<'_>],
        scratch: &[Cell<f32>],
    ) {
        for start in (0..y.len()).step_by(TILE) {
            let y = &y[start..y.len().min(start + TILE)];
            let length = y.len();
            let last = self.instructions.len() - 1;
            for (n, instruction) in self.instructions.iter().enumerate() {
                let to = match n == last {
                    true => y,
                    false => &scratch[instruction.to * TILE..][..length],
                };
                let [a, b] = instruction.from;
                // The elements of the tile, or the operand's only element.
                let part = |from: From| match from {
                    From::Input(slot) if inputs[slot].len() == 1 => Ok(inputs[slot]),
                    From::Input(slot) => Ok(inputs[slot].part(start, length)),
                    From::Register(register) => Ok(elementwise::ElementwiseInput::Cells(
                        &scratch[register * TILE..][..length],
                    )),
                    From::Number(x) => Err(x),
                };
                let (a, b) = (part(a), part(b));
                let block = |source: Result<elementwise::ElementwiseInput<'_>, f32>, at: usize| {
                    match source {
                        Ok(source) => source.block(simd, at, source.len() < length),
                        Err(number) => simd.splat(number),
                    }
                };
                for at in (0..length).step_by(LANES) {
                    let result = match instruction.function {
                        Function::Unary(function) => function.apply(simd, block(a, at)),
                        Function::Binary(function) => {
                            function.apply(simd, block(a, at), block(b, at))
                        }
                    };
                    simd.store_at(to, at, result);
                }
            }
        }
    }
}

// SAFETY: a piece writes only the elements of its share and its own scratch. If an operand is the output's memory it
// has the output's shape, so the piece reads only the elements of its share from that operand.
unsafe impl Kernel for ElementwiseChain {
    fn pieces(&self, call: &Call<'_>) -> usize {
        call.element_pieces(call.outputs[0].cells.len())
    }

    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>) {
        let y = call.outputs[0];
        let elements = y.cells.len();
        let mut inputs = [elementwise::ElementwiseInput::Slice(&[]); MOST_INPUTS];
        let mut dims = [[1; MAX_RANK]; MOST_INPUTS];
        let count = call.inputs.len();
        for (slot, operand) in call.inputs.iter().enumerate() {
            (inputs[slot], dims[slot]) = elementwise::ElementwiseInput::of(operand);
        }
        let is_flat = |source: &elementwise::ElementwiseInput<'_>| {
            source.len() == elements || source.len() == 1
        };
        if inputs[..count].iter().all(is_flat) {
            let share = call.share_elements(elements);
            let mut parts = inputs;
            for part in &mut parts[..count] {
                if part.len() == elements {
                    *part = part.part(share.start, share.len());
                }
            }
            self.walk(simd, &y.cells[share], &parts[..count], call.scratch);
            return;
        }
        let y_dims = padded(y.shape());
        for row in call.share(y.rows()) {
            let mut parts = inputs;
            for (part, dims) in parts[..count].iter_mut().zip(dims) {
                let start = row_offset(y_dims, broadcast_strides(dims), row);
                *part = part.part(start, dims[MAX_RANK - 1]);
            }
            self.walk(simd, y.row(row), &parts[..count], call.scratch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::call::{Operand, View};
    use crate::kernels::elementwise::{Binary, Unary};
    use crate::kernels::functions::{BinaryFunction, UnaryFunction};
    use crate::kernels::testing::*;

    fn unary(function: UnaryFunction, x: ChainInput) -> Step {
        Step {
            function: Function::Unary(function),
            sources: vec![x],
        }
    }

    fn binary(function: BinaryFunction, a: ChainInput, b: ChainInput) -> Step {
        Step {
            function: Function::Binary(function),
            sources: vec![a, b],
        }
    }

    /// t0 = x0 · x1; t1 = tanh t0; t2 = t1 + x2; t3 = t2 · 0.5; t4 = t3 − t0
    fn steps() -> [Step; 5] {
        use ChainInput::{Input, Number, Result};
        [
            binary(BinaryFunction::Mul, Input(0), Input(1)),
            unary(UnaryFunction::Tanh, Result(0)),
            binary(BinaryFunction::Add, Result(1), Input(2)),
            binary(BinaryFunction::Mul, Result(2), Number(0.5)),
            binary(BinaryFunction::Sub, Result(3), Result(0)),
        ]
    }

    #[test]
    fn registers_are_reused() {
        let kernel = ElementwiseChain::new(&steps());
        assert_eq!(kernel.scratch_floats(), 2 * TILE);
        let single = ElementwiseChain::new(&[unary(UnaryFunction::Neg, ChainInput::Input(0))]);
        assert_eq!(single.scratch_floats(), 0);
    }

    #[test]
    fn a_chain_equals_its_kernels_run_one_by_one_also_in_place() {
        let kernel = ElementwiseChain::new(&steps());
        everywhere(|isa, threads| {
            for width in [1, 15, 33, 255, 256, 300, 700] {
                let shapes: [[&[usize]; 3]; 4] = [
                    [&[3, width], &[3, width], &[3, width]],
                    [&[3, width], &[], &[1, 1]],
                    [&[3, width], &[width], &[3, 1]],
                    [&[3, width], &[3, width], &[1]],
                ];
                for shapes in shapes {
                    let y_shape = [3, width];
                    let memory: Vec<Vec<Cell<f32>>> = shapes
                        .iter()
                        .zip(1..)
                        .map(|(shape, seed)| cells(&random(shape.iter().product(), seed)))
                        .collect();
                    let operand = |i: usize| Operand::Tensor(View::new(&memory[i], shapes[i]));
                    let fresh = || unwritten(3 * width);
                    let view = |cells| View::new(cells, &y_shape);
                    let joined = |function, a, b| {
                        let y = fresh();
                        let inputs = [a, b];
                        let out = [View::new(&y, &y_shape)];
                        run(&Binary { function }, isa, 1, 0, &call(&inputs, &out));
                        y
                    };
                    let t0 = joined(BinaryFunction::Mul, operand(0), operand(1));
                    let t1 = fresh();
                    let tanh = Unary {
                        function: UnaryFunction::Tanh,
                    };
                    let inputs = [Operand::Tensor(view(&t0))];
                    run(&tanh, isa, 1, 0, &call(&inputs, &[view(&t1)]));
                    let t2 = joined(BinaryFunction::Add, Operand::Tensor(view(&t1)), operand(2));
                    let half = Operand::Constant(&[0.5], &[]);
                    let t3 = joined(BinaryFunction::Mul, Operand::Tensor(view(&t2)), half);
                    let minus = Operand::Tensor(view(&t0));
                    let t4 = joined(BinaryFunction::Sub, Operand::Tensor(view(&t3)), minus);
                    let inputs = [operand(0), operand(1), operand(2)];
                    let y = fresh();
                    for out in [&y, &memory[0]] {
                        let scratch = kernel.scratch_floats();
                        run(&kernel, isa, threads, scratch, &call(&inputs, &[view(out)]));
                        assert_eq!(bits(out), bits(&t4), "{shapes:?} {isa:?} {threads}");
                    }
                }
            }
        });
    }
}
