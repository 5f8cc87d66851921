//! Tests that need a look inside: threads that come late, or not at all.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use super::turns::MOST_PIECES;
use super::*;

/// Phases of the given numbers of pieces.
struct Phases<'a, F> {
    pieces: &'a [usize],
    /// Called with the phase, the piece and the thread.
    work: F,
}

impl<F: Fn(usize, usize, usize) + Sync> Job for Phases<'_, F> {
    fn open(&self, phase: usize) -> bool {
        phase < self.pieces.len()
    }

    fn run(&self, phase: usize, part: &mut Part<'_>) {
        part.split(|| self.pieces[phase]);
        while let Some(piece) = part.next_piece() {
            (self.work)(phase, piece, part.thread());
        }
    }
}

fn phases<F: Fn(usize, usize, usize) + Sync>(pieces: &[usize], work: F) -> Phases<'_, F> {
    Phases { pieces, work }
}

#[test]
fn a_caller_whose_workers_never_come_does_everything() {
    let shared = Shared::new(4);
    let done = Mutex::new(Vec::new());
    let pieces = [3, 1, 0, 9];
    let job = phases(&pieces, |phase, piece, thread| {
        lock(&done).push((phase, piece, thread));
    });
    assert!(shared.run(&job).is_none());
    let mut done = done.into_inner().unwrap();
    assert!(done.is_sorted_by_key(|&(phase, ..)| phase));
    done.sort();
    let all = [0, 1, 3].map(|phase| (0..pieces[phase]).map(move |piece| (phase, piece, 0)));
    assert_eq!(done, all.into_iter().flatten().collect::<Vec<_>>());
}

#[test]
fn a_late_thread_joins_the_current_phase() {
    let shared = Shared::new(3);
    let by_late = AtomicUsize::new(0);
    let job = phases(&[4, 4, 4], |phase, piece, thread| {
        if thread == 2 {
            by_late.fetch_add(1, Relaxed);
        } else if phase == 1 && piece == 0 {
            // Thread 1 never comes; thread 2 comes while this piece is being done and does all that is left.
            let join = || shared.join(2, shared.turns.current());
            thread::scope(|scope| scope.spawn(join).join()).unwrap();
            assert_eq!(by_late.load(Relaxed), 3);
        }
    });
    assert!(shared.run(&job).is_none());
    assert_eq!(by_late.into_inner(), 3);
}

#[test]
fn a_late_thread_that_ends_a_phase_goes_on_with_the_next() {
    let shared = Shared::new(2);
    let threads = [const { AtomicUsize::new(0) }; 2];
    let job = phases(&[2, 1, 2], |phase, piece, thread| {
        threads[thread].fetch_add(1, Relaxed);
        if (phase, piece) == (0, 0) {
            let late = || {
                let turn = shared.turns.current();
                shared.join(1, turn);
                // The piece that the caller is doing keeps the phase open.
                assert_eq!(shared.turns.current(), turn);
            };
            thread::scope(|scope| scope.spawn(late).join()).unwrap();
        }
    });
    assert!(shared.run(&job).is_none());
    assert_eq!(threads.map(AtomicUsize::into_inner), [4, 1]);
}

#[test]
fn a_thread_that_was_stopped_before_it_drew_touches_no_later_phase() {
    let shared = Shared::new(2);
    let count = AtomicUsize::new(0);
    let seen = Mutex::new(Vec::new());
    let job = phases(&[2, 2, 3], |_, _, thread| {
        assert_eq!(thread, 0);
        count.fetch_add(1, Relaxed);
        // Worker 1 has seen each turn so far, was stopped, and goes on now.
        let mut seen = lock(&seen);
        let current = shared.turns.current();
        seen.iter()
            .filter(|&&turn| turn != current)
            .for_each(|&turn| shared.join(1, turn));
        seen.push(current);
    });
    assert!(shared.run(&job).is_none());
    assert_eq!(count.load(Relaxed), 7);
    assert!(shared.turns.current().is_closed());
    // The job is gone, and still no part of it is touched.
    let seen = std::mem::take(&mut *lock(&seen));
    seen.iter().for_each(|&turn| shared.join(1, turn));
    assert_eq!(count.load(Relaxed), 7);
}

#[test]
fn words_tell_turns_apart_across_the_end_of_their_numbers() {
    for last in [
        Turn::default(),
        Turn::numbered(u64::MAX),
        Turn::numbered(u64::MAX - 1),
    ] {
        let (first, second) = (last.next(3), last.next(3).next(5));
        assert_eq!((first.pieces(), second.pieces()), (3, 5));
        for claimed in 0..=3 {
            let word = first.slot_word(claimed);
            assert_eq!(first.claimed(word), Some(claimed));
            assert_eq!(second.claimed(word), Some(0));
            assert_eq!(last.claimed(word), None);
        }
    }
}

#[test]
fn slots_share_all_pieces_evenly() {
    for (pieces, slots) in [(1, 1), (1, 4), (3, 2), (7, 3), (MOST_PIECES, 7), (2, 64)] {
        let turn = Turn::default().next(pieces);
        let ranges: Vec<_> = (0..slots).map(|slot| turn.range(slot, slots)).collect();
        assert_eq!((ranges[0].start, ranges[slots - 1].end), (0, pieces));
        assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
        let lengths = ranges.iter().map(ExactSizeIterator::len);
        assert!(lengths.clone().max().unwrap() - lengths.min().unwrap() <= 1);
    }
}

#[cfg(target_arch = "x86_64")]
mod environment {
    use super::*;
    use crate::kernels::float_environment::{in_foreign, is_default};

    #[test]
    fn every_thread_of_a_job_runs_in_the_default_environment() {
        for threads in 1..=3 {
            // Workers begin in the environment of the thread that starts them.
            let (pool, _) = in_foreign(|| Pool::new(threads).unwrap());
            let (begun, in_default) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let ((), kept) = in_foreign(|| {
                pool.run_pieces(threads, |_| {
                    in_default.fetch_add(usize::from(is_default()), Relaxed);
                    // Each thread stays here until all threads have come.
                    begun.fetch_add(1, Relaxed);
                    while begun.load(Relaxed) < threads {
                        thread::yield_now();
                    }
                });
            });
            assert_eq!((in_default.into_inner(), kept), (threads, true));
        }
    }

    #[test]
    fn a_panic_in_a_job_restores_the_callers_environment() {
        for threads in 1..=2 {
            let pool = Pool::new(threads).unwrap();
            let run = || pool.run_pieces(threads, |_| resume_unwind(Box::new("stop")));
            let (panicked, kept) = in_foreign(|| catch_unwind(AssertUnwindSafe(run)).is_err());
            assert!(panicked && kept);
        }
    }
}
