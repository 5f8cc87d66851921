//! Weight files: the tensors and keys in files on disk.
//!
//! What belongs here: safetensors and GGUF files, mapped or read, with every count, offset and name checked against the file
//! before it is used; strided views of tensors; the folder and the weights of a model as one collection; JSON; and how the
//! project writes a file, whatever its contents. What is absent: what a tensor or a key means, and the formats that are
//! written.

mod contents;
pub mod digest;
mod elements;
pub mod folder;
pub mod foreign;
pub mod gguf;
pub mod json;
pub mod map;
mod opened;
#[cfg(any(test, feature = "chat", feature = "internals"))]
pub mod output;
pub mod safetensors;
mod tensor_file;
pub mod weight;
pub mod weight_file;
pub mod weight_files;
