//! A weight of two dimensions as packers and tables read it; elements are cast to another type on the way if necessary.

use half::{bf16, f16};

use crate::blocks::{BlockFormat, OnlyRead};
use crate::files::weight::Weight;
use crate::kernels::packed::{PackSource, RowSource, packed_type};
use crate::kernels::quantized::BlockSource;
use crate::types::DType;

/// The most elements of a block, and the most bytes.
const LARGEST_BLOCK: usize = 256;

/// Why a weight can't be read as a matrix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatrixError {
    /// The weight does not have two dimensions.
    #[error("must be a matrix, found shape {0:?}")]
    Shape(Vec<usize>),
    /// The weight must be cast to a format that can't be written.
    #[error("can't be cast: {0}")]
    OnlyRead(#[from] OnlyRead),
    /// The weight's rows are not whole blocks.
    #[error("has rows of {cols} elements, which are not whole {format} blocks of {}", format.elements())]
    Rows {
        /// Elements of a row.
        cols: usize,
        /// The format of the blocks.
        format: BlockFormat,
    },
    /// The weight must be read block by block, but is not made of blocks.
    #[error("must consist of quantized blocks, found {0}")]
    NotBlocks(DType),
}

/// A weight [rows, cols], read as elements of `element`. If the elements are blocks, each row has whole blocks, and
/// blocks of the format can be made if the weight has other elements.
pub(super) struct Matrix {
    weight: Weight,
    element: DType,
    rows: usize,
    cols: usize,
}

impl Matrix {
    /// `weight` as a matrix of `element`s.
    pub fn new(weight: Weight, element: DType) -> Result<Matrix, MatrixError> {
        let [rows, cols] = *weight.shape() else {
            return Err(MatrixError::Shape(weight.shape().to_vec()));
        };
        let matrix = Matrix {
            weight,
            element,
            rows,
            cols,
        };
        if let DType::Blocks(format) = element {
            if !cols.is_multiple_of(format.elements()) {
                return Err(MatrixError::Rows { cols, format });
            }
            if matrix.is_cast() {
                // This only checks that it can be done.
                format.quantize(&[], &mut [])?;
            }
        }
        Ok(matrix)
    }

    /// The matrix as blocks, if its elements are blocks.
    pub fn blocks(&self) -> Result<MatrixBlocks<'_>, MatrixError> {
        let format = self.element.blocks();
        // Rows differ only in where they begin: what is true of the first row is true of all.
        let lie_in_blocks = || self.rows == 0 || matches!(self.weight.row_blocks(0), Ok(Some(_)));
        let format = format.filter(|_| self.is_cast() || lie_in_blocks());
        format
            .map(|format| MatrixBlocks {
                matrix: self,
                format,
            })
            .ok_or(MatrixError::NotBlocks(self.element))
    }

    /// Must be called when the matrix has been read and packed: the file's pages are no longer needed.
    pub fn release(&self) {
        self.weight.release();
    }

    /// The underlying weight.
    pub fn weight(&self) -> &Weight {
        &self.weight
    }

    fn is_cast(&self) -> bool {
        self.element != self.weight.dtype()
    }

    /// The elements `start..start + out.len()` of a row as floats, before any cast.
    fn floats(&self, row: usize, start: usize, out: &mut [f32]) {
        let part = self.weight.copy_row_part_f32(row, start, out);
        part.unwrap_or_else(|error| outside(&error));
    }

    /// One block of a row, counted in blocks, made from floats.
    fn block(&self, format: BlockFormat, row: usize, block: usize, out: &mut [u8]) {
        let mut values = [0.0; LARGEST_BLOCK];
        let values = &mut values[..format.elements()];
        self.floats(row, block * format.elements(), values);
        // `new` has checked that the format can be written.
        let made = format.quantize(values, out);
        made.unwrap_or_else(|error| outside(&error));
    }

    /// The elements `start..start + out.len()` of a row as floats, after the cast.
    fn cast(&self, row: usize, start: usize, out: &mut [f32]) {
        let format = match self.element {
            DType::Blocks(format) if self.is_cast() => format,
            element => {
                self.floats(row, start, out);
                let round: fn(f32) -> f32 = match element {
                    DType::F16 => |x| f16::from_f32(x).to_f32(),
                    DType::BF16 => |x| bf16::from_f32(x).to_f32(),
                    _ => |x| x,
                };
                out.iter_mut().for_each(|x| *x = round(*x));
                return;
            }
        };
        let mut bytes = [0; LARGEST_BLOCK];
        let bytes = &mut bytes[..format.bytes()];
        let mut values = [0.0; LARGEST_BLOCK];
        let values = &mut values[..format.elements()];
        let mut at = start;
        let mut rest = out;
        while !rest.is_empty() {
            let (block, skip) = (at / values.len(), at % values.len());
            self.block(format, row, block, bytes);
            format.dequantize(bytes, values);
            let count = rest.len().min(values.len() - skip);
            let (part, left) = rest.split_at_mut(count);
            part.copy_from_slice(&values[skip..skip + count]);
            (at, rest) = (at + count, left);
        }
    }
}

impl PackSource for Matrix {
    fn rows(&self) -> usize {
        self.rows
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn dtype(&self) -> DType {
        packed_type(self.element)
    }

    fn copy_bits(&self, row: usize, start: usize, out: &mut [u32]) {
        if !self.is_cast() {
            let part = self.weight.copy_row_part_bits(row, start, out);
            return part.unwrap_or_else(|error| outside(&error));
        }
        let mut values = [0.0; LARGEST_BLOCK];
        for (i, out) in out.chunks_mut(LARGEST_BLOCK).enumerate() {
            let values = &mut values[..out.len()];
            self.cast(row, start + i * LARGEST_BLOCK, values);
            for (out, value) in out.iter_mut().zip(values) {
                *out = match self.element {
                    DType::F16 => f16::from_f32(*value).to_bits().into(),
                    DType::BF16 => bf16::from_f32(*value).to_bits().into(),
                    _ => value.to_bits(),
                };
            }
        }
    }
}

/// A [`Matrix`] of blocks.
pub(super) struct MatrixBlocks<'a> {
    matrix: &'a Matrix,
    format: BlockFormat,
}

impl BlockSource for MatrixBlocks<'_> {
    fn rows(&self) -> usize {
        self.matrix.rows
    }

    fn cols(&self) -> usize {
        self.matrix.cols
    }

    fn format(&self) -> BlockFormat {
        self.format
    }

    fn copy_blocks(&self, row: usize, first: usize, out: &mut [u8]) {
        let bytes = self.format.bytes();
        if self.matrix.is_cast() {
            for (i, out) in out.chunks_exact_mut(bytes).enumerate() {
                self.matrix.block(self.format, row, first + i, out);
            }
            return;
        }
        let blocks = match self.matrix.weight.row_blocks(row) {
            Ok(blocks) => blocks.unwrap_or_default(),
            Err(error) => outside(&error),
        };
        let start = first * bytes;
        out.copy_from_slice(&blocks[start..start + out.len()]);
    }
}

impl RowSource for Matrix {
    fn rows(&self) -> usize {
        self.rows
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn copy_part(&self, row: usize, start: usize, out: &mut [f32]) {
        self.cast(row, start, out);
    }
}

/// An access failed although `new` checked the matrix, and packers and tables keep to its rows and columns.
#[cold]
fn outside(error: &dyn std::error::Error) -> ! {
    panic!("a defect of the code that reads the matrix: {error}")
}
