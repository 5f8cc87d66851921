//! The keys and values of a layer: their layout in the arena.

use std::cell::Cell;

use super::simd::LANES;

/// Positions per key block: attention merges partial results at multiples of this.
pub const KEY_BLOCK: usize = 64;

/// The memory layout of the cache of one layer.
///
/// Keys are in panels of 16 places, `[kv_head][place / 16][head_dim][16]`; values are `[kv_head][place][head_dim]`. Position
/// p is stored in place p modulo the capacity, and overwrites the position p − capacity, which the window no longer sees.
/// The capacity consists of whole blocks, so each block of positions is contiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLayout {
    kv_heads: usize,
    head_dim: usize,
    capacity: usize,
}

impl KvLayout {
    /// A layout with room for `capacity` positions, and at least one, rounded up to whole blocks.
    pub fn new(kv_heads: usize, head_dim: usize, capacity: usize) -> KvLayout {
        KvLayout {
            kv_heads,
            head_dim,
            capacity: capacity.max(1).next_multiple_of(KEY_BLOCK),
        }
    }

    /// The number of heads of keys and values.
    #[inline(always)]
    pub fn kv_heads(&self) -> usize {
        self.kv_heads
    }

    /// The number of elements in one head of one position.
    #[inline(always)]
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// The number of positions that there is room for, a multiple of [`KEY_BLOCK`]. The cache contains the latest positions.
    #[inline(always)]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The number of floats of the keys; the values have the same number.
    pub fn floats(&self) -> usize {
        self.kv_heads * self.capacity * self.head_dim
    }

    /// The bytes of the keys and values of one position, in all heads.
    pub fn row_bytes(&self) -> usize {
        2 * self.kv_heads * self.head_dim * size_of::<f32>()
    }

    /// The index of `position` of `kv_head` among the rows of all heads.
    #[inline(always)]
    fn place(&self, kv_head: usize, position: usize) -> usize {
        kv_head * self.capacity + position % self.capacity
    }

    /// The offset in the keys of the panel that contains `position` of `kv_head`: head_dim × 16 floats.
    #[inline(always)]
    pub fn key_panel(&self, kv_head: usize, position: usize) -> usize {
        self.place(kv_head, position) / LANES * LANES * self.head_dim
    }

    /// The offset in the keys of element 0 of `position` of `kv_head`; element `d` is 16 · d further on.
    #[inline(always)]
    pub fn key(&self, kv_head: usize, position: usize) -> usize {
        self.key_panel(kv_head, position) + position % LANES
    }

    /// The offset in the values of `position` of `kv_head`: head_dim floats.
    #[inline(always)]
    pub fn value(&self, kv_head: usize, position: usize) -> usize {
        self.place(kv_head, position) * self.head_dim
    }
}

/// The cache of one layer in the arena.
#[derive(Clone, Copy)]
pub struct KvCache<'a> {
    /// The keys, `layout.floats()` of them.
    pub keys: &'a [Cell<f32>],
    /// The values, `layout.floats()` of them.
    pub values: &'a [Cell<f32>],
    /// The layout of both.
    pub layout: KvLayout,
}

impl<'a> KvCache<'a> {
    /// The key of `position`: its head_dim elements in order, for reading or writing.
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_position_replaces_the_position_one_capacity_earlier() {
        let layout = KvLayout::new(2, 5, 100);
        for position in 0..128 {
            let later = position + 3 * layout.capacity();
            assert_eq!(layout.key(1, later), layout.key(1, position));
            assert_eq!(layout.value(1, later), layout.value(1, position));
            // A block is contiguous.
            let begin = later / KEY_BLOCK * KEY_BLOCK;
            let inside = (later - begin) * 5;
            assert_eq!(layout.value(1, later), layout.value(1, begin) + inside);
        }
    }
}
