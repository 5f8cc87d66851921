//! The header: magic, version, counts, metadata, tensor descriptions.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use super::cursor::{Cursor, Stop};
use super::metadata::{Entry, ValueType, integer_at};
use super::tensors::{Described, TensorEntry, TensorType, check_extents};
use crate::files::foreign::foreign;

/// The bytes with which every GGUF file begins.
pub const MAGIC: [u8; 4] = *b"GGUF";
/// The most metadata keys, and the most tensors.
const MOST_ENTRIES: u64 = 1 << 20;
/// The fewest bytes of a metadata entry: the length of the key, a type, and a value of one byte.
const LEAST_KEY: u64 = 8 + 4 + 1;
/// The fewest bytes of the description of a tensor: the length of the name, the number of dimensions, one dimension, the
/// type and the offset.
const LEAST_TENSOR: u64 = 8 + 4 + 8 + 4 + 8;
/// The most dimensions of a tensor.
pub(crate) const MOST_DIMS: u32 = 4;
/// The key for the alignment of tensor data, in bytes.
pub(crate) const ALIGNMENT: &str = "general.alignment";
/// The alignment if the file does not state one.
pub(crate) const DEFAULT_ALIGNMENT: u64 = 32;

/// A checked header.
#[derive(Debug)]
pub(super) struct Header {
    /// Where the value of each key is stored.
    pub metadata: BTreeMap<String, Entry>,
    /// The tensors.
    pub tensors: BTreeMap<String, TensorEntry>,
}

/// Reads a header from the beginning of a file that is `available` bytes long. `with_data` says whether the tensors
/// must lie within the file.
pub(super) fn read_header(bytes: &[u8], available: u64, with_data: bool) -> Result<Header, Stop> {
    let mut cursor = Cursor::new(bytes, available);
    cursor.reading = "the file's beginning".to_string();
    if cursor.array()? != MAGIC {
        let other = foreign(bytes);
        let other = other.unwrap_or_else(|| "it does not begin with \"GGUF\"".to_string());
        return Err(Stop::bad(format!("not a GGUF file: {other}")));
    }
    match cursor.u32()? {
        2 | 3 => {}
        version if matches!(version.swap_bytes(), 1..16) => {
            return Err(Stop::bad(
                "a big-endian GGUF file; only little-endian ones can be read",
            ));
        }
        version => {
            return Err(Stop::bad(format!(
                "version {version} of GGUF; only versions 2 and 3 can be read"
            )));
        }
    }
    let tensor_count = cursor.u64()?;
    let key_count = cursor.u64()?;
    for (count, least, what) in [
        (key_count, LEAST_KEY, "metadata keys"),
        (tensor_count, LEAST_TENSOR, "tensors"),
    ] {
        cursor.expect(count, least, what)?;
        if count > MOST_ENTRIES {
            return Err(Stop::bad(format!(
                "{count} {what}; at most {MOST_ENTRIES} are read"
            )));
        }
    }
    let metadata = read_metadata(&mut cursor, key_count)?;
    let alignment = alignment(bytes, &metadata)?;
    let described = read_tensors(&mut cursor, tensor_count)?;
    let data_start = (cursor.position() as u64).next_multiple_of(alignment);
    let end = with_data.then_some(available);
    let tensors = check_extents(described, data_start, alignment, end)?;
    Ok(Header { metadata, tensors })
}

fn read_metadata(cursor: &mut Cursor<'_>, count: u64) -> Result<BTreeMap<String, Entry>, Stop> {
    let mut metadata = BTreeMap::new();
    for index in 0..count {
        cursor.reading = format!("metadata key {index} (from 0)");
        let key = cursor.name()?;
        cursor.reading = format!("metadata key `{key}`");
        let value_type = ValueType::read(cursor)?;
        let start = cursor.position();
        value_type.skip(cursor, 0)?;
        let entry = Entry {
            value_type,
            range: start..cursor.position(),
        };
        match metadata.entry(key) {
            Slot::Vacant(slot) => slot.insert(entry),
            Slot::Occupied(_) => return Err(cursor.problem("it occurs twice")),
        };
    }
    Ok(metadata)
}

fn alignment(bytes: &[u8], metadata: &BTreeMap<String, Entry>) -> Result<u64, Stop> {
    let Some(entry) = metadata.get(ALIGNMENT) else {
        return Ok(DEFAULT_ALIGNMENT);
    };
    let stated = integer_at(bytes, entry).and_then(|n| u32::try_from(n).ok());
    match stated.filter(|n| n.is_power_of_two()) {
        Some(alignment) => Ok(u64::from(alignment)),
        None => Err(Stop::bad(format!(
            "metadata key `{ALIGNMENT}` must be a power of two below 2^32"
        ))),
    }
}

fn read_tensors(cursor: &mut Cursor<'_>, count: u64) -> Result<Vec<Described>, Stop> {
    let mut tensors = Vec::new();
    for index in 0..count {
        cursor.reading = format!("tensor {index} (from 0)");
        let name = cursor.name()?;
        cursor.reading = format!("tensor `{name}`");
        let rank = cursor.u32()?;
        let bad = |problem: String| Stop::BadTensor {
            tensor: name.clone(),
            problem,
        };
        if rank == 0 || rank > MOST_DIMS {
            return Err(bad(format!(
                "{rank} dimensions; there must be 1 to {MOST_DIMS}"
            )));
        }
        let mut shape = Vec::new();
        for _ in 0..rank {
            let dim = cursor.u64()?;
            match usize::try_from(dim) {
                Ok(dim) if dim > 0 => shape.push(dim),
                _ => return Err(bad(format!("a dimension can't be {dim}"))),
            }
        }
        // The file lists the innermost dimension first.
        shape.reverse();
        let tensor_type = TensorType(cursor.u32()?);
        let offset = cursor.u64()?;
        tensors.push(Described {
            name,
            tensor_type,
            shape,
            offset,
        });
    }
    Ok(tensors)
}
