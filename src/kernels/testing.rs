//! Helpers that kernel tests share: cells, calls, and running a kernel as several threads would.

use std::cell::Cell;
use std::sync::atomic::AtomicUsize;

use super::call::{Call, Kernel, Operand, Sequence, View, bind};
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

/// The counter of drawn pieces in a call that is not yet given to threads.
pub static NONE_DRAWN: AtomicUsize = AtomicUsize::new(0);

/// A sequence that a call whose kernel asks for none has.
pub static FIRST_STEP: [Sequence; 1] = [Sequence {
    start: 0,
    end: 1,
    past: 0,
    table: 0,
}];

/// A call of one thread without scratch, cache or int output.
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
        thread: 0,
        threads: 1,
        drawn: &NONE_DRAWN,
        tokens,
        sequences: &FIRST_STEP,
    }
}

/// Runs every thread's share of `call`, each with `scratch` floats of its own.
pub fn run<K: Kernel + Clone>(
    kernel: &K,
    isa: Isa,
    threads: usize,
    scratch: usize,
    call: &Call<'_>,
) {
    let kernel = bind(kernel.clone(), isa);
    let drawn = AtomicUsize::new(0);
    // The last thread comes first: no share may depend on another.
    for thread in (0..threads).rev() {
        let scratch = unwritten(scratch);
        let call = Call {
            inputs: call.inputs,
            outputs: call.outputs,
            int_output: call.int_output,
            quantized_output: call.quantized_output,
            scratch: &scratch,
            cache: call.cache,
            thread,
            threads,
            drawn: &drawn,
            tokens: call.tokens,
            sequences: call.sequences,
        };
        // SAFETY: a test passes the operands that its kernel requires, and all shares run on this thread.
        unsafe { kernel.run(&call) };
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
