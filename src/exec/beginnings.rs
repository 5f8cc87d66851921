//! Prefixes that sequences share: whole blocks of tokens whose pages stay when their sequences are closed, until other
//! sequences need the pages.
//!
//! A block is identified by its tokens and by the block before it; all tokens are compared. Nobody writes to a page
//! that is kept here while a sequence reads it, so a sequence with the same prefix reads the same rows, and no row is
//! copied.

mod index;

use self::index::{Index, NONE};
use super::pages::Pages;
use crate::kernels::kv_cache::KEY_BLOCK;
use crate::plan::ModelPlan;

/// How well prefixes are shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrefixStatistics {
    /// Prompts that were looked up.
    pub lookups: u64,
    /// Lookups that found at least one block.
    pub hits: u64,
    /// Tokens that were not read because their rows were there.
    pub tokens_reused: u64,
    /// Positions of the prefixes that can be found now.
    pub positions: usize,
    /// Blocks of 64 positions that made room for others.
    pub evictions: u64,
}

impl PrefixStatistics {
    /// The share of lookups that found something; 0 before the first.
    pub fn hit_rate(&self) -> f64 {
        if self.lookups == 0 {
            0.0
        } else {
            self.hits as f64 / self.lookups as f64
        }
    }
}

/// The blocks, and the pages of each.
pub(super) struct Beginnings {
    index: Index,
    /// For each slot of the index, the page of each cache, or [`NONE`]: [slots][caches].
    pages: Vec<u32>,
    caches: usize,
    statistics: PrefixStatistics,
}

impl Beginnings {
    /// Space for as many blocks as `pages` pages can keep; for none if the plan has no caches.
    pub fn new(plan: &ModelPlan, pages: usize) -> Beginnings {
        let caches = plan.caches().len();
        let slots = pages.checked_div(caches).unwrap_or(0);
        Beginnings {
            index: Index::new(slots),
            pages: vec![NONE; slots * caches],
            caches,
            statistics: PrefixStatistics::default(),
        }
    }

    /// Let the sequence at `table`, which has no pages, read the longest known prefix of `tokens`: whole blocks, and
    /// never all of `tokens`, because the last token must be read for its logits. Returns the number of positions in
    /// the prefix.
    pub fn restore(
        &mut self,
        plan: &ModelPlan,
        pages: &mut Pages,
        table: usize,
        tokens: &[u32],
    ) -> usize {
        let wanted = &tokens[..tokens.len().saturating_sub(1)];
        let (found, mut slot) = self.index.walk(wanted);
        let end = found * KEY_BLOCK;
        self.statistics.lookups += 1;
        self.statistics.hits += u64::from(found > 0);
        self.statistics.tokens_reused += end as u64;
        for block in (0..found).rev() {
            let position = block * KEY_BLOCK;
            for (number, cache) in plan.caches().iter().enumerate() {
                // Blocks that no window reaches back to are not needed.
                if position + KEY_BLOCK > cache.first_needed(end) {
                    let page = self.pages[slot as usize * self.caches + number];
                    pages.share(table, cache.layout().entry(position), page);
                }
            }
            slot = self.index.before(slot);
        }
        end
    }

    /// Keep the whole blocks of `tokens`, which the sequence at `table` has read: the blocks that this step completed,
    /// after the first `known` positions.
    pub fn keep(
        &mut self,
        plan: &ModelPlan,
        pages: &mut Pages,
        table: usize,
        tokens: &[u32],
        known: usize,
    ) {
        let (blocks, _) = tokens.as_chunks::<KEY_BLOCK>();
        if blocks.len() <= known / KEY_BLOCK {
            return;
        }
        let (found, mut before) = self.index.walk(tokens);
        // Earlier blocks may have been forgotten meanwhile: then the blocks after them can't be found.
        if found < known / KEY_BLOCK {
            return;
        }
        for (block, tokens) in blocks.iter().enumerate().skip(found) {
            let Some(slot) = self.index.add(before, tokens) else {
                return;
            };
            self.forget(pages, slot);
            for (number, cache) in plan.caches().iter().enumerate() {
                let entry = cache.layout().entry(block * KEY_BLOCK);
                if let Some(page) = pages.page(table, entry) {
                    pages.join(page);
                    self.pages[slot as usize * self.caches + number] = page;
                }
            }
            before = slot;
        }
    }

    /// Forget the least recently used block. Returns whether there was one.
    pub fn make_room(&mut self, pages: &mut Pages) -> bool {
        let slot = self.index.remove_oldest();
        if let Some(slot) = slot {
            self.forget(pages, slot);
        }
        slot.is_some()
    }

    /// How well the prefixes are shared.
    pub fn statistics(&self) -> PrefixStatistics {
        PrefixStatistics {
            positions: self.index.len() * KEY_BLOCK,
            evictions: self.index.evictions(),
            ..self.statistics
        }
    }

    /// Release the pages of a slot.
    fn forget(&mut self, pages: &mut Pages, slot: u32) {
        let start = slot as usize * self.caches;
        for page in &mut self.pages[start..start + self.caches] {
            pages.leave(std::mem::replace(page, NONE));
        }
    }

    /// The page of each cache for each slot, or [`NONE`].
    #[cfg(test)]
    pub fn pages(&self) -> &[u32] {
        &self.pages
    }
}
