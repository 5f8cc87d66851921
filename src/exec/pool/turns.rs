//! How threads share the pieces of a phase, and how they wait for the next one.
//!
//! A *turn* is a phase that is open to all threads. One word, [`Turns::open`], holds the number of the current turn and the
//! number of its pieces. Each thread has a slot, and each slot has a range of consecutive pieces. A slot's word holds the
//! number of the turn in which a piece was last claimed from it, and how many were claimed in that turn.
//!
//! What always holds:
//!
//! 1. **Each piece is claimed once.** A claim replaces the slot's word by compare-exchange. A word never comes back: turns
//!    only rise, and so does the count within a turn.
//! 2. **Nobody claims a piece of a turn that is over.** A turn is over once all of its pieces are done, so each of them was
//!    claimed before. The words of its slots therefore say that nothing is left, or already belong to a later turn. A
//!    thread that was stopped at any point and comes back late finds this out when its claim fails, and it has not touched
//!    anything but these words.
//! 3. **A claimed piece keeps its turn open.** The turn ends when as many pieces are declared done as it has. So whoever
//!    holds a claim that is not yet declared may use whatever belongs to the turn: the job, its data, the number of its phase.
//! 4. **One thread goes on.** The thread whose declaration completes the count is alone until it opens the next turn:
//!    every other thread has declared what it claimed, and can claim nothing.
//! 5. **Nobody waits for a thread without a piece.** Threads that are late, asleep or stopped by the system between two
//!    pieces delay nobody: the others claim from their slots too. A thread that is stopped inside a piece, or while it is
//!    alone, is waited for.
//!
//! Orderings. [`Turns::declare`] adds with release, and the completing thread's addition acquires: it has seen what all
//! others wrote, since additions form one release sequence. [`Turns::publish`] stores `open` with release, and everyone
//! loads it with acquire: so a thread that claims has seen all that was written in earlier turns. Claims themselves are
//! relaxed: only the order of changes to one word matters to them, and that order is total for each word. Going to
//! sleep needs more; [`Turns::wait`] explains it.

use std::hint::spin_loop;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a thread looks for the next turn before it sleeps. The next phase usually comes much sooner. A thread that
/// the system has stopped stays away a hundred times longer, and meanwhile nobody should keep its CPU busy.
const SPIN: Duration = Duration::from_micros(30);

/// How often the awaited value is checked between two looks at the clock.
const LOOKS: u32 = 64;

/// How often the awaited value is checked before a thread claims from others' slots. The threads of an even phase end
/// at nearly the same time, and reading a slot takes its cache line away from its owner.
const GRACE: u32 = 8;

/// Bits of a word that count pieces. The others number turns: at two million turns a second, a slot from which nobody
/// claims looks used up after two years.
const PIECE_BITS: u32 = 16;

/// The most pieces of a turn.
pub(super) const MOST_PIECES: usize = (1 << PIECE_BITS) - 1;

/// Alone on its cache lines: two of 64 bytes, which x86 prefetches in pairs.
#[repr(align(128))]
struct Padded<T>(T);

/// A turn's number and its pieces, as one word. A turn without pieces is closed: no job runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Turn(u64);

impl Turn {
    /// The closed turn of this number.
    #[cfg(test)]
    pub(super) fn numbered(number: u64) -> Turn {
        Turn(number << PIECE_BITS)
    }

    /// The turn after this one.
    pub(super) fn next(self, pieces: usize) -> Turn {
        debug_assert!(pieces <= MOST_PIECES);
        let number = (self.0 >> PIECE_BITS).wrapping_add(1);
        Turn(number << PIECE_BITS | pieces as u64)
    }

    /// How many pieces the turn has.
    pub(super) fn pieces(self) -> usize {
        self.0 as usize & MOST_PIECES
    }

    /// Whether no job is running.
    pub(super) fn is_closed(self) -> bool {
        self.pieces() == 0
    }

    /// The pieces of a slot: consecutive, and as many as others have or one more.
    pub(super) fn range(self, slot: usize, slots: usize) -> Range<usize> {
        let start = |slot: usize| (self.pieces() * slot).div_ceil(slots);
        start(slot)..start(slot + 1)
    }

    /// The slot's word once `claimed` pieces of this turn are claimed from it.
    pub(super) fn slot_word(self, claimed: usize) -> u64 {
        self.0 >> PIECE_BITS << PIECE_BITS | claimed as u64
    }

    /// How many pieces are claimed from a slot with this word; `None` if the word belongs to a later turn.
    pub(super) fn claimed(self, word: u64) -> Option<usize> {
        let number = |word: u64| word >> PIECE_BITS << PIECE_BITS;
        match number(self.0).wrapping_sub(number(word)) as i64 {
            0 => Some(word as usize & MOST_PIECES),
            1.. => Some(0),
            _ => None,
        }
    }
}

/// A piece that was claimed, and the slot that it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) piece: usize,
    pub(super) slot: usize,
}

/// What every waiting thread looks at. The phase is stored beside the turn, so that a thread that sees the turn has the
/// phase too.
struct Open {
    /// The current [`Turn`]. Written by the thread that is alone.
    turn: AtomicU64,
    /// The job's phase that the turn stands for. Written before the turn, and read by threads that hold a claim.
    phase: AtomicUsize,
}

/// The turns of a pool.
pub(super) struct Turns {
    open: Padded<Open>,
    /// Pieces of the current turn that are declared done.
    done: Padded<AtomicUsize>,
    /// One for each thread.
    slots: Vec<Padded<AtomicU64>>,
    /// Somebody sleeps, or is about to. Set under the lock, and reset under the lock by the thread that wakes all
    /// sleepers.
    asleep: Padded<AtomicBool>,
    bed: Mutex<()>,
    bell: Condvar,
    /// Whether each thread may have a CPU of its own, so that it may spin: otherwise the thread that is waited for may
    /// need this very CPU.
    patient: bool,
}

impl Turns {
    /// Turns of `threads` threads, the current one closed.
    pub(super) fn new(threads: usize, patient: bool) -> Turns {
        Turns {
            open: Padded(Open {
                turn: AtomicU64::new(Turn::default().next(0).0),
                phase: AtomicUsize::new(0),
            }),
            done: Padded(AtomicUsize::new(0)),
            slots: (0..threads).map(|_| Padded(AtomicU64::new(0))).collect(),
            asleep: Padded(AtomicBool::new(false)),
            bed: Mutex::new(()),
            bell: Condvar::new(),
            patient,
        }
    }

    /// The current turn.
    #[inline]
    pub(super) fn current(&self) -> Turn {
        Turn(self.open.0.turn.load(Ordering::Acquire))
    }

    /// The phase that the current turn stands for. Only for threads that hold a claim of the turn.
    #[inline]
    pub(super) fn phase(&self) -> usize {
        self.open.0.phase.load(Ordering::Relaxed)
    }

    /// Opens the next turn, with `pieces` pieces of phase `phase`, or closes the last turn of a job, with no pieces.
    /// Called by the thread that is alone.
    pub(super) fn publish(&self, pieces: usize, phase: usize) -> Turn {
        // Nobody else changes the turn meanwhile.
        let turn = Turn(self.open.0.turn.load(Ordering::Relaxed)).next(pieces);
        // Nobody declares anything before the turn is open.
        self.done.0.store(0, Ordering::Relaxed);
        self.open.0.phase.store(phase, Ordering::Relaxed);
        self.open.0.turn.store(turn.0, Ordering::Release);
        // Pairs with the fence in `wait`.
        fence(Ordering::SeqCst);
        if self.asleep.0.load(Ordering::Relaxed) {
            self.wake();
        }
        turn
    }

    #[cold]
    fn wake(&self) {
        let bed = lock(&self.bed);
        self.asleep.0.store(false, Ordering::Relaxed);
        drop(bed);
        self.bell.notify_all();
    }

    /// Claims the next piece of a slot, if the turn is not over and the slot has one left.
    #[inline]
    pub(super) fn claim(&self, turn: Turn, slot: usize) -> Option<Claim> {
        let range = turn.range(slot, self.slots.len());
        let cell = &self.slots[slot].0;
        let mut word = cell.load(Ordering::Relaxed);
        loop {
            let claimed = turn.claimed(word)?;
            if claimed >= range.len() {
                return None;
            }
            let next = turn.slot_word(claimed + 1);
            match cell.compare_exchange_weak(word, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    let piece = range.start + claimed;
                    return Some(Claim { piece, slot });
                }
                Err(found) => word = found,
            }
        }
    }

    /// Claims a piece for a thread that has declared all that it claimed: from its own slot, or else from another slot.
    #[inline]
    pub(super) fn claim_any(&self, turn: Turn, thread: usize) -> Option<Claim> {
        self.claim(turn, thread)
            .or_else(|| self.claim_from_others(turn, thread))
    }

    /// Claims a piece from another thread's slot, unless the others end the turn in a moment.
    pub(super) fn claim_from_others(&self, turn: Turn, thread: usize) -> Option<Claim> {
        if self.patient {
            for _ in 0..GRACE {
                if self.current() != turn {
                    return None;
                }
                spin_loop();
            }
        }
        let slots = self.slots.len();
        (1..slots).find_map(|other| self.claim(turn, (thread + other) % slots))
    }

    /// Declares `count` claimed pieces done. Returns whether these were the last ones: this thread is then alone. A
    /// thread that has claimed nothing is never alone: the turn may be over.
    #[inline]
    pub(super) fn declare(&self, turn: Turn, count: usize) -> bool {
        if count == 0 {
            return false;
        }
        // Release: what this thread wrote. Acquire: what all others wrote, which the thread that is alone passes on.
        self.done.0.fetch_add(count, Ordering::AcqRel) + count == turn.pieces()
    }

    /// Returns when `turn` is no longer the current one: spins for a moment, and then sleeps.
    ///
    /// A sleeper announces itself and then looks at the turn once more; [`Turns::publish`] changes the turn and then
    /// looks for sleepers. A sequentially consistent fence stands between the two on both sides, so that at least one
    /// sees the other. The lock makes sure that a sleeper which has announced itself is asleep before the wake-up call.
    #[inline]
    pub(super) fn wait(&self, turn: Turn) {
        if !self.spin_until(|| self.current() != turn) {
            self.sleep(turn);
        }
    }

    #[cold]
    fn sleep(&self, turn: Turn) {
        let mut bed = lock(&self.bed);
        loop {
            self.asleep.0.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            if self.current() != turn {
                return;
            }
            bed = self
                .bell
                .wait(bed)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// Looks until `ready`, for about [`SPIN`]. Returns false if the time ran out.
    #[inline]
    fn spin_until(&self, mut ready: impl FnMut() -> bool) -> bool {
        let looks = if self.patient { LOOKS } else { 1 };
        let mut start = None;
        loop {
            for _ in 0..looks {
                if ready() {
                    return true;
                }
                spin_loop();
            }
            if start.get_or_insert_with(Instant::now).elapsed() > SPIN {
                return false;
            }
            if !self.patient {
                thread::yield_now();
            }
        }
    }
}

/// Locks a mutex whose content is valid whatever its holders did.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
