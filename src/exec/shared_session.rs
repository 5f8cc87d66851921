//! A sequence of an engine, for one thread, beside those of other threads.

use std::io::{Read, Write};
use std::mem::take;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};

use super::batcher::SequenceId;
use super::refused::Refused;
use super::saved::SavedSessionError;
use super::shared_batcher::{Board, SharedBatcher};
use super::step_error::StepError;

/// One sequence of an engine. The sequence is closed when this is dropped. When the engine is dropped, nothing is computed any
/// more, and every call that would is an error.
pub(super) struct SharedSession {
    shared: Arc<SharedBatcher>,
    id: SequenceId,
    /// The tokens so far; the capacity is that of all positions.
    tokens: Vec<u32>,
    /// The most positions.
    positions: usize,
    /// Tokens of the last prompt that were not read, because another sequence had read the same prefix.
    reused: usize,
    /// The logits after the last token, `[vocabulary]`. While there are none, the batcher has the memory of the row, and
    /// this is empty.
    row: Vec<f32>,
}

impl SharedSession {
    /// A new sequence that gets at most `positions` positions.
    ///
    /// # Errors
    /// If all slots are in use, or there are not enough pages.
    pub fn open(shared: Arc<SharedBatcher>, positions: usize) -> Result<SharedSession, Refused> {
        let id = shared.enter().open_session(positions)?;
        Ok(SharedSession {
            shared,
            id,
            tokens: Vec::with_capacity(positions),
            positions,
            reused: 0,
            row: Vec::new(),
        })
    }

    /// The tokens so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The most positions.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// The logits after the last token, `[vocabulary]`, or empty.
    pub fn logits(&self) -> &[f32] {
        &self.row
    }

    /// Tokens of the last prompt that were not read.
    pub fn reused(&self) -> usize {
        self.reused
    }

    /// Tokens that the next call reads again.
    pub fn unread(&self) -> usize {
        self.tokens.len() - self.shared.enter().batcher.read(self.id)
    }

    /// Whether the sequence can read `tokens` after those that it has.
    ///
    /// # Errors
    /// If there are no tokens, one is not known, they are more than the positions, or the engine is gone.
    pub fn check_push(&self, tokens: &[u32]) -> Result<(), StepError> {
        let board = self.shared.enter();
        board.check_open()?;
        board.batcher.check_push(self.id, tokens)
    }

    /// Read tokens. Afterwards there are logits.
    ///
    /// # Errors
    /// If there are no tokens, one is not known, they are more than the positions, the logits are not finite, `cancel` becomes
    /// true, or the engine is gone.
    pub fn prefill(
        &mut self,
        tokens: &[u32],
        cancel: Option<&AtomicBool>,
    ) -> Result<(), StepError> {
        let shared = self.shared.clone();
        let mut board = shared.enter();
        board.check_open()?;
        board.batcher.push(self.id, tokens)?;
        self.reused = match self.tokens.is_empty() {
            true => board.batcher.reused(self.id),
            false => 0,
        };
        self.tokens.extend_from_slice(tokens);
        self.read_all(&shared, board, cancel)
    }

    /// Wait until all tokens are read. After an error, unread tokens are forgotten.
    fn read_all<'a>(
        &mut self,
        shared: &'a SharedBatcher,
        mut board: MutexGuard<'a, Board>,
        cancel: Option<&AtomicBool>,
    ) -> Result<(), StepError> {
        board.batcher.return_row(self.id, take(&mut self.row));
        board.asks(self.id);
        shared.tell();
        let error = loop {
            match board.batcher.take_logits(self.id) {
                Ok(Some(row)) => {
                    self.row = row;
                    return Ok(());
                }
                Ok(None) => {}
                Err(error) => break error,
            }
            if let Err(error) = board.check_open() {
                break error;
            }
            if cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
                let position = board.batcher.read(self.id);
                break StepError::Cancelled { position };
            }
            let step;
            (board, step) = shared.advance(board);
            if let Err(error) = step {
                break error;
            }
        };
        board.batcher.forget_unread(self.id)?;
        self.tokens.truncate(board.batcher.tokens(self.id).len());
        Err(error)
    }

    /// Forget all tokens from `position` on.
    ///
    /// # Errors
    /// If the engine is gone.
    pub fn truncate(&mut self, position: usize) -> Result<(), StepError> {
        let mut board = self.shared.enter();
        board.check_open()?;
        if position < self.tokens.len() {
            self.tokens.truncate(position);
            board.batcher.return_row(self.id, take(&mut self.row));
            board.batcher.truncate(self.id, position)?;
        }
        Ok(())
    }

    /// Another sequence with the same tokens and logits, and as many positions.
    ///
    /// # Errors
    /// If all slots are in use, or there are not enough pages.
    pub fn fork(&self) -> Result<SharedSession, Refused> {
        let mut fork = SharedSession::open(self.shared.clone(), self.positions)?;
        if self.tokens.is_empty() {
            return Ok(fork);
        }
        let mut board = self.shared.enter();
        // The tokens were accepted before.
        let _ = board.batcher.push(fork.id, &self.tokens);
        fork.tokens.extend_from_slice(&self.tokens);
        if !self.row.is_empty() {
            fork.row = board.batcher.take_row(fork.id);
            fork.row.copy_from_slice(&self.row);
        }
        drop(board);
        Ok(fork)
    }

    /// Write the tokens and their rows, after reading those again whose rows are gone.
    ///
    /// # Errors
    /// If the bytes can't be written, tokens can't be read again, or the engine is gone.
    pub fn save(&mut self, to: &mut impl Write) -> Result<(), SavedSessionError> {
        let shared = self.shared.clone();
        let mut board = shared.enter();
        board.check_open()?;
        board.batcher.restore_rows(self.id)?;
        if board.batcher.read(self.id) < self.tokens.len() {
            self.read_all(&shared, board, None)?;
            board = shared.enter();
        }
        board.batcher.save(self.id, to)
    }

    /// Load what [`SharedSession::save`] wrote into a sequence without tokens.
    ///
    /// # Errors
    /// If the bytes can't be read, are damaged, or belong to another model or to more positions than the sequence may use.
    pub fn load(&mut self, from: &mut impl Read) -> Result<(), SavedSessionError> {
        let mut board = self.shared.enter();
        board.check_open()?;
        board.batcher.load(self.id, from)?;
        self.tokens.extend_from_slice(board.batcher.tokens(self.id));
        Ok(())
    }
}

impl Drop for SharedSession {
    fn drop(&mut self) {
        let mut board = self.shared.enter();
        board.batcher.return_row(self.id, take(&mut self.row));
        board.close_session(self.id);
        drop(board);
        self.shared.tell();
    }
}
