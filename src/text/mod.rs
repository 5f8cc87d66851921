//! Text: to token ids and back, and the files that say how.
//!
//! What belongs here: tokenizers, detokenization token by token, and where a chat template and special tokens stand. What
//! is absent: which token comes next (`generate/`), and how a template is rendered (`chat/`).

mod config_files;
mod stream;
pub mod template_files;
pub mod tokenizer;

pub use stream::TextStream;
