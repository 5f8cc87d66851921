//! Generate: from logits to tokens, and from tokens to text.
//!
//! What belongs here: sampling, incremental detokenization, stop conditions, and how probable a text is. What does not: the tokenizer itself
//! (`load/`) and running the model (`exec/`).

pub mod run;
pub mod sampler;
pub mod score;
pub mod stop;
#[cfg(feature = "tokenizer")]
pub mod text;
