//! Strided read-only views of tensor data.
//!
//! Transposing, slicing and most reshaping of weights costs nothing: only the shape and the strides change, until the packer
//! reads the rows. Data keeps its own element type, may start at any byte, and is little-endian like the files.
//!
//! The elements of a quantized block are consecutive elements of a row. Views of such data keep blocks whole: rows may be
//! cut and reshaped, and columns too at the boundaries of blocks, and outer axes may be transposed; everything else is an
//! error.

use std::ops::Range;

use smallvec::SmallVec;

use super::elements::{gather, read_bits, read_f32};

use super::map::Mapped;
use crate::kernels::float_environment::FloatEnvironment;
use crate::types::DType;

/// A shape or strides: one number per dimension, outermost first.
pub type Dims = SmallVec<[usize; 4]>;

/// Why a view could not be made or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightError {
    /// The elements are not floats.
    #[error("weights can't be {0}")]
    NoFloats(DType),
    /// The number of elements does not fit in the address range of memory.
    #[error("shape {shape:?} has too many elements")]
    TooLarge {
        /// The shape.
        shape: Dims,
    },
    /// The data ends before the tensor does.
    #[error("shape {shape:?} of {element} needs {needed} bytes, but only {available} are there")]
    TooShort {
        /// The shape.
        shape: Dims,
        /// The element type.
        element: DType,
        /// The bytes that the shape needs.
        needed: usize,
        /// Bytes from the start of the tensor to the end of the data.
        available: usize,
    },
    /// The permutation of a transposition does not contain each axis once.
    #[error("{permutation:?} does not name each axis of shape {shape:?} once")]
    Permutation {
        /// The given permutation.
        permutation: Dims,
        /// The shape of the view.
        shape: Dims,
    },
    /// The requested shape has another number of elements.
    #[error("shape {from:?} can't become {to:?}: the numbers of elements differ")]
    Reshape {
        /// The shape of the view.
        from: Dims,
        /// The requested shape.
        to: Dims,
    },
    /// There is no such axis.
    #[error("shape {shape:?} has no axis {axis}")]
    Axis {
        /// The given axis.
        axis: usize,
        /// The shape of the view.
        shape: Dims,
    },
    /// A range of indexes is not within an axis.
    #[error("{start}..{end} does not lie within axis {axis} of shape {shape:?}")]
    Range {
        /// The axis.
        axis: usize,
        /// The first index.
        start: usize,
        /// One past the last index.
        end: usize,
        /// The shape of the view.
        shape: Dims,
    },
    /// The request would split a block, or would no longer keep its elements consecutive in a row.
    #[error(
        "{what} of shape {shape:?} in {element} would cut through quantized blocks, each of {} consecutive elements of a row",
        element.unit().0
    )]
    CutsBlocks {
        /// The attempted operation, with its arguments.
        what: String,
        /// The shape of the view.
        shape: Dims,
        /// The element type.
        element: DType,
    },
    /// Rows were requested from a view that does not have two dimensions.
    #[error("rows are read from matrices, and a tensor of shape {shape:?} is not a matrix")]
    NotAMatrix {
        /// The shape of the view.
        shape: Dims,
    },
}

/// A read-only view of the elements of one tensor. Cloning shares the data.
///
/// Invariants: every index within `shape` leads to an element within `bytes`. If the elements are in blocks, the innermost
/// axis has stride 1 and consists of whole blocks, and no other stride leads into the middle of a block.
#[derive(Debug, Clone)]
pub struct Weight {
    bytes: Mapped,
    /// Where the element at index 0, 0, … starts, in bytes.
    start: usize,
    element: DType,
    shape: Dims,
    /// The number of elements from one index to the next, for each axis.
    strides: Dims,
}

impl Weight {
    /// A dense row-major tensor that starts `start` bytes into `bytes`.
    pub fn new(
        bytes: Mapped,
        start: usize,
        element: DType,
        shape: &[usize],
    ) -> Result<Self, WeightError> {
        if !element.is_float() {
            return Err(WeightError::NoFloats(element));
        }
        let shape = Dims::from_slice(shape);
        let (unit, bytes_of_unit) = element.unit();
        let needed = addressable(&shape).and_then(|n| n.checked_mul(bytes_of_unit));
        let (Some(_), Some(count)) = (needed, count(&shape)) else {
            return Err(WeightError::TooLarge { shape });
        };
        if !has_whole_units(&shape, unit) {
            let what = "a tensor".to_string();
            return Err(WeightError::CutsBlocks {
                what,
                shape,
                element,
            });
        }
        let needed = count / unit * bytes_of_unit;
        let available = bytes.len().saturating_sub(start);
        if needed > available {
            return Err(WeightError::TooShort {
                shape,
                element,
                needed,
                available,
            });
        }
        let strides = dense_strides(&shape);
        Ok(Weight {
            bytes,
            start,
            element,
            shape,
            strides,
        })
    }

    /// A dense row-major F32 tensor created while loading. `values` are copied.
    pub fn from_f32(values: &[f32], shape: &[usize]) -> Result<Self, WeightError> {
        let given = SmallVec::from_slice(&[values.len()]);
        if count(shape) != Some(values.len()) {
            return Err(WeightError::Reshape {
                from: given,
                to: Dims::from_slice(shape),
            });
        }
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Weight::new(Mapped::from_vec(bytes), 0, DType::F32, shape)
    }

    /// The dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements from one index to the next, for each axis.
    #[cfg(any(test, feature = "internals"))]
    pub fn strides(&self) -> &[usize] {
        &self.strides
    }

    /// The type of the elements.
    pub fn dtype(&self) -> DType {
        self.element
    }

    /// Whether the elements were created while loading, and so take memory of their own.
    pub fn is_made(&self) -> bool {
        self.bytes.is_made()
    }

    /// Lets the system reclaim the memory of the file's pages with these elements, which have been read: see
    /// [`Mapped::release`]. Does nothing if there are gaps between the elements.
    pub fn release(&self) {
        if let Some(range) = self.extent() {
            self.bytes.release(range);
        }
    }

    /// Loads the elements into memory now: see [`Mapped::fetch`]. Does nothing if there are gaps between the elements.
    pub fn fetch(&self) {
        if let Some(range) = self.extent() {
            self.bytes.fetch(range);
        }
    }

    /// The bytes of the elements, if there are no gaps between them.
    fn extent(&self) -> Option<Range<usize>> {
        let (elements, bytes) = self.element.unit();
        let end = self.start + self.len() / elements * bytes;
        self.is_contiguous().then_some(self.start..end)
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements: some dimension is 0.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// Whether the elements are in row-major order without gaps.
    pub fn is_contiguous(&self) -> bool {
        let dense = dense_strides(&self.shape);
        let mut axes = self.shape.iter().zip(self.strides.iter().zip(&dense));
        self.is_empty() || axes.all(|(&dim, (stride, dense))| dim == 1 || stride == dense)
    }

    /// The view whose axis `i` is this view's axis `permutation[i]`.
    pub fn transpose(&self, permutation: &[usize]) -> Result<Self, WeightError> {
        let mut sorted = Dims::from_slice(permutation);
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..self.shape.len()) {
            let permutation = Dims::from_slice(permutation);
            return Err(WeightError::Permutation {
                permutation,
                shape: self.shape.clone(),
            });
        }
        if !permutation.is_empty() && permutation.last() != Some(&(permutation.len() - 1)) {
            self.keep_blocks(|| format!("Transpose to {permutation:?}"))?;
        }
        let pick = |dims: &Dims| {
            permutation
                .iter()
                .filter_map(|&axis| dims.get(axis).copied())
                .collect()
        };
        Ok(Weight {
            shape: pick(&self.shape),
            strides: pick(&self.strides),
            ..self.clone()
        })
    }

    /// The same elements in row-major order with another shape.
    ///
    /// The result is a view if strides can express it. Otherwise (a reshape across transposed or cut axes) the elements are
    /// copied in their own type. Rows of blocks may get another length of whole blocks.
    pub fn reshape(&self, shape: &[usize]) -> Result<Self, WeightError> {
        let shape = Dims::from_slice(shape);
        if addressable(&shape).is_none() {
            return Err(WeightError::TooLarge { shape });
        }
        if count(&shape) != Some(self.len()) {
            return Err(WeightError::Reshape {
                from: self.shape.clone(),
                to: shape,
            });
        }
        let (unit, _) = self.element.unit();
        if !has_whole_units(&shape, unit) {
            self.keep_blocks(|| format!("Reshape to {shape:?}"))?;
        }
        match self.strides_as(&shape) {
            Some(strides) => Ok(Weight {
                shape,
                strides,
                ..self.clone()
            }),
            None => Weight::new(
                Mapped::from_vec(self.dense_bytes()),
                0,
                self.element,
                &shape,
            ),
        }
    }

    /// The indexes `start..end` of one axis; the other axes are kept whole.
    pub fn slice(&self, axis: usize, start: usize, end: usize) -> Result<Self, WeightError> {
        let shape = || self.shape.clone();
        let (Some(&dim), Some(&stride)) = (self.shape.get(axis), self.strides.get(axis)) else {
            return Err(WeightError::Axis {
                axis,
                shape: shape(),
            });
        };
        if start > end || end > dim {
            return Err(WeightError::Range {
                axis,
                start,
                end,
                shape: shape(),
            });
        }
        let (unit, bytes) = self.element.unit();
        if axis + 1 == self.shape.len() && !(start.is_multiple_of(unit) && end.is_multiple_of(unit))
        {
            self.keep_blocks(|| format!("Slice of {start}..{end} of axis {axis}"))?;
        }
        let mut view = self.clone();
        if let Some(dim) = view.shape.get_mut(axis) {
            *dim = end - start;
        }
        if !view.is_empty() {
            view.start += start * stride / unit * bytes;
        }
        Ok(view)
    }

    /// Fails for the operation `what` if the elements are in blocks.
    fn keep_blocks(&self, what: impl Fn() -> String) -> Result<(), WeightError> {
        match self.element.blocks() {
            None => Ok(()),
            Some(_) => Err(WeightError::CutsBlocks {
                what: what(),
                shape: self.shape.clone(),
                element: self.element,
            }),
        }
    }

    /// The bits of one element in its own type (F16 and BF16 in the lower half, elements of blocks as F32), or `None` if
    /// `index` is outside the view.
    #[cfg(any(test, feature = "internals"))]
    pub fn element_bits(&self, index: &[usize]) -> Option<u32> {
        if index.len() != self.shape.len() || index.iter().zip(&self.shape).any(|(i, dim)| i >= dim)
        {
            return None;
        }
        let offset = index
            .iter()
            .zip(&self.strides)
            .map(|(i, stride)| i * stride)
            .sum();
        let mut bits = [0];
        self.read_bits(offset, 1, &mut bits);
        Some(bits[0])
    }

    /// The bits of the elements `start..start + out.len()` of a row of the matrix, each in its own type (F16 and BF16 in the
    /// lower half, elements of blocks as F32).
    pub fn copy_row_part_bits(
        &self,
        row: usize,
        start: usize,
        out: &mut [u32],
    ) -> Result<(), WeightError> {
        let (offset, stride) = self.row_part(row, start, out.len())?;
        self.read_bits(offset, stride, out);
        Ok(())
    }

    /// The bytes of the blocks in a row of the matrix, as in the file; `None` if the elements are not in blocks.
    pub fn row_blocks(&self, row: usize) -> Result<Option<&[u8]>, WeightError> {
        let width = self.shape.last().copied().unwrap_or(0);
        let (offset, _) = self.row_part(row, 0, width)?;
        let (unit, bytes) = self.element.unit();
        let blocks = self.element.blocks();
        Ok(blocks.and_then(|_| self.from(offset).get(..width / unit * bytes)))
    }

    /// The elements `start..start + out.len()` of a row of the matrix, converted exactly.
    pub fn copy_row_part_f32(
        &self,
        row: usize,
        start: usize,
        out: &mut [f32],
    ) -> Result<(), WeightError> {
        let (offset, stride) = self.row_part(row, start, out.len())?;
        self.read_f32(offset, stride, out);
        Ok(())
    }

    /// All elements in row-major order, converted exactly.
    pub fn to_f32(&self) -> Vec<f32> {
        let _environment = FloatEnvironment::set_default();
        let mut values = vec![0.0; self.len()];
        self.for_each_row(&mut values, |offset, stride, row| {
            self.read_f32(offset, stride, row)
        });
        values
    }

    /// Where a part of a row of the matrix starts, in elements from the start of the view, and its stride.
    fn row_part(
        &self,
        row: usize,
        start: usize,
        length: usize,
    ) -> Result<(usize, usize), WeightError> {
        let shape = || self.shape.clone();
        let (&[rows, width], &[row_stride, stride]) = (&self.shape[..], &self.strides[..]) else {
            return Err(WeightError::NotAMatrix { shape: shape() });
        };
        if row >= rows {
            return Err(WeightError::Range {
                axis: 0,
                start: row,
                end: row.saturating_add(1),
                shape: shape(),
            });
        }
        let end = start.saturating_add(length);
        if end > width {
            return Err(WeightError::Range {
                axis: 1,
                start,
                end,
                shape: shape(),
            });
        }
        if length == 0 {
            return Ok((0, stride));
        }
        Ok((row * row_stride + start * stride, stride))
    }

    /// Splits `out`, which is as long as the view, into rows of the innermost axis and calls `fill(offset, stride, row)` for
    /// each.
    fn for_each_row<T>(&self, out: &mut [T], mut fill: impl FnMut(usize, usize, &mut [T])) {
        if self.is_empty() {
            return;
        }
        let width = self.shape.last().copied().unwrap_or(1);
        let stride = self.strides.last().copied().unwrap_or(1);
        for (number, row) in out.chunks_exact_mut(width).enumerate() {
            fill(self.row_offset(number), stride, row);
        }
    }

    /// Where row `number` of the innermost axis starts, in elements from the start of the view; rows are counted in
    /// row-major order.
    fn row_offset(&self, number: usize) -> usize {
        let outer = self.shape.split_last().map_or(&[][..], |(_, outer)| outer);
        let mut rest = number;
        let mut offset = 0;
        for (dim, stride) in outer.iter().zip(&self.strides).rev() {
            offset += rest % dim * stride;
            rest /= dim;
        }
        offset
    }

    /// All elements in row-major order, in their own type.
    pub fn dense_bytes(&self) -> Vec<u8> {
        match self.element {
            DType::F32 | DType::I32 | DType::Int8 => self.dense_elements::<4>(),
            DType::F16 | DType::BF16 => self.dense_elements::<2>(),
            DType::Blocks(format) => {
                let width = self.shape.last().copied().unwrap_or(0);
                let row = width / format.elements() * format.bytes();
                let mut bytes = Vec::with_capacity(self.len() / format.elements() * format.bytes());
                for number in 0..self.len().checked_div(width).unwrap_or(0) {
                    let blocks = self.from(self.row_offset(number)).get(..row);
                    bytes.extend_from_slice(blocks.unwrap_or_default());
                }
                bytes
            }
        }
    }

    fn dense_elements<const BYTES: usize>(&self) -> Vec<u8> {
        let mut elements = vec![[0; BYTES]; self.len()];
        self.for_each_row(&mut elements, |offset, stride, row| {
            gather(self.from(offset), stride, row, |e| e)
        });
        elements.into_flattened()
    }

    /// Strides with which the elements, in row-major order, have another shape of as many elements.
    fn strides_as(&self, shape: &[usize]) -> Option<Dims> {
        if self.is_empty() {
            return Some(dense_strides(shape));
        }
        // Runs of axes that are equivalent to one axis, innermost first: (elements, stride).
        let mut runs: SmallVec<[(usize, usize); 4]> = SmallVec::new();
        for (&dim, &stride) in self
            .shape
            .iter()
            .zip(&self.strides)
            .rev()
            .filter(|&(&dim, _)| dim != 1)
        {
            match runs.last_mut() {
                Some((length, inner)) if stride == *length * *inner => *length *= dim,
                _ => runs.push((dim, stride)),
            }
        }
        let mut runs = runs.into_iter();
        let (mut left, mut stride) = (1, 1);
        let mut strides: Dims = SmallVec::from_elem(1, shape.len());
        for (&dim, place) in shape
            .iter()
            .zip(&mut strides)
            .rev()
            .filter(|&(&dim, _)| dim != 1)
        {
            if left == 1 {
                (left, stride) = runs.next()?;
            }
            if left % dim != 0 {
                return None;
            }
            *place = stride;
            stride *= dim;
            left /= dim;
        }
        Some(strides)
    }

    fn read_bits(&self, offset: usize, stride: usize, out: &mut [u32]) {
        let skip = offset % self.element.unit().0;
        read_bits(self.element, self.from(offset), skip, stride, out);
    }

    fn read_f32(&self, offset: usize, stride: usize, out: &mut [f32]) {
        let skip = offset % self.element.unit().0;
        read_f32(self.element, self.from(offset), skip, stride, out);
    }

    /// The data from element `offset` of the view on, or from the beginning of the block that contains it.
    fn from(&self, offset: usize) -> &[u8] {
        let (unit, bytes) = self.element.unit();
        self.bytes
            .get(self.start + offset / unit * bytes..)
            .unwrap_or_default()
    }
}

/// Whether rows of that shape consist of whole units of `unit` elements.
fn has_whole_units(shape: &[usize], unit: usize) -> bool {
    unit == 1 || shape.last().is_some_and(|width| width % unit == 0)
}

/// The number of elements of a shape.
fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim))
}

/// The product of all nonzero dimensions, which bounds every stride; `None` if it exceeds `usize`.
fn addressable(shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .try_fold(1usize, |n, &dim| n.checked_mul(dim.max(1)))
}

/// Row-major strides of a shape that [`addressable`] accepts.
fn dense_strides(shape: &[usize]) -> Dims {
    let mut strides: Dims = SmallVec::from_elem(1, shape.len());
    let mut next = 1;
    for (stride, dim) in strides.iter_mut().zip(shape).rev() {
        *stride = next;
        next *= dim.max(&1);
    }
    strides
}
