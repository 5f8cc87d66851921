//! GGUF: one file with metadata, tensor descriptions and tensor data.
//!
//! What belongs here: reading versions 2 and 3 of the format (little-endian), with every count, length, offset and name
//! checked against the file before it is believed, and turning blocks of quantized elements into plain ones. What does not:
//! which keys and tensors a model has (`graphs/*.ron`), and what its vocabulary means.

mod arrays;
mod cursor;
mod header;
mod metadata;
mod tensors;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

pub use metadata::Metadata;
pub use tensors::TensorType;

use self::cursor::Stop;
use self::header::{Header, read_header};
use self::tensors::{TensorEntry, dequantize_q8_0};
use super::map::{MapError, Mapped};
use super::weight::{ElementType, Weight};
use super::weight_file::{TensorFileError, TensorHeader};
use crate::graph::DType;

/// The bytes that every GGUF file begins with.
pub const MAGIC: [u8; 4] = *b"GGUF";
/// The longest header that is read, in bytes: metadata and tensor descriptions.
pub const MAX_HEADER_BYTES: usize = 256 << 20;
/// How much of a file is read at first where only its header is wanted, in bytes.
const FIRST_READ: usize = 64 << 10;

/// A GGUF file whose header has been checked: every tensor's bytes lie in the file, aligned and without overlaps. Only of
/// types that are not known the extent is not known either.
#[derive(Debug)]
pub struct GgufFile {
    /// The whole file; `None` if only the header was opened.
    bytes: Option<Mapped>,
    metadata: Metadata,
    tensors: BTreeMap<String, TensorEntry>,
}

impl GgufFile {
    /// Maps the file and checks its header. Tensor data is not touched.
    pub fn open(path: &Path) -> Result<Self, TensorFileError> {
        Self::from_bytes(path, Mapped::open(path)?)
    }

    /// Checks the header of a whole file held in `bytes`; `label` stands for its path in errors.
    pub fn from_bytes(label: &Path, bytes: Mapped) -> Result<Self, TensorFileError> {
        let available = bytes.len() as u64;
        let header = read_header(&bytes, available, true).map_err(|stop| refusal(label, stop))?;
        Self::new(label, bytes.clone(), Some(bytes), header)
    }

    /// Reads the header alone: metadata, names, types and shapes, for which the data need not be there. Everything but
    /// the file's length is checked as in [`GgufFile::open`].
    pub fn open_header(path: &Path) -> Result<Self, TensorFileError> {
        let io = |source| TensorFileError::Io {
            file: path.to_path_buf(),
            action: "read",
            source,
        };
        let mut input = File::open(path).map_err(io)?;
        let metadata = input.metadata().map_err(io)?;
        if !metadata.is_file() {
            let path = path.to_path_buf();
            return Err(MapError::NotAFile { path }.into());
        }
        let mut available = metadata.len();
        let mut bytes = Vec::new();
        let mut wanted = FIRST_READ;
        loop {
            // What the header claims to need was compared with the file's length, so that no lie makes this large.
            let more = wanted.saturating_sub(bytes.len());
            input
                .by_ref()
                .take(more as u64)
                .read_to_end(&mut bytes)
                .map_err(io)?;
            if bytes.len() < wanted {
                available = bytes.len() as u64;
            }
            match read_header(&bytes, available, false) {
                Ok(header) => return Self::new(path, Mapped::from_vec(bytes), None, header),
                Err(Stop::More(needed)) => {
                    wanted = needed
                        .max(bytes.len().saturating_mul(2))
                        .min(MAX_HEADER_BYTES);
                }
                Err(stop) => return Err(refusal(path, stop)),
            }
        }
    }

    /// `head` begins as the file does and holds the header.
    fn new(
        file: &Path,
        head: Mapped,
        bytes: Option<Mapped>,
        header: Header,
    ) -> Result<Self, TensorFileError> {
        let metadata = Metadata::new(file.to_path_buf(), head, header.metadata);
        if let Some(parts) = metadata.integer("split.count").filter(|&parts| parts > 1) {
            return Err(TensorFileError::Malformed {
                file: file.to_path_buf(),
                problem: format!(
                    "one of {parts} parts of a model; merge them into one file first (llama-gguf-split --merge)"
                ),
            });
        }
        Ok(GgufFile {
            bytes,
            metadata,
            tensors: header.tensors,
        })
    }

    /// The file's path, or the label it was given.
    pub fn path(&self) -> &Path {
        self.metadata.path()
    }

    /// What the file says of its model.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The tensors' names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Type and shape of a tensor. Q8_0 is F32 by the time it is a weight.
    pub fn header(&self, name: &str) -> Option<TensorHeader> {
        let entry = self.tensors.get(name)?;
        let dtype = match entry.tensor_type {
            TensorType::F32 | TensorType::Q8_0 => Some(DType::F32),
            TensorType::F16 => Some(DType::F16),
            TensorType::BF16 => Some(DType::BF16),
            _ => None,
        };
        Some(TensorHeader {
            dtype,
            written: entry.tensor_type.to_string(),
            shape: entry.shape.clone(),
        })
    }

    /// A tensor of F32, F16 or BF16 elements as a view of the file, or one of Q8_0 as F32 elements made here.
    pub fn weight(&self, name: &str) -> Result<Weight, TensorFileError> {
        let file = || self.path().to_path_buf();
        let Some(entry) = self.tensors.get(name) else {
            return Err(TensorFileError::NotFound {
                file: file(),
                tensor: name.to_string(),
            });
        };
        let Some(bytes) = &self.bytes else {
            return Err(TensorFileError::HeaderOnly {
                file: file(),
                tensor: name.to_string(),
            });
        };
        let view = |bytes, start, element| {
            Weight::new(bytes, start, element, &entry.shape).map_err(|source| {
                TensorFileError::View {
                    file: file(),
                    tensor: name.to_string(),
                    source: Box::new(source),
                }
            })
        };
        let in_place = |element| view(bytes.clone(), entry.bytes.start, element);
        match entry.tensor_type {
            TensorType::F32 => in_place(ElementType::F32),
            TensorType::F16 => in_place(ElementType::F16),
            TensorType::BF16 => in_place(ElementType::BF16),
            TensorType::Q8_0 => {
                let blocks = bytes.get(entry.bytes.clone()).unwrap_or_default();
                let values = Mapped::from_vec(dequantize_q8_0(blocks));
                view(values, 0, ElementType::F32)
            }
            found => Err(TensorFileError::ElementType {
                file: file(),
                tensor: name.to_string(),
                found: found.to_string(),
                expected: "F32, F16, BF16 or Q8_0",
            }),
        }
    }
}

/// Whether a file begins as GGUF files do.
pub fn is_gguf(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == MAGIC
}

/// What is wrong with the header, as an error that names the file.
fn refusal(file: &Path, stop: Stop) -> TensorFileError {
    let file: PathBuf = file.to_path_buf();
    match stop {
        Stop::Bad(problem) => TensorFileError::Malformed { file, problem },
        Stop::BadTensor { tensor, problem } => TensorFileError::BadTensor {
            file,
            tensor,
            problem,
        },
        // The reader asks for more only where the file has more.
        Stop::More(needed) => TensorFileError::Malformed {
            file,
            problem: format!("the header needs {needed} bytes"),
        },
    }
}
