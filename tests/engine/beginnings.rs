//! Is a known prefix read only once, and shared without a copy?

use std::time::{Duration, Instant};

use smallmind::Options;
use smallmind::exec::batcher::pages_of;

use crate::common::{bits, decoders, open};

fn tokens(length: usize, turn: u32) -> Vec<u32> {
    (0..length as u32)
        .map(|at| (at * 31 + turn * 17) % 250)
        .collect()
}

#[test]
fn a_known_prefix_takes_no_pages_and_is_not_read_again() {
    for name in decoders() {
        let model = open(name, &Options::new().sequences(2));
        let length = 200.min(model.context() - 8);
        let plan = &model.compiled().plan;
        let pages = 2 * pages_of(plan, length + 8);
        let mut batcher = model.batcher(pages).unwrap();
        let prompt = tokens(length, 1);
        let first = batcher.open(length + 8).unwrap();
        batcher.push(first, &prompt).unwrap();
        while batcher.step(usize::MAX).unwrap() > 0 && batcher.logits(first).unwrap().is_none() {}
        let expected = bits(batcher.logits(first).unwrap().unwrap());
        let (_, _, free) = batcher.pages();
        let second = batcher.open(length + 8).unwrap();
        batcher.push(second, &prompt).unwrap();
        // Whole blocks, and never the last token.
        let known = (length - 1) / 64 * 64;
        assert_eq!(batcher.reused(second), known, "{name}");
        while batcher.step(usize::MAX).unwrap() > 0 && batcher.logits(second).unwrap().is_none() {}
        assert!(
            bits(batcher.logits(second).unwrap().unwrap()) == expected,
            "{name}"
        );
        let (_, _, left) = batcher.pages();
        let taken = plan.caches().len() * (length - known).div_ceil(64);
        assert_eq!(free - left, taken, "{name}");
        // The prefix stays known when both sequences are closed.
        batcher.close(first);
        batcher.close(second);
        let third = batcher.open(length + 8).unwrap();
        batcher.push(third, &prompt).unwrap();
        assert_eq!(batcher.reused(third), known, "{name}");
    }
}

#[test]
fn prefixes_make_room_for_sequences() {
    let model = open("llama", &Options::new().sequences(1));
    let pages = pages_of(&model.compiled().plan, 100);
    let mut batcher = model.batcher(pages).unwrap();
    for turn in 0..20 {
        let id = batcher.open(100).unwrap();
        batcher.push(id, &tokens(90, turn)).unwrap();
        while batcher.step(usize::MAX).unwrap() > 0 && batcher.logits(id).unwrap().is_none() {}
        batcher.close(id);
    }
    let (all, promised, free) = batcher.pages();
    assert_eq!((all, promised), (pages, 0));
    assert!(free < all, "the last beginning is kept");
    batcher.clear();
    assert_eq!(batcher.pages(), (pages, 0, pages));
}

#[test]
fn a_prompt_with_a_known_prefix_starts_as_fast_as_its_rest() {
    const KNOWN: usize = 960;
    const LENGTH: usize = 1000;
    // Each prompt differs from all others, except for the prefix.
    let prompt = |turn: usize| {
        let mut prompt = tokens(LENGTH, 1);
        prompt[KNOWN..].copy_from_slice(&tokens(LENGTH - KNOWN, turn as u32 + 2));
        prompt
    };
    let model = open("llama-long", &Options::new().sequences(1).context(LENGTH));
    let pages = 2 * pages_of(&model.compiled().plan, LENGTH);
    let mut batcher = model.batcher(pages).unwrap();
    let (mut with, mut rest) = (Duration::MAX, Duration::MAX);
    for turn in 0..20 {
        let id = batcher.open(LENGTH).unwrap();
        let begun = Instant::now();
        batcher.push(id, &prompt(turn)).unwrap();
        let reused = batcher.reused(id);
        batcher.step(usize::MAX).unwrap();
        if reused > 0 {
            assert_eq!(reused, KNOWN);
            with = with.min(begun.elapsed());
        }
        batcher.close(id);
        // Only the rest, in a sequence that already has the prefix.
        let id = batcher.open(LENGTH).unwrap();
        batcher.push(id, &prompt(turn)[..KNOWN]).unwrap();
        while batcher.step(usize::MAX).unwrap() > 0 {}
        let begun = Instant::now();
        batcher.push(id, &prompt(turn)[KNOWN..]).unwrap();
        batcher.step(usize::MAX).unwrap();
        rest = rest.min(begun.elapsed());
        batcher.close(id);
    }
    println!("with the beginning {with:?}, the rest alone {rest:?}");
    assert!(with < rest * 13 / 10, "{with:?} and {rest:?}");
}

#[test]
fn a_step_keeps_the_shared_block_that_its_window_still_reaches_into() {
    // Of two blocks in the table of a windowed layer, the third takes the place of the first, whose page is shared as a
    // beginning: steps of every length that cross position 128, from where the window of 48 still reaches back to it.
    let name = "mistral-long";
    for chunk in [1, 2, 17, 24, 65] {
        let model = open(name, &Options::new().sequences(1).chunk(chunk));
        let prompt = tokens(140, 1);
        let mut session = model.session().unwrap();
        let expected = bits(session.prefill(&prompt).unwrap());
        for first in 64..128 {
            let pages = 2 * pages_of(&model.compiled().plan, prompt.len());
            let mut batcher = model.batcher(pages).unwrap();
            let id = batcher.open(prompt.len()).unwrap();
            for part in [&prompt[..first], &prompt[first..]] {
                batcher.push(id, part).unwrap();
                while batcher.step(usize::MAX).unwrap() > 0 && batcher.logits(id).unwrap().is_none()
                {
                }
            }
            let found = bits(batcher.logits(id).unwrap().unwrap());
            assert!(
                found == expected,
                "chunks of {chunk}, the second push after {first}"
            );
        }
    }
}
