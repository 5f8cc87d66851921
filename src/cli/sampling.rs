//! The arguments that choose how tokens are chosen.

use clap::Args;
use smallmind::generate::sampler::{SamplerError, SamplerOptions};

/// How tokens are chosen.
#[derive(Args)]
#[command(next_help_heading = "Sampling")]
pub struct Sampling {
    /// Logits are divided by this before the draw; 0 always takes the most probable token
    #[arg(long, value_name = "X", default_value_t = SamplerOptions::default().temperature)]
    temp: f32,
    /// Keep this many most probable tokens; 0 keeps all
    #[arg(long, value_name = "N", default_value_t = SamplerOptions::default().top_k)]
    top_k: usize,
    /// Keep the fewest most probable tokens that together have this probability; 1 keeps all
    #[arg(long, value_name = "P", default_value_t = SamplerOptions::default().top_p)]
    top_p: f32,
    /// Keep tokens at least this many times as probable as the most probable one; 0 keeps all
    #[arg(long, value_name = "P", default_value_t = SamplerOptions::default().min_p)]
    min_p: f32,
    /// Make tokens among the last 64 less probable; 1 does nothing
    #[arg(long, value_name = "X", default_value_t = SamplerOptions::default().repetition_penalty)]
    repeat_penalty: f32,
    /// Where the random numbers start: the same seed gives the same text, on every machine
    #[arg(long, value_name = "N", default_value_t = SamplerOptions::default().seed)]
    seed: u64,
    /// Always take the most probable token, as --temp 0 does
    #[arg(long, conflicts_with = "temp")]
    greedy: bool,
}

impl Sampling {
    /// The library's options, with these choices; an error if one is out of its range.
    pub fn options(&self) -> Result<SamplerOptions, SamplerError> {
        let drawn = SamplerOptions {
            temperature: self.temp,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            ..SamplerOptions::default()
        };
        let options = SamplerOptions {
            repetition_penalty: self.repeat_penalty,
            seed: self.seed,
            ..if self.greedy {
                SamplerOptions::greedy()
            } else {
                drawn
            }
        };
        options.validate()?;
        Ok(options)
    }
}
