//! Do steps of several texts allocate anything?

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use common::{encoders, expected, open};
use smallmind::Options;

/// Counts every allocation of the process.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test program with one test, so that nothing else allocates while it counts.
#[test]
fn steps_of_texts_allocate_nothing() {
    for name in encoders() {
        let prompt = expected(name).input_ids;
        let ones: Vec<&[u32]> = prompt.chunks(1).collect();
        let ragged: [&[u32]; 4] = [&prompt, &prompt[..1], &prompt[2..9], &prompt];
        for threads in [1, 2] {
            let options = Options {
                threads: Some(threads),
                chunk: Some(3 * prompt.len()),
                ..Options::default()
            };
            let mut session = open(name, &options).session().unwrap();
            // The first job lets the pool's threads come to life.
            session.step(prompt[0]).unwrap();
            let before = ALLOCATIONS.load(Ordering::SeqCst);
            session.encode(&ragged).unwrap();
            session.encode(&ones).unwrap();
            session.prefill(&prompt).unwrap();
            session.encode(&ragged[..3]).unwrap();
            let allocations = ALLOCATIONS.load(Ordering::SeqCst) - before;
            assert_eq!(allocations, 0, "{name}, {threads} threads");
        }
    }
}
