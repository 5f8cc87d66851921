//! The loop that continues a prompt: read the prompt, choose a token, run a step, until something ends the text.

use std::time::Instant;

use super::choose::Chooser;
use super::options::GenerateOptions;
pub use super::outcome::{Finish, GenerateError, Generation};
use crate::exec::session::{Session, StepError};
use crate::model::{Model, Output};
#[cfg(feature = "tokenizer")]
use crate::text::tokenizer::Markers;

impl Model {
    /// Continue the session with `prompt` and then with tokens that the model chooses. `each` is called with every token
    /// as it is chosen, except a token that ends the text; if it returns `false`, generation stops as if it were cancelled.
    /// With an empty prompt, generation continues after the session's last token.
    ///
    /// Only the list of tokens, and a row of logits if there is a hook, are allocated, each once.
    ///
    /// # Errors
    /// If an option is out of its range, the model reads only whole texts or returns hidden states, the prompt does not fit the context, the
    /// model's logits are not finite, the hook fails, or every token is forbidden.
    pub fn generate_tokens(
        &self,
        session: &mut Session,
        prompt: &[u32],
        options: &GenerateOptions,
        mut each: impl FnMut(u32) -> bool,
    ) -> Result<Generation, GenerateError> {
        self.check_logits()?;
        let vocabulary = self.vocabulary().min(session.logits_width());
        let mut chooser = Chooser::new(options, vocabulary)?;
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
            let (row, tokens) = (session.logits_row(), session.tokens());
            let chosen =
                chooser.choose(options, self.eos_tokens(), row, tokens, &mut generation)?;
            let token = match chosen {
                Ok(token) => token,
                Err(finish) => break finish,
            };
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

    /// Fails if the model does not return logits for the next token: if it reads only whole texts, or was opened for hidden
    /// states.
    pub(super) fn check_logits(&self) -> Result<(), GenerateError> {
        match (self.is_bidirectional(), self.output()) {
            (true, _) => Err(GenerateError::Bidirectional),
            (false, Output::Hidden) => Err(GenerateError::NoLogits),
            (false, Output::Logits) => Ok(()),
        }
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
    /// The errors of [`Model::encode`], and an error if the tokenizer can't read a marker as text.
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
    /// The errors of [`Model::encode`].
    #[cfg(feature = "tokenizer")]
    pub fn encode_more(&self, text: &str) -> Result<Vec<u32>, GenerateError> {
        Ok(self.text_tokenizer()?.encode(text, false)?)
    }

    /// Continue the session with `prompt` and then with text that the model chooses. `each` is called with the text piece by
    /// piece, never with half a character; if it returns `false`, generation stops as if it were cancelled. Only the first
    /// prompt of a session gets the tokens that the tokenizer puts around a text.
    ///
    /// # Errors
    /// The errors of [`Model::generate_tokens`], and errors if the model has no tokenizer or the tokenizer fails.
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
    /// The errors of [`Model::encode`].
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
    /// The errors of [`Model::generate`].
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
