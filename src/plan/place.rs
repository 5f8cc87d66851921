//! Placing buffers by lifetime: an offset for each, such that buffers that live at the same time share no byte.
//!
//! The task (dynamic storage allocation) is NP-hard, yet graphs of layers are easy: one of a few greedy orders is
//! usually optimal. The lower bound, the most bytes that live in one phase, tells when to stop. Where no order reaches
//! it, the buffer that does not fit below a target moves to an earlier place in the order and the order is tried again,
//! as long as a fixed amount of work allows. Nothing depends on time or chance: equal input gives equal offsets.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::alive::Alive;

/// Memory that one alias class of values needs, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Size in bytes; may be 0.
    pub bytes: usize,
    /// The first phase in which the buffer is written.
    pub first: usize,
    /// The last phase in which the buffer is read or written, inclusive. What lies before `first` counts as `first`.
    pub last: usize,
}

impl Buffer {
    /// The last phase of the buffer's life.
    fn end(&self) -> usize {
        self.last.max(self.first)
    }
}

/// Where each buffer lies.
///
/// If the buffers together exceed `usize::MAX`, then `bytes` is `usize::MAX`, which no arena can hold, and the offsets
/// are meaningless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Offset in bytes of each buffer, a multiple of the alignment, in the order the buffers were given.
    pub offsets: Vec<usize>,
    /// Bytes that hold all buffers, a multiple of the alignment.
    pub bytes: usize,
    /// The most bytes, rounded up to the alignment, that live in any one phase. No placement can be smaller.
    pub lower_bound: usize,
    /// Bytes the buffers would take if none shared memory with another.
    pub unshared: usize,
}

/// What [`verify`] found wrong with a placement. Buffers are named by their index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Overlap {
    /// Two buffers live in the same phase and share bytes.
    #[error(
        "buffers {a} and {b} share bytes while both live: {a} holds bytes {a_start}..{a_end} in phases \
         {}..={}, {b} holds bytes {b_start}..{b_end} in phases {}..={}",
        a_buffer.first, a_buffer.last, b_buffer.first, b_buffer.last
    )]
    Shared {
        /// One buffer's index.
        a: usize,
        /// The other buffer's index.
        b: usize,
        /// The buffer at index `a`.
        a_buffer: Buffer,
        /// The buffer at index `b`.
        b_buffer: Buffer,
        /// First byte of `a`.
        a_start: usize,
        /// One past the last byte of `a`.
        a_end: usize,
        /// First byte of `b`.
        b_start: usize,
        /// One past the last byte of `b`.
        b_end: usize,
    },
    /// A buffer's offset is not a multiple of the alignment.
    #[error("buffer {buffer} lies at byte {offset}, which is not a multiple of {alignment}")]
    Unaligned {
        /// The buffer's index.
        buffer: usize,
        /// Its offset in bytes.
        offset: usize,
        /// The alignment in bytes.
        alignment: usize,
    },
    /// A buffer ends past the end of the placement.
    #[error(
        "buffer {buffer} lies at byte {offset} and is {bytes} bytes long, but the placement ends at byte {end}"
    )]
    Outside {
        /// The buffer's index.
        buffer: usize,
        /// Its offset in bytes.
        offset: usize,
        /// Its size in bytes.
        bytes: usize,
        /// The placement's size in bytes.
        end: usize,
    },
    /// The placement is for a different number of buffers.
    #[error("the placement has {found} offsets for {expected} buffers")]
    Count {
        /// Number of buffers.
        expected: usize,
        /// Number of offsets.
        found: usize,
    },
}

/// Work allowed for one placement, in pairs of a buffer and an already placed buffer. Each pair is counted, though only
/// buffers that live together are compared, so that a plan of thousands of buffers tries few orders.
const WORK: usize = 24_000_000;

/// Give every buffer an offset, a multiple of `alignment` bytes, such that no two that live in the same phase overlap.
pub fn place(buffers: &[Buffer], alignment: usize) -> Placement {
    let alignment = alignment.max(1);
    let rounded: Vec<Buffer> = buffers
        .iter()
        .map(|buffer| Buffer {
            bytes: round_up(buffer.bytes, alignment),
            last: buffer.end(),
            ..*buffer
        })
        .collect();
    let (lower_bound, peak) = most_alive(&rounded);
    let unshared = rounded
        .iter()
        .fold(0, |sum: usize, buffer| sum.saturating_add(buffer.bytes));

    if unshared > usize::MAX - alignment {
        // The offsets may have overflowed.
        return Placement {
            offsets: vec![0; buffers.len()],
            bytes: usize::MAX,
            lower_bound,
            unshared,
        };
    }
    let mut search = Search::new(&rounded, lower_bound, peak, alignment);
    search.greedy_orders();
    search.valley_orders();
    search.improve();
    Placement {
        offsets: search.best_offsets,
        bytes: search.best_bytes,
        lower_bound,
        unshared,
    }
}

/// Check that `placement` keeps all `buffers` that live in the same phase apart, aligns each, and covers all.
pub fn verify(buffers: &[Buffer], placement: &Placement, alignment: usize) -> Result<(), Overlap> {
    let (expected, found) = (buffers.len(), placement.offsets.len());
    if expected != found {
        return Err(Overlap::Count { expected, found });
    }
    for (i, (buffer, &offset)) in buffers.iter().zip(&placement.offsets).enumerate() {
        if offset % alignment.max(1) != 0 {
            return Err(Overlap::Unaligned {
                buffer: i,
                offset,
                alignment,
            });
        }
        if offset
            .checked_add(buffer.bytes)
            .is_none_or(|end| end > placement.bytes)
        {
            return Err(Overlap::Outside {
                buffer: i,
                offset,
                bytes: buffer.bytes,
                end: placement.bytes,
            });
        }
    }
    // Phase by phase: compare the buffers that begin to live with those that live already, which share no byte and so
    // are ordered.
    let mut beginnings: Vec<usize> = (0..expected).filter(|&i| buffers[i].bytes > 0).collect();
    let mut ends = beginnings.clone();
    beginnings.sort_by_key(|&i| (buffers[i].first, i));
    ends.sort_by_key(|&i| buffers[i].end());
    let mut ends = ends.into_iter().peekable();
    let mut alive: BTreeMap<usize, usize> = BTreeMap::new();
    let bytes = |i: usize| placement.offsets[i]..placement.offsets[i] + buffers[i].bytes;
    for index in beginnings {
        while let Some(ended) = ends.next_if(|&i| buffers[i].end() < buffers[index].first) {
            alive.remove(&placement.offsets[ended]);
        }
        let own = bytes(index);
        let before = alive.range(..own.end).next_back();
        if let Some((_, &other)) = before.filter(|&(_, &other)| bytes(other).end > own.start) {
            return Err(shared(
                buffers,
                placement,
                other.min(index),
                other.max(index),
            ));
        }
        alive.insert(own.start, index);
    }
    Ok(())
}

/// What [`verify`] reports about two buffers.
fn shared(buffers: &[Buffer], placement: &Placement, a: usize, b: usize) -> Overlap {
    let (a_start, b_start) = (placement.offsets[a], placement.offsets[b]);
    Overlap::Shared {
        a,
        b,
        a_buffer: buffers[a],
        b_buffer: buffers[b],
        a_start,
        a_end: a_start + buffers[a].bytes,
        b_start,
        b_end: b_start + buffers[b].bytes,
    }
}

/// `bytes` rounded up to a multiple of `alignment`, or the largest multiple that fits in a usize.
pub(super) fn round_up(bytes: usize, alignment: usize) -> usize {
    bytes
        .checked_next_multiple_of(alignment)
        .unwrap_or(usize::MAX - usize::MAX % alignment)
}

/// The most bytes that live in one phase, and the first such phase.
fn most_alive(buffers: &[Buffer]) -> (usize, usize) {
    let mut starts: Vec<(usize, usize)> = buffers.iter().map(|b| (b.first, b.bytes)).collect();
    let mut ends: Vec<(usize, usize)> = buffers.iter().map(|b| (b.last, b.bytes)).collect();
    starts.sort_unstable();
    ends.sort_unstable();
    let (mut alive, mut most, mut peak, mut ended) = (0u128, 0u128, 0, 0);
    for (phase, bytes) in starts {
        while let Some(&(last, bytes)) = ends.get(ended)
            && last < phase
        {
            alive -= bytes as u128;
            ended += 1;
        }
        alive += bytes as u128;
        if alive > most {
            (most, peak) = (alive, phase);
        }
    }
    (usize::try_from(most).unwrap_or(usize::MAX), peak)
}

/// The search for a good order. `best_*` hold the smallest placement found so far.
struct Search<'a> {
    buffers: &'a [Buffer],
    lower_bound: usize,
    /// The phase in which `lower_bound` bytes live.
    peak: usize,
    alignment: usize,
    best_bytes: usize,
    best_offsets: Vec<usize>,
    best_order: Vec<usize>,
    /// Work left, in pairs of buffers.
    work: usize,
    /// Scratch: buffers placed so far in this try.
    placed: Alive,
    /// Scratch: where the buffers that live with the next one lie, first and one past the last byte.
    taken: Vec<(usize, usize)>,
    /// Scratch: offsets of this try.
    offsets: Vec<usize>,
}

impl<'a> Search<'a> {
    fn new(buffers: &'a [Buffer], lower_bound: usize, peak: usize, alignment: usize) -> Self {
        let lives: Vec<_> = buffers.iter().map(|b| (b.first, b.last)).collect();
        Search {
            buffers,
            lower_bound,
            peak,
            alignment,
            best_bytes: usize::MAX,
            best_offsets: vec![0; buffers.len()],
            best_order: Vec::new(),
            work: WORK,
            placed: Alive::new(&lives),
            taken: Vec::new(),
            offsets: vec![0; buffers.len()],
        }
    }

    /// Place the buffers in `order`, each at the lowest offset that is free during its whole life. Stop at the first
    /// buffer that would end past `limit`, and return its place in the order.
    fn attempt(&mut self, order: &[usize], limit: usize) -> Result<usize, usize> {
        self.placed.clear();
        let mut bytes = 0;
        for (rank, &index) in order.iter().enumerate() {
            let buffer = &self.buffers[index];
            self.taken.clear();
            let (buffers, offsets, taken) = (self.buffers, &self.offsets, &mut self.taken);
            self.placed.with(index, |other| {
                let start = offsets[other];
                taken.push((start, start.saturating_add(buffers[other].bytes)));
            });
            self.taken.sort_unstable();
            let mut start = 0usize;
            for &(other_start, other_end) in &self.taken {
                if other_start.saturating_sub(start) >= buffer.bytes {
                    break;
                }
                start = start.max(other_end);
            }
            self.work = self.work.saturating_sub(rank + 16);
            let end = start.saturating_add(buffer.bytes);
            if end > limit {
                return Err(rank);
            }
            bytes = bytes.max(end);
            self.offsets[index] = start;
            self.placed.add(index);
        }
        Ok(bytes)
    }

    /// Try `order` and keep its placement if it is the smallest so far.
    fn consider(&mut self, order: &[usize]) {
        let limit = self.best_bytes.saturating_sub(self.alignment);
        if !self.is_done()
            && let Ok(bytes) = self.attempt(order, limit)
        {
            self.keep(order, bytes);
        }
    }

    fn keep(&mut self, order: &[usize], bytes: usize) {
        self.best_bytes = bytes;
        self.best_offsets.copy_from_slice(&self.offsets);
        self.best_order.clear();
        self.best_order.extend_from_slice(order);
    }

    /// True once nothing smaller can be found, or the allowed work is done and a placement exists.
    fn is_done(&self) -> bool {
        self.best_bytes == self.lower_bound || (self.work == 0 && !self.best_order.is_empty())
    }

    /// Buffers that need a place: empty ones lie at 0.
    fn nonempty(&self) -> Vec<usize> {
        (0..self.buffers.len())
            .filter(|&i| self.buffers[i].bytes > 0)
            .collect()
    }

    /// Three orders: largest first; largest size × lifetime first; first use first.
    fn greedy_orders(&mut self) {
        let buffers = self.buffers;
        let life = |i: usize| buffers[i].last - buffers[i].first;
        let mut order = self.nonempty();
        if order.is_empty() {
            self.best_bytes = 0;
        }
        order.sort_by_key(|&i| (Reverse(buffers[i].bytes), Reverse(life(i)), i));
        self.consider(&order);
        order.sort_by_key(|&i| (Reverse(buffers[i].bytes as u128 * (life(i) as u128 + 1)), i));
        self.consider(&order);
        order.sort_by_key(|&i| (buffers[i].first, Reverse(buffers[i].last), i));
        self.consider(&order);
    }

    /// Fill valleys, the longest lives first: once with the buffers of the fullest phase before all others, once
    /// without that preference.
    fn valley_orders(&mut self) {
        let life = |buffer: &Buffer| (buffer.last - buffer.first, buffer.bytes);
        let peak = self.peak;
        let through_peak = |buffer: &Buffer| buffer.first <= peak && peak <= buffer.last;
        if !self.is_done() {
            let order = self.valley_order(|buffer| (through_peak(buffer), life(buffer)));
            self.consider(&order);
        }
        if !self.is_done() {
            let order = self.valley_order(life);
            self.consider(&order);
        }
    }

    /// Aim at a target between the lower bound and the best so far. The buffer that does not fit below the target moves
    /// to the front of the order or to a random earlier place. A target that is missed is replaced by an easier one.
    fn improve(&mut self) {
        let mut random = 0x9E37_79B9_7F4A_7C15u64;
        let mut below = move |bound: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % bound.max(1) as u64) as usize
        };
        let mut order = Vec::with_capacity(self.best_order.len());
        let mut misses = 0u32;
        while !self.is_done() {
            // Gaps are multiples of the alignment, so every step down is at least one alignment.
            let gap = self.best_bytes - self.lower_bound;
            let step = gap.checked_shr(misses).unwrap_or(0) / self.alignment * self.alignment;
            let target = self.best_bytes - step.max(self.alignment);
            order.clone_from(&self.best_order);
            let stop = self.work - self.work.div_ceil(4);
            let mut found = false;
            while !found && self.work > stop {
                match self.attempt(&order, target) {
                    Ok(bytes) => {
                        self.keep(&order, bytes);
                        found = true;
                    }
                    Err(rank) => {
                        let to = if below(4) == 0 { 0 } else { below(rank) };
                        order[to..=rank].rotate_right(1);
                    }
                }
            }
            misses = if found {
                misses.saturating_sub(1)
            } else {
                misses + 1
            };
        }
    }
}

/// A stretch of phases in which the placed buffers reach up to the same offset.
#[derive(Clone, Copy)]
struct Level {
    first: usize,
    last: usize,
    height: usize,
}

impl Search<'_> {
    /// An order that fills valleys: always at the lowest level, take the buffer of the greatest `worth` among the
    /// buffers that live within that level's phases. A level too narrow for any buffer rises to its lower neighbour.
    fn valley_order<K: Ord>(&mut self, worth: impl Fn(&Buffer) -> K) -> Vec<usize> {
        let buffers = self.buffers;
        let mut waiting = self.nonempty();
        waiting.sort_by_key(|&i| (Reverse(worth(&buffers[i])), i));
        let end = waiting.iter().map(|&i| buffers[i].last).max().unwrap_or(0);
        let mut levels = vec![Level {
            first: 0,
            last: end,
            height: 0,
        }];
        let mut order = Vec::with_capacity(waiting.len());
        while !waiting.is_empty() {
            self.work = self.work.saturating_sub(waiting.len() + levels.len());
            let Some(lowest) = (0..levels.len()).min_by_key(|&l| levels[l].height) else {
                break;
            };
            let level = levels[lowest];
            let fits =
                |&i: &usize| level.first <= buffers[i].first && buffers[i].last <= level.last;
            if let Some(at) = waiting.iter().position(fits) {
                let index = waiting.remove(at);
                let buffer = &buffers[index];
                order.push(index);
                let (first, last) = (buffer.first, buffer.last);
                let height = level.height.saturating_add(buffer.bytes);
                let before = (level.first < first).then(|| Level {
                    last: first - 1,
                    ..level
                });
                let after = (last < level.last).then(|| Level {
                    first: last + 1,
                    ..level
                });
                let parts = before
                    .into_iter()
                    .chain([Level {
                        first,
                        last,
                        height,
                    }])
                    .chain(after);
                levels.splice(lowest..=lowest, parts);
            } else {
                let left = lowest.checked_sub(1).map(|l| levels[l].height);
                let right = levels.get(lowest + 1).map(|l| l.height);
                let Some(height) = left.into_iter().chain(right).min() else {
                    break;
                };
                levels[lowest].height = height;
                if right == Some(height) {
                    levels[lowest].last = levels[lowest + 1].last;
                    levels.remove(lowest + 1);
                }
                if left == Some(height) {
                    levels[lowest - 1].last = levels[lowest].last;
                    levels.remove(lowest);
                }
            }
        }
        order
    }
}
