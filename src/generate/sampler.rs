//! Choosing the next token from logits.

use std::cmp::Ordering;

use rand_core::Rng;
use rand_pcg::Pcg64;

pub use super::sampler_options::{SamplerError, SamplerOptions};
use crate::kernels::float_environment::FloatEnvironment;
use crate::kernels::math::exp_f32;

/// Why no token was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// Some logits are NaN or +inf, so no token can be chosen.
    #[error(
        "no token can be chosen: {count} of the logits are NaN or +inf, the first belongs to token {first}"
    )]
    NotFinite {
        /// The first token whose logit is NaN or +inf.
        first: u32,
        /// How many logits are NaN or +inf.
        count: usize,
    },
    /// Every token is forbidden.
    #[error("no token can be chosen: all {tokens} logits are -inf")]
    AllForbidden {
        /// Number of tokens of the vocabulary.
        tokens: usize,
    },
}

/// The stream number of the generator; PCG's own default.
const STREAM: u128 = 0x0a02_bdbf_7bb3_c0a7_ac28_fa16_a64a_bf96;

/// One token that may be chosen.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    /// Finite or -inf.
    logit: f32,
    id: u32,
    /// exp(logit - the largest logit): the probability at temperature 1, except for a common factor.
    weight: f32,
}

/// Larger logits first, then lower ids: an order without ties.
fn by_rank(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.total_cmp(&a.logit).then(a.id.cmp(&b.id))
}

/// Chooses tokens. Allocates when it is created and never again.
///
/// Random numbers come from PCG XSL RR 128/64 (`Pcg64`), whose state is seeded with the seed: one 64-bit number for each drawn
/// token; its upper 53 bits make a number in [0, 1). The exponential is the kernels' function, and sums are f64 in a fixed
/// order.
#[derive(Debug, Clone)]
pub struct Sampler {
    options: SamplerOptions,
    random: Pcg64,
    candidates: Vec<Candidate>,
    /// For each token, the number of the call that last saw it among the recent tokens.
    seen: Vec<u64>,
    calls: u64,
}

impl Sampler {
    /// A sampler for logits over `vocab_size` tokens.
    ///
    /// # Errors
    /// If an option is out of its range.
    pub fn new(options: SamplerOptions, vocab_size: usize) -> Result<Self, SamplerError> {
        options.validate()?;
        let mut biased = options.logit_bias.iter().map(|&(token, _)| token);
        if let Some(token) = biased.find(|&token| token as usize >= vocab_size) {
            return Err(SamplerError::UnknownToken {
                token,
                vocabulary: vocab_size,
            });
        }
        let random = Pcg64::new(options.seed.into(), STREAM);
        let seen = vec![0; vocab_size];
        Ok(Sampler {
            options,
            random,
            candidates: Vec::with_capacity(vocab_size),
            seen,
            calls: 0,
        })
    }

    /// The options that it was created with.
    pub fn options(&self) -> &SamplerOptions {
        &self.options
    }

    /// Chooses a token. `logits` has one element for each token of the vocabulary (further elements are ignored); `recent` is
    /// the sequence so far, or at least the last tokens of it that are in the penalty's window.
    ///
    /// Ties go to the lowest id. A token at -inf is never chosen.
    ///
    /// # Errors
    /// If a logit is NaN or +inf, or if all are -inf. No random number is drawn then.
    pub fn sample(&mut self, logits: &[f32], recent: &[u32]) -> Result<u32, SampleError> {
        let _environment = FloatEnvironment::set_default();
        self.collect(logits)?;
        self.add_biases();
        self.penalize(recent);
        let tokens = self.candidates.len();
        let forbidden = SampleError::AllForbidden { tokens };
        if self.options.temperature == 0.0 {
            let first = self.candidates.iter().min_by(|a, b| by_rank(a, b));
            let first = first.filter(|first| first.logit > f32::NEG_INFINITY);
            return first.map(|first| first.id).ok_or(forbidden);
        }
        self.keep_top_k();
        let largest = self
            .candidates
            .iter()
            .map(|c| c.logit)
            .fold(f32::NEG_INFINITY, f32::max);
        if largest == f32::NEG_INFINITY {
            return Err(forbidden);
        }
        let uniform = (self.random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        for candidate in &mut self.candidates {
            candidate.weight = exp_f32(candidate.logit - largest);
        }
        self.keep_top_p();
        let min_p = self.options.min_p;
        self.candidates
            .retain(|candidate| candidate.weight >= min_p);
        Ok(self.draw(uniform, largest))
    }

    /// Makes every token a candidate, if every logit is finite or -inf.
    fn collect(&mut self, logits: &[f32]) -> Result<(), SampleError> {
        self.candidates.clear();
        let logits = logits.iter().take(self.seen.len());
        let mut bad = false;
        self.candidates
            .extend(logits.clone().zip(0..).map(|(&logit, id)| {
                bad |= odd(logit);
                Candidate {
                    // Adding zero makes -0 equal to +0 in the total order.
                    logit: logit + 0.0,
                    id,
                    weight: 0.0,
                }
            }));
        if !bad {
            return Ok(());
        }
        let mut odd = (0..).zip(logits).filter(|(_, logit)| odd(**logit));
        Err(SampleError::NotFinite {
            first: odd.next().map_or(0, |(first, _)| first),
            count: 1 + odd.count(),
        })
    }

    /// Adds the biases. Each candidate is still at the index of its id.
    fn add_biases(&mut self) {
        for &(id, bias) in &self.options.logit_bias {
            if let Some(candidate) = self.candidates.get_mut(id as usize) {
                candidate.logit = (candidate.logit + bias).min(f32::MAX) + 0.0;
            }
        }
    }

    /// Applies the repetition penalty, once to each token. Each candidate is still at the index of its id.
    fn penalize(&mut self, recent: &[u32]) {
        let penalty = self.options.repetition_penalty;
        if penalty == 1.0 {
            return;
        }
        self.calls += 1;
        for &id in recent.iter().rev().take(self.options.repetition_window) {
            let place = id as usize;
            let (Some(candidate), Some(seen)) =
                (self.candidates.get_mut(place), self.seen.get_mut(place))
            else {
                continue;
            };
            if *seen != self.calls {
                *seen = self.calls;
                let logit = candidate.logit;
                let changed = if logit > 0.0 {
                    logit / penalty
                } else {
                    logit * penalty
                };
                candidate.logit = changed.min(f32::MAX) + 0.0;
            }
        }
    }

    /// Keeps the `top_k` first candidates, in rank order if any were dropped.
    fn keep_top_k(&mut self) {
        let top_k = self.options.top_k;
        if top_k != 0 && top_k < self.candidates.len() {
            self.rank_first(top_k);
            self.candidates.truncate(top_k);
        }
    }

    /// Keeps, in rank order, the fewest first candidates whose weights reach `top_p` of the sum of all weights.
    fn keep_top_p(&mut self) {
        if self.options.top_p >= 1.0 {
            return;
        }
        let total: f64 = self.candidates.iter().map(|c| f64::from(c.weight)).sum();
        let enough = f64::from(self.options.top_p) * total;
        // Usually few candidates are needed, so more are put in order only when these are not enough.
        let mut ranked = 0;
        let mut reached = 0.0;
        while ranked < self.candidates.len() {
            let next = (ranked * 8).max(256).min(self.candidates.len());
            self.rank_first(next);
            for (place, candidate) in self.candidates.iter().enumerate().take(next).skip(ranked) {
                reached += f64::from(candidate.weight);
                if reached >= enough {
                    self.candidates.truncate(place + 1);
                    return;
                }
            }
            ranked = next;
        }
    }

    /// Puts the `count` first candidates in rank order, ahead of all others.
    fn rank_first(&mut self, count: usize) {
        if count < self.candidates.len() {
            self.candidates.select_nth_unstable_by(count, by_rank);
        }
        if let Some(first) = self.candidates.get_mut(..count) {
            first.sort_unstable_by(by_rank);
        }
    }

    /// Draws one of the remaining candidates, with weights at the requested temperature.
    fn draw(&mut self, uniform: f64, largest: f32) -> u32 {
        let temperature = self.options.temperature;
        let mut total = 0.0;
        for candidate in &mut self.candidates {
            candidate.weight = exp_f32((candidate.logit - largest) / temperature);
            total += f64::from(candidate.weight);
        }
        let target = uniform * total;
        let mut reached = 0.0;
        let mut last = 0;
        for candidate in self.candidates.iter().filter(|c| c.weight > 0.0) {
            reached += f64::from(candidate.weight);
            last = candidate.id;
            if reached > target {
                break;
            }
        }
        last
    }
}

/// Whether a logit is NaN or +inf.
fn odd(logit: f32) -> bool {
    logit.is_nan() || logit == f32::INFINITY
}
