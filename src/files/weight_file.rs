//! One weight file of either format.

use std::ops::Range;
use std::path::Path;

use super::folder::Folder;
use super::gguf::{self, GgufFile};
use super::map::{MapError, Mapped};
use super::safetensors::TensorFile;
use super::tensor_file::ErrorsOf;
pub use super::tensor_file::{Open, TensorFileError, TensorHeader};
use super::weight::Weight;

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
            (true, Open::Read) => GgufFile::open_to_read(path).map(WeightFile::Gguf),
            (false, Open::Read) => TensorFile::open_to_read(path).map(WeightFile::Safetensors),
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
    #[cfg(any(test, feature = "internals"))]
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
    #[cfg(any(test, feature = "internals"))]
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

    /// Fails if the file is not what it was when it was opened.
    pub fn check(&self) -> Result<(), MapError> {
        match self {
            WeightFile::Safetensors(file) => file.check(),
            WeightFile::Gguf(file) => file.check(),
        }
    }

    /// Let the system take back the memory of what was read of the file: it comes in again if it is read.
    pub fn release(&self) {
        match self {
            WeightFile::Safetensors(file) => file.release(),
            WeightFile::Gguf(file) => file.release(),
        }
    }

    /// Where a tensor's bytes lie in the file.
    fn place(&self, name: &str) -> Result<Range<usize>, TensorFileError> {
        match self {
            WeightFile::Safetensors(file) => file.place(name),
            WeightFile::Gguf(file) => file.place(name),
        }
    }

    /// How many bytes a tensor has.
    pub fn size(&self, name: &str) -> Result<usize, TensorFileError> {
        Ok(self.place(name)?.len())
    }

    /// The bytes `range` of a tensor, as far as it has them.
    pub fn copy(&self, name: &str, range: Range<usize>) -> Result<Vec<u8>, TensorFileError> {
        let place = self.place(name)?;
        let inside = |offset: usize| place.start.saturating_add(offset).min(place.end);
        let range = inside(range.start)..inside(range.end);
        match self {
            WeightFile::Safetensors(file) => file.copy(name, range),
            WeightFile::Gguf(file) => file.copy(name, range),
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
