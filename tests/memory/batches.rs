//! Sequences that are opened, read, share pages and are closed allocate nothing once the batcher exists.

use smallmind::Options;
use smallmind::exec::batcher::{Batcher, pages_of};

use crate::allocations;
use crate::common::open;
use crate::common::random::Random;

pub fn sequences_that_come_and_go_allocate_nothing() {
    for name in ["llama", "mistral", "gpt2"] {
        for threads in [1, 2] {
            let options = Options::new().chunk(24).sequences(4).threads(threads);
            let model = open(name, &options);
            let pages = 3 * pages_of(&model.compiled().plan, 100);
            let mut batcher = model.batcher(pages).unwrap();
            let prompts: Vec<Vec<u32>> = (0..6u32)
                .map(|turn| (0..90).map(|at| (at * 7 + turn % 3) % 250).collect())
                .collect();
            // The first job starts the pool's threads.
            let first = batcher.open(1).unwrap();
            batcher.push(first, &[1]).unwrap();
            batcher.step(1).unwrap();
            batcher.close(first);
            let count = allocations(|| {
                for prompt in &prompts {
                    let one = batcher.open(100).unwrap();
                    batcher.push(one, prompt).unwrap();
                    batcher.step(usize::MAX).unwrap();
                    let other = batcher.open(100).unwrap();
                    batcher.push(other, &prompt[..70]).unwrap();
                    while batcher.step(usize::MAX).unwrap() > 0 {}
                    batcher.push(other, &[3]).unwrap();
                    while batcher.step(usize::MAX).unwrap() > 0 {}
                    [one, other].into_iter().for_each(|id| batcher.close(id));
                }
            });
            assert_eq!(count, 0, "{name}, {threads} threads");
            let mut forked = Vec::with_capacity(100);
            let count = allocations(|| schedule(&mut batcher, &prompts, &mut forked));
            assert_eq!(count, 0, "{name}, {threads} threads, drawn");
            batcher.clear();
            assert_eq!(batcher.pages(), (pages, 0, pages));
        }
    }
}

/// Many sequences that arrive at any step, some with known beginnings, some as forks of another; some are closed in the
/// middle of their prompts, and some wait for pages. `forked` has space for the tokens of a fork.
fn schedule(batcher: &mut Batcher, prompts: &[Vec<u32>], forked: &mut Vec<u32>) {
    let mut random = Random(5);
    let mut open = [None; 4];
    let (mut reused, mut refused, mut forks) = (0, 0, 0);
    for _ in 0..400 {
        let slot = random.below(open.len());
        match open[slot].take() {
            None => {
                let origin = open[random.below(open.len())].filter(|_| random.below(2) == 0);
                forked.clear();
                match origin {
                    Some(origin) => forked.extend_from_slice(batcher.tokens(origin)),
                    None => {
                        let prompt = &prompts[random.below(prompts.len())];
                        forked.extend_from_slice(&prompt[..1 + random.below(prompt.len())]);
                    }
                }
                match batcher.open(100) {
                    Ok(id) => {
                        batcher.push(id, forked).unwrap();
                        reused += batcher.reused(id);
                        forks += usize::from(origin.is_some());
                        open[slot] = Some(id);
                    }
                    Err(error) => {
                        assert!(error.is_for_now());
                        refused += 1;
                    }
                }
            }
            // Closed, read or not.
            Some(id) if random.below(6) == 0 => batcher.close(id),
            Some(id) => open[slot] = Some(id),
        }
        batcher.step(1 + random.below(30)).unwrap();
        for id in open.iter().flatten() {
            let is_read = batcher.logits(*id).unwrap().is_some();
            if is_read && batcher.tokens(*id).len() < 100 {
                batcher.push(*id, &[7]).unwrap();
            }
        }
    }
    open.into_iter().flatten().for_each(|id| batcher.close(id));
    assert!(reused > 0 && refused > 0 && forks > 0);
}
