//! `-hf NAME`: fetching models of the Hugging Face Hub.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};
use smallmind::hub::{HubName, HubOptions, OnTransfer, Transfer, fetch};

use super::failure::{Failure, note};

/// Options whose value is a text, and the text may itself look like an option.
const TEXTS: [&str; 4] = ["-p", "--prompt", "--stop", "--system"];

/// The arguments with `--hf` in place of `-hf`, which would otherwise be `-h -f`. Arguments after `--` and texts are not
/// options.
pub fn spelled_out(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let mut is_text = false;
    for argument in &mut arguments {
        if argument == "--" && !is_text {
            break;
        }
        let spelled = argument.to_str().filter(|_| !is_text).and_then(|text| {
            let rest = text.strip_prefix("-hf")?;
            (rest.is_empty() || rest.starts_with('=')).then(|| format!("--hf{rest}"))
        });
        is_text = !is_text && TEXTS.iter().any(|option| argument == option);
        if let Some(spelled) = spelled {
            *argument = spelled.into();
        }
    }
    arguments
}

/// Fetches a model of the Hub; returns its path.
pub fn fetched(name: &str) -> Result<PathBuf, Failure> {
    let name: HubName = name.parse()?;
    let mut options = HubOptions::from_env()?;
    options.progress = progress();
    Ok(fetch(&name, &options.notice(note))?)
}

/// A function that draws the progress of downloads; `None` if stderr is not a terminal.
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

    fn spelled(line: &str) -> String {
        let arguments = line.split(' ').map(OsString::from).collect();
        spelled_out(arguments)
            .join(" ".as_ref())
            .into_string()
            .unwrap()
    }

    #[test]
    fn hf_is_one_option_with_one_dash_or_two() {
        assert_eq!(spelled("s run -hf a/b x"), "s run --hf a/b x");
        assert_eq!(spelled("s run x -hf=a/b"), "s run x --hf=a/b");
        assert_eq!(spelled("s run --hf a/b -hfx"), "s run --hf a/b -hfx");
    }

    #[test]
    fn a_text_is_not_an_option() {
        for line in [
            "s run demo -- -hf a/b",
            "s run demo -p -hf",
            "s run demo --prompt -hf=a",
        ] {
            assert_eq!(spelled(line), line);
        }
    }
}
