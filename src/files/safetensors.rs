//! A safetensors file: its header is checked completely before any tensor is accessible.
//!
//! Element types, header entries and writing come from the `safetensors` crate. The checks are made here because an error
//! should name the file and the tensor, and because sums of offsets must not overflow, whatever the header says.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

pub use safetensors::Dtype;
pub use safetensors::tensor::TensorInfo;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::contents::Contents;
use super::foreign::{BEGINNING, foreign};
use super::map::Mapped;
use super::opened::{MapError, OpenFile};
use super::tensor_file::{ErrorsOf, TensorFileError, TensorHeader};
use super::weight::Weight;
use crate::types::DType;

/// The longest header that is read, in bytes: the limit of the format's reference implementation.
pub const MAX_HEADER_BYTES: u64 = 100_000_000;

/// The bytes of the header's length, which comes first in the file.
const LENGTH_BYTES: usize = 8;

/// A safetensors file whose header has been checked: the bytes of every tensor are in the file, as many as its shape and
/// type need, without overlaps or gaps.
#[derive(Debug)]
pub struct TensorFile {
    file: PathBuf,
    contents: Contents,
    /// Where the data begins, in bytes from the start of the file. Offsets in `tensors` count from here.
    data_start: usize,
    tensors: BTreeMap<String, TensorInfo>,
}

impl TensorFile {
    /// Maps the file and checks its header. Tensor data is not touched.
    pub fn open(path: &Path) -> Result<Self, TensorFileError> {
        Self::from_bytes(path, Mapped::open(path)?)
    }

    /// Checks the header of a whole file in `bytes`; `label` replaces its path in errors.
    pub fn from_bytes(label: &Path, bytes: Mapped) -> Result<Self, TensorFileError> {
        let available = bytes.len() as u64;
        let length = header_length(label, &bytes, available)?;
        let header = bytes
            .get(LENGTH_BYTES..LENGTH_BYTES + length)
            .unwrap_or_default();
        let data_start = LENGTH_BYTES + length;
        let tensors = read_header(label, header, Some(bytes.len().saturating_sub(data_start)))?;
        Ok(TensorFile {
            file: label.to_path_buf(),
            contents: Contents::Whole(bytes),
            data_start,
            tensors,
        })
    }

    /// Checks the header of the file. Tensor data is read when [`TensorFile::weight`] needs it.
    pub fn open_to_read(path: &Path) -> Result<Self, TensorFileError> {
        let file = OpenFile::open(path)?;
        let header = Self::header_of(path, &mut file.file(), true)?;
        Ok(TensorFile {
            contents: Contents::Read(file),
            ..header
        })
    }

    /// Reads only the header: names, types and shapes; the data need not be there. Everything but the length of the file is
    /// checked as in [`TensorFile::open`].
    pub fn open_header(path: &Path) -> Result<Self, TensorFileError> {
        let mut input = File::open(path).map_err(ErrorsOf(path).io("read"))?;
        Self::header_of(path, &mut input, false)
    }

    /// `with_data` says whether the data must be there.
    fn header_of(path: &Path, input: &mut File, with_data: bool) -> Result<Self, TensorFileError> {
        let io = ErrorsOf(path).io("read");
        let available = input.metadata().map_err(&io)?.len();
        let mut beginning = Vec::with_capacity(BEGINNING);
        input
            .by_ref()
            .take(BEGINNING as u64)
            .read_to_end(&mut beginning)
            .map_err(&io)?;
        let length = header_length(path, &beginning, available)?;
        let mut header = Vec::with_capacity(length);
        let header_start = SeekFrom::Start(LENGTH_BYTES as u64);
        input.seek(header_start).map_err(&io)?;
        input
            .take(length as u64)
            .read_to_end(&mut header)
            .map_err(&io)?;
        let data_start = LENGTH_BYTES + length;
        let data = usize::try_from(available).unwrap_or(usize::MAX);
        let data = with_data.then(|| data.saturating_sub(data_start));
        let tensors = read_header(path, &header, data)?;
        Ok(TensorFile {
            file: path.to_path_buf(),
            contents: Contents::HeaderOnly,
            data_start,
            tensors,
        })
    }

    /// The path of the file, or its label.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// The names of the tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The type, the shape and the place of a tensor.
    #[cfg(any(test, feature = "internals"))]
    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    /// The type and the shape of a tensor.
    pub fn header(&self, name: &str) -> Option<TensorHeader> {
        let info = self.tensors.get(name)?;
        Some(TensorHeader {
            dtype: match info.dtype {
                Dtype::F32 => Some(DType::F32),
                Dtype::F16 => Some(DType::F16),
                Dtype::BF16 => Some(DType::BF16),
                _ => None,
            },
            written: format!("{:?}", info.dtype),
            shape: info.shape.clone(),
        })
    }

    /// The range of a tensor's bytes in the file.
    pub fn place(&self, name: &str) -> Result<Range<usize>, TensorFileError> {
        let info = self.tensors.get(name);
        let info = info.ok_or_else(|| ErrorsOf(&self.file).not_found(name))?;
        let place = |offset: usize| self.data_start.saturating_add(offset);
        Ok(place(info.data_offsets.0)..place(info.data_offsets.1))
    }

    /// The bytes `range` of the file, within the tensor `name`.
    pub fn copy(&self, name: &str, range: Range<usize>) -> Result<Vec<u8>, TensorFileError> {
        let copied = self.contents.copy(range)?;
        copied.ok_or_else(|| ErrorsOf(&self.file).header_only(name))
    }

    /// The number of bytes of a tensor in the file; `None` if there is no tensor with that name.
    #[cfg(any(test, feature = "internals"))]
    pub fn stored_bytes(&self, name: &str) -> Option<usize> {
        let (start, end) = self.tensors.get(name)?.data_offsets;
        end.checked_sub(start)
    }

    /// A view of a tensor of F32, F16 or BF16 elements. No data is copied, unless the file is read on demand.
    pub fn weight(&self, name: &str) -> Result<Weight, TensorFileError> {
        let errors = ErrorsOf(&self.file);
        let info = self.tensors.get(name);
        let info = info.ok_or_else(|| errors.not_found(name))?;
        let element = match info.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            _ => return Err(self.wrong_type(name, info, "F32, F16 or BF16")),
        };
        let part = self.contents.part(self.place(name)?)?;
        let (bytes, start) = part.ok_or_else(|| errors.header_only(name))?;
        Weight::new(bytes, start, element, &info.shape).map_err(|source| errors.view(name, source))
    }

    /// Fails if the file has changed since it was opened.
    pub fn check(&self) -> Result<(), MapError> {
        self.contents.check()
    }

    /// Lets the system reclaim the memory of what was read of the file.
    pub fn release(&self) {
        self.contents.release();
    }

    /// The bytes of a tensor, as in the file.
    #[cfg(any(test, feature = "internals"))]
    pub fn bytes(&self, name: &str) -> Result<&[u8], TensorFileError> {
        let (info, bytes) = self.data(name)?;
        Ok(self.tensor_bytes(info, bytes))
    }

    /// The elements of an F32 tensor, row-major.
    #[cfg(any(test, feature = "internals"))]
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>, TensorFileError> {
        let (info, bytes) = self.data(name)?;
        match info.dtype {
            Dtype::F32 => {
                let data = self.tensor_bytes(info, bytes);
                Ok(data
                    .as_chunks()
                    .0
                    .iter()
                    .map(|&b| f32::from_le_bytes(b))
                    .collect())
            }
            _ => Err(self.wrong_type(name, info, "F32")),
        }
    }

    /// The elements of an I64 or I32 tensor, row-major.
    #[cfg(any(test, feature = "internals"))]
    pub fn read_i64(&self, name: &str) -> Result<Vec<i64>, TensorFileError> {
        let (info, bytes) = self.data(name)?;
        let data = self.tensor_bytes(info, bytes);
        match info.dtype {
            Dtype::I64 => Ok(data
                .as_chunks()
                .0
                .iter()
                .map(|&b| i64::from_le_bytes(b))
                .collect()),
            Dtype::I32 => Ok(data
                .as_chunks()
                .0
                .iter()
                .map(|&b| i64::from(i32::from_le_bytes(b)))
                .collect()),
            _ => Err(self.wrong_type(name, info, "I64 or I32")),
        }
    }

    /// The entry of a tensor, and the whole file that contains it.
    #[cfg(any(test, feature = "internals"))]
    fn data(&self, name: &str) -> Result<(&TensorInfo, &Mapped), TensorFileError> {
        let Some(info) = self.tensors.get(name) else {
            return Err(ErrorsOf(&self.file).not_found(name));
        };
        match self.contents.whole() {
            Some(bytes) => Ok((info, bytes)),
            None => Err(ErrorsOf(&self.file).header_only(name)),
        }
    }

    /// The bytes of a tensor. The header check found them to be inside the file.
    #[cfg(any(test, feature = "internals"))]
    fn tensor_bytes<'a>(&self, info: &TensorInfo, bytes: &'a Mapped) -> &'a [u8] {
        let data = bytes.get(self.data_start..).unwrap_or_default();
        data.get(info.data_offsets.0..info.data_offsets.1)
            .unwrap_or_default()
    }

    fn wrong_type(&self, name: &str, info: &TensorInfo, expected: &'static str) -> TensorFileError {
        ErrorsOf(&self.file).element_type(name, info.dtype, expected)
    }
}

/// The length of the header in bytes, from the beginning of the file. It is accepted only if it fits into the file,
/// which is `available` bytes long.
fn header_length(file: &Path, beginning: &[u8], available: u64) -> Result<usize, TensorFileError> {
    let malformed = |problem| ErrorsOf(file).malformed(problem);
    let Some(prefix) = beginning.first_chunk::<LENGTH_BYTES>() else {
        let short = || format!("{available} bytes are too few for a safetensors file");
        return Err(malformed(foreign(beginning).unwrap_or_else(short)));
    };
    let length = u64::from_le_bytes(*prefix);
    let rest = available.saturating_sub(LENGTH_BYTES as u64);
    let problem = if length > rest {
        format!(
            "the header claims {length} bytes but {rest} follow; the file is cut off or is not a safetensors file"
        )
    } else if length > MAX_HEADER_BYTES {
        format!("the header claims {length} bytes; at most {MAX_HEADER_BYTES} are read")
    } else if length == 0 {
        "the header has 0 bytes".to_string()
    } else {
        return usize::try_from(length)
            .map_err(|_| malformed(format!("the header claims {length} bytes")));
    };
    Err(malformed(foreign(beginning).unwrap_or(problem)))
}

/// Parses and checks a header. `data_bytes` is the length of the data after the header, or `None` if the length must
/// not be checked.
fn read_header(
    file: &Path,
    header: &[u8],
    data_bytes: Option<usize>,
) -> Result<BTreeMap<String, TensorInfo>, TensorFileError> {
    let malformed = |problem| ErrorsOf(file).malformed(problem);
    let Header(mut tensors) = serde_json::from_slice(header)
        .map_err(|e| malformed(format!("cannot read the header: {e}")))?;
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let mut end_of_previous = 0;
    for (name, info) in &tensors {
        let bad = |problem| ErrorsOf(file).bad_tensor(name, problem);
        let (start, end) = info.data_offsets;
        let Some(bytes) = tensor_size(info) else {
            return Err(bad(format!(
                "shape {:?} of {} has no size in whole bytes",
                info.shape, info.dtype
            )));
        };
        if start.checked_add(bytes) != Some(end) {
            return Err(bad(format!(
                "shape {:?} of {} takes {bytes} bytes, but the data offsets are {start}..{end}",
                info.shape, info.dtype
            )));
        }
        if start != end_of_previous {
            let what = if start < end_of_previous {
                "overlap"
            } else {
                "leave a gap"
            };
            return Err(bad(format!(
                "the data offsets {start}..{end} {what}: the tensor before ends at {end_of_previous}"
            )));
        }
        if data_bytes.is_some_and(|available| end > available) {
            return Err(bad(format!(
                "the data offsets {start}..{end} reach beyond the file, which has {} bytes of data; it is cut off",
                data_bytes.unwrap_or_default()
            )));
        }
        end_of_previous = end;
    }
    if let Some(available) = data_bytes.filter(|&available| available != end_of_previous) {
        return Err(malformed(format!(
            "the header describes {end_of_previous} bytes of data, the file has {available}"
        )));
    }
    Ok(tensors.into_iter().collect())
}

/// The number of bytes of a tensor, if it is a whole number within `usize`.
fn tensor_size(info: &TensorInfo) -> Option<usize> {
    let elements = info
        .shape
        .iter()
        .try_fold(1usize, |n, &dim| n.checked_mul(dim))?;
    let bits = elements.checked_mul(info.dtype.bitsize())?;
    (bits % 8 == 0).then_some(bits / 8)
}

/// The entries of the header in the order of the file, without the free-text metadata. A name that occurs twice is an error.
struct Header(Vec<(String, TensorInfo)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from tensor names to types, shapes and data offsets")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut seen = HashSet::new();
        let mut tensors = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let info = map
                .next_value()
                .map_err(|e| A::Error::custom(format!("tensor `{name}`: {e}")))?;
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom(format!(
                    "tensor `{name}` occurs twice in the header"
                )));
            }
            tensors.push((name, info));
        }
        Ok(Header(tensors))
    }
}
