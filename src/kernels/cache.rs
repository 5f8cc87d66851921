//! The op that appends to the keys and values of a layer, and returns them as plain tensors.
//!
//! ```text
//! Cache(k [T, KV, D], v [T, KV, D]) -> keys [S, KV, D], values [S, KV, D], S = past + T
//!     for t in 0..T: cache.keys[past + t] = k[t]; cache.values[past + t] = v[t]
//!     for s in 0..S: keys[s] = cache.keys[s];     values[s] = cache.values[s]
//! ```
//!
//! Nothing is computed, so no order matters. Pieces consist of whole heads: each reads only what it wrote itself, or
//! what earlier steps wrote.

use std::cell::Cell;

use super::call::{Call, Kernel};
use super::simd::Simd;

/// Appends keys and values, and returns the whole context, for which the cache must have enough positions: see the top
/// of this file. One sequence per step.
#[derive(Clone, Copy, Debug)]
pub struct Cache;

// SAFETY: a piece touches only the heads of its share, in the cache and in the outputs.
unsafe impl Kernel for Cache {
    fn pieces(&self, call: &Call<'_>) -> usize {
        let heads = call.cache.map_or(1, |cache| cache.layout.kv_heads());
        call.even_pieces(heads, 2 * call.outputs[0].cells.len() / heads.max(1))
    }

    #[inline(always)]
    unsafe fn run<S: Simd>(&self, _simd: S, call: &Call<'_>) {
        let (Some(cache), [sequence]) = (call.cache, call.sequences) else {
            unreachable!("Cache with a cache and one sequence")
        };
        let cache = cache.of(sequence.table);
        let (k, v) = (call.tensor(0).cells, call.tensor(1).cells);
        let (keys, values) = (call.outputs[0].cells, call.outputs[1].cells);
        let (heads, dim) = (cache.layout().kv_heads(), cache.layout().head_dim());
        for head in call.share(heads) {
            for t in 0..call.tokens {
                let row = (t * heads + head) * dim..(t * heads + head + 1) * dim;
                copy(&k[row.clone()], cache.key(head, sequence.past + t));
                copy(&v[row], cache.value(head, sequence.past + t));
            }
            for s in 0..sequence.positions() {
                let row = (s * heads + head) * dim..(s * heads + head + 1) * dim;
                copy(cache.key(head, s), &keys[row.clone()]);
                copy(cache.value(head, s), &values[row]);
            }
        }
    }
}

#[inline(always)]
fn copy<'a>(
    from: impl IntoIterator<Item = &'a Cell<f32>>,
    to: impl IntoIterator<Item = &'a Cell<f32>>,
) {
    for (from, to) in from.into_iter().zip(to) {
        to.set(from.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::call::{Operand, Sequence, View};
    use crate::kernels::kv_cache::{KvCache, KvLayout};
    use crate::kernels::testing::{bits, bits_of, cells, everywhere, random, run, unwritten};

    #[test]
    fn the_context_is_returned_as_it_was_appended_chunk_by_chunk() {
        let (heads, dim, total) = (3, 5, 70);
        let (k, v) = (
            random(total * heads * dim, 1),
            random(total * heads * dim, 2),
        );
        let layout = KvLayout::new(heads, dim, total);
        everywhere(|isa, threads| {
            let pool = unwritten(layout.blocks() * layout.block_floats());
            let mut past = 0;
            for tokens in [1, 15, 17, 1, 36] {
                let part = past * heads * dim..(past + tokens) * heads * dim;
                let (k_cells, v_cells) = (cells(&k[part.clone()]), cells(&v[part.clone()]));
                let (keys, values) = (unwritten(part.end), unwritten(part.end));
                let (shape, whole) = ([tokens, heads, dim], [past + tokens, heads, dim]);
                let inputs = [
                    Operand::Tensor(View::new(&k_cells, &shape)),
                    Operand::Tensor(View::new(&v_cells, &shape)),
                ];
                let outputs = [View::new(&keys, &whole), View::new(&values, &whole)];
                let mut call = crate::kernels::testing::call(&inputs, &outputs);
                call.cache = Some(KvCache {
                    pool: &pool,
                    tables: &[1, 0],
                    layout,
                });
                let sequences = [Sequence::alone(tokens, past)];
                (call.tokens, call.sequences) = (tokens, &sequences);
                run(&Cache, isa, threads, 0, &call);
                assert_eq!(bits(&keys), bits_of(&k[..part.end]));
                assert_eq!(bits(&values), bits_of(&v[..part.end]));
                past += tokens;
            }
        });
    }
}
