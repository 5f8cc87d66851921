//! `smallmind run`: a prompt's continuation, as it comes.

use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::HumanBytes;
use smallmind::generate::run::{GenerateError, GenerateOptions, Generation};
use smallmind::generate::sampler::SamplerOptions;
use smallmind::generate::stop::StopStrings;
use smallmind::model::{Source, Text};
use smallmind::{Model, Session};

use super::arguments::{GraphArguments, PlanArguments, ThreadArguments, source};
use super::failure::{Failure, error, note, print};
use super::interrupt;
use super::progress::progress;

/// What the demo continues where no prompt is given.
const DEMO_PROMPT: &str = "KING RICHARD:\n";
/// The longest prompt that is read from stdin, in bytes.
const LONGEST_PROMPT: u64 = 64 << 20;

/// Arguments of `run`.
#[derive(Args)]
pub struct Arguments {
    /// A model's folder or GGUF file, or `demo`
    #[arg(default_value = "demo")]
    model: PathBuf,
    /// The text to continue; `-` reads it from stdin [default for the demo: a line of Shakespeare's]
    prompt: Option<String>,
    /// The most tokens to generate
    #[arg(short = 'n', long, value_name = "N", default_value_t = 128)]
    max_tokens: usize,
    #[command(flatten)]
    threads: ThreadArguments,
    #[command(flatten)]
    plan: PlanArguments,
    /// A string that ends the text, of which it is no part; may be given several times
    #[arg(long, value_name = "STRING")]
    stop: Vec<String>,
    #[command(flatten)]
    graph: GraphArguments,
    /// Say on stderr how long everything took, and on what it ran
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    sampling: Sampling,
}

/// How tokens are chosen.
#[derive(Args)]
#[command(next_help_heading = "Sampling")]
struct Sampling {
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
    fn options(&self) -> SamplerOptions {
        let drawn = SamplerOptions {
            temperature: self.temp,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            ..SamplerOptions::default()
        };
        SamplerOptions {
            repetition_penalty: self.repeat_penalty,
            seed: self.seed,
            ..if self.greedy {
                SamplerOptions::greedy()
            } else {
                drawn
            }
        }
    }
}

/// Run the subcommand.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let sampler = arguments.sampling.options();
    sampler.validate()?;
    StopStrings::new(arguments.stop.clone())?;
    let source = source(&arguments.model);
    if let Source::Path(path) = &source
        && arguments.prompt.is_none()
        && !path.exists()
    {
        return error(format!(
            "{}: there is no such file or folder (a prompt for the demo comes second: smallmind run demo PROMPT)",
            path.display()
        ));
    }
    let prompt = prompt(arguments.prompt, &source)?;

    let options = arguments.plan.add_to(arguments.graph.options());
    let mut options = arguments.threads.add_to(options);
    options.text = Text::Needed;
    options.progress = progress();
    let begun = Instant::now();
    let model = Model::open(source, &options)?;
    let mut session = model.session()?;
    let load_time = begun.elapsed();
    check_prompt(&model, &session, &prompt)?;

    let cancel = interrupt::catch()?;
    let terminal = io::stdout().is_terminal() && arguments.max_tokens > 0;
    if terminal {
        print(&prompt)?;
    }
    let options = GenerateOptions {
        max_tokens: Some(arguments.max_tokens),
        sampler,
        stop: arguments.stop,
    };
    let mut written = Ok(());
    let generation = model.generate(&mut session, &prompt, &options, cancel, &mut |text| {
        written = print(text);
        written.is_ok()
    })?;
    written?;
    if terminal {
        print("\n")?;
    }
    if arguments.verbose {
        describe(&model, load_time, &generation);
    }
    if cancel.load(Ordering::Relaxed) {
        return Err(Failure::Interrupted);
    }
    Ok(())
}

/// The prompt's text.
fn prompt(argument: Option<String>, source: &Source) -> Result<String, Failure> {
    match argument {
        None if *source == Source::Demo => Ok(DEMO_PROMPT.to_string()),
        None => Ok(String::new()),
        Some(dash) if dash == "-" => {
            let mut text = String::new();
            let mut stdin = io::stdin().lock().take(LONGEST_PROMPT + 1);
            match stdin.read_to_string(&mut text) {
                Ok(_) if text.len() as u64 > LONGEST_PROMPT => error(format!(
                    "the prompt on stdin is longer than {LONGEST_PROMPT} bytes"
                )),
                Ok(_) => Ok(text),
                Err(problem) => error(format!("can't read the prompt from stdin: {problem}")),
            }
        }
        Some(text) => Ok(text),
    }
}

/// Fails, before anything is shown, if the model can't continue this prompt.
fn check_prompt(model: &Model, session: &Session, prompt: &str) -> Result<(), Failure> {
    if model.is_bidirectional() {
        return Err(GenerateError::Bidirectional.into());
    }
    let (width, vocabulary) = (session.logits_width(), model.vocabulary());
    if width < vocabulary {
        return error(format!(
            "this model gives no logits: its output has {width} columns, but there are {vocabulary} tokens to choose from"
        ));
    }
    let (tokens, context) = (model.encode(prompt)?.len(), session.context());
    if tokens > context {
        return error(format!(
            "the prompt has {tokens} tokens, but the context has {context} positions (--context)"
        ));
    }
    Ok(())
}

/// What `--verbose` says.
fn describe(model: &Model, load_time: Duration, generation: &Generation) {
    let plan = model.plan();
    let rate =
        |tokens: usize, time: Duration| format!("{tokens} tokens, {}", per_second(tokens, time));
    let weights = plan.packed_weights + plan.dense_weights + plan.mapped_weights;
    note(&format!("load        {:.3} s", load_time.as_secs_f64()));
    note(&format!(
        "prompt      {}",
        rate(generation.prompt_tokens, generation.prompt_time)
    ));
    // The first token comes with the prompt.
    let steps = generation.tokens.len().saturating_sub(1);
    note(&format!(
        "generation  {}",
        rate(steps, generation.generation_time)
    ));
    note(&format!("finish      {:?}", generation.finish));
    note(&format!("isa         {}", model.isa().name()));
    note(&format!("threads     {}", model.threads()));
    note(&format!("context     {} positions", model.context()));
    note(&format!(
        "memory      {} of weights, {} of arena (KV cache {})",
        HumanBytes(weights as u64),
        HumanBytes(plan.arena as u64),
        HumanBytes(plan.kv_cache as u64)
    ));
}

/// A rate in tokens per second.
fn per_second(tokens: usize, time: Duration) -> String {
    if tokens == 0 || time.is_zero() {
        return "no rate".to_string();
    }
    format!("{:.1} tokens/s", tokens as f64 / time.as_secs_f64())
}
