//! Matrix products with weights, and of two activations.
//!
//! Every output element is one chain of fused multiply-adds over k, in order, from +0. For int8 activations and a weight in
//! quantized blocks it is a chain over the blocks of 32 elements, whose own products are exact (`kernels/quantized`).

use smallvec::SmallVec;

use super::attributes::{Attribute, AttributeDef, AttributeKind};
use super::blocks::quantized_product;
use super::definition::SEGMENTS;
use super::elementwise::{ACTIVATIONS, GATES, activation, apply};
use super::infer::{Types, expect_rank, expect_shape, one, operand, width};
use super::lower::{Form, Lowering, Phase, WeightForm};
use super::reference::Operands;
use super::tensor::{Data, Tensor};
use super::{Arity, InputDef, Op, OpDef, Tokens};
use crate::kernels::elementwise::UnaryFunction;
use crate::kernels::linear::{GatedLinear, Linear, MergedLinear};
use crate::kernels::matmul::MatMul;
use crate::kernels::weights::{Blocks, Floats, Weights};
use crate::types::{DType, Dim, Type};

/// For GatedLinear, which always has an activation.
const GATE: AttributeDef = AttributeDef::required("activation", GATES, "applied to the gate");
const ACTIVATION: AttributeDef = AttributeDef::optional(
    "activation",
    ACTIVATIONS,
    Attribute::word("none"),
    "applied after the bias",
);

const MERGED_LINEAR: &str = "MergedLinear";

pub(super) const OPS: &[OpDef] = &[
    OpDef {
        name: "MatMul",
        formula: "a · bᵀ over the last dimensions (weights are [out, in], as files store them); without transpose_b, a · b. \
                  Leading dimensions are equal, or a's is a multiple of b's (grouped heads)",
        attributes: &[AttributeDef::optional(
            "transpose_b",
            AttributeKind::Bool,
            Attribute::Bool(true),
            "b is [.., n, k]; otherwise [.., k, n]",
        )],
        inputs: &[
            InputDef::required("a", Form::TensorOrInt8),
            InputDef::required("b", Form::PackedOrTensor),
        ],
        infer: matmul_infer,
        reference: matmul_reference,
        lower: matmul_lower,
        ..OpDef::PLAIN
    },
    OpDef {
        name: "Linear",
        formula: "activation(x · weightᵀ + bias) + residual",
        attributes: &[ACTIVATION],
        inputs: &[
            InputDef::required("x", Form::TensorOrInt8),
            InputDef::required("weight", Form::Packed),
            InputDef::optional("bias", Form::Constant),
            InputDef::optional("residual", Form::Tensor),
        ],
        rank: 20,
        merged: Some(MERGED_LINEAR),
        tokens: |_| Tokens::Own(&[0, 3]),
        in_place: &[(0, 3)],
        infer: linear_infer,
        reference: linear_reference,
        lower: linear_lower,
        ..OpDef::PLAIN
    },
    OpDef {
        name: MERGED_LINEAR,
        formula: "yᵢ = x · weightᵢᵀ + biasᵢ for each of `segments` weights, in one step",
        attributes: &[AttributeDef::required(
            SEGMENTS,
            AttributeKind::Int(1, 64),
            "how many weights",
        )],
        inputs: &[
            InputDef::required("x", Form::TensorOrInt8),
            InputDef::required("weight", Form::Packed),
            InputDef::optional("bias", Form::Constant),
        ],
        arity: Arity::Segments,
        rank: 10,
        tokens: |_| Tokens::Own(&[0]),
        infer: merged_infer,
        reference: merged_reference,
        lower: merged_lower,
        ..OpDef::PLAIN
    },
    OpDef {
        name: "GatedLinear",
        formula: "activation(x · gateᵀ + gate_bias) · (x · upᵀ + up_bias) (Shazeer 2020)",
        attributes: &[GATE],
        inputs: &[
            InputDef::required("x", Form::TensorOrInt8),
            InputDef::required("gate", Form::Packed),
            InputDef::required("up", Form::Packed),
            InputDef::optional("gate_bias", Form::Constant),
            InputDef::optional("up_bias", Form::Constant),
        ],
        rank: 10,
        tokens: |_| Tokens::Own(&[0]),
        infer: gated_infer,
        reference: gated_reference,
        lower: gated_lower,
        ..OpDef::PLAIN
    },
];

fn matmul_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    let (a, b) = (operand(inputs, 0)?, operand(inputs, 1)?);
    let k = width(a, "a")?;
    for (name, ty) in [("a", a), ("b", b)] {
        if ty.shape.len() < 2 {
            return Err(format!(
                "{name} must have two dimensions or more, found {ty}"
            ));
        }
    }
    expect_blocks(a, "b", b)?;
    if a.dtype == DType::Int8 && !(op.flag("transpose_b") && b.shape.len() == 2) {
        return Err(format!("{a} needs one matrix [n, k], found {b}"));
    }
    let (batch, matrix) = b.shape.split_at(b.shape.len() - 2);
    let (n, b_k) = if op.flag("transpose_b") {
        (matrix[0], matrix[1])
    } else {
        (matrix[1], matrix[0])
    };
    if k != b_k {
        return Err(format!(
            "{a} and {b} differ in the dimension they share: {k} and {b_k}"
        ));
    }
    if !batch.is_empty() {
        let fixed = |dims: &[Dim]| {
            dims.iter()
                .try_fold(1usize, |p, d| p.checked_mul(d.fixed()?))
        };
        let leading = &a.shape[..a.shape.len().saturating_sub(2)];
        let fits = match (fixed(leading), fixed(batch)) {
            (Some(x), Some(y)) => leading.len() == batch.len() && y > 0 && x % y == 0,
            _ => leading == batch,
        };
        if !fits {
            return Err(format!(
                "the leading dimensions of {a} are not a multiple of the leading dimensions of {b}"
            ));
        }
    }
    let mut shape = a.shape.clone();
    shape.pop();
    shape.push(n);
    one(shape)
}

/// Fails if int8 activations are multiplied with a weight that is not in quantized blocks.
fn expect_blocks(x: &Type, name: &str, weight: &Type) -> Result<(), String> {
    match x.dtype == DType::Int8 && weight.dtype.blocks().is_none() {
        true => Err(format!(
            "{name} must be in quantized blocks for x {x}, found {weight}"
        )),
        false => Ok(()),
    }
}

/// The shape of a product with a `[n, k]` weight, in `Dim`s.
fn product_shape(x: &Type, weight: &Type, bias: Option<&Type>, name: &str) -> Result<Type, String> {
    expect_rank(name, weight, 2)?;
    expect_blocks(x, name, weight)?;
    let k = width(x, "x")?;
    if weight.shape[1] != k {
        return Err(format!(
            "{name} must be [.., {k}] for x {x}, found {weight}"
        ));
    }
    if let Some(bias) = bias {
        expect_shape(&format!("the bias of {name}"), bias, &weight.shape[..1])?;
    }
    let mut shape = x.shape.clone();
    shape.pop();
    shape.push(weight.shape[0]);
    Ok(Type::f32(shape))
}

fn linear_infer(_: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    let y = product_shape(
        operand(inputs, 0)?,
        operand(inputs, 1)?,
        inputs[2],
        "weight",
    )?;
    if let Some(residual) = inputs[3] {
        expect_shape("residual", residual, &y.shape)?;
    }
    Ok(SmallVec::from_iter([y]))
}

fn merged_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    let x = operand(inputs, 0)?;
    let segments = op.output_count();
    (0..segments)
        .map(|i| {
            product_shape(
                x,
                operand(inputs, 1 + i)?,
                inputs[1 + segments + i],
                &format!("weight {i}"),
            )
        })
        .collect()
}

/// The function of a gate.
fn gate(op: &Op) -> Option<UnaryFunction> {
    activation(op.text("activation"))
}

fn gated_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    gate(op).ok_or("the gate has no function")?;
    let x = operand(inputs, 0)?;
    let gate = product_shape(x, operand(inputs, 1)?, inputs[3], "gate")?;
    let up = product_shape(x, operand(inputs, 2)?, inputs[4], "up")?;
    expect_shape("the product with up", &up, &gate.shape)?;
    Ok(SmallVec::from_iter([gate]))
}

/// x [rows, k] · wᵀ [k, n] + bias `[n]`.
fn product(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    if let (Data::Int8(words), Data::Blocks(format, blocks)) = (&x.data, &weight.data) {
        return quantized_product(x, words, weight, *format, blocks, bias);
    }
    let (k, n) = (x.width(), weight.shape[0]);
    let (data, weight, bias) = (x.floats(), weight.floats(), bias.map(Tensor::floats));
    let mut y = Vec::new();
    for row in data.chunks_exact(k) {
        for (j, weight) in weight.chunks_exact(k).enumerate() {
            let chain = row
                .iter()
                .zip(weight)
                .fold(0f32, |sum, (x, w)| x.mul_add(*w, sum));
            y.push(bias.as_ref().map_or(chain, |bias| chain + bias[j]));
        }
    }
    let mut shape = x.shape.clone();
    shape.pop();
    shape.push(n);
    Tensor::f32(shape, y)
}

fn map(x: Tensor, function: Option<UnaryFunction>) -> Tensor {
    match function {
        None => x,
        Some(function) => {
            let data = x.floats().iter().map(|&x| apply(function, x)).collect();
            Tensor::f32(x.shape, data)
        }
    }
}

fn zip(a: &Tensor, b: &Tensor, join: impl Fn(f32, f32) -> f32) -> Tensor {
    let data = a
        .floats()
        .iter()
        .zip(b.floats().iter())
        .map(|(&a, &b)| join(a, b))
        .collect();
    Tensor::f32(a.shape.clone(), data)
}

fn matmul_reference(op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let (a, b) = (operands.get(0), operands.get(1));
    if matches!(a.data, Data::Int8(_)) {
        return vec![product(a, b, None)];
    }
    let rank = b.shape.len();
    let transposed = op.flag("transpose_b");
    let k = a.width();
    let n = if transposed {
        b.shape[rank - 2]
    } else {
        b.shape[rank - 1]
    };
    let (left, right) = (a.floats(), b.floats());
    // The number of rows of `a` that share one matrix of `b`.
    let batches = b.shape[..rank - 2].iter().product::<usize>().max(1);
    let group = left.len() / k.max(1) / batches;
    let mut y = Vec::with_capacity(left.len() / k.max(1) * n);
    for (row, x) in left.chunks_exact(k).enumerate() {
        let matrix = &right[row / group * k * n..][..k * n];
        for j in 0..n {
            let at = |i: usize| {
                if transposed {
                    matrix[j * k + i]
                } else {
                    matrix[i * n + j]
                }
            };
            y.push(
                x.iter()
                    .enumerate()
                    .fold(0f32, |sum, (i, x)| x.mul_add(at(i), sum)),
            );
        }
    }
    let mut shape = a.shape.clone();
    shape.pop();
    shape.push(n);
    vec![Tensor::f32(shape, y)]
}

fn linear_reference(op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let y = product(operands.get(0), operands.get(1), operands.optional(2));
    let y = map(y, activation(op.text("activation")));
    vec![match operands.optional(3) {
        Some(residual) => zip(&y, residual, |y, r| y + r),
        None => y,
    }]
}

fn merged_reference(op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let n = op.output_count();
    (0..n)
        .map(|i| {
            product(
                operands.get(0),
                operands.get(1 + i),
                operands.optional(1 + n + i),
            )
        })
        .collect()
}

fn gated_reference(op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let gate_product = product(operands.get(0), operands.get(1), operands.optional(3));
    let up = product(operands.get(0), operands.get(2), operands.optional(4));
    vec![zip(&map(gate_product, gate(op)), &up, |gate, up| gate * up)]
}

fn matmul_lower(op: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    let transpose_b = op.flag("transpose_b");
    match lowering.weights[1] {
        Some(WeightForm::Quantized | WeightForm::Packed) => {
            layer_phase(Layer::Linear { activation: None }, lowering)
        }
        Some(WeightForm::Constant | WeightForm::Table) | None => {
            vec![Phase::whole(MatMul { transpose_b }, lowering)]
        }
    }
}

/// A linear layer with any kind of weights.
#[derive(Clone, Copy)]
enum Layer {
    Linear { activation: Option<UnaryFunction> },
    Merged { segments: usize },
    Gated { activation: UnaryFunction },
}

/// The phase of `layer` with the kind of weights that it reads.
fn layer_phase(layer: Layer, lowering: &Lowering<'_>) -> Vec<Phase> {
    vec![match lowering.weights[1] {
        Some(WeightForm::Quantized) => phase_over(Blocks, layer, lowering),
        _ => phase_over(Floats, layer, lowering),
    }]
}

/// The phase of `layer` with one kind of weights, and with the scratch that the size of operand 0 requires.
fn phase_over<W: Weights>(weights: W, layer: Layer, lowering: &Lowering<'_>) -> Phase {
    let phase = match layer {
        Layer::Linear { activation } => {
            let kernel = Linear {
                activation,
                weights,
            };
            Phase::whole(kernel, lowering)
        }
        Layer::Merged { segments } => Phase::whole(MergedLinear { segments, weights }, lowering),
        Layer::Gated { activation } => {
            let kernel = GatedLinear {
                activation,
                weights,
            };
            Phase::whole(kernel, lowering)
        }
    };
    let width = lowering.inputs[0].and_then(|x| x.width());
    let cols = width.and_then(Dim::fixed).unwrap_or(0);
    let elements = lowering.inputs[0].map_or(0, |x| x.elements(lowering.size));
    phase.with_scratch(W::scratch_floats(cols, elements / cols.max(1)))
}

fn linear_lower(op: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    let activation = activation(op.text("activation"));
    layer_phase(Layer::Linear { activation }, lowering)
}

fn merged_lower(op: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    let segments = op.output_count();
    layer_phase(Layer::Merged { segments }, lowering)
}

fn gated_lower(op: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    let functions = gate(op).into_iter();
    functions
        .flat_map(|activation| layer_phase(Layer::Gated { activation }, lowering))
        .collect()
}
