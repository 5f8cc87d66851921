//! Helpers that kernel tests share: cells, calls, and running a kernel as several threads would.

use std::cell::Cell;

use super::call::{Call, Kernel, NOTHING_KEPT, Operand, Sequence, View, bind};
use super::simd::Isa;

/// Row lengths around the ends of 16-lane blocks.
pub const WIDTHS: [usize; 9] = [1, 7, 15, 16, 17, 31, 33, 64, 100];

/// `values` as arena memory.
pub fn cells(values: &[f32]) -> Vec<Cell<f32>> {
    values.iter().copied().map(Cell::new).collect()
}

/// `count` elements of unwritten memory: NaN.
pub fn unwritten(count: usize) -> Vec<Cell<f32>> {
    cells(&vec![f32::NAN; count])
}

/// `values` as arena memory.
pub fn int_cells(values: &[i32]) -> Vec<Cell<i32>> {
    values.iter().copied().map(Cell::new).collect()
}

/// The bits of each element, for exact comparison.
pub fn bits(values: &[Cell<f32>]) -> Vec<u32> {
    values.iter().map(|x| x.get().to_bits()).collect()
}

/// The bits of each element.
pub fn bits_of(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// `count` values of both signs, most below 4 in magnitude, the same for the same `seed`.
pub fn random(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / 2_097_152.0 - 4.0
    };
    (0..count).map(|_| next()).collect()
}

/// The sequence of a call whose kernel needs none.
pub static FIRST_STEP: [Sequence; 1] = [Sequence {
    start: 0,
    end: 1,
    past: 0,
    table: 0,
}];

/// A call of one piece without scratch, cache or int output.
pub fn call<'a>(inputs: &'a [Operand<'a>], outputs: &'a [View<'a>]) -> Call<'a> {
    let tokens = outputs
        .first()
        .and_then(|view| view.shape().first().copied())
        .unwrap_or(1);
    Call {
        inputs,
        outputs,
        int_output: &[],
        quantized_output: None,
        scratch: &[],
        cache: None,
        piece: 0,
        pieces: 1,
        threads: 1,
        kept: Cell::new(NOTHING_KEPT),
        tokens,
        sequences: &FIRST_STEP,
    }
}

/// Runs all pieces of `call`, as many as `threads` threads or more would cut it into. The threads take turns; each has
/// `scratch` floats.
pub fn run<K: Kernel + Clone>(
    kernel: &K,
    isa: Isa,
    threads: usize,
    scratch: usize,
    call: &Call<'_>,
) {
    let kernel = bind(kernel.clone(), isa);
    let with = |piece, pieces, scratch, kept: &Cell<usize>| {
        let call = Call {
            inputs: call.inputs,
            outputs: call.outputs,
            int_output: call.int_output,
            quantized_output: call.quantized_output,
            scratch,
            cache: call.cache,
            piece,
            pieces,
            threads,
            kept: kept.clone(),
            tokens: call.tokens,
            sequences: call.sequences,
        };
        if pieces == 0 {
            return kernel.pieces(&call);
        }
        // SAFETY: a test gives its kernel the operands that the kernel requires, and all pieces run on this thread.
        unsafe { kernel.run(&call) };
        kept.set(call.kept.get());
        pieces
    };
    let own: Vec<_> = (0..threads)
        .map(|_| (unwritten(scratch), Cell::new(NOTHING_KEPT)))
        .collect();
    let pieces = with(0, 0, &own[0].0, &own[0].1).max(threads);
    // The last piece comes first: no piece may depend on another.
    for piece in (0..pieces).rev() {
        let (scratch, kept) = &own[piece % threads];
        with(piece, pieces, scratch, kept);
    }
}

/// Runs `test` with every instruction set that this CPU has, and 1, 2 and 3 threads.
pub fn everywhere(test: impl Fn(Isa, usize)) {
    for isa in Isa::available() {
        for threads in 1..=3 {
            test(isa, threads);
        }
    }
}
