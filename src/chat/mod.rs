//! Chat: conversations with models that were trained for them.
//!
//! What belongs here: how chat templates are rendered, conversations that keep what a session has read, and their files. What
//! is absent: where templates are found (`text/`), text without turns (`generate/`), and terminals (`cli/`).
//!
//! ```no_run
//! use smallmind::chat::Conversation;
//! use smallmind::{GenerateOptions, Model, Options};
//!
//! let model = Model::open("path/to/model", &Options::default())?;
//! let mut conversation = Conversation::new(&model, model.chat_template()?)?;
//! conversation.set_system(Some("Be brief."));
//! let options = GenerateOptions::new().max_tokens(None); // until the model ends it
//! let turn = conversation.say("What is a compiler?", &options, |piece| {
//!     print!("{piece}");
//!     true // `false` stops
//! })?;
//! println!("{} tokens read, {} known from before", turn.read_tokens, turn.reused_tokens);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod conversation;
mod dates;
mod environment;
mod hidden;
mod jinja;
mod of_model;
pub mod template;
pub mod transcript;

use serde::{Deserialize, Serialize};

pub use conversation::{ChatError, Conversation, Turn, WhenFull};
pub use template::{ChatTemplate, TemplateError};

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The speaker: `system`, `user` or `assistant`, or another role that the template knows.
    pub role: String,
    /// The message's text.
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
