//! Block formats: how files store quantized weights, 32 or 256 elements of a row at a time.
//!
//! Here stands what a block is in a file, byte by byte, what floats it means, and which block floats become. How files
//! place their tensors is told in `files/`, how kernels lay blocks out for themselves in `kernels/`.
//!
//! Scales are IEEE binary16, little-endian. They are widened to f32 (exactly) before anything is computed, and each product
//! and each difference is rounded to f32 on its own, so that a block means the same bits everywhere. A scale that is
//! infinite or no number gives elements that are infinite or no numbers. Of two elements in one byte the lower four bits
//! are the first.

mod field;
mod fit;
mod iq4;
mod k_quants;
mod k_quants_write;
mod legacy;

use std::fmt;

pub(crate) use iq4::LEVELS as IQ4_LEVELS;

/// A format of quantized blocks, as GGUF files have them. Elements of a block are consecutive elements of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockFormat {
    /// 4 bits a weight and a scale.
    Q4_0,
    /// 4 bits a weight, a scale and a minimum.
    Q4_1,
    /// 5 bits a weight and a scale.
    Q5_0,
    /// 5 bits a weight, a scale and a minimum.
    Q5_1,
    /// 8 bits a weight and a scale.
    Q8_0,
    /// 2 bits a weight; 16 scales and minimums of 4 bits.
    Q2K,
    /// 3 bits a weight; 16 scales of 6 bits.
    Q3K,
    /// 4 bits a weight; 8 scales and minimums of 6 bits.
    Q4K,
    /// 5 bits a weight; 8 scales and minimums of 6 bits.
    Q5K,
    /// 6 bits a weight; 16 scales of 8 bits.
    Q6K,
    /// 4 bits a weight, through a table of 16 levels, and a scale.
    Iq4Nl,
    /// 4 bits a weight, through a table of 16 levels; 8 scales of 6 bits.
    Iq4Xs,
}

impl BlockFormat {
    /// Every format.
    pub const ALL: [BlockFormat; 12] = [
        BlockFormat::Q4_0,
        BlockFormat::Q4_1,
        BlockFormat::Q5_0,
        BlockFormat::Q5_1,
        BlockFormat::Q8_0,
        BlockFormat::Q2K,
        BlockFormat::Q3K,
        BlockFormat::Q4K,
        BlockFormat::Q5K,
        BlockFormat::Q6K,
        BlockFormat::Iq4Nl,
        BlockFormat::Iq4Xs,
    ];

    /// Elements of a block.
    pub const fn elements(self) -> usize {
        match self {
            BlockFormat::Q4_0
            | BlockFormat::Q4_1
            | BlockFormat::Q5_0
            | BlockFormat::Q5_1
            | BlockFormat::Q8_0
            | BlockFormat::Iq4Nl => 32,
            _ => 256,
        }
    }

    /// Bytes of a block in a file.
    pub const fn bytes(self) -> usize {
        match self {
            BlockFormat::Q4_0 | BlockFormat::Iq4Nl => 18,
            BlockFormat::Q4_1 => 20,
            BlockFormat::Q5_0 => 22,
            BlockFormat::Q5_1 => 24,
            BlockFormat::Q8_0 => 34,
            BlockFormat::Q2K => 84,
            BlockFormat::Q3K => 110,
            BlockFormat::Q4K => 144,
            BlockFormat::Q5K => 176,
            BlockFormat::Q6K => 210,
            BlockFormat::Iq4Xs => 136,
        }
    }

    /// The format for rows of `row` elements: this one, or where they are not whole blocks of it, the one of 32 elements that
    /// llama.cpp takes instead; `None` where they are not whole blocks of that either.
    pub fn for_rows(self, row: usize) -> Option<BlockFormat> {
        let smaller = match self {
            BlockFormat::Q4K => BlockFormat::Q5_0,
            BlockFormat::Q5K => BlockFormat::Q5_1,
            BlockFormat::Q6K => BlockFormat::Q8_0,
            other => other,
        };
        let mut formats = [self, smaller].into_iter();
        formats.find(|format| row > 0 && row.is_multiple_of(format.elements()))
    }

    /// The name that GGUF gives it.
    pub const fn name(self) -> &'static str {
        match self {
            BlockFormat::Q4_0 => "Q4_0",
            BlockFormat::Q4_1 => "Q4_1",
            BlockFormat::Q5_0 => "Q5_0",
            BlockFormat::Q5_1 => "Q5_1",
            BlockFormat::Q8_0 => "Q8_0",
            BlockFormat::Q2K => "Q2_K",
            BlockFormat::Q3K => "Q3_K",
            BlockFormat::Q4K => "Q4_K",
            BlockFormat::Q5K => "Q5_K",
            BlockFormat::Q6K => "Q6_K",
            BlockFormat::Iq4Nl => "IQ4_NL",
            BlockFormat::Iq4Xs => "IQ4_XS",
        }
    }

    /// Writes what `blocks` mean into `out`, in order.
    ///
    /// `blocks` are whole blocks of [`bytes`](Self::bytes) bytes, `out` has room for [`elements`](Self::elements) floats a
    /// block. Where the lengths disagree, only the blocks that have both are read and written, and the rest of `out` stays
    /// as it is.
    pub fn dequantize(self, blocks: &[u8], out: &mut [f32]) {
        match self {
            BlockFormat::Q4_0 => each_block(blocks, out, legacy::read_q4_0),
            BlockFormat::Q4_1 => each_block(blocks, out, legacy::read_q4_1),
            BlockFormat::Q5_0 => each_block(blocks, out, legacy::read_q5_0),
            BlockFormat::Q5_1 => each_block(blocks, out, legacy::read_q5_1),
            BlockFormat::Q8_0 => each_block(blocks, out, legacy::read_q8_0),
            BlockFormat::Q2K => each_block(blocks, out, k_quants::read_q2_k),
            BlockFormat::Q3K => each_block(blocks, out, k_quants::read_q3_k),
            BlockFormat::Q4K => each_block(blocks, out, k_quants::read_q4_k),
            BlockFormat::Q5K => each_block(blocks, out, k_quants::read_q5_k),
            BlockFormat::Q6K => each_block(blocks, out, k_quants::read_q6_k),
            BlockFormat::Iq4Nl => each_block(blocks, out, iq4::read_iq4_nl),
            BlockFormat::Iq4Xs => each_block(blocks, out, iq4::read_iq4_xs),
        }
    }

    /// Writes `values` into `out` as blocks, in order: the bytes that llama.cpp's quantizer makes without an importance
    /// matrix.
    ///
    /// `values` are whole blocks of [`elements`](Self::elements) floats, `out` has room for [`bytes`](Self::bytes) bytes a
    /// block. Where the lengths disagree, only the blocks that have both are read and written, and the rest of `out` stays
    /// as it is. Blocks of values that are not finite, or whose scale is beyond binary16, mean no finite values either.
    ///
    /// # Errors
    /// If the format is only read.
    pub fn quantize(self, values: &[f32], out: &mut [u8]) -> Result<(), OnlyRead> {
        match self {
            BlockFormat::Q4_0 => each_group(values, out, legacy::write_q4_0),
            BlockFormat::Q4_1 => each_group(values, out, legacy::write_q4_1),
            BlockFormat::Q5_0 => each_group(values, out, legacy::write_q5_0),
            BlockFormat::Q5_1 => each_group(values, out, legacy::write_q5_1),
            BlockFormat::Q8_0 => each_group(values, out, legacy::write_q8_0),
            BlockFormat::Q4K => each_group(values, out, k_quants_write::write_q4_k),
            BlockFormat::Q5K => each_group(values, out, k_quants_write::write_q5_k),
            BlockFormat::Q6K => each_group(values, out, k_quants_write::write_q6_k),
            BlockFormat::Q2K | BlockFormat::Q3K | BlockFormat::Iq4Nl | BlockFormat::Iq4Xs => {
                return Err(OnlyRead(self));
            }
        }
        Ok(())
    }
}

/// No block of this format can be made, only read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("blocks of {0} are read, not written")]
pub struct OnlyRead(pub BlockFormat);

/// Calls `read` for each whole block and its elements.
fn each_block<const BYTES: usize, const ELEMENTS: usize>(
    blocks: &[u8],
    out: &mut [f32],
    read: impl Fn(&[u8; BYTES], &mut [f32; ELEMENTS]),
) {
    let blocks = blocks.as_chunks().0;
    let out = out.as_chunks_mut().0;
    for (block, out) in blocks.iter().zip(out) {
        read(block, out);
    }
}

/// Calls `write` for the elements of each whole block and the block.
fn each_group<const ELEMENTS: usize, const BYTES: usize>(
    values: &[f32],
    out: &mut [u8],
    write: impl Fn(&[f32; ELEMENTS], &mut [u8; BYTES]),
) {
    let values = values.as_chunks().0;
    let blocks = out.as_chunks_mut().0;
    for (values, block) in values.iter().zip(blocks) {
        write(values, block);
    }
}

impl fmt::Display for BlockFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
