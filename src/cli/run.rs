//! `smallmind run`: continues a prompt, and prints the text as it comes.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::HumanBytes;
use smallmind::files::output::write_file;
use smallmind::generate::stop::StopStrings;
use smallmind::model::{Source, Text};
use smallmind::{Finish, GenerateError, GenerateOptions, Generation, Model, Session};

use super::arguments::{LoadArguments, PlanArguments, ThreadArguments};
use super::chat::{self, TemplateArguments};
use super::doubled::warn_of_doubled_starts;
use super::ending;
use super::failure::{Failure, error, note, print, usage};
use super::interrupt;
use super::model_argument::{ModelArguments, ModelName};
use super::opened::open_model;
use super::progress::progress;
use super::sampling::{Most, Sampling, markers};
use super::text_argument::TextArguments;

/// The prompt of the demo if no prompt is given.
const DEMO_PROMPT: &str = "KING RICHARD:\n";

/// Arguments of `run`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    text: TextArguments,
    /// Put the prompt into the model's chat template, as a user's message, and generate the answer
    #[arg(long, conflicts_with_all = ["load_session", "save_session"])]
    chat: bool,
    #[command(flatten)]
    template: TemplateArguments,
    /// The most tokens to generate; with -1, generation goes on until the model ends the text or the context is full
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        default_value = "128",
        allow_negative_numbers = true
    )]
    max_tokens: Most,
    #[command(flatten)]
    threads: ThreadArguments,
    #[command(flatten)]
    plan: PlanArguments,
    /// Stop before this string, which is not printed; may be given several times
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    stop: Vec<String>,
    /// Read special tokens that are spelled out in the text as text, so that they neither end a turn nor begin another
    #[arg(long)]
    no_special: bool,
    #[command(flatten)]
    load: LoadArguments,
    /// Continue the session in FILE; the prompt, if there is one, comes after it
    #[arg(long, value_name = "FILE")]
    load_session: Option<PathBuf>,
    /// Write the session to FILE at the end: its tokens, and the keys and values that the model keeps for them
    #[arg(long, value_name = "FILE")]
    save_session: Option<PathBuf>,
    /// Print on stderr how long everything took, and on what it ran
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    sampling: Sampling,
}

/// Run the subcommand.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    if !arguments.chat && arguments.template.any() {
        return usage("--system and --template need --chat");
    }
    let sampler = arguments.sampling.options()?;
    StopStrings::new(arguments.stop.clone())?;
    let (model, first) = arguments.model.split();
    let name = model.unwrap_or_else(ModelName::demo);
    let text = arguments.text.read(first)?;
    let source = name.source()?;
    if let Source::Path(path) = &source
        && text.is_none()
        && !path.exists()
    {
        return error(format!(
            "{}: there is no such file or folder (to continue a text with the demo: smallmind run demo TEXT)",
            path.display()
        ));
    }
    let prompt = match text {
        Some(text) => text,
        None if source == Source::Demo && arguments.load_session.is_none() => {
            DEMO_PROMPT.to_string()
        }
        None => String::new(),
    };

    let options = arguments.plan.add_to(arguments.load.options());
    let mut open = arguments.threads.add_to(options);
    open.text = Text::Needed;
    open.progress = progress();
    let options = GenerateOptions::new()
        .max_tokens(arguments.max_tokens.0)
        .sampler(sampler)
        .stop(arguments.stop)
        .markers(markers(arguments.no_special));
    let begun = Instant::now();
    let model = open_model(source, &open)?;
    if arguments.chat {
        return chat::once(
            &model,
            &arguments.template,
            &prompt,
            options,
            arguments.verbose,
        );
    }
    let mut session = match &arguments.load_session {
        None => model.session()?,
        Some(file) => load_session(&model, file)?,
    };
    let load_time = begun.elapsed();
    let tokens = prompt_tokens(&model, &session, &prompt, &options)?;

    let cancel = interrupt::catch()?;
    let options = options.cancel(&cancel);
    let terminal = io::stdout().is_terminal() && options.max_tokens != Some(0);
    if terminal {
        print(&prompt)?;
    }
    let mut written = Ok(());
    let generation = model.generate_from(&mut session, &tokens, &options, |text| {
        written = print(text);
        written.is_ok()
    })?;
    written?;
    if terminal {
        print("\n")?;
    }
    if let Some(file) = &arguments.save_session {
        read_rest(&mut session, &generation)?;
        save_session(&mut session, file)?;
    }
    ending::tell(
        generation.finish,
        generation.tokens.len(),
        session.context(),
    );
    if arguments.verbose {
        describe(&model, load_time, &generation);
    }
    if cancel.is_cancelled() {
        return Err(Failure::Interrupted);
    }
    Ok(())
}

/// The prompt's tokens. Fails, before anything is shown, if the model can't continue them.
fn prompt_tokens(
    model: &Model,
    session: &Session,
    prompt: &str,
    options: &GenerateOptions,
) -> Result<Vec<u32>, Failure> {
    if model.is_bidirectional() {
        return Err(GenerateError::Bidirectional.into());
    }
    let (width, vocabulary) = (session.logits_width(), model.vocabulary());
    if width < vocabulary {
        return error(format!(
            "this model's output is not logits: it has {width} columns, but there are {vocabulary} tokens to choose from"
        ));
    }
    let tokens = model.prompt_tokens(session, prompt, options)?;
    let (taken, context) = (session.position(), session.context());
    if taken == 0 {
        warn_of_doubled_starts(model.tokenizer(), [tokens.as_slice()]);
    }
    if tokens.len() > context - taken {
        let after = match taken {
            0 => String::new(),
            _ => format!(", of which the session uses {taken}"),
        };
        return error(format!(
            "the prompt has {} tokens, but the context has {context} positions{after} (--context)",
            tokens.len()
        ));
    }
    Ok(tokens)
}

/// The session in a file.
fn load_session(model: &Model, file: &Path) -> Result<Session, Failure> {
    let session = File::open(file).map_err(|error| error.to_string());
    let session = session.and_then(|mut bytes| {
        model
            .load_session(&mut bytes)
            .map_err(|error| error.to_string())
    });
    session.map_err(|problem| Failure::Error(format!("{}: {problem}", file.display())))
}

/// Read the last token of a text that was cut off, so that everything that was shown is in the session. If the context
/// is full, the token is left out.
fn read_rest(session: &mut Session, generation: &Generation) -> Result<(), Failure> {
    let cut_off = matches!(generation.finish, Finish::Length | Finish::Cancelled);
    if let Some(&token) = generation.tokens.last().filter(|_| cut_off)
        && session.position() < session.context()
    {
        session.step(token)?;
    }
    Ok(())
}

/// Write a session to a file. An existing file is replaced only by a complete file.
fn save_session(session: &mut Session, file: &Path) -> Result<(), Failure> {
    write_file(file, |output| {
        let saved = session.save(output);
        saved.map_err(|problem| {
            let file = file.display();
            Failure::Error(format!("can't save the session to {file}: {problem}"))
        })
    })
}

/// Prints what `--verbose` asks for.
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
