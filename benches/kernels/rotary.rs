//! Rotary positions: tables, and heads rotated by them. Nine heads of 64.

use criterion::Criterion;
use smallmind::kernels::rotary::{
    ApplyRotary, Rope, RopeScaling, RotaryTable, inverse_frequencies,
};

use super::case::{Case, Input, bench, count, floats, tokens_of};

const HEADS: usize = 9;
const DIM: usize = 64;

/// Every rotary kernel.
pub fn all(criterion: &mut Criterion) {
    let inv_freq = inverse_frequencies(10_000.0, DIM, &RopeScaling::Default);
    for tokens in [1, 512] {
        let shape = [tokens, HEADS, DIM];
        let kernel = RotaryTable {
            inv_freq: inv_freq.clone(),
        };
        let name = tokens_of(tokens);
        // Both the sine and the cosine of each angle are computed.
        bench(
            criterion,
            "RotaryTable",
            &name,
            kernel,
            count(tokens * DIM / 2),
            || {
                let inputs = vec![Input::positions(tokens), Input::Absent];
                Case::new(tokens, inputs, &[&[tokens, DIM]])
            },
        );
        for (adjacent, pairs) in [(false, "half apart"), (true, "adjacent")] {
            let name = format!("{}, pairs {pairs}", tokens_of(tokens));
            let counts = || floats(2 * tokens * HEADS * DIM);
            bench(
                criterion,
                "ApplyRotary",
                &name,
                ApplyRotary { adjacent },
                counts(),
                || {
                    let inputs = vec![Input::tensor(&shape, 1), Input::tensor(&[tokens, DIM], 2)];
                    Case::new(tokens, inputs, &[&shape])
                },
            );
            let kernel = Rope {
                inv_freq: inv_freq.clone(),
                adjacent,
            };
            bench(criterion, "Rope", &name, kernel.clone(), counts(), || {
                let positions = Input::positions(tokens);
                let inputs = vec![Input::tensor(&shape, 1), positions, Input::Absent];
                Case::new(tokens, inputs, &[&shape]).scratch(kernel.scratch())
            });
        }
    }
}
