//! `smallmind run`: a prompt's continuation, as it comes.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::HumanBytes;
use smallmind::files::output::write_file;
use smallmind::generate::stop::StopStrings;
use smallmind::model::{Source, Text};
use smallmind::{Finish, GenerateError, GenerateOptions, Generation, Model, Session};

use super::arguments::{GraphArguments, PlanArguments, ThreadArguments, source};
use super::chat::{self, TemplateArguments};
use super::doubled::warn_of_doubled_start;
use super::failure::{Failure, error, note, print};
use super::interrupt;
use super::opened::open_model;
use super::progress::progress;
use super::sampling::Sampling;

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
    /// Put the prompt into the model's chat template, as a user's message, and generate the answer
    #[arg(long)]
    chat: bool,
    #[command(flatten)]
    template: TemplateArguments,
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
    /// Go on behind the session in FILE; the prompt, if there is one, continues it
    #[arg(long, value_name = "FILE")]
    load_session: Option<PathBuf>,
    /// Write the session to FILE in the end: its tokens, and the keys and values that the model keeps of them
    #[arg(long, value_name = "FILE")]
    save_session: Option<PathBuf>,
    /// Say on stderr how long everything took, and on what it ran
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    sampling: Sampling,
}

/// Run the subcommand.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let sampler = arguments.sampling.options()?;
    StopStrings::new(arguments.stop.clone())?;
    if !arguments.chat && arguments.template.any() {
        return error("--system and --template need --chat");
    }
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
    let prompt = match arguments.prompt {
        None if arguments.load_session.is_some() => String::new(),
        prompt => prompt_text(prompt, &source)?,
    };

    let options = arguments.plan.add_to(arguments.graph.options());
    let mut open = arguments.threads.add_to(options);
    open.text = Text::Needed;
    open.progress = progress();
    let options = GenerateOptions::new()
        .max_tokens(arguments.max_tokens)
        .sampler(sampler)
        .stop(arguments.stop);
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
    check_prompt(&model, &session, &prompt)?;

    let cancel = interrupt::catch()?;
    let terminal = io::stdout().is_terminal() && arguments.max_tokens > 0;
    if terminal {
        print(&prompt)?;
    }
    let mut written = Ok(());
    let generation = model.generate(&mut session, &prompt, &options.cancel(&cancel), |text| {
        written = print(text);
        written.is_ok()
    })?;
    written?;
    if terminal {
        print("\n")?;
    }
    if let Some(file) = &arguments.save_session {
        read_rest(&mut session, &generation)?;
        save_session(&session, file)?;
    }
    if arguments.verbose {
        describe(&model, load_time, &generation);
    }
    if cancel.is_cancelled() {
        return Err(Failure::Interrupted);
    }
    Ok(())
}

/// The prompt's text.
fn prompt_text(argument: Option<String>, source: &Source) -> Result<String, Failure> {
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
    let (taken, context) = (session.position(), session.context());
    let tokens = match taken {
        0 => model.encode(prompt)?,
        _ => model.encode_more(prompt)?,
    };
    warn_of_doubled_start(model.tokenizer(), &tokens);
    let tokens = tokens.len();
    if tokens > context - taken {
        let behind = match taken {
            0 => String::new(),
            _ => format!(", of which the session takes {taken}"),
        };
        return error(format!(
            "the prompt has {tokens} tokens, but the context has {context} positions{behind} (--context)"
        ));
    }
    Ok(())
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

/// Read the last token of a text that was cut off: what was shown is then all in the session. One for which the context
/// has no room stays away.
fn read_rest(session: &mut Session, generation: &Generation) -> Result<(), Failure> {
    let cut_off = matches!(generation.finish, Finish::Length | Finish::Cancelled);
    if let Some(&token) = generation.tokens.last().filter(|_| cut_off)
        && session.position() < session.context()
    {
        session.step(token)?;
    }
    Ok(())
}

/// Write a session to a file, which is replaced only by a whole one.
fn save_session(session: &Session, file: &Path) -> Result<(), Failure> {
    write_file(file, |output| {
        let saved = session.save(output);
        saved.map_err(|problem| {
            let file = file.display();
            Failure::Error(format!("can't save the session to {file}: {problem}"))
        })
    })
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
