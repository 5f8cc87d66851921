//! The loop that continues a prompt: read the prompt, choose a token, run a step, until something ends the text.

use std::error::Error;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::options::GenerateOptions;
use super::sampler::{SampleError, Sampler, SamplerError};
use super::stop::EmptyStopString;
use crate::exec::session::{Session, StepError};
use crate::model::Model;
#[cfg(feature = "tokenizer")]
use crate::text::tokenizer::Markers;

/// What ended a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finish {
    /// The requested number of tokens was generated.
    Length,
    /// The model chose a token that ends texts.
    EndOfText,
    /// A stop string was found; the number is its index in the list.
    Stop(usize),
    /// The context has no room for another token.
    ContextFull,
    /// The caller cancelled.
    Cancelled,
    /// The logits hook ended the text.
    Hook,
}

/// What was generated.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Generation {
    /// What ended it.
    pub finish: Finish,
    /// Number of tokens of the prompt.
    pub prompt_tokens: usize,
    /// How many of the prompt's tokens were not read because a cache of prompt prefixes had their rows.
    pub reused_tokens: usize,
    /// The chosen tokens, including a token that ended the text.
    pub tokens: Vec<u32>,
    /// Time for the prompt.
    pub prompt_time: Duration,
    /// Time for the tokens after the first.
    pub generation_time: Duration,
}

impl Generation {
    /// Nothing is generated yet after a prompt of so many tokens, and no more than `most` tokens will be.
    pub(super) fn begin(prompt_tokens: usize, most: usize) -> Generation {
        Generation {
            finish: Finish::Length,
            prompt_tokens,
            reused_tokens: 0,
            tokens: Vec::with_capacity(most),
            prompt_time: Duration::ZERO,
            generation_time: Duration::ZERO,
        }
    }
}

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// The prompt can't be read.
    #[error(transparent)]
    Step(#[from] StepError),
    /// A sampler's option is out of its range.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// No token can be chosen from the logits.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The logits hook failed.
    #[error("the logits hook: {0}")]
    Hook(#[source] Box<dyn Error + Send + Sync>),
    /// A stop string is empty.
    #[error(transparent)]
    Stop(#[from] EmptyStopString),
    /// The model reads texts whole and can't continue a text.
    #[error(
        "every token of this model attends to all others, as in encoders: it cannot continue a text"
    )]
    Bidirectional,
    /// The prompt is empty, and the model has no token that begins a text.
    #[error("the prompt is empty, and this model has no token that begins a text")]
    EmptyPrompt,
    /// There is no tokenizer, or it failed.
    #[cfg(feature = "tokenizer")]
    #[error(transparent)]
    Tokenizer(#[from] crate::text::tokenizer::TokenizerError),
}

impl Model {
    /// Continue the session with `prompt` and then with tokens that the model chooses. `each` is called with every token
    /// as it is chosen, except a token that ends the text; if it returns `false`, generation stops as if it were cancelled.
    /// With an empty prompt, generation continues after the session's last token.
    ///
    /// Only the list of tokens, and a row of logits if there is a hook, are allocated, each once.
    ///
    /// # Errors
    /// If an option is out of its range, the model reads texts whole, the prompt does not fit the context, the model's
    /// logits are not finite, the hook fails, or every token is forbidden.
    pub fn generate_tokens(
        &self,
        session: &mut Session,
        prompt: &[u32],
        options: &GenerateOptions,
        mut each: impl FnMut(u32) -> bool,
    ) -> Result<Generation, GenerateError> {
        if self.is_bidirectional() {
            return Err(GenerateError::Bidirectional);
        }
        let vocabulary = self.vocabulary().min(session.logits_width());
        let mut sampler = Sampler::new(options.sampler.clone(), vocabulary)?;
        // The logits as a hook changes them.
        let mut changed: Vec<f32> = match options.logits_hook {
            None => Vec::new(),
            Some(_) => Vec::with_capacity(vocabulary),
        };
        let begun = Instant::now();
        let room = session
            .context()
            .saturating_sub(session.position() + prompt.len());
        let most = options.max_tokens.unwrap_or(usize::MAX).min(room + 1);
        let mut generation = Generation::begin(prompt.len(), most);
        let read = if !prompt.is_empty() || session.position() == 0 {
            match &options.cancel {
                Some(cancel) => session.prefill_until(prompt, cancel).map(|_| ()),
                None => session.prefill(prompt).map(|_| ()),
            }
        } else if session.logits_row().is_empty() {
            session.read_last_again().map(|_| ())
        } else {
            Ok(())
        };
        if !prompt.is_empty() {
            generation.reused_tokens = session.reused_tokens();
        }
        match read {
            Ok(()) => {}
            Err(StepError::Cancelled { .. }) => {
                generation.finish = Finish::Cancelled;
                return Ok(generation);
            }
            Err(error) => return Err(error.into()),
        }
        generation.prompt_time = begun.elapsed();
        let begun = Instant::now();
        generation.finish = loop {
            if options
                .max_tokens
                .is_some_and(|most| generation.tokens.len() >= most)
            {
                break Finish::Length;
            }
            let mut row = session.logits_row();
            if let Some(hook) = &options.logits_hook {
                changed.clear();
                changed.extend_from_slice(row.get(..vocabulary).unwrap_or(row));
                match hook.call(session.tokens(), &mut changed) {
                    Ok(ControlFlow::Continue(())) => row = &changed,
                    Ok(ControlFlow::Break(())) => break Finish::Hook,
                    Err(error) => return Err(GenerateError::Hook(error)),
                }
            }
            let token = sampler.sample(row, session.tokens())?;
            generation.tokens.push(token);
            if self.eos_tokens().contains(&token) || options.stop_tokens.contains(&token) {
                break Finish::EndOfText;
            }
            if !each(token) || options.is_cancelled() {
                break Finish::Cancelled;
            }
            if options.max_tokens == Some(generation.tokens.len()) {
                break Finish::Length;
            }
            if session.position() == session.context() {
                break Finish::ContextFull;
            }
            session.step(token)?;
        };
        generation.generation_time = begun.elapsed();
        Ok(generation)
    }

    /// The tokens of a prompt, with the tokens that the tokenizer puts around it. An empty prompt becomes the token that
    /// begins a text.
    ///
    /// # Errors
    /// If the model has no tokenizer, or the tokenizer fails.
    #[cfg(feature = "tokenizer")]
    pub fn encode(&self, prompt: &str) -> Result<Vec<u32>, GenerateError> {
        self.encode_with(prompt, Markers::Tokens)
    }

    /// Like [`Model::encode`]; `markers` says how to read special tokens that are spelled out in the prompt.
    ///
    /// # Errors
    /// As [`Model::encode`], and if the tokenizer can't read a marker as text.
    #[cfg(feature = "tokenizer")]
    pub fn encode_with(&self, prompt: &str, markers: Markers) -> Result<Vec<u32>, GenerateError> {
        let tokenizer = self.text_tokenizer()?;
        let tokens = tokenizer.encode_with(prompt, true, markers)?;
        match (tokens.is_empty(), self.bos_token()) {
            (false, _) => Ok(tokens),
            (true, Some(bos)) => Ok(vec![bos]),
            (true, None) => Err(GenerateError::EmptyPrompt),
        }
    }

    /// The tokens of a text that continues other tokens, or that spells out every special token that it wants: no tokens are
    /// put around it.
    ///
    /// # Errors
    /// As [`Model::encode`].
    #[cfg(feature = "tokenizer")]
    pub fn encode_more(&self, text: &str) -> Result<Vec<u32>, GenerateError> {
        Ok(self.text_tokenizer()?.encode(text, false)?)
    }

    /// Continue the session with `prompt` and then with text that the model chooses. `each` is called with the text piece by
    /// piece, never with half a character; if it returns `false`, generation stops as if it were cancelled. Only the first
    /// prompt of a session gets the tokens that the tokenizer puts around a text.
    ///
    /// # Errors
    /// As [`Model::generate_tokens`], and if the model has no tokenizer or the tokenizer fails.
    #[cfg(feature = "tokenizer")]
    pub fn generate(
        &self,
        session: &mut Session,
        prompt: &str,
        options: &GenerateOptions,
        each: impl FnMut(&str) -> bool,
    ) -> Result<Generation, GenerateError> {
        let tokens = self.prompt_tokens(session, prompt, options)?;
        self.generate_from(session, &tokens, options, each)
    }

    /// The tokens that [`Model::generate`] reads for this prompt.
    ///
    /// # Errors
    /// As [`Model::encode`].
    #[cfg(feature = "tokenizer")]
    pub fn prompt_tokens(
        &self,
        session: &Session,
        prompt: &str,
        options: &GenerateOptions,
    ) -> Result<Vec<u32>, GenerateError> {
        match session.position() {
            0 => self.encode_with(prompt, options.markers),
            _ => Ok(self
                .text_tokenizer()?
                .encode_with(prompt, false, options.markers)?),
        }
    }

    /// Like [`Model::generate`], from a prompt's tokens.
    ///
    /// # Errors
    /// As [`Model::generate`].
    #[cfg(feature = "tokenizer")]
    pub fn generate_from(
        &self,
        session: &mut Session,
        prompt: &[u32],
        options: &GenerateOptions,
        mut each: impl FnMut(&str) -> bool,
    ) -> Result<Generation, GenerateError> {
        use super::shown::ShownText;
        use super::stop::StopStrings;

        let before = [session.tokens(), prompt].concat();
        let mut shown = {
            let stops = StopStrings::new(options.stop.clone())?;
            ShownText::after(self.shared_tokenizer()?, &before, stops)?
        };
        let mut failed = None;
        let mut wanted = true;
        let mut generation =
            self.generate_tokens(session, prompt, options, |token| match shown.push(token) {
                Ok(piece) => {
                    wanted = piece.text.is_empty() || each(&piece.text);
                    wanted && piece.stop.is_none()
                }
                Err(error) => {
                    failed = Some(error);
                    false
                }
            })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        if wanted {
            let rest = shown.finish()?;
            if !rest.is_empty() {
                each(&rest);
            }
        }
        if let Some(stop) = shown.stopped() {
            generation.finish = Finish::Stop(stop);
        }
        Ok(generation)
    }
}
