//! The weights of a model in the forms that kernels read.

use std::io;
use std::sync::Arc;

use crate::graph::{Graph, Value};
use crate::kernels::packed::{PackSource, PackedMatrix, RowSource, RowTable, WeightType};
use crate::load::weight::{ElementType, Weight};
use crate::load::weight_expression::{WeightExpressionError, WeightExpressions};
use crate::load::weight_files::WeightFiles;
use crate::plan::{WeightForm, WeightNeed};

/// One weight, ready to be read.
pub enum StoredWeight {
    /// Dense f32 and its shape.
    Constant(Vec<f32>, Vec<usize>),
    /// In panels of 16 rows.
    Packed(PackedMatrix),
    /// Read row by row from the file.
    Table(RowTable),
}

/// Why the weights can't be made ready.
#[derive(Debug, thiserror::Error)]
pub enum WeightLoadError {
    /// A tensor can't be had or viewed.
    #[error(transparent)]
    Expression(#[from] WeightExpressionError),
    /// The system gave no memory.
    #[error("no memory to pack \"{name}\": {error}")]
    Memory {
        /// The weight's name in the graph.
        name: String,
        /// What the system said.
        error: io::Error,
    },
    /// A weight that must be a matrix is not.
    #[error("\"{name}\" must be a matrix, found shape {shape:?}")]
    NotMatrix {
        /// The weight's name in the graph.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
}

/// Make the weights ready that a plan needs, packing with `threads` threads. `progress` is told the number of weights
/// done and of all.
pub fn load(
    graph: &Graph,
    needs: &[WeightNeed],
    files: &WeightFiles,
    threads: usize,
    progress: &dyn Fn(usize, usize),
) -> Result<Vec<StoredWeight>, WeightLoadError> {
    let mut expressions = WeightExpressions::new(graph, files);
    let mut stored = Vec::with_capacity(needs.len());
    for (done, need) in needs.iter().enumerate() {
        progress(done, needs.len());
        let weight = expressions.get(need.value)?;
        stored.push(store(graph, need.value, need.form, weight, threads)?);
    }
    progress(needs.len(), needs.len());
    Ok(stored)
}

fn store(
    graph: &Graph,
    value: Value,
    form: WeightForm,
    weight: Weight,
    threads: usize,
) -> Result<StoredWeight, WeightLoadError> {
    if form == WeightForm::Constant {
        return Ok(StoredWeight::Constant(
            weight.to_f32(),
            weight.shape().to_vec(),
        ));
    }
    let Some(matrix) = Matrix::new(&weight) else {
        let name = graph.name(value).to_string();
        return Err(WeightLoadError::NotMatrix {
            name,
            shape: weight.shape().to_vec(),
        });
    };
    if form == WeightForm::Table {
        return Ok(StoredWeight::Table(RowTable::new(Arc::new(matrix))));
    }
    let packed = PackedMatrix::pack(&matrix, threads);
    packed
        .map(StoredWeight::Packed)
        .map_err(|error| WeightLoadError::Memory {
            name: graph.name(value).to_string(),
            error,
        })
}

/// A weight of two dimensions.
struct Matrix {
    weight: Weight,
    rows: usize,
    cols: usize,
}

impl Matrix {
    fn new(weight: &Weight) -> Option<Matrix> {
        let [rows, cols] = *weight.shape() else {
            return None;
        };
        Some(Matrix {
            weight: weight.clone(),
            rows,
            cols,
        })
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
        match self.weight.element_type() {
            // Quantized blocks are packed as the floats that they mean.
            ElementType::F32 | ElementType::Blocks(_) => WeightType::F32,
            ElementType::F16 => WeightType::F16,
            ElementType::BF16 => WeightType::BF16,
        }
    }

    fn copy_bits(&self, row: usize, start: usize, out: &mut [u32]) {
        let part = self.weight.copy_row_part_bits(row, start, out);
        debug_assert!(
            part.is_ok(),
            "the packer asked for a part outside of the matrix"
        );
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
        let part = self.weight.copy_row_part_f32(row, start, out);
        debug_assert!(part.is_ok(), "a row outside of the table was asked for");
    }
}
