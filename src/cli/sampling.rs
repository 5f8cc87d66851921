//! The arguments that decide how tokens are chosen, and how many.

use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;

use clap::Args;
use smallmind::{Markers, SamplerError, SamplerOptions};

use super::failure::remark;

/// The arguments that decide how tokens are chosen.
#[derive(Args)]
#[command(next_help_heading = "Sampling")]
pub struct Sampling {
    /// Logits are divided by this before the draw; 0 always chooses the most probable token
    #[arg(long, value_name = "X", default_value_t = SamplerOptions::default().temperature)]
    temp: f32,
    /// Keep only this many of the most probable tokens; 0 keeps all
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
    /// Add BIAS to the logit of token ID; -inf forbids the token. ID+BIAS and ID-BIAS work too; may be given several times
    #[arg(long, value_name = "ID=BIAS", value_parser = bias)]
    logit_bias: Vec<(u32, f32)>,
    /// The start of the random numbers: the same seed leads to the same text, on every machine. -1 draws a new seed
    /// [default: 0 for run; -1 for chat, which then draws a new seed for each answer]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<Seed>,
    /// Always choose the most probable token, like --temp 0
    #[arg(long, conflicts_with_all = ["temp", "top_k", "top_p", "min_p", "seed"])]
    greedy: bool,
}

/// How to read markers that are spelled out in a text, with or without `--no-special`.
pub fn markers(no_special: bool) -> Markers {
    match no_special {
        true => Markers::Text,
        false => Markers::Tokens,
    }
}

/// The start of the random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    /// Always the same seed.
    Fixed(u64),
    /// A new seed each time.
    New,
}

impl Seed {
    /// A seed to start with.
    pub fn drawn(self) -> u64 {
        match self {
            Seed::Fixed(seed) => seed,
            // A hasher of the standard library begins with random keys. A seed with few digits is easy to type again.
            Seed::New => RandomState::new().hash_one(()) >> 32,
        }
    }
}

impl FromStr for Seed {
    type Err = String;

    fn from_str(text: &str) -> Result<Seed, String> {
        match text {
            "-1" => Ok(Seed::New),
            text => text.parse().map(Seed::Fixed).map_err(|_| {
                format!(
                    "expected a whole number up to {}, or -1 for a new seed",
                    u64::MAX
                )
            }),
        }
    }
}

/// The most tokens: `None` goes on until the model ends the text or the context is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most(pub Option<usize>);

impl FromStr for Most {
    type Err = String;

    fn from_str(text: &str) -> Result<Most, String> {
        match text {
            "-1" => Ok(Most(None)),
            text => text.parse().map(|most| Most(Some(most))).map_err(|_| {
                "expected a number of tokens, or -1 to go on until the model ends the text"
                    .to_string()
            }),
        }
    }
}

impl Sampling {
    /// The library's options, with these choices; an error if one is out of its range. A seed that is drawn is printed on
    /// stderr.
    pub fn options(&self) -> Result<SamplerOptions, SamplerError> {
        let options = self.without_seed()?;
        let Some(seed) = self.seed else {
            return Ok(options);
        };
        let drawn = seed.drawn();
        if seed == Seed::New {
            remark(&format!(
                "the seed is {drawn} (--seed {drawn} repeats this text)"
            ));
        }
        Ok(options.seed(drawn))
    }

    /// The options with the default seed.
    pub fn without_seed(&self) -> Result<SamplerOptions, SamplerError> {
        let options = match self.greedy {
            true => SamplerOptions::greedy(),
            false => SamplerOptions::new()
                .temperature(self.temp)
                .top_k(self.top_k)
                .top_p(self.top_p)
                .min_p(self.min_p),
        };
        let options = options
            .repetition_penalty(self.repeat_penalty)
            .logit_bias(self.logit_bias.iter().copied());
        options.validate()?;
        Ok(options)
    }

    /// The seed that the caller chose.
    pub fn seed(&self) -> Option<Seed> {
        self.seed
    }
}

/// A token and its bias: `15043=-1.5`, or as llama.cpp writes it, `15043-1.5` and `15043+1.5`.
fn bias(text: &str) -> Result<(u32, f32), String> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (id, bias) = text.split_at(end.unwrap_or(text.len()));
    let bias = bias.strip_prefix('=').unwrap_or(bias);
    match (id.parse(), bias.parse()) {
        (Ok(id), Ok(bias)) => Ok((id, bias)),
        _ => Err("expected a token id and a number: 15043=-1.5, 15043+1, 15043=-inf".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bias_may_be_written_in_three_ways() {
        assert_eq!(bias("7=-1.5"), Ok((7, -1.5)));
        assert_eq!(bias("7=2"), Ok((7, 2.0)));
        assert_eq!(bias("7+0.5"), Ok((7, 0.5)));
        assert_eq!(bias("7-inf"), Ok((7, f32::NEG_INFINITY)));
        for wrong in ["", "7", "=1", "a=1", "7=", "7=x", "-7=1", "99999999999=1"] {
            assert!(bias(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn minus_one_is_no_limit_and_a_new_seed_and_other_negative_numbers_are_nothing() {
        assert_eq!(
            ("-1".parse(), "7".parse()),
            (Ok(Most(None)), Ok(Most(Some(7))))
        );
        assert_eq!("-1".parse(), Ok(Seed::New));
        assert_eq!("18446744073709551615".parse(), Ok(Seed::Fixed(u64::MAX)));
        for wrong in ["-2", "1.5", "", "18446744073709551616"] {
            assert!(wrong.parse::<Most>().is_err(), "{wrong}");
            assert!(wrong.parse::<Seed>().is_err(), "{wrong}");
        }
        assert_ne!(Seed::New.drawn(), Seed::New.drawn());
    }
}
