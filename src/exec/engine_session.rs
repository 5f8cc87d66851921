//! A session of an engine: one sequence of tokens, for one thread, beside those of other threads.

use std::fmt;
use std::mem::take;
use std::sync::Arc;

use super::batcher::{Refused, SequenceId};
use super::shared_batcher::SharedBatcher;
use super::step_error::StepError;

/// One sequence of tokens of an [`Engine`](crate::Engine). It can be sent to another thread; the tokens of sessions that
/// are used at the same time are read in one step, with the bits that each would get alone.
///
/// The sequence is closed when the session is dropped. When the engine is dropped, the session computes nothing any more,
/// and every call that would is an error.
pub struct EngineSession {
    shared: Arc<SharedBatcher>,
    id: SequenceId,
    /// The logits after the last token, `[vocabulary]`. While there are none, the batcher has the memory of the row, and
    /// this is empty.
    row: Vec<f32>,
}

impl fmt::Debug for EngineSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineSession")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl EngineSession {
    /// A session of a new sequence that gets at most `positions` positions.
    ///
    /// # Errors
    /// If all slots are in use, or there are not enough pages.
    pub(crate) fn open(
        shared: Arc<SharedBatcher>,
        positions: usize,
    ) -> Result<EngineSession, Refused> {
        let id = shared.enter().open_session(positions)?;
        Ok(EngineSession {
            shared,
            id,
            row: Vec::new(),
        })
    }

    /// Read a prompt, or more of one. Returns the last token's logits, `[vocabulary]`. The whole blocks of the first
    /// prompt that another sequence has read before are not read again.
    ///
    /// # Errors
    /// If there are no tokens, one is not known, they are more than the session's positions, the logits are not finite, or
    /// the engine is gone.
    pub fn prefill(&mut self, tokens: &[u32]) -> Result<&[f32], StepError> {
        let mut board = self.shared.enter();
        board.check_open()?;
        board.batcher.push(self.id, tokens)?;
        board.batcher.return_row(self.id, take(&mut self.row));
        board.asks(self.id);
        self.shared.tell();
        loop {
            if let Some(row) = board.batcher.take_logits(self.id)? {
                self.row = row;
                break;
            }
            board.check_open()?;
            let step;
            (board, step) = self.shared.advance(board);
            step?;
        }
        drop(board);
        Ok(&self.row)
    }

    /// Read one token. Returns its logits, `[vocabulary]`.
    ///
    /// # Errors
    /// The errors of [`EngineSession::prefill`].
    pub fn step(&mut self, token: u32) -> Result<&[f32], StepError> {
        self.prefill(&[token])
    }

    /// The logits that the last call returned, `[vocabulary]`; empty before the first call, and after
    /// [`EngineSession::truncate`].
    pub fn logits(&self) -> &[f32] {
        &self.row
    }

    /// The tokens so far.
    pub fn tokens(&self) -> Vec<u32> {
        self.shared.enter().batcher.tokens(self.id).to_vec()
    }

    /// How many tokens there are: the position of the next token.
    pub fn position(&self) -> usize {
        self.shared.enter().batcher.tokens(self.id).len()
    }

    /// The most positions of the session.
    pub fn positions(&self) -> usize {
        self.shared.enter().batcher.limit(self.id)
    }

    /// Tokens of the first prompt that were not read, because another sequence had read the same prefix.
    pub fn reused(&self) -> usize {
        self.shared.enter().batcher.reused(self.id)
    }

    /// Forget all tokens from `position` on. The next call reads the tokens of the last block again, of which some are
    /// gone; or all tokens, if rows are gone that the next token's windows see.
    ///
    /// # Errors
    /// If the engine is gone.
    pub fn truncate(&mut self, position: usize) -> Result<(), StepError> {
        let mut board = self.shared.enter();
        board.check_open()?;
        if position < board.batcher.tokens(self.id).len() {
            board.batcher.return_row(self.id, take(&mut self.row));
        }
        board.batcher.truncate(self.id, position)
    }

    /// Another session with the same tokens and logits, and as many positions. It shares the pages of whole blocks; the
    /// tokens after them are read again with its next tokens.
    ///
    /// # Errors
    /// If all slots are in use, or there are not enough pages.
    pub fn fork(&self) -> Result<EngineSession, Refused> {
        let mut board = self.shared.enter();
        let tokens = board.batcher.tokens(self.id).to_vec();
        let limit = board.batcher.limit(self.id);
        let id = board.open_session(limit)?;
        // The tokens were accepted before; without tokens there is nothing to add.
        let _ = board.batcher.push(id, &tokens);
        let mut row = Vec::new();
        if !self.row.is_empty() {
            row = board.batcher.take_row(id);
            row.copy_from_slice(&self.row);
        }
        drop(board);
        Ok(EngineSession {
            shared: self.shared.clone(),
            id,
            row,
        })
    }
}

impl Drop for EngineSession {
    fn drop(&mut self) {
        let mut board = self.shared.enter();
        board.batcher.return_row(self.id, take(&mut self.row));
        board.close_session(self.id);
        drop(board);
        self.shared.tell();
    }
}
