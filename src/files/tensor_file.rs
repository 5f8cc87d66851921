//! What weight files of every format have in common: what can be wrong with one, and how it describes a tensor.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::map::MapError;
use super::weight::WeightError;
use crate::types::DType;

/// What is wrong with a weight file, or with what was asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorFileError {
    /// The file could not be mapped.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The file could not be read or written.
    #[error("cannot {action} {}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What was tried: "read" or "write".
        action: &'static str,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The file is not of its format, is cut off, or its header can't be read.
    #[error("{}: {problem}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The header describes a tensor in a way that can't be true.
    #[error("{}: tensor `{tensor}`: {problem}", file.display())]
    BadTensor {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong.
        problem: String,
    },
    /// The file has no tensor of that name.
    #[error("{} has no tensor `{tensor}`", file.display())]
    NotFound {
        /// The file.
        file: PathBuf,
        /// The name asked for.
        tensor: String,
    },
    /// The tensor's elements have a type that the caller can't use.
    #[error("{}: tensor `{tensor}` has elements of type {found}; expected {expected}", file.display())]
    ElementType {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// The type in the file.
        found: String,
        /// The types that would do.
        expected: &'static str,
    },
    /// Data was asked of a file of which only the header was opened.
    #[error("{}: only the header was opened, so the data of tensor `{tensor}` can't be read", file.display())]
    HeaderOnly {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// The view onto the tensor could not be made.
    #[error("{}: tensor `{tensor}`: {source}", file.display())]
    View {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// Why.
        source: Box<WeightError>,
    },
}

/// Makes the errors of one file.
#[derive(Debug, Clone, Copy)]
pub(super) struct ErrorsOf<'a>(pub &'a Path);

impl<'a> ErrorsOf<'a> {
    /// The operating system's refusal to `action` ("read", "write") the file.
    pub fn io(self, action: &'static str) -> impl Fn(std::io::Error) -> TensorFileError + 'a {
        move |source| TensorFileError::Io {
            file: self.0.to_path_buf(),
            action,
            source,
        }
    }

    pub fn malformed(self, problem: impl Into<String>) -> TensorFileError {
        TensorFileError::Malformed {
            file: self.0.to_path_buf(),
            problem: problem.into(),
        }
    }

    pub fn bad_tensor(self, tensor: &str, problem: impl Into<String>) -> TensorFileError {
        TensorFileError::BadTensor {
            file: self.0.to_path_buf(),
            tensor: tensor.to_string(),
            problem: problem.into(),
        }
    }

    pub fn not_found(self, tensor: &str) -> TensorFileError {
        TensorFileError::NotFound {
            file: self.0.to_path_buf(),
            tensor: tensor.to_string(),
        }
    }

    pub fn element_type(
        self,
        tensor: &str,
        found: impl Display,
        expected: &'static str,
    ) -> TensorFileError {
        TensorFileError::ElementType {
            file: self.0.to_path_buf(),
            tensor: tensor.to_string(),
            found: found.to_string(),
            expected,
        }
    }

    pub fn header_only(self, tensor: &str) -> TensorFileError {
        TensorFileError::HeaderOnly {
            file: self.0.to_path_buf(),
            tensor: tensor.to_string(),
        }
    }

    pub fn view(self, tensor: &str, source: WeightError) -> TensorFileError {
        TensorFileError::View {
            file: self.0.to_path_buf(),
            tensor: tensor.to_string(),
            source: Box::new(source),
        }
    }
}

/// A tensor as its file describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorHeader {
    /// Element type of the weight that the tensor gives; `None` is one that weights can't have.
    pub dtype: Option<DType>,
    /// The file's name for the tensor's type.
    pub written: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
}

/// Whether tensor data will be wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Map the files: names, types, shapes and data.
    Data,
    /// Read the headers, and each tensor's data where it is asked for as a weight.
    Read,
    /// Read the headers alone: names, types and shapes. The data may be missing.
    #[cfg_attr(not(feature = "internals"), allow(dead_code))]
    // What the program's `plan` needs.
    Headers,
}
