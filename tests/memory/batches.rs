//! Sequences that are opened, read, share pages and are closed allocate nothing once the batcher exists.

use smallmind::Options;
use smallmind::exec::batcher::pages_of;

use crate::allocations;
use crate::common::open;

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
        }
    }
}
