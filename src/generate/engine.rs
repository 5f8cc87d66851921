//! Many texts at once: an [`Engine`] reads the prompts of many requests and continues them side by side.
//!
//! A request gets the same tokens whatever other requests there are, and in whatever order they come: a step computes
//! each row the same way whatever the other rows are, and every request has a sampler of its own.

use std::collections::VecDeque;
use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::Instant;

use super::choose::Chooser;
pub use super::engine_options::{AddError, EngineError, EngineOptions, RequestId};
use super::options::GenerateOptions;
use super::outcome::{Finish, GenerateError, Generation};
#[cfg(feature = "tokenizer")]
use super::shown::ShownText;
#[cfg(feature = "tokenizer")]
use super::stop::StopStrings;
use crate::exec::batcher::SequenceId;
use crate::exec::beginnings::PrefixStatistics;
use crate::exec::refused::Refused;
use crate::exec::saved::SavedSessionError;
use crate::exec::session::Session;
use crate::exec::shared_batcher::{Board, SharedBatcher};
use crate::model::{EngineMemory, Model};

/// What happened to a request in a step.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A token was chosen that does not end the text.
    Token {
        /// The request.
        request: RequestId,
        /// The token.
        token: u32,
        /// Text that became settled, never half a character; empty for a request that was added as tokens.
        text: String,
    },
    /// The request is finished and removed.
    Finished {
        /// The request.
        request: RequestId,
        /// Text that was still held back.
        text: String,
        /// Everything that was generated.
        generation: Generation,
    },
    /// The request failed and is removed. Other requests go on.
    Failed {
        /// The request.
        request: RequestId,
        /// Why.
        error: GenerateError,
    },
}

/// A request, waiting or running.
struct Request {
    id: RequestId,
    options: GenerateOptions,
    chooser: Chooser,
    /// Positions that the request may need.
    positions: usize,
    /// The most tokens to generate.
    most: usize,
    /// Whether `most` is the caller's choice; otherwise the context determines it.
    stated: bool,
    generation: Generation,
    begun: Instant,
    #[cfg(feature = "tokenizer")]
    shown: Option<ShownText>,
}

/// Many texts of one model, generated side by side.
///
/// ```
/// use smallmind::{EngineOptions, Event, GenerateOptions, Model, Options};
///
/// let model = Model::open("demo", &Options::new().sequences(4))?;
/// let mut engine = model.engine(&EngineOptions::new())?;
/// let options = GenerateOptions::new().max_tokens(8).greedy();
/// let king = engine.add("KING: ", &options)?;
/// let queen = engine.add("QUEEN: ", &options)?;
/// let mut done = Vec::new();
/// while !engine.is_idle() {
///     for event in engine.step() {
///         if let Event::Finished { request, generation, .. } = event {
///             assert_eq!(generation.tokens.len(), 8);
///             done.push(request);
///         }
///     }
/// }
/// done.sort();
/// assert_eq!(done, [king, queen]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Engine {
    model: Model,
    options: EngineOptions,
    /// The sequences of the requests, and those of sessions.
    shared: Arc<SharedBatcher>,
    waiting: VecDeque<(Request, Vec<u32>)>,
    running: Vec<(SequenceId, Request)>,
    added: u64,
    events: Vec<Event>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("waiting", &self.waiting.len())
            .field("running", &self.running.len())
            .finish_non_exhaustive()
    }
}

impl Model {
    /// The memory that an engine of this model would take. Nothing is allocated.
    ///
    /// # Errors
    /// If the budget is too small for one sequence.
    pub fn engine_memory(&self, options: &EngineOptions) -> Result<EngineMemory, EngineError> {
        Ok(EngineMemory::new(&self.plan(), options.memory)?)
    }

    /// An engine for as many sequences as the model was opened for (the option `sequences`). All its memory is
    /// allocated now.
    ///
    /// # Errors
    /// If the model reads only whole texts, the budget is too small for one sequence, or the system has no memory.
    pub fn engine(&self, options: &EngineOptions) -> Result<Engine, EngineError> {
        if self.is_bidirectional() {
            return Err(EngineError::Bidirectional);
        }
        let memory = self.engine_memory(options)?;
        Ok(Engine {
            shared: SharedBatcher::new(
                self.batcher(memory.pages)?,
                options.gap,
                options.room.unwrap_or(usize::MAX),
            ),
            model: self.clone(),
            options: options.clone(),
            waiting: VecDeque::with_capacity(options.queue),
            running: Vec::new(),
            added: 0,
            events: Vec::new(),
        })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Engine {
    /// Add a request that continues a text.
    ///
    /// # Errors
    /// If the queue is full, the request can never run (its prompt and its tokens need more than the context or the
    /// pages), the prompt or an option is wrong, or the model was opened for hidden states.
    #[cfg(feature = "tokenizer")]
    pub fn add(&mut self, prompt: &str, options: &GenerateOptions) -> Result<RequestId, AddError> {
        let tokens = self.model.encode_with(prompt, options.markers)?;
        let shown = self.shown_after(&tokens, options)?;
        self.add_request(tokens, options, Some(shown))
    }

    /// Add a request that continues tokens; its events have no text, and stop strings are not looked for.
    ///
    /// # Errors
    /// The errors of [`Engine::add`].
    pub fn add_tokens(
        &mut self,
        prompt: &[u32],
        options: &GenerateOptions,
    ) -> Result<RequestId, AddError> {
        #[cfg(feature = "tokenizer")]
        return self.add_request(prompt.to_vec(), options, None);
        #[cfg(not(feature = "tokenizer"))]
        self.add_request(prompt.to_vec(), options)
    }

    fn add_request(
        &mut self,
        prompt: Vec<u32>,
        options: &GenerateOptions,
        #[cfg(feature = "tokenizer")] shown: Option<ShownText>,
    ) -> Result<RequestId, AddError> {
        self.model.check_logits()?;
        let waiting = self.waiting.len();
        if waiting >= self.options.queue {
            return Err(AddError::QueueFull { waiting });
        }
        let context = self.model.context();
        let board = self.shared.enter();
        let batcher = &board.batcher;
        let vocabulary = self.model.vocabulary().min(batcher.logits_width());
        let chooser = Chooser::new(options, vocabulary).map_err(GenerateError::from)?;
        batcher.check_tokens(&prompt).map_err(GenerateError::from)?;
        let stated = options.max_tokens.unwrap_or(self.options.default_tokens);
        // The last token is not read.
        let room = (context + 1).saturating_sub(prompt.len());
        let most = stated.min(room);
        let positions = prompt.len() + most.saturating_sub(1);
        batcher.check_positions(positions)?;
        drop(board);
        self.added += 1;
        let id = RequestId(self.added);
        let request = Request {
            id,
            options: options.clone(),
            chooser,
            positions,
            most,
            stated: stated <= room,
            generation: Generation::begin(prompt.len(), most),
            begun: Instant::now(),
            #[cfg(feature = "tokenizer")]
            shown,
        };
        self.waiting.push_back((request, prompt));
        Ok(id)
    }

    /// Add a request that continues from the current state of a running one, with options of its own. It has the same
    /// tokens so far, and shares the pages of their whole blocks.
    ///
    /// # Errors
    /// The errors of [`Engine::add`], and an error if the request does not run.
    pub fn fork(
        &mut self,
        request: RequestId,
        options: &GenerateOptions,
    ) -> Result<RequestId, AddError> {
        let mut running = self.running.iter();
        let origin = running.find(|(_, origin)| origin.id == request);
        let origin = origin.ok_or(AddError::Gone { request })?;
        let tokens = self.shared.enter().batcher.tokens(origin.0).to_vec();
        #[cfg(not(feature = "tokenizer"))]
        return self.add_request(tokens, options);
        #[cfg(feature = "tokenizer")]
        {
            let shown = match origin.1.shown {
                None => None,
                Some(_) => Some(self.shown_after(&tokens, options)?),
            };
            self.add_request(tokens, options, shown)
        }
    }

    /// Text after tokens, up to one of the options' stop strings.
    #[cfg(feature = "tokenizer")]
    fn shown_after(
        &self,
        tokens: &[u32],
        options: &GenerateOptions,
    ) -> Result<ShownText, GenerateError> {
        let stops = StopStrings::new(options.stop.clone())?;
        let tokenizer = self.model.shared_tokenizer()?;
        Ok(ShownText::after(tokenizer, tokens, stops)?)
    }

    /// End a request: its last event comes with the next step. Nothing happens if the request is already removed.
    pub fn cancel(&mut self, request: RequestId) {
        let shared = self.shared.clone();
        self.cancel_on(&mut shared.enter(), request);
    }

    fn cancel_on(&mut self, board: &mut Board, request: RequestId) {
        if let Some(at) = self.waiting.iter().position(|(r, _)| r.id == request)
            && let Some((request, _)) = self.waiting.remove(at)
        {
            self.events.extend(finished(request, Finish::Cancelled));
        }
        if let Some(at) = self.running.iter().position(|(_, r)| r.id == request) {
            let (sequence, request) = self.running.remove(at);
            board.batcher.close(sequence);
            self.events.extend(finished(request, Finish::Cancelled));
        }
    }

    /// Whether no request is waiting or running, and all events were returned.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty() && self.events.is_empty()
    }

    /// Requests that wait to be admitted.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Requests that run.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// The number of pages, of pages that running requests may need, and of pages that nobody reads.
    pub fn pages(&self) -> (usize, usize, usize) {
        self.shared.enter().batcher.pages()
    }

    /// Forget all prefixes that no running request and no session reads.
    pub fn clear(&mut self) {
        self.shared.enter().batcher.clear();
    }

    /// How well requests and sessions share prefixes.
    pub fn prefixes(&self) -> PrefixStatistics {
        self.shared.enter().batcher.prefixes()
    }

    /// A session of one more sequence, which gets at most `positions` positions; with `None`, as many as the context has.
    /// Its steps read the tokens of requests and of other sessions too. A session does not wait: it is admitted now, or
    /// refused.
    ///
    /// # Errors
    /// If all sequences are in use, or the positions need more pages than are not promised to others.
    pub fn session(&self, positions: impl Into<Option<usize>>) -> Result<Session, Refused> {
        let positions = positions.into().unwrap_or(self.model.context());
        self.model.shared_session(self.shared.clone(), positions)
    }

    /// The session that [`Session::save`] wrote, as one more sequence: see [`Model::load_session`] and [`Engine::session`].
    ///
    /// # Errors
    /// The errors of [`Model::load_session`], and an error if the sequence is not admitted.
    pub fn load_session(
        &self,
        positions: impl Into<Option<usize>>,
        from: &mut impl Read,
    ) -> Result<Session, SavedSessionError> {
        self.session(positions)?.load(from)
    }

    /// Admit waiting requests that fit, the oldest first; run one step over the tokens of all running requests; choose
    /// their next tokens. Returns what happened to the requests. A request that fails does not affect the others.
    pub fn step(&mut self) -> Vec<Event> {
        let shared = self.shared.clone();
        let mut board = shared.enter();
        self.admit(&mut board);
        let cancelled = self
            .running
            .iter()
            .filter(|(_, r)| r.options.is_cancelled());
        for id in cancelled.map(|(_, r)| r.id).collect::<Vec<_>>() {
            self.cancel_on(&mut board, id);
        }
        // A session's step may have read the tokens of requests.
        let is_answered = |(sequence, _): &(SequenceId, Request)| {
            !matches!(board.batcher.logits(*sequence), Ok(None))
        };
        let mut step = Ok(());
        if !self.running.iter().any(is_answered) {
            (board, step) = shared.advance(board);
        }
        let batcher = &mut board.batcher;
        if let Err(error) = step {
            // A defect of the plan, which affects every request.
            for (sequence, request) in self.running.drain(..) {
                batcher.close(sequence);
                let (request, error) = (request.id, error.clone().into());
                self.events.push(Event::Failed { request, error });
            }
        }
        let mut at = 0;
        while let Some((sequence, request)) = self.running.get_mut(at) {
            let sequence = *sequence;
            let next = match batcher.logits(sequence) {
                Ok(None) => Ok(Next::Wait),
                Ok(Some(row)) => {
                    let tokens = batcher.tokens(sequence);
                    request.choose(row, tokens, self.model.eos_tokens())
                }
                Err(error) => Err(error.into()),
            };
            let ended = match next {
                Ok(Next::Wait) => None,
                Ok(Next::End(finish)) => Some(Ok(finish)),
                Ok(Next::Token {
                    token,
                    text,
                    finish,
                }) => {
                    let request = request.id;
                    self.events.push(Event::Token {
                        request,
                        token,
                        text,
                    });
                    match finish {
                        Some(finish) => Some(Ok(finish)),
                        None => {
                            let read = batcher.push(sequence, &[token]);
                            read.err().map(|error| Err(error.into()))
                        }
                    }
                }
                Err(error) => Some(Err(error)),
            };
            match ended {
                None => at += 1,
                Some(ended) => {
                    let (sequence, mut request) = self.running.remove(at);
                    request.generation.reused_tokens = batcher.reused(sequence);
                    batcher.close(sequence);
                    self.events.extend(match ended {
                        Ok(finish) => finished(request, finish),
                        Err(error) => Some(Event::Failed {
                            request: request.id,
                            error,
                        }),
                    });
                }
            }
        }
        std::mem::take(&mut self.events)
    }

    /// Admit waiting requests, the oldest first: none passes an older one.
    fn admit(&mut self, board: &mut Board) {
        while let Some((request, prompt)) = self.waiting.front() {
            if request.options.is_cancelled() {
                let id = request.id;
                self.cancel_on(board, id);
                continue;
            }
            let Ok(sequence) = board.batcher.open(request.positions) else {
                return;
            };
            let read = board.batcher.push(sequence, prompt);
            let Some((mut request, _)) = self.waiting.pop_front() else {
                return;
            };
            request.begun = Instant::now();
            match read {
                Ok(()) => self.running.push((sequence, request)),
                Err(error) => {
                    board.batcher.close(sequence);
                    let (request, error) = (request.id, error.into());
                    self.events.push(Event::Failed { request, error });
                }
            }
        }
    }
}

/// What happens after a step.
enum Next {
    /// The prompt is not yet read.
    Wait,
    /// A token, which is read next or ends the text.
    Token {
        token: u32,
        text: String,
        finish: Option<Finish>,
    },
    /// The end, without a token to show.
    End(Finish),
}

impl Request {
    /// Choose the token after `tokens` from their logits.
    fn choose(
        &mut self,
        logits: &[f32],
        tokens: &[u32],
        eos: &[u32],
    ) -> Result<Next, GenerateError> {
        let generation = &mut self.generation;
        if generation.tokens.is_empty() {
            generation.prompt_time = self.begun.elapsed();
            self.begun = Instant::now();
        }
        generation.generation_time = self.begun.elapsed();
        if self.most == 0 {
            return Ok(Next::End(Finish::Length));
        }
        let chooser = &mut self.chooser;
        let token = match chooser.choose(&self.options, eos, logits, tokens, generation)? {
            Ok(token) => token,
            Err(finish) => return Ok(Next::End(finish)),
        };
        let full = match self.stated {
            true => Finish::Length,
            false => Finish::ContextFull,
        };
        let finish = (generation.tokens.len() >= self.most).then_some(full);
        #[cfg(feature = "tokenizer")]
        if let Some(shown) = &mut self.shown {
            let piece = shown.push(token)?;
            return Ok(Next::Token {
                token,
                text: piece.text,
                finish: piece.stop.map(Finish::Stop).or(finish),
            });
        }
        Ok(Next::Token {
            token,
            text: String::new(),
            finish,
        })
    }
}

/// The last event of a request.
fn finished(request: Request, finish: Finish) -> Option<Event> {
    #[cfg(feature = "tokenizer")]
    let (request, text) = {
        let mut request = request;
        let rest = request.shown.as_mut().map(ShownText::finish).transpose();
        match rest {
            Ok(rest) => (request, rest.unwrap_or_default()),
            Err(error) => {
                let (request, error) = (request.id, error.into());
                return Some(Event::Failed { request, error });
            }
        }
    };
    #[cfg(not(feature = "tokenizer"))]
    let text = String::new();
    Some(Event::Finished {
        request: request.id,
        text,
        generation: Generation {
            finish,
            ..request.generation
        },
    })
}
