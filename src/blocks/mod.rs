//! Block formats: how files store quantized weights, 32 or 256 elements of a row at a time.
//!
//! What belongs here: the layout of a block in a file, byte by byte; the integers and scales of its elements (`group`); and
//! the conversion of floats to blocks. What is absent: how files place their tensors (`files/`), and how kernels multiply
//! (`kernels/`).
//!
//! A format is one row of `table`. A new format needs a row, a codec, its unpacking (`kernels/quantized/formats.rs`), and
//! test vectors of the reference implementation.
//!
//! Scales are IEEE binary16, little-endian, or powers of two in MXFP4. They are widened to f32 (exactly) before anything is
//! computed, and each product and each difference is rounded to f32 separately, so that a block means the same bits
//! everywhere. If a scale is infinite or NaN, the elements are infinite or NaN. When two elements share a byte, the lower
//! four bits belong to the first.

mod field;
mod fit;
mod group;
mod iq4;
mod k_quants;
mod k_quants_write;
mod legacy;
mod mxfp4;
mod table;

use std::fmt;

use group::GROUP;
pub(crate) use group::{Group, Minimum};
pub(crate) use iq4::LEVELS as IQ4_LEVELS;
pub(crate) use mxfp4::{LEVELS as MXFP4_LEVELS, exponent, power};
pub use table::BlockFormat;
pub(crate) use table::{Panel, Regroup};

/// The most elements of a block of any format.
pub(crate) const MOST_ELEMENTS: usize = {
    let (mut most, mut i) = (0, 0);
    while i < BlockFormat::ALL.len() {
        let elements = BlockFormat::ALL[i].elements();
        most = if elements > most { elements } else { most };
        i += 1;
    }
    most
};

/// The most bytes of a block of any format.
pub(crate) const MOST_BYTES: usize = {
    let (mut most, mut i) = (0, 0);
    while i < BlockFormat::ALL.len() {
        let bytes = BlockFormat::ALL[i].bytes();
        most = if bytes > most { bytes } else { most };
        i += 1;
    }
    most
};

impl BlockFormat {
    /// Elements of a block.
    pub const fn elements(self) -> usize {
        self.row().elements
    }

    /// Bytes of a block in a file.
    pub const fn bytes(self) -> usize {
        self.row().bytes
    }

    /// The name of the format in GGUF files and on the command line.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The number of the format in the tensor tables of GGUF files.
    pub const fn number(self) -> u32 {
        self.row().number
    }

    /// The format with that number in the tensor tables of GGUF files.
    pub fn numbered(number: u32) -> Option<BlockFormat> {
        let mut formats = BlockFormat::ALL.into_iter();
        formats.find(|format| format.number() == number)
    }

    /// The value of `general.file_type` in a GGUF file whose matrices mostly have the format; `None` if there is no such
    /// value.
    pub const fn file_type(self) -> Option<u32> {
        self.row().file_type
    }

    /// Whether blocks can be written as well as read.
    pub const fn is_written(self) -> bool {
        self.row().write.is_some()
    }

    /// The byte offsets of the binary16 scales of a block.
    pub fn scales(self) -> impl Iterator<Item = usize> {
        let panel = self.panel();
        (0..panel.scales).map(|i| panel.halves_at + 2 * i)
    }

    /// The order of the bits of a block in a panel of the kernels.
    pub(crate) const fn panel(self) -> &'static Panel {
        &self.row().panel
    }

    /// The format for rows of `row` elements: this one if the rows consist of whole blocks of it, otherwise the format of 32
    /// elements that llama.cpp chooses instead; `None` if the rows do not consist of whole blocks of that either.
    pub fn for_rows(self, row: usize) -> Option<BlockFormat> {
        let mut formats = [Some(self), self.row().smaller].into_iter().flatten();
        formats.find(|format| row > 0 && row.is_multiple_of(format.elements()))
    }

    /// The `number`-th 32 elements of `block`; `None` if `block` is shorter than a block of the format or has no such
    /// elements.
    pub(crate) fn group(self, block: &[u8], number: usize) -> Option<Group> {
        (self.row().group)(block, number)
    }

    /// Writes the elements of `blocks` into `out` as floats, in order.
    ///
    /// `blocks` consists of whole blocks of [`bytes`](Self::bytes) bytes, and `out` has room for
    /// [`elements`](Self::elements) floats per block. If the lengths disagree, only as many blocks as both have are read and
    /// written, and the rest of `out` is left unchanged.
    pub fn dequantize(self, blocks: &[u8], out: &mut [f32]) {
        (self.row().read)(blocks, out);
    }

    /// Writes `values` into `out` as blocks, in order: the same bytes that the quantizer of llama.cpp writes without an
    /// importance matrix.
    ///
    /// `values` consists of whole blocks of [`elements`](Self::elements) floats, and `out` has room for
    /// [`bytes`](Self::bytes) bytes per block. If the lengths disagree, only as many blocks as both have are read and
    /// written, and the rest of `out` is left unchanged. A block of values that are not finite, or whose scale is too large
    /// for binary16 where the format has such scales, does not decode to finite values either.
    ///
    /// # Errors
    /// If the format is only read: see [`is_written`](Self::is_written).
    pub fn quantize(self, values: &[f32], out: &mut [u8]) -> Result<(), OnlyRead> {
        let write = self.row().write.ok_or(OnlyRead(self))?;
        write(values, out);
        Ok(())
    }
}

/// Blocks of this format can be read, but not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("blocks of {0} are read, not written")]
pub struct OnlyRead(pub BlockFormat);

/// For each whole block, writes the floats of the groups that `read` returns.
fn each_block<const BYTES: usize, const ELEMENTS: usize>(
    blocks: &[u8],
    out: &mut [f32],
    read: impl Fn(&[u8; BYTES], usize) -> Group,
) {
    let blocks = blocks.as_chunks().0;
    let out = out.as_chunks_mut::<ELEMENTS>().0;
    for (block, out) in blocks.iter().zip(out) {
        let groups = out.as_chunks_mut::<GROUP>().0;
        for (number, out) in groups.iter_mut().enumerate() {
            read(block, number).write(out);
        }
    }
}

/// Calls `write` for each whole block, with its elements and its bytes.
fn each_write<const ELEMENTS: usize, const BYTES: usize>(
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
