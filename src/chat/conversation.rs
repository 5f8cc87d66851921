//! A conversation: messages and a session that has read them.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::Message;
use super::hidden::Hidden;
use super::template::{ChatTemplate, TemplateError};
use crate::exec::arena::ArenaError;
use crate::exec::session::Session;
use crate::generate::options::GenerateOptions;
use crate::generate::run::{Finish, GenerateError};
use crate::model::Model;
use crate::text::tokenizer::Markers;

/// Why there is no answer. The conversation is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChatError {
    /// The template can't render the messages.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The model can't answer.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// The system has no memory for the session.
    #[error(transparent)]
    Arena(#[from] ArenaError),
    /// The conversation does not fit.
    #[error("the conversation has {tokens} tokens, but the context has {context} positions")]
    TooLong {
        /// Number of tokens of the conversation.
        tokens: usize,
        /// Number of positions of the context.
        context: usize,
    },
    /// There is no question to answer again.
    #[error("there is no question yet")]
    NoQuestion,
    /// The template turns the messages into an empty text.
    #[error("the template turns the messages into an empty text")]
    Empty,
}

/// What happens to a conversation that no longer fits the context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// The turn is refused with [`ChatError::TooLong`].
    #[default]
    Refuse,
    /// The oldest turns are forgotten until there is also room for the answer: for [`GenerateOptions::max_tokens`], or a
    /// quarter of the context if that is less. Messages before the first turn (a system message) stay, and so does the
    /// question.
    Forget {
        /// How many of the first turns are never forgotten.
        keep: usize,
    },
}

/// How an answer ended, and what it took.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Turn {
    /// What ended the answer.
    pub finish: Finish,
    /// Number of messages that were forgotten to make room for this turn ([`WhenFull::Forget`]).
    pub forgotten_messages: usize,
    /// Number of tokens of the conversation that the session had already read.
    pub reused_tokens: usize,
    /// Number of tokens of the conversation that were read for this answer.
    pub read_tokens: usize,
    /// Number of tokens of the answer, including a token that ended it.
    pub generated_tokens: usize,
    /// Time for reading.
    pub prompt_time: Duration,
    /// Time for the answer's tokens after the first token, which is part of the reading.
    pub generation_time: Duration,
}

impl Turn {
    /// Tokens read per second; `None` if none were read.
    pub fn prompt_rate(&self) -> Option<f64> {
        rate(self.read_tokens, self.prompt_time)
    }

    /// Tokens generated per second, not counting the first; `None` if there were no others.
    pub fn generation_rate(&self) -> Option<f64> {
        rate(
            self.generated_tokens.saturating_sub(1),
            self.generation_time,
        )
    }
}

fn rate(tokens: usize, time: Duration) -> Option<f64> {
    (tokens > 0 && !time.is_zero()).then(|| tokens as f64 / time.as_secs_f64())
}

/// Messages, and a session that has read them.
///
/// Each turn renders the whole conversation again, because a template may treat old messages differently. The session keeps
/// the leading tokens that are still the same; only the others are read. Keeping tokens leads to the same bits as reading
/// them again.
pub struct Conversation {
    model: Model,
    template: ChatTemplate,
    session: Session,
    messages: Vec<Message>,
    /// The time that the template sees. It never changes, so that a rendered text stays as it is.
    now: SystemTime,
    /// Tokens that end an answer, besides the model's own.
    turn_ends: Vec<u32>,
    when_full: WhenFull,
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation")
            .field("model", &self.model)
            .field("messages", &self.messages)
            .finish_non_exhaustive()
    }
}

impl Conversation {
    /// A conversation without messages. Allocates the memory of a session.
    ///
    /// # Errors
    /// If the system has no memory for the session, or the model can't continue a text.
    pub fn new(model: &Model, template: ChatTemplate) -> Result<Conversation, ChatError> {
        Conversation::with_session(model, template, model.session()?)
    }

    /// A conversation without messages in a session of the model, for example in one of an engine
    /// ([`Engine::session`](crate::Engine::session)): its turns are then read and answered beside those of others. The
    /// session's tokens are replaced, except for those that the first turn begins with.
    ///
    /// # Errors
    /// If the model can't continue a text.
    pub fn with_session(
        model: &Model,
        template: ChatTemplate,
        session: Session,
    ) -> Result<Conversation, ChatError> {
        if model.is_bidirectional() {
            return Err(GenerateError::Bidirectional.into());
        }
        let now = SystemTime::now();
        let turn_ends = turn_ends(model, &template, now)?;
        Ok(Conversation {
            model: model.clone(),
            session,
            template,
            messages: Vec::new(),
            now,
            turn_ends,
            when_full: WhenFull::Refuse,
        })
    }

    /// The messages so far.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Replace the messages.
    pub fn set_messages(&mut self, messages: Vec<Message>) {
        self.messages = messages;
    }

    /// Set the system message, which comes first; `None` removes it.
    pub fn set_system(&mut self, text: Option<&str>) {
        if self.messages.first().is_some_and(|m| m.role == "system") {
            self.messages.remove(0);
        }
        if let Some(text) = text {
            self.messages.insert(0, Message::new("system", text));
        }
    }

    /// Decide what happens when the conversation no longer fits the context.
    pub fn set_when_full(&mut self, when_full: WhenFull) {
        self.when_full = when_full;
    }

    /// Forget all messages except the system message.
    pub fn reset(&mut self) {
        let system = self.messages.first().is_some_and(|m| m.role == "system");
        self.messages.truncate(usize::from(system));
    }

    /// Forget the user's last message and everything after it; returns the message's text.
    pub fn undo(&mut self) -> Option<String> {
        let last = self.messages.iter().rposition(|m| m.role == "user")?;
        let said = self.messages.get(last)?.content.clone();
        self.messages.truncate(last);
        Some(said)
    }

    /// Number of tokens that the session has read.
    pub fn position(&self) -> usize {
        self.session.position()
    }

    /// Number of positions.
    pub fn context(&self) -> usize {
        self.session.context()
    }

    /// Tokens that end an answer.
    pub fn end_tokens(&self) -> impl Iterator<Item = u32> {
        let own = self.model.eos_tokens().iter();
        own.chain(&self.turn_ends).copied()
    }

    /// Say something as the user. `each` is called with the answer piece by piece, without spaces and line ends at its
    /// beginning; if it returns `false`, the answer stops as if it were cancelled.
    ///
    /// Afterwards the last message is the answer, without spaces and line ends around it, whatever ended it. Only a turn
    /// that was cancelled before the answer began leaves the messages as they were.
    ///
    /// # Errors
    /// If the template refuses the messages, the conversation does not fit the context, or generating fails.
    pub fn say(
        &mut self,
        text: &str,
        options: &GenerateOptions,
        each: impl FnMut(&str) -> bool,
    ) -> Result<Turn, ChatError> {
        self.say_or(self.messages.clone(), text, options, each)
    }

    /// Forget the last answer, and answer the same question again. Everything else is as for [`Conversation::say`]; a turn
    /// without an answer leaves the messages as they were, including the old answer.
    ///
    /// # Errors
    /// The errors of [`Conversation::say`], and an error if there is no question yet.
    pub fn retry(
        &mut self,
        options: &GenerateOptions,
        each: impl FnMut(&str) -> bool,
    ) -> Result<Turn, ChatError> {
        let before = self.messages.clone();
        let question = self.undo().ok_or(ChatError::NoQuestion)?;
        self.say_or(before, &question, options, each)
    }

    /// Say something as the user; if there is no answer, the messages become `before`.
    fn say_or(
        &mut self,
        before: Vec<Message>,
        text: &str,
        options: &GenerateOptions,
        each: impl FnMut(&str) -> bool,
    ) -> Result<Turn, ChatError> {
        self.messages.push(Message::new("user", text));
        let answered = self.answer(options, each);
        match &answered {
            Ok((turn, answer)) if turn.finish != Finish::Cancelled || !answer.is_empty() => {
                self.messages.push(Message::new("assistant", answer));
            }
            _ => self.messages = before,
        }
        answered.map(|(turn, _)| turn)
    }

    /// The answer to the messages so far.
    fn answer(
        &mut self,
        options: &GenerateOptions,
        mut each: impl FnMut(&str) -> bool,
    ) -> Result<(Turn, String), ChatError> {
        let messages = self.messages.len();
        let tokens = self.fitting_tokens(options)?;
        let forgotten_messages = messages - self.messages.len();
        let Some(last) = tokens.len().checked_sub(1) else {
            return Err(ChatError::Empty);
        };
        let read = self.session.tokens().iter();
        let same = read.zip(&tokens).take_while(|(a, b)| a == b).count();
        // The last token is always read: its logits choose the answer's first.
        let reused = same.min(last);
        let truncated = self.session.truncate(reused);
        truncated.map_err(GenerateError::from)?;
        let mut options = options.clone();
        options.stop_tokens.extend(&self.turn_ends);
        let mut answer = String::new();
        let generation = self.model.generate_from(
            &mut self.session,
            tokens.get(reused..).unwrap_or_default(),
            &options,
            |piece| {
                let piece = if answer.is_empty() {
                    piece.trim_start()
                } else {
                    piece
                };
                answer.push_str(piece);
                piece.is_empty() || each(piece)
            },
        )?;
        answer.truncate(answer.trim_end().len());
        let turn = Turn {
            finish: generation.finish,
            forgotten_messages,
            reused_tokens: reused,
            read_tokens: generation.prompt_tokens,
            generated_tokens: generation.tokens.len(),
            prompt_time: generation.prompt_time,
            generation_time: generation.generation_time,
        };
        Ok((turn, answer))
    }

    /// The tokens of the conversation, up to the beginning of the next answer. The template's text already contains the
    /// special tokens, including the token that begins a text, so the tokenizer adds none.
    ///
    /// # Errors
    /// If the template refuses the messages, or the tokenizer fails.
    pub fn tokens(&self) -> Result<Vec<u32>, ChatError> {
        let text = self.template.render(&self.messages, true, self.now)?;
        Ok(self.model.encode_more(&text)?)
    }

    /// Like [`Conversation::tokens`], but markers that are spelled out in messages are read as text.
    fn plain_tokens(&self) -> Result<Vec<u32>, ChatError> {
        let tokenizer = self.model.text_tokenizer().map_err(GenerateError::from)?;
        let hidden = Hidden::new(&self.messages, tokenizer).map_err(GenerateError::from)?;
        let text = self.template.render(&hidden.messages, true, self.now)?;
        let tokens = hidden.tokens(&text, tokenizer);
        Ok(tokens.map_err(GenerateError::from)?)
    }

    /// The conversation's tokens, after forgetting as many turns as necessary for them to fit.
    fn fitting_tokens(&mut self, options: &GenerateOptions) -> Result<Vec<u32>, ChatError> {
        let context = self.context();
        let quarter = context / 4;
        let answer = options.max_tokens.map_or(quarter, |most| most.min(quarter));
        loop {
            let tokens = match options.markers {
                Markers::Tokens => self.tokens()?,
                Markers::Text => self.plain_tokens()?,
            };
            if tokens.len() + answer <= context {
                return Ok(tokens);
            }
            if let WhenFull::Forget { keep } = self.when_full
                && self.forget_turn(keep)
            {
                continue;
            }
            // A conversation that fits is answered, even if there is not enough room for a whole answer.
            return match tokens.len() {
                tokens if tokens > context => Err(ChatError::TooLong { tokens, context }),
                _ => Ok(tokens),
            };
        }
    }

    /// Forget the oldest turn after the first `keep` turns, unless it is the last turn; `false` if there is no such turn.
    fn forget_turn(&mut self, keep: usize) -> bool {
        let is_question = |(_, message): &(usize, &Message)| message.role == "user";
        let questions = self.messages.iter().enumerate().filter(is_question);
        let mut places = questions.map(|(place, _)| place).skip(keep);
        let (Some(turn), Some(next)) = (places.next(), places.next()) else {
            return false;
        };
        self.messages.drain(turn..next);
        true
    }
}

/// The tokens that end an answer, besides the tokens that the model's configuration names: the template's `eos_token`, and
/// the special token that the template puts after an answer.
fn turn_ends(
    model: &Model,
    template: &ChatTemplate,
    now: SystemTime,
) -> Result<Vec<u32>, ChatError> {
    const ANSWER: &str = "answer";
    let Some(tokenizer) = model.tokenizer() else {
        // The first turn will report what is missing.
        return Ok(Vec::new());
    };
    let eos = template.tokens().get("eos_token");
    let mut ends: Vec<u32> = eos
        .and_then(|eos| tokenizer.token_to_id(eos))
        .into_iter()
        .collect();
    let messages = [
        Message::new("user", "question"),
        Message::new("assistant", ANSWER),
    ];
    // A template that refuses these messages will refuse again where it matters.
    let text = template.render(&messages, false, now).unwrap_or_default();
    if let Some((_, behind)) = text.rsplit_once(ANSWER) {
        let tokens = tokenizer
            .encode(behind.trim_start(), false)
            .map_err(GenerateError::from)?;
        if let Some(&token) = tokens.first() {
            let shown = |skip_special| tokenizer.decode(&[token], skip_special);
            let special = shown(true).map_err(GenerateError::from)?.is_empty()
                && !shown(false).map_err(GenerateError::from)?.is_empty();
            if special {
                ends.push(token);
            }
        }
    }
    ends.retain(|end| !model.eos_tokens().contains(end));
    ends.dedup();
    Ok(ends)
}
