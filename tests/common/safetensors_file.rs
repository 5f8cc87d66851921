//! Writing safetensors files.

use std::borrow::Cow;
use std::path::Path;

use safetensors::tensor::{Dtype, View, serialize_to_file};

/// A tensor to be written, row-major.
#[derive(Clone, Copy)]
pub struct NewTensor<'a> {
    pub name: &'a str,
    /// Its dimensions, outermost first.
    pub shape: &'a [usize],
    pub elements: Elements<'a>,
}

/// The elements of a tensor; their number matches its shape.
#[derive(Clone, Copy)]
pub enum Elements<'a> {
    F32(&'a [f32]),
    I64(&'a [i64]),
}

impl View for NewTensor<'_> {
    fn dtype(&self) -> Dtype {
        match self.elements {
            Elements::F32(_) => Dtype::F32,
            Elements::I64(_) => Dtype::I64,
        }
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self.elements {
            Elements::F32(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Elements::I64(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }

    fn data_len(&self) -> usize {
        match self.elements {
            Elements::F32(values) => size_of_val(values),
            Elements::I64(values) => size_of_val(values),
        }
    }
}

/// Writes a file.
pub fn write_tensors(path: &Path, tensors: &[NewTensor<'_>]) {
    let named = tensors.iter().map(|&tensor| (tensor.name, tensor));
    serialize_to_file(named, None, path).unwrap();
}
