//! A batcher that several threads use: an engine, and sessions that each belong to a thread of their own.
//!
//! Whoever waits for logits runs the next step for all. Before it does, it waits a moment for the sessions that got logits
//! from the last step, because they usually ask again at once: so the tokens of all of them are read in one step.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::batcher::{Batcher, SequenceId};
use super::pace::Pace;
use super::refused::Refused;
use super::step_error::StepError;

/// The least time that a step waits for sessions to ask again. A caller that has a CPU chooses a token in less.
const LEAST_PATIENCE: Duration = Duration::from_micros(50);

/// The part of the last step's time that a step waits at most, where that is longer. Callers who have to be woken, on CPUs
/// that are in use, need longer than the least time; a caller who does not ask again costs the others a twentieth of a step.
const PATIENCE: u32 = 20;

/// How long a step waits for those whom the last step answered, if that took `step_time`.
pub(super) fn patience(step_time: Duration) -> Duration {
    (step_time / PATIENCE).max(LEAST_PATIENCE)
}

/// The batcher, and what its users know of each other.
pub struct Board {
    /// The batcher.
    pub batcher: Batcher,
    pace: Pace,
    /// How long the last step took.
    step_time: Duration,
    /// The longest time that a sequence should wait for its next token because of a prompt.
    gap: Duration,
    /// The most tokens of a step.
    room: usize,
    /// The sequences of sessions, and whether each got logits from the last step and did not ask again.
    sessions: Vec<(SequenceId, bool)>,
    /// Somebody waits for sessions to ask again, and runs a step afterwards.
    gathering: bool,
    /// The engine is gone.
    closed: bool,
}

impl Board {
    /// Run a step over at most as many tokens as the gap between tokens allows.
    fn compute(&mut self) -> Result<(), StepError> {
        let generating = self.batcher.generating();
        let room = self.pace.room(self.gap, generating).min(self.room);
        let begun = Instant::now();
        let tokens = self.batcher.step(room)?;
        self.step_time = begun.elapsed();
        self.pace.note(tokens, generating, self.step_time);
        for (sequence, is_answered) in &mut self.sessions {
            *is_answered = self.batcher.was_answered(*sequence);
        }
        Ok(())
    }

    /// Note that a session asks again.
    pub(super) fn asks(&mut self, id: SequenceId) {
        let session = self.sessions.iter_mut().find(|(session, _)| *session == id);
        if let Some((_, is_answered)) = session {
            *is_answered = false;
        }
    }

    /// Fails if the engine is gone.
    pub(super) fn check_open(&self) -> Result<(), StepError> {
        match self.closed {
            true => Err(StepError::EngineGone),
            false => Ok(()),
        }
    }

    /// Open a sequence for a session.
    pub(super) fn open_session(&mut self, positions: usize) -> Result<SequenceId, Refused> {
        let id = self.batcher.open(positions)?;
        self.sessions.push((id, false));
        Ok(id)
    }

    /// Close the sequence of a session.
    pub(super) fn close_session(&mut self, id: SequenceId) {
        self.sessions.retain(|(session, _)| *session != id);
        self.batcher.close(id);
    }
}

/// A batcher behind a lock.
pub struct SharedBatcher {
    board: Mutex<Board>,
    /// Something on the board changed: a step is done, a session asks again or is gone, or the engine is gone.
    changed: Condvar,
    /// Threads that wait for the lock.
    arriving: AtomicUsize,
}

impl SharedBatcher {
    /// Share `batcher`, whose steps read at most `room` tokens, and so few of prompts that sequences wait at most about
    /// `gap` for their next token.
    pub fn new(batcher: Batcher, gap: Duration, room: usize) -> Arc<SharedBatcher> {
        let sessions = Vec::with_capacity(batcher.slots());
        Arc::new(SharedBatcher {
            board: Mutex::new(Board {
                batcher,
                pace: Pace::default(),
                step_time: Duration::ZERO,
                gap,
                room,
                sessions,
                gathering: false,
                closed: false,
            }),
            changed: Condvar::new(),
            arriving: AtomicUsize::new(0),
        })
    }

    /// The board, once no step runs. Whoever runs several steps leaves the board to arriving threads in between.
    pub fn enter(&self) -> MutexGuard<'_, Board> {
        self.arriving.fetch_add(1, Ordering::Relaxed);
        // What the board says stays true when a step panics: its tokens are read again.
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        self.arriving.fetch_sub(1, Ordering::Relaxed);
        board
    }

    /// Run one step for all, after a moment in which others may ask. If somebody else is about to do that, wait until
    /// something changes instead.
    pub fn advance<'a>(
        &'a self,
        mut board: MutexGuard<'a, Board>,
    ) -> (MutexGuard<'a, Board>, Result<(), StepError>) {
        if board.gathering {
            let waited = self.changed.wait(board);
            return (waited.unwrap_or_else(PoisonError::into_inner), Ok(()));
        }
        // Those who wait for the step are woken even if the step panics.
        let _wake = Wake(&self.changed);
        board.gathering = true;
        let end = Instant::now() + patience(board.step_time);
        while board.sessions.iter().any(|(_, is_answered)| *is_answered)
            || self.arriving.load(Ordering::Relaxed) > 0
        {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(board, left);
            board = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        board.gathering = false;
        let result = board.compute();
        (board, result)
    }

    /// Tell all who wait that something changed.
    pub(super) fn tell(&self) {
        self.changed.notify_all();
    }

    /// The engine is gone: sessions compute nothing any more.
    pub fn close(&self) {
        self.enter().closed = true;
        self.tell();
    }
}

/// Wakes all who wait when it is dropped.
struct Wake<'a>(&'a Condvar);

impl Drop for Wake<'_> {
    fn drop(&mut self) {
        self.0.notify_all();
    }
}
