//! GGUF: a file with metadata, tensor descriptions and tensor data, or several such files that form one model.
//!
//! What belongs here: reading versions 2 and 3 of the format (little-endian), with every count, length, offset and name
//! checked against the file before it is used. What is absent: which keys and tensors a model has (`graphs/*.ron`), what
//! quantized blocks mean (`blocks`), and what a vocabulary means.

mod arrays;
mod cursor;
mod file;
mod header;
mod metadata;
mod parts;
mod tensors;

pub use cursor::MAX_HEADER_BYTES;
pub use file::{GgufFile, StoredTensor, is_gguf};
pub use header::MAGIC;
pub(crate) use header::{ALIGNMENT, DEFAULT_ALIGNMENT, MOST_DIMS};
pub use metadata::Metadata;
pub(crate) use metadata::ValueType;
#[cfg(feature = "hub")]
pub(crate) use parts::is_companion;
pub(crate) use parts::models_among;
pub use parts::open_parts;
pub use tensors::TensorType;
