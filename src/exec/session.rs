//! A session: one sequence of tokens, with memory of its own or as one of an engine's sequences.

use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::arena::ArenaError;
use super::batcher::{Batcher, SequenceId};
use super::cancel::Cancel;
pub use super::encoded::Encoded;
use super::executor::Executor;
use super::refused::Refused;
use super::saved::SavedSessionError;
use super::shared_batcher::SharedBatcher;
use super::shared_session::SharedSession;
pub use super::step_error::StepError;
use crate::plan::ModelPlan;

/// One sequence of tokens.
///
/// A session of a model ([`Model::session`](crate::Model::session)) shares the model's weights and threads and nothing else.
/// A session of an engine ([`Engine::session`](crate::Engine::session)) is one of the engine's sequences: the tokens of
/// sessions that several threads use at the same time are read in one step, with the bits that each would get alone, and
/// prompts with the same prefix share its rows.
///
/// A bidirectional model, an encoder, keeps nothing from one step to the next: each call of [`Session::prefill`] or
/// [`Session::step`] is then a text of its own, which replaces the one before. [`Session::encode`] reads several at once.
pub struct Session {
    executor: Arc<Executor>,
    home: Home,
}

/// Where the sequence is.
enum Home {
    /// In a batcher of its own.
    Own(Box<Batcher>, SequenceId),
    /// Among the sequences of an engine.
    Shared(SharedSession),
}

/// Why a session has no fork.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForkError {
    /// The system has no memory for it.
    #[error(transparent)]
    Arena(#[from] ArenaError),
    /// The session's engine does not admit another sequence.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("position", &self.position())
            .field("context", &self.context())
            .finish_non_exhaustive()
    }
}

/// Called with the logits of each chunk.
type EachChunk<'a> = &'a mut dyn FnMut(&[f32]);

impl Session {
    /// A session without tokens. All its memory is allocated now.
    ///
    /// # Errors
    /// If the system has no memory for it.
    pub fn new(executor: Arc<Executor>, vocabulary: usize) -> Result<Session, ArenaError> {
        let (batcher, id) = Batcher::of_one(executor.clone(), vocabulary)?;
        Ok(Session {
            executor,
            home: Home::Own(Box::new(batcher), id),
        })
    }

    /// A session of an engine that gets at most `positions` positions.
    ///
    /// # Errors
    /// If all slots are in use, or there are not enough pages.
    pub(crate) fn shared(
        executor: Arc<Executor>,
        shared: Arc<SharedBatcher>,
        positions: usize,
    ) -> Result<Session, Refused> {
        Ok(Session {
            executor,
            home: Home::Shared(SharedSession::open(shared, positions)?),
        })
    }

    fn plan(&self) -> &ModelPlan {
        self.executor.plan()
    }

    /// The tokens so far. After [`Session::encode`], the tokens of all its texts.
    pub fn tokens(&self) -> &[u32] {
        match &self.home {
            Home::Own(batcher, id) => batcher.tokens(*id),
            Home::Shared(session) => session.tokens(),
        }
    }

    /// The number of tokens: the position of the next one.
    pub fn position(&self) -> usize {
        self.tokens().len()
    }

    /// The number of positions of the session.
    pub fn context(&self) -> usize {
        match &self.home {
            Home::Own(batcher, id) => batcher.limit(*id),
            Home::Shared(session) => session.positions(),
        }
    }

    /// The most tokens of a step.
    pub fn chunk(&self) -> usize {
        self.plan().step().tokens()
    }

    /// Process a prompt, or more of one, chunk by chunk. Returns the logits as [`Session::logits`] does.
    ///
    /// # Errors
    /// If there are no tokens, one is not known, they don't fit into the context, the logits are not finite, or the engine
    /// is gone.
    pub fn prefill(&mut self, tokens: &[u32]) -> Result<&[f32], StepError> {
        self.run(tokens, None)
    }

    /// Like [`Session::prefill`]; stops soon after `cancel` is called: a session with memory of its own also within a
    /// chunk. The chunks done by then stay.
    ///
    /// # Errors
    /// The errors of [`Session::prefill`], and [`StepError::Cancelled`].
    pub fn prefill_until(&mut self, tokens: &[u32], cancel: &Cancel) -> Result<&[f32], StepError> {
        self.run(tokens, Some(cancel.flag()))
    }

    /// Like [`Session::prefill`]; `each` is called with the logits of each chunk: [chunk, vocabulary] if the model was
    /// opened for all rows and the session has memory of its own, otherwise the chunk's last row.
    ///
    /// # Errors
    /// The errors of [`Session::prefill`].
    pub fn prefill_each(
        &mut self,
        tokens: &[u32],
        each: &mut dyn FnMut(&[f32]),
    ) -> Result<(), StepError> {
        self.run_each(tokens, None, each)
    }

    /// Like [`Session::prefill_each`]; stops as [`Session::prefill_until`] does.
    ///
    /// # Errors
    /// The errors of [`Session::prefill_until`].
    pub fn prefill_each_until(
        &mut self,
        tokens: &[u32],
        cancel: &Cancel,
        each: &mut dyn FnMut(&[f32]),
    ) -> Result<(), StepError> {
        self.run_each(tokens, Some(cancel.flag()), each)
    }

    /// Process one token. Returns its logits: `[vocabulary]`.
    ///
    /// # Errors
    /// The errors of [`Session::prefill`].
    pub fn step(&mut self, token: u32) -> Result<&[f32], StepError> {
        self.run(&[token], None)
    }

    /// Process the last token again, for its logits: after a session is loaded or truncated, its logits are gone.
    ///
    /// # Errors
    /// The errors of [`Session::step`], and an error if no token was read.
    pub fn read_last_again(&mut self) -> Result<&[f32], StepError> {
        let Some(&token) = self.tokens().last() else {
            return Err(StepError::Empty);
        };
        self.truncate(self.position() - 1)?;
        self.step(token)
    }

    /// Read `texts` side by side in one step of a bidirectional model. The outputs for each text have the same bits as
    /// if [`Session::prefill`] read it alone. Together the texts may have at most as many tokens as a step, and each at
    /// most as many as the context has positions; none may be empty.
    ///
    /// # Errors
    /// If the model is not bidirectional, a text is empty or has unknown tokens, or they don't fit in one step.
    pub fn encode(&mut self, texts: &[&[u32]]) -> Result<Encoded<'_>, StepError> {
        match &mut self.home {
            Home::Own(batcher, _) => batcher.encode(texts, None),
            Home::Shared(_) => Err(StepError::OneText {
                texts: texts.len(),
                reason: "this model reads texts token by token",
            }),
        }
    }

    fn run(&mut self, tokens: &[u32], cancel: Option<&AtomicBool>) -> Result<&[f32], StepError> {
        match &mut self.home {
            Home::Own(batcher, _) if self.executor.plan().is_bidirectional() => {
                batcher.encode(&[tokens], cancel)?;
            }
            Home::Own(batcher, id) => {
                batcher.check_push(*id, tokens)?;
                // The outputs of the last step belong to these tokens alone.
                read_all(batcher, *id, cancel)?;
                batcher.push(*id, tokens)?;
                read_all(batcher, *id, cancel)?;
            }
            Home::Shared(session) => session.prefill(tokens, cancel)?,
        }
        Ok(self.logits())
    }

    fn run_each(
        &mut self,
        tokens: &[u32],
        cancel: Option<&AtomicBool>,
        each: EachChunk<'_>,
    ) -> Result<(), StepError> {
        if self.plan().is_bidirectional() {
            each(self.run(tokens, cancel)?);
            return Ok(());
        }
        // Nothing is read if a later chunk could not be.
        match &self.home {
            Home::Own(batcher, id) => batcher.check_push(*id, tokens)?,
            Home::Shared(session) => session.check_push(tokens)?,
        }
        for chunk in tokens.chunks(self.chunk()) {
            each(self.run(chunk, cancel)?);
        }
        Ok(())
    }

    /// How many tokens of the last prompt were not read, because another sequence of the engine had read the same prefix.
    pub fn reused_tokens(&self) -> usize {
        match &self.home {
            Home::Own(..) => 0,
            Home::Shared(session) => session.reused(),
        }
    }

    /// The first output of the last step: the last token's logits `[vocabulary]`, or the logits of all its tokens
    /// [tokens, vocabulary] if the model was opened for all rows and the session has memory of its own. Empty before the
    /// first step.
    pub fn logits(&self) -> &[f32] {
        self.output(0)
    }

    /// Elements of a row of logits.
    pub fn logits_width(&self) -> usize {
        self.plan().logits_width()
    }

    /// The last token's logits: `[vocabulary]`. Empty before the first step.
    pub fn logits_row(&self) -> &[f32] {
        let logits = self.logits();
        &logits[logits.len().saturating_sub(self.logits_width())..]
    }

    /// An output of the last step by its place in the graph file; empty before the first step. A session of an engine has
    /// only the first output.
    pub fn output(&self, number: usize) -> &[f32] {
        match &self.home {
            Home::Own(batcher, _) => batcher.output(number),
            Home::Shared(session) if number == 0 => session.logits(),
            Home::Shared(_) => &[],
        }
    }

    /// Forget all tokens from `position` on.
    ///
    /// The next call reads tokens again whose rows are gone. With memory of its own, a session keeps every row unless a layer's
    /// queries see a window: such a layer has the window's rows, and the rows of at least as many further tokens as a
    /// prompt step has. In an engine, the tokens of the last block of 64 positions are read again, because other sequences
    /// may share its rows.
    ///
    /// # Errors
    /// If the engine is gone.
    pub fn truncate(&mut self, position: usize) -> Result<(), StepError> {
        match &mut self.home {
            Home::Own(batcher, id) => batcher.truncate(*id, position),
            Home::Shared(session) => session.truncate(position),
        }
    }

    /// How many of the session's tokens the next call reads again before its own.
    pub fn unread(&self) -> usize {
        match &self.home {
            Home::Own(batcher, id) => batcher.tokens(*id).len() - batcher.read(*id),
            Home::Shared(session) => session.unread(),
        }
    }

    /// A second session that has read the same tokens and goes its own way from here. In an engine, it shares the rows of
    /// whole blocks; the tokens after them are read again with its next tokens.
    ///
    /// # Errors
    /// If the system has no memory for it, or the engine does not admit another sequence.
    pub fn fork(&self) -> Result<Session, ForkError> {
        let home = match &self.home {
            Home::Own(batcher, id) => Home::Own(Box::new(batcher.duplicate()?), *id),
            Home::Shared(session) => Home::Shared(session.fork()?),
        };
        Ok(Session {
            executor: self.executor.clone(),
            home,
        })
    }

    /// Write the tokens, and those rows of the caches that are needed to continue from here or to read the last token
    /// again. The bytes are a function of the model and the tokens alone. Tokens whose rows are gone are read again first.
    ///
    /// # Errors
    /// If the bytes can't be written, the model is an encoder, or tokens can't be read again; in the last two cases nothing
    /// is written.
    pub fn save(&mut self, to: &mut impl Write) -> Result<(), SavedSessionError> {
        if self.plan().is_bidirectional() {
            return Err(SavedSessionError::Bidirectional);
        }
        match &mut self.home {
            Home::Own(batcher, id) => {
                batcher.restore_rows(*id)?;
                read_all(batcher, *id, None)?;
                batcher.save(*id, to)
            }
            Home::Shared(session) => session.save(to),
        }
    }

    /// Load what [`Session::save`] wrote into a session without tokens. Its rows are not checked; they may be NaN. Allocates
    /// one row, whatever the bytes claim.
    ///
    /// # Errors
    /// If the bytes can't be read, are damaged, or belong to another model or a longer context.
    pub(crate) fn load(mut self, from: &mut impl Read) -> Result<Session, SavedSessionError> {
        match &mut self.home {
            Home::Own(batcher, id) => batcher.load(*id, from)?,
            Home::Shared(session) => session.load(from)?,
        }
        Ok(self)
    }
}

/// Read all tokens of a batcher's only sequence. After an error, unread tokens are forgotten.
fn read_all(
    batcher: &mut Batcher,
    id: SequenceId,
    cancel: Option<&AtomicBool>,
) -> Result<(), StepError> {
    while batcher.read(id) < batcher.tokens(id).len() {
        let position = batcher.read(id);
        let read = match cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
            true => Err(StepError::Cancelled { position }),
            false => batcher.step_until(usize::MAX, cancel).map(|_| ()),
        };
        let read = read.and_then(|()| batcher.logits(id).map(|_| ()));
        if let Err(error) = read {
            batcher.forget_unread(id)?;
            return Err(error);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Home, Session};
    use crate::{Model, Options};

    /// Bytes of the lists beside the arena.
    fn list_bytes(session: &Session) -> usize {
        match &session.home {
            Home::Own(batcher, _) => batcher.list_bytes(),
            Home::Shared(_) => 0,
        }
    }

    #[test]
    fn the_lists_take_what_the_plan_states_and_never_grow() {
        // A context larger than a step, a step larger than the context, and caches with windows.
        for (name, chunk) in [("llama", 16), ("bert", 600), ("mistral", 16)] {
            let folder = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
            let options = Options {
                context: Some(100),
                chunk: Some(chunk),
                ..Options::default()
            };
            let model = Model::open(folder.as_str(), &options).unwrap();
            let mut session = model.session().unwrap();
            let planned = model.plan().session_lists;
            assert_eq!(list_bytes(&session), planned, "{name}");
            if model.is_bidirectional() {
                let texts: Vec<[u32; 1]> = (0..chunk as u32).map(|token| [token % 200]).collect();
                let texts: Vec<&[u32]> = texts.iter().map(|text| &text[..]).collect();
                session.encode(&texts).unwrap();
            } else {
                let tokens: Vec<u32> = (0..100).collect();
                session.prefill(&tokens).unwrap();
            }
            assert_eq!(list_bytes(&session), planned, "{name}");
        }
    }
}
