//! The lines of `chat` that begin with a slash.

use std::path::Path;

use smallmind::chat::{Conversation, Turn, transcript};

use super::failure::note;

/// What `/help` says.
pub const HELP: &str = "\
/help          this text
/system TEXT   put TEXT before the conversation; without TEXT, nothing
/undo          forget the last question and its answer
/reset         forget everything but the system text
/save FILE     write the messages to FILE, as JSON
/load FILE     go on from the messages in FILE
/stats         what the last answer took
/quit          end; so does Ctrl-D
A line that ends with \\ goes on in the next; \"\"\" begins and ends a text of several lines.
Ctrl-C stops an answer.";

/// What comes after a command.
#[derive(Debug, PartialEq, Eq)]
pub enum After {
    /// The next input.
    Next,
    /// The end.
    Quit,
}

/// What `input` commands and with what argument; `None` if it is a text for the model.
pub fn command(input: &str) -> Option<(&str, &str)> {
    let line = input.trim();
    if !line.starts_with('/') || line.contains('\n') {
        return None;
    }
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    Some((name, argument.trim()))
}

/// Run a command. What it says goes to stderr.
pub fn run(
    conversation: &mut Conversation,
    last: Option<&Turn>,
    (name, argument): (&str, &str),
) -> After {
    match (name, argument) {
        ("/quit" | "/exit", "") => return After::Quit,
        ("/help", "") => note(HELP),
        ("/reset", "") => conversation.reset(),
        ("/undo", "") => match conversation.undo() {
            Some(said) => note(&format!("forgotten: {said}")),
            None => note("there is nothing to forget"),
        },
        ("/system", "") => conversation.set_system(None),
        ("/system", text) => conversation.set_system(Some(text)),
        ("/stats", "") => match last {
            Some(turn) => stats(conversation, turn),
            None => note("no answer yet"),
        },
        ("/save" | "/load", "") => note(&format!("{name} takes the name of a file")),
        ("/save", file) => {
            let messages = conversation.messages();
            match transcript::write(Path::new(file), messages) {
                Ok(()) => note(&format!("{} messages written to {file}", messages.len())),
                Err(error) => note(&format!("error: {error}")),
            }
        }
        ("/load", file) => match transcript::read(Path::new(file)) {
            Ok(messages) => {
                note(&format!("{} messages read from {file}", messages.len()));
                conversation.set_messages(messages);
            }
            Err(error) => note(&format!("error: {error}")),
        },
        ("/quit" | "/exit" | "/help" | "/reset" | "/undo" | "/stats", _) => {
            note(&format!("{name} takes nothing behind it"));
        }
        _ => note(&format!("there is no command {name}; /help lists them")),
    }
    After::Next
}

/// What an answer took, on stderr.
pub fn stats(conversation: &Conversation, turn: &Turn) {
    let rate = |rate: Option<f64>| {
        rate.map_or("no rate".to_string(), |rate| format!("{rate:.1} tokens/s"))
    };
    note(&format!("reused      {} tokens", turn.reused_tokens));
    note(&format!(
        "prompt      {} tokens, {:.3} s, {}",
        turn.read_tokens,
        turn.prompt_time.as_secs_f64(),
        rate(turn.prompt_rate())
    ));
    note(&format!(
        "generation  {} tokens, {:.3} s, {}",
        turn.generated_tokens,
        turn.generation_time.as_secs_f64(),
        rate(turn.generation_rate())
    ));
    note(&format!("finish      {:?}", turn.finish));
    note(&format!(
        "context     {} of {} positions",
        conversation.position(),
        conversation.context()
    ));
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
