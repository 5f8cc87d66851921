//! `smallmind completions`: prints a script with which a shell completes the arguments of this program.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::failure::{Failure, print};

/// Arguments of `completions`.
#[derive(Args)]
#[command(after_help = "Where the shell finds the script, for example:\n  \
    smallmind completions bash > ~/.local/share/bash-completion/completions/smallmind\n  \
    smallmind completions zsh > ~/.zfunc/_smallmind\n  \
    smallmind completions fish > ~/.config/fish/completions/smallmind.fish")]
pub struct Arguments {
    /// The shell
    shell: Shell,
}

/// Run the subcommand.
pub fn completions(arguments: Arguments) -> Result<(), Failure> {
    let mut command = Cli::command();
    let name = command.get_name().to_string();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    print(&String::from_utf8(script)?)
}
