//! What each tensor will become, and why a model can't be converted.

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
    /// The input is not a model that can be read.
    #[error(
        "{} is neither a GGUF file nor a folder with config.json and safetensors files",
        input.display()
    )]
    NotGguf {
        /// The input.
        input: PathBuf,
    },
    /// The file can't be read.
    #[error(transparent)]
    File(#[from] TensorFileError),
    /// The file's elements are blocks, or have a type that can't be converted.
    #[error(
        "{}: tensor `{tensor}` is already {found}; files of F32, F16 and BF16 elements can be quantized",
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
    #[error("quantizing to {} is not supported", super::name(*target))]
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
    /// The folder can't be read, or the graph file does not say what its GGUF file contains.
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    /// A GGUF file can't express what the folder says about embeddings.
    #[error(transparent)]
    Recipe(Box<crate::embed::EmbedError>),
    /// The folder's chat template can't be read.
    #[error(transparent)]
    Template(#[from] crate::text::template_files::TemplateFileError),
    /// A tensor's elements can't be computed.
    #[error(transparent)]
    Elements(Box<crate::architecture::weight_expression::WeightExpressionError>),
    /// A GGUF file can't express the folder's tokenizer.
    #[error("{}: {problem}", file.display())]
    Vocabulary {
        /// The tokenizer's file.
        file: PathBuf,
        /// The part that can't be expressed, and what was found.
        problem: String,
    },
    /// A parameter's value can't be the value of a key.
    #[error("the key {key} can't be {value}")]
    Key {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// The GGUF file that would be written can't be read.
    #[error("{}: the GGUF file that would be written can't be read: {problem}", folder.display())]
    Unreadable {
        /// The folder.
        folder: PathBuf,
        /// Why.
        problem: String,
    },
    /// The new file can't be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The caller stopped it.
    #[error("interrupted")]
    Interrupted,
}

/// What a tensor will become.
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
    /// In this part of the GGUF model, under the same name.
    Part(usize),
    /// A value over the folder's weights.
    Value(GraphValue),
    /// In this value, row-major and little-endian.
    Made(Vec<u8>),
}
