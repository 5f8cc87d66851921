//! `smallmind chat`: a conversation, on a terminal or line by line from a pipe.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use smallmind::chat::{ChatError, Conversation, Turn, WhenFull};
use smallmind::generate::stop::StopStrings;
use smallmind::model::Text;
use smallmind::text::known_templates::{KNOWN_TEMPLATES, KnownTemplate};
use smallmind::{Cancel, Finish, GenerateOptions, Model};

use super::arguments::{LoadArguments, PlanArguments, ThreadArguments};
use super::chat_commands::{self, After};
use super::chat_input::{Input, Lines};
use super::chat_settings::Talk;
use super::ending;
use super::failure::{Failure, aside, complain, print, remark};
use super::interrupt;
use super::model_argument::ModelArguments;
use super::opened::open_model;
use super::progress::progress;
use super::sampling::{Most, Sampling, Seed, markers};

/// Arguments of `chat`.
#[derive(Args)]
#[command(
    after_help = "On a terminal, /help lists the commands. Without a terminal, each line of stdin is a message, whatever it \
    begins with, and the first error ends the conversation."
)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    template: TemplateArguments,
    /// The most tokens of an answer; with -1 it goes on until the model ends it or the context is full
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        default_value = "-1",
        allow_negative_numbers = true
    )]
    max_tokens: Most,
    /// When the context is full, forget the oldest turns except the first N; the system text always stays [default: nothing
    /// is forgotten, and a conversation that does not fit is an error]
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
    #[command(flatten)]
    threads: ThreadArguments,
    #[command(flatten)]
    plan: PlanArguments,
    /// Stop before this string, which is not printed; may be given several times
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    stop: Vec<String>,
    /// Read special tokens that are spelled out in messages as text, so that they neither end a turn nor begin another
    #[arg(long)]
    no_special: bool,
    #[command(flatten)]
    load: LoadArguments,
    /// Print statistics on stderr after each answer
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    sampling: Sampling,
}

/// The arguments that decide how a conversation becomes a prompt.
#[derive(Args)]
pub struct TemplateArguments {
    /// A text for the model that comes before the conversation
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    system: Option<String>,
    #[arg(long, value_name = "FILE|NAME", help = TEMPLATE_HELP, long_help = template_help())]
    template: Option<PathBuf>,
}

/// The short help of `--template`.
const TEMPLATE_HELP: &str = "A file with a chat template (Jinja), or the name of a known template, instead of the model's own";

/// The long help of `--template`: the known templates, as a table.
fn template_help() -> String {
    let row = |known: &KnownTemplate| format!("  {:<11} {}", known.name, known.models);
    let rows: Vec<String> = KNOWN_TEMPLATES.iter().map(row).collect();
    format!("{TEMPLATE_HELP}:\n{}", rows.join("\n"))
}

impl TemplateArguments {
    /// Whether any of these arguments is given.
    pub fn any(&self) -> bool {
        self.system.is_some() || self.template.is_some()
    }

    /// A conversation in which nothing has been said yet.
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
        .max_tokens(arguments.max_tokens.0)
        .sampler(arguments.sampling.without_seed()?)
        .stop(arguments.stop)
        .markers(markers(arguments.no_special));
    StopStrings::new(options.stop.clone())?;
    let open = arguments.plan.add_to(arguments.load.options());
    let mut open = arguments.threads.add_to(open);
    open.text = Text::Needed;
    open.progress = progress();
    let name = arguments.model.only()?;
    let model = open_model(name.source()?, &open)?;
    let mut conversation = arguments.template.conversation(&model)?;
    if let Some(keep) = arguments.keep {
        conversation.set_when_full(WhenFull::Forget { keep });
    }
    let cancel = interrupt::catch()?;
    let mut lines = Lines::new()?;
    if lines.is_terminal() {
        aside(&format!(
            "{}. /help lists commands, /quit ends.",
            name.shown()
        ));
    }
    let mut talk = Talk {
        conversation,
        options: options.cancel(&cancel),
        seed: arguments.sampling.seed().unwrap_or(Seed::New),
        last: None,
    };
    let result = talk_to_the_end(&mut talk, &mut lines, &cancel, arguments.verbose);
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
    let seed = options.sampler.seed;
    let mut written = Ok(());
    let turn = conversation.say(question, &options.clone().cancel(&cancel), |piece| {
        written = print(piece);
        written.is_ok()
    })?;
    written?;
    if io::stdout().is_terminal() {
        print("\n")?;
    }
    ending::tell(turn.finish, turn.generated_tokens, conversation.context());
    let talk = Talk {
        conversation,
        options,
        seed: Seed::Fixed(seed),
        last: Some((turn, seed)),
    };
    tell_stats(&talk, verbose);
    if cancel.is_cancelled() {
        return Err(Failure::Interrupted);
    }
    Ok(())
}

/// Prints the statistics of the last answer on stderr, if they are wanted.
fn tell_stats(talk: &Talk, wanted: bool) {
    if let Some(stats) = chat_commands::stats(talk).filter(|_| wanted) {
        aside(&stats);
    }
}

/// Advice for when the context is full.
const ROOM: &str = "/undo and /reset make room, --keep N makes room automatically, and --context sets the number of positions";

/// Answer inputs until there are no more inputs.
fn talk_to_the_end(
    talk: &mut Talk,
    lines: &mut Lines,
    cancel: &Cancel,
    verbose: bool,
) -> Result<(), Failure> {
    loop {
        // Text from a file or another program is never a command, and neither is a quoted text.
        let (text, may_command) = match lines.next()? {
            Input::Text(text) | Input::Quoted(text) if text.trim().is_empty() => continue,
            Input::Text(text) => (text, lines.is_terminal()),
            Input::Quoted(text) => (text, false),
            Input::Dropped => {
                aside("Ctrl-D or /quit ends");
                continue;
            }
            Input::End => return Ok(()),
        };
        let command = chat_commands::command(&text).filter(|_| may_command);
        let after = command.map(|command| chat_commands::run(talk, command));
        let question = match after {
            None => Some(text.as_str()),
            Some(After::Retry) => None,
            Some(After::Next) => continue,
            Some(After::Quit) => return Ok(()),
        };
        // On a terminal, Ctrl-C stops only an answer; a Ctrl-C that was pressed before does not count.
        if lines.is_terminal() {
            cancel.reset();
        }
        let turn = match answer(talk, question) {
            Ok(turn) => turn,
            // A person may shorten the conversation or say something else; a script can't.
            Err(Failed::Chat(error)) if lines.is_terminal() => {
                complain(&error.to_string());
                if matches!(error, ChatError::TooLong { .. }) {
                    aside(ROOM);
                }
                continue;
            }
            Err(Failed::Chat(error)) => return Err(error.into()),
            Err(Failed::Stdout(failure)) => return Err(failure),
        };
        print("\n")?;
        if cancel.is_cancelled() && !lines.is_terminal() {
            return Err(Failure::Interrupted);
        }
        if turn.forgotten_messages > 0 {
            remark(&format!(
                "the context was full: the oldest {} messages were forgotten before this answer",
                turn.forgotten_messages
            ));
        }
        ending::tell(
            turn.finish,
            turn.generated_tokens,
            talk.conversation.context(),
        );
        if turn.finish == Finish::ContextFull && lines.is_terminal() {
            aside(ROOM);
        }
        tell_stats(talk, verbose);
    }
}

/// Why there is no answer, or why it ended early.
enum Failed {
    Chat(ChatError),
    Stdout(Failure),
}

/// Print the answer to a question, or another answer to the last question.
fn answer(talk: &mut Talk, question: Option<&str>) -> Result<Turn, Failed> {
    let seed = talk.seed.drawn();
    talk.options.sampler.seed = seed;
    let mut written = Ok(());
    let each = |piece: &str| {
        written = print(piece);
        written.is_ok()
    };
    let turn = match question {
        Some(text) => talk.conversation.say(text, &talk.options, each),
        None => talk.conversation.retry(&talk.options, each),
    };
    written.map_err(Failed::Stdout)?;
    let turn = turn.map_err(Failed::Chat)?;
    talk.last = Some((turn.clone(), seed));
    Ok(turn)
}
