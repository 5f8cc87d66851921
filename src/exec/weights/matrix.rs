//! A weight of two dimensions as packers and tables read it, cast to another type on the way if it is to be.

use half::{bf16, f16};

use crate::blocks::BlockFormat;
use crate::files::weight::{ElementType, Weight};
use crate::kernels::packed::{PackSource, RowSource, WeightType};
use crate::kernels::quantized::BlockSource;

/// The most elements of a block, and the most bytes.
const LARGEST_BLOCK: usize = 256;

/// A weight [rows, cols], read as elements of `element`.
pub(super) struct Matrix {
    weight: Weight,
    element: ElementType,
    rows: usize,
    cols: usize,
}

impl Matrix {
    /// The shape, if it has not two dimensions.
    pub fn new(weight: Weight, element: ElementType) -> Result<Matrix, Vec<usize>> {
        let [rows, cols] = *weight.shape() else {
            return Err(weight.shape().to_vec());
        };
        Ok(Matrix {
            weight,
            element,
            rows,
            cols,
        })
    }

    /// To be called when the matrix has been read and packed: the file's pages are not needed any more.
    pub fn release(&self) {
        self.weight.release();
    }

    fn is_cast(&self) -> bool {
        self.element != self.weight.element_type()
    }

    /// The elements `start..start + out.len()` of a row as floats, before any cast.
    fn floats(&self, row: usize, start: usize, out: &mut [f32]) {
        let part = self.weight.copy_row_part_f32(row, start, out);
        debug_assert!(part.is_ok(), "a part outside of the matrix was asked for");
    }

    /// One block of a row, counted in blocks, made of floats.
    fn block(&self, format: BlockFormat, row: usize, block: usize, out: &mut [u8]) {
        let mut values = [0.0; LARGEST_BLOCK];
        let values = &mut values[..format.elements()];
        self.floats(row, block * format.elements(), values);
        let made = format.quantize(values, out);
        debug_assert!(made.is_ok(), "a cast to a format that is only read");
    }

    /// The elements `start..start + out.len()` of a row as floats, after the cast.
    fn cast(&self, row: usize, start: usize, out: &mut [f32]) {
        let format = match self.element {
            ElementType::Blocks(format) if self.is_cast() => format,
            element => {
                self.floats(row, start, out);
                let round: fn(f32) -> f32 = match element {
                    ElementType::F16 => |x| f16::from_f32(x).to_f32(),
                    ElementType::BF16 => |x| bf16::from_f32(x).to_f32(),
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

    fn weight_type(&self) -> WeightType {
        match self.element {
            // Quantized blocks are packed as the floats that they mean.
            ElementType::F32 | ElementType::Blocks(_) => WeightType::F32,
            ElementType::F16 => WeightType::F16,
            ElementType::BF16 => WeightType::BF16,
        }
    }

    fn copy_bits(&self, row: usize, start: usize, out: &mut [u32]) {
        if !self.is_cast() {
            let part = self.weight.copy_row_part_bits(row, start, out);
            debug_assert!(part.is_ok(), "a part outside of the matrix was asked for");
            return;
        }
        let mut values = [0.0; LARGEST_BLOCK];
        for (i, out) in out.chunks_mut(LARGEST_BLOCK).enumerate() {
            let values = &mut values[..out.len()];
            self.cast(row, start + i * LARGEST_BLOCK, values);
            for (out, value) in out.iter_mut().zip(values) {
                *out = match self.element {
                    ElementType::F16 => f16::from_f32(*value).to_bits().into(),
                    ElementType::BF16 => bf16::from_f32(*value).to_bits().into(),
                    _ => value.to_bits(),
                };
            }
        }
    }
}

impl BlockSource for Matrix {
    fn rows(&self) -> usize {
        self.rows
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn format(&self) -> BlockFormat {
        // The planner asks for panels of blocks only where the type is one of blocks.
        self.element.blocks().unwrap_or(BlockFormat::Q8_0)
    }

    fn copy_blocks(&self, row: usize, first: usize, out: &mut [u8]) {
        let format = self.format();
        if self.is_cast() {
            for (i, out) in out.chunks_exact_mut(format.bytes()).enumerate() {
                self.block(format, row, first + i, out);
            }
            return;
        }
        let blocks = self.weight.row_blocks(row).ok().flatten();
        let start = first * format.bytes();
        match blocks.and_then(|blocks| blocks.get(start..start + out.len())) {
            Some(blocks) => out.copy_from_slice(blocks),
            None => debug_assert!(false, "blocks outside of the matrix were asked for"),
        }
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
