//! A dense layer after pooling: `y = activation(x · wᵀ + b)`.
//!
//! ```text
//! sum[r] = +0; for c in 0..in: sum[r] = sum[r] + x[c] · w[r][c]      // two roundings, columns in order
//! y[r]   = activation(sum[r] + b[r])
//! ```

use super::EmbedError;
use crate::files::folder::Folder;
use crate::files::weight_file::{Open, WeightFile};
use crate::kernels::functions::UnaryFunction;
use crate::kernels::simd::Single;
use crate::language::nearest::unknown_of_few;

/// PyTorch's name for no function.
const IDENTITY: &str = "Identity";

/// The function with this PyTorch name: `torch.nn.modules.activation.Tanh`, or only the last part. The inner option is `None`
/// for the identity.
pub(super) fn activation(name: &str) -> Result<Option<UnaryFunction>, String> {
    let class = name.rsplit('.').next().unwrap_or(name);
    if class == IDENTITY {
        return Ok(None);
    }
    let named = |function: &UnaryFunction| function.row().torch;
    let mut all = UnaryFunction::ALL.iter().copied();
    match all.find(|function| named(function) == Some(class)) {
        Some(function) => Ok(Some(function)),
        None => {
            let known = UnaryFunction::ALL.iter().filter_map(named);
            Err(unknown_of_few("activation", name, known.chain([IDENTITY])))
        }
    }
}

/// A dense layer.
#[derive(Debug)]
pub(super) struct Dense {
    /// [in, out]: the file's weight, transposed so that the outputs of an input are adjacent.
    weight: Vec<f32>,
    /// `[out]`.
    bias: Vec<f32>,
    /// `None` for the identity.
    activation: Option<UnaryFunction>,
}

impl Dense {
    /// The layer of a safetensors file with `linear.weight` [out, in] and, if `biased`, `linear.bias` `[out]`.
    pub fn read(
        folder: &Folder,
        file: &str,
        biased: bool,
        activation: Option<UnaryFunction>,
    ) -> Result<Dense, EmbedError> {
        let fail = |problem: String| EmbedError::File {
            path: folder.path(file),
            problem,
        };
        if !folder.has(file) {
            return Err(fail(
                "a dense layer's weights must be in a safetensors file, but there is none"
                    .to_string(),
            ));
        }
        let file = WeightFile::open_in(folder, file, Open::Data)?;
        let weight = file.weight("linear.weight")?;
        let [outputs, inputs] = *weight.shape() else {
            let shape = weight.shape();
            return Err(fail(format!(
                "linear.weight must be [out, in], found {shape:?}"
            )));
        };
        let rows = weight.to_f32();
        let mut transposed = vec![0.0; rows.len()];
        for (r, row) in rows.chunks_exact(inputs.max(1)).enumerate() {
            for (c, x) in row.iter().enumerate() {
                transposed[c * outputs + r] = *x;
            }
        }
        let bias = match biased {
            false => vec![0.0; outputs],
            true => {
                let bias = file.weight("linear.bias")?;
                if *bias.shape() != [outputs] {
                    let shape = bias.shape();
                    return Err(fail(format!(
                        "linear.bias must be [{outputs}] to match the rows of linear.weight, found {shape:?}"
                    )));
                }
                bias.to_f32()
            }
        };
        Ok(Dense {
            weight: transposed,
            bias,
            activation,
        })
    }

    /// Number of elements of its input.
    pub fn inputs(&self) -> usize {
        self.weight.len() / self.outputs().max(1)
    }

    /// Number of elements of its output.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// The layer's output for `x`, which has [`Dense::inputs`] elements.
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let mut sums = vec![0.0; self.outputs()];
        for (x, column) in x
            .iter()
            .zip(self.weight.chunks_exact(self.outputs().max(1)))
        {
            for (sum, w) in sums.iter_mut().zip(column) {
                *sum += x * w;
            }
        }
        for (sum, bias) in sums.iter_mut().zip(&self.bias) {
            let x = *sum + bias;
            *sum = self
                .activation
                .map_or(x, |function| function.apply(Single, x));
        }
        sums
    }
}
