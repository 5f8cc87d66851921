//! Tensors of the reference interpreter: plain vectors.

use std::borrow::Cow;

use crate::blocks::BlockFormat;

/// Elements of a [`Tensor`].
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Floats; weights of narrower types are widened, exactly.
    F32(Vec<f32>),
    /// Token ids and positions.
    I32(Vec<i32>),
    /// Quantized blocks as in files, in the order of the elements: weights.
    Blocks(BlockFormat, Vec<u8>),
    /// Blocks of 32 signed bytes, in the word layout of `kernels::quantized`: activations.
    Int8(Vec<i32>),
}

/// A dense row-major tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// The elements.
    pub data: Data,
}

impl Tensor {
    /// An f32 tensor.
    ///
    /// # Panics
    /// If the length of `data` is not the product of the shape: that is a bug in the caller.
    pub fn f32(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Tensor {
        let shape = shape.into();
        assert_eq!(
            shape.iter().product::<usize>(),
            data.len(),
            "elements of {shape:?}"
        );
        Tensor {
            shape,
            data: Data::F32(data),
        }
    }

    /// An i32 tensor.
    pub fn i32(shape: impl Into<Vec<usize>>, data: Vec<i32>) -> Tensor {
        Tensor {
            shape: shape.into(),
            data: Data::I32(data),
        }
    }

    /// A tensor of quantized blocks; each row consists of whole blocks.
    pub fn blocks(shape: impl Into<Vec<usize>>, format: BlockFormat, bytes: Vec<u8>) -> Tensor {
        Tensor {
            shape: shape.into(),
            data: Data::Blocks(format, bytes),
        }
    }

    /// The elements as f32; whole numbers are converted, and blocks are decoded.
    pub fn floats(&self) -> Cow<'_, [f32]> {
        match &self.data {
            Data::F32(data) => data.into(),
            Data::I32(data) => data.iter().map(|&n| n as f32).collect::<Vec<_>>().into(),
            // Only products read these, and they read the blocks.
            Data::Int8(_) => Cow::default(),
            Data::Blocks(format, bytes) => {
                let mut floats = vec![0.0; bytes.len() / format.bytes() * format.elements()];
                let blocks = bytes.chunks_exact(format.bytes());
                for (block, floats) in blocks.zip(floats.chunks_exact_mut(format.elements())) {
                    format.dequantize(block, floats);
                }
                floats.into()
            }
        }
    }

    /// The number of elements that are stored together.
    pub fn unit(&self) -> usize {
        match &self.data {
            Data::Blocks(format, _) => format.elements(),
            _ => 1,
        }
    }

    /// The elements as i32; empty if they are floats.
    pub fn ints(&self) -> &[i32] {
        match &self.data {
            Data::I32(data) => data,
            _ => &[],
        }
    }

    /// The innermost dimension; 1 for a scalar.
    pub fn width(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }
}
