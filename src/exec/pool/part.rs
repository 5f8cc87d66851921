//! A thread's part of a phase: the pieces that it is handed, one after the other.

use super::turns::{Claim, MOST_PIECES, Turn, Turns};

/// A thread's part of a phase, as [`Job::run`](super::Job::run) receives it.
pub struct Part<'a> {
    thread: usize,
    source: Source<'a>,
}

/// Where pieces come from.
enum Source<'a> {
    /// Nobody else takes part: all numbers from `next` up to `count` are left.
    Alone { next: usize, count: usize },
    /// The phase of this number is not yet split; after that, others may take part.
    Opening(&'a Turns, usize),
    /// Claimed from a slot of the turn; the first piece is claimed already.
    Shared {
        turns: &'a Turns,
        turn: Turn,
        slot: usize,
        first: Option<usize>,
        taken: usize,
    },
}

impl<'a> Part<'a> {
    /// The whole of a phase, for thread 0.
    pub(super) fn alone() -> Part<'static> {
        Part {
            thread: 0,
            source: Source::Alone { next: 0, count: 0 },
        }
    }

    /// The part of the thread that is alone; it opens the phase to others by splitting it.
    pub(super) fn opening(turns: &'a Turns, thread: usize, phase: usize) -> Part<'a> {
        Part {
            thread,
            source: Source::Opening(turns, phase),
        }
    }

    /// The part of a thread that has claimed a piece, and takes the rest of the same slot.
    pub(super) fn joining(turns: &'a Turns, thread: usize, turn: Turn, claim: Claim) -> Part<'a> {
        Part {
            thread,
            source: Source::Shared {
                turns,
                turn,
                slot: claim.slot,
                first: Some(claim.piece),
                taken: 1,
            },
        }
    }

    /// The thread's number, below the pool's number of threads. No two parts of a phase have the same number at the
    /// same time.
    #[inline]
    pub fn thread(&self) -> usize {
        self.thread
    }

    /// Splits the phase into as many pieces as `count` says, but not more than a turn can have, and returns their
    /// number. Must be called before the first [`Part::next_piece`]. Only the thread that opens the phase calls
    /// `count`; the others are given the number that it returned. A phase that is not split has no pieces.
    #[inline]
    pub fn split(&mut self, count: impl FnOnce() -> usize) -> usize {
        match &mut self.source {
            Source::Alone { count: known, .. } => {
                *known = count();
                *known
            }
            Source::Shared { turn, .. } => turn.pieces(),
            Source::Opening(turns, phase) => {
                let (turns, phase) = (*turns, *phase);
                let count = count().min(MOST_PIECES);
                self.source = match count {
                    0 | 1 => Source::Alone { next: 0, count },
                    _ => Source::Shared {
                        turns,
                        turn: turns.publish(count, phase),
                        slot: self.thread,
                        first: None,
                        taken: 0,
                    },
                };
                count
            }
        }
    }

    /// The number of the next piece for this thread. The piece is this thread's until all of the part is done.
    #[inline]
    pub fn next_piece(&mut self) -> Option<usize> {
        match &mut self.source {
            Source::Opening(..) => None,
            Source::Alone { next, count } => {
                let piece = *next;
                *next += usize::from(piece < *count);
                (piece < *count).then_some(piece)
            }
            Source::Shared {
                turns,
                turn,
                slot,
                first,
                taken,
            } => first.take().or_else(|| {
                let claim = turns.claim(*turn, *slot)?;
                *taken += 1;
                Some(claim.piece)
            }),
        }
    }

    /// How many pieces this part has claimed so far, from the turn that was opened for them.
    pub(super) fn taken(&self) -> usize {
        match self.source {
            Source::Shared { taken, .. } => taken,
            _ => 0,
        }
    }

    /// The turn that was opened, and how many pieces were claimed from it; `None` if others cannot take part.
    pub(super) fn claimed(&self) -> Option<(Turn, usize)> {
        match self.source {
            Source::Shared { turn, taken, .. } => Some((turn, taken)),
            _ => None,
        }
    }
}
