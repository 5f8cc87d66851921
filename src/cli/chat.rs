//! `smallmind chat`: a conversation, on a terminal or line by line from a pipe.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use clap::Args;
use smallmind::chat::{ChatError, Conversation, Turn};
use smallmind::generate::stop::StopStrings;
use smallmind::model::Text;
use smallmind::text::known_templates::{KNOWN_TEMPLATES, KnownTemplate};
use smallmind::{Cancel, Finish, GenerateOptions, Model};

use super::arguments::{GraphArguments, PlanArguments, ThreadArguments, source};
use super::chat_commands::{self, After};
use super::chat_input::{Input, Lines};
use super::failure::{Failure, note, print};
use super::interrupt;
use super::opened::open_model;
use super::progress::progress;
use super::sampling::Sampling;

/// Arguments of `chat`.
#[derive(Args)]
pub struct Arguments {
    /// A model's folder or GGUF file
    model: PathBuf,
    #[command(flatten)]
    template: TemplateArguments,
    /// The most tokens of an answer [default: until it ends]
    #[arg(short = 'n', long, value_name = "N")]
    max_tokens: Option<usize>,
    #[command(flatten)]
    threads: ThreadArguments,
    #[command(flatten)]
    plan: PlanArguments,
    /// A string that ends an answer, of which it is no part; may be given several times
    #[arg(long, value_name = "STRING")]
    stop: Vec<String>,
    #[command(flatten)]
    graph: GraphArguments,
    /// Say on stderr after each answer what it took
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    sampling: Sampling,
}

/// How a conversation becomes a prompt.
#[derive(Args)]
pub struct TemplateArguments {
    /// A text for the model that comes before the conversation
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    #[arg(long, value_name = "FILE|NAME", help = TEMPLATE_HELP, long_help = template_help())]
    template: Option<PathBuf>,
}

/// The short help of `--template`.
const TEMPLATE_HELP: &str =
    "A file with a chat template (Jinja), or the name of a known one, instead of the model's own";

/// The long help of `--template`: the known ones, as a table.
fn template_help() -> String {
    let row = |known: &KnownTemplate| format!("  {:<11} {}", known.name, known.models);
    let rows: Vec<String> = KNOWN_TEMPLATES.iter().map(row).collect();
    format!("{TEMPLATE_HELP}:\n{}", rows.join("\n"))
}

impl TemplateArguments {
    /// Whether one is given.
    pub fn any(&self) -> bool {
        self.system.is_some() || self.template.is_some()
    }

    /// A conversation that has said nothing yet.
    pub fn conversation(&self, model: &Model) -> Result<Conversation, ChatError> {
        let template = match self.template.as_deref() {
            Some(file) => model.chat_template_from(file)?,
            None => model.chat_template()?,
        };
        let mut conversation = Conversation::new(model, template)?;
        conversation.set_system(self.system.as_deref());
        Ok(conversation)
    }
}

/// Run the subcommand.
pub fn chat(arguments: Arguments) -> Result<(), Failure> {
    let options = GenerateOptions::new()
        .max_tokens(arguments.max_tokens)
        .sampler(arguments.sampling.options()?)
        .stop(arguments.stop);
    StopStrings::new(options.stop.clone())?;
    let open = arguments.plan.add_to(arguments.graph.options());
    let mut open = arguments.threads.add_to(open);
    open.text = Text::Needed;
    open.progress = progress();
    let model = open_model(source(&arguments.model), &open)?;
    let mut conversation = arguments.template.conversation(&model)?;
    let cancel = interrupt::catch()?;
    let mut lines = Lines::new()?;
    if lines.is_terminal() {
        greet(&arguments.model);
    }
    let result = talk(
        &mut conversation,
        &options.cancel(&cancel),
        &mut lines,
        &cancel,
        arguments.verbose,
    );
    lines.remember();
    result
}

/// One question and its answer, for `run --chat`.
pub fn once(
    model: &Model,
    template: &TemplateArguments,
    question: &str,
    options: GenerateOptions,
    verbose: bool,
) -> Result<(), Failure> {
    let mut conversation = template.conversation(model)?;
    let cancel = interrupt::catch()?;
    let mut written = Ok(());
    let turn = conversation.say(question, &options.cancel(&cancel), |piece| {
        written = print(piece);
        written.is_ok()
    })?;
    written?;
    if io::stdout().is_terminal() {
        print("\n")?;
    }
    if verbose {
        chat_commands::stats(&conversation, &turn);
    }
    if cancel.is_cancelled() {
        return Err(Failure::Interrupted);
    }
    Ok(())
}

fn greet(model: &Path) {
    note(&format!(
        "{}. /help lists commands, /quit ends.",
        model.display()
    ));
}

/// Answer inputs until there are no more.
fn talk(
    conversation: &mut Conversation,
    options: &GenerateOptions,
    lines: &mut Lines,
    cancel: &Cancel,
    verbose: bool,
) -> Result<(), Failure> {
    let mut last: Option<Turn> = None;
    loop {
        let text = match lines.next()? {
            Input::Text(text) if text.trim().is_empty() => continue,
            Input::Text(text) => text,
            Input::Dropped => {
                note("Ctrl-D or /quit ends");
                continue;
            }
            Input::End => return Ok(()),
        };
        if let Some(command) = chat_commands::command(&text) {
            match chat_commands::run(conversation, last.as_ref(), command) {
                After::Next => continue,
                After::Quit => return Ok(()),
            }
        }
        // On a terminal Ctrl-C stops an answer alone; what was pressed before does not count.
        if lines.is_terminal() {
            cancel.reset();
        }
        let mut written = Ok(());
        let turn = conversation.say(&text, options, |piece| {
            written = print(piece);
            written.is_ok()
        });
        written?;
        let turn = match turn {
            Ok(turn) => turn,
            // A person may shorten the conversation or say something else; a script can't.
            Err(error) if lines.is_terminal() => {
                note(&format!("error: {error}"));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        print("\n")?;
        if cancel.is_cancelled() && !lines.is_terminal() {
            return Err(Failure::Interrupted);
        }
        if turn.finish == Finish::ContextFull {
            note("the context is full: /reset, /undo, or a larger one (--context)");
        }
        if verbose {
            chat_commands::stats(conversation, &turn);
        }
        last = Some(turn);
    }
}
