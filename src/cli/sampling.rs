//! The arguments that choose how tokens are chosen.

use clap::Args;
use smallmind::{SamplerError, SamplerOptions};

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
            .logit_bias(self.logit_bias.iter().copied())
            .seed(self.seed);
        options.validate()?;
        Ok(options)
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
}
