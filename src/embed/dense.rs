//! A dense layer behind pooling: `y = activation(x · wᵀ + b)`.
//!
//! ```text
//! sum[r] = +0; for c in 0..in: sum[r] = sum[r] + x[c] · w[r][c]      // two roundings, columns in order
//! y[r]   = activation(sum[r] + b[r])
//! ```

use super::EmbedError;
use crate::files::folder::Folder;
use crate::files::weight_file::{Open, WeightFile};
use crate::kernels::math;

/// The layer's function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    Identity,
    Tanh,
    Gelu,
    Relu,
    Sigmoid,
    Silu,
}

impl Activation {
    /// The one that PyTorch calls so: `torch.nn.modules.activation.Tanh`, or its last part alone.
    pub fn named(name: &str) -> Option<Activation> {
        Some(match name.rsplit('.').next()? {
            "Identity" => Activation::Identity,
            "Tanh" => Activation::Tanh,
            "GELU" => Activation::Gelu,
            "ReLU" => Activation::Relu,
            "Sigmoid" => Activation::Sigmoid,
            "SiLU" => Activation::Silu,
            _ => return None,
        })
    }

    fn apply(self, x: f32) -> f32 {
        match self {
            Activation::Identity => x,
            Activation::Tanh => math::tanh_f32(x),
            Activation::Gelu => math::gelu_erf_f32(x),
            Activation::Relu => math::relu_f32(x),
            Activation::Sigmoid => math::sigmoid_f32(x),
            Activation::Silu => math::silu_f32(x),
        }
    }
}

/// A dense layer.
#[derive(Debug)]
pub(super) struct Dense {
    /// [in, out]: the file's weight transposed, so that outputs are neighbours.
    weight: Vec<f32>,
    /// `[out]`.
    bias: Vec<f32>,
    activation: Activation,
}

impl Dense {
    /// The layer of a safetensors file with `linear.weight` [out, in] and, where `biased`, `linear.bias` `[out]`.
    pub fn read(
        folder: &Folder,
        file: &str,
        biased: bool,
        activation: Activation,
    ) -> Result<Dense, EmbedError> {
        let fail = |problem: String| EmbedError::File {
            path: folder.path(file),
            problem,
        };
        if !folder.has(file) {
            return Err(fail(
                "a dense layer's weights must stand in a safetensors file, and there is none"
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
                        "linear.bias must be [{outputs}], as linear.weight has rows, found {shape:?}"
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

    /// Elements of its input.
    pub fn inputs(&self) -> usize {
        self.weight.len() / self.outputs().max(1)
    }

    /// Elements of its output.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// The layer's output for `x`, of as many elements as [`Dense::inputs`].
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
            *sum = self.activation.apply(*sum + bias);
        }
        sums
    }
}
