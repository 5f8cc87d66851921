//! The commands of `chat`: lines that begin with a slash, on a terminal.

use std::path::Path;

use smallmind::chat::transcript;

use super::chat_settings::{self, Talk};
use super::failure::{aside, complain};
use super::sampling::Seed;

/// What happens after a command.
#[derive(Debug, PartialEq, Eq)]
pub enum After {
    /// The next input.
    Next,
    /// Another answer to the last question.
    Retry,
    /// The end.
    Quit,
}

/// What follows a command's name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Maybe(&'static str),
    Needed(&'static str),
}

/// A command. Its result, or its error, is shown to the user.
struct Command {
    name: &'static str,
    takes: Takes,
    help: &'static str,
    run: fn(&mut Talk, &str) -> Result<After, String>,
}

const COMMANDS: [Command; 11] = [
    Command {
        name: "/help",
        takes: Takes::Nothing,
        help: "this text",
        run: |_, _| said(help()),
    },
    Command {
        name: "/retry",
        takes: Takes::Nothing,
        help: "another answer to the last question",
        run: |talk, _| {
            if let Seed::Fixed(seed) = talk.seed {
                aside(&format!(
                    "the seed is fixed at {seed}; /seed -1 draws a new one each time"
                ));
            }
            Ok(After::Retry)
        },
    },
    Command {
        name: "/undo",
        takes: Takes::Nothing,
        help: "forget the last question and its answer",
        run: |talk, _| match talk.conversation.undo() {
            Some(question) => said(format!("forgotten: {question}")),
            None => said("there is nothing to forget"),
        },
    },
    Command {
        name: "/reset",
        takes: Takes::Nothing,
        help: "forget everything except the system text",
        run: |talk, _| {
            let before = talk.conversation.messages().len();
            talk.conversation.reset();
            let kept = talk.conversation.messages().len();
            let system = if kept > 0 {
                "; the system text stays"
            } else {
                ""
            };
            said(format!("{} messages forgotten{system}", before - kept))
        },
    },
    Command {
        name: "/system",
        takes: Takes::Maybe("TEXT"),
        help: "put TEXT before the conversation; without TEXT, nothing",
        run: |talk, text| {
            talk.conversation
                .set_system(Some(text).filter(|text| !text.is_empty()));
            said(match text {
                "" => "no system text from here on".to_string(),
                text => format!("the system text is now: {text}"),
            })
        },
    },
    Command {
        name: "/set",
        takes: Takes::Maybe("NAME VALUE"),
        help: "change how answers are chosen (temp, top-k, max-tokens, …); without NAME, show it",
        run: |talk, argument| match argument.split_once(char::is_whitespace) {
            None if argument.is_empty() => said(chat_settings::all(talk)),
            None => Err(format!("/set {argument} needs a value")),
            Some((name, value)) => said(chat_settings::set(talk, name, value.trim())?),
        },
    },
    Command {
        name: "/seed",
        takes: Takes::Needed("N"),
        help: "draw every answer from seed N; -1 draws a new seed for each answer",
        run: |talk, value| said(chat_settings::set(talk, "seed", value)?),
    },
    Command {
        name: "/save",
        takes: Takes::Needed("FILE"),
        help: "write the messages to FILE, as JSON",
        run: |talk, file| {
            let messages = talk.conversation.messages();
            transcript::write(Path::new(file), messages).map_err(|error| error.to_string())?;
            said(format!("{} messages written to {file}", messages.len()))
        },
    },
    Command {
        name: "/load",
        takes: Takes::Needed("FILE"),
        help: "continue from the messages in FILE",
        run: |talk, file| {
            let messages = transcript::read(Path::new(file)).map_err(|error| error.to_string())?;
            let count = messages.len();
            talk.conversation.set_messages(messages);
            said(format!("{count} messages read from {file}"))
        },
    },
    Command {
        name: "/stats",
        takes: Takes::Nothing,
        help: "show the statistics of the last answer",
        run: |talk, _| said(stats(talk).unwrap_or("no answer yet".to_string())),
    },
    Command {
        name: "/quit",
        takes: Takes::Nothing,
        help: "end the program; Ctrl-D does too",
        run: |_, _| Ok(After::Quit),
    },
];

/// Shows a text; then the next input is read.
fn said(text: impl AsRef<str>) -> Result<After, String> {
    aside(text.as_ref());
    Ok(After::Next)
}

/// The text of `/help`.
fn help() -> String {
    let line = |command: &Command| {
        let usage = match command.takes {
            Takes::Nothing => command.name.to_string(),
            Takes::Maybe(what) | Takes::Needed(what) => format!("{} {what}", command.name),
        };
        format!("{usage:<16} {}\n", command.help)
    };
    COMMANDS.iter().map(line).collect::<String>()
        + "A line that ends with \\ continues in the next; \"\"\" begins and ends a text of several lines,\n\
        or a text that begins with a slash.\n\
           Ctrl-C stops an answer."
}

/// The command and its argument, if `input` is a command; `None` if it is a text for the model.
pub fn command(input: &str) -> Option<(&str, &str)> {
    let line = input.trim();
    if !line.starts_with('/') || line.contains('\n') {
        return None;
    }
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    Some((name, argument.trim()))
}

/// Run a command. Its output goes to stderr.
pub fn run(talk: &mut Talk, (name, argument): (&str, &str)) -> After {
    let known = COMMANDS.iter().find(|command| command.name == name);
    let after = match known {
        None => Err(format!("there is no command {name}; /help lists them")),
        Some(command) => match (command.takes, argument) {
            (Takes::Needed(what), "") => Err(format!("{name} needs {what}")),
            (Takes::Nothing, argument) if !argument.is_empty() => {
                Err(format!("{name} takes nothing after it"))
            }
            _ => (command.run)(talk, argument),
        },
    };
    after.unwrap_or_else(|problem| {
        complain(&problem);
        After::Next
    })
}

/// The statistics of the last answer, if there is one.
pub fn stats(talk: &Talk) -> Option<String> {
    let (turn, seed) = talk.last.as_ref()?;
    let rate = |rate: Option<f64>| {
        rate.map_or("no rate".to_string(), |rate| format!("{rate:.1} tokens/s"))
    };
    Some(format!(
        "reused      {} tokens\n\
         prompt      {} tokens, {:.3} s, {}\n\
         generation  {} tokens, {:.3} s, {}\n\
         finish      {:?}\n\
         seed        {seed}\n\
         context     {} of {} positions",
        turn.reused_tokens,
        turn.read_tokens,
        turn.prompt_time.as_secs_f64(),
        rate(turn.prompt_rate()),
        turn.generated_tokens,
        turn.generation_time.as_secs_f64(),
        rate(turn.generation_rate()),
        turn.finish,
        talk.conversation.position(),
        talk.conversation.context()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_that_begins_with_a_slash_is_a_command() {
        assert_eq!(
            command(" /save  my file.json "),
            Some(("/save", "my file.json"))
        );
        assert_eq!(command("/help"), Some(("/help", "")));
        assert_eq!(command("either/or"), None);
        assert_eq!(command("/a\n/b"), None);
        assert_eq!(command(""), None);
    }
}
