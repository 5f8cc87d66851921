//! The weights of a model in the forms that kernels read.

mod matrix;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use self::matrix::Matrix;
pub use self::matrix::MatrixError;
use crate::architecture::weight_expression::{WeightExpressionError, WeightExpressions};
use crate::files::map::MapError;
use crate::files::weight::Weight;
use crate::files::weight_files::WeightFiles;
use crate::graph::{Graph, Value};
use crate::kernels::float_environment::FloatEnvironment;
use crate::kernels::packed::{PackedMatrix, RowTable, packed_type};
use crate::kernels::panel_memory::PanelMemory;
use crate::kernels::quantized::QuantizedMatrix;
use crate::ops::{View, WeightForm};
use crate::plan::WeightNeed;

/// One weight, ready to be read.
pub enum StoredWeight {
    /// Dense f32 and its shape.
    Constant(Vec<f32>, Vec<usize>),
    /// In panels of 16 rows.
    Packed(PackedMatrix),
    /// In panels of 16 rows of quantized blocks.
    Quantized(Arc<QuantizedMatrix>),
    /// Read row by row, from the file or from panels of blocks.
    Table(RowTable),
}

impl StoredWeight {
    /// Whether the weight is what `need` asks for: in that form, and of that type.
    pub(super) fn is_what(&self, need: &WeightNeed) -> bool {
        let ty = need.ty();
        let mut dims = ty.shape.iter().map(|dim| dim.fixed());
        let mut is = |shape: &[usize]| dims.by_ref().eq(shape.iter().map(|&dim| Some(dim)));
        match (self, need.form()) {
            (StoredWeight::Constant(data, shape), WeightForm::Constant) => {
                is(shape) && data.len() == shape.iter().product::<usize>()
            }
            (StoredWeight::Packed(matrix), WeightForm::Packed) => {
                is(&[matrix.rows(), matrix.cols()]) && matrix.dtype() == packed_type(ty.dtype)
            }
            (StoredWeight::Quantized(matrix), WeightForm::Quantized) => {
                is(&[matrix.rows(), matrix.cols()]) && ty.dtype.blocks() == Some(matrix.format())
            }
            (StoredWeight::Table(table), WeightForm::Table) => is(&[table.rows(), table.cols()]),
            _ => false,
        }
    }
}

impl fmt::Debug for StoredWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoredWeight::Constant(_, shape) => write!(f, "dense f32 {shape:?}"),
            StoredWeight::Packed(matrix) => {
                let (rows, cols) = (matrix.rows(), matrix.cols());
                write!(f, "panels of {} [{rows}, {cols}]", matrix.dtype())
            }
            StoredWeight::Quantized(matrix) => write!(f, "panels of {matrix:?}"),
            StoredWeight::Table(table) => write!(f, "a table [{}, {}]", table.rows(), table.cols()),
        }
    }
}

/// Why the weights can't be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightLoadError {
    /// A tensor can't be found or viewed.
    #[error(transparent)]
    Expression(#[from] WeightExpressionError),
    /// The system has no memory for a weight.
    #[error("no memory to pack \"{name}\": {error}")]
    Memory {
        /// The weight's name in the graph.
        name: String,
        /// The system's error.
        error: io::Error,
    },
    /// A weight file changed while the weights were loaded.
    #[error(transparent)]
    Changed(#[from] MapError),
    /// The caller cancelled.
    #[error("loading was cancelled")]
    Cancelled,
    /// A weight that must be a matrix can't be read as one.
    #[error("\"{name}\" {error}")]
    Matrix {
        /// The weight's name in the graph.
        name: String,
        /// Why the weight can't be read as a matrix.
        error: MatrixError,
    },
}

/// Load the weights that a plan needs, packing them with `threads` threads. `progress` is called with the number of
/// weights done and the number of all weights, and decides whether to go on.
pub fn load(
    graph: &Graph,
    needs: &[WeightNeed],
    files: &WeightFiles,
    threads: usize,
    progress: &dyn Fn(usize, usize) -> ControlFlow<()>,
) -> Result<Vec<StoredWeight>, WeightLoadError> {
    let _environment = FloatEnvironment::set_default();
    let mut loader = Loader {
        graph,
        expressions: WeightExpressions::new(graph, files),
        threads,
        // A failed reservation is not an error: packing fails again at the weight that lacks memory, by name.
        memory: PanelMemory::reserve(panel_bytes(needs)).unwrap_or_default(),
        quantized: HashMap::new(),
        tables: Vec::new(),
    };
    let mut stored = Vec::with_capacity(needs.len());
    for (done, need) in needs.iter().enumerate() {
        if progress(done, needs.len()).is_break() {
            return Err(WeightLoadError::Cancelled);
        }
        // Reading past the end of a truncated file would kill the process.
        files.check()?;
        stored.push(loader.store(need, need.is_shared(needs))?);
    }
    files.check()?;
    files.release();
    // Tables are read row by row while the model runs; the plan counts them as memory in use, so they are fetched now.
    loader.tables.iter().for_each(Weight::fetch);
    match progress(needs.len(), needs.len()) {
        ControlFlow::Continue(()) => Ok(stored),
        ControlFlow::Break(()) => Err(WeightLoadError::Cancelled),
    }
}

/// Bytes of all matrices that will be packed.
fn panel_bytes(needs: &[WeightNeed]) -> usize {
    let packed =
        |need: &&WeightNeed| matches!(need.form(), WeightForm::Packed | WeightForm::Quantized);
    let sizes = needs
        .iter()
        .filter(packed)
        .map(|need| PanelMemory::size_for(need.bytes()));
    sizes.fold(0, usize::saturating_add)
}

struct Loader<'a> {
    graph: &'a Graph,
    expressions: WeightExpressions<'a>,
    threads: usize,
    /// Where matrices are packed.
    memory: PanelMemory,
    /// Weights in panels of quantized blocks, which tables may share.
    quantized: HashMap<Value, Arc<QuantizedMatrix>>,
    /// Matrices that tables are read from, where the files have them.
    tables: Vec<Weight>,
}

impl Loader<'_> {
    /// `shared` says that rows are read from the panels of the same value.
    fn store(&mut self, need: &WeightNeed, shared: bool) -> Result<StoredWeight, WeightLoadError> {
        let memory = |error| WeightLoadError::Memory {
            name: self.graph.name(need.value()).to_string(),
            error,
        };
        if shared {
            let matrix = self.quantized(need.value())?;
            return Ok(StoredWeight::Table(RowTable::new(matrix)));
        }
        match need.form() {
            WeightForm::Constant => {
                let weight = self.expressions.get(need.value())?;
                let shape = weight.shape().to_vec();
                Ok(StoredWeight::Constant(weight.to_f32(), shape))
            }
            WeightForm::Table => {
                let table = Arc::new(self.matrix(need.value())?);
                self.tables.push(table.weight().clone());
                Ok(StoredWeight::Table(RowTable::new(table)))
            }
            WeightForm::Packed => {
                let matrix = self.matrix(need.value())?;
                let packed = PackedMatrix::pack(&mut self.memory, &matrix, self.threads);
                matrix.release();
                packed.map(StoredWeight::Packed).map_err(memory)
            }
            WeightForm::Quantized => Ok(StoredWeight::Quantized(self.quantized(need.value())?)),
        }
    }

    fn quantized(&mut self, value: Value) -> Result<Arc<QuantizedMatrix>, WeightLoadError> {
        if let Some(known) = self.quantized.get(&value) {
            return Ok(known.clone());
        }
        let matrix = self.matrix(value)?;
        let blocks = matrix
            .blocks()
            .map_err(|error| self.unreadable(value, error))?;
        let packed = QuantizedMatrix::pack(&mut self.memory, &blocks, self.threads);
        matrix.release();
        let packed = packed.map_err(|error| WeightLoadError::Memory {
            name: self.graph.name(value).to_string(),
            error,
        })?;
        let packed = Arc::new(packed);
        self.quantized.insert(value, packed.clone());
        Ok(packed)
    }

    /// A weight of two dimensions; if the value is a Cast, whoever reads the matrix casts it.
    fn matrix(&mut self, value: Value) -> Result<Matrix, WeightLoadError> {
        let node = self.graph.node(value.node);
        let operand = self.graph.inputs(value.node).first().copied().flatten();
        let cast = node
            .op()
            .is_some_and(|op| op.def().view == Some(View::Cast));
        let weight = match operand.filter(|_| cast) {
            Some(operand) => self.expressions.get(operand)?,
            None => self.expressions.get(value)?,
        };
        let element = self.graph.ty(value).dtype;
        let element = Some(element).filter(|element| element.is_float());
        let element = element.unwrap_or(weight.dtype());
        Matrix::new(weight, element).map_err(|error| self.unreadable(value, error))
    }

    fn unreadable(&self, value: Value, error: MatrixError) -> WeightLoadError {
        WeightLoadError::Matrix {
            name: self.graph.name(value).to_string(),
            error,
        }
    }
}
