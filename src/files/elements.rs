//! The elements of weight files: plain numbers, or quantized blocks.

use half::{bf16, f16};

use crate::blocks::{BlockFormat, MOST_ELEMENTS};
use crate::types::DType;

/// The bits of elements that are `stride` elements apart, where the first is `skip` elements after the beginning of `bytes`:
/// F16 and BF16 are in the lower half, and elements of blocks are read as F32. For blocks `stride` is 1, and for other types
/// `skip` is 0. `dtype` is a type of weights.
pub(super) fn read_bits(dtype: DType, bytes: &[u8], skip: usize, stride: usize, out: &mut [u32]) {
    match dtype {
        DType::F32 => gather(bytes, stride, out, u32::from_le_bytes),
        DType::F16 | DType::BF16 => gather(bytes, stride, out, |b| u16::from_le_bytes(b).into()),
        DType::Blocks(format) => dequantize(format, bytes, skip, out, |x| x.to_bits()),
        DType::I32 | DType::Int8 => unreachable!("weights are floats"),
    }
}

/// Like [`read_bits`], but converted to f32, exactly.
pub(super) fn read_f32(dtype: DType, bytes: &[u8], skip: usize, stride: usize, out: &mut [f32]) {
    match dtype {
        DType::F32 => gather(bytes, stride, out, f32::from_le_bytes),
        DType::F16 => gather(bytes, stride, out, |b| f16::from_le_bytes(b).to_f32()),
        DType::BF16 => gather(bytes, stride, out, |b| bf16::from_le_bytes(b).to_f32()),
        DType::Blocks(format) => dequantize(format, bytes, skip, out, |x| x),
        DType::I32 | DType::Int8 => unreachable!("weights are floats"),
    }
}

/// Reads elements of `BYTES` bytes that are `stride` elements apart.
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

/// The elements of consecutive blocks, from element `skip` on.
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
