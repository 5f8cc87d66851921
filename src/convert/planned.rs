//! What shall become of each tensor, and why a model can't be converted.

use std::path::PathBuf;

use super::gguf_file::{NewTensor, WriteError};
use crate::files::gguf::TensorType;
use crate::files::weight_file::TensorFileError;
use crate::graph::Value as GraphValue;
use crate::types::DType;

/// Why a model could not be quantized.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// What was given is not a model that can be read.
    #[error(
        "{} is neither a GGUF file nor a folder with config.json and safetensors files",
        input.display()
    )]
    NotGguf {
        /// What was given.
        input: PathBuf,
    },
    /// The file can't be read.
    #[error(transparent)]
    File(#[from] TensorFileError),
    /// The file's elements are blocks, or of no type that can be converted.
    #[error(
        "{}: tensor `{tensor}` is {found} already; files of F32, F16 and BF16 elements can be quantized",
        file.display()
    )]
    NotFloats {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type.
        found: String,
    },
    /// Blocks of the target can't be made.
    #[error("{} is not a type to quantize to", super::name(*target))]
    Target {
        /// The target.
        target: DType,
    },
    /// Elements that are not finite numbers, or too large for the target.
    #[error("tensor `{tensor}` has elements that are not finite, or too large for {to}")]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// What it would have become.
        to: &'static str,
    },
    /// The folder can't be read, or the graph file does not say what a GGUF file of it holds.
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    /// What the folder says of embeddings can't be said in a GGUF file.
    #[error(transparent)]
    Recipe(Box<crate::embed::EmbedError>),
    /// The folder's chat template can't be read.
    #[error(transparent)]
    Template(#[from] crate::text::template_files::TemplateFileError),
    /// A tensor's elements can't be made.
    #[error(transparent)]
    Elements(Box<crate::architecture::weight_expression::WeightExpressionError>),
    /// The folder's tokenizer can't be said in a GGUF file.
    #[error("{}: {problem}", file.display())]
    Vocabulary {
        /// The tokenizer's file.
        file: PathBuf,
        /// The part that can't be said, and what was found.
        problem: String,
    },
    /// A parameter's value can't be a key's.
    #[error("the key {key} can't be {value}")]
    Key {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// The GGUF file that would be written could not be read.
    #[error("{}: the GGUF file of it could not be read: {problem}", folder.display())]
    Unreadable {
        /// The folder.
        folder: PathBuf,
        /// Why.
        problem: String,
    },
    /// The new file can't be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The caller's wish.
    #[error("interrupted")]
    Interrupted,
}

/// What shall become of a tensor.
#[derive(Debug)]
pub(super) struct Planned {
    pub place: Place,
    pub new: NewTensor,
    /// The type of its elements before.
    pub from: TensorType,
    /// `None` if its bytes are copied.
    pub to: Option<DType>,
}

/// Where a tensor's elements are.
#[derive(Debug)]
pub(super) enum Place {
    /// In that part, under the same name.
    Part(usize),
    /// A value over the folder's weights.
    Value(GraphValue),
    /// Here, row-major and little-endian.
    Made(Vec<u8>),
}
