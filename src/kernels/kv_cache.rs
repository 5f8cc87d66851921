//! A layer's keys and values: their layout in the arena, and the op that hands them out as plain tensors.
//!
//! ```text
//! Cache(k [T, KV, D], v [T, KV, D]) -> keys [S, KV, D], values [S, KV, D], S = past + T
//!     for t in 0..T: cache.keys[past + t] = k[t]; cache.values[past + t] = v[t]
//!     for s in 0..S: keys[s] = cache.keys[s];     values[s] = cache.values[s]
//! ```
//!
//! Nothing is computed, so no order matters. Threads own whole heads: each reads only what it wrote itself, or what
//! earlier steps wrote.

use std::cell::Cell;

use super::call::{Call, Kernel};
use super::simd::{LANES, Simd};

/// Positions of a key block: attention merges partial results at multiples of it.
pub const KEY_BLOCK: usize = 64;

/// How one layer's cache lies in memory.
///
/// Keys are in panels of 16 places, `[kv_head][place / 16][head_dim][16]`; values are `[kv_head][place][head_dim]`. Position
/// p stands in place p modulo the capacity, over the position a capacity before it: what a window no longer sees makes
/// room. The capacity consists of whole blocks, so that each block of positions lies in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLayout {
    kv_heads: usize,
    head_dim: usize,
    capacity: usize,
}

impl KvLayout {
    /// Room for at least `capacity` positions and for one, rounded up to whole blocks.
    pub fn new(kv_heads: usize, head_dim: usize, capacity: usize) -> KvLayout {
        KvLayout {
            kv_heads,
            head_dim,
            capacity: capacity.max(1).next_multiple_of(KEY_BLOCK),
        }
    }

    /// Heads of keys and values.
    #[inline(always)]
    pub fn kv_heads(&self) -> usize {
        self.kv_heads
    }

    /// Elements of one head of one position.
    #[inline(always)]
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Positions that there is room for, a multiple of [`KEY_BLOCK`]: the latest are held.
    #[inline(always)]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Floats of the keys; the values take as many again.
    pub fn floats(&self) -> usize {
        self.kv_heads * self.capacity * self.head_dim
    }

    /// Bytes of one position's keys and values, of all heads.
    pub fn row_bytes(&self) -> usize {
        2 * self.kv_heads * self.head_dim * size_of::<f32>()
    }

    /// Where `position` of `kv_head` stands among the rows of all heads.
    #[inline(always)]
    fn place(&self, kv_head: usize, position: usize) -> usize {
        kv_head * self.capacity + position % self.capacity
    }

    /// Where the panel with `position` of `kv_head` starts in the keys: head_dim × 16 floats.
    #[inline(always)]
    pub fn key_panel(&self, kv_head: usize, position: usize) -> usize {
        self.place(kv_head, position) / LANES * LANES * self.head_dim
    }

    /// Where element 0 of `position` of `kv_head` stands in the keys; element `d` stands 16 · d further.
    #[inline(always)]
    pub fn key(&self, kv_head: usize, position: usize) -> usize {
        self.key_panel(kv_head, position) + position % LANES
    }

    /// Where `position` of `kv_head` starts in the values: head_dim floats.
    #[inline(always)]
    pub fn value(&self, kv_head: usize, position: usize) -> usize {
        self.place(kv_head, position) * self.head_dim
    }
}

/// One layer's cache in the arena.
#[derive(Clone, Copy)]
pub struct KvCache<'a> {
    /// The keys, `layout.floats()` long.
    pub keys: &'a [Cell<f32>],
    /// The values, `layout.floats()` long.
    pub values: &'a [Cell<f32>],
    /// How both are laid out.
    pub layout: KvLayout,
}

impl<'a> KvCache<'a> {
    /// The key of `position`: its head_dim elements in order, each to be read or written.
    #[inline(always)]
    pub fn key(
        &self,
        kv_head: usize,
        position: usize,
    ) -> impl Iterator<Item = &'a Cell<f32>> + use<'a> {
        self.keys[self.layout.key(kv_head, position)..]
            .iter()
            .step_by(LANES)
            .take(self.layout.head_dim)
    }

    /// The value of `position`: head_dim elements.
    #[inline(always)]
    pub fn value(&self, kv_head: usize, position: usize) -> &'a [Cell<f32>] {
        let start = self.layout.value(kv_head, position);
        &self.values[start..start + self.layout.head_dim]
    }
}

/// Appends keys and values, and gives the whole context, all of which the cache must have room for: see the top of this
/// file.
#[derive(Clone, Copy, Debug)]
pub struct Cache;

// SAFETY: a thread touches only the heads of its share, in the cache and in the outputs.
unsafe impl Kernel for Cache {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, _simd: S, call: &Call<'_>) {
        let Some(cache) = call.cache else {
            unreachable!("Cache without a cache")
        };
        let (k, v) = (call.tensor(0).cells, call.tensor(1).cells);
        let (keys, values) = (call.outputs[0].cells, call.outputs[1].cells);
        let (heads, dim) = (cache.layout.kv_heads, cache.layout.head_dim);
        for head in call.share(heads) {
            for t in 0..call.tokens {
                let row = (t * heads + head) * dim..(t * heads + head + 1) * dim;
                copy(&k[row.clone()], cache.key(head, call.past + t));
                copy(&v[row], cache.value(head, call.past + t));
            }
            for s in 0..call.past + call.tokens {
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
    use crate::kernels::call::{Operand, View};
    use crate::kernels::testing::{bits, bits_of, cells, everywhere, random, run, unwritten};

    #[test]
    fn every_position_and_element_has_its_own_place() {
        let layout = KvLayout::new(3, 5, 65);
        assert_eq!((layout.capacity(), layout.floats()), (128, 3 * 128 * 5));
        let (mut keys, mut values) = (vec![0; layout.floats()], vec![0; layout.floats()]);
        for head in 0..3 {
            for position in 0..128 {
                for d in 0..5 {
                    keys[layout.key(head, position) + 16 * d] += 1;
                    values[layout.value(head, position) + d] += 1;
                }
            }
        }
        assert!(keys.iter().chain(&values).all(|&count| count == 1));
    }

    #[test]
    fn a_position_takes_the_place_of_the_one_a_capacity_before() {
        let layout = KvLayout::new(2, 5, 100);
        for position in 0..128 {
            let later = position + 3 * layout.capacity();
            assert_eq!(layout.key(1, later), layout.key(1, position));
            assert_eq!(layout.value(1, later), layout.value(1, position));
            // A block lies in one piece.
            let begin = later / KEY_BLOCK * KEY_BLOCK;
            let inside = (later - begin) * 5;
            assert_eq!(layout.value(1, later), layout.value(1, begin) + inside);
        }
    }

    #[test]
    fn the_context_comes_back_as_it_was_appended_chunk_by_chunk() {
        let (heads, dim, total) = (3, 5, 70);
        let (k, v) = (
            random(total * heads * dim, 1),
            random(total * heads * dim, 2),
        );
        let layout = KvLayout::new(heads, dim, total);
        everywhere(|isa, threads| {
            let (cache_keys, cache_values) =
                (unwritten(layout.floats()), unwritten(layout.floats()));
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
                    keys: &cache_keys,
                    values: &cache_values,
                    layout,
                });
                (call.tokens, call.past) = (tokens, past);
                run(&Cache, isa, threads, 0, &call);
                assert_eq!(bits(&keys), bits_of(&k[..part.end]));
                assert_eq!(bits(&values), bits_of(&v[..part.end]));
                past += tokens;
            }
        });
    }
}
