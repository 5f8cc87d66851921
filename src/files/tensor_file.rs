//! What weight files of every format have in common: their errors, and the description of a tensor.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::map::MapError;
use super::weight::WeightError;
use crate::types::DType;

/// What is wrong with a weight file, or with a request to it.
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
        /// The attempted action: "read" or "write".
        action: &'static str,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file does not have the expected format, is cut off, or has an unreadable header.
    #[error("{}: {problem}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The header's description of a tensor cannot be true.
    #[error("{}: tensor `{tensor}`: {problem}", file.display())]
    BadTensor {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong.
        problem: String,
    },
    /// The file has no tensor with that name.
    #[error("{} has no tensor `{tensor}`", file.display())]
    NotFound {
        /// The file.
        file: PathBuf,
        /// The requested name.
        tensor: String,
    },
    /// The elements of the tensor have a type that the caller cannot use.
    #[error("{}: tensor `{tensor}` has elements of type {found}; expected {expected}", file.display())]
    ElementType {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// The type in the file.
        found: String,
        /// The types that the caller can use.
        expected: &'static str,
    },
    /// Data was requested from a file of which only the header was opened.
    #[error("{}: only the header was opened, so the data of tensor `{tensor}` can't be read", file.display())]
    HeaderOnly {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// The view of the tensor could not be made.
    #[error("{}: tensor `{tensor}`: {source}", file.display())]
    View {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// The reason.
        source: Box<WeightError>,
    },
}

/// Creates the errors for one file.
#[derive(Debug, Clone, Copy)]
pub(super) struct ErrorsOf<'a>(pub &'a Path);

impl<'a> ErrorsOf<'a> {
    /// The error for a failure of the operating system to `action` ("read", "write") the file.
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

/// A tensor, as its file describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorHeader {
    /// The element type of the tensor as a weight; `None` if weights cannot have its type.
    pub dtype: Option<DType>,
    /// The name of the type in the file.
    pub written: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
}

/// Whether tensor data will be needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Map the files: names, types, shapes and data.
    Data,
    /// Read the headers now, and the data of each tensor when it is requested as a weight.
    Read,
    /// Read only the headers: names, types and shapes. The data may be missing.
    #[cfg_attr(not(feature = "internals"), allow(dead_code))]
    // The command `plan` of the program uses this.
    Headers,
}
