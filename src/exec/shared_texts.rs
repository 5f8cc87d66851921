//! Texts that several threads give at the same time: whole texts in, rows of the first output out, nothing kept.
//!
//! Whoever waits for its rows runs the next step, for the texts of all who wait, the oldest first. A text's rows have the
//! bits that it would have alone.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::arena::ArenaError;
use super::batcher::{Batcher, SequenceId};
use super::executor::Executor;
use super::shared_batcher::patience;
use super::step_error::StepError;
use super::step_io::check_text;

/// What takes the rows of a text: all of them, in the order of the tokens, or only the last if the plan computes only that.
pub trait Rows: Send {
    /// The next rows, [tokens, width].
    fn add(&mut self, rows: &[f32]);
}

/// A text, until its rows are there.
struct Text<R> {
    /// Whose it is, and its place among the caller's texts.
    call: u64,
    number: usize,
    tokens: Vec<u32>,
    rows: R,
}

/// A text's rows, or why there are none.
type Answer<R> = Result<R, StepError>;

/// A call that waits for answers.
struct Call<R> {
    /// How many texts it has.
    texts: usize,
    /// The answers so far, with the places of their texts.
    answers: Vec<(usize, Answer<R>)>,
}

/// What the callers know of each other.
struct Queue<R> {
    /// Texts that no step has begun to read.
    waiting: VecDeque<Text<R>>,
    /// The calls that wait for answers.
    calls: HashMap<u64, Call<R>>,
    /// Calls so far.
    called: u64,
    /// Calls that the last step answered, less those that came since. They usually come again at once.
    expected: usize,
    /// Steps so far.
    steps: u64,
    /// How long the last step took.
    step_time: Duration,
    /// Somebody runs a step.
    running: bool,
}

/// The batcher, and the texts that it reads.
struct Reader<R> {
    batcher: Batcher,
    /// The texts whose rows are not complete. An encoder's texts have no sequences.
    reading: Vec<(Option<SequenceId>, Text<R>)>,
}

/// A batcher of texts, for any number of threads.
pub struct SharedTexts<R> {
    executor: Arc<Executor>,
    vocabulary: usize,
    queue: Mutex<Queue<R>>,
    reader: Mutex<Reader<R>>,
    /// A step is done, or texts arrived.
    changed: Condvar,
}

impl<R: Rows> SharedTexts<R> {
    /// All memory is allocated now, except for the lists of texts: for an encoder the memory of a session, otherwise for as many
    /// sequences as a step of the plan reads.
    ///
    /// # Errors
    /// If the system has no memory for it.
    pub fn new(executor: Arc<Executor>, vocabulary: usize) -> Result<SharedTexts<R>, ArenaError> {
        let batcher = match executor.plan().is_bidirectional() {
            true => Batcher::of_one(executor.clone(), vocabulary)?.0,
            false => Batcher::without_prefixes(executor.clone(), vocabulary)?,
        };
        Ok(SharedTexts {
            executor,
            vocabulary,
            queue: Mutex::new(Queue {
                waiting: VecDeque::new(),
                calls: HashMap::new(),
                called: 0,
                expected: 0,
                steps: 0,
                step_time: Duration::ZERO,
                running: false,
            }),
            reader: Mutex::new(Reader {
                batcher,
                reading: Vec::new(),
            }),
            changed: Condvar::new(),
        })
    }

    /// Read texts. The answers are in the order of the texts; an error of one affects no other.
    pub fn read(&self, texts: Vec<(Vec<u32>, R)>) -> Vec<Answer<R>> {
        let mut queue = self.queue();
        queue.called += 1;
        queue.expected = queue.expected.saturating_sub(1);
        let call = queue.called;
        let (all, mut answers) = (texts.len(), Vec::with_capacity(texts.len()));
        for (number, (tokens, rows)) in texts.into_iter().enumerate() {
            match check_text(self.executor.plan(), self.vocabulary, &tokens) {
                Err(error) => answers.push((number, Err(error))),
                Ok(()) => queue.waiting.push_back(Text {
                    call,
                    number,
                    tokens,
                    rows,
                }),
            }
        }
        let texts = all;
        queue.calls.insert(call, Call { texts, answers });
        self.changed.notify_all();
        loop {
            if let Some(mut answers) = queue.complete(call) {
                answers.sort_unstable_by_key(|(number, _)| *number);
                return answers.into_iter().map(|(_, answer)| answer).collect();
            }
            if queue.running {
                let waited = self.changed.wait(queue);
                queue = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            queue.running = true;
            let turn = Turn(self);
            drop(self.gather(queue));
            self.step();
            drop(turn);
            queue = self.queue();
        }
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.queue().steps
    }

    fn queue(&self) -> MutexGuard<'_, Queue<R>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self) -> MutexGuard<'_, Reader<R>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wait a moment for those who may come again, unless there are texts for a whole step.
    fn gather<'a>(&'a self, mut queue: MutexGuard<'a, Queue<R>>) -> MutexGuard<'a, Queue<R>> {
        let chunk = self.executor.plan().step().tokens();
        let end = Instant::now() + patience(queue.step_time);
        while queue.expected > 0 {
            let tokens = queue.waiting.iter().map(|text| text.tokens.len());
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || tokens.sum::<usize>() >= chunk {
                break;
            }
            let waited = self.changed.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        queue
    }

    /// Run a step over as many waiting texts as it has room for, and note its answers.
    fn step(&self) {
        let mut reader = self.reader();
        let begun = Instant::now();
        reader.take(&mut self.queue().waiting);
        let found = reader.step();
        let mut queue = self.queue();
        queue.steps += 1;
        queue.step_time = begun.elapsed();
        queue.expected = 0;
        queue.note(found);
    }
}

impl<R> Queue<R> {
    /// Note answers.
    fn note(&mut self, found: Vec<(Text<R>, Result<(), StepError>)>) {
        for (text, read) in found {
            if let Some(call) = self.calls.get_mut(&text.call) {
                let answer = read.map(|()| text.rows);
                call.answers.push((text.number, answer));
                self.expected += usize::from(call.answers.len() == call.texts);
            }
        }
    }

    /// The answers of a call, and the places of their texts, if they are all there.
    fn complete(&mut self, call: u64) -> Option<Vec<(usize, Answer<R>)>> {
        let found = self.calls.get(&call)?;
        if found.answers.len() < found.texts {
            return None;
        }
        self.calls.remove(&call).map(|call| call.answers)
    }
}

impl<R: Rows> Reader<R> {
    /// Take texts to read, the oldest first, as many as a step has room for.
    fn take(&mut self, waiting: &mut VecDeque<Text<R>>) {
        let executor = self.batcher.executor().clone();
        let plan = executor.plan();
        let chunk = plan.step().tokens();
        let reading = self.reading.iter();
        let mut tokens: usize = reading
            .map(|(id, text)| text.tokens.len() - id.map_or(0, |id| self.batcher.read(id)))
            .sum();
        while let Some(text) = waiting.front() {
            let length = text.tokens.len();
            let id = match plan.is_bidirectional() {
                true if self.reading.len() == plan.texts() || tokens + length > chunk => return,
                true => None,
                false if tokens >= chunk => return,
                // All slots are in use, or the text waits for pages.
                false => match self.batcher.open(length) {
                    Err(_) => return,
                    Ok(id) => Some(id),
                },
            };
            let Some(text) = waiting.pop_front() else {
                return;
            };
            if let Some(id) = id {
                // The text was checked, so it is accepted; otherwise its answer would be that it was not read.
                let _ = self.batcher.push(id, &text.tokens);
            }
            tokens += length;
            self.reading.push((id, text));
        }
    }

    /// Run a step. Returns the texts that are completely read, and those with errors.
    fn step(&mut self) -> Vec<(Text<R>, Result<(), StepError>)> {
        match self.batcher.executor().plan().is_bidirectional() {
            true => self.step_whole(),
            false => self.step_in_order(),
        }
    }

    /// A step of whole texts.
    fn step_whole(&mut self) -> Vec<(Text<R>, Result<(), StepError>)> {
        let texts: Vec<&[u32]> = self
            .reading
            .iter()
            .map(|(_, text)| text.tokens.as_slice())
            .collect();
        match self.batcher.encode(&texts, None) {
            Ok(encoded) => {
                for (number, (_, text)) in self.reading.iter_mut().enumerate() {
                    text.rows.add(encoded.text(number));
                }
                self.reading
                    .drain(..)
                    .map(|(_, text)| (text, Ok(())))
                    .collect()
            }
            // The others are read again without this one.
            Err(mut error @ StepError::NotFinite { .. }) => {
                let mut number = 0;
                if let StepError::NotFinite { text, .. } = &mut error {
                    number = std::mem::take(text);
                }
                let (_, text) = self.reading.remove(number);
                vec![(text, Err(error))]
            }
            Err(error) => self
                .reading
                .drain(..)
                .map(|(_, text)| (text, Err(error.clone())))
                .collect(),
        }
    }

    /// A step of texts that are read in order.
    fn step_in_order(&mut self) -> Vec<(Text<R>, Result<(), StepError>)> {
        let step = self.batcher.step(usize::MAX);
        let mut found = Vec::new();
        let mut place = 0;
        while let Some((id, text)) = self.reading.get_mut(place) {
            let read = match (&step, *id) {
                (Err(error), _) => Err(error.clone()),
                (Ok(_), None) => Err(StepError::Gone),
                (Ok(_), Some(id)) => self.batcher.step_rows(id).map(|rows| {
                    text.rows.add(rows);
                    self.batcher.read(id) == text.tokens.len()
                }),
            };
            if read == Ok(false) {
                place += 1;
                continue;
            }
            let (id, text) = self.reading.remove(place);
            if let Some(id) = id {
                self.batcher.close(id);
            }
            found.push((text, read.map(|_| ())));
        }
        found
    }
}

/// The turn of whoever runs a step. When it ends, the others go on, even if the step panicked: its texts are then lost.
struct Turn<'a, R: Rows>(&'a SharedTexts<R>);

impl<R: Rows> Drop for Turn<'_, R> {
    fn drop(&mut self) {
        if thread::panicking() {
            let mut reader = self.0.reader();
            let lost = std::mem::take(&mut reader.reading);
            let mut found = Vec::new();
            for (id, text) in lost {
                if let Some(id) = id {
                    reader.batcher.close(id);
                }
                found.push((text, Err(StepError::Gone)));
            }
            self.0.queue().note(found);
        }
        self.0.queue().running = false;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
