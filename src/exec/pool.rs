//! A standing pool of threads that run one job together, and the barrier between the job's phases.
//!
//! Every thread runs the same job (single program, multiple data) and takes its share by its number; there is no queue.
//! Workers spin for a moment after a job, because the next is usually near, and then park. Nothing allocates after
//! [`Pool::new`], unless a job panics.

use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::hint::spin_loop;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::kernels::float_environment::FloatEnvironment;

/// How long a thread spins before it yields (in a barrier, and while the caller waits for workers) or parks (a worker
/// without a job).
const SPIN: Duration = Duration::from_micros(30);

/// Looks at what is awaited between two looks at the clock.
const LOOKS: u32 = 64;

/// What a pool's threads run: called once on each with its number, from 0, and the barrier between the job's phases.
pub type Job<'a> = dyn Fn(usize, &Barrier) + Sync + 'a;

/// Alone on its cache lines: two of 64 bytes, which x86 prefetches in pairs.
#[repr(align(128))]
pub(super) struct Padded<T>(pub T);

/// Spins until `ready`, for [`SPIN`] at most. False if the time is over. `patient` is false where threads outnumber
/// CPUs: whoever is awaited may need this very CPU, so there is one look and no spinning.
#[inline]
fn spin_until(patient: bool, mut ready: impl FnMut() -> bool) -> bool {
    if !patient {
        return ready();
    }
    let mut start = None;
    loop {
        for _ in 0..LOOKS {
            if ready() {
                return true;
            }
            spin_loop();
        }
        if start.get_or_insert_with(Instant::now).elapsed() > SPIN {
            return false;
        }
    }
}

/// What a thread that waits at a barrier unwinds with when another thread of the job has panicked.
struct Abandoned;

/// Where all threads of a job meet: nobody goes on before everybody has come. What a thread wrote before is seen by all
/// threads after.
pub struct Barrier {
    threads: usize,
    patient: bool,
    /// Threads that have come to the current meeting.
    arrived: Padded<AtomicUsize>,
    /// What waiting threads look at.
    gate: Padded<Gate>,
}

struct Gate {
    /// Meetings held so far, wrapping. Its lowest bit is the sense of a sense-reversing barrier.
    meetings: AtomicUsize,
    /// A thread of this job has panicked and will not come.
    abandoned: AtomicBool,
}

impl Barrier {
    fn new(threads: usize, patient: bool) -> Self {
        Barrier {
            threads,
            patient,
            arrived: Padded(AtomicUsize::new(0)),
            gate: Padded(Gate {
                meetings: AtomicUsize::new(0),
                abandoned: AtomicBool::new(false),
            }),
        }
    }

    /// Wait until all threads of the job have called this as often as this thread has. Every thread of the job calls it
    /// equally often, and none that is not of the job does.
    ///
    /// # Panics
    /// Unwinds (without a message) when another thread of the job panicked: it will never come.
    #[inline]
    pub fn wait(&self) {
        if self.threads == 1 {
            return;
        }
        let gate = &self.gate.0;
        // The count cannot change before this thread has arrived.
        let meeting = gate.meetings.load(Ordering::Relaxed);
        // Release: what this thread wrote. Acquire: what those before it wrote, for the last to pass on to all.
        if self.arrived.0.fetch_add(1, Ordering::AcqRel) + 1 == self.threads {
            self.arrived.0.store(0, Ordering::Relaxed);
            gate.meetings
                .store(meeting.wrapping_add(1), Ordering::Release);
            return;
        }
        let open = || gate.meetings.load(Ordering::Acquire) != meeting;
        let leave = || gate.abandoned.load(Ordering::Relaxed);
        while !spin_until(self.patient, || open() || leave()) {
            thread::yield_now();
        }
        if !open() {
            resume_unwind(Box::new(Abandoned));
        }
    }

    /// Let everyone who waits, now or later in this job, unwind.
    fn abandon(&self) {
        self.gate.0.abandoned.store(true, Ordering::Relaxed);
    }

    /// Make the barrier fit for another job. No thread is in a job.
    fn reset(&self) {
        self.arrived.0.store(0, Ordering::Relaxed);
        self.gate.0.abandoned.store(false, Ordering::Relaxed);
    }
}

/// What the caller and the workers share.
struct Shared {
    barrier: Barrier,
    patient: bool,
    /// Jobs started so far; the last one is the pool's end.
    started: Padded<AtomicU64>,
    /// Workers that have not finished the current job.
    busy: Padded<AtomicUsize>,
    /// The current job. Written by the caller while `busy` is 0, read by workers between a change of `started` and
    /// their decrement of `busy`. `None` tells workers to end.
    job: UnsafeCell<Option<&'static Job<'static>>>,
    /// What the first thread to panic in the current job panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: all fields but `job` are Sync. `job` is written only while no worker may read it, as stated at the field; the
// atomics order the accesses. The job itself is Sync.
unsafe impl Sync for Shared {}
// SAFETY: as above; the reference in `job` is to something Sync.
unsafe impl Send for Shared {}

impl Shared {
    /// Run one thread's part of a job, keeping a panic for the caller.
    fn run_part(&self, job: &Job<'_>, thread: usize) {
        let _environment = FloatEnvironment::set_default();
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| job(thread, &self.barrier))) {
            if payload.is::<Abandoned>() {
                return;
            }
            lock(&self.panic).get_or_insert(payload);
            self.barrier.abandon();
        }
    }
}

/// A worker as the caller sees it.
struct Worker {
    handle: JoinHandle<()>,
    /// The worker parks, or is about to, and must be unparked for the next job.
    parked: Arc<Padded<AtomicBool>>,
}

/// Threads that stand ready to run jobs together.
///
/// A pool may be shared: with more than one thread, jobs of several callers run one after the other. A job must not run
/// another job on its own pool; it would wait for itself.
pub struct Pool {
    threads: usize,
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    /// Held by the caller whose job runs.
    callers: Mutex<()>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool of `threads` threads: whoever calls [`Pool::run`], and `threads - 1` workers named `smallmind-1` and so
    /// on, which are started now and end when the pool is dropped.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn new(threads: usize) -> io::Result<Pool> {
        if threads == 0 {
            let message = "a thread pool needs at least one thread: the caller's own";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let patient = thread::available_parallelism().is_ok_and(|cpus| threads <= cpus.get());
        let shared = Arc::new(Shared {
            barrier: Barrier::new(threads, patient),
            patient,
            started: Padded(AtomicU64::new(0)),
            busy: Padded(AtomicUsize::new(0)),
            job: UnsafeCell::new(None),
            panic: Mutex::new(None),
        });
        // If a thread cannot be started, dropping the pool ends those that were.
        let mut pool = Pool {
            threads,
            shared,
            workers: Vec::new(),
            callers: Mutex::new(()),
        };
        for thread in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let parked = Arc::new(Padded(AtomicBool::new(false)));
            let own_parked = Arc::clone(&parked);
            let handle = thread::Builder::new()
                .name(format!("smallmind-{thread}"))
                .spawn(move || work(&shared, &own_parked.0, thread))?;
            pool.workers.push(Worker { handle, parked });
        }
        Ok(pool)
    }

    /// The number of threads that run a job, the caller's among them.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Run `job` once on every thread, on this one as thread 0, and return when all are done. Each thread computes in
    /// the default floating-point environment; the caller's own is restored. What the job wrote is seen by the caller.
    ///
    /// With one thread this is a plain call, and several callers run at the same time.
    ///
    /// # Panics
    /// If the job panics on any thread: all threads are brought to a stop first, those at the barrier by unwinding, and
    /// the first panic goes on in the caller. The pool remains fit for other jobs.
    pub fn run(&self, job: &Job<'_>) {
        if self.workers.is_empty() {
            let _environment = FloatEnvironment::set_default();
            job(0, &self.shared.barrier);
            return;
        }
        let one_caller = lock(&self.callers);
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes. Workers use the job between here and their decrement of `busy`, and this
        // function does not return or unwind before `busy` is 0: `run_part` catches panics.
        let lasting = unsafe { std::mem::transmute::<&Job<'_>, &'static Job<'static>>(job) };
        self.start(Some(lasting));
        shared.run_part(job, 0);
        while !spin_until(shared.patient, || {
            shared.busy.0.load(Ordering::Acquire) == 0
        }) {
            thread::yield_now();
        }
        let panic = lock(&shared.panic).take();
        if let Some(payload) = panic {
            shared.barrier.reset();
            drop(one_caller);
            resume_unwind(payload);
        }
    }

    /// Hand `job` to the workers. None of them is in a job, and this thread alone starts jobs.
    fn start(&self, job: Option<&'static Job<'static>>) {
        let shared = &*self.shared;
        // SAFETY: `busy` is 0, so that no worker reads the job before `started` changes below.
        unsafe { *shared.job.get() = job };
        shared.busy.0.store(self.workers.len(), Ordering::Relaxed);
        shared.started.0.fetch_add(1, Ordering::Release);
        // Pairs with the fence in `work`: either the worker sees the new job, or this thread sees that it parks.
        fence(Ordering::SeqCst);
        for worker in &self.workers {
            if worker.parked.0.load(Ordering::Relaxed) {
                worker.handle.thread().unpark();
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.start(None);
        for worker in self.workers.drain(..) {
            // A worker catches its jobs' panics and has none of its own; an error could only be ignored here.
            let _ = worker.handle.join();
        }
    }
}

/// A worker's life.
fn work(shared: &Shared, parked: &AtomicBool, thread: usize) {
    let mut seen = 0;
    loop {
        let new_job = || shared.started.0.load(Ordering::Acquire) != seen;
        if !spin_until(shared.patient, new_job) {
            parked.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            while !new_job() {
                thread::park();
            }
            parked.store(false, Ordering::Relaxed);
        }
        seen += 1;
        // SAFETY: `started` has changed and this worker has not yet decremented `busy`: nobody writes the job.
        let job = unsafe { *shared.job.get() };
        let Some(job) = job else {
            return;
        };
        shared.run_part(job, thread);
        shared.busy.0.fetch_sub(1, Ordering::Release);
    }
}

/// Locks a mutex whose content is valid whatever its holders did.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::kernels::float_environment::{in_foreign, is_default};

    #[test]
    fn every_thread_of_a_job_runs_in_the_default_environment() {
        for threads in 1..=3 {
            let pool = Pool::new(threads).unwrap();
            let in_default = AtomicUsize::new(0);
            let ((), kept) = in_foreign(|| {
                pool.run(&|_, _| {
                    in_default.fetch_add(usize::from(is_default()), Ordering::Relaxed);
                });
            });
            assert_eq!((in_default.into_inner(), kept), (threads, true));
        }
    }

    #[test]
    fn a_panic_in_a_job_restores_the_callers_environment() {
        for threads in 1..=2 {
            let pool = Pool::new(threads).unwrap();
            let run = || pool.run(&|_, _| resume_unwind(Box::new("stop")));
            let (panicked, kept) = in_foreign(|| catch_unwind(AssertUnwindSafe(run)).is_err());
            assert!(panicked && kept);
        }
    }
}
