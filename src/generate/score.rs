//! How probable a text is to a model, and what the model expects after the text.

use super::run::GenerateError;
use crate::exec::cancel::Cancel;
use crate::exec::session::{Session, StepError};
use crate::kernels::float_environment::FloatEnvironment;
use crate::math::{exp_f64, ln_f64, sum_exp_f64};
use crate::model::Model;

/// What a score includes, and what stops the scoring. Each method changes one choice.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ScoreOptions {
    /// How many of the most probable tokens after the text to list.
    pub top: usize,
    /// Lets other code stop the reading: instead of a score, the result is [`StepError::Cancelled`].
    pub cancel: Option<Cancel>,
}

impl Default for ScoreOptions {
    /// The five most probable tokens.
    fn default() -> Self {
        ScoreOptions {
            top: 5,
            cancel: None,
        }
    }
}

impl ScoreOptions {
    /// The five most probable tokens.
    pub fn new() -> ScoreOptions {
        ScoreOptions::default()
    }

    /// [`ScoreOptions::top`].
    pub fn top(mut self, tokens: usize) -> ScoreOptions {
        self.top = tokens;
        self
    }

    /// [`ScoreOptions::cancel`].
    pub fn cancel(mut self, cancel: &Cancel) -> ScoreOptions {
        self.cancel = Some(cancel.clone());
        self
    }
}

/// How probable a text is to a model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Score {
    /// Number of tokens of the text, with the tokens that the tokenizer puts around it.
    pub tokens: usize,
    /// How many of them were predicted: all except the first.
    pub scored: usize,
    /// The mean of −ln p over the predicted tokens.
    pub mean_nll: f64,
    /// e to the power of `mean_nll`: the number of equally probable tokens among which the model would be as uncertain.
    pub perplexity: f64,
    /// The most probable tokens after the text, each with ln p: the most probable first, and the lowest id first among equals.
    pub next: Vec<(u32, f64)>,
}

/// Why a text has no score.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// The tokens can't be read.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The text can't be turned into tokens, or the model can't continue a text.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// There is nothing to predict.
    #[error(
        "the text has {tokens} tokens; a score needs at least two, because the first is not predicted"
    )]
    TooShort {
        /// Number of tokens of the text.
        tokens: usize,
    },
    /// The session is too short for a window with something to predict.
    #[error("the context has {context} positions; a score needs at least two")]
    TooFewPositions {
        /// Number of positions.
        context: usize,
    },
    /// Only the last token's logits are computed.
    #[error("a score needs the logits of every token: open the model with Logits::All")]
    LastRowOnly,
    /// The outputs of the model are not logits.
    #[error("the model's output has {width} columns, but there are {vocabulary} tokens to predict")]
    NoLogits {
        /// Number of columns of the output.
        width: usize,
        /// Number of ids that the model knows.
        vocabulary: usize,
    },
}

/// One window of a text: `context` tokens that are only read, then the tokens that are predicted.
struct Window {
    /// How many tokens of the text's beginning (BOS) come before all others in the window: 0 or 1.
    begun: usize,
    /// The others, as a range of the text.
    start: usize,
    end: usize,
    /// The first token that is predicted.
    first_scored: usize,
}

/// The windows of a text that a session of `context` positions reads one by one. Every token except the first is predicted
/// in exactly one of them.
fn windows(tokens: usize, context: usize, begun: usize) -> Vec<Window> {
    let mut all = vec![Window {
        begun: 0,
        start: 0,
        end: tokens.min(context),
        first_scored: 1,
    }];
    let mut scored = tokens.min(context);
    // A window of two positions has no place for BOS besides the two tokens that it needs.
    let begun = if context > 2 { begun } else { 0 };
    let room = context - begun;
    while scored < tokens {
        let start = scored - (room / 2).max(1);
        let end = tokens.min(start + room);
        all.push(Window {
            begun,
            start,
            end,
            first_scored: scored,
        });
        scored = end;
    }
    all
}

impl Model {
    /// How probable a text of tokens is, and the most probable tokens after it. The session is cleared before each window;
    /// the model must have been opened with [`Logits::All`](crate::model::Logits::All).
    ///
    /// A text that is longer than the context is read in windows. The first window is as long as the context. Each further
    /// window begins with BOS if the text does, repeats half a context of tokens that were already predicted, and predicts
    /// the tokens that follow. So each token is predicted once; after the first window, from at least half a context.
    ///
    /// Logits are read chunk by chunk, because the plan holds only one chunk; sums are f64 in the order of the tokens.
    ///
    /// # Errors
    /// If there are fewer than two tokens, a token is unknown, the tokens don't fit, or the model returns hidden
    /// states or only the last row.
    pub fn score_tokens(
        &self,
        session: &mut Session,
        tokens: &[u32],
        options: &ScoreOptions,
    ) -> Result<Score, ScoreError> {
        let _environment = FloatEnvironment::set_default();
        self.check_logits()?;
        let (width, vocabulary) = (session.logits_width(), self.vocabulary());
        if width < vocabulary || width == 0 {
            return Err(ScoreError::NoLogits { width, vocabulary });
        }
        if tokens.len() < 2 {
            return Err(ScoreError::TooShort {
                tokens: tokens.len(),
            });
        }
        let context = session.context();
        if context < 2 {
            return Err(ScoreError::TooFewPositions { context });
        }
        let begun = usize::from(tokens.first().copied() == self.bos_token());
        let mut sum = 0.0;
        let mut failed = None;
        let mut next = Vec::new();
        for window in windows(tokens.len(), context, begun) {
            let read = [&tokens[..window.begun], &tokens[window.start..window.end]].concat();
            session.truncate(0)?;
            // Index in `read` of the chunk's first token.
            let mut done = 0;
            let mut each = |logits: &[f32]| {
                let rows = logits.chunks_exact(width);
                let expected = (read.len() - done).min(self.compiled().plan.step().tokens());
                if rows.len() != expected {
                    failed = failed.take().or(Some(ScoreError::LastRowOnly));
                    return;
                }
                for (row, place) in rows.zip(done..) {
                    // The row of the token at `place` predicts the one after it.
                    let Some(at) = (place + 1 + window.start).checked_sub(window.begun) else {
                        continue;
                    };
                    let is_last = at == tokens.len();
                    let wanted = at >= window.first_scored && at < window.end;
                    if failed.is_some() || !(is_last || wanted) {
                        continue;
                    }
                    let row = &row[..vocabulary];
                    let normalizer = log_sum_exp(row);
                    match tokens.get(at) {
                        Some(&token) if wanted => {
                            let logit = row.get(token as usize).copied().unwrap_or_default();
                            sum += normalizer - f64::from(logit);
                        }
                        _ => next = most_probable(row, normalizer, options.top),
                    }
                }
                done += expected;
            };
            let read_all = match &options.cancel {
                Some(cancel) => session.prefill_each_until(&read, cancel, &mut each),
                None => session.prefill_each(&read, &mut each),
            };
            read_all.map_err(|error| in_text(error, &window))?;
            if let Some(error) = failed {
                return Err(error);
            }
        }
        let scored = tokens.len() - 1;
        let mean_nll = sum / scored as f64;
        Ok(Score {
            tokens: tokens.len(),
            scored,
            mean_nll,
            perplexity: exp_f64(mean_nll),
            next,
        })
    }

    /// [`Model::score_tokens`] of a text's tokens, with the tokens that the tokenizer puts around it.
    ///
    /// # Errors
    /// The errors of [`Model::score_tokens`], and errors if the model has no tokenizer or the tokenizer fails.
    #[cfg(feature = "tokenizer")]
    pub fn score(
        &self,
        session: &mut Session,
        text: &str,
        options: &ScoreOptions,
    ) -> Result<Score, ScoreError> {
        let tokens = self.encode(text)?;
        self.score_tokens(session, &tokens, options)
    }
}

/// Turns an error about a window's tokens into an error about the text's tokens.
fn in_text(mut error: StepError, window: &Window) -> StepError {
    if let StepError::NotFinite { token, .. } = &mut error
        && let Some(later) = token.checked_sub(window.begun)
    {
        *token = later + window.start;
    }
    error
}

/// ln Σ eˣ over a row of finite logits. The sum runs in the order of the ids.
fn log_sum_exp(row: &[f32]) -> f64 {
    let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    largest + ln_f64(sum_exp_f64(row, largest))
}

/// The `top` largest logits as ln p: the largest first, and the lowest id first among equals.
fn most_probable(row: &[f32], normalizer: f64, top: usize) -> Vec<(u32, f64)> {
    let mut ids: Vec<u32> = (0..).take(row.len()).collect();
    let by_rank = |a: &u32, b: &u32| {
        let logit = |id: &u32| row.get(*id as usize).copied().unwrap_or(f32::NEG_INFINITY);
        logit(b).total_cmp(&logit(a)).then(a.cmp(b))
    };
    let top = top.min(ids.len());
    if top > 0 && top < ids.len() {
        ids.select_nth_unstable_by(top - 1, by_rank);
    }
    ids.truncate(top);
    ids.sort_unstable_by(by_rank);
    let probability = |id: u32| {
        let logit = row.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY);
        (id, f64::from(logit) - normalizer)
    };
    ids.into_iter().map(probability).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_but_the_first_is_predicted_once_from_half_a_context_at_least() {
        for context in 2..9 {
            for tokens in 2..60 {
                for begun in 0..2 {
                    let mut next = 1;
                    for (number, window) in windows(tokens, context, begun).iter().enumerate() {
                        assert_eq!(window.first_scored, next);
                        assert!(window.begun + window.end - window.start <= context);
                        assert!(window.start < window.first_scored);
                        let given = window.first_scored - window.start;
                        assert!(number == 0 || given >= ((context - window.begun) / 2).max(1));
                        assert!(window.end > next || window.end == tokens);
                        next = window.end;
                    }
                    assert_eq!(next, tokens, "{context} {tokens} {begun}");
                }
            }
        }
    }

    #[test]
    fn probabilities_of_a_row_add_up_to_one() {
        let row = [1.5, -2.0, 1.5, 80.0, f32::MIN, 79.0];
        let all = most_probable(&row, log_sum_exp(&row), 9);
        let ids: Vec<u32> = all.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [3, 5, 0, 2, 1, 4]);
        let sum: f64 = all.iter().map(|(_, log)| log.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        let two = most_probable(&row, log_sum_exp(&row), 2);
        assert_eq!(two, all[..2]);
        // These logits are far too large for their exponentials to be finite.
        assert_eq!(log_sum_exp(&[f32::MAX, f32::MIN]), f64::from(f32::MAX));
    }
}
