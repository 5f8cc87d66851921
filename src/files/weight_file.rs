//! One weight file of either format.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::folder::Folder;
use super::gguf::{self, GgufFile};
use super::map::{MapError, Mapped};
use super::safetensors::TensorFile;
use super::weight::{Weight, WeightError};
use crate::types::DType;

/// What is wrong with a weight file, or with what was asked of it.
#[derive(Debug, thiserror::Error)]
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
    /// Read the headers alone: names, types and shapes. The data may be missing.
    Headers,
}

/// A weight file whose header has been checked.
#[derive(Debug)]
pub enum WeightFile {
    /// A safetensors file.
    Safetensors(TensorFile),
    /// A GGUF file.
    Gguf(GgufFile),
}

impl WeightFile {
    /// Opens a file as what its first bytes say it is.
    pub fn open(path: &Path, open: Open) -> Result<Self, TensorFileError> {
        let gguf = gguf::is_gguf(path);
        match (gguf, open) {
            (true, Open::Data) => GgufFile::open(path).map(WeightFile::Gguf),
            (true, Open::Headers) => GgufFile::open_header(path).map(WeightFile::Gguf),
            (false, Open::Data) => TensorFile::open(path).map(WeightFile::Safetensors),
            (false, Open::Headers) => TensorFile::open_header(path).map(WeightFile::Safetensors),
        }
    }

    /// Opens a file of a folder. Of a folder in memory, the whole file is there either way.
    pub fn open_in(folder: &Folder, file: &str, open: Open) -> Result<Self, TensorFileError> {
        let path = folder.path(file);
        let files = match folder {
            Folder::Disk(_) => return WeightFile::open(&path, open),
            Folder::Memory { files, .. } => files,
        };
        match files.get(file) {
            Some(bytes) => WeightFile::from_bytes(&path, bytes.clone()),
            None => Err(ErrorsOf(&path).malformed("there is no such file")),
        }
    }

    /// A file held in memory, as what its first bytes say it is; `label` stands for its path in errors.
    pub fn from_bytes(label: &Path, bytes: Mapped) -> Result<Self, TensorFileError> {
        match bytes.starts_with(&gguf::MAGIC) {
            true => GgufFile::from_bytes(label, bytes).map(WeightFile::Gguf),
            false => TensorFile::from_bytes(label, bytes).map(WeightFile::Safetensors),
        }
    }

    /// Opens a file and, if it is one part of a GGUF model, all other parts. The first has the metadata.
    pub fn open_all(path: &Path, open: Open) -> Result<Vec<Self>, TensorFileError> {
        if !gguf::is_gguf(path) {
            return Ok(vec![WeightFile::open(path, open)?]);
        }
        let (first, others) = gguf::open_parts(path, open)?;
        let parts = [first].into_iter().chain(others);
        Ok(parts.map(WeightFile::Gguf).collect())
    }

    /// The file's path, or the label it was given.
    pub fn path(&self) -> &Path {
        match self {
            WeightFile::Safetensors(file) => file.path(),
            WeightFile::Gguf(file) => file.path(),
        }
    }

    /// The tensors' names, sorted.
    pub fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            WeightFile::Safetensors(file) => Box::new(file.names()),
            WeightFile::Gguf(file) => Box::new(file.names()),
        }
    }

    /// Type and shape of a tensor.
    pub fn header(&self, name: &str) -> Option<TensorHeader> {
        match self {
            WeightFile::Safetensors(file) => file.header(name),
            WeightFile::Gguf(file) => file.header(name),
        }
    }

    /// Bytes that a tensor takes in the file; `None` if there is none of that name, or its type is not known.
    pub fn stored_bytes(&self, name: &str) -> Option<usize> {
        match self {
            WeightFile::Safetensors(file) => file.stored_bytes(name),
            WeightFile::Gguf(file) => file.stored_bytes(name),
        }
    }

    /// A tensor as a weight: a view of the file, or, where no kernel reads the tensor's own type, F32 elements made here.
    pub fn weight(&self, name: &str) -> Result<Weight, TensorFileError> {
        match self {
            WeightFile::Safetensors(file) => file.weight(name),
            WeightFile::Gguf(file) => file.weight(name),
        }
    }

    /// A tensor's bytes as the file has them.
    pub fn bytes(&self, name: &str) -> Result<&[u8], TensorFileError> {
        match self {
            WeightFile::Safetensors(file) => file.bytes(name),
            WeightFile::Gguf(file) => file.bytes(name),
        }
    }
}
