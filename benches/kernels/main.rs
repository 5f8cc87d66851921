//! How fast is each kernel, on each instruction set that this CPU has?
//!
//! One thread runs each kernel through the same binding and the same calls as the executor. A benchmark is
//! named `op/case/instruction set`, so that `cargo bench --bench kernels -- 'Linear/.*/avx2'` selects by any of them.
//! Products, attention and scores count floating-point operations (two for each multiply-add) where there are many
//! tokens; everything else counts the bytes of its operands, each once, or elements.

mod attention;
mod case;
mod elementwise;
mod linear;
mod norm;
mod quantized;
mod rotary;
mod shape;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

fn settings() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .nresamples(5_000)
}

criterion_group! {
    name = kernels;
    config = settings();
    targets = linear::all, quantized::all, attention::all, norm::all, elementwise::all, shape::all, rotary::all
}
criterion_main!(kernels);
