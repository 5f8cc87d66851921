//! Keys and values: pages of a pool, and where each position of a sequence lies in them.

use std::cell::Cell;

use super::simd::LANES;

/// Positions of a key block, and so of a page: attention merges partial results at multiples of it.
pub const KEY_BLOCK: usize = 64;

/// How one layer's keys and values lie in pages.
///
/// A page has the keys and values of one block of positions, 64 · b to 64 · b + 63, of one layer: keys in panels of 16
/// positions, `[kv_head][4][head_dim][16]`, then values `[kv_head][64][head_dim]`. All pages of a model have one size;
/// a layer may use only a part of its pages.
///
/// A sequence has one table of page numbers for all layers. The layer's part of the table has `blocks` entries from
/// `first` on; block b uses entry b modulo `blocks`: a new block replaces one that the window no longer reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLayout {
    kv_heads: usize,
    head_dim: usize,
    blocks: usize,
    first: usize,
    page_floats: usize,
}

impl KvLayout {
    /// A layout for at least `capacity` positions and at least one, rounded up to whole blocks, in pages of its own
    /// size. Its entries are the first of a table.
    pub fn new(kv_heads: usize, head_dim: usize, capacity: usize) -> KvLayout {
        KvLayout {
            kv_heads,
            head_dim,
            blocks: capacity.max(1).div_ceil(KEY_BLOCK),
            first: 0,
            page_floats: block_floats(kv_heads, head_dim),
        }
    }

    /// The same layout with its entries from `first` on, in pages of `page_floats` floats, at least
    /// [`KvLayout::block_floats`].
    pub fn placed(self, first: usize, page_floats: usize) -> KvLayout {
        KvLayout {
            first,
            page_floats,
            ..self
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

    /// Entries that the layer has in a sequence's table.
    #[inline(always)]
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// The number of the first of these entries.
    #[inline(always)]
    pub fn first(&self) -> usize {
        self.first
    }

    /// Floats from one page of the pool to the next.
    #[inline(always)]
    pub fn page_floats(&self) -> usize {
        self.page_floats
    }

    /// Positions of a sequence that the layout holds, a multiple of [`KEY_BLOCK`]: the latest ones are kept.
    #[inline(always)]
    pub fn capacity(&self) -> usize {
        self.blocks * KEY_BLOCK
    }

    /// Floats of the keys and values of a block.
    #[inline(always)]
    pub fn block_floats(&self) -> usize {
        block_floats(self.kv_heads, self.head_dim)
    }

    /// The bytes of the keys and values of one position, in all heads.
    pub fn row_bytes(&self) -> usize {
        2 * self.kv_heads * self.head_dim * size_of::<f32>()
    }

    /// The entry of a sequence's table for the page of `position`.
    #[inline(always)]
    pub fn entry(&self, position: usize) -> usize {
        self.first + position / KEY_BLOCK % self.blocks
    }
}

fn block_floats(kv_heads: usize, head_dim: usize) -> usize {
    2 * kv_heads * head_dim * KEY_BLOCK
}

/// One layer's keys and values in the pool of pages.
#[derive(Clone, Copy)]
pub struct KvCache<'a> {
    /// All pages of the model, `layout.page_floats()` floats each.
    pub pool: &'a [Cell<f32>],
    /// The tables of all sequences, one after another: numbers of pages.
    pub tables: &'a [u32],
    /// How the layer's keys and values lie in the pages.
    pub layout: KvLayout,
}

impl<'a> KvCache<'a> {
    /// The keys and values of a sequence whose table begins at `table`.
    #[inline(always)]
    pub fn of(&self, table: usize) -> SequenceCache<'a> {
        SequenceCache {
            pool: self.pool,
            layout: self.layout,
            pages: &self.tables[table..],
        }
    }
}

/// One layer's keys and values of one sequence.
#[derive(Clone, Copy)]
pub struct SequenceCache<'a> {
    pool: &'a [Cell<f32>],
    layout: KvLayout,
    pages: &'a [u32],
}

impl<'a> SequenceCache<'a> {
    /// How the keys and values lie in the pages.
    #[inline(always)]
    pub fn layout(&self) -> KvLayout {
        self.layout
    }

    /// Keys and values of the block with `position`: `layout.block_floats()` floats.
    #[inline(always)]
    pub fn block(&self, position: usize) -> &'a [Cell<f32>] {
        let page = self.pages[self.layout.entry(position)] as usize;
        let start = page * self.layout.page_floats;
        &self.pool[start..start + self.layout.block_floats()]
    }

    /// A head's keys of the block with `position`: `[4][head_dim][16]`.
    #[inline(always)]
    pub fn block_keys(&self, kv_head: usize, position: usize) -> &'a [Cell<f32>] {
        let floats = KEY_BLOCK * self.layout.head_dim;
        &self.block(position)[kv_head * floats..(kv_head + 1) * floats]
    }

    /// A head's values of the block with `position`: `[64][head_dim]`.
    #[inline(always)]
    pub fn block_values(&self, kv_head: usize, position: usize) -> &'a [Cell<f32>] {
        let floats = KEY_BLOCK * self.layout.head_dim;
        let head = self.layout.kv_heads + kv_head;
        &self.block(position)[head * floats..(head + 1) * floats]
    }

    /// The key of `position`: its head_dim elements in order, each to be read or written.
    #[inline(always)]
    pub fn key(
        &self,
        kv_head: usize,
        position: usize,
    ) -> impl Iterator<Item = &'a Cell<f32>> + use<'a> {
        let place = position % KEY_BLOCK;
        let panel = place / LANES * LANES * self.layout.head_dim;
        self.block_keys(kv_head, position)[panel + place % LANES..]
            .iter()
            .step_by(LANES)
            .take(self.layout.head_dim)
    }

    /// The value of `position`: head_dim elements.
    #[inline(always)]
    pub fn value(&self, kv_head: usize, position: usize) -> &'a [Cell<f32>] {
        let start = position % KEY_BLOCK * self.layout.head_dim;
        &self.block_values(kv_head, position)[start..start + self.layout.head_dim]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_and_element_has_its_own_place() {
        // Pages larger than a block, in shuffled order, and a table that begins with another layer's entry.
        let layout = KvLayout::new(3, 5, 65);
        let layout = layout.placed(1, layout.block_floats() + 7);
        assert_eq!(layout.capacity(), 128);
        let pool = vec![Cell::new(0.0); 4 * layout.page_floats()];
        let cache = KvCache {
            pool: &pool,
            tables: &[5, 5, 9, 3, 1],
            layout,
        };
        let rows = cache.of(2);
        for head in 0..3 {
            for position in 0..128 {
                let elements = rows.key(head, position).chain(rows.value(head, position));
                for cell in elements {
                    cell.set(cell.get() + 1.0);
                }
            }
        }
        let page = |number: usize| {
            let start = number * layout.page_floats();
            pool[start..start + layout.block_floats()].iter()
        };
        assert!(page(1).chain(page(3)).all(|cell| cell.get() == 1.0));
        let touched = pool.iter().filter(|cell| cell.get() != 0.0).count();
        assert_eq!(touched, 2 * layout.block_floats());
    }

    #[test]
    fn a_position_replaces_the_position_one_capacity_earlier() {
        let layout = KvLayout::new(2, 5, 100);
        for position in 0..128 {
            let later = position + 3 * layout.capacity();
            assert_eq!(layout.entry(later), layout.entry(position));
        }
    }
}
