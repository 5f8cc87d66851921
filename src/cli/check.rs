//! `smallmind check`: compares a model's output with a file of expected tensors, and prints the fingerprint of its bits. If
//! they differ, it prints what the graph's values tell about the mistake.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use smallmind::model::Logits;
use smallmind::{Model, Session, StepError};

use super::arguments::{LoadArguments, PlanArguments, ThreadArguments};
use super::compare::{Difference, Fingerprint, argmax, mean_pooled};
use super::diagnose::{Question, Subject};
use super::expected::{Hidden, LOGITS, Outputs};
use super::failure::{Failure, error, print};
use super::model_argument::ModelArguments;
use super::opened::open_model;
use super::progress::progress;

/// Arguments of `check`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The expected tensors: input_ids with logits and greedy, or with last_hidden_state and mean_pooled
    #[arg(long, value_name = "FILE.safetensors")]
    expected: PathBuf,
    /// Write the model's output to this file, under the same tensor names
    #[arg(short, long, value_name = "FILE.safetensors")]
    output: Option<PathBuf>,
    /// The largest allowed difference, in standard deviations of the expected tensor
    #[arg(long, value_name = "X", default_value_t = 2e-4)]
    tolerance: f64,
    /// Hidden states, to find the first layer that departs [default: any that are in the file of expected tensors]
    #[arg(long, value_name = "FILE.safetensors")]
    hidden: Option<PathBuf>,
    /// Print the size of the residual stream at the end of each layer, and of each node in the first layer that departs
    #[arg(long)]
    trace: bool,
    #[command(flatten)]
    threads: ThreadArguments,
    #[command(flatten)]
    plan: PlanArguments,
    #[command(flatten)]
    load: LoadArguments,
}

/// Run the subcommand.
pub fn check(arguments: Arguments) -> Result<(), Failure> {
    let expected = Outputs::read(&arguments.expected)?;
    let hidden = arguments.hidden.as_ref().unwrap_or(&arguments.expected);
    let hidden = Hidden::read(hidden, expected.input_ids.len())?;
    let options = arguments.plan.add_to(arguments.load.options());
    let mut options = arguments.threads.add_to(options);
    options.logits = Logits::All;
    options.progress = progress();
    let source = arguments.model.only()?.source()?;
    let model = open_model(source.clone(), &options)?;
    let mut session = model.session()?;
    fits(&expected, &model, &session)?;
    let diagnosis = |rows: &[f32], question: Question| {
        let subject = Subject::open(&source, &options, &expected, &hidden, arguments.tolerance)?;
        print(&subject.diagnose(rows, question)?)
    };
    let trace = arguments.trace;
    let rows = match prompt_rows(&expected, &model, &mut session)? {
        Prompt::Finite(rows) => rows,
        Prompt::NotFinite(rows, problem) => {
            diagnosis(&rows, Question { wrong: true, trace })?;
            return Err(problem.into());
        }
    };
    let (found, bits) = compute(&expected, rows, &mut session)?;
    if let Some(path) = &arguments.output {
        found.write(path)?;
    }

    let mut text = String::new();
    let mut failures = Vec::new();
    let mut compare = |name: &str, found: &[f32], expected: &[f32]| {
        let Difference { largest, mean } = Difference::new(found, expected);
        let _ = writeln!(
            text,
            "{name}: largest difference {largest:.3e}, mean {mean:.3e} standard deviations"
        );
        // A NaN in the expected file exceeds any tolerance, and everything exceeds a tolerance that is NaN.
        let order = largest.partial_cmp(&arguments.tolerance);
        if order.is_none_or(|order| order.is_gt()) {
            failures.push(format!(
                "{name} differs by {largest:.3e} standard deviations, more than {:e}",
                arguments.tolerance
            ));
        }
    };
    compare(expected.name, &found.rows, &expected.rows);
    if let (Some(found), Some(expected)) = (&found.mean_pooled, &expected.mean_pooled) {
        compare("mean_pooled", found, expected);
    }
    let wrong = !failures.is_empty();
    if !expected.greedy.is_empty() {
        let line = greedy(&found.greedy, &expected.greedy);
        if found.greedy != expected.greedy {
            failures.push(line.clone());
        }
        text += &(line + "\n");
    }
    let _ = writeln!(text, "isa {}", model.isa().name());
    let _ = writeln!(text, "threads {}", model.threads());
    let _ = writeln!(text, "bits {}", bits.hex());
    print(&text)?;
    if wrong || trace {
        diagnosis(&found.rows, Question { wrong, trace })?;
    }
    match failures.is_empty() {
        true => Ok(()),
        false => error(failures.join("; ")),
    }
}

/// Fails if this model can't have outputs of the expected shapes.
fn fits(expected: &Outputs, model: &Model, session: &Session) -> Result<(), Failure> {
    let vocabulary = model.vocabulary();
    let unknown = |id: &&u32| usize::try_from(**id).is_ok_and(|id| id >= vocabulary);
    if let Some(id) = expected.input_ids.iter().find(unknown) {
        return error(format!(
            "input_ids contains {id}, but the model's vocabulary has {vocabulary} tokens"
        ));
    }
    let (tokens, width) = (expected.input_ids.len(), session.logits_width());
    if expected.width != width {
        return error(format!(
            "{} has shape [{tokens}, {}], but the model's output has [{tokens}, {width}]",
            expected.name, expected.width
        ));
    }
    // The last greedy token is chosen, but not processed.
    let steps = expected.greedy.len().saturating_sub(1);
    if tokens + steps > session.context() {
        return error(format!(
            "{tokens} prompt tokens and {steps} steps need {} positions, but the context has {} (--context)",
            tokens + steps,
            session.context()
        ));
    }
    Ok(())
}

/// The model's rows for the prompt.
enum Prompt {
    /// All of them: [T, width].
    Finite(Vec<f32>),
    /// The rows up to the first row that is not finite; that row and the others are NaN: [T, width].
    NotFinite(Vec<f32>, StepError),
}

/// The model's outputs for the prompt.
fn prompt_rows(
    expected: &Outputs,
    model: &Model,
    session: &mut Session,
) -> Result<Prompt, Failure> {
    let mut read = |tokens: &[u32]| {
        let mut rows = Vec::with_capacity(expected.rows.len());
        session.truncate(0)?;
        let done = session.prefill_each(tokens, &mut |part| rows.extend_from_slice(part));
        done.map(|()| rows)
    };
    let rows = match read(&expected.input_ids) {
        Err(problem @ StepError::NotFinite { token, .. }) => {
            let before = match model.is_bidirectional() {
                true => &[],
                false => expected.input_ids.get(..token).unwrap_or_default(),
            };
            let mut rows = match before {
                [] => Vec::new(),
                before => read(before)?,
            };
            rows.resize(expected.rows.len(), f32::NAN);
            return Ok(Prompt::NotFinite(rows, problem));
        }
        rows => rows?,
    };
    match rows.len() == expected.rows.len() {
        true => Ok(Prompt::Finite(rows)),
        false => error(format!(
            "the model returned {} numbers instead of {} rows of {}: its graph leaves out rows",
            rows.len(),
            expected.input_ids.len(),
            expected.width
        )),
    }
}

/// The model's outputs (the prompt's `rows` are already known), and the fingerprint of all outputs, including the
/// outputs of decode steps.
fn compute(
    expected: &Outputs,
    rows: Vec<f32>,
    session: &mut Session,
) -> Result<(Outputs, Fingerprint), Failure> {
    let mut bits = Fingerprint::new();
    bits.add(&rows);
    let mut greedy = Vec::with_capacity(expected.greedy.len());
    while greedy.len() < expected.greedy.len() {
        let token = argmax(session.logits_row());
        greedy.push(i64::try_from(token)?);
        if greedy.len() < expected.greedy.len() {
            bits.add(session.step(u32::try_from(token)?)?);
        }
    }
    let pooled = (expected.name != LOGITS).then(|| mean_pooled(&rows, expected.width));
    let found = Outputs {
        input_ids: expected.input_ids.clone(),
        name: expected.name,
        rows,
        width: expected.width,
        greedy,
        mean_pooled: pooled,
    };
    Ok((found, bits))
}

/// Compares the greedy tokens, in a line.
fn greedy(found: &[i64], expected: &[i64]) -> String {
    let pairs = found.iter().zip(expected).enumerate();
    match pairs
        .into_iter()
        .find(|(_, (found, expected))| found != expected)
    {
        None => format!("all {} greedy tokens equal", expected.len()),
        Some((at, (found, expected))) => {
            format!("greedy token {at} (from 0) is {found}, expected {expected}")
        }
    }
}
