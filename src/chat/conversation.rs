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
    /// There is no memory for the session.
    #[error(transparent)]
    Arena(#[from] ArenaError),
    /// The conversation does not fit.
    #[error("the conversation has {tokens} tokens, but the context has {context} positions")]
    TooLong {
        /// Its tokens.
        tokens: usize,
        /// Positions there are.
        context: usize,
    },
    /// There is nothing to answer again.
    #[error("there is no question yet")]
    NoQuestion,
    /// The template makes no text of the messages.
    #[error("the template makes an empty text of the messages")]
    Empty,
}

/// What happens to a conversation that no longer fits the context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// It is refused, with [`ChatError::TooLong`].
    #[default]
    Refuse,
    /// Its oldest turns are forgotten, until there is room for the answer too: for [`GenerateOptions::max_tokens`], or a
    /// quarter of the context if that is less. What stands before the first turn (a system message) stays, and so does
    /// the question.
    Forget {
        /// How many turns are never forgotten, counted from the first.
        keep: usize,
    },
}

/// What an answer took.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Turn {
    /// What ended the answer.
    pub finish: Finish,
    /// Messages that were forgotten to make room for this turn ([`WhenFull::Forget`]).
    pub forgotten_messages: usize,
    /// Tokens of the conversation that the session had read before.
    pub reused_tokens: usize,
    /// Tokens of the conversation that were read for this answer.
    pub read_tokens: usize,
    /// Tokens of the answer, the one that ended it included.
    pub generated_tokens: usize,
    /// Time for reading.
    pub prompt_time: Duration,
    /// Time for the answer's tokens after the first, which comes with the reading.
    pub generation_time: Duration,
}

impl Turn {
    /// Tokens read in a second; `None` where there were none.
    pub fn prompt_rate(&self) -> Option<f64> {
        rate(self.read_tokens, self.prompt_time)
    }

    /// Tokens generated in a second, the first left out; `None` where there were none.
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
/// Each turn renders the whole conversation anew, since a template may treat old messages differently. Of the session as
/// many tokens are kept as are still the same; only the others are read. What is kept gives the same bits as reading it
/// again would.
pub struct Conversation {
    model: Model,
    template: ChatTemplate,
    session: Session,
    messages: Vec<Message>,
    /// The time that the template is told: always the same, so that what was rendered stays as it is.
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
    /// A conversation without messages. Takes a session's memory.
    ///
    /// # Errors
    /// If the system has no memory for the session.
    pub fn new(model: &Model, template: ChatTemplate) -> Result<Conversation, ChatError> {
        if model.is_bidirectional() {
            return Err(GenerateError::Bidirectional.into());
        }
        let now = SystemTime::now();
        let turn_ends = turn_ends(model, &template, now)?;
        Ok(Conversation {
            model: model.clone(),
            session: model.session()?,
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

    /// Go on from other messages.
    pub fn set_messages(&mut self, messages: Vec<Message>) {
        self.messages = messages;
    }

    /// Put a system message first, instead of the one that may be there; `None` leaves it out.
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

    /// Forget all messages but the system message.
    pub fn reset(&mut self) {
        let system = self.messages.first().is_some_and(|m| m.role == "system");
        self.messages.truncate(usize::from(system));
    }

    /// Forget the last message of the user and what came after it, and give its text.
    pub fn undo(&mut self) -> Option<String> {
        let last = self.messages.iter().rposition(|m| m.role == "user")?;
        let said = self.messages.get(last)?.content.clone();
        self.messages.truncate(last);
        Some(said)
    }

    /// Tokens that the session has read.
    pub fn position(&self) -> usize {
        self.session.position()
    }

    /// Positions there are.
    pub fn context(&self) -> usize {
        self.session.context()
    }

    /// Tokens that end an answer.
    pub fn end_tokens(&self) -> impl Iterator<Item = u32> {
        let own = self.model.eos_tokens().iter();
        own.chain(&self.turn_ends).copied()
    }

    /// Say something as the user. `each` is given the answer piece by piece, without spaces and line ends at its
    /// beginning; returning `false` from it stops like cancelling does.
    ///
    /// Afterwards the answer, without spaces and line ends around it, is the last message, whatever ended it; only a turn
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

    /// Forget the last answer, and give another one to the same question. What is said of [`Conversation::say`] is true
    /// here too; a turn without an answer leaves the messages as they were, the old answer included.
    ///
    /// # Errors
    /// As [`Conversation::say`], and if there is no question yet.
    pub fn retry(
        &mut self,
        options: &GenerateOptions,
        each: impl FnMut(&str) -> bool,
    ) -> Result<Turn, ChatError> {
        let before = self.messages.clone();
        let question = self.undo().ok_or(ChatError::NoQuestion)?;
        self.say_or(before, &question, options, each)
    }

    /// Say something as the user; without an answer the messages are `before`.
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
        self.session.truncate(reused);
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

    /// The tokens of the conversation, to its next answer's beginning. Special tokens stand in the template's text, the
    /// one that begins a text too, so that the tokenizer adds none.
    ///
    /// # Errors
    /// If the template refuses the messages, or the tokenizer fails.
    pub fn tokens(&self) -> Result<Vec<u32>, ChatError> {
        let text = self.template.render(&self.messages, true, self.now)?;
        Ok(self.model.encode_more(&text)?)
    }

    /// As [`Conversation::tokens`], but markers that messages spell out are read as text.
    fn plain_tokens(&self) -> Result<Vec<u32>, ChatError> {
        let tokenizer = self.model.text_tokenizer().map_err(GenerateError::from)?;
        let hidden = Hidden::new(&self.messages, tokenizer).map_err(GenerateError::from)?;
        let text = self.template.render(&hidden.messages, true, self.now)?;
        let tokens = hidden.tokens(&text, tokenizer);
        Ok(tokens.map_err(GenerateError::from)?)
    }

    /// The conversation's tokens, once enough of it is forgotten for them to fit.
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
            // A conversation that fits is answered as far as there is room.
            return match tokens.len() {
                tokens if tokens > context => Err(ChatError::TooLong { tokens, context }),
                _ => Ok(tokens),
            };
        }
    }

    /// Forget the oldest turn but the first `keep`, which is not the last one; `false` where there is none.
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

/// The tokens that end an answer besides those that the model's configuration names: the template's `eos_token`, and the
/// special token that the template puts behind an answer.
fn turn_ends(
    model: &Model,
    template: &ChatTemplate,
    now: SystemTime,
) -> Result<Vec<u32>, ChatError> {
    const ANSWER: &str = "answer";
    let Some(tokenizer) = model.tokenizer() else {
        // Saying something will tell what is missing.
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
    // A template that refuses these messages says so again where it matters.
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
