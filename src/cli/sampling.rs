//! The arguments that choose how tokens are chosen, and how many.

use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;

use clap::Args;
use smallmind::{Markers, SamplerError, SamplerOptions};

use super::failure::remark;

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
    /// Add BIAS to the logit of token ID; -inf forbids it. ID+BIAS and ID-BIAS are understood too; may be given several times
    #[arg(long, value_name = "ID=BIAS", value_parser = bias)]
    logit_bias: Vec<(u32, f32)>,
    /// Where the random numbers start: the same seed gives the same text, on every machine. -1 takes a new one
    /// [default: 0 for run; -1 for chat, which then takes a new one for each answer]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<Seed>,
    /// Always take the most probable token, as --temp 0 does
    #[arg(long, conflicts_with_all = ["temp", "top_k", "top_p", "min_p", "seed"])]
    greedy: bool,
}

/// How markers are read that a text spells out, with `--no-special` or without.
pub fn markers(no_special: bool) -> Markers {
    match no_special {
        true => Markers::Text,
        false => Markers::Tokens,
    }
}

/// Where the random numbers start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    /// Always there.
    Fixed(u64),
    /// Somewhere else each time.
    New,
}

impl Seed {
    /// A seed to start with.
    pub fn drawn(self) -> u64 {
        match self {
            Seed::Fixed(seed) => seed,
            // A hasher of the standard library's begins with random keys. Few digits are easily typed again.
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
                    "expected a whole number up to {}, or -1 for a new one",
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
    /// The library's options, with these choices; an error if one is out of its range. Of a seed that is drawn, stderr
    /// tells the number.
    pub fn options(&self) -> Result<SamplerOptions, SamplerError> {
        let options = self.without_seed()?;
        let Some(seed) = self.seed else {
            return Ok(options);
        };
        let drawn = seed.drawn();
        if seed == Seed::New {
            remark(&format!(
                "the seed is {drawn} (--seed {drawn} gives this text again)"
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

/// A token and its bias: `15043=-1.5`, or as llama.cpp has it, `15043-1.5` and `15043+1.5`.
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
