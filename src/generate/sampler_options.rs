//! The options for choosing tokens.

/// How tokens are chosen. The stages run in llama.cpp's default order: biases, repetition penalty, top-k, top-p,
/// min-p, temperature. So top-p and min-p see the distribution at temperature 1.
///
/// ```
/// use smallmind::SamplerOptions;
///
/// let options = SamplerOptions::new().temperature(0.7).top_k(20).seed(1);
/// assert_eq!(options.top_k, 20);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SamplerOptions {
    /// Logits are divided by this before the draw. 0 chooses the most probable token, without a draw.
    pub temperature: f32,
    /// Keep only this many of the most probable tokens. 0 keeps all.
    pub top_k: usize,
    /// Keep the fewest most probable tokens that together have at least this probability. 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this many times as probable as the most probable one. 0 keeps all.
    pub min_p: f32,
    /// Positive logits of recent tokens are divided by this, others multiplied. 1 changes nothing.
    pub repetition_penalty: f32,
    /// How many of the last tokens the penalty looks at.
    pub repetition_window: usize,
    /// Numbers that are added to the logits of these tokens before anything else; -inf forbids a token. Several biases for
    /// one token add up.
    pub logit_bias: Vec<(u32, f32)>,
    /// The start of the random numbers. The same options, seed and logits lead to the same tokens on every machine.
    pub seed: u64,
}

impl SamplerOptions {
    /// llama.cpp's defaults.
    pub fn new() -> SamplerOptions {
        SamplerOptions::default()
    }

    /// Always the most probable of all tokens.
    pub fn greedy() -> SamplerOptions {
        let all = SamplerOptions::new().top_k(0).top_p(1.0).min_p(0.0);
        all.temperature(0.0)
    }

    /// [`SamplerOptions::temperature`].
    pub fn temperature(mut self, temperature: f32) -> SamplerOptions {
        self.temperature = temperature;
        self
    }

    /// [`SamplerOptions::top_k`].
    pub fn top_k(mut self, tokens: usize) -> SamplerOptions {
        self.top_k = tokens;
        self
    }

    /// [`SamplerOptions::top_p`].
    pub fn top_p(mut self, probability: f32) -> SamplerOptions {
        self.top_p = probability;
        self
    }

    /// [`SamplerOptions::min_p`].
    pub fn min_p(mut self, ratio: f32) -> SamplerOptions {
        self.min_p = ratio;
        self
    }

    /// [`SamplerOptions::repetition_penalty`].
    pub fn repetition_penalty(mut self, penalty: f32) -> SamplerOptions {
        self.repetition_penalty = penalty;
        self
    }

    /// [`SamplerOptions::repetition_window`].
    pub fn repetition_window(mut self, tokens: usize) -> SamplerOptions {
        self.repetition_window = tokens;
        self
    }

    /// [`SamplerOptions::logit_bias`]: these biases, and no others.
    pub fn logit_bias(mut self, biases: impl IntoIterator<Item = (u32, f32)>) -> SamplerOptions {
        self.logit_bias = biases.into_iter().collect();
        self
    }

    /// [`SamplerOptions::seed`].
    pub fn seed(mut self, seed: u64) -> SamplerOptions {
        self.seed = seed;
        self
    }

    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// If a value is out of its range; the error names the first one.
    pub fn validate(&self) -> Result<(), SamplerError> {
        let within = |option, value: f32, good: bool, range| match good {
            true => Ok(()),
            false => Err(SamplerError::OutOfRange {
                option,
                value,
                range,
            }),
        };
        let (temperature, penalty) = (self.temperature, self.repetition_penalty);
        within(
            "temperature",
            temperature,
            temperature >= 0.0 && temperature.is_finite(),
            "0 or a positive number",
        )?;
        within(
            "top_p",
            self.top_p,
            (0.0..=1.0).contains(&self.top_p),
            "between 0 and 1",
        )?;
        within(
            "min_p",
            self.min_p,
            (0.0..=1.0).contains(&self.min_p),
            "between 0 and 1",
        )?;
        within(
            "repetition_penalty",
            penalty,
            penalty > 0.0 && penalty.is_finite(),
            "a positive number",
        )?;
        let bias = self.logit_bias.iter().map(|&(_, bias)| bias);
        let mut refused = bias.filter(|bias| bias.is_nan() || *bias == f32::INFINITY);
        match refused.next() {
            None => Ok(()),
            Some(bias) => within("logit_bias", bias, false, "a number, or -inf"),
        }
    }
}

impl Default for SamplerOptions {
    /// llama.cpp's defaults: temperature 0.8, top-k 40, top-p 0.95, min-p 0.05, no penalty, a window of 64, no biases; seed 0.
    fn default() -> Self {
        SamplerOptions {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repetition_penalty: 1.0,
            repetition_window: 64,
            logit_bias: Vec::new(),
            seed: 0,
        }
    }
}

/// Why there is no sampler with these options.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SamplerError {
    /// An option is out of its range.
    #[error("{option} is {value}; it must be {range}")]
    OutOfRange {
        /// The option's name.
        option: &'static str,
        /// Its value.
        value: f32,
        /// What would be valid.
        range: &'static str,
    },
    /// A bias is for a token that the model does not have.
    #[error("logit_bias: token {token} is not in the vocabulary of {vocabulary}")]
    UnknownToken {
        /// The id.
        token: u32,
        /// Number of ids that the model has.
        vocabulary: usize,
    },
}
