//! The command line: it turns arguments into calls of the library, and prints the results.
//!
//! What belongs here: one file for each subcommand, the arguments that several share, and everything about terminals
//! and pipes (progress, Ctrl-C, a closed stdout, exit codes). What does not belong here: anything that a program that
//! embeds the library would need too. Only results go to stdout; notes, rates, progress and errors go to stderr.

mod ablate;
mod arguments;
mod bench;
mod bench_parallel;
mod bench_table;
mod chat;
mod chat_commands;
mod chat_input;
mod chat_settings;
mod check;
mod compare;
mod completions;
mod diagnose;
mod doubled;
mod dump;
mod embed;
mod ending;
mod expected;
mod explain;
mod failure;
mod hub;
mod info;
mod input;
mod interrupt;
mod man;
mod model_argument;
mod opened;
mod plan;
mod progress;
mod quantize;
mod run;
mod sampling;
mod score;
mod style;
mod text_argument;
mod tokenize;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::failure::Failure;

/// Run transformers on CPUs, and see what the compiler turns them into.
#[derive(Parser)]
#[command(
    name = "smallmind",
    version,
    styles = style::STYLES,
    override_usage = "smallmind [COMMAND]",
    after_help = "MODEL is a folder with config.json and safetensors files, a GGUF file, or `demo`, the embedded model.\n\
    Every command takes it as its first argument or with -m. -hf NAME fetches it from the Hugging Face Hub instead:\n\
    NAME is ORG/NAME; :FILE.gguf or a type such as :Q8_0 may follow. HF_HOME, HF_TOKEN and HF_ENDPOINT are respected.\n\
    Without a command, the demo runs.\n\
    The environment variable SMALLMIND_ISA (scalar, avx2, avx512) chooses the kernels; the output is the same.\n\
    Exit codes: 0 when all went well, also when a pipe was closed early; 1 after an error; 2 after a mistake in the\n\
    arguments; 130 after Ctrl-C."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Makes [`Command`] from rows, each with a command's help text, its name and arguments, and the function that runs it.
macro_rules! subcommands {
    ($($(#[$help:meta])* $name:ident($arguments:ty) => $run:path,)*) => {
        #[derive(Subcommand)]
        enum Command {
            $($(#[$help])* $name($arguments),)*
        }

        impl Command {
            fn run(self) -> Result<(), Failure> {
                match self {
                    $(Command::$name(arguments) => $run(arguments),)*
                }
            }
        }
    };
}

subcommands! {
    /// Print what a model's files say, and whether it would run
    Info(info::Arguments) => info::info,
    /// Continue a prompt
    Run(run::Arguments) => run::run,
    /// Turn texts into vectors
    Embed(embed::Arguments) => embed::embed,
    /// Talk with a model
    Chat(chat::Arguments) => chat::chat,
    /// Compare a model's output with a file of expected tensors
    Check(check::Arguments) => check::check,
    /// Print the graph after any pass
    Dump(dump::Arguments) => dump::dump,
    /// Print every byte that a model and a session take
    Plan(plan::Arguments) => plan::plan,
    /// Print what each pass and rule did, and where rules nearly fired
    Explain(explain::Arguments) => explain::explain,
    /// Measure tokens per second
    Bench(bench::Arguments) => bench::bench,
    /// Write a GGUF file whose matrices have another type
    Quantize(quantize::Arguments) => quantize::quantize,
    /// Print how probable a text is, and what is expected after it
    Score(score::Arguments) => score::score,
    /// Print the token ids of a text, or the text of token ids
    Tokenize(tokenize::Arguments) => tokenize::tokenize,
    /// Print a script that completes arguments in a shell
    Completions(completions::Arguments) => completions::completions,
    /// Print a manual page
    Man(man::Arguments) => man::man,
}

/// The program: parses the arguments, runs the subcommand and returns the exit code: 0, also when stdout is closed early;
/// 1 after an error; 2 after a mistake in the arguments; 130 after Ctrl-C.
pub fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.len() < 2 {
        arguments.resize(1, "smallmind".into());
        arguments.push("run".into());
    }
    let cli = Cli::parse_from(hub::spelled_out(arguments));
    let result = cli.command.run();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
