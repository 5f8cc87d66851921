//! `smallmind bench --parallel`: many sequences side by side, in the columns of llama-batched-bench.
//!
//! Each sequence reads a prompt of its own and then one token per step; tokens are a fixed pseudo-random sequence, and
//! none are sampled. No prefix is shared.

use std::time::Instant;

use serde::Serialize;
use serde_json::Value;
use smallmind::Model;
use smallmind::exec::batcher::{Batcher, SequenceId, pages_of};

use super::failure::Failure;

/// One test's result, with the keys of llama-batched-bench.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Threads.
    pub n_threads: usize,
    /// Tokens of each prompt.
    pub pp: usize,
    /// Tokens that each sequence generates.
    pub tg: usize,
    /// Sequences side by side.
    pub pl: usize,
    /// Positions that all sequences have in the end.
    pub n_kv: usize,
    /// Seconds for the prompts.
    pub t_pp: f64,
    /// Tokens of the prompts per second.
    pub speed_pp: f64,
    /// Seconds for the generated tokens.
    pub t_tg: f64,
    /// Generated tokens per second.
    pub speed_tg: f64,
    /// Seconds for everything.
    pub t: f64,
    /// All tokens per second.
    pub speed: f64,
}

/// One test: prompts of `pp` tokens, `tg` tokens after each, `pl` sequences.
#[derive(Clone, Copy)]
pub struct Test {
    /// Tokens of each prompt.
    pub pp: usize,
    /// Tokens that each sequence generates.
    pub tg: usize,
    /// Sequences side by side.
    pub pl: usize,
}

/// The run of median time among `repetitions` runs of each test. `tokens` has as many tokens as the longest sequence,
/// plus the number of sequences. The model was opened for as many sequences as the largest test has.
pub fn measure(
    model: &Model,
    tests: &[Test],
    repetitions: usize,
    tokens: &[u32],
    mut each: impl FnMut(&Row) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let plan = &model.compiled().plan;
    let needed = |test: &Test| test.pl * pages_of(plan, test.pp + test.tg);
    let pages = tests.iter().map(needed).max().unwrap_or(0);
    let mut batcher = model.batcher(pages)?;
    for &test in tests {
        run(&mut batcher, Test { tg: 1, ..test }, tokens)?;
        let mut rows = Vec::new();
        for _ in 0..repetitions {
            let (t_pp, t_tg) = run(&mut batcher, test, tokens)?;
            let (read, generated) = (test.pl * test.pp, test.pl * test.tg);
            rows.push(Row {
                n_threads: model.threads(),
                pp: test.pp,
                tg: test.tg,
                pl: test.pl,
                n_kv: read + generated,
                t_pp,
                speed_pp: rate(read, t_pp),
                t_tg,
                speed_tg: rate(generated, t_tg),
                t: t_pp + t_tg,
                speed: rate(read + generated, t_pp + t_tg),
            });
        }
        rows.sort_by(|a, b| a.t.total_cmp(&b.t));
        if let Some(row) = rows.get(rows.len() / 2) {
            each(row)?;
        }
    }
    Ok(())
}

fn rate(tokens: usize, seconds: f64) -> f64 {
    if tokens == 0 {
        0.0
    } else {
        tokens as f64 / seconds
    }
}

/// Run a test. Returns the seconds for the prompts and for the tokens after them.
fn run(batcher: &mut Batcher, test: Test, tokens: &[u32]) -> Result<(f64, f64), Failure> {
    let mut open: Vec<SequenceId> = Vec::new();
    for number in 0..test.pl {
        let id = batcher.open(test.pp + test.tg)?;
        let prompt = tokens.get(number..number + test.pp).unwrap_or_default();
        batcher.push(id, prompt)?;
        open.push(id);
    }
    let begun = Instant::now();
    while batcher.step(usize::MAX)? > 0 {}
    let prompts = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    for number in 0..test.tg {
        for (sequence, &id) in open.iter().enumerate() {
            let token = tokens.get(test.pp + number + sequence).copied();
            batcher.push(id, &[token.unwrap_or(0)])?;
        }
        while batcher.step(usize::MAX)? > 0 {}
    }
    let generated = begun.elapsed().as_secs_f64();
    open.into_iter().for_each(|id| batcher.close(id));
    batcher.clear();
    Ok((prompts, generated))
}

/// The first lines of the Markdown table.
pub const MARKDOWN_HEAD: &str = "\
|   PP |   TG |  PL |  N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |
| ---: | ---: | --: | ----: | -------: | -------: | -------: | -------: | -------: | -------: |
";

impl Row {
    /// A line of the Markdown table.
    pub fn markdown(&self) -> String {
        format!(
            "| {:>4} | {:>4} | {:>3} | {:>5} | {:>8.3} | {:>8.2} | {:>8.3} | {:>8.2} | {:>8.3} | {:>8.2} |\n",
            self.pp,
            self.tg,
            self.pl,
            self.n_kv,
            self.t_pp,
            self.speed_pp,
            self.t_tg,
            self.speed_tg,
            self.t,
            self.speed
        )
    }

    /// The names and the values of its fields, each joined by commas: the first line and another line of the
    /// comma-separated table.
    pub fn csv(&self) -> Result<(String, String), Failure> {
        let Value::Object(fields) = serde_json::to_value(self)? else {
            return Ok(Default::default());
        };
        let names: Vec<String> = fields.keys().cloned().collect();
        let values: Vec<String> = fields.values().map(Value::to_string).collect();
        Ok((names.join(",") + "\n", values.join(",") + "\n"))
    }
}
