//! Generate: turning logits into tokens, and tokens into text.
//!
//! What belongs here: sampling, stop conditions, and how probable a text is. What is absent: tokenizers
//! (`text/`), conversations (`chat/`), and how a step runs (`exec/`).

mod choose;
pub mod engine;
mod engine_options;
pub mod hook;
pub mod options;
mod outcome;
pub mod run;
pub mod sampler;
mod sampler_options;
pub mod score;
#[cfg(feature = "tokenizer")]
mod shown;
pub mod stop;
#[cfg(feature = "async")]
pub mod stream;
