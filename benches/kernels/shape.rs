//! Copies in another order or place, embeddings and the causal mask. All count the bytes read and written.

use std::cell::Cell;
use std::sync::Arc;

use criterion::Criterion;
use smallmind::kernels::packed::{RowSource, RowTable};
use smallmind::kernels::shape::{CausalMask, Concat, Copy, Gather, Slice, Transpose};

use super::case::{Case, Input, bench, floats, numbers};

const TOKENS: usize = 512;
const HEADS: usize = 12;
const DIM: usize = 64;
const WIDTH: usize = HEADS * DIM;

/// Every copy.
pub fn all(criterion: &mut Criterion) {
    for tokens in [1, TOKENS] {
        let name = format!("{tokens} of 50000 x {WIDTH}");
        bench(
            criterion,
            "Gather",
            &name,
            Gather,
            floats(2 * tokens * WIDTH),
            || gather(tokens),
        );
    }

    let heads_inside = [TOKENS, HEADS, DIM];
    let heads_outside = [HEADS, TOKENS, DIM];
    let moved = || floats(2 * TOKENS * WIDTH);
    let kernel = Transpose {
        perm: vec![1, 0, 2],
    };
    bench(
        criterion,
        "Transpose",
        "heads outside",
        kernel,
        moved(),
        || {
            Case::new(
                TOKENS,
                vec![Input::tensor(&heads_inside, 1)],
                &[&heads_outside],
            )
        },
    );
    let kernel = Transpose { perm: vec![1, 0] };
    bench(criterion, "Transpose", "512 x 768", kernel, moved(), || {
        Case::new(
            TOKENS,
            vec![Input::tensor(&[TOKENS, WIDTH], 1)],
            &[&[WIDTH, TOKENS]],
        )
    });

    let three = [TOKENS, 3 * WIDTH];
    let one = [TOKENS, WIDTH];
    let kernel = Slice {
        axis: 1,
        start: WIDTH as i64,
    };
    bench(
        criterion,
        "Slice",
        "the middle third of 512 x 2304",
        kernel,
        moved(),
        || Case::new(TOKENS, vec![Input::tensor(&three, 1)], &[&one]),
    );
    let counts = floats(2 * TOKENS * 3 * WIDTH);
    bench(
        criterion,
        "Concat",
        "three of 512 x 768",
        Concat { axis: 1 },
        counts,
        || {
            Case::new(
                TOKENS,
                [1, 2, 3].map(|seed| Input::tensor(&one, seed)).into(),
                &[&three],
            )
        },
    );
    bench(criterion, "Copy", "512 x 768", Copy, moved(), || {
        Case::new(TOKENS, vec![Input::tensor(&heads_inside, 1)], &[&one])
    });

    let scores = [HEADS, TOKENS, TOKENS];
    let counts = || floats(2 * HEADS * TOKENS * TOKENS);
    for (name, window) in [
        ("12 x 512 x 512", None),
        ("12 x 512 x 512, window 128", Some(128)),
    ] {
        bench(
            criterion,
            "CausalMask",
            name,
            CausalMask { window },
            counts(),
            || Case::new(TOKENS, vec![Input::tensor(&scores, 1)], &[&scores]),
        );
    }
}

/// Rows far apart in a table of f32 that is larger than most caches.
fn gather(tokens: usize) -> Case {
    let rows = 50_000;
    let table = RowTable::new(Arc::new(Table {
        rows,
        cols: WIDTH,
        values: numbers(rows * WIDTH, 1),
    }));
    // A step that shares no factor with the number of rows.
    let ids = (0..tokens).map(|token| Cell::new((token * 7919 % rows) as i32));
    let inputs = vec![Input::Rows(table), Input::Ints(ids.collect())];
    Case::new(tokens, inputs, &[&[tokens, WIDTH]])
}

/// A table [rows, cols] in memory.
struct Table {
    rows: usize,
    cols: usize,
    values: Vec<f32>,
}

impl RowSource for Table {
    fn rows(&self) -> usize {
        self.rows
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn copy_part(&self, row: usize, start: usize, out: &mut [f32]) {
        let from = row * self.cols + start;
        out.copy_from_slice(&self.values[from..from + out.len()]);
    }
}
