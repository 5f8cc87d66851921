//! Does running a model allocate anything?
//!
//! The program has one test, so that nothing else allocates while it counts. The standard test harness is not used: it
//! waits on a thread of its own, and reports there that a slow test runs long. The modules contain what is counted.

mod batches;
#[path = "../common/mod.rs"]
mod common;
mod operands;
mod steps;
mod texts;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts the allocations of the thread that starts the counting, and of every thread that is started after that.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BEGUN: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether the thread allocated before the counting began.
    static EARLIER: Cell<bool> = const { Cell::new(false) };
}

fn note() {
    if !BEGUN.load(Ordering::Relaxed) {
        EARLIER.set(true);
    } else if !EARLIER.get() {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

/// Starts the counting: for this thread, and for the threads that it starts from now on.
fn begin() {
    EARLIER.set(false);
    BEGUN.store(true, Ordering::SeqCst);
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller makes the promise that is required here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller makes the promise that is required here.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller makes the promise that is required here.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many allocations `work` makes.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.load(Ordering::SeqCst);
    work();
    ALLOCATIONS.load(Ordering::SeqCst) - before
}

/// Starts the counting, and checks that allocations of this thread and of later threads count, but not those of earlier
/// ones.
fn begin_and_check() {
    let allocate = || drop(black_box(Box::new(black_box(1))));
    let turns = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            allocate();
            turns.wait();
            turns.wait();
            allocate();
            turns.wait();
        });
        turns.wait();
        begin();
        let earlier = allocations(|| {
            turns.wait();
            turns.wait();
        });
        assert_eq!(earlier, 0, "a thread that was there before");
    });
    assert_eq!(allocations(allocate), 1, "the own thread");
    let thread = |work: fn()| {
        allocations(|| std::thread::scope(|scope| drop(scope.spawn(work))));
        allocations(|| std::thread::scope(|scope| drop(scope.spawn(work))))
    };
    assert_eq!(thread(allocate), thread(|| ()) + 1, "a later thread");
}

#[test]
fn running_allocates_nothing() {
    begin_and_check();
    steps::prompts_and_steps_allocate_nothing_and_fit_the_plan();
    texts::steps_of_texts_allocate_nothing();
    batches::sequences_that_come_and_go_allocate_nothing();
    operands::steps_of_many_operands_allocate_nothing();
}
