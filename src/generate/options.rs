//! The options for generating text.

use super::hook::LogitsHook;
use super::sampler::SamplerOptions;
use crate::exec::cancel::Cancel;
#[cfg(feature = "tokenizer")]
use crate::text::tokenizer::Markers;

/// What to generate, and when to stop. Each method changes one option.
///
/// ```
/// use smallmind::GenerateOptions;
///
/// let options = GenerateOptions::new().max_tokens(40).greedy().stop(["\n\n"]);
/// assert_eq!(options.max_tokens, Some(40));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GenerateOptions {
    /// The most tokens to generate; with `None`, generation goes on until something else ends the text.
    pub max_tokens: Option<usize>,
    /// How tokens are chosen.
    pub sampler: SamplerOptions,
    /// Strings that end the text; they are not part of it. The spelling of a special token (`<|im_end|>`) stops too,
    /// although special tokens are not part of the text.
    pub stop: Vec<String>,
    /// Tokens that end the text, besides the model's own.
    pub stop_tokens: Vec<u32>,
    /// How to read markers that are spelled out in a prompt's text or in a conversation's messages: with [`Markers::Text`],
    /// what somebody wrote neither ends a turn nor begins another. The tokens that the tokenizer puts around a text stay, and
    /// so do the chat template's tokens.
    #[cfg(feature = "tokenizer")]
    pub markers: Markers,
    /// Called with the logits before each token is chosen.
    pub logits_hook: Option<LogitsHook>,
    /// Lets other code stop the reading of the prompt or the generation: the text then ends with
    /// [`Finish::Cancelled`](super::run::Finish::Cancelled).
    pub cancel: Option<Cancel>,
}

impl Default for GenerateOptions {
    /// 128 tokens with the sampler's defaults.
    fn default() -> Self {
        GenerateOptions {
            max_tokens: Some(128),
            sampler: SamplerOptions::default(),
            stop: Vec::new(),
            stop_tokens: Vec::new(),
            #[cfg(feature = "tokenizer")]
            markers: Markers::Tokens,
            logits_hook: None,
            cancel: None,
        }
    }
}

impl GenerateOptions {
    /// 128 tokens with the sampler's defaults.
    pub fn new() -> GenerateOptions {
        GenerateOptions::default()
    }

    /// [`GenerateOptions::max_tokens`].
    pub fn max_tokens(mut self, most: impl Into<Option<usize>>) -> GenerateOptions {
        self.max_tokens = most.into();
        self
    }

    /// [`GenerateOptions::sampler`].
    pub fn sampler(mut self, sampler: SamplerOptions) -> GenerateOptions {
        self.sampler = sampler;
        self
    }

    /// Always the most probable token: [`SamplerOptions::temperature`] 0.
    pub fn greedy(mut self) -> GenerateOptions {
        self.sampler.temperature = 0.0;
        self
    }

    /// [`SamplerOptions::seed`].
    pub fn seed(mut self, seed: u64) -> GenerateOptions {
        self.sampler.seed = seed;
        self
    }

    /// [`GenerateOptions::stop`]: these strings, and no others.
    pub fn stop<S: Into<String>>(
        mut self,
        strings: impl IntoIterator<Item = S>,
    ) -> GenerateOptions {
        self.stop = strings.into_iter().map(Into::into).collect();
        self
    }

    /// [`GenerateOptions::stop_tokens`]: these tokens, and no others.
    pub fn stop_tokens(mut self, tokens: impl IntoIterator<Item = u32>) -> GenerateOptions {
        self.stop_tokens = tokens.into_iter().collect();
        self
    }

    /// [`GenerateOptions::markers`].
    #[cfg(feature = "tokenizer")]
    pub fn markers(mut self, markers: Markers) -> GenerateOptions {
        self.markers = markers;
        self
    }

    /// [`GenerateOptions::logits_hook`].
    pub fn logits_hook(mut self, hook: impl Into<Option<LogitsHook>>) -> GenerateOptions {
        self.logits_hook = hook.into();
        self
    }

    /// [`GenerateOptions::cancel`].
    pub fn cancel(mut self, cancel: &Cancel) -> GenerateOptions {
        self.cancel = Some(cancel.clone());
        self
    }

    /// Whether the caller has cancelled.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.as_ref().is_some_and(Cancel::is_cancelled)
    }
}
