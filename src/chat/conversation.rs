//! A conversation: messages and a session that has read them.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::Message;
use super::template::{ChatTemplate, TemplateError};
use crate::exec::arena::ArenaError;
use crate::exec::session::Session;
use crate::generate::options::GenerateOptions;
use crate::generate::run::{Finish, GenerateError};
use crate::model::Model;

/// Why there is no answer. The conversation stands where it stood before.
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
    /// The template makes no text of the messages.
    #[error("the template makes an empty text of the messages")]
    Empty,
}

/// What an answer took.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Turn {
    /// What ended the answer.
    pub finish: Finish,
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
    /// that was cancelled before the answer began leaves no message at all.
    ///
    /// # Errors
    /// If the template refuses the messages, the conversation does not fit the context, or generating fails.
    pub fn say(
        &mut self,
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
            _ => {
                self.messages.pop();
            }
        }
        answered.map(|(turn, _)| turn)
    }

    /// The answer to the messages so far.
    fn answer(
        &mut self,
        options: &GenerateOptions,
        mut each: impl FnMut(&str) -> bool,
    ) -> Result<(Turn, String), ChatError> {
        let tokens = self.tokens()?;
        let Some(last) = tokens.len().checked_sub(1) else {
            return Err(ChatError::Empty);
        };
        if tokens.len() > self.context() {
            return Err(ChatError::TooLong {
                tokens: tokens.len(),
                context: self.context(),
            });
        }
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
