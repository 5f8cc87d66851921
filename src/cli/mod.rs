//! The command line: arguments in, the library's answers out.
//!
//! What belongs here: one file a subcommand, the arguments that several share, and what concerns terminals and pipes
//! (progress, Ctrl-C, a closed stdout, exit codes). What does not: anything a program that embeds the library would
//! need too. Only results go to stdout; notes, rates, progress and errors go to stderr.

mod ablate;
mod arguments;
mod bench;
mod bench_table;
mod check;
mod compare;
mod diagnose;
mod dump;
mod embed;
mod expected;
mod explain;
mod failure;
mod info;
mod input;
mod interrupt;
mod plan;
mod progress;
mod quantize;
mod run;
mod score;
mod tokenize;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Run transformers on CPUs, and look at what the compiler makes of them.
#[derive(Parser)]
#[command(
    name = "smallmind",
    version,
    override_usage = "smallmind [COMMAND]",
    after_help = "MODEL is a folder with config.json and safetensors files, a GGUF file, or `demo`, the embedded model.\n\
    Without a command, the demo runs.\n\
    The environment variable SMALLMIND_ISA (scalar, avx2, avx512) chooses the kernels; the output is the same."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print what a model's files say, and whether it would run
    Info(info::Arguments),
    /// Continue a prompt
    Run(run::Arguments),
    /// Turn texts into vectors
    Embed(embed::Arguments),
    /// Compare a model's output with a file of expected tensors
    Check(check::Arguments),
    /// Print the graph after any pass
    Dump(dump::Arguments),
    /// Print every byte that a model and a session take
    Plan(plan::Arguments),
    /// Print what each pass and rule did, and what it nearly did
    Explain(explain::Arguments),
    /// Measure tokens per second
    Bench(bench::Arguments),
    /// Write a GGUF file whose matrices have another type
    Quantize(quantize::Arguments),
    /// Say how probable a text is, and what is expected after it
    Score(score::Arguments),
    /// Print the token ids of a text, or the text of token ids
    Tokenize(tokenize::Arguments),
}

/// The program: parses the arguments, runs the subcommand and gives the exit code: 0, also when stdout is closed early;
/// 1 after an error; 2 after a mistake in the arguments; 130 after Ctrl-C.
pub fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.len() < 2 {
        arguments.resize(1, "smallmind".into());
        arguments.push("run".into());
    }
    let result = match Cli::parse_from(arguments).command {
        Command::Run(arguments) => run::run(arguments),
        Command::Info(arguments) => info::info(arguments),
        Command::Embed(arguments) => embed::embed(arguments),
        Command::Check(arguments) => check::check(arguments),
        Command::Dump(arguments) => dump::dump(arguments),
        Command::Plan(arguments) => plan::plan(arguments),
        Command::Explain(arguments) => explain::explain(arguments),
        Command::Bench(arguments) => bench::bench(arguments),
        Command::Quantize(arguments) => quantize::quantize(arguments),
        Command::Score(arguments) => score::score(arguments),
        Command::Tokenize(arguments) => tokenize::tokenize(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
