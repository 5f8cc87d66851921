//! `smallmind bench --ablate`: how much each step away from a naive runtime gains, and each pass.
//!
//! The first table begins with the graph as loaded, run by plain kernels on one thread, where each token computes its
//! whole past again. Each further row adds one thing, in the order of the phases of the report that the project started
//! from. The second table leaves out one pass at a time. All variants are opened first and then measured in turn, round
//! by round, so that a machine that slows down slows all of them; gains are medians of the rounds' ratios.

use std::time::Instant;

use serde::Serialize;
use smallmind::exec::session::StepError;
use smallmind::rewrite::{NO_PASS, Passes};
use smallmind::{Model, Options, Session};

use super::failure::{Failure, print, print_json};

/// How much work a table measures.
pub struct Load {
    /// Number of tokens in the session before the first token that is counted.
    pub prompt: usize,
    /// Number of counted tokens.
    pub generated: usize,
    /// Number of rounds.
    pub rounds: usize,
}

/// A row of the first table.
#[derive(Serialize)]
struct Stage {
    stage: &'static str,
    /// Median tokens per second of generation.
    tokens_per_second: f64,
    /// Median microseconds per token.
    microseconds: f64,
    /// The gain over the previous row.
    gain: f64,
    /// The gain that the seed report expected from this phase.
    expected_gain: Option<f64>,
    /// The gain over the first row.
    total_gain: f64,
    /// Bytes of the session: activations, scratch memory and caches.
    session_bytes: usize,
    /// Bytes of the activations of one-token and prompt steps.
    activation_bytes: usize,
}

/// A row of the second table.
#[derive(Serialize)]
struct Without {
    /// The pass that is left out.
    pass: String,
    /// Steps for one token.
    steps: usize,
    /// Median tokens per second of a prompt.
    prompt_per_second: f64,
    /// Median tokens per second of generation.
    tokens_per_second: f64,
    /// How much faster a prompt is with the pass.
    prompt_gain: f64,
    /// How much faster generation is with the pass.
    gain: f64,
    /// Bytes of the session.
    session_bytes: usize,
}

/// Both tables.
#[derive(Serialize)]
struct Tables {
    stages: Vec<Stage>,
    leave_one_out: Vec<Without>,
}

/// A model with a session, and whether generation may use the cache.
struct Variant {
    model: Model,
    session: Session,
    cached: bool,
}

impl Variant {
    fn open(
        source: smallmind::model::Source,
        options: &Options,
        cached: bool,
    ) -> Result<Variant, Failure> {
        let model = Model::open(source, options)?;
        let session = model.session()?;
        Ok(Variant {
            model,
            session,
            cached,
        })
    }

    /// Seconds per generated token.
    fn generate(&mut self, load: &Load, tokens: &[u32]) -> Result<f64, StepError> {
        let (prompt, end) = (load.prompt, load.prompt + load.generated);
        self.session.truncate(0)?;
        self.session.prefill(&tokens[..prompt])?;
        let begun = Instant::now();
        for at in prompt..end {
            if self.cached {
                self.session.step(tokens[at])?;
            } else {
                self.session.truncate(0)?;
                self.session.prefill(&tokens[..=at])?;
            }
        }
        Ok(begun.elapsed().as_secs_f64() / load.generated as f64)
    }

    /// Seconds per prompt token.
    fn prompt(&mut self, load: &Load, tokens: &[u32]) -> Result<f64, StepError> {
        let count = load.prompt + load.generated;
        self.session.truncate(0)?;
        let begun = Instant::now();
        self.session.prefill(&tokens[..count])?;
        Ok(begun.elapsed().as_secs_f64() / count as f64)
    }

    fn session_bytes(&self) -> usize {
        self.model.plan().arena
    }
}

/// Measure both tables and print them. `format` is `md`, `json` or `csv`.
pub fn ablate(
    source: &smallmind::model::Source,
    options: &Options,
    load: &Load,
    tokens: &[u32],
    format: &str,
) -> Result<(), Failure> {
    let passes = match &options.passes {
        Some(folder) => Passes::from_dir(folder).map_err(smallmind::ModelError::from)?,
        None => Passes::builtin().map_err(smallmind::ModelError::from)?,
    };
    let names: Vec<String> = passes.names().map(str::to_string).collect();
    let tables = Tables {
        stages: stages(source, options, &names, load, tokens)?,
        leave_one_out: leave_one_out(source, options, &names, load, tokens)?,
    };
    match format {
        "json" => print_json(&tables),
        "csv" => print(&csv(&tables)),
        _ => print(&markdown(&tables)),
    }
}

fn stages(
    source: &smallmind::model::Source,
    options: &Options,
    names: &[String],
    load: &Load,
    tokens: &[u32],
) -> Result<Vec<Stage>, Failure> {
    let plain = options.clone().isa("scalar").threads(1);
    let planned = |name: &String| name == "in_place" || name == "reuse_buffers";
    let unfused = plain
        .clone()
        .without(names.iter().filter(|name| !planned(name)).cloned());
    let wanted: [(&str, Option<f64>, bool, Options); 6] = [
        (
            "naive: the graph as loaded, plain kernels, no cache, no reuse",
            None,
            false,
            plain.clone().stop_after(NO_PASS),
        ),
        (
            "phase 1: buffers planned and reused, ops in place",
            Some(1.5),
            false,
            unfused.clone(),
        ),
        ("phase 2: KV cache", Some(1.5), true, unfused),
        (
            "phase 3: fused norms, activations and attention",
            Some(1.2),
            true,
            plain.clone(),
        ),
        ("SIMD kernels", None, true, options.clone().threads(1)),
        ("threads", None, true, options.clone()),
    ];
    let mut variants = Vec::new();
    for (_, _, cached, options) in &wanted {
        variants.push(Variant::open(source.clone(), options, *cached)?);
    }
    let seconds = rounds(&mut variants, load.rounds, |variant| {
        variant.generate(load, tokens)
    })?;
    let mut rows: Vec<Stage> = Vec::new();
    for (at, ((stage, expected_gain, _, _), variant)) in
        wanted.into_iter().zip(&variants).enumerate()
    {
        let typical = median(&seconds[at]);
        let plan = variant.model.plan();
        rows.push(Stage {
            stage,
            tokens_per_second: 1.0 / typical,
            microseconds: typical * 1e6,
            gain: ratio(&seconds[at.saturating_sub(1)], &seconds[at]),
            expected_gain,
            total_gain: ratio(&seconds[0], &seconds[at]),
            session_bytes: plan.arena,
            activation_bytes: plan.activations,
        });
    }
    Ok(rows)
}

fn leave_one_out(
    source: &smallmind::model::Source,
    options: &Options,
    names: &[String],
    load: &Load,
    tokens: &[u32],
) -> Result<Vec<Without>, Failure> {
    let mut variants = vec![Variant::open(source.clone(), options, true)?];
    for name in names {
        let mut options = options.clone();
        options.without.insert(name.clone());
        variants.push(Variant::open(source.clone(), &options, true)?);
    }
    let generated = rounds(&mut variants, load.rounds, |variant| {
        variant.generate(load, tokens)
    })?;
    let prompts = rounds(&mut variants, load.rounds, |variant| {
        variant.prompt(load, tokens)
    })?;
    let labels = std::iter::once("(none)".to_string()).chain(names.iter().cloned());
    let rows = labels
        .zip(&variants)
        .enumerate()
        .map(|(at, (pass, variant))| Without {
            pass,
            steps: variant.model.compiled().plan.step().steps().len(),
            prompt_per_second: 1.0 / median(&prompts[at]),
            tokens_per_second: 1.0 / median(&generated[at]),
            prompt_gain: ratio(&prompts[at], &prompts[0]),
            gain: ratio(&generated[at], &generated[0]),
            session_bytes: variant.session_bytes(),
        });
    Ok(rows.collect())
}

/// The time of each variant in each round, after one round that is not counted.
fn rounds(
    variants: &mut [Variant],
    rounds: usize,
    measure: impl Fn(&mut Variant) -> Result<f64, StepError>,
) -> Result<Vec<Vec<f64>>, Failure> {
    let mut times = vec![Vec::new(); variants.len()];
    for round in 0..=rounds {
        for (variant, times) in variants.iter_mut().zip(&mut times) {
            let time = measure(variant)?.max(1e-9);
            if round > 0 {
                times.push(time);
            }
        }
    }
    Ok(times)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
        _ => sorted[middle],
    }
}

/// How many times as long `slow` took as `fast`: the median over the rounds.
fn ratio(slow: &[f64], fast: &[f64]) -> f64 {
    let ratios: Vec<f64> = slow
        .iter()
        .zip(fast)
        .map(|(slow, fast)| slow / fast)
        .collect();
    median(&ratios)
}

fn markdown(tables: &Tables) -> String {
    let mut text = String::from(
        "| stage | tokens/s | µs/token | gain | expected | total | session bytes | of these activations |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for row in &tables.stages {
        let expected = row
            .expected_gain
            .map_or(String::new(), |gain| format!("{gain:.1}×"));
        text += &format!(
            "| {} | {:.0} | {:.1} | {:.2}× | {expected} | {:.1}× | {} | {} |\n",
            row.stage,
            row.tokens_per_second,
            row.microseconds,
            row.gain,
            row.total_gain,
            row.session_bytes,
            row.activation_bytes
        );
    }
    text += "\n| without | steps | prompt tokens/s | tokens/s | gain, prompt | gain | session bytes |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    for row in &tables.leave_one_out {
        text += &format!(
            "| {} | {} | {:.0} | {:.0} | {:.2}× | {:.2}× | {} |\n",
            row.pass,
            row.steps,
            row.prompt_per_second,
            row.tokens_per_second,
            row.prompt_gain,
            row.gain,
            row.session_bytes
        );
    }
    text
}

fn csv(tables: &Tables) -> String {
    let mut text = String::from(
        "table,name,prompt_per_second,tokens_per_second,prompt_gain,gain,expected_gain,total_gain,session_bytes\n",
    );
    for row in &tables.stages {
        let expected = row
            .expected_gain
            .map_or(String::new(), |gain| gain.to_string());
        text += &format!(
            "stages,\"{}\",,{:.3},,{:.4},{expected},{:.4},{}\n",
            row.stage, row.tokens_per_second, row.gain, row.total_gain, row.session_bytes
        );
    }
    for row in &tables.leave_one_out {
        text += &format!(
            "leave_one_out,\"{}\",{:.3},{:.3},{:.4},{:.4},,,{}\n",
            row.pass,
            row.prompt_per_second,
            row.tokens_per_second,
            row.prompt_gain,
            row.gain,
            row.session_bytes
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gain_is_the_median_of_the_rounds_ratios() {
        assert_eq!(ratio(&[2.0, 9.0, 4.0], &[1.0, 3.0, 1.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
    }
}
