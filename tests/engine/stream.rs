//! Does a stream have the tokens that its request gets alone, and end as it should, whoever is dropped, refused or panics?

use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Context;
use std::thread::sleep;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use futures_util::future::join_all;
use futures_util::stream::FusedStream;
use futures_util::{FutureExt, StreamExt};
use smallmind::{
    AddError, AsyncEngine, EngineOptions, Finish, GenerateOptions, LogitsHook, Model, StreamError,
    StreamEvent, TokenStream,
};

use crate::requests::{alone, demo};

fn engine(model: &Model) -> AsyncEngine {
    AsyncEngine::new(model.engine(&EngineOptions::new()).unwrap()).unwrap()
}

fn greedy(tokens: usize) -> GenerateOptions {
    GenerateOptions::new().max_tokens(tokens).greedy()
}

/// Reads a stream to its end: the text, the tokens and the end, as [`alone`] returns them.
async fn read(mut stream: TokenStream) -> (String, Vec<u32>, Finish) {
    let (mut all, mut shown) = (String::new(), Vec::new());
    while let Some(event) = stream.next().await {
        let event = event.unwrap();
        all += event.text();
        match event {
            StreamEvent::Token { token, .. } => shown.push(token),
            StreamEvent::Finished { generation, .. } => {
                assert!(generation.tokens.starts_with(&shown));
                assert!(stream.is_terminated());
                assert!(stream.next().await.is_none());
                return (all, generation.tokens, generation.finish);
            }
            event => panic!("{event:?}"),
        }
    }
    panic!("a stream ends with an event that says why");
}

/// Reads a stream to its error, after which there is nothing.
fn failure(mut stream: TokenStream) -> StreamError {
    block_on(async {
        loop {
            match stream.next().await {
                Some(Ok(StreamEvent::Token { .. })) => {}
                Some(Err(error)) => {
                    assert!(stream.is_terminated());
                    assert!(stream.next().await.is_none());
                    return error;
                }
                event => panic!("an error is expected, but there is {event:?}"),
            }
        }
    })
}

/// A hook that waits for a permission before each token, and goes on freely when the sender of permissions is dropped. The
/// receiver gets a message at each call.
fn gate() -> (LogitsHook, Sender<()>, Receiver<()>) {
    let (permit, permits) = channel();
    let (call, calls) = channel();
    let hook = LogitsHook::new(move |_, _| {
        let _ = call.send(());
        let _ = permits.recv();
        Ok(ControlFlow::Continue(()))
    });
    (hook, permit, calls)
}

#[test]
fn streams_and_engines_go_between_threads() {
    fn sendable<T: Send + 'static>(_: &T) {}
    fn shareable<T: Clone + Send + Sync + 'static>(_: &T) {}
    let engine = engine(&demo(1));
    shareable(&engine);
    let adding = engine.add("KING: ", &greedy(1));
    sendable(&adding);
    sendable(&block_on(adding).unwrap());
}

#[test]
fn sixteen_streams_have_what_each_has_alone() {
    let model = demo(4);
    let engine = engine(&model);
    let options = |number: usize| {
        let options = GenerateOptions::new()
            .max_tokens(3 + 5 * number)
            .seed(number as u64);
        match number % 4 {
            0 => options.greedy(),
            1 => options.stop(["e"]),
            2 => options.max_tokens(number % 8 / 3),
            _ => options,
        }
    };
    let prompts: Vec<String> = (0..16).map(|n| format!("KING {n}:\nWhat")).collect();
    let texts = block_on(join_all(prompts.iter().enumerate().map(
        |(number, prompt)| {
            let adding = engine.add(prompt, &options(number));
            async { read(adding.await.unwrap()).await }
        },
    )));
    for (number, prompt) in prompts.iter().enumerate() {
        let expected = alone(&model, prompt, &options(number));
        assert_eq!(texts[number], expected, "{prompt:?}");
    }
    let bytes: Vec<u32> = prompts[0].bytes().map(u32::from).collect();
    let stream = block_on(engine.add_tokens(&bytes, &options(0))).unwrap();
    let (text, tokens, _) = block_on(read(stream));
    assert_eq!((text, &tokens), (String::new(), &texts[0].1));
}

#[test]
fn a_stream_that_nobody_reads_delays_nobody_and_loses_nothing() {
    let model = demo(2);
    let engine = engine(&model);
    let unread = block_on(engine.add("KING: ", &greedy(30))).unwrap();
    for prompt in ["QUEEN: ", "ROMEO: "] {
        let stream = block_on(engine.add(prompt, &greedy(30))).unwrap();
        let expected = alone(&model, prompt, &greedy(30));
        assert_eq!(block_on(read(stream)), expected);
    }
    let expected = alone(&model, "KING: ", &greedy(30));
    assert_eq!(block_on(read(unread)), expected);
}

#[test]
fn a_dropped_stream_leaves_its_place_to_the_next_after_the_current_step() {
    let model = demo(1);
    let engine = engine(&model);
    let (hook, permit, calls) = gate();
    let mut first = block_on(engine.add("KING: ", &greedy(200).logits_hook(hook))).unwrap();
    let second = engine.add("QUEEN: ", &greedy(5));
    permit.send(()).unwrap();
    assert!(block_on(first.next()).unwrap().is_ok());
    // Now the first request waits for its second token.
    calls.iter().take(2).for_each(drop);
    drop((first, permit));
    let second = block_on(async { read(second.await.unwrap()).await });
    assert_eq!(second, alone(&model, "QUEEN: ", &greedy(5)));
    assert_eq!(
        calls.iter().count(),
        0,
        "no step was for the dropped stream"
    );
}

#[test]
fn a_future_that_is_dropped_before_its_answer_cancels_its_request() {
    let model = demo(1);
    let engine = engine(&model);
    let (hook, permit, calls) = gate();
    let blocking = block_on(engine.add("KING: ", &greedy(2).logits_hook(hook))).unwrap();
    calls.recv().unwrap();
    let (unwanted, _permit, never) = gate();
    drop(engine.add("QUEEN: ", &greedy(200).logits_hook(unwanted)));
    let wanted = engine.add("ROMEO: ", &greedy(5));
    drop(permit);
    block_on(read(blocking));
    let wanted = block_on(async { read(wanted.await.unwrap()).await });
    assert_eq!(wanted, alone(&model, "ROMEO: ", &greedy(5)));
    assert_eq!(never.iter().count(), 0);
}

#[test]
fn a_refused_request_gets_the_engine_s_own_error() {
    let model = demo(2);
    let mut own = model.engine(&EngineOptions::new().queue(0)).unwrap();
    let full = own.add("KING: ", &greedy(5)).unwrap_err();
    let engine_full = AsyncEngine::new(own).unwrap();
    let error = block_on(engine_full.add("KING: ", &greedy(5))).unwrap_err();
    assert!(
        matches!(error, StreamError::Add(AddError::QueueFull { waiting: 0 })),
        "{error}"
    );
    assert_eq!(error.to_string(), full.to_string());

    let engine = engine(&model);
    let long = "a".repeat(model.context() + 1);
    for (prompt, options) in [(long.as_str(), greedy(5)), ("KING: ", greedy(5).stop([""]))] {
        let mut own = model.engine(&EngineOptions::new()).unwrap();
        let expected = own.add(prompt, &options).unwrap_err();
        match block_on(engine.add(prompt, &options)) {
            Err(StreamError::Add(error)) => assert_eq!(error.to_string(), expected.to_string()),
            other => panic!("expected {expected}, found {other:?}"),
        }
    }
    assert!(block_on(engine.add_tokens(&[], &greedy(5))).is_err());
    // The engine goes on.
    let stream = block_on(engine.add("KING: ", &greedy(5))).unwrap();
    assert_eq!(block_on(read(stream)), alone(&model, "KING: ", &greedy(5)));
}

#[test]
fn a_request_that_fails_ends_only_its_own_stream() {
    let model = demo(2);
    let engine = engine(&model);
    let fails = LogitsHook::new(|tokens, _| match tokens.len() {
        ..8 => Ok(ControlFlow::Continue(())),
        _ => Err("no more".into()),
    });
    let failing = block_on(engine.add("KING: ", &greedy(9).logits_hook(fails))).unwrap();
    let other = block_on(engine.add("KING: ", &greedy(9))).unwrap();
    let error = failure(failing);
    assert!(matches!(error, StreamError::Generate(_)), "{error:?}");
    assert!(error.to_string().contains("no more"), "{error}");
    assert_eq!(block_on(read(other)), alone(&model, "KING: ", &greedy(9)));
}

#[test]
fn streams_end_with_an_error_when_the_last_handle_is_dropped() {
    let model = demo(1);
    let engine = engine(&model);
    let (hook, permit, calls) = gate();
    let running = block_on(engine.add("KING: ", &greedy(200).logits_hook(hook))).unwrap();
    calls.recv().unwrap();
    let unanswered = engine.add("QUEEN: ", &greedy(200));
    let handle = engine.clone();
    drop(engine);
    permit.send(()).unwrap();
    calls.recv().unwrap();
    drop(handle);
    drop(permit);
    assert!(matches!(
        block_on(running.fork(&greedy(5))),
        Err(StreamError::Dropped)
    ));
    let error = failure(running);
    assert!(matches!(error, StreamError::Dropped), "{error:?}");
    let waiting = block_on(unanswered).unwrap();
    let error = failure(waiting);
    assert!(matches!(error, StreamError::Dropped), "{error:?}");
}

#[test]
fn a_panic_of_the_thread_ends_all_streams_with_its_message() {
    let model = demo(2);
    let engine = engine(&model);
    let (hook, permit, calls) = gate();
    // Without the standard message on stderr.
    let panics = LogitsHook::new(|_, _| resume_unwind(Box::new("a hook's own mistake")));
    let running = block_on(engine.add("KING: ", &greedy(200).logits_hook(hook))).unwrap();
    calls.recv().unwrap();
    let panicking = engine.add("QUEEN: ", &greedy(5).logits_hook(panics));
    let waiting = engine.add("ROMEO: ", &greedy(5));
    drop(permit);
    let streams = block_on(join_all([panicking, waiting]));
    let streams = streams.into_iter().map(Result::unwrap).chain([running]);
    let mut errors: Vec<_> = streams.map(failure).collect();
    // The thread has panicked by now.
    errors.extend(block_on(engine.add("KING: ", &greedy(5))).err());
    assert_eq!(errors.len(), 4);
    for error in errors {
        assert!(matches!(error, StreamError::Panicked { .. }), "{error:?}");
        assert!(error.to_string().contains("a hook's own mistake"));
    }
}

#[test]
fn a_fork_of_a_stream_continues_from_where_its_request_is() {
    let model = demo(2);
    let engine = engine(&model);
    let (hook, permit, calls) = gate();
    let mut origin = block_on(engine.add("KING: ", &greedy(30).logits_hook(hook))).unwrap();
    (0..10).for_each(|_| permit.send(()).unwrap());
    calls.iter().take(11).for_each(drop);
    // The hook stops the step that chooses the eleventh token; the fork is added after it.
    let fork = origin.fork(&greedy(8));
    drop(permit);
    let (_, fork, _) = block_on(async { read(fork.await.unwrap()).await });
    let tokens: Vec<u32> = block_on(
        origin
            .by_ref()
            .filter_map(async |event| match event {
                Ok(StreamEvent::Token { token, .. }) => Some(token),
                _ => None,
            })
            .collect(),
    );
    assert_eq!(fork, tokens[11..19]);
    let gone = block_on(origin.fork(&greedy(8)));
    assert!(matches!(gone, Err(StreamError::Add(AddError::Gone { .. }))));
}

#[test]
fn a_request_waits_for_the_sequence_of_a_session_and_shares_its_steps() {
    let model = demo(1);
    let own = model.engine(&EngineOptions::new()).unwrap();
    let mut session = own.session(None).unwrap();
    let engine = AsyncEngine::new(own).unwrap();
    let mut adding = Box::pin(engine.add("KING: ", &greedy(5)));
    let mut stream = block_on(&mut adding).unwrap();
    session.prefill(&[72, 101]).unwrap();
    assert!(stream.next().now_or_never().is_none());
    drop(session);
    assert_eq!(block_on(read(stream)), alone(&model, "KING: ", &greedy(5)));
}

/// What Linux says about a thread.
#[cfg(target_os = "linux")]
mod thread {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::sync::mpsc::Sender;
    use std::task::Wake;

    /// Sends the folder in `/proc` of the thread that wakes it.
    pub struct Waking(pub Sender<PathBuf>);

    impl Wake for Waking {
        fn wake(self: Arc<Self>) {
            let thread = fs::read_link("/proc/thread-self").unwrap();
            let _ = self.0.send(Path::new("/proc").join(thread));
        }
    }

    /// How often it slept, and its CPU time in ticks, which are 10 ms.
    pub fn sleeps_and_ticks(thread: &Path) -> (u64, u64) {
        let status = fs::read_to_string(thread.join("status")).unwrap();
        let mut lines = status.lines();
        let sleeps = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let stat = fs::read_to_string(thread.join("stat")).unwrap();
        // After the name, which may have spaces; user time, then system time.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = fields.split(' ').skip(11).take(2);
        let ticks = ticks.map(|field| field.parse::<u64>().unwrap()).sum();
        (sleeps.unwrap().trim().parse().unwrap(), ticks)
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_thread_sleeps_while_there_is_nothing_to_do_and_ends_with_its_engine() {
    let engine = engine(&demo(1));
    let (hook, permit, calls) = gate();
    let mut stream = block_on(engine.add("KING: ", &greedy(2).logits_hook(hook))).unwrap();
    calls.recv().unwrap();
    let (waking, woken) = channel();
    let waker = Arc::new(thread::Waking(waking)).into();
    let pending = stream.poll_next_unpin(&mut Context::from_waker(&waker));
    assert!(pending.is_pending());
    drop(permit);
    let path = woken.recv().unwrap();
    block_on(read(stream));
    sleep(Duration::from_millis(50));
    let before = thread::sleeps_and_ticks(&path);
    sleep(Duration::from_millis(200));
    let after = thread::sleeps_and_ticks(&path);
    assert!(after.0 <= before.0 + 1, "it polls: {before:?}, {after:?}");
    assert!(after.1 <= before.1 + 1, "it spins: {before:?}, {after:?}");
    drop(engine);
    let begun = Instant::now();
    while path.exists() {
        let patient = begun.elapsed() < Duration::from_secs(10);
        assert!(patient, "the thread does not end");
        sleep(Duration::from_millis(1));
    }
}
