//! The command line: arguments in, the library's answers out.
//!
//! What belongs here: one file a subcommand, the arguments that several share, and what concerns terminals and pipes
//! (progress, Ctrl-C, a closed stdout, exit codes). What does not: anything a program that embeds the library would
//! need too. Only results go to stdout; notes, rates, progress and errors go to stderr.

mod ablate;
mod arguments;
mod bench;
mod bench_table;
mod chat;
mod chat_commands;
mod chat_input;
mod check;
mod compare;
mod completions;
mod diagnose;
mod doubled;
mod dump;
mod embed;
mod expected;
mod explain;
mod failure;
mod hub;
mod info;
mod input;
mod interrupt;
mod opened;
mod plan;
mod progress;
mod quantize;
mod run;
mod sampling;
mod score;
mod tokenize;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::failure::Failure;

/// Run transformers on CPUs, and look at what the compiler makes of them.
#[derive(Parser)]
#[command(
    name = "smallmind",
    version,
    override_usage = "smallmind [COMMAND]",
    after_help = "MODEL is a folder with config.json and safetensors files, a GGUF file, or `demo`, the embedded model.\n\
    Without a command, the demo runs.\n\
    -hf ORG/NAME, in MODEL's place, fetches a model from the Hugging Face Hub; behind NAME may stand :FILE.gguf or a type,\n\
    as in :Q8_0. HF_HOME, HF_TOKEN and HF_ENDPOINT count.\n\
    The environment variable SMALLMIND_ISA (scalar, avx2, avx512) chooses the kernels; the output is the same."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Makes [`Command`] of rows, each with what its help says, its name and arguments, and what runs it.
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
    /// Print what each pass and rule did, and what it nearly did
    Explain(explain::Arguments) => explain::explain,
    /// Measure tokens per second
    Bench(bench::Arguments) => bench::bench,
    /// Write a GGUF file whose matrices have another type
    Quantize(quantize::Arguments) => quantize::quantize,
    /// Say how probable a text is, and what is expected after it
    Score(score::Arguments) => score::score,
    /// Print the token ids of a text, or the text of token ids
    Tokenize(tokenize::Arguments) => tokenize::tokenize,
    /// Print a script that completes arguments in a shell
    Completions(completions::Arguments) => completions::completions,
}

/// The program: parses the arguments, runs the subcommand and gives the exit code: 0, also when stdout is closed early;
/// 1 after an error; 2 after a mistake in the arguments; 130 after Ctrl-C.
pub fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.len() < 2 {
        arguments.resize(1, "smallmind".into());
        arguments.push("run".into());
    }
    let result = hub::parse(arguments).and_then(|cli| cli.command.run());
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
