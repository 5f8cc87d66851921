//! Norms, softmax and means: ops that reduce the last dimension.
//!
//! Sums use 16 virtual lanes (element j is added to lane j mod 16), and a fixed tree adds the lanes, on every CPU.

use std::marker::PhantomData;

use smallvec::SmallVec;

use super::attributes::{Attribute, AttributeDef, AttributeKind};
use super::elementwise::apply;
use super::infer::{Types, expect_shape, one, operand, same, width};
use super::lower::{Form, Lowering, Phase};
use super::reference::Operands;
use super::tensor::Tensor;
use super::{InputDef, Op, OpDef, Tokens};
use crate::kernels::elementwise::UnaryFunction;
use crate::kernels::norm::{Floats, LayerNorm, NormOutput, Reduce, Reduction, RmsNorm, Softmax};
use crate::kernels::simd::{LANES, tree};
use crate::types::{Dim, Type};

/// The kind of norm of an op's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Norm {
    /// Scaled by the root of the mean of squares.
    Rms,
    /// Centred by the mean and scaled by the variance.
    Layer,
}

pub(super) const EPS: AttributeDef = AttributeDef::optional(
    "eps",
    AttributeKind::Float,
    Attribute::Float(1e-5),
    "added to the mean of squares under the root",
);

const BASE: OpDef = OpDef {
    inputs: &[InputDef::required("x", Form::Tensor)],
    rank: 30,
    tokens: |_| Tokens::OwnRow(&[0]),
    in_place: &[(0, 0)],
    infer: same,
    reference: softmax_reference,
    lower: softmax_lower,
    ..OpDef::PLAIN
};

pub(super) const OPS: &[OpDef] = &[
    OpDef {
        name: "RmsNorm",
        formula: "x / √(mean(x²) + eps) · gain, over the last dimension; an absent gain is 1 (Zhang and Sennrich 2019)",
        attributes: &[EPS],
        inputs: &[
            InputDef::required("x", Form::Tensor),
            InputDef::stated("gain", Form::Constant),
        ],
        infer: norm_infer,
        reference: |op, operands| norm_reference(Norm::Rms, op, operands),
        lower: |op, lowering| norm_phase::<Floats>(Norm::Rms, op, lowering),
        ..BASE
    },
    OpDef {
        name: "LayerNorm",
        formula: "(x − mean(x)) / √(var(x) + eps) · gain + bias, over the last dimension; an absent gain is 1 (Ba et al. 2016)",
        attributes: &[EPS],
        inputs: &[
            InputDef::required("x", Form::Tensor),
            InputDef::stated("gain", Form::Constant),
            InputDef::optional("bias", Form::Constant),
        ],
        infer: norm_infer,
        reference: |op, operands| norm_reference(Norm::Layer, op, operands),
        lower: |op, lowering| norm_phase::<Floats>(Norm::Layer, op, lowering),
        ..BASE
    },
    OpDef {
        name: "AddRmsNorm",
        formula: "sum = x + residual; y = RmsNorm(sum)",
        attributes: &[EPS],
        inputs: &[
            InputDef::required("x", Form::Tensor),
            InputDef::required("residual", Form::Tensor),
            InputDef::stated("gain", Form::Constant),
        ],
        reference: |op, operands| add_norm_reference(Norm::Rms, op, operands),
        lower: |op, lowering| norm_phase::<Floats>(Norm::Rms, op, lowering),
        ..ADDED
    },
    OpDef {
        name: "AddLayerNorm",
        formula: "sum = x + residual; y = LayerNorm(sum)",
        attributes: &[EPS],
        inputs: &[
            InputDef::required("x", Form::Tensor),
            InputDef::required("residual", Form::Tensor),
            InputDef::stated("gain", Form::Constant),
            InputDef::optional("bias", Form::Constant),
        ],
        reference: |op, operands| add_norm_reference(Norm::Layer, op, operands),
        lower: |op, lowering| norm_phase::<Floats>(Norm::Layer, op, lowering),
        ..ADDED
    },
    OpDef {
        name: "Softmax",
        formula: "exp(x − max x) / Σ exp(x − max x), over the last dimension; a row of −∞ becomes zeros",
        ..BASE
    },
    OpDef {
        name: "ReduceMean",
        formula: "the mean of the last dimension, which is kept with length 1",
        reference: |_, operands| reduce_reference(Reduction::Mean, operands),
        lower: |_, lowering| reduce_lower(Reduction::Mean, lowering),
        ..REDUCTION
    },
    OpDef {
        name: "ReduceSum",
        formula: "the sum of the last dimension, which is kept with length 1",
        reference: |_, operands| reduce_reference(Reduction::Sum, operands),
        lower: |_, lowering| reduce_lower(Reduction::Sum, lowering),
        ..REDUCTION
    },
    OpDef {
        name: "ReduceMax",
        formula: "the largest element of the last dimension, which is kept with length 1",
        reference: |_, operands| reduce_reference(Reduction::Max, operands),
        lower: |_, lowering| reduce_lower(Reduction::Max, lowering),
        ..REDUCTION
    },
];

/// The defaults for norms of a residual sum.
const ADDED: OpDef = OpDef {
    outputs: &["sum", "y"],
    rank: 20,
    tokens: |_| Tokens::OwnRow(&[0, 1]),
    in_place: &[(0, 0), (0, 1), (1, 0), (1, 1)],
    infer: add_norm_infer,
    ..BASE
};

const REDUCTION: OpDef = OpDef {
    rank: 40,
    in_place: &[],
    infer: reduce_infer,
    ..BASE
};

fn check_eps(op: &Op) -> Result<(), String> {
    match op.float("eps") {
        eps if eps < 0.0 => Err(format!("eps must not be negative, found {eps}")),
        _ => Ok(()),
    }
}

pub(super) fn norm_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    check_eps(op)?;
    let x = operand(inputs, 0)?;
    check_gains(x, &inputs[1..])?;
    one(x.shape.clone())
}

pub(super) fn add_norm_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    check_eps(op)?;
    let (x, residual) = (operand(inputs, 0)?, operand(inputs, 1)?);
    expect_shape("residual", residual, &x.shape)?;
    check_gains(x, &inputs[2..])?;
    let sum = Type::f32(x.shape.clone());
    Ok(SmallVec::from_iter([sum.clone(), sum]))
}

fn check_gains(x: &Type, gains: &[Option<&Type>]) -> Result<(), String> {
    let width = width(x, "x")?;
    for (name, gain) in ["gain", "bias"].into_iter().zip(gains) {
        if let Some(gain) = gain {
            expect_shape(name, gain, &[width])?;
        }
    }
    Ok(())
}

fn reduce_infer(_: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    let x = operand(inputs, 0)?;
    width(x, "x")?;
    let mut shape = x.shape.clone();
    shape.pop();
    shape.push(Dim::Fixed(1));
    one(shape)
}

/// The sum of `f(x)` in 16 lanes and the fixed tree; `f` adds an element to a lane.
fn lane_sum(x: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    for (j, &x) in x.iter().enumerate() {
        lanes[j % LANES] = f(lanes[j % LANES], x);
    }
    tree(lanes, |a, b| a + b)
}

/// The largest element, in the same lanes and tree; lanes past the end of a row count as −∞. The order matters only for NaN,
/// which `a > b ? a : b` may keep or drop.
fn lane_max(x: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for block in x.chunks(LANES) {
        for (i, lane) in lanes.iter_mut().enumerate() {
            *lane = larger(*lane, block.get(i).copied().unwrap_or(f32::NEG_INFINITY));
        }
    }
    tree(lanes, larger)
}

fn rms_norm_row(x: &[f32], gain: Option<&[f32]>, eps: f32, y: &mut Vec<f32>) {
    let mean = lane_sum(x, |lane, x| x.mul_add(x, lane)) / x.len() as f32;
    let scale = 1.0 / (mean + eps).sqrt();
    let gain = |j: usize| gain.map_or(1.0, |gain| gain[j]);
    y.extend(x.iter().enumerate().map(|(j, &x)| x * scale * gain(j)));
}

fn layer_norm_row(
    x: &[f32],
    gain: Option<&[f32]>,
    bias: Option<&[f32]>,
    eps: f32,
    y: &mut Vec<f32>,
) {
    let mean = lane_sum(x, |lane, x| lane + x) / x.len() as f32;
    let variance = lane_sum(x, |lane, x| (x - mean).mul_add(x - mean, lane)) / x.len() as f32;
    let scale = 1.0 / (variance + eps).sqrt();
    let gain = |j: usize| gain.map_or(1.0, |gain| gain[j]);
    y.extend(x.iter().enumerate().map(|(j, &x)| {
        let normal = (x - mean) * scale;
        bias.map_or(normal * gain(j), |bias| normal.mul_add(gain(j), bias[j]))
    }));
}

/// The norm of every row.
pub(super) fn norm_rows(
    norm: Norm,
    op: &Op,
    x: &Tensor,
    gain: Option<&Tensor>,
    bias: Option<&Tensor>,
) -> Tensor {
    let eps = op.float("eps") as f32;
    let (data, gain, bias) = (
        x.floats(),
        gain.map(Tensor::floats),
        bias.map(Tensor::floats),
    );
    let (gain, bias) = (gain.as_deref(), bias.as_deref());
    let mut y = Vec::with_capacity(data.len());
    for row in data.chunks_exact(x.width()) {
        match norm {
            Norm::Rms => rms_norm_row(row, gain, eps, &mut y),
            Norm::Layer => layer_norm_row(row, gain, bias, eps, &mut y),
        }
    }
    Tensor::f32(x.shape.clone(), y)
}

/// The gain and, for a LayerNorm, the bias: operands from `first` on.
pub(super) fn gain_and_bias<'o>(
    norm: Norm,
    operands: &'o Operands<'_>,
    first: usize,
) -> (Option<&'o Tensor>, Option<&'o Tensor>) {
    let bias = match norm {
        Norm::Rms => None,
        Norm::Layer => operands.optional(first + 1),
    };
    (operands.optional(first), bias)
}

pub(super) fn norm_reference(norm: Norm, op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let (gain, bias) = gain_and_bias(norm, operands, 1);
    vec![norm_rows(norm, op, operands.get(0), gain, bias)]
}

pub(super) fn add_norm_reference(norm: Norm, op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let (x, residual) = (operands.get(0), operands.get(1));
    let sum = x
        .floats()
        .iter()
        .zip(residual.floats().iter())
        .map(|(x, r)| x + r)
        .collect();
    let sum = Tensor::f32(x.shape.clone(), sum);
    let (gain, bias) = gain_and_bias(norm, operands, 2);
    let y = norm_rows(norm, op, &sum, gain, bias);
    vec![sum, y]
}

fn softmax_reference(_: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let x = operands.get(0);
    let mut y = Vec::new();
    for row in x.floats().chunks_exact(x.width()) {
        let largest = lane_max(row);
        if largest == f32::NEG_INFINITY {
            y.extend(row.iter().map(|_| 0.0));
            continue;
        }
        let exps: Vec<f32> = row
            .iter()
            .map(|&x| apply(UnaryFunction::Exp, x - largest))
            .collect();
        let total = lane_sum(&exps, |lane, e| lane + e);
        y.extend(exps.iter().map(|e| e / total));
    }
    vec![Tensor::f32(x.shape.clone(), y)]
}

fn reduce_reference(reduction: Reduction, operands: &Operands<'_>) -> Vec<Tensor> {
    let x = operands.get(0);
    let sum = |row: &[f32]| lane_sum(row, |lane, x| lane + x);
    let reduced = |row: &[f32]| match reduction {
        Reduction::Max => lane_max(row),
        Reduction::Sum => sum(row),
        Reduction::Mean => sum(row) / row.len() as f32,
    };
    let data = x.floats().chunks_exact(x.width()).map(reduced).collect();
    let mut shape = x.shape.clone();
    shape.pop();
    shape.push(1);
    vec![Tensor::f32(shape, data)]
}

/// The phase of a norm op whose `y` has the kind `Y`.
pub(super) fn norm_phase<Y: NormOutput>(
    norm: Norm,
    op: &Op,
    lowering: &Lowering<'_>,
) -> Vec<Phase> {
    let eps = op.float("eps") as f32;
    let residual = op.def().outputs.len() == 2;
    vec![match norm {
        Norm::Rms => Phase::whole(
            RmsNorm {
                eps,
                residual,
                output: PhantomData::<Y>,
            },
            lowering,
        ),
        Norm::Layer => Phase::whole(
            LayerNorm {
                eps,
                residual,
                output: PhantomData::<Y>,
            },
            lowering,
        ),
    }]
}

fn softmax_lower(_: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    vec![Phase::whole(Softmax, lowering)]
}

fn reduce_lower(reduction: Reduction, lowering: &Lowering<'_>) -> Vec<Phase> {
    vec![Phase::whole(Reduce { reduction }, lowering)]
}
