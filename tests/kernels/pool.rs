//! Does the pool run every job on every thread, keep phases separate, and survive whatever a job does?

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use smallmind::exec::pool::Pool;

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

/// Each thread stores a number; after a barrier, every thread sums all numbers; and so on. A thread that passes a barrier
/// too early reads an old number. Relaxed accesses leave the ordering to the barrier.
fn sums_agree(pool: &Pool, runs: u64, phases: u64) {
    let threads = pool.threads();
    let numbers: Vec<AtomicU64> = (0..threads).map(|_| AtomicU64::new(0)).collect();
    let wrong = AtomicUsize::new(0);
    for run in 0..runs {
        pool.run(&|thread, barrier| {
            for phase in 0..phases {
                let base = run * phases + phase;
                numbers[thread].store(base * (thread as u64 + 1), Ordering::Relaxed);
                barrier.wait();
                let sum: u64 = numbers
                    .iter()
                    .map(|number| number.load(Ordering::Relaxed))
                    .sum();
                let expected: u64 = (1..=threads as u64).map(|number| base * number).sum();
                if sum != expected {
                    wrong.fetch_add(1, Ordering::Relaxed);
                }
                barrier.wait();
            }
        });
    }
    assert_eq!(wrong.into_inner(), 0, "{threads} threads");
}

#[test]
fn barriers_keep_phases_apart() {
    in_time(60, || {
        for threads in 1..=4 {
            sums_agree(&Pool::new(threads).unwrap(), 200, 10);
        }
    });
}

#[test]
fn more_threads_than_cores_do_not_hang() {
    in_time(60, || sums_agree(&Pool::new(8).unwrap(), 50, 10));
}

#[test]
fn every_thread_runs_once_under_its_own_number_and_name() {
    let pool = Pool::new(3).unwrap();
    let counts = [const { AtomicUsize::new(0) }; 3];
    let misnamed = AtomicUsize::new(0);
    pool.run(&|thread, _| {
        counts[thread].fetch_add(1, Ordering::Relaxed);
        let name = format!("smallmind-{thread}");
        if thread > 0 && thread::current().name() != Some(&name) {
            misnamed.fetch_add(1, Ordering::Relaxed);
        }
    });
    assert_eq!(counts.map(AtomicUsize::into_inner), [1, 1, 1]);
    assert_eq!(misnamed.into_inner(), 0);
}

#[test]
fn one_thread_is_the_callers_own() {
    let caller = thread::current().id();
    let same = AtomicBool::new(false);
    Pool::new(1).unwrap().run(&|_, barrier| {
        barrier.wait();
        same.store(thread::current().id() == caller, Ordering::Relaxed);
    });
    assert!(same.into_inner());
}

#[test]
fn no_threads_is_an_error() {
    assert!(Pool::new(0).is_err());
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
                        pool.run(&|thread, barrier| {
                            if thread == 0 {
                                running.store(caller, Ordering::Relaxed);
                            }
                            barrier.wait();
                            if running.load(Ordering::Relaxed) != caller {
                                mixed.fetch_add(1, Ordering::Relaxed);
                            }
                            done.fetch_add(1, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!((mixed.into_inner(), done.into_inner()), (0, 2000));
    });
}

#[test]
fn a_panic_on_any_thread_reaches_the_caller_and_the_pool_lives_on() {
    in_time(60, || {
        for threads in 1..=4 {
            let pool = Pool::new(threads).unwrap();
            for culprit in 0..threads {
                let run = || {
                    pool.run(&|thread, barrier| {
                        barrier.wait();
                        if thread == culprit {
                            resume_unwind(Box::new(culprit));
                        }
                        barrier.wait();
                        barrier.wait();
                    });
                };
                let payload = catch_unwind(AssertUnwindSafe(run)).expect_err("the job panics");
                assert_eq!(payload.downcast_ref(), Some(&culprit));
                sums_agree(&pool, 3, 3);
            }
        }
    });
}

#[test]
fn panics_on_all_threads_at_once_are_one_panic() {
    in_time(60, || {
        let pool = Pool::new(4).unwrap();
        let run = || pool.run(&|thread, _| resume_unwind(Box::new(thread)));
        let payload = catch_unwind(AssertUnwindSafe(run)).expect_err("the job panics");
        assert!(payload.is::<usize>());
        sums_agree(&pool, 3, 3);
    });
}

#[test]
fn parked_workers_wake_for_a_job_and_for_the_end() {
    in_time(60, || {
        let pool = Pool::new(3).unwrap();
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(5));
            sums_agree(&pool, 1, 1);
        }
        thread::sleep(Duration::from_millis(5));
        drop(pool);
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
            pool.run(&|_, _| {
                count.fetch_add(1, Ordering::Relaxed);
            });
        }
        assert_eq!(count.into_inner(), 200_000);
    });
}
