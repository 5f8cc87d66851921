//! Convert: from model file, or folder, to model file.
//!
//! What belongs here: what becomes of each tensor and key of a file when another is made from it, and the threads that do
//! it. All that writes GGUF stands here. What is absent: what blocks are (`blocks/`), reading files (`files/`), and which
//! keys and tensors an architecture has (`architecture/`).

mod elements;
#[cfg(feature = "tokenizer")]
mod folder;
#[cfg(feature = "tokenizer")]
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
#[cfg(feature = "tokenizer")]
mod vocabulary;
#[cfg(feature = "tokenizer")]
mod vocabulary_parts;
#[cfg(feature = "tokenizer")]
mod vocabulary_tokens;

pub use crate::blocks::BlockFormat;
pub use crate::exec::pool::Pool;
pub use mixture::{Mixture, Types};
pub use planned::QuantizeError;
pub use quantize::{Converted, Progress, Quantization, Report};

use crate::files::gguf::TensorType;

/// Parts of the names of tensors that stay as they are, though they have two dimensions.
const KEPT: [&str; 4] = [
    "_norm.weight",
    "ffn_gate_inp.weight",
    "position_embd.weight",
    "token_types.weight",
];

/// Whether a tensor is of those that are converted.
fn is_matrix(name: &str, shape: &[usize]) -> bool {
    // Leading dimensions of 1 do not count.
    let dims = shape.iter().skip_while(|&&dim| dim == 1).count();
    dims >= 2 && name.ends_with("weight") && !KEPT.iter().any(|kept| name.contains(kept))
}

/// What the elements of matrices become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// IEEE binary32.
    F32,
    /// IEEE binary16, nearest.
    F16,
    /// The upper half of a binary32, nearest.
    BF16,
    /// Blocks, by [`BlockFormat::quantize`].
    Blocks(BlockFormat),
}

impl Target {
    /// Every target there is: the formats that can be written, and floats.
    pub fn all() -> impl Iterator<Item = Target> {
        let written = BlockFormat::ALL
            .into_iter()
            .filter(|format| format.is_written());
        let floats = [Target::F16, Target::BF16, Target::F32];
        written.map(Target::Blocks).chain(floats)
    }

    /// Its name in GGUF files.
    pub fn name(self) -> &'static str {
        match self {
            Target::F32 => "F32",
            Target::F16 => "F16",
            Target::BF16 => "BF16",
            Target::Blocks(format) => format.name(),
        }
    }

    /// The type of tensors.
    pub fn tensor_type(self) -> TensorType {
        match self {
            Target::F32 => TensorType::F32,
            Target::F16 => TensorType::F16,
            Target::BF16 => TensorType::BF16,
            Target::Blocks(format) => format.into(),
        }
    }

    /// The number that `general.file_type` has for files whose matrices are mostly of this type; `None` where there is none.
    pub fn file_type(self) -> Option<u32> {
        match self {
            Target::F32 => Some(0),
            Target::F16 => Some(1),
            Target::BF16 => Some(32),
            Target::Blocks(format) => format.file_type(),
        }
    }

    /// What a matrix with rows of `row` elements becomes: the target, or where rows are no whole blocks of it, the nearest
    /// format of 32 elements, or else F16. llama.cpp falls back alike.
    fn for_rows(self, row: usize) -> Target {
        match self {
            Target::Blocks(format) => format.for_rows(row).map_or(Target::F16, Target::Blocks),
            other => other,
        }
    }
}
