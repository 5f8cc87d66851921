//! `smallmind bench`: tokens per second, in the rows and columns of llama-bench.
//!
//! A prompt test (`pp`) processes a number of prompt tokens in an empty session; a generation test (`tg`) processes a
//! number of tokens one by one. Tokens are a fixed pseudo-random sequence; none are sampled. If a test is longer than
//! the context, the session is cleared whenever it is full. With a model that reads only whole texts, a prompt test may
//! be a batch of prompts, in steps of as many whole prompts as fit.

use std::time::Instant;

use clap::{Args, ValueEnum};
use smallmind::exec::session::StepError;
use smallmind::graph::Kind;
use smallmind::model::{ModelFiles, Source, compile};
use smallmind::types::StepSize;
use smallmind::{Model, ModelError, Options, Session};

use super::ablate::{Load, ablate};
use super::arguments::{LoadArguments, PlanArguments};
use super::bench_parallel;
use super::bench_table::{Row, csv_head, csv_line, markdown_head, markdown_line};
use super::failure::{Failure, error, print, print_json, remark, usage};
use super::model_argument::{ModelArguments, ModelName, nothing_more};
use super::opened::{compile_model, open_again};
use super::progress::progress;

/// Arguments of `bench`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Tokens of the prompt tests, separated by commas; 0 leaves the test out
    #[arg(
        short = 'p',
        long,
        value_name = "N,…",
        value_delimiter = ',',
        default_value = "512"
    )]
    n_prompt: Vec<usize>,
    /// Tokens of the generation tests, separated by commas; 0 leaves the test out [default: 128, without --batch]
    #[arg(short = 'n', long, value_name = "N,…", value_delimiter = ',')]
    n_gen: Vec<usize>,
    /// Threads, separated by commas [default: one for each physical core that the system grants]
    #[arg(short, long, value_name = "N,…", value_delimiter = ',')]
    threads: Vec<usize>,
    /// Prompts of each prompt test, only for encoders; more than 1 leaves generation out
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: u32,
    /// Sequences side by side, separated by commas: each reads a prompt of its own of `-p` tokens, then generates `-n`
    /// tokens; the output has the columns of llama-batched-bench, for the median repetition
    #[arg(long, value_name = "N,…", value_delimiter = ',', conflicts_with_all = ["batch", "ablate"],
          value_parser = clap::value_parser!(u32).range(1..=65536))]
    parallel: Vec<u32>,
    /// How often each test is measured, after one warm-up run
    #[arg(short, long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repetitions: u32,
    /// Measure how much each step away from a naive runtime gains, and each pass: generation of `-n` tokens after a
    /// prompt of 32 tokens, with `-t` threads; each must be a single number
    #[arg(long, conflicts_with_all = ["n_prompt", "batch"])]
    ablate: bool,
    /// How to print the results
    #[arg(short, long, value_enum, default_value_t = Format::Md)]
    output: Format,
    #[command(flatten)]
    plan: PlanArguments,
    #[command(flatten)]
    load: LoadArguments,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A Markdown table
    Md,
    /// A list of objects
    Json,
    /// Comma-separated values
    Csv,
}

/// What a test does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Test {
    /// This many tokens as a prompt.
    Prompt(usize),
    /// This many prompts of this many tokens, side by side.
    Batch(usize, usize),
    /// This many tokens one by one.
    Generation(usize),
}

impl Test {
    fn tokens(self) -> usize {
        match self {
            Test::Prompt(tokens) | Test::Generation(tokens) | Test::Batch(_, tokens) => tokens,
        }
    }

    /// Process the tokens of this test, beginning with an empty session.
    fn run(self, session: &mut Session, tokens: &[u32]) -> Result<(), StepError> {
        session.truncate(0)?;
        if let Test::Batch(prompts, length) = self {
            let prompts: Vec<&[u32]> = tokens.chunks_exact(length).take(prompts).collect();
            for step in prompts.chunks((session.chunk() / length).max(1)) {
                session.encode(step)?;
            }
            return Ok(());
        }
        let mut left = self.tokens();
        while left > 0 {
            if session.position() == session.context() {
                session.truncate(0)?;
            }
            let at = session.position();
            let count = match self {
                Test::Generation(_) => 1,
                _ => left.min(session.context()),
            };
            // `tokens` has a token for each position of the context.
            session.prefill(tokens.get(at..at + count).unwrap_or_default())?;
            left -= count;
        }
        Ok(())
    }

    /// A shorter run that touches everything once.
    fn warm_up(self, session: &mut Session, tokens: &[u32]) -> Result<(), StepError> {
        match self {
            Test::Generation(_) => Test::Generation(1).run(session, tokens),
            _ => self.run(session, tokens),
        }
    }
}

/// Run the subcommand.
pub fn bench(mut arguments: Arguments) -> Result<(), Failure> {
    let (model, rest) = std::mem::take(&mut arguments.model).split();
    nothing_more(rest)?;
    let name = model.unwrap_or_else(ModelName::demo);
    if arguments.ablate && (arguments.n_gen.len() > 1 || arguments.threads.len() > 1) {
        return usage("--ablate needs a single -n and a single -t");
    }
    let batch = arguments.batch as usize;
    match arguments.n_gen.iter().any(|&tokens| tokens > 0) {
        true if batch > 1 => return usage("--batch measures only prompts: leave out -n"),
        false if batch == 1 && arguments.n_gen.is_empty() => arguments.n_gen.push(GENERATED),
        _ => {}
    }
    let source = name.source()?;
    if !arguments.parallel.is_empty() {
        return parallel(&arguments, &source);
    }
    let prompts = arguments.n_prompt.iter().map(|&n| match batch {
        1 => Test::Prompt(n),
        _ => Test::Batch(batch, n),
    });
    let generations = arguments.n_gen.iter().map(|&n| Test::Generation(n));
    let tests: Vec<Test> = prompts
        .chain(generations)
        .filter(|test| test.tokens() > 0)
        .collect();
    let Some(longest) = tests.iter().map(|test| test.tokens()).max() else {
        return error("nothing to measure: both -p and -n are 0");
    };
    let mut options = arguments.plan.add_to(arguments.load.options());
    options.context = Some(context(arguments.plan.context, &source, &options, longest)?);
    if arguments.ablate {
        return ablation(&arguments, &source, options);
    }
    let threads: Vec<Option<usize>> = match arguments.threads.as_slice() {
        [] => vec![None],
        threads => threads.iter().copied().map(Some).collect(),
    };
    let (mut rows, mut told) = (Vec::new(), Vec::new());
    for threads in threads {
        let mut options = options.clone().threads(threads);
        options.progress = progress();
        let model = open_again(source.clone(), &options, &mut told)?;
        let mut session = model.session()?;
        if batch > 1 && longest > session.context() {
            return error(format!(
                "a prompt of {longest} tokens is read whole, but the context has {} positions",
                session.context()
            ));
        }
        let count = session.context().max(longest.saturating_mul(batch));
        let tokens = pseudo_random_tokens(count, model.vocabulary());
        let unmeasured = Row {
            model: name.shown(),
            model_size: model.compiled().weight_bytes,
            model_n_params: parameters(&model),
            isa: model.isa().name().to_string(),
            n_threads: model.threads(),
            n_chunk: model.compiled().plan.options().chunk,
            n_context: model.context(),
            passes_off: arguments.load.graph.without.clone(),
            activations: arguments.load.graph.activations().to_string(),
            weights: arguments.load.graph.weights(),
            n_batch_prompts: batch,
            ..Row::default()
        };
        if rows.is_empty() {
            match arguments.output {
                Format::Md => print(&markdown_head(&unmeasured))?,
                Format::Csv => print(&csv_head())?,
                Format::Json => {}
            }
        }
        for &test in &tests {
            let (n_prompt, n_gen) = match test {
                Test::Generation(tokens) => (0, tokens),
                _ => (test.tokens(), 0),
            };
            test.warm_up(&mut session, &tokens)?;
            let mut samples_ns = Vec::new();
            for _ in 0..arguments.repetitions {
                let begun = Instant::now();
                test.run(&mut session, &tokens)?;
                samples_ns.push(begun.elapsed().as_nanos().max(1));
            }
            let row = Row {
                n_prompt,
                n_gen,
                ..unmeasured.clone()
            };
            let row = Row::new(row, samples_ns);
            match arguments.output {
                Format::Md => print(&markdown_line(&row))?,
                Format::Csv => print(&csv_line(&row))?,
                Format::Json => {}
            }
            rows.push(row);
        }
    }
    if arguments.output == Format::Json {
        print_json(&rows)?;
    }
    Ok(())
}

/// The default number of tokens of the generation test.
const GENERATED: usize = 128;
/// Number of tokens before the first token that an ablation counts.
const ABLATION_PROMPT: usize = 32;

/// Measure many sequences side by side.
fn parallel(arguments: &Arguments, source: &Source) -> Result<(), Failure> {
    let mut tests = Vec::new();
    for &pp in arguments.n_prompt.iter().filter(|&&pp| pp > 0) {
        for &tg in &arguments.n_gen {
            let pl = arguments.parallel.iter().map(|&pl| pl as usize);
            tests.extend(pl.map(|pl| bench_parallel::Test { pp, tg, pl }));
        }
    }
    let longest = tests.iter().map(|test| test.pp + test.tg).max();
    let most = tests.iter().map(|test| test.pl).max();
    let (Some(longest), Some(most)) = (longest, most) else {
        return error("nothing to measure: with --parallel, -p must not be 0");
    };
    let options = arguments.plan.add_to(arguments.load.options());
    let options = options.context(arguments.plan.context.unwrap_or(longest));
    let threads: Vec<Option<usize>> = match arguments.threads.as_slice() {
        [] => vec![None],
        threads => threads.iter().copied().map(Some).collect(),
    };
    match arguments.output {
        Format::Md => print(bench_parallel::MARKDOWN_HEAD)?,
        Format::Csv | Format::Json => {}
    }
    let (mut rows, mut told) = (Vec::new(), Vec::new());
    for threads in threads {
        let mut options = options.clone().threads(threads).sequences(most);
        options.progress = progress();
        let model = open_again(source.clone(), &options, &mut told)?;
        let tokens = pseudo_random_tokens(longest + most, model.vocabulary());
        let repetitions = arguments.repetitions as usize;
        bench_parallel::measure(&model, &tests, repetitions, &tokens, |row| {
            match arguments.output {
                Format::Md => print(&row.markdown())?,
                Format::Csv => {
                    let (head, line) = row.csv()?;
                    if rows.is_empty() {
                        print(&head)?;
                    }
                    print(&line)?;
                }
                Format::Json => {}
            }
            rows.push(row.clone());
            Ok(())
        })?;
    }
    match arguments.output {
        Format::Json => print_json(&rows),
        Format::Md | Format::Csv => Ok(()),
    }
}

fn ablation(arguments: &Arguments, source: &Source, options: Options) -> Result<(), Failure> {
    let options = options.threads(arguments.threads.first().copied());
    let (_, compiled) = compile_model(source, &options)?;
    let context = compiled.plan.options().context;
    let generated = arguments.n_gen.iter().copied().max().unwrap_or(0);
    if generated == 0 || context < 2 {
        return error(
            "an ablation generates tokens: -n must be at least 1, and the context at least 2",
        );
    }
    let prompt = ABLATION_PROMPT.min(context / 2);
    let load = Load {
        prompt,
        generated: generated.min(context - prompt),
        rounds: arguments.repetitions as usize,
    };
    let tokens = pseudo_random_tokens(context, compiled.vocabulary);
    let format = match arguments.output {
        Format::Md => "md",
        Format::Json => "json",
        Format::Csv => "csv",
    };
    ablate(source, &options, &load, &tokens, format)
}

/// The positions with which to open the model: the caller's number; otherwise as many as the longest test needs, or the
/// model's number if that is less.
fn context(
    asked: Option<usize>,
    source: &Source,
    options: &Options,
    longest: usize,
) -> Result<usize, Failure> {
    let context = match asked {
        Some(context) => context,
        None => {
            let files = ModelFiles::open_headers(source, options)?;
            let usual = compile(&files, options)?.plan.options().context;
            let enough = options.clone().context(Some(longest.max(usual)));
            match compile(&files, &enough) {
                Ok(compiled) => compiled.plan.options().context,
                Err(ModelError::Option { .. }) => usual,
                Err(error) => return Err(error.into()),
            }
        }
    };
    if longest > context {
        remark(&format!(
            "the context has {context} positions; tests of more tokens clear it whenever it is full"
        ));
    }
    Ok(context)
}

/// Elements of all tensors that the model reads.
fn parameters(model: &Model) -> usize {
    let graph = &model.compiled().graph;
    let weights = graph
        .ids()
        .filter(|&id| matches!(graph.node(id).kind, Kind::Weight(_)));
    weights
        .map(|id| graph.ty(id.into()).elements(StepSize::ONE))
        .sum()
}

/// A fixed sequence of ids below `vocabulary` that looks random: the upper bits of the state of Knuth's 64-bit linear
/// congruential generator.
fn pseudo_random_tokens(count: usize, vocabulary: usize) -> Vec<u32> {
    let ids = u32::try_from(vocabulary).unwrap_or(u32::MAX).max(1);
    let mut state = 0u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32 % ids
    };
    (0..count).map(|_| next()).collect()
}
