//! Requests as asynchronous streams: an [`AsyncEngine`] runs an [`Engine`] on a thread of its own.
//!
//! Channels connect the thread with its callers and wake them, so that any executor will do. Each request has a channel for
//! its events; the receiving end is the [`TokenStream`], and when it is dropped, the thread cancels the request.

use std::any::Any;
use std::collections::HashMap;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::Duration;

use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_channel::oneshot;
use futures_core::{FusedStream, Stream};

use super::engine::{AddError, Engine, Event, RequestId};
use super::options::GenerateOptions;
use super::outcome::{GenerateError, Generation};

/// How long the thread sleeps while no request runs and those that wait cannot be admitted.
const UNTIL_ADMITTED: Duration = Duration::from_millis(2);

/// What a [`TokenStream`] returns.
#[derive(Debug)]
#[non_exhaustive]
pub enum StreamEvent {
    /// A token was chosen that does not end the text.
    Token {
        /// The token.
        token: u32,
        /// Text that became settled, never half a character; empty for a request that was added as tokens.
        text: String,
    },
    /// The request is finished. Nothing follows.
    Finished {
        /// Text that was still held back.
        text: String,
        /// Everything that was generated.
        generation: Generation,
    },
}

impl StreamEvent {
    /// The next piece of the text: the pieces of all events, in order, are the text.
    pub fn text(&self) -> &str {
        match self {
            StreamEvent::Token { text, .. } | StreamEvent::Finished { text, .. } => text,
        }
    }
}

/// Why there is no stream, or what ended a stream before its request was finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The engine refuses the request.
    #[error(transparent)]
    Add(#[from] AddError),
    /// The request failed. Other requests go on.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// Every handle of the engine was dropped.
    #[error("the AsyncEngine was dropped before the request was finished")]
    Dropped,
    /// The engine's thread panicked, perhaps in a logits hook. No request can run any more.
    #[error("the engine's thread panicked: {message}")]
    Panicked {
        /// What the panic says.
        message: String,
    },
}

/// An [`Engine`] on a thread of its own, whose requests are asynchronous streams. Any executor can read them.
///
/// Clones are handles of the same engine. When the last one is dropped, the thread ends after its current step, and the drop
/// does not wait for it. Streams that still run end with [`StreamError::Dropped`]. While there are no requests, the thread
/// sleeps.
///
#[cfg_attr(all(feature = "demo", feature = "tokenizer"), doc = "```")]
#[cfg_attr(not(all(feature = "demo", feature = "tokenizer")), doc = "```ignore")]
/// use futures_util::TryStreamExt; // any crate for streams, and any executor
/// use smallmind::{AsyncEngine, EngineOptions, GenerateOptions, Model, Options};
///
/// let model = Model::open("demo", &Options::new().sequences(4))?;
/// let engine = AsyncEngine::new(model.engine(&EngineOptions::new())?)?;
/// let options = GenerateOptions::new().max_tokens(8).greedy();
/// let text = futures_executor::block_on(async {
///     let mut stream = engine.add("KING: ", &options).await?;
///     let mut text = String::new();
///     while let Some(event) = stream.try_next().await? {
///         text += event.text();
///     }
///     Ok::<_, smallmind::StreamError>(text)
/// })?;
/// assert_eq!(text.len(), 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct AsyncEngine {
    commands: Arc<Sender<Command>>,
}

impl AsyncEngine {
    /// Starts the engine's thread. The events of requests that the engine already has reach nobody; its sessions go on, and
    /// share the steps of the streams.
    ///
    /// # Errors
    /// If the system starts no thread.
    pub fn new(engine: Engine) -> io::Result<AsyncEngine> {
        let (commands, received) = mpsc::channel();
        thread::Builder::new()
            .name("smallmind-async".to_string())
            .spawn(move || serve(engine, &received))?;
        Ok(AsyncEngine {
            commands: Arc::new(commands),
        })
    }

    /// Add a request that continues a text. It is sent at once, and the future waits for the engine's answer, which comes
    /// between two steps. Dropping the future cancels the request.
    ///
    /// # Errors
    /// The errors of [`Engine::add`] as [`StreamError::Add`], or an error if the engine is gone.
    #[cfg(feature = "tokenizer")]
    pub fn add(
        &self,
        prompt: &str,
        options: &GenerateOptions,
    ) -> impl Future<Output = Result<TokenStream, StreamError>> + Send + use<> {
        let begin = Begin::Text(prompt.to_string());
        request(Arc::downgrade(&self.commands), begin, options)
    }

    /// Add a request that continues tokens; its events have no text, and stop strings are not looked for. Otherwise as
    /// `add`.
    ///
    /// # Errors
    /// The errors of [`Engine::add_tokens`] as [`StreamError::Add`], or an error if the engine is gone.
    pub fn add_tokens(
        &self,
        prompt: &[u32],
        options: &GenerateOptions,
    ) -> impl Future<Output = Result<TokenStream, StreamError>> + Send + use<> {
        let begin = Begin::Tokens(prompt.to_vec());
        request(Arc::downgrade(&self.commands), begin, options)
    }
}

/// The events of one request: tokens, then [`StreamEvent::Finished`] or an error, then nothing. Dropping the stream cancels
/// the request, and its pages are free before the next step.
///
/// A stream that nobody reads delays no other request. Its events are kept, at most one for each token that the request may
/// generate and one for its end.
#[derive(Debug)]
#[must_use = "dropping a stream cancels its request"]
pub struct TokenStream {
    request: RequestId,
    events: UnboundedReceiver<Item>,
    /// The last event was returned.
    ended: bool,
    /// Does not keep the engine's thread alive.
    commands: Weak<Sender<Command>>,
}

impl TokenStream {
    /// Add a request that continues from the current state of this one, with options of its own, as [`Engine::fork`] does.
    /// The current state is the engine's: it contains tokens that this stream has not yet returned.
    ///
    /// # Errors
    /// The errors of [`Engine::fork`] as [`StreamError::Add`], or an error if the engine is gone.
    pub fn fork(
        &self,
        options: &GenerateOptions,
    ) -> impl Future<Output = Result<TokenStream, StreamError>> + Send + use<> {
        request(self.commands.clone(), Begin::Fork(self.request), options)
    }
}

impl Stream for TokenStream {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let event = ready!(Pin::new(&mut self.events).poll_next(context));
        let event = event.unwrap_or(Err(StreamError::Dropped));
        self.ended = !matches!(event, Ok(StreamEvent::Token { .. }));
        Poll::Ready(Some(event))
    }
}

impl FusedStream for TokenStream {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

type Item = Result<StreamEvent, StreamError>;

/// The sending ends of the streams whose requests are not finished.
type Streams = HashMap<RequestId, UnboundedSender<Item>>;

/// A request, and the channel for the engine's answer.
struct Command {
    begin: Begin,
    options: GenerateOptions,
    answer: oneshot::Sender<Result<(RequestId, UnboundedReceiver<Item>), StreamError>>,
}

/// What a request continues.
enum Begin {
    #[cfg(feature = "tokenizer")]
    Text(String),
    Tokens(Vec<u32>),
    Fork(RequestId),
}

/// Sends a request now; the future is its stream.
fn request(
    commands: Weak<Sender<Command>>,
    begin: Begin,
    options: &GenerateOptions,
) -> impl Future<Output = Result<TokenStream, StreamError>> + Send + use<> {
    let (answer, answered) = oneshot::channel();
    let command = Command {
        begin,
        options: options.clone(),
        answer,
    };
    if let Some(commands) = commands.upgrade() {
        // A command that cannot be sent is dropped, and its answer is cancelled.
        let _ = commands.send(command);
    }
    async move {
        let answer = answered.await;
        let (request, events) = answer.unwrap_or_else(|_| Err(no_answer(&commands)))?;
        Ok(TokenStream {
            request,
            events,
            ended: false,
            commands,
        })
    }
}

/// Why the engine's thread does not answer: every handle is dropped, or the thread panicked while it added the request.
fn no_answer(commands: &Weak<Sender<Command>>) -> StreamError {
    match commands.strong_count() {
        0 => StreamError::Dropped,
        _ => StreamError::Panicked {
            message: "it could not add the request".to_string(),
        },
    }
}

/// The engine's thread, until every handle is dropped.
fn serve(engine: Engine, commands: &Receiver<Command>) {
    let mut streams = Streams::new();
    let served = panic::catch_unwind(AssertUnwindSafe(|| drive(engine, commands, &mut streams)));
    let Err(panic) = served else {
        return;
    };
    let message = message(panic.as_ref());
    let panicked = || StreamError::Panicked {
        message: message.clone(),
    };
    for stream in streams.into_values() {
        // A stream that was dropped wants no error.
        let _ = stream.unbounded_send(Err(panicked()));
    }
    while let Ok(command) = commands.recv() {
        let _ = command.answer.send(Err(panicked()));
    }
}

/// What a panic says.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or(panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message").to_string()
}

/// Steps while there are requests, and sleeps while there are none. Returns when every handle is dropped.
fn drive(mut engine: Engine, commands: &Receiver<Command>, streams: &mut Streams) {
    loop {
        if engine.is_idle() {
            let Ok(command) = commands.recv() else {
                return;
            };
            begin(&mut engine, command, streams);
        }
        loop {
            match commands.try_recv() {
                Ok(command) => begin(&mut engine, command, streams),
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => return,
            }
        }
        cancel_dropped(&mut engine, streams);
        let events = engine.step();
        if events.is_empty() && engine.running() == 0 {
            // Sessions of the engine have the sequences or pages that the waiting requests need, and tell nobody when
            // they are dropped.
            thread::sleep(UNTIL_ADMITTED);
        }
        for event in events {
            send(event, streams);
        }
    }
}

/// Cancels the requests of streams that were dropped.
fn cancel_dropped(engine: &mut Engine, streams: &mut Streams) {
    streams.retain(|&request, stream| {
        let dropped = stream.is_closed();
        if dropped {
            engine.cancel(request);
        }
        !dropped
    });
}

/// Adds a request and answers. The places of streams that were dropped before it was sent are free by then.
fn begin(engine: &mut Engine, command: Command, streams: &mut Streams) {
    cancel_dropped(engine, streams);
    let options = &command.options;
    let added = match &command.begin {
        #[cfg(feature = "tokenizer")]
        Begin::Text(prompt) => engine.add(prompt, options),
        Begin::Tokens(prompt) => engine.add_tokens(prompt, options),
        Begin::Fork(origin) => engine.fork(*origin, options),
    };
    let answer = added.map_err(StreamError::from).map(|request| {
        let (stream, events) = unbounded();
        streams.insert(request, stream);
        (request, events)
    });
    // If nobody waits for the answer, the receiver is dropped with it, and the request is cancelled.
    let _ = command.answer.send(answer);
}

/// Passes an event to the stream of its request. A stream that was dropped is noticed before the next step.
fn send(event: Event, streams: &mut Streams) {
    match event {
        Event::Token {
            request,
            token,
            text,
        } => {
            if let Some(stream) = streams.get(&request) {
                let _ = stream.unbounded_send(Ok(StreamEvent::Token { token, text }));
            }
        }
        Event::Finished {
            request,
            text,
            generation,
        } => {
            if let Some(stream) = streams.remove(&request) {
                let _ = stream.unbounded_send(Ok(StreamEvent::Finished { text, generation }));
            }
        }
        Event::Failed { request, error } => {
            if let Some(stream) = streams.remove(&request) {
                let _ = stream.unbounded_send(Err(error.into()));
            }
        }
    }
}
