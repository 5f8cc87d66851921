//! A GGUF file whose header has been checked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::Path;

use super::cursor::{MAX_HEADER_BYTES, Stop};
use super::header::{Header, MAGIC, read_header};
use super::metadata::Metadata;
use super::tensors::{TensorEntry, TensorType};
use crate::files::contents::Contents;
use crate::files::map::{MapError, Mapped};
use crate::files::opened::OpenFile;
use crate::files::tensor_file::{ErrorsOf, TensorFileError, TensorHeader};
use crate::files::weight::Weight;

/// How many bytes are read first if only the header of a file is needed.
const FIRST_READ: usize = 64 << 10;
/// Bytes of memory that reading to the end needs in addition to the bytes that are read.
const SPARE: usize = 64;

/// A GGUF file whose header has been checked: the bytes of every tensor are in the file, aligned and without overlaps. Only
/// for tensors of unknown types is the extent unknown.
#[derive(Debug)]
pub struct GgufFile {
    contents: Contents,
    metadata: Metadata,
    tensors: BTreeMap<String, TensorEntry>,
}

impl GgufFile {
    /// Maps the file and checks its header. Tensor data is not touched.
    pub fn open(path: &Path) -> Result<Self, TensorFileError> {
        Self::from_bytes(path, Mapped::open(path)?)
    }

    /// Checks the header of a whole file in `bytes`; `label` replaces its path in errors.
    pub fn from_bytes(label: &Path, bytes: Mapped) -> Result<Self, TensorFileError> {
        let available = bytes.len() as u64;
        let header = read_header(&bytes, available, true).map_err(|stop| refusal(label, stop))?;
        let head = bytes.clone();
        Ok(Self::new(label, head, Contents::Whole(bytes), header))
    }

    /// Checks the header of the file. Tensor data is read when [`GgufFile::weight`] needs it.
    pub fn open_to_read(path: &Path) -> Result<Self, TensorFileError> {
        let file = OpenFile::open(path)?;
        let (head, header) = Self::head(path, &mut file.file(), true)?;
        Ok(Self::new(path, head, Contents::Read(file), header))
    }

    /// Reads only the header: metadata, names, types and shapes; the data need not be there. Everything but the length of
    /// the file is checked as in [`GgufFile::open`].
    pub fn open_header(path: &Path) -> Result<Self, TensorFileError> {
        let mut input = File::open(path).map_err(ErrorsOf(path).io("read"))?;
        let (head, header) = Self::head(path, &mut input, false)?;
        Ok(Self::new(path, head, Contents::HeaderOnly, header))
    }

    /// The beginning of the file, and the header that was read from it. `with_data` says whether the data must be
    /// there.
    fn head(
        path: &Path,
        input: &mut File,
        with_data: bool,
    ) -> Result<(Mapped, Header), TensorFileError> {
        let io = ErrorsOf(path).io("read");
        let metadata = input.metadata().map_err(&io)?;
        if !metadata.is_file() {
            let path = path.to_path_buf();
            return Err(MapError::NotAFile { path }.into());
        }
        let mut available = metadata.len();
        let mut bytes = Vec::new();
        let mut wanted = FIRST_READ;
        loop {
            // What the header claims to need has been compared with the length of the file, so no false claim can make this
            // large.
            let more = wanted.saturating_sub(bytes.len());
            let left = available.saturating_sub(bytes.len() as u64);
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(more);
            // `read_to_end` allocates a few bytes more than there are, and the program would be aborted if that failed.
            bytes
                .try_reserve_exact(room.saturating_add(SPARE))
                .map_err(|_| io(ErrorKind::OutOfMemory.into()))?;
            input
                .by_ref()
                .take(more as u64)
                .read_to_end(&mut bytes)
                .map_err(&io)?;
            if bytes.len() < wanted {
                available = bytes.len() as u64;
            }
            match read_header(&bytes, available, with_data) {
                Ok(header) => return Ok((Mapped::from_vec(bytes), header)),
                Err(Stop::More(needed)) => {
                    wanted = needed
                        .max(bytes.len().saturating_mul(2))
                        .min(MAX_HEADER_BYTES);
                }
                Err(stop) => return Err(refusal(path, stop)),
            }
        }
    }

    /// The file that begins with the complete `header` and is `length` bytes long; `label` replaces its path in errors.
    #[cfg(any(test, feature = "tokenizer", feature = "internals"))]
    pub fn from_header(
        label: &Path,
        header: Vec<u8>,
        length: u64,
    ) -> Result<Self, TensorFileError> {
        let read = read_header(&header, length, false).map_err(|stop| refusal(label, stop))?;
        let head = Mapped::from_vec(header);
        Ok(Self::new(label, head, Contents::HeaderOnly, read))
    }

    /// `head` is the beginning of the file, and contains the header.
    fn new(file: &Path, head: Mapped, contents: Contents, header: Header) -> Self {
        GgufFile {
            contents,
            metadata: Metadata::new(file.to_path_buf(), head, header.metadata),
            tensors: header.tensors,
        }
    }

    /// The path of the file, or its label.
    pub fn path(&self) -> &Path {
        self.metadata.path()
    }

    /// The metadata of the model.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The names of the tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor as it is stored in the file.
    pub fn tensor(&self, name: &str) -> Option<StoredTensor<'_>> {
        let entry = self.tensors.get(name)?;
        let bytes = self.contents.whole();
        Some(StoredTensor {
            tensor_type: entry.tensor_type,
            shape: &entry.shape,
            start: entry.bytes.start,
            bytes: bytes.map(|bytes| bytes.get(entry.bytes.clone()).unwrap_or_default()),
        })
    }

    /// The type and the shape of a tensor.
    pub fn header(&self, name: &str) -> Option<TensorHeader> {
        let entry = self.tensors.get(name)?;
        Some(TensorHeader {
            dtype: entry.tensor_type.dtype(),
            written: entry.tensor_type.to_string(),
            shape: entry.shape.clone(),
        })
    }

    /// The bytes of a tensor, as in the file.
    #[cfg(any(test, feature = "internals"))]
    pub fn bytes(&self, name: &str) -> Result<&[u8], TensorFileError> {
        let errors = ErrorsOf(self.path());
        let entry = self.tensors.get(name);
        let entry = entry.ok_or_else(|| errors.not_found(name))?;
        let bytes = self.contents.whole();
        let bytes = bytes.ok_or_else(|| errors.header_only(name))?;
        Ok(bytes.get(entry.bytes.clone()).unwrap_or_default())
    }

    /// The range of a tensor's bytes in the file.
    pub fn place(&self, name: &str) -> Result<Range<usize>, TensorFileError> {
        let entry = self.tensors.get(name);
        let entry = entry.ok_or_else(|| ErrorsOf(self.path()).not_found(name))?;
        Ok(entry.bytes.clone())
    }

    /// The bytes `range` of the file, within the tensor `name`.
    pub fn copy(&self, name: &str, range: Range<usize>) -> Result<Vec<u8>, TensorFileError> {
        let copied = self.contents.copy(range)?;
        copied.ok_or_else(|| ErrorsOf(self.path()).header_only(name))
    }

    /// The number of bytes of a tensor in the file; `None` if there is no tensor with that name, or if its type is unknown.
    #[cfg(feature = "internals")]
    pub fn stored_bytes(&self, name: &str) -> Option<usize> {
        let entry = self.tensors.get(name)?;
        Some(entry.bytes.len()).filter(|&bytes| bytes > 0)
    }

    /// A tensor as a view of the file, or of the part that is read here.
    pub fn weight(&self, name: &str) -> Result<Weight, TensorFileError> {
        let errors = ErrorsOf(self.path());
        let entry = self
            .tensors
            .get(name)
            .ok_or_else(|| errors.not_found(name))?;
        let Some(element) = entry.tensor_type.dtype() else {
            let expected = "F32, F16, BF16 or quantized blocks that are known";
            return Err(errors.element_type(name, entry.tensor_type, expected));
        };
        let part = self.contents.part(entry.bytes.clone())?;
        let (bytes, start) = part.ok_or_else(|| errors.header_only(name))?;
        Weight::new(bytes, start, element, &entry.shape).map_err(|source| errors.view(name, source))
    }

    /// Fails if the file has changed since it was opened.
    pub fn check(&self) -> Result<(), MapError> {
        self.contents.check()
    }

    /// Lets the system reclaim the memory of what was read of the file.
    pub fn release(&self) {
        self.contents.release();
    }
}

/// A tensor as it is stored in a file.
#[derive(Debug, Clone, Copy)]
pub struct StoredTensor<'a> {
    /// The type of the elements.
    pub tensor_type: TensorType,
    /// Dimensions, outermost first; at least one, none of them 0.
    pub shape: &'a [usize],
    /// Where the data of the tensor starts, in bytes from the start of the file.
    pub start: usize,
    /// The data of the tensor; `None` if only the header was opened. Empty if the type is unknown.
    pub bytes: Option<&'a [u8]>,
}

/// Whether a file begins like a GGUF file.
pub fn is_gguf(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == MAGIC
}

/// The problem with the header, as an error that names the file.
fn refusal(file: &Path, stop: Stop) -> TensorFileError {
    let errors = ErrorsOf(file);
    match stop {
        Stop::Bad(problem) => errors.malformed(problem),
        Stop::BadTensor { tensor, problem } => errors.bad_tensor(&tensor, problem),
        // The reader asks for more only if the file has more.
        Stop::More(needed) => errors.malformed(format!("the header needs {needed} bytes")),
    }
}
