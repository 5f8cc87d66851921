//! Conversations as files: JSON with the messages, in the form that chat programs and training sets use.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Message;
use crate::files::output::write_bytes;

/// The largest file that is read, in bytes.
const LARGEST_FILE: u64 = 64 << 20;

/// Why a conversation can't be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct TranscriptError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: String,
}

/// `{"messages": [...]}`, or only the list.
#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    Record { messages: Vec<Message> },
    List(Vec<Message>),
}

#[derive(Serialize)]
struct Record<'a> {
    messages: &'a [Message],
}

/// The messages in a file: `{"messages": [{"role": "user", "content": "…"}, …]}`, or only the list.
///
/// # Errors
/// If the file can't be read, or does not contain such a list.
pub fn read(path: &Path) -> Result<Vec<Message>, TranscriptError> {
    let fail = |problem: String| TranscriptError {
        path: path.to_path_buf(),
        problem,
    };
    let size = std::fs::metadata(path)
        .map_err(|error| fail(format!("can't be read: {error}")))?
        .len();
    if size > LARGEST_FILE {
        return Err(fail(format!(
            "a conversation with {size} bytes is too large"
        )));
    }
    let text =
        std::fs::read_to_string(path).map_err(|error| fail(format!("can't be read: {error}")))?;
    // The text is first parsed as JSON: an untagged enum can't report the line of a mistake.
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| fail(e.to_string()))?;
    match serde_json::from_value(json) {
        Ok(File::Record { messages } | File::List(messages)) => Ok(messages),
        Err(_) => Err(fail(
            "not a conversation: expected {\"messages\": […]} with a text \"role\" and a text \"content\" in each message"
                .to_string(),
        )),
    }
}

/// Write messages to a file, as [`read`] reads them.
///
/// # Errors
/// If the file can't be written.
pub fn write(path: &Path, messages: &[Message]) -> Result<(), TranscriptError> {
    let fail = |problem: String| TranscriptError {
        path: path.to_path_buf(),
        problem,
    };
    let text = serde_json::to_string_pretty(&Record { messages })
        .map_err(|error| fail(error.to_string()))?;
    write_bytes(path, (text + "\n").as_bytes())
        .map_err(|error| fail(format!("can't be written: {}", error.source)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.json");
        let messages = [
            Message::new("system", "Be brief.\n"),
            Message::new("user", "\"é\" \\ <b>"),
        ];
        write(&path, &messages).unwrap();
        assert_eq!(read(&path).unwrap(), messages);
    }

    #[test]
    fn a_list_alone_is_read_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.json");
        std::fs::write(&path, r#"[{"role": "user", "content": "a", "name": "b"}]"#).unwrap();
        assert_eq!(read(&path).unwrap(), [Message::new("user", "a")]);
    }

    #[test]
    fn a_file_that_is_not_a_conversation_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.json");
        for text in [
            "",
            "{}",
            "3",
            r#"[{"role": "user"}]"#,
            r#"{"messages": [{"role": 1, "content": ""}]}"#,
        ] {
            std::fs::write(&path, text).unwrap();
            let message = read(&path).unwrap_err().to_string();
            assert!(message.contains("chat.json: "), "{message}");
        }
        let message = read(&folder.path().join("none")).unwrap_err().to_string();
        assert!(message.contains("can't be read"), "{message}");
    }
}
