//! Does the pool do every piece of every job once, keep phases apart, and survive whatever a job does?

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use smallmind::exec::pool::{Job, Part, Pool};

/// Runs `body` on its own thread and fails if it does not end in time.
fn in_time(seconds: u64, body: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let runner = thread::spawn(move || {
        body();
        let _ = done.send(());
    });
    if let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(Duration::from_secs(seconds)) {
        panic!("still running after {seconds} seconds");
    }
    if let Err(panic) = runner.join() {
        resume_unwind(panic);
    }
}

/// A job of phases with the given numbers of pieces.
struct Phases<F> {
    pieces: Vec<usize>,
    /// Called with the phase and the piece.
    work: F,
}

impl<F: Fn(usize, usize) + Sync> Job for Phases<F> {
    fn open(&self, phase: usize) -> bool {
        phase < self.pieces.len()
    }

    fn run(&self, phase: usize, part: &mut Part<'_>) {
        part.split(|| self.pieces[phase]);
        while let Some(piece) = part.next_piece() {
            (self.work)(phase, piece);
        }
    }
}

/// Each piece stores a number of its own, after it has looked at all numbers of the phase before: a piece that is begun
/// too early reads an old number, and one that is left out or done twice is counted. Relaxed accesses leave the ordering
/// to the pool.
fn runs_well(pool: &Pool, pieces: &[usize], runs: u64) -> Result<(), String> {
    let numbers: Vec<Vec<AtomicU64>> = pieces
        .iter()
        .map(|&count| (0..count).map(|_| AtomicU64::new(0)).collect())
        .collect();
    let wrong = AtomicUsize::new(0);
    for run in 1..=runs {
        pool.run(&Phases {
            pieces: pieces.to_vec(),
            work: |phase: usize, piece: usize| {
                let before = phase
                    .checked_sub(1)
                    .map_or(&[][..], |phase| &numbers[phase]);
                let early = |number: &AtomicU64| number.load(Ordering::Relaxed) != run;
                let again = numbers[phase][piece].fetch_add(1, Ordering::Relaxed) != run - 1;
                if again || before.iter().any(early) {
                    wrong.fetch_add(1, Ordering::Relaxed);
                }
            },
        });
        let undone = |number: &&AtomicU64| number.load(Ordering::Relaxed) != run;
        let undone = numbers.iter().flatten().filter(undone).count();
        let wrong = wrong.load(Ordering::Relaxed);
        if undone + wrong > 0 {
            let threads = pool.threads();
            return Err(format!(
                "{threads} threads, run {run}: {undone} pieces undone, {wrong} twice or early"
            ));
        }
    }
    Ok(())
}

fn expect_runs_well(pool: &Pool, pieces: &[usize], runs: u64) {
    runs_well(pool, pieces, runs).unwrap();
}

#[test]
fn every_piece_is_done_once_and_phases_are_kept_apart() {
    in_time(60, || {
        for threads in 1..=4 {
            let pool = Pool::new(threads).unwrap();
            expect_runs_well(&pool, &[threads; 10], 200);
            expect_runs_well(&pool, &[1, 7, 0, 2, 64, 1, 1, 3], 200);
        }
    });
}

#[test]
fn jobs_of_any_shape_run_well() {
    let sizes = prop_oneof![0..3usize, 0..20usize, 0..300usize];
    let jobs = prop::collection::vec(prop::collection::vec(sizes, 0..12), 1..5);
    in_time(120, move || {
        let config = ProptestConfig {
            cases: 64,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        let pools: Vec<_> = (1..=5).map(|threads| Pool::new(threads).unwrap()).collect();
        proptest!(config, |(jobs in jobs, pool in 0..pools.len())| {
            for pieces in jobs {
                runs_well(&pools[pool], &pieces, 3).map_err(TestCaseError::fail)?;
            }
        });
    });
}

#[test]
fn more_threads_than_cores_do_not_hang() {
    in_time(60, || {
        expect_runs_well(&Pool::new(8).unwrap(), &[8, 3, 40], 100);
    });
}

#[test]
fn any_number_of_pieces_can_be_asked_for() {
    for threads in [1, 2] {
        let pool = Pool::new(threads).unwrap();
        for count in [0, 1, 2, 65_535, 65_536, 200_001] {
            let (pieces, sum) = (AtomicUsize::new(0), AtomicUsize::new(0));
            pool.run_pieces(count, |piece| {
                pieces.fetch_add(1, Ordering::Relaxed);
                sum.fetch_add(piece, Ordering::Relaxed);
            });
            let expected = (count, (0..count).sum());
            assert_eq!(
                (pieces.into_inner(), sum.into_inner()),
                expected,
                "{threads}"
            );
        }
    }
}

#[test]
fn all_threads_take_part_under_their_own_names() {
    in_time(60, || {
        let pool = Pool::new(3).unwrap();
        let names = Mutex::new(Vec::new());
        pool.run_pieces(3, |_| {
            let name = thread::current().name().map(str::to_string);
            names.lock().unwrap().push(name.unwrap_or_default());
            // Each thread stays here until all have come.
            while names.lock().unwrap().len() < 3 {
                thread::yield_now();
            }
        });
        let names = names.into_inner().unwrap();
        for worker in ["smallmind-1", "smallmind-2"] {
            let times = names.iter().filter(|&name| name == worker).count();
            assert_eq!(times, 1, "{worker}");
        }
    });
}

#[test]
fn a_thread_that_is_stopped_inside_a_piece_leaves_all_others_to_the_rest() {
    in_time(60, || {
        let pool = Pool::new(2).unwrap();
        let done = AtomicUsize::new(0);
        pool.run_pieces(100, |piece| {
            // The thread with the first piece waits for the 99 others, many of which would have been its own.
            while piece == 0 && done.load(Ordering::Relaxed) < 99 {
                thread::yield_now();
            }
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), 100);
    });
}

#[test]
fn one_thread_is_the_callers_own() {
    let caller = thread::current().id();
    let others = AtomicUsize::new(0);
    Pool::new(1).unwrap().run_pieces(5, |_| {
        others.fetch_add(
            usize::from(thread::current().id() != caller),
            Ordering::Relaxed,
        );
    });
    assert_eq!(others.into_inner(), 0);
}

#[test]
fn no_threads_is_an_error() {
    assert!(Pool::new(0).is_err());
}

/// Five phases; the job is stopped in the third.
struct Stops(AtomicBool, AtomicUsize);

impl Job for Stops {
    fn open(&self, phase: usize) -> bool {
        phase < 5 && !self.0.load(Ordering::Relaxed)
    }

    fn run(&self, phase: usize, part: &mut Part<'_>) {
        part.split(|| 4);
        while let Some(piece) = part.next_piece() {
            if (phase, piece) == (2, 1) {
                self.0.store(true, Ordering::Relaxed);
            }
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_job_ends_with_the_phase_in_which_it_is_stopped() {
    for threads in 1..=3 {
        let job = Stops(AtomicBool::new(false), AtomicUsize::new(0));
        Pool::new(threads).unwrap().run(&job);
        assert_eq!(job.1.into_inner(), 12);
    }
}

#[test]
fn two_callers_share_a_pool_and_never_overlap() {
    in_time(60, || {
        let pool = Pool::new(2).unwrap();
        let (running, mixed, done) = (
            AtomicUsize::new(0),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        thread::scope(|scope| {
            for caller in 1..=2 {
                let (pool, running, mixed, done) = (&pool, &running, &mixed, &done);
                scope.spawn(move || {
                    for _ in 0..500 {
                        pool.run(&Phases {
                            pieces: vec![1, 2],
                            work: |phase, _| {
                                if phase == 0 {
                                    running.store(caller, Ordering::Relaxed);
                                } else if running.load(Ordering::Relaxed) != caller {
                                    mixed.fetch_add(1, Ordering::Relaxed);
                                }
                                done.fetch_add(1, Ordering::Relaxed);
                            },
                        });
                    }
                });
            }
        });
        assert_eq!((mixed.into_inner(), done.into_inner()), (0, 3000));
    });
}

#[test]
fn a_panic_in_any_piece_reaches_the_caller_and_the_pool_lives_on() {
    in_time(60, || {
        for threads in 1..=4 {
            let pool = Pool::new(threads).unwrap();
            for culprit in 0..6 {
                let later = AtomicUsize::new(0);
                let run = || {
                    pool.run(&Phases {
                        pieces: vec![3, 6, 3],
                        work: |phase, piece| {
                            if (phase, piece) == (1, culprit) {
                                resume_unwind(Box::new(culprit));
                            }
                            later.fetch_add(usize::from(phase == 2), Ordering::Relaxed);
                        },
                    });
                };
                let payload = catch_unwind(AssertUnwindSafe(run)).expect_err("the job panics");
                assert_eq!(payload.downcast_ref(), Some(&culprit));
                assert_eq!(later.into_inner(), 0);
                expect_runs_well(&pool, &[3, 1, 4], 3);
            }
        }
    });
}

/// Panics when it is asked for its first or its second phase.
struct NeverOpens(usize);

impl Job for NeverOpens {
    fn open(&self, phase: usize) -> bool {
        if phase == self.0 {
            resume_unwind(Box::new(phase));
        }
        true
    }

    fn run(&self, _: usize, part: &mut Part<'_>) {
        part.split(|| 3);
        while part.next_piece().is_some() {}
    }
}

#[test]
fn a_panic_between_phases_reaches_the_caller_too() {
    in_time(60, || {
        for (threads, phase) in [(1, 0), (2, 0), (2, 1), (3, 1)] {
            let pool = Pool::new(threads).unwrap();
            let run = || pool.run(&NeverOpens(phase));
            let payload = catch_unwind(AssertUnwindSafe(run)).expect_err("the job panics");
            assert_eq!(payload.downcast_ref(), Some(&phase));
            expect_runs_well(&pool, &[3, 1, 4], 3);
        }
    });
}

#[test]
fn panics_in_all_pieces_at_once_are_one_panic() {
    in_time(60, || {
        let pool = Pool::new(4).unwrap();
        let run = || pool.run_pieces(4, |piece| resume_unwind(Box::new(piece)));
        let payload = catch_unwind(AssertUnwindSafe(run)).expect_err("the job panics");
        assert!(payload.is::<usize>());
        expect_runs_well(&pool, &[3, 1, 4], 3);
    });
}

#[test]
fn sleeping_workers_wake_for_a_job_and_for_the_end() {
    in_time(60, || {
        let pool = Pool::new(3).unwrap();
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(5));
            let begun = AtomicUsize::new(0);
            pool.run_pieces(3, |_| {
                begun.fetch_add(1, Ordering::Relaxed);
                while begun.load(Ordering::Relaxed) < 3 {
                    thread::yield_now();
                }
            });
        }
        thread::sleep(Duration::from_millis(5));
        drop(pool);
    });
}

#[test]
fn threads_that_fall_asleep_within_a_job_are_woken() {
    in_time(60, || {
        let pool = Pool::new(3).unwrap();
        // Pieces of very different lengths let the other threads fall asleep, at any point of the protocol.
        for run in 0..100 {
            pool.run(&Phases {
                pieces: vec![3; 5],
                work: |phase, piece| {
                    if piece == (phase + run) % 3 {
                        thread::sleep(Duration::from_micros(20 * (run as u64 % 10)));
                    }
                },
            });
        }
        expect_runs_well(&pool, &[3, 1, 4], 3);
    });
}

#[test]
fn a_pool_may_be_dropped_before_its_workers_begin() {
    in_time(60, || {
        for _ in 0..50 {
            drop(Pool::new(4).unwrap());
        }
    });
}

#[test]
fn many_tiny_jobs_take_little_time() {
    in_time(60, || {
        let pool = Pool::new(2).unwrap();
        let count = AtomicUsize::new(0);
        for _ in 0..100_000 {
            pool.run_pieces(2, |_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
        }
        assert_eq!(count.into_inner(), 200_000);
    });
}
