//! Elements as weight files hold them: plain numbers, or blocks of quantized ones.

use std::fmt;

use half::{bf16, f16};

use crate::blocks::{BlockFormat, MOST_ELEMENTS};
use crate::types::DType;

/// The type of a weight's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ElementType {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// The upper half of a binary32.
    BF16,
    /// Blocks of consecutive elements of a row, which are read as the floats that they mean.
    Blocks(BlockFormat),
}

impl ElementType {
    /// How many elements are stored together, and how many bytes they take.
    pub fn unit(self) -> (usize, usize) {
        DType::from(self).unit()
    }

    /// The format, if the elements lie in blocks.
    pub fn blocks(self) -> Option<BlockFormat> {
        match self {
            ElementType::Blocks(format) => Some(format),
            _ => None,
        }
    }

    /// The bits of elements that stand `stride` elements apart, the first of them `skip` elements behind the beginning of
    /// `bytes`: F16 and BF16 in the lower half, elements of blocks as F32. Elements of blocks have stride 1, and those of
    /// other types no `skip`.
    pub(super) fn read_bits(self, bytes: &[u8], skip: usize, stride: usize, out: &mut [u32]) {
        match self {
            ElementType::F32 => gather(bytes, stride, out, u32::from_le_bytes),
            ElementType::F16 | ElementType::BF16 => {
                gather(bytes, stride, out, |b| u16::from_le_bytes(b).into())
            }
            ElementType::Blocks(format) => {
                dequantize(format, bytes, skip, out, |x| x.to_bits());
            }
        }
    }

    /// As [`ElementType::read_bits`], but converted to f32, exactly.
    pub(super) fn read_f32(self, bytes: &[u8], skip: usize, stride: usize, out: &mut [f32]) {
        match self {
            ElementType::F32 => gather(bytes, stride, out, f32::from_le_bytes),
            ElementType::F16 => gather(bytes, stride, out, |b| f16::from_le_bytes(b).to_f32()),
            ElementType::BF16 => gather(bytes, stride, out, |b| bf16::from_le_bytes(b).to_f32()),
            ElementType::Blocks(format) => dequantize(format, bytes, skip, out, |x| x),
        }
    }
}

/// Weights can't have elements of this type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("weights can't be {0}")]
pub struct NoWeight(pub DType);

impl From<ElementType> for DType {
    fn from(element: ElementType) -> Self {
        match element {
            ElementType::F32 => DType::F32,
            ElementType::F16 => DType::F16,
            ElementType::BF16 => DType::BF16,
            ElementType::Blocks(format) => DType::Blocks(format),
        }
    }
}

impl TryFrom<DType> for ElementType {
    type Error = NoWeight;

    fn try_from(dtype: DType) -> Result<Self, NoWeight> {
        match dtype {
            DType::F32 => Ok(ElementType::F32),
            DType::F16 => Ok(ElementType::F16),
            DType::BF16 => Ok(ElementType::BF16),
            DType::Blocks(format) => Ok(ElementType::Blocks(format)),
            DType::I32 | DType::Int8 => Err(NoWeight(dtype)),
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        DType::from(*self).fmt(f)
    }
}

/// Reads elements of `BYTES` bytes that stand `stride` elements apart.
pub(super) fn gather<const BYTES: usize, T>(
    bytes: &[u8],
    stride: usize,
    out: &mut [T],
    convert: impl Fn([u8; BYTES]) -> T,
) {
    let elements = bytes.as_chunks().0;
    if stride == 1 {
        for (value, &element) in out.iter_mut().zip(elements) {
            *value = convert(element);
        }
    } else {
        for (value, &element) in out.iter_mut().zip(elements.iter().step_by(stride.max(1))) {
            *value = convert(element);
        }
    }
}

/// The elements of consecutive blocks from element `skip` on.
fn dequantize<T>(
    format: BlockFormat,
    blocks: &[u8],
    skip: usize,
    out: &mut [T],
    convert: impl Fn(f32) -> T,
) {
    let mut values = [0.0; MOST_ELEMENTS];
    let values = &mut values[..format.elements()];
    let (mut block, mut skip) = (skip / values.len(), skip % values.len());
    let mut out = out.iter_mut();
    while out.len() > 0 {
        let start = block * format.bytes();
        let Some(bytes) = blocks.get(start..start + format.bytes()) else {
            return;
        };
        format.dequantize(bytes, values);
        let values = &values[skip..];
        for (out, value) in out.by_ref().take(values.len()).zip(values) {
            *out = convert(*value);
        }
        (block, skip) = (block + 1, 0);
    }
}
