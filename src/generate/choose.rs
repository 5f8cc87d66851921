//! The choice of the next token from logits: the hook's changes, then the sampler's draw, then whether the token ends
//! the text.

use std::ops::ControlFlow;

use super::options::GenerateOptions;
use super::outcome::{Finish, GenerateError, Generation};
use super::sampler::{Sampler, SamplerError};

/// Chooses the tokens of one text.
pub(super) struct Chooser {
    sampler: Sampler,
    /// Ids that can be chosen.
    vocabulary: usize,
    /// The logits as a hook changes them: one row if there is a hook, otherwise empty.
    changed: Vec<f32>,
}

impl Chooser {
    /// A chooser among `vocabulary` ids.
    pub fn new(options: &GenerateOptions, vocabulary: usize) -> Result<Chooser, SamplerError> {
        let room = options.logits_hook.as_ref().map_or(0, |_| vocabulary);
        Ok(Chooser {
            sampler: Sampler::new(options.sampler.clone(), vocabulary)?,
            vocabulary,
            changed: Vec::with_capacity(room),
        })
    }

    /// Choose the token after `tokens` from their logits, and add it to the generation. Returns the token, or what ends
    /// the text here: the hook, or the added token if it is one of the options' stop tokens or of `eos`.
    pub fn choose(
        &mut self,
        options: &GenerateOptions,
        eos: &[u32],
        logits: &[f32],
        tokens: &[u32],
        generation: &mut Generation,
    ) -> Result<Result<u32, Finish>, GenerateError> {
        let mut row = logits.get(..self.vocabulary).unwrap_or(logits);
        if let Some(hook) = &options.logits_hook {
            self.changed.clear();
            self.changed.extend_from_slice(row);
            match hook.call(tokens, &mut self.changed) {
                Ok(ControlFlow::Continue(())) => row = &self.changed,
                Ok(ControlFlow::Break(())) => return Ok(Err(Finish::Hook)),
                Err(error) => return Err(GenerateError::Hook(error)),
            }
        }
        let token = self.sampler.sample(row, tokens)?;
        generation.tokens.push(token);
        match eos.contains(&token) || options.stop_tokens.contains(&token) {
            true => Ok(Err(Finish::EndOfText)),
            false => Ok(Ok(token)),
        }
    }
}
