//! A weight file of either format.

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
    /// Opens a file in the format that its first bytes indicate.
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

    /// Opens a file in a folder. If the folder is in memory, the whole file is available in any case.
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

    /// A file in memory, in the format that its first bytes indicate; `label` replaces its path in errors.
    pub fn from_bytes(label: &Path, bytes: Mapped) -> Result<Self, TensorFileError> {
        match bytes.starts_with(&gguf::MAGIC) {
            true => GgufFile::from_bytes(label, bytes).map(WeightFile::Gguf),
            false => TensorFile::from_bytes(label, bytes).map(WeightFile::Safetensors),
        }
    }

    /// Opens a file and, if it is one part of a GGUF model, all other parts. The first part has the metadata.
    #[cfg(any(test, feature = "internals"))]
    pub fn open_all(path: &Path, open: Open) -> Result<Vec<Self>, TensorFileError> {
        if !gguf::is_gguf(path) {
            return Ok(vec![WeightFile::open(path, open)?]);
        }
        let (first, others) = gguf::open_parts(path, open)?;
        let parts = [first].into_iter().chain(others);
        Ok(parts.map(WeightFile::Gguf).collect())
    }

    /// The path of the file, or its label.
    pub fn path(&self) -> &Path {
        match self {
            WeightFile::Safetensors(file) => file.path(),
            WeightFile::Gguf(file) => file.path(),
        }
    }

    /// The names of the tensors, sorted.
    pub fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            WeightFile::Safetensors(file) => Box::new(file.names()),
            WeightFile::Gguf(file) => Box::new(file.names()),
        }
    }

    /// The type and the shape of a tensor.
    pub fn header(&self, name: &str) -> Option<TensorHeader> {
        match self {
            WeightFile::Safetensors(file) => file.header(name),
            WeightFile::Gguf(file) => file.header(name),
        }
    }

    /// The number of bytes of a tensor in the file; `None` if there is no tensor with that name, or if its type is unknown.
    #[cfg(any(test, feature = "internals"))]
    pub fn stored_bytes(&self, name: &str) -> Option<usize> {
        match self {
            WeightFile::Safetensors(file) => file.stored_bytes(name),
            WeightFile::Gguf(file) => file.stored_bytes(name),
        }
    }

    /// A tensor as a weight: a view of the file, or of the part that is read here.
    pub fn weight(&self, name: &str) -> Result<Weight, TensorFileError> {
        match self {
            WeightFile::Safetensors(file) => file.weight(name),
            WeightFile::Gguf(file) => file.weight(name),
        }
    }

    /// Fails if the file has changed since it was opened.
    pub fn check(&self) -> Result<(), MapError> {
        match self {
            WeightFile::Safetensors(file) => file.check(),
            WeightFile::Gguf(file) => file.check(),
        }
    }

    /// Lets the system reclaim the memory of what was read of the file: it is loaded again when it is read.
    pub fn release(&self) {
        match self {
            WeightFile::Safetensors(file) => file.release(),
            WeightFile::Gguf(file) => file.release(),
        }
    }

    /// The range of a tensor's bytes in the file.
    fn place(&self, name: &str) -> Result<Range<usize>, TensorFileError> {
        match self {
            WeightFile::Safetensors(file) => file.place(name),
            WeightFile::Gguf(file) => file.place(name),
        }
    }

    /// The number of bytes of a tensor.
    pub fn size(&self, name: &str) -> Result<usize, TensorFileError> {
        Ok(self.place(name)?.len())
    }

    /// The bytes `range` of a tensor, as far as they exist.
    pub fn copy(&self, name: &str, range: Range<usize>) -> Result<Vec<u8>, TensorFileError> {
        let place = self.place(name)?;
        let inside = |offset: usize| place.start.saturating_add(offset).min(place.end);
        let range = inside(range.start)..inside(range.end);
        match self {
            WeightFile::Safetensors(file) => file.copy(name, range),
            WeightFile::Gguf(file) => file.copy(name, range),
        }
    }

    /// The bytes of a tensor, as in the file.
    #[cfg(any(test, feature = "internals"))]
    pub fn bytes(&self, name: &str) -> Result<&[u8], TensorFileError> {
        match self {
            WeightFile::Safetensors(file) => file.bytes(name),
            WeightFile::Gguf(file) => file.bytes(name),
        }
    }
}
