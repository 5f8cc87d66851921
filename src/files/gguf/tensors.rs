//! Tensor types, and the places of tensors.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::fmt;
use std::ops::Range;

use super::cursor::Stop;
use crate::blocks::BlockFormat;
use crate::types::DType;

/// A tensor, as the header describes it.
pub(super) struct Described {
    pub name: String,
    pub tensor_type: TensorType,
    /// Outermost first.
    pub shape: Vec<usize>,
    /// Bytes from the start of the data.
    pub offset: u64,
}

/// The type of the elements of a tensor, as its number in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TensorType(pub u32);

impl TensorType {
    /// IEEE binary32.
    pub const F32: TensorType = TensorType(0);
    /// IEEE binary16.
    pub const F16: TensorType = TensorType(1);
    /// The upper half of a binary32.
    pub const BF16: TensorType = TensorType(30);

    /// The block format with that number; `None` for plain elements, and for types that are not supported.
    pub fn block_format(self) -> Option<BlockFormat> {
        BlockFormat::numbered(self.0)
    }

    /// The element type, if weights can have it.
    pub fn dtype(self) -> Option<DType> {
        let float = FLOATS.iter().find(|(_, number)| *number == self);
        let float = float.map(|(dtype, _)| *dtype);
        float.or_else(|| self.block_format().map(DType::Blocks))
    }

    /// The tensor type for that element type, if weights can have it.
    pub fn of(dtype: DType) -> Option<TensorType> {
        if let DType::Blocks(format) = dtype {
            return Some(TensorType(format.number()));
        }
        let float = FLOATS.iter().find(|(float, _)| *float == dtype);
        float.map(|(_, number)| *number)
    }

    /// The bytes of a tensor of `shape`, outermost dimension first; the error says why no such tensor is possible.
    pub fn bytes_of(self, shape: &[usize]) -> Result<u64, String> {
        match self.known() {
            Some((_, elements, bytes)) => tensor_size(shape, elements, bytes),
            None => Err("the size of its elements is not known".to_string()),
        }
    }

    /// The name of the type, if it is known.
    pub fn name(self) -> Option<&'static str> {
        self.known().map(|(name, ..)| name)
    }

    /// The name of the type, the elements per block and the bytes per block; `None` if the type is unknown.
    fn known(self) -> Option<(&'static str, usize, usize)> {
        if let Some(format) = self.block_format() {
            return Some((format.name(), format.elements(), format.bytes()));
        }
        let known = OTHERS.iter().find(|known| known.0 == self.0);
        known.map(|&(_, name, elements, bytes)| (name, elements, bytes))
    }
}

/// The types of weights that are not blocks, and their numbers.
const FLOATS: [(DType, TensorType); 3] = [
    (DType::F32, TensorType::F32),
    (DType::F16, TensorType::F16),
    (DType::BF16, TensorType::BF16),
];

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some((name, _, _)) => f.write_str(name),
            None => write!(f, "type {} (unknown)", self.0),
        }
    }
}

/// The types that are not among our block formats: number, name, elements per block, bytes per block.
const OTHERS: [(u32, &str, usize, usize); 21] = [
    (0, "F32", 1, 4),
    (1, "F16", 1, 2),
    (9, "Q8_1", 32, 40),
    (15, "Q8_K", 256, 292),
    (16, "IQ2_XXS", 256, 66),
    (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50),
    (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (29, "IQ1_M", 256, 56),
    (30, "BF16", 1, 2),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
    (40, "NVFP4", 64, 36),
    (41, "Q1_0", 128, 18),
];

/// A tensor in a file.
#[derive(Debug, Clone)]
pub(super) struct TensorEntry {
    pub tensor_type: TensorType,
    /// Dimensions, outermost first; at least one, none of them 0.
    pub shape: Vec<usize>,
    /// The place of the tensor, in bytes from the start of the file; empty if the type is unknown.
    pub bytes: Range<usize>,
}

/// Checks that tensors are aligned, do not overlap, have different names, and end before `end`, if that is given.
pub(super) fn check_extents(
    mut described: Vec<Described>,
    data_start: u64,
    alignment: u64,
    end: Option<u64>,
) -> Result<BTreeMap<String, TensorEntry>, Stop> {
    described.sort_by_key(|tensor| tensor.offset);
    let mut tensors = BTreeMap::new();
    let mut end_of_previous = 0;
    for tensor in described {
        let Described {
            name,
            tensor_type,
            shape,
            offset,
        } = tensor;
        let bad = |problem| Stop::BadTensor {
            tensor: name.clone(),
            problem,
        };
        // For an unknown type only the number of elements is checked.
        let (_, elements, bytes) = tensor_type.known().unwrap_or(("", 1, 0));
        let size = tensor_size(&shape, elements, bytes)
            .map_err(|problem| bad(format!("{problem} ({tensor_type}, shape {shape:?})")))?;
        if offset % alignment != 0 {
            return Err(bad(format!(
                "the data offset {offset} is not a multiple of the alignment, {alignment}"
            )));
        }
        if offset < end_of_previous {
            return Err(bad(format!(
                "the data offset {offset} lies in the tensor before, which ends at {end_of_previous}"
            )));
        }
        let place = offset.checked_add(size).and_then(|end_of_this| {
            let start = data_start.checked_add(offset)?;
            let range =
                usize::try_from(start).ok()?..usize::try_from(start.checked_add(size)?).ok()?;
            Some((end_of_this, range))
        });
        let Some((end_of_this, bytes)) = place else {
            return Err(bad(format!(
                "{size} bytes at the data offset {offset} reach beyond what can be addressed"
            )));
        };
        if let Some(end) = end.filter(|&end| bytes.end as u64 > end) {
            return Err(bad(format!(
                "it takes the file's bytes {bytes:?}, but the file has {end}; it is cut off"
            )));
        }
        end_of_previous = end_of_this;
        let entry = TensorEntry {
            tensor_type,
            shape,
            bytes,
        };
        match tensors.entry(name.clone()) {
            Slot::Vacant(slot) => slot.insert(entry),
            Slot::Occupied(_) => return Err(bad("it occurs twice".to_string())),
        };
    }
    Ok(tensors)
}

/// The bytes of a tensor whose rows consist of blocks.
fn tensor_size(shape: &[usize], block_elements: usize, block_bytes: usize) -> Result<u64, String> {
    let row = shape.last().copied().unwrap_or(1);
    if !row.is_multiple_of(block_elements) {
        return Err(format!(
            "rows of {row} elements are not made of whole blocks of {block_elements}"
        ));
    }
    let elements = shape
        .iter()
        .try_fold(1_usize, |count, &dim| count.checked_mul(dim));
    elements
        .and_then(|count| (count / block_elements).checked_mul(block_bytes))
        .map(|bytes| bytes as u64)
        .ok_or_else(|| "too many elements".to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_number_occurs_twice_and_blocks_have_the_sizes_that_names_say() {
        let others = OTHERS.iter().map(|&(number, ..)| number);
        let formats = BlockFormat::ALL.into_iter().map(BlockFormat::number);
        let mut numbers = BTreeSet::new();
        for number in others.chain(formats) {
            assert!(numbers.insert(number), "{number}");
            let (name, elements, bytes) = TensorType(number).known().unwrap();
            let bits = (bytes * 8) as f64 / elements as f64;
            let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
            let nominal: String = digits.chars().take_while(char::is_ascii_digit).collect();
            let nominal: f64 = nominal.parse().unwrap();
            assert!(bits >= nominal && bits < nominal + 2.1, "{name}: {bits}");
        }
    }
}
