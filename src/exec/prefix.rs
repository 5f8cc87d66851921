//! The prefix cache: keys and values of tokens that were read, so that prompts with a common prefix need not read it
//! twice.
//!
//! Rows are kept in blocks of 64 positions. A block is identified by its tokens and by the block before it, so that the
//! blocks form a tree whose paths are the prefixes that were read; all tokens are compared, and no two different
//! prefixes are mistaken for each other. A lookup takes time proportional to the prompt. When no block is free, the
//! least recently used block makes room, the deepest of a path first. All memory is allocated when the cache is made.

pub(super) mod index;

use std::sync::{Mutex, MutexGuard, PoisonError};

use self::index::{Index, NONE};

use super::arena::{Arena, ArenaError};
use super::caches::kv_cache;
use super::pages::Pages;
use crate::kernels::kv_cache::{KEY_BLOCK, SequenceCache};
use crate::plan::ModelPlan;

/// How well a prefix cache works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrefixStatistics {
    /// Prompts that were looked up.
    pub lookups: u64,
    /// Lookups that found at least one block.
    pub hits: u64,
    /// Tokens that were not read because their rows were there.
    pub tokens_reused: u64,
    /// Positions whose rows are kept now, in all layers.
    pub rows_used: usize,
    /// Positions that the cache can hold.
    pub rows: usize,
    /// Bytes allocated, whether or not they hold rows: at most the budget.
    pub bytes: usize,
    /// Blocks that made room for others.
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

/// The cache, shared by all sessions of an executor.
pub struct PrefixCache {
    store: Mutex<Store>,
}

/// Why there is no cache.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixCacheError {
    /// Not a single block fits.
    #[error("a block of {KEY_BLOCK} positions takes more")]
    TooSmall,
    /// The system has no memory for it.
    #[error(transparent)]
    Arena(#[from] ArenaError),
}

struct Store {
    /// [slots][cache: keys [kv_heads][64 · head_dim], values the same], as they lie in a session.
    rows: Arena,
    /// Bytes of a slot in `rows`.
    slot_bytes: usize,
    /// What lies in the slots.
    index: Index,
    statistics: PrefixStatistics,
}

impl PrefixCache {
    /// A cache for sessions of `plan` that takes at most `budget` bytes, all allocated now.
    pub fn new(plan: &ModelPlan, budget: usize) -> Result<PrefixCache, PrefixCacheError> {
        let slot_bytes = slot_bytes(plan);
        let each = slot_bytes + Index::SLOT_BYTES;
        let mut slots = (budget / each).min(NONE as usize);
        loop {
            if slots == 0 || slot_bytes == 0 {
                return Err(PrefixCacheError::TooSmall);
            }
            let rows = Arena::new(slots * slot_bytes)?;
            let index = Index::new(slots);
            let bytes = size_of::<PrefixCache>() + rows.allocated_bytes() + index.bytes();
            if bytes > budget {
                // What the arena adds by rounding up.
                slots -= (bytes - budget).div_ceil(each).min(slots);
                continue;
            }
            let statistics = PrefixStatistics {
                rows: slots * KEY_BLOCK,
                bytes,
                ..PrefixStatistics::default()
            };
            return Ok(PrefixCache {
                store: Mutex::new(Store {
                    rows,
                    slot_bytes,
                    index,
                    statistics,
                }),
            });
        }
    }

    /// About the fewest bytes that a cache for `plan` takes; `None` where the model keeps no rows.
    pub fn least_bytes(plan: &ModelPlan) -> Option<usize> {
        let rows = slot_bytes(plan);
        // What the arena may add by rounding up.
        (rows > 0).then(|| 2 * rows + Index::SLOT_BYTES + size_of::<PrefixCache>() + 4096)
    }

    /// If this cache's blocks of rows (all layers) differ in size from `plan`'s: the bytes kept here, and those of
    /// `plan`.
    pub(super) fn misfit(&self, plan: &ModelPlan) -> Option<(usize, usize)> {
        let (kept, wanted) = (self.lock().slot_bytes, slot_bytes(plan));
        (kept != wanted).then_some((kept, wanted))
    }

    /// How well the cache works.
    pub fn statistics(&self) -> PrefixStatistics {
        let store = self.lock();
        PrefixStatistics {
            rows_used: store.index.len() * KEY_BLOCK,
            evictions: store.index.evictions(),
            ..store.statistics
        }
    }

    /// Copies the rows of the longest known prefix of `tokens` into the arena of a session without tokens. Returns the
    /// number of positions: whole blocks, and never all of `tokens`, because the last token must be read for its
    /// logits. For each cache of `plan`, `held` receives the first position whose row then exists.
    pub(super) fn restore(
        &self,
        plan: &ModelPlan,
        tokens: &[u32],
        (arena, pages): (&mut Arena, &Pages),
        held: &mut [usize],
    ) -> usize {
        let mut store = self.lock();
        let wanted = &tokens[..tokens.len().saturating_sub(1)];
        let (found, last) = store.index.walk(wanted);
        store.statistics.lookups += 1;
        store.statistics.hits += u64::from(found > 0);
        let position = found * KEY_BLOCK;
        store.statistics.tokens_reused += position as u64;
        for (cache, held) in plan.caches().iter().zip(held) {
            *held = cache.first_needed(position) / KEY_BLOCK * KEY_BLOCK;
        }
        let mut slot = last;
        for block in (0..found).rev() {
            let mut from = slot as usize * store.slot_bytes;
            for cache in plan.caches() {
                let first = cache.first_needed(position);
                // SAFETY: the session's arena is borrowed exclusively.
                let rows = unsafe { kv_cache(plan, cache, arena, pages) }.of(0);
                let seen = (block + 1) * KEY_BLOCK > first;
                let copied = store.copy(from, &rows, block, seen.then_some(Copy::Out));
                from += copied;
            }
            slot = store.index.before(slot);
        }
        position
    }

    /// Keeps the rows of the whole blocks of `tokens`, which must be all tokens that a session has read. The rows lie
    /// in the session's arena, from the positions `held` on. Blocks that are known already are marked as used.
    pub(super) fn keep(
        &self,
        plan: &ModelPlan,
        tokens: &[u32],
        (arena, pages): (&Arena, &Pages),
        held: &[usize],
    ) {
        let mut store = self.lock();
        let (known, mut before) = store.index.walk(tokens);
        let first = held.iter().copied().max().unwrap_or(0);
        let (blocks, _) = tokens.as_chunks::<KEY_BLOCK>();
        for (block, tokens) in blocks.iter().enumerate().skip(known) {
            if block * KEY_BLOCK < first {
                return;
            }
            let Some(slot) = store.index.add(before, tokens) else {
                return;
            };
            let mut to = slot as usize * store.slot_bytes;
            for cache in plan.caches() {
                // SAFETY: the session lends its arena, and none of its steps runs.
                let rows = unsafe { kv_cache(plan, cache, arena, pages) }.of(0);
                to += store.copy(to, &rows, block, Some(Copy::In));
            }
            before = slot;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether rows are copied into the prefix cache or out of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Copy {
    In,
    Out,
}

impl Store {
    /// Copies one block of a layer's rows between `rows` and the bytes from `offset` on, if asked to. Returns the bytes
    /// that the block takes there.
    fn copy(
        &self,
        offset: usize,
        rows: &SequenceCache<'_>,
        block: usize,
        direction: Option<Copy>,
    ) -> usize {
        let floats = rows.layout().block_floats();
        let bytes = floats * size_of::<f32>();
        let Some(direction) = direction else {
            return bytes;
        };
        // SAFETY: the store is behind its lock, which the caller holds.
        let kept = unsafe { self.rows.cells::<f32>(offset, floats) };
        let row = rows.block(block * KEY_BLOCK);
        let (from, to) = match direction {
            Copy::In => (row, kept),
            Copy::Out => (kept, row),
        };
        to.iter()
            .zip(from)
            .for_each(|(to, from)| to.set(from.get()));
        bytes
    }
}

/// Bytes of a block of rows of all layers.
fn slot_bytes(plan: &ModelPlan) -> usize {
    let rows = plan.caches().iter().map(|cache| cache.layout().row_bytes());
    rows.sum::<usize>() * KEY_BLOCK
}
