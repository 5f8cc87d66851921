//! Convert: making a model file from a model file or folder.
//!
//! What belongs here: what happens to each tensor and key of a file when another file is made from it, the threads that do
//! the work, and all code that writes GGUF. What is absent: what blocks are (`blocks/`), reading files (`files/`), and the
//! keys and tensors of an architecture (`architecture/`).

mod elements;
mod folder;
mod folder_text;
#[cfg(not(feature = "internals"))]
mod gguf_file;
#[cfg(feature = "internals")]
pub mod gguf_file;
mod mixture;
mod planned;
mod quantize;
#[cfg(not(feature = "internals"))]
mod to_gguf;
#[cfg(feature = "internals")]
pub mod to_gguf;
mod vocabulary;
mod vocabulary_parts;
mod vocabulary_tokens;

pub use crate::blocks::BlockFormat;
pub use crate::exec::pool::Pool;
pub use mixture::{Mixture, Types};
pub use planned::QuantizeError;
pub use quantize::{Converted, Progress, Quantization, Report};

use crate::files::gguf::TensorType;
use crate::types::DType;

/// Parts of the names of tensors that stay as they are, although they have two dimensions.
const KEPT: [&str; 4] = [
    "_norm.weight",
    "ffn_gate_inp.weight",
    "position_embd.weight",
    "token_types.weight",
];

/// Whether a tensor is converted.
fn is_matrix(name: &str, shape: &[usize]) -> bool {
    // Leading dimensions of 1 do not count.
    let dims = shape.iter().skip_while(|&&dim| dim == 1).count();
    dims >= 2 && name.ends_with("weight") && !KEPT.iter().any(|kept| name.contains(kept))
}

/// The number that `general.file_type` has for files whose matrices are mostly of this type; `None` where there is none.
fn file_type(target: DType) -> Option<u32> {
    match target {
        DType::F32 => Some(0),
        DType::F16 => Some(1),
        DType::BF16 => Some(32),
        DType::Blocks(format) => format.file_type(),
        DType::I32 | DType::Int8 => None,
    }
}

/// The type that a matrix with rows of `row` elements gets: the target; if rows are not whole blocks of the target, the
/// nearest format with blocks of 32 elements; otherwise F16. llama.cpp falls back in the same way.
fn for_rows(target: DType, row: usize) -> DType {
    match target {
        DType::Blocks(format) => format.for_rows(row).map_or(DType::F16, DType::Blocks),
        other => other,
    }
}

/// A type's name in GGUF files.
pub fn name(dtype: DType) -> &'static str {
    let number = TensorType::of(dtype);
    number.and_then(TensorType::name).unwrap_or(dtype.name())
}
