//! Quantized weights in the form that kernels read: the blocks of the file in panels of 16 rows, with every bit kept.
//!
//! ```text
//! panel:  [cols / block][words][16] u32      lane = row; see `regroup` for the words of a lane
//!         [cols / block][halves][16] u16     the f16 scales
//!         zeros up to a multiple of 64 bytes
//! ```

use std::fmt;
use std::io;
use std::ops::Range;

use super::regroup::{Lane, halves, lane_bytes, words};
use crate::blocks::{BlockFormat, MOST_BYTES, MOST_ELEMENTS};
use crate::kernels::packed::{self, RowSource};
use crate::kernels::panel_memory::{PanelMemory, PanelStorage};
use crate::kernels::simd::LANES;

/// The alignment of panels in bytes.
const ALIGNMENT: usize = 64;
/// Blocks of a row that are copied from a file together. They should be few, to fit into the first-level cache beside the
/// part of the panel that they fill, which is 16 times as large; with only one block, finding the row takes longer than
/// copying the block.
const BLOCKS_AT_ONCE: usize = 8;

/// A matrix of quantized weights [rows, cols] (rows: out features, cols: in features) that is about to be packed.
pub trait BlockSource: Sync {
    /// Out features.
    fn rows(&self) -> usize;
    /// In features, a multiple of the block length.
    fn cols(&self) -> usize;
    /// The format of the blocks.
    fn format(&self) -> BlockFormat;
    /// Copies the bytes of the blocks of `row`, as in the file, from block `first` on; `out` has the length of whole blocks.
    fn copy_blocks(&self, row: usize, first: usize, out: &mut [u8]);
}

/// A [rows, cols] weight of quantized blocks in panels of 16 rows; the missing rows of the last panel are zero bits.
pub struct QuantizedMatrix {
    rows: usize,
    cols: usize,
    format: BlockFormat,
    storage: PanelStorage,
}

impl QuantizedMatrix {
    /// The size in bytes of a packed [rows, cols] matrix; `usize::MAX` if it is too large for any memory.
    pub fn bytes_for(rows: usize, cols: usize, format: BlockFormat) -> usize {
        let panel = panel_bytes(cols, format).unwrap_or(usize::MAX);
        rows.div_ceil(LANES).saturating_mul(panel)
    }

    /// A matrix of zero bits in `memory`, not yet touched, to be filled through [`QuantizedMatrix::panels_mut`].
    ///
    /// # Errors
    /// If `cols` is not a multiple of the block length, if the system refuses the memory, or if the size is larger than any
    /// memory.
    pub fn zeroed(
        memory: &mut PanelMemory,
        rows: usize,
        cols: usize,
        format: BlockFormat,
    ) -> io::Result<QuantizedMatrix> {
        if !cols.is_multiple_of(format.elements()) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "rows of {cols} elements are not whole {format} blocks of {}",
                    format.elements()
                ),
            ));
        }
        let bytes =
            panel_bytes(cols, format).and_then(|bytes| bytes.checked_mul(rows.div_ceil(LANES)));
        Ok(QuantizedMatrix {
            rows,
            cols,
            format,
            storage: memory.take(bytes)?,
        })
    }

    /// `source` packed by `threads` threads into `memory`.
    ///
    /// # Errors
    /// The same as for [`QuantizedMatrix::zeroed`].
    pub fn pack(
        memory: &mut PanelMemory,
        source: &dyn BlockSource,
        threads: usize,
    ) -> io::Result<QuantizedMatrix> {
        let (rows, cols) = (source.rows(), source.cols());
        let mut matrix = QuantizedMatrix::zeroed(memory, rows, cols, source.format())?;
        packed::on_threads(&mut matrix.panels_mut(), threads, |panel| {
            panel.fill(source)
        });
        Ok(matrix)
    }

    /// Out features.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// In features.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The format of the blocks.
    pub fn format(&self) -> BlockFormat {
        self.format
    }

    /// The number of panels of 16 rows.
    #[inline(always)]
    pub fn panels(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// The rows of panel `panel`: 16, except in the last panel.
    pub fn panel_rows(&self, panel: usize) -> Range<usize> {
        panel * LANES..self.rows.min((panel + 1) * LANES)
    }

    /// The size of the packed data in bytes.
    pub fn bytes(&self) -> usize {
        Self::bytes_for(self.rows, self.cols, self.format)
    }

    /// Panel `panel`.
    #[inline(always)]
    pub(super) fn panel(&self, panel: usize) -> QuantizedPanel<'_> {
        let blocks = self.cols / self.format.elements();
        let bytes = self.panel_stride();
        let data = &self.storage[panel * bytes..(panel + 1) * bytes];
        let (data, rest) = data.split_at(blocks * words(self.format) * LANES * 4);
        let rest = &rest[..blocks * halves(self.format) * LANES * 2];
        // SAFETY: both begin at multiples of 64, and any bits are valid integers.
        unsafe {
            QuantizedPanel {
                format: self.format,
                words: std::slice::from_raw_parts(data.as_ptr().cast(), data.len() / (LANES * 4)),
                halves: std::slice::from_raw_parts(rest.as_ptr().cast(), rest.len() / (LANES * 2)),
            }
        }
    }

    /// Every panel, for filling; panels are disjoint, so threads may fill them at the same time.
    pub fn panels_mut(&mut self) -> Vec<QuantizedPanelMut<'_>> {
        let (cols, format, bytes) = (self.cols, self.format, self.panel_stride());
        packed::split_panels(&mut self.storage, bytes, self.rows)
            .map(|(rows, data)| QuantizedPanelMut {
                rows,
                cols,
                format,
                data,
            })
            .collect()
    }

    /// Bytes from one panel to the next, which `zeroed` found to be possible.
    #[inline(always)]
    fn panel_stride(&self) -> usize {
        (self.cols / self.format.elements() * lane_bytes(self.format) * LANES)
            .next_multiple_of(ALIGNMENT)
    }
}

/// The size in bytes of a panel of `cols` columns.
fn panel_bytes(cols: usize, format: BlockFormat) -> Option<usize> {
    (cols / format.elements())
        .checked_mul(lane_bytes(format) * LANES)?
        .checked_next_multiple_of(ALIGNMENT)
}

impl fmt::Debug for QuantizedMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}, {}]", self.format, self.rows, self.cols)
    }
}

/// One panel: see the top of this file.
#[derive(Clone, Copy)]
pub struct QuantizedPanel<'a> {
    pub(super) format: BlockFormat,
    /// `[blocks][words][16]`.
    pub(super) words: &'a [[u32; LANES]],
    /// `[blocks][halves][16]`.
    pub(super) halves: &'a [[u16; LANES]],
}

impl QuantizedPanel<'_> {
    /// Lane `lane` of block `block`.
    fn lane(&self, block: usize, lane: usize) -> Lane {
        let (words, halves) = (words(self.format), halves(self.format));
        let mut to = Lane::ZERO;
        for (to, from) in to
            .words
            .iter_mut()
            .zip(&self.words[block * words..][..words])
        {
            *to = from[lane];
        }
        for (to, from) in to
            .halves
            .iter_mut()
            .zip(&self.halves[block * halves..][..halves])
        {
            *to = from[lane];
        }
        to
    }
}

/// One panel of a [`QuantizedMatrix`] that is being filled.
#[derive(Debug)]
pub struct QuantizedPanelMut<'a> {
    rows: Range<usize>,
    cols: usize,
    format: BlockFormat,
    data: &'a mut [u8],
}

impl QuantizedPanelMut<'_> {
    /// The rows of the matrix that are in this panel.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Copies this panel's rows from `source`, which has the matrix's shape and format. Lanes past the last row stay zero.
    pub fn fill(&mut self, source: &dyn BlockSource) {
        let format = self.format;
        let (words, halves) = (words(format), halves(format));
        let blocks = self.cols / format.elements();
        let (word_data, half_data) = self.data.split_at_mut(blocks * words * LANES * 4);
        let mut bytes = [0; BLOCKS_AT_ONCE * MOST_BYTES];
        for first in (0..blocks).step_by(BLOCKS_AT_ONCE) {
            let count = BLOCKS_AT_ONCE.min(blocks - first);
            let bytes = &mut bytes[..count * format.bytes()];
            for (lane, row) in self.rows.clone().enumerate() {
                source.copy_blocks(row, first, bytes);
                for (block, bytes) in bytes.chunks_exact(format.bytes()).enumerate() {
                    let block = first + block;
                    let from = Lane::of(format, bytes);
                    let to_words = &mut word_data[block * words * LANES * 4..][..words * LANES * 4];
                    for (to, word) in to_words.chunks_exact_mut(LANES * 4).zip(from.words) {
                        to[lane * 4..][..4].copy_from_slice(&word.to_ne_bytes());
                    }
                    let to_halves =
                        &mut half_data[block * halves * LANES * 2..][..halves * LANES * 2];
                    for (to, half) in to_halves.chunks_exact_mut(LANES * 2).zip(from.halves) {
                        to[lane * 2..][..2].copy_from_slice(&half.to_ne_bytes());
                    }
                }
            }
        }
    }
}

/// A packed matrix can also serve as a table, so that an embedding that is tied to the head is stored only once.
impl RowSource for QuantizedMatrix {
    fn rows(&self) -> usize {
        self.rows
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn copy_part(&self, row: usize, start: usize, out: &mut [f32]) {
        let elements = self.format.elements();
        let panel = self.panel(row / LANES);
        let mut bytes = [0; MOST_BYTES];
        let bytes = &mut bytes[..self.format.bytes()];
        let mut values = [0.0; MOST_ELEMENTS];
        let values = &mut values[..elements];
        let mut at = start;
        while at < start + out.len() {
            let (block, inside) = (at / elements, at % elements);
            panel.lane(block, row % LANES).write(self.format, bytes);
            self.format.dequantize(bytes, values);
            let count = (elements - inside).min(start + out.len() - at);
            out[at - start..][..count].copy_from_slice(&values[inside..][..count]);
            at += count;
        }
    }
}
