//! Weights in the form that kernels read: matrices packed into panels of 16 rows, and tables read row by row.
//!
//! A panel contains 16 output rows interleaved, so that one load reads the elements of the 16 rows in one column. Elements
//! keep their own type and their own bits; kernels convert them to f32 in registers, which is exact.

use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use half::{bf16, f16};

use super::float_environment::FloatEnvironment;
use super::panel_memory::{PanelMemory, PanelStorage};
use super::simd::LANES;
use crate::types::DType;

/// The float type in which a weight with elements of `dtype` is packed; quantized blocks are packed as the floats that they
/// represent.
pub fn packed_type(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => dtype,
        DType::F32 | DType::I32 | DType::Blocks(_) | DType::Int8 => DType::F32,
    }
}

/// The f32 that equals an element of a packed type, whose bits are given (the low 16 of `bits` for the 16-bit types).
#[inline(always)]
pub fn to_f32(dtype: DType, bits: u32) -> f32 {
    match dtype {
        DType::F16 => f16::from_bits(bits as u16).to_f32(),
        DType::BF16 => bf16::from_bits(bits as u16).to_f32(),
        _ => f32::from_bits(bits),
    }
}

/// Bytes per element of a packed type.
#[inline(always)]
fn element_bytes(dtype: DType) -> usize {
    match dtype {
        DType::F16 | DType::BF16 => 2,
        _ => 4,
    }
}

/// A matrix of weights [rows, cols] (rows: out features, cols: in features) that is about to be packed.
pub trait PackSource: Sync {
    /// Out features.
    fn rows(&self) -> usize;
    /// In features.
    fn cols(&self) -> usize;
    /// The type of the elements: a [`packed_type`].
    fn dtype(&self) -> DType;
    /// The bits of the elements `start..start + out.len()` of `row`; 16-bit types are in the low half, with zeros in the
    /// high half.
    fn copy_bits(&self, row: usize, start: usize, out: &mut [u32]);
}

/// A [rows, cols] weight in panels of 16 rows, laid out `[rows / 16][cols][16]`; the missing rows of the last panel are
/// zero.
#[derive(Debug)]
pub struct PackedMatrix {
    rows: usize,
    cols: usize,
    dtype: DType,
    storage: PanelStorage,
}

/// Columns that are transposed together while packing: as many as the largest quantized block, so that no block is read
/// twice.
const PACK_COLS: usize = 256;

impl PackedMatrix {
    /// The size in bytes of a packed [rows, cols] matrix.
    pub fn bytes_for(rows: usize, cols: usize, dtype: DType) -> usize {
        rows.div_ceil(LANES) * LANES * cols * element_bytes(dtype)
    }

    /// A matrix of zeros in `memory`, not yet touched, to be filled through [`PackedMatrix::panels_mut`].
    ///
    /// # Errors
    /// If `dtype` is not a [`packed_type`], if the system refuses the memory, or if the size is larger than any memory.
    pub fn zeroed(
        memory: &mut PanelMemory,
        rows: usize,
        cols: usize,
        dtype: DType,
    ) -> io::Result<PackedMatrix> {
        if packed_type(dtype) != dtype {
            let problem = format!("weights of {dtype} are not packed as floats");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        let bytes = rows
            .checked_next_multiple_of(LANES)
            .and_then(|rows| rows.checked_mul(cols))
            .and_then(|elements| elements.checked_mul(element_bytes(dtype)));
        Ok(PackedMatrix {
            rows,
            cols,
            dtype,
            storage: memory.take(bytes)?,
        })
    }

    /// `source` packed by `threads` threads into `memory`.
    ///
    /// # Errors
    /// The same as for [`PackedMatrix::zeroed`].
    pub fn pack(
        memory: &mut PanelMemory,
        source: &dyn PackSource,
        threads: usize,
    ) -> io::Result<PackedMatrix> {
        let (rows, cols) = (source.rows(), source.cols());
        let mut matrix = PackedMatrix::zeroed(memory, rows, cols, source.dtype())?;
        on_threads(&mut matrix.panels_mut(), threads, |panel| {
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

    /// The type of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The number of panels of 16 rows.
    #[inline(always)]
    pub fn panels(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// The rows of panel `panel`: 16, except in the last panel.
    #[inline(always)]
    pub fn panel_rows(&self, panel: usize) -> Range<usize> {
        panel * LANES..self.rows.min((panel + 1) * LANES)
    }

    /// The size of the packed data in bytes.
    pub fn bytes(&self) -> usize {
        Self::bytes_for(self.rows, self.cols, self.dtype)
    }

    /// Panel `panel`, `[cols][16]`.
    #[inline(always)]
    pub fn panel(&self, panel: usize) -> PanelWeights<'_> {
        let bytes = self.panel_bytes();
        let data = &self.storage[panel * bytes..(panel + 1) * bytes];
        match self.dtype {
            DType::F32 => PanelWeights::F32(
                // SAFETY: `data` is cols · 16 · 4 bytes at a multiple of 64; any bits are an f32.
                unsafe { std::slice::from_raw_parts(data.as_ptr().cast(), self.cols) },
            ),
            half => {
                // SAFETY: `data` is cols · 16 · 2 bytes at a multiple of 32; any bits are a u16.
                let columns =
                    unsafe { std::slice::from_raw_parts(data.as_ptr().cast(), self.cols) };
                match half {
                    DType::F16 => PanelWeights::F16(columns),
                    _ => PanelWeights::BF16(columns),
                }
            }
        }
    }

    /// Every panel, for filling; panels are disjoint, so threads may fill them at the same time.
    pub fn panels_mut(&mut self) -> Vec<PanelMut<'_>> {
        let (cols, dtype, bytes) = (self.cols, self.dtype, self.panel_bytes());
        split_panels(&mut self.storage, bytes, self.rows)
            .map(|(rows, data)| PanelMut {
                rows,
                cols,
                dtype,
                data,
            })
            .collect()
    }

    #[inline(always)]
    fn panel_bytes(&self) -> usize {
        self.cols * LANES * element_bytes(self.dtype)
    }
}

/// The panels of a matrix of `rows` rows, each `bytes` long and consecutive in `storage`: the rows of each panel, and its
/// bytes. Empty if a panel has no bytes.
pub(super) fn split_panels(
    storage: &mut [u8],
    bytes: usize,
    rows: usize,
) -> impl Iterator<Item = (Range<usize>, &mut [u8])> {
    let panels = if bytes == 0 { 0 } else { rows.div_ceil(LANES) };
    let parts = storage.chunks_exact_mut(bytes.max(1)).take(panels);
    parts
        .enumerate()
        .map(move |(panel, data)| (panel * LANES..rows.min((panel + 1) * LANES), data))
}

/// Calls `fill` for each of `panels`, on `threads` threads: this one, and as many others as the system grants.
pub(super) fn on_threads<P: Send>(panels: &mut [P], threads: usize, fill: impl Fn(&mut P) + Sync) {
    share_out(panels, threads, Builder::new, fill);
}

/// [`on_threads`], where the other threads are started by what `builder` returns.
fn share_out<P: Send>(
    panels: &mut [P],
    threads: usize,
    builder: impl Fn() -> Builder,
    fill: impl Fn(&mut P) + Sync,
) {
    let share = panels.len().div_ceil(threads.max(1)).max(1);
    let others = panels.len().div_ceil(share).saturating_sub(1);
    let parts = Mutex::new(panels.chunks_mut(share));
    let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let _environment = FloatEnvironment::set_default();
        while let Some(part) = next() {
            part.iter_mut().for_each(&fill);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..others {
            // If a thread is refused, the existing threads process its parts.
            if builder().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
}

/// The elements of one panel, `[cols][16]`, where each lane is a row.
#[derive(Clone, Copy, Debug)]
pub enum PanelWeights<'a> {
    /// IEEE singles.
    F32(&'a [[f32; LANES]]),
    /// Bits of IEEE halves.
    F16(&'a [[u16; LANES]]),
    /// Bits of bfloat16.
    BF16(&'a [[u16; LANES]]),
}

impl PanelWeights<'_> {
    /// The address of column `col` or, past the end of the panel, the address that the column would have.
    #[inline(always)]
    pub fn address(&self, col: usize) -> *const u8 {
        match self {
            PanelWeights::F32(columns) => columns.as_ptr().wrapping_add(col).cast(),
            PanelWeights::F16(columns) | PanelWeights::BF16(columns) => {
                columns.as_ptr().wrapping_add(col).cast()
            }
        }
    }

    /// The element of column `col` in lane `lane`.
    fn element(&self, col: usize, lane: usize) -> f32 {
        match self {
            PanelWeights::F32(columns) => columns[col][lane],
            PanelWeights::F16(columns) => to_f32(DType::F16, columns[col][lane].into()),
            PanelWeights::BF16(columns) => to_f32(DType::BF16, columns[col][lane].into()),
        }
    }
}

/// One panel of a [`PackedMatrix`] that is being filled.
#[derive(Debug)]
pub struct PanelMut<'a> {
    rows: Range<usize>,
    cols: usize,
    dtype: DType,
    data: &'a mut [u8],
}

impl PanelMut<'_> {
    /// The rows of the matrix that are in this panel.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Copies this panel's rows from `source`, which has the matrix's shape and type. Lanes past the last row stay zero.
    pub fn fill(&mut self, source: &dyn PackSource) {
        let size = element_bytes(self.dtype);
        let mut bits = [0u32; PACK_COLS];
        for start in (0..self.cols).step_by(PACK_COLS) {
            let count = PACK_COLS.min(self.cols - start);
            let columns = &mut self.data[start * LANES * size..(start + count) * LANES * size];
            for (lane, row) in self.rows.clone().enumerate() {
                source.copy_bits(row, start, &mut bits[..count]);
                for (column, bits) in columns.chunks_exact_mut(LANES * size).zip(bits) {
                    match size {
                        4 => column[lane * 4..lane * 4 + 4].copy_from_slice(&bits.to_ne_bytes()),
                        _ => column[lane * 2..lane * 2 + 2]
                            .copy_from_slice(&(bits as u16).to_ne_bytes()),
                    }
                }
            }
        }
    }
}

/// A weight [rows, cols] whose rows can be read as f32, whatever the type in its file.
pub trait RowSource: Send + Sync {
    /// The number of rows.
    fn rows(&self) -> usize;
    /// The number of elements per row.
    fn cols(&self) -> usize;
    /// Copies the elements `start..start + out.len()` of `row` (both within the shape), without allocating.
    fn copy_part(&self, row: usize, start: usize, out: &mut [f32]);
}

/// A packed matrix can also serve as a table, so that an embedding that is tied to the head is stored only once.
impl RowSource for PackedMatrix {
    fn rows(&self) -> usize {
        self.rows
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn copy_part(&self, row: usize, start: usize, out: &mut [f32]) {
        let panel = self.panel(row / LANES);
        for (i, out) in out.iter_mut().enumerate() {
            *out = panel.element(start + i, row % LANES);
        }
    }
}

/// A weight [rows, cols] that is read row by row: an embedding table.
#[derive(Clone)]
pub struct RowTable {
    source: Arc<dyn RowSource>,
    rows: usize,
    cols: usize,
}

impl RowTable {
    /// The table with the rows of `source`.
    pub fn new(source: Arc<dyn RowSource>) -> RowTable {
        let (rows, cols) = (source.rows(), source.cols());
        RowTable { source, rows, cols }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of elements per row.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Writes row `row` (below `rows()`) to `out`, which has `cols()` elements. Does not allocate.
    pub fn copy_row(&self, row: usize, out: &[Cell<f32>]) {
        let mut part = [0.0; 256];
        for (i, cells) in out.chunks(part.len()).enumerate() {
            let values = &mut part[..cells.len()];
            self.source.copy_part(row, i * 256, values);
            for (cell, value) in cells.iter().zip(values) {
                cell.set(*value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Numbered(usize, usize, DType);

    fn packed(source: Numbered, threads: usize) -> PackedMatrix {
        PackedMatrix::pack(&mut PanelMemory::default(), &source, threads).unwrap()
    }

    impl PackSource for Numbered {
        fn rows(&self) -> usize {
            self.0
        }
        fn cols(&self) -> usize {
            self.1
        }
        fn dtype(&self) -> DType {
            self.2
        }
        fn copy_bits(&self, row: usize, start: usize, out: &mut [u32]) {
            for (i, out) in out.iter_mut().enumerate() {
                *out = number(row, start + i, self.2);
            }
        }
    }

    /// Distinct bits for every element.
    fn number(row: usize, col: usize, dtype: DType) -> u32 {
        let bits = 0x3000 + row as u32 * 131 + col as u32;
        if dtype == DType::F32 {
            bits << 15
        } else {
            bits
        }
    }

    #[test]
    fn every_element_keeps_its_bits_for_all_types_and_numbers_of_threads() {
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            for (rows, cols) in [(1, 1), (16, 64), (17, 65), (50, 130)] {
                for threads in [1, 3] {
                    let packed = packed(Numbered(rows, cols, dtype), threads);
                    assert_eq!(packed.panels(), rows.div_ceil(16));
                    for row in 0..packed.panels() * 16 {
                        let mut out = vec![f32::NAN; cols];
                        packed.copy_part(row, 0, &mut out);
                        for (col, out) in out.iter().enumerate() {
                            let bits = if row < rows {
                                number(row, col, dtype)
                            } else {
                                0
                            };
                            assert_eq!(out.to_bits(), to_f32(dtype, bits).to_bits(), "{row} {col}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn panels_are_filled_once_each_whether_threads_are_granted_or_refused() {
        let too_much = || Builder::new().stack_size(1 << 60);
        assert!(too_much().spawn(|| ()).is_err());
        for threads in [0, 1, 2, 3, 100] {
            for count in [0, 1, 2, 7, 50] {
                let mut panels = vec![0; count];
                share_out(&mut panels, threads, too_much, |panel| *panel += 1);
                assert!(
                    panels.iter().all(|&filled| filled == 1),
                    "{threads} {count}"
                );
                on_threads(&mut panels, threads, |panel| *panel += 1);
                assert!(
                    panels.iter().all(|&filled| filled == 2),
                    "{threads} {count}"
                );
            }
        }
    }

    #[test]
    fn a_table_copies_rows_longer_than_its_buffer() {
        let source = packed(Numbered(3, 600, DType::BF16), 1);
        let table = RowTable::new(Arc::new(source));
        let out = vec![Cell::new(0.0); 600];
        table.copy_row(2, &out);
        for (col, out) in out.iter().enumerate() {
            let expected = to_f32(DType::BF16, number(2, col, DType::BF16));
            assert_eq!(out.get().to_bits(), expected.to_bits());
        }
    }

    #[test]
    fn an_impossible_size_is_an_error() {
        for (rows, cols) in [(usize::MAX - 3, 2), (1 << 40, 1 << 20)] {
            let memory = &mut PanelMemory::default();
            assert!(PackedMatrix::zeroed(memory, rows, cols, DType::F32).is_err());
        }
    }
}
