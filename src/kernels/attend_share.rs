//! How the threads share out the queries of attention: in units of up to [`UNIT`], which walk the context together.
//!
//! No query's order of additions depends on its unit, so that all of this decides about time alone.

use std::ops::Range;

use super::attend::{TILE, UNIT, tile_rows};
use super::call::Call;
use super::kv_cache::BLOCK;

/// Queries a unit, so that the threads finish early: large units load keys for many queries, small ones keep all
/// threads busy. Loading a block is reckoned as two queries' work.
pub(super) fn unit_size(total: usize, kv_heads: usize, threads: usize) -> usize {
    let mut best = (usize::MAX, UNIT);
    let mut size = UNIT;
    while size > 0 {
        let rounds = (total.div_ceil(size) * kv_heads).div_ceil(threads);
        let queries = size.min(total);
        // One query alone takes as long as two: its chains are too few to fill the pipeline.
        let rows = queries / TILE * TILE + tile_rows((queries % TILE).next_multiple_of(2));
        let time = rounds * (rows + 2);
        if time < best.0 {
            best = (time, size);
        }
        size /= 2;
    }
    best.1
}

/// Gives the units of this thread's share of a step of several sequences: the sequence's tokens, a KV head, and up to
/// [`UNIT`] members. Each thread has consecutive units whose cost, queries times blocks of keys, is as even as whole
/// units allow.
#[inline(always)]
pub(super) fn share_sequences(
    call: &Call<'_>,
    group: usize,
    kv_heads: usize,
    mut each: impl FnMut(Range<usize>, usize, Range<usize>),
) {
    // Loading a block is reckoned as two queries' work.
    let cost = |queries: usize, tokens: usize| {
        (queries.next_multiple_of(TILE) + 2) * tokens.div_ceil(BLOCK)
    };
    let sequences = || call.sequences.windows(2).map(|ends| ends[0]..ends[1]);
    let cost_of_all: usize = sequences()
        .map(|tokens| {
            let queries = tokens.len() * group;
            let whole = queries / UNIT * cost(UNIT, tokens.len());
            let rest = match queries % UNIT {
                0 => 0,
                rest => cost(rest, tokens.len()),
            };
            kv_heads * (whole + rest)
        })
        .sum();
    let mut before = 0;
    for tokens in sequences() {
        let queries = tokens.len() * group;
        for kv_head in 0..kv_heads {
            for start in (0..queries).step_by(UNIT) {
                let members = start..queries.min(start + UNIT);
                let cost = cost(members.len(), tokens.len());
                // A unit is the thread's in whose part its middle lies.
                let thread = (2 * before + cost) * call.threads / (2 * cost_of_all);
                if thread == call.thread {
                    each(tokens.clone(), kv_head, members);
                }
                before += cost;
            }
        }
    }
}
