//! Chat: conversations with models that were trained for them.
//!
//! What belongs here: chat templates (where they are found, how they are rendered), conversations that keep what a
//! session has read, and their files. What does not: text without turns (`generate/`), and terminals (`cli/`).

pub mod conversation;
mod dates;
mod environment;
pub mod files;
pub mod template;
pub mod transcript;

use serde::{Deserialize, Serialize};

pub use conversation::{ChatError, Conversation, Turn};
pub use files::TemplateFiles;
pub use template::{ChatTemplate, TemplateError};

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it: `system`, `user` or `assistant`, or whatever else the template knows.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A message.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Message {
        Message {
            role: role.into(),
            content: content.into(),
        }
    }
}
