//! `-hf ORG/NAME`: a model of the Hub in MODEL's place, whatever the subcommand.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, PoisonError};

use clap::{CommandFactory, Parser};
use indicatif::{ProgressBar, ProgressStyle};
use smallmind::hub::{HubName, HubOptions, OnTransfer, Transfer, fetch};

use super::Cli;
use super::failure::{Failure, error, note};

/// The option that names the model, in subcommands whose first argument does not.
const MODEL: &str = "model";

/// The command line that `arguments` are; a model of the Hub that they name is fetched, and its path stands for it.
pub fn parse(mut arguments: Vec<OsString>) -> Result<Cli, Failure> {
    let Some(name) = take_name(&mut arguments)? else {
        return Ok(Cli::parse_from(arguments));
    };
    let name: HubName = name.parse()?;
    // Mistakes are told before anything is fetched.
    Cli::parse_from(with_model(&arguments, "MODEL".into()));
    let mut options = HubOptions::from_env()?;
    options.progress = progress();
    let path = fetch(&name, &options.notice(note))?;
    Ok(Cli::parse_from(with_model(&arguments, path.into())))
}

/// Take `-hf NAME` out, which may also be written `--hf NAME` and `--hf=NAME`; `None` where it is not there. What stands
/// behind `--` is no option.
fn take_name(arguments: &mut Vec<OsString>) -> Result<Option<String>, Failure> {
    let end = arguments.iter().position(|argument| argument == "--");
    let options = arguments
        .get(..end.unwrap_or(arguments.len()))
        .unwrap_or_default();
    let is_flag = |argument: &OsString| argument == "-hf" || argument == "--hf";
    let joined = |argument: &OsString| {
        let text = argument.to_str()?;
        text.strip_prefix("--hf=")
            .or_else(|| text.strip_prefix("-hf="))
            .map(str::to_string)
    };
    let found = options
        .iter()
        .position(|argument| is_flag(argument) || joined(argument).is_some());
    let Some(place) = found else {
        return Ok(None);
    };
    let flag = arguments.remove(place);
    if let Some(name) = joined(&flag) {
        return Ok(Some(name));
    }
    if place >= arguments.len() {
        return error("-hf takes the name of a repository: ORGANIZATION/NAME");
    }
    Ok(Some(arguments.remove(place).to_string_lossy().into_owned()))
}

/// The arguments with a model: behind the subcommand, or as its option.
fn with_model(arguments: &[OsString], model: OsString) -> Vec<OsString> {
    let mut arguments = arguments.to_vec();
    let command = arguments.get(1).and_then(|command| command.to_str());
    let cli = Cli::command();
    let command = command.and_then(|command| cli.find_subcommand(command));
    let is_option = command.is_some_and(|command| {
        let mut arguments = command.get_arguments();
        arguments.any(|argument| argument.get_long() == Some(MODEL))
    });
    let place = arguments.len().min(2);
    arguments.insert(place, model);
    if is_option {
        arguments.insert(place, format!("--{MODEL}").into());
    }
    arguments
}

/// What draws the progress of downloads; `None` where stderr is no terminal.
fn progress() -> Option<OnTransfer> {
    if !io::stderr().is_terminal() {
        return None;
    }
    let shown: Mutex<Option<ProgressBar>> = Mutex::new(None);
    Some(Arc::new(move |transfer: &Transfer| {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        let is_other = |bar: &mut ProgressBar| bar.message() != transfer.file;
        if let Some(finished) = shown.take_if(is_other) {
            finished.finish_and_clear();
        }
        let bar = shown.get_or_insert_with(|| bar(transfer));
        bar.set_position(transfer.done);
        if transfer.all > 0 && transfer.done >= transfer.all {
            bar.finish_and_clear();
            *shown = None;
        }
    }))
}

/// A bar of a file's bytes, on stderr.
fn bar(transfer: &Transfer) -> ProgressBar {
    let template = "{msg} {bar:32} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(transfer.all)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(transfer.file.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(line: &str) -> (Option<String>, String) {
        let mut arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let Ok(name) = take_name(&mut arguments) else {
            return (None, "an error".to_string());
        };
        let arguments = with_model(&arguments, "M".into());
        let texts: Vec<String> = arguments
            .iter()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect();
        (name, texts.join(" "))
    }

    #[test]
    fn the_model_stands_where_the_subcommand_wants_it() {
        for line in [
            "s run -hf a/b x -n 3",
            "s run x --hf a/b -n 3",
            "s run x -n 3 --hf=a/b",
        ] {
            assert_eq!(
                taken(line),
                (Some("a/b".to_string()), "s run M x -n 3".to_string())
            );
        }
        assert_eq!(taken("s bench -p 1 -hf a/b").1, "s bench --model M -p 1");
    }

    #[test]
    fn what_stands_behind_two_dashes_is_a_prompt() {
        assert_eq!(taken("s run demo -- -hf a/b").0, None);
        assert_eq!(taken("s run x -hf").1, "an error");
    }
}
