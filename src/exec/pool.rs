//! A standing pool of threads that do the pieces of a job's phases together.
//!
//! A job is a row of phases, and a phase is a number of pieces. No piece of a phase is begun before all pieces of the phase
//! before it are done. Any thread may do any piece, each at most one at a time: a phase ends when its pieces are done, not
//! when its threads have arrived. The caller could do all of them alone, and workers join whenever the system lets them
//! run. A thread prefers consecutive pieces, and the same pieces from run to run, so that they stay in its caches.
//! `turns.rs` says how all of this is ensured.
//!
//! A phase of one piece is done by the thread that opens it, without notifying anybody. Workers look for the next phase
//! for a moment, because it usually comes soon, and then sleep. Nothing allocates after [`Pool::new`], unless a job
//! panics.

mod part;
#[cfg(test)]
mod tests;
mod turns;

use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};

pub use self::part::Part;
use self::turns::{Claim, Turn, Turns, lock};
use crate::kernels::float_environment::FloatEnvironment;

/// What a pool's threads do.
pub trait Job: Sync {
    /// Whether phase `phase` exists. Called once for each, from 0 on, while no thread is in the job: a good place to
    /// check whether the caller has cancelled. The job is over when this returns false.
    fn open(&self, phase: usize) -> bool;

    /// Take part in a phase: [split](Part::split) it into pieces, and then do each piece that [`Part::next_piece`]
    /// hands out, until it hands out none. Several threads call this at the same time, and a thread may call it several
    /// times for one phase, or not at all.
    fn run(&self, phase: usize, part: &mut Part<'_>);
}

/// Does a job on this thread alone, in the default floating-point environment; the caller's own is restored.
pub fn run_alone(job: &dyn Job) {
    let _environment = FloatEnvironment::set_default();
    let mut phase = 0;
    while job.open(phase) {
        job.run(phase, &mut Part::alone());
        phase += 1;
    }
}

/// Pieces of one phase, without anything to set up.
struct Pieces<F> {
    count: usize,
    work: F,
}

impl<F: Fn(usize) + Sync> Job for Pieces<F> {
    fn open(&self, phase: usize) -> bool {
        phase == 0
    }

    fn run(&self, _: usize, part: &mut Part<'_>) {
        // A phase may have fewer pieces than `count`.
        let pieces = part.split(|| self.count);
        while let Some(piece) = part.next_piece() {
            let each = self.count.div_ceil(pieces);
            let start = piece.saturating_mul(each);
            (start..self.count.min(start.saturating_add(each))).for_each(&self.work);
        }
    }
}

/// What the caller and the workers share.
struct Shared {
    turns: Turns,
    /// The current job. Written by the caller while the turns are closed, and read by threads that hold a claim: while one
    /// is held, the job cannot end.
    job: UnsafeCell<Option<&'static dyn Job>>,
    /// The current job has panicked: threads that join its phase claim pieces without doing them, and no phase follows.
    abandoned: AtomicBool,
    /// The panic of the first piece that panicked in the current job.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Workers must end.
    ended: AtomicBool,
}

// SAFETY: all fields but `job` are Sync. `job` is written only while nobody may read it, as stated at the field: the
// writes happen before a turn of the job is published, and after its last turn is closed, which is after every claim's
// declaration. The job itself is Sync.
unsafe impl Sync for Shared {}
// SAFETY: as above; the reference in `job` is to something Sync.
unsafe impl Send for Shared {}

/// How far a thread is in a job.
enum At {
    /// The thread is alone and about to open this phase.
    Opening(usize),
    /// The thread holds a claim.
    Holding(Turn, Claim),
}

impl Shared {
    fn new(threads: usize) -> Shared {
        let patient = thread::available_parallelism().is_ok_and(|cpus| threads <= cpus.get());
        Shared {
            turns: Turns::new(threads, patient),
            job: UnsafeCell::new(None),
            abandoned: AtomicBool::new(false),
            panic: Mutex::new(None),
            ended: AtomicBool::new(false),
        }
    }

    /// Whether the job continues with `phase`.
    fn opens(&self, job: &dyn Job, phase: usize) -> bool {
        let open = || job.open(phase);
        !self.abandoned.load(Ordering::Relaxed) && self.guard(open).unwrap_or(false)
    }

    /// Runs a thread's part of a phase, and then takes all pieces left in it, whatever the job does.
    fn run_part(&self, job: &dyn Job, phase: usize, part: &mut Part<'_>) {
        if !self.abandoned.load(Ordering::Relaxed) {
            self.guard(|| job.run(phase, part));
        }
        while part.next_piece().is_some() {}
    }

    /// What `work` returns, unless it panics. A panic is kept for the caller, and the job is abandoned.
    fn guard<R>(&self, work: impl FnOnce() -> R) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(result) => Some(result),
            Err(payload) => {
                lock(&self.panic).get_or_insert(payload);
                self.abandoned.store(true, Ordering::Relaxed);
                None
            }
        }
    }

    /// Takes part in the job until this thread can claim nothing more of the current turn, or the job is over. The caller
    /// of this may use the job: it is alone, or holds a claim. When this returns, it may not.
    fn work(&self, job: &dyn Job, thread: usize, mut at: At) {
        loop {
            let (turn, taken, phase) = match at {
                At::Opening(phase) => {
                    if !self.opens(job, phase) {
                        if !self.turns.current().is_closed() {
                            self.turns.publish(0, 0);
                        }
                        return;
                    }
                    let mut part = Part::opening(&self.turns, thread, phase);
                    self.run_part(job, phase, &mut part);
                    let Some(opened) = part.claimed() else {
                        at = At::Opening(phase + 1);
                        continue;
                    };
                    let (turn, taken) = opened;
                    (turn, taken, phase)
                }
                At::Holding(turn, claim) => {
                    let mut part = Part::joining(&self.turns, thread, turn, claim);
                    let phase = self.turns.phase();
                    self.run_part(job, phase, &mut part);
                    (turn, part.taken(), phase)
                }
            };
            at = if self.turns.declare(turn, taken) {
                At::Opening(phase + 1)
            } else {
                match self.turns.claim_from_others(turn, thread) {
                    Some(claim) => At::Holding(turn, claim),
                    None => return,
                }
            };
        }
    }

    /// Takes part in `turn`, if it has a piece left.
    fn join(&self, thread: usize, turn: Turn) {
        let Some(claim) = self.turns.claim_any(turn, thread) else {
            return;
        };
        // SAFETY: this thread holds a claim, so that the job is not over and nobody writes the field.
        let job = unsafe { *self.job.get() };
        if let Some(job) = job {
            self.work(job, thread, At::Holding(turn, claim));
        }
    }

    /// A worker's life.
    fn serve(&self, thread: usize) {
        let _environment = FloatEnvironment::set_default();
        loop {
            let turn = self.turns.current();
            if !turn.is_closed() {
                self.join(thread, turn);
            } else if self.ended.load(Ordering::Relaxed) {
                return;
            }
            self.turns.wait(turn);
        }
    }

    /// Runs a job. This thread is thread 0 and the only one that starts jobs. Returns the job's panic, if there was
    /// one.
    fn run(&self, job: &dyn Job) -> Option<Box<dyn Any + Send>> {
        let _environment = FloatEnvironment::set_default();
        self.abandoned.store(false, Ordering::Relaxed);
        // SAFETY: only the lifetime changes. Threads use the job while they are alone or hold a claim; this function returns
        // when the turns are closed, and nobody is alone or holds a claim then. It does not unwind: panics are caught.
        let lasting = unsafe { std::mem::transmute::<&dyn Job, &'static dyn Job>(job) };
        // SAFETY: the turns are closed, so that nobody holds a claim and may read the field.
        unsafe { *self.job.get() = Some(lasting) };
        self.work(job, 0, At::Opening(0));
        loop {
            let turn = self.turns.current();
            if turn.is_closed() {
                break;
            }
            self.join(0, turn);
            self.turns.wait(turn);
        }
        // SAFETY: as above.
        unsafe { *self.job.get() = None };
        match self.abandoned.load(Ordering::Relaxed) {
            true => lock(&self.panic).take(),
            false => None,
        }
    }

    /// Ends all workers. No job may be running.
    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.turns.publish(0, 0);
    }
}

/// Threads that stand ready to run jobs together.
///
/// A pool may be shared: with more than one thread, jobs of several callers run one after the other. A job must not run
/// another job on its own pool: it would wait for itself.
pub struct Pool {
    threads: usize,
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
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
        // If a thread cannot be started, dropping the pool ends those that were.
        let mut pool = Pool {
            threads,
            shared: Arc::new(Shared::new(threads)),
            workers: Vec::new(),
            callers: Mutex::new(()),
        };
        let (started, ready) = mpsc::channel();
        for thread in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let started = started.clone();
            let worker = thread::Builder::new()
                .name(format!("smallmind-{thread}"))
                .spawn(move || {
                    // Nobody listens if a later thread was refused.
                    let _ = started.send(());
                    drop(started);
                    shared.serve(thread);
                })?;
            pool.workers.push(worker);
        }
        // Whatever a thread allocates as it starts is allocated now.
        drop(started);
        ready.iter().for_each(drop);
        Ok(pool)
    }

    /// The number of threads that run a job, the caller's among them.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Run `job` with all threads, this one being thread 0, and return when all phases are done. Each thread computes in
    /// the default floating-point environment; the caller's own is restored. What the job wrote is seen by the caller.
    ///
    /// With one thread this is [`run_alone`], and several callers run at the same time.
    ///
    /// # Panics
    /// If the job panics on any thread: threads that are in the job finish their part of the phase, no other phase is
    /// begun, and the first panic resumes in the caller. The pool remains usable for other jobs.
    pub fn run(&self, job: &dyn Job) {
        if self.workers.is_empty() {
            return run_alone(job);
        }
        let one_caller = lock(&self.callers);
        let panic = self.shared.run(job);
        drop(one_caller);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    /// Do `work` for each number below `count`, as one phase.
    ///
    /// # Panics
    /// As [`Pool::run`].
    pub fn run_pieces(&self, count: usize, work: impl Fn(usize) + Sync) {
        self.run(&Pieces { count, work });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.end();
        for worker in self.workers.drain(..) {
            // A worker catches its jobs' panics and has no others; an error could only be ignored here.
            let _ = worker.join();
        }
    }
}
