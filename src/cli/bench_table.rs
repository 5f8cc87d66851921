//! The results of `smallmind bench`, as rows.

use indicatif::HumanBytes;
use serde::Serialize;

use super::arguments::DEFAULT_ACTIVATIONS;

/// One test's result. Fields that llama-bench also has are named as they are there.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Row {
    /// The model, as the caller named it.
    pub model: String,
    /// Bytes of the tensors that the model reads.
    pub model_size: usize,
    /// Elements of those tensors.
    pub model_n_params: usize,
    /// The kernels' instruction set.
    pub isa: String,
    /// Number of threads.
    pub n_threads: usize,
    /// The most tokens of a prompt step.
    pub n_chunk: usize,
    /// Positions of the session.
    pub n_context: usize,
    /// Passes and rules that are left out.
    pub passes_off: Vec<String>,
    /// The type of activations that block-quantized weights are multiplied with, by its name in `--activations`.
    pub activations: String,
    /// The type to which matrices of floats were converted, by its name in `--weights`; `None` if they kept their type.
    pub weights: Option<String>,
    /// Tokens of a prompt test, 0 for other tests.
    pub n_prompt: usize,
    /// Tokens of a generation test, 0 for other tests.
    pub n_gen: usize,
    /// Prompts of a prompt test, side by side.
    pub n_batch_prompts: usize,
    /// Nanoseconds of each repetition.
    pub samples_ns: Vec<u128>,
    /// Tokens per second of each repetition.
    pub samples_ts: Vec<f64>,
    /// The mean of `samples_ns`.
    pub avg_ns: f64,
    /// The sample standard deviation of `samples_ns`; 0 if there is only one sample.
    pub stddev_ns: f64,
    /// The mean of `samples_ts`.
    pub avg_ts: f64,
    /// The sample standard deviation of `samples_ts`; 0 if there is only one sample.
    pub stddev_ts: f64,
}

impl Row {
    /// `row` with the figures that follow from the repetitions' times.
    pub fn new(row: Row, samples_ns: Vec<u128>) -> Row {
        let tokens = (row.n_prompt * row.n_batch_prompts.max(1) + row.n_gen) as f64;
        let samples_ts: Vec<f64> = samples_ns
            .iter()
            .map(|&ns| tokens * 1e9 / ns as f64)
            .collect();
        let times: Vec<f64> = samples_ns.iter().map(|&ns| ns as f64).collect();
        let (avg_ns, stddev_ns) = mean_and_deviation(&times);
        let (avg_ts, stddev_ts) = mean_and_deviation(&samples_ts);
        Row {
            samples_ns,
            samples_ts,
            avg_ns,
            stddev_ns,
            avg_ts,
            stddev_ts,
            ..row
        }
    }

    /// `pp512`, `pp128×32` for a batch of 32, or `tg128`.
    fn test(&self) -> String {
        match self.n_gen {
            0 if self.n_batch_prompts > 1 => {
                format!("pp{}×{}", self.n_prompt, self.n_batch_prompts)
            }
            0 => format!("pp{}", self.n_prompt),
            tokens => format!("tg{tokens}"),
        }
    }
}

/// The mean, and the sample standard deviation.
fn mean_and_deviation(samples: &[f64]) -> (f64, f64) {
    let count = samples.len().max(1) as f64;
    let mean = samples.iter().sum::<f64>() / count;
    let squares: f64 = samples.iter().map(|x| (x - mean) * (x - mean)).sum();
    (mean, (squares / (count - 1.0).max(1.0)).sqrt())
}

/// The columns of the Markdown table for options that don't have their default values: heads and values.
fn chosen(row: &Row) -> Vec<(&'static str, String)> {
    let mut columns = Vec::new();
    if !row.passes_off.is_empty() {
        columns.push(("passes off", row.passes_off.join(" ")));
    }
    if row.activations != DEFAULT_ACTIVATIONS {
        columns.push(("activations", row.activations.clone()));
    }
    if let Some(weights) = &row.weights {
        columns.push(("weights", weights.clone()));
    }
    columns
}

/// The first two lines of the Markdown table for rows with the options of `row`.
pub fn markdown_head(row: &Row) -> String {
    let (mut head, mut line) = (String::new(), String::new());
    for (name, _) in chosen(row) {
        head = format!("{head} {name} |");
        line += " --- |";
    }
    format!(
        "| model | size | params | isa | threads |{head} test | t/s |\n\
         | --- | ---: | ---: | --- | ---: |{line} ---: | ---: |\n"
    )
}

/// A line of the Markdown table.
pub fn markdown_line(row: &Row) -> String {
    let mut options = String::new();
    for (_, value) in chosen(row) {
        options = format!("{options} {value} |");
    }
    format!(
        "| {} | {} | {} | {} | {} |{options} {} | {:.2} ± {:.2} |\n",
        row.model.replace('|', "\\|"),
        HumanBytes(row.model_size as u64),
        human_count(row.model_n_params),
        row.isa,
        row.n_threads,
        row.test(),
        row.avg_ts,
        row.stddev_ts
    )
}

/// A number of parameters in millions or billions.
fn human_count(count: usize) -> String {
    match count as f64 {
        count if count >= 1e9 => format!("{:.2} B", count / 1e9),
        count => format!("{:.2} M", count / 1e6),
    }
}

/// The columns of [`csv_line`].
pub fn csv_head() -> String {
    "model,model_size,model_n_params,isa,n_threads,n_chunk,n_context,passes_off,activations,weights,n_prompt,n_gen,n_batch_prompts,avg_ns,stddev_ns,avg_ts,stddev_ts\n"
        .to_string()
}

/// A row as comma-separated values, all quoted.
pub fn csv_line(row: &Row) -> String {
    let values = [
        row.model.clone(),
        row.model_size.to_string(),
        row.model_n_params.to_string(),
        row.isa.clone(),
        row.n_threads.to_string(),
        row.n_chunk.to_string(),
        row.n_context.to_string(),
        row.passes_off.join(" "),
        row.activations.clone(),
        row.weights.clone().unwrap_or_default(),
        row.n_prompt.to_string(),
        row.n_gen.to_string(),
        row.n_batch_prompts.to_string(),
        format!("{:.0}", row.avg_ns),
        format!("{:.0}", row.stddev_ns),
        format!("{:.6}", row.avg_ts),
        format!("{:.6}", row.stddev_ts),
    ];
    let quoted = values.map(|value| format!("\"{}\"", value.replace('"', "\"\"")));
    quoted.join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deviation_is_the_samples() {
        assert_eq!(mean_and_deviation(&[1.0, 2.0, 3.0]), (2.0, 1.0));
        assert_eq!(mean_and_deviation(&[5.0]), (5.0, 0.0));
    }

    #[test]
    fn rates_follow_from_times() {
        let row = Row {
            n_gen: 64,
            ..Row::default()
        };
        let row = Row::new(row, vec![1_000_000_000, 500_000_000]);
        assert_eq!(row.samples_ts, [64.0, 128.0]);
        assert_eq!((row.avg_ts, row.test()), (96.0, "tg64".to_string()));
        let row = Row {
            n_prompt: 128,
            n_batch_prompts: 4,
            ..Row::default()
        };
        let row = Row::new(row, vec![1_000_000_000]);
        assert_eq!((row.avg_ts, row.test()), (512.0, "pp128×4".to_string()));
    }

    #[test]
    fn a_value_with_quotes_stays_one_value() {
        let row = Row {
            model: "a \"b\", c".to_string(),
            ..Row::default()
        };
        assert!(csv_line(&row).starts_with("\"a \"\"b\"\", c\",\"0\","));
        assert_eq!(
            csv_line(&row).matches("\",\"").count(),
            csv_head().matches(',').count()
        );
    }
}
