//! Which blocks of tokens are kept as prefixes, in which slots, and which block makes room next.

use std::hash::{BuildHasher, RandomState};

use crate::kernels::kv_cache::KEY_BLOCK;

/// No slot: nothing comes before, after or next.
pub(in crate::exec) const NONE: u32 = u32::MAX;

/// The blocks of tokens in the slots of a cache.
///
/// A block is found by a digest of its tokens and of the slot of the block before it: a walk takes time proportional to
/// the prompt, however many blocks there are. All blocks are in one list ordered by last use, so the block that makes
/// room next is always at its end. All memory is allocated in [`Index::new`].
pub(in crate::exec) struct Index {
    slots: usize,
    /// A block in each slot that was ever used; never more than `slots`.
    entries: Vec<Entry>,
    /// Slots that were used and are empty now.
    spare: Vec<u32>,
    /// A hash table: the slot of the newest block in each bucket, or [`NONE`]. As many bits of the digest choose the
    /// bucket as the length of this list has.
    buckets: Vec<u32>,
    hasher: RandomState,
    /// The ends of the list by last use, or [`NONE`]. Of blocks that were last used together, which are one path's, the
    /// one that comes first in the list is the newer.
    newest: u32,
    oldest: u32,
    /// A counter that every lookup and every store raises.
    clock: u64,
    /// Blocks that made room for others.
    evictions: u64,
}

/// What is stored about the block in a slot.
#[derive(Clone, Copy)]
struct Entry {
    /// The slot of the block before it, or [`NONE`].
    before: u32,
    /// The digest of `before` and the tokens: different digests mean different blocks.
    digest: u64,
    /// The next block in its bucket, or [`NONE`].
    next: u32,
    /// Its neighbours in the list by last use, or [`NONE`].
    newer: u32,
    older: u32,
    /// When it was last used. No block was used later than the one before it.
    used: u64,
    tokens: [u32; KEY_BLOCK],
}

impl Index {
    /// Room for `slots` blocks, at most [`NONE`].
    pub fn new(slots: usize) -> Index {
        Index {
            slots,
            entries: Vec::with_capacity(slots),
            spare: Vec::with_capacity(slots),
            buckets: vec![NONE; slots.next_power_of_two()],
            hasher: RandomState::new(),
            newest: NONE,
            oldest: NONE,
            clock: 0,
            evictions: 0,
        }
    }

    /// The most bytes that each slot takes here.
    #[cfg(test)]
    pub const SLOT_BYTES: usize = size_of::<Entry>() + 3 * size_of::<u32>();

    /// Bytes allocated besides the index itself.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        let numbers = self.buckets.capacity() + self.spare.capacity();
        self.entries.capacity() * size_of::<Entry>() + numbers * size_of::<u32>()
    }

    /// The number of blocks.
    pub fn len(&self) -> usize {
        self.entries.len() - self.spare.len()
    }

    /// The number of blocks that have made room for others.
    pub fn evictions(&self) -> u64 {
        self.evictions
    }

    /// The slot of the block before the one in `slot`, or [`NONE`].
    pub fn before(&self, slot: u32) -> u32 {
        self.entries[slot as usize].before
    }

    /// The number of blocks of the longest known prefix of `tokens`, and the slot of the last of these blocks, or
    /// [`NONE`]. Marks all of them as used now.
    pub fn walk(&mut self, tokens: &[u32]) -> (usize, u32) {
        self.clock += 1;
        let (mut found, mut last) = (0, NONE);
        for tokens in tokens.as_chunks::<KEY_BLOCK>().0 {
            let Some(slot) = self.find(last, tokens) else {
                break;
            };
            (found, last) = (found + 1, slot);
        }
        // The first block becomes the newest.
        let mut slot = last;
        while slot != NONE {
            self.unlist(slot);
            self.list_behind(NONE, slot);
            self.entries[slot as usize].used = self.clock;
            slot = self.before(slot);
        }
        (found, last)
    }

    /// A slot for a new block that follows the block in the slot `before`, which the last walk or addition returned.
    /// The slot was never used, or its block was the least recently used one, which no other block follows. `None` if
    /// all blocks are in use now, as the blocks before the new one are.
    pub fn add(&mut self, before: u32, tokens: &[u32; KEY_BLOCK]) -> Option<u32> {
        let slot = match self.spare.pop() {
            Some(slot) => slot,
            None if self.entries.len() < self.slots => self.entries.len() as u32,
            None => self.evict(true)?,
        };
        let digest = self.hasher.hash_one((before, tokens));
        let bucket = self.bucket(digest);
        let entry = Entry {
            before,
            digest,
            next: self.buckets[bucket],
            newer: NONE,
            older: NONE,
            used: self.clock,
            tokens: *tokens,
        };
        match self.entries.get_mut(slot as usize) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
        self.buckets[bucket] = slot;
        self.list_behind(before, slot);
        Some(slot)
    }

    fn bucket(&self, digest: u64) -> usize {
        digest as usize & (self.buckets.len() - 1)
    }

    /// The slot of the block with these tokens after the one in the slot `before`.
    fn find(&self, before: u32, tokens: &[u32; KEY_BLOCK]) -> Option<u32> {
        let digest = self.hasher.hash_one((before, tokens));
        let mut slot = self.buckets[self.bucket(digest)];
        while slot != NONE {
            let entry = &self.entries[slot as usize];
            if entry.digest == digest && entry.before == before && entry.tokens == *tokens {
                return Some(slot);
            }
            slot = entry.next;
        }
        None
    }

    /// Forget the least recently used block, which no other block follows, and return its slot; `None` if there is no
    /// block.
    pub fn remove_oldest(&mut self) -> Option<u32> {
        let slot = self.evict(false)?;
        self.spare.push(slot);
        Some(slot)
    }

    /// Forget the least recently used block, unless blocks in use now must be kept and it is one of them.
    fn evict(&mut self, keep_used: bool) -> Option<u32> {
        let slot = self.oldest;
        let entry = *self.entries.get(slot as usize)?;
        if keep_used && entry.used == self.clock {
            return None;
        }
        self.evictions += 1;
        self.unlist(slot);
        let bucket = self.bucket(entry.digest);
        let mut at = self.buckets[bucket];
        if at == slot {
            self.buckets[bucket] = entry.next;
            return Some(slot);
        }
        while self.entries[at as usize].next != slot {
            at = self.entries[at as usize].next;
        }
        self.entries[at as usize].next = entry.next;
        Some(slot)
    }

    /// Take a block out of the list by last use.
    fn unlist(&mut self, slot: u32) {
        let Entry { newer, older, .. } = self.entries[slot as usize];
        match self.entries.get_mut(newer as usize) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
    }

    /// Put a block into the list by last use, next to the block in the slot `newer` and older than it; if `newer` is
    /// [`NONE`], as the newest of all.
    fn list_behind(&mut self, newer: u32, slot: u32) {
        let older = match self.entries.get_mut(newer as usize) {
            Some(entry) => std::mem::replace(&mut entry.older, slot),
            None => std::mem::replace(&mut self.newest, slot),
        };
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = slot,
            None => self.oldest = slot,
        }
        let entry = &mut self.entries[slot as usize];
        (entry.newer, entry.older) = (newer, older);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition: look at all blocks, each time.
    #[derive(Default)]
    struct Linear {
        /// The tokens of the path to a block and of the block itself, and when it was last used; the place in the list
        /// is the slot.
        blocks: Vec<(Vec<u32>, u64)>,
        clock: u64,
        evictions: u64,
    }

    impl Linear {
        /// What [`Index::walk`] returns.
        fn walk(&mut self, tokens: &[u32]) -> (usize, u32) {
            self.clock += 1;
            let (mut found, mut last) = (0, NONE);
            while let Some(path) = tokens.get(..(found + 1) * KEY_BLOCK)
                && let Some(slot) = self.blocks.iter().position(|(known, _)| known == path)
            {
                self.blocks[slot].1 = self.clock;
                (found, last) = (found + 1, slot as u32);
            }
            (found, last)
        }

        /// What [`Index::add`] returns for the last block of `path`.
        fn add(&mut self, path: &[u32], slots: usize) -> Option<u32> {
            let block = (path.to_vec(), self.clock);
            if self.blocks.len() < slots {
                self.blocks.push(block);
                return Some(self.blocks.len() as u32 - 1);
            }
            let blocks = self.blocks.iter().enumerate();
            let (slot, (_, used)) =
                blocks.min_by_key(|(_, (path, used))| (*used, usize::MAX - path.len()))?;
            if *used == self.clock {
                return None;
            }
            self.evictions += 1;
            self.blocks[slot] = block;
            Some(slot as u32)
        }
    }

    /// Blocks that each repeat one of a few tokens 64 times: paths often share a prefix.
    fn prompt() -> impl Strategy<Value = Vec<u32>> {
        let blocks = proptest::collection::vec(0..3u32, 0..6);
        (blocks, 0..KEY_BLOCK).prop_map(|(blocks, rest)| {
            let blocks = blocks.into_iter();
            let tokens = blocks.flat_map(|token| [token; KEY_BLOCK]);
            tokens.chain((0..rest).map(|_| 7)).collect()
        })
    }

    proptest! {
        #[test]
        fn it_is_the_linear_definition(
            slots in 1..12usize,
            prompts in proptest::collection::vec((prompt(), any::<bool>()), 1..60),
        ) {
            let (mut index, mut linear) = (Index::new(slots), Linear::default());
            for (tokens, keeps) in prompts {
                let (found, last) = index.walk(&tokens);
                prop_assert_eq!((found, last), linear.walk(&tokens));
                let mut before = last;
                for (block, tokens_of) in tokens.as_chunks::<KEY_BLOCK>().0.iter().enumerate() {
                    if block < found || !keeps {
                        continue;
                    }
                    let added = index.add(before, tokens_of);
                    prop_assert_eq!(added, linear.add(&tokens[..(block + 1) * KEY_BLOCK], slots));
                    let Some(slot) = added else { break };
                    prop_assert_eq!(index.before(slot), before);
                    before = slot;
                }
                prop_assert_eq!(index.len(), linear.blocks.len());
                prop_assert_eq!(index.evictions(), linear.evictions);
            }
        }
    }

    #[test]
    fn few_blocks_share_a_bucket() {
        let slots = 5000;
        let mut index = Index::new(slots);
        for number in 0..2 * slots as u32 {
            let mut tokens = [0; KEY_BLOCK];
            tokens[number as usize % KEY_BLOCK] = number;
            index.walk(&[]);
            index.add(NONE, &tokens);
        }
        assert_eq!((index.len(), index.evictions()), (slots, slots as u64));
        let in_use = |slot: u32| (slot != NONE).then_some(slot);
        let chain = |&first: &u32| {
            let next = |&slot: &u32| in_use(index.entries[slot as usize].next);
            std::iter::successors(in_use(first), next).count()
        };
        let chains: Vec<usize> = index.buckets.iter().map(chain).collect();
        assert_eq!(chains.iter().sum::<usize>(), slots);
        // Of 5000 blocks in 8192 buckets, the chance that 16 share one is less than one in 10^12.
        assert!(chains.iter().all(|&length| length < 16));
    }

    #[test]
    fn a_slot_takes_no_more_than_stated() {
        for slots in [1, 2, 3, 64, 65, 1000] {
            assert!(Index::new(slots).bytes() <= slots * Index::SLOT_BYTES);
            const { assert!(Index::SLOT_BYTES <= crate::plan::BEGINNING_BYTES) };
        }
    }
}
