//! Writing a GGUF file of version 3: the header at once, then the tensors' data as a stream.

use std::collections::HashSet;
use std::io::{self, Write};

use crate::files::gguf::{
    ALIGNMENT, DEFAULT_ALIGNMENT, MAGIC, MOST_DIMS, Metadata, TensorType, ValueType,
};

/// The version that is written.
const VERSION: u32 = 3;

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A key that can't be written as it is.
    #[error("metadata key `{key}`: {problem}")]
    Key {
        /// The key.
        key: String,
        /// What is wrong.
        problem: String,
    },
    /// A tensor that can't be written as it is.
    #[error("tensor `{tensor}`: {problem}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        problem: String,
    },
    /// There was more data than the tensors have.
    #[error("{surplus} bytes came after the last tensor's data")]
    Surplus {
        /// Number of surplus bytes.
        surplus: usize,
    },
}

/// A metadata key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct NewKey {
    key: String,
    value_type: u32,
    value: Vec<u8>,
}

impl NewKey {
    fn new(key: &str, value_type: ValueType, value: Vec<u8>) -> Self {
        NewKey {
            key: key.to_string(),
            value_type: value_type as u32,
            value,
        }
    }

    /// A key of another file with its value, whatever its type; `None` if that file has no such key.
    pub fn copied(metadata: &Metadata, key: &str) -> Option<Self> {
        let (value_type, value) = metadata.raw(key)?;
        Some(NewKey {
            key: key.to_string(),
            value_type,
            value: value.to_vec(),
        })
    }

    /// A key with an unsigned integer of 32 bits.
    pub fn u32(key: &str, value: u32) -> Self {
        Self::new(key, ValueType::U32, value.to_le_bytes().to_vec())
    }

    /// A key with an integer of 32 bits.
    pub fn i32(key: &str, value: i32) -> Self {
        Self::new(key, ValueType::I32, value.to_le_bytes().to_vec())
    }

    /// A key with a float of 32 bits.
    pub fn f32(key: &str, value: f32) -> Self {
        Self::new(key, ValueType::F32, value.to_le_bytes().to_vec())
    }

    /// A key with a boolean.
    pub fn bool(key: &str, value: bool) -> Self {
        Self::new(key, ValueType::Bool, vec![u8::from(value)])
    }

    /// A key with a text.
    pub fn text(key: &str, value: &str) -> Self {
        let mut bytes = Vec::new();
        put_text(&mut bytes, value);
        Self::new(key, ValueType::Text, bytes)
    }

    /// A key with a list of texts.
    pub fn texts<'t>(key: &str, values: impl ExactSizeIterator<Item = &'t str>) -> Self {
        let mut bytes = (ValueType::Text as u32).to_le_bytes().to_vec();
        bytes.extend((values.len() as u64).to_le_bytes());
        values.for_each(|value| put_text(&mut bytes, value));
        Self::new(key, ValueType::Array, bytes)
    }

    /// A key with a list of floats of 32 bits.
    pub fn floats(key: &str, values: &[f32]) -> Self {
        let elements = values.iter().map(|value| value.to_le_bytes());
        Self::array(key, ValueType::F32, elements)
    }

    /// A key with a list of integers of 32 bits.
    pub fn integers(key: &str, values: &[i32]) -> Self {
        let elements = values.iter().map(|value| value.to_le_bytes());
        Self::array(key, ValueType::I32, elements)
    }

    fn array(
        key: &str,
        element: ValueType,
        values: impl ExactSizeIterator<Item = [u8; 4]>,
    ) -> Self {
        let mut bytes = (element as u32).to_le_bytes().to_vec();
        bytes.extend((values.len() as u64).to_le_bytes());
        bytes.extend(values.flatten());
        Self::new(key, ValueType::Array, bytes)
    }
}

/// A length, then as many bytes.
fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// A tensor that will be written.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTensor {
    /// Its name, unique in the file.
    pub name: String,
    /// Its elements' type.
    pub tensor_type: TensorType,
    /// Its dimensions, outermost first.
    pub shape: Vec<usize>,
}

/// Writes one file. Data must come in the order of the tensors, in pieces of any length; each tensor's elements are row-major
/// and little-endian, or in blocks, as its type says. The writer adds the padding.
#[derive(Debug)]
pub struct GgufWriter<W> {
    out: W,
    /// The size of each tensor's data, including padding, is a multiple of this number of bytes.
    alignment: u64,
    /// The tensors that have not been written in full: name and bytes of data, last tensor first.
    ahead: Vec<(String, u64)>,
    /// Bytes of the next tensor that have been written.
    written: u64,
}

impl<W: Write> GgufWriter<W> {
    /// Writes the header. If `general.alignment` is among the keys, it is respected.
    pub fn new(out: W, keys: &[NewKey], tensors: &[NewTensor]) -> Result<Self, WriteError> {
        let alignment = alignment(keys)?;
        let mut header = MAGIC.to_vec();
        header.extend(VERSION.to_le_bytes());
        header.extend((tensors.len() as u64).to_le_bytes());
        header.extend((keys.len() as u64).to_le_bytes());
        let mut seen = HashSet::new();
        for NewKey {
            key,
            value_type,
            value,
        } in keys
        {
            if !seen.insert(key) {
                let (key, problem) = (key.clone(), "it occurs twice".to_string());
                return Err(WriteError::Key { key, problem });
            }
            put_text(&mut header, key);
            header.extend(value_type.to_le_bytes());
            header.extend(value);
        }
        let mut ahead = Vec::new();
        let mut offset = 0u64;
        let mut seen = HashSet::new();
        for NewTensor {
            name,
            tensor_type,
            shape,
        } in tensors
        {
            let bad = |problem: String| WriteError::Tensor {
                tensor: name.clone(),
                problem,
            };
            if !seen.insert(name) {
                return Err(bad("it occurs twice".to_string()));
            }
            if !(1..=MOST_DIMS as usize).contains(&shape.len()) || shape.contains(&0) {
                return Err(bad(format!(
                    "its shape {shape:?} should be 1 to {MOST_DIMS} dimensions, none of them 0"
                )));
            }
            let size = tensor_type.bytes_of(shape).map_err(bad)?;
            put_text(&mut header, name);
            header.extend((shape.len() as u32).to_le_bytes());
            for &dim in shape.iter().rev() {
                header.extend((dim as u64).to_le_bytes());
            }
            header.extend(tensor_type.0.to_le_bytes());
            header.extend(offset.to_le_bytes());
            offset = size
                .checked_next_multiple_of(alignment)
                .and_then(|size| offset.checked_add(size))
                .ok_or_else(|| bad("too many elements".to_string()))?;
            ahead.push((name.clone(), size));
        }
        ahead.reverse();
        let mut writer = GgufWriter {
            out,
            alignment,
            ahead,
            written: 0,
        };
        writer.out.write_all(&header)?;
        writer.pad(header.len() as u64)?;
        Ok(writer)
    }

    /// Writes the next bytes of the tensors' data.
    pub fn write(&mut self, mut data: &[u8]) -> Result<(), WriteError> {
        while !data.is_empty() {
            let Some(&(_, size)) = self.ahead.last() else {
                return Err(WriteError::Surplus {
                    surplus: data.len(),
                });
            };
            let rest = usize::try_from(size - self.written).unwrap_or(usize::MAX);
            let (now, later) = data.split_at(rest.min(data.len()));
            self.out.write_all(now)?;
            self.written += now.len() as u64;
            if self.written == size {
                self.pad(size)?;
                self.ahead.pop();
                self.written = 0;
            }
            data = later;
        }
        Ok(())
    }

    /// Flushes, and returns the writer; an error if data of a tensor is missing.
    pub fn finish(mut self) -> Result<W, WriteError> {
        if let Some((tensor, size)) = self.ahead.pop() {
            let problem = format!("{} of its {size} bytes have been written", self.written);
            return Err(WriteError::Tensor { tensor, problem });
        }
        self.out.flush()?;
        Ok(self.out)
    }

    /// Zeros after `bytes` bytes.
    fn pad(&mut self, bytes: u64) -> io::Result<()> {
        let padding = bytes.next_multiple_of(self.alignment) - bytes;
        io::copy(&mut io::Read::take(io::repeat(0), padding), &mut self.out)?;
        Ok(())
    }
}

/// The alignment that the keys state.
fn alignment(keys: &[NewKey]) -> Result<u64, WriteError> {
    let Some(stated) = keys.iter().find(|key| key.key == ALIGNMENT) else {
        return Ok(DEFAULT_ALIGNMENT);
    };
    let number = <[u8; 4]>::try_from(&stated.value[..]).ok();
    number
        .filter(|_| stated.value_type == ValueType::U32 as u32)
        .map(|number| u64::from(u32::from_le_bytes(number)))
        .filter(|number| number.is_power_of_two())
        .ok_or_else(|| WriteError::Key {
            key: ALIGNMENT.to_string(),
            problem: "it must be a power of two of type U32".to_string(),
        })
}
