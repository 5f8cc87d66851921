//! `smallmind man`: prints manual pages, which are made from the help texts.

use clap::{Args, CommandFactory};

use super::Cli;
use super::failure::{Failure, print, usage};

/// Arguments of `man`.
#[derive(Args)]
#[command(after_help = "Where man finds the pages, for example:\n  \
    smallmind man > ~/.local/share/man/man1/smallmind.1\n  \
    smallmind man run > ~/.local/share/man/man1/smallmind-run.1")]
pub struct Arguments {
    /// The command that the page describes [default: all commands]
    command: Option<String>,
}

/// Run the subcommand.
pub fn man(arguments: Arguments) -> Result<(), Failure> {
    let mut cli = Cli::command();
    // This adds what subcommands inherit, and their full names.
    cli.build();
    let command = match &arguments.command {
        None => cli,
        Some(name) => match cli.find_subcommand(name) {
            Some(command) => command.clone(),
            None => return usage(format!("there is no command '{name}'")),
        },
    };
    let mut page = Vec::new();
    let source = concat!("smallmind ", env!("CARGO_PKG_VERSION"));
    clap_mangen::Man::new(command)
        .source(source)
        .render(&mut page)?;
    print(&String::from_utf8(page)?)
}
