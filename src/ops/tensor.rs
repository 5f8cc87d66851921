//! Tensors of the reference interpreter: plain vectors.

/// Elements of a [`Tensor`].
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Floats; weights of narrower types are widened, exactly.
    F32(Vec<f32>),
    /// Token ids and positions.
    I32(Vec<i32>),
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
    /// An f32 tensor; `data` holds the shape's product of elements.
    pub fn f32(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Tensor {
        let shape = shape.into();
        debug_assert_eq!(shape.iter().product::<usize>(), data.len());
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

    /// The elements as f32; whole numbers are converted.
    pub fn floats(&self) -> std::borrow::Cow<'_, [f32]> {
        match &self.data {
            Data::F32(data) => data.into(),
            Data::I32(data) => data.iter().map(|&n| n as f32).collect::<Vec<_>>().into(),
        }
    }

    /// The elements as i32; empty where they are floats.
    pub fn ints(&self) -> &[i32] {
        match &self.data {
            Data::I32(data) => data,
            Data::F32(_) => &[],
        }
    }

    /// The innermost dimension; 1 for a scalar.
    pub fn width(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }
}
