//! Int8 activations, and their products with weights.
//!
//! A product with a weight in quantized blocks reads its activations as blocks of 32 signed bytes with a scale. They are
//! quantized once for all products that read them. `kernels/quantized` documents the blocks and the arithmetic of the
//! products.

use smallvec::SmallVec;

use super::blocks::quantize;
use super::infer::{Types, operand, width};
use super::lower::{Form, Lowering, Phase};
use super::norm::{
    EPS, Norm, add_norm_infer, add_norm_reference, norm_infer, norm_phase, norm_reference,
};
use super::reference::Operands;
use super::tensor::Tensor;
use super::{InputDef, Op, OpDef, Tokens};
use crate::kernels::quantized::{INT8_BLOCK, Int8, QuantizeActivations};
use crate::types::{DType, Dim, Type};

/// The op that converts activations to int8 blocks.
pub const QUANTIZE_ACTIVATIONS: &str = "QuantizeActivations";

const BASE: OpDef = OpDef {
    name: QUANTIZE_ACTIVATIONS,
    formula: "blocks of 32 elements of a row: d = max |x| / 127, and round(x · 127 / max |x|), half to even, as signed bytes",
    inputs: &[InputDef::required("x", Form::Tensor)],
    rank: 30,
    tokens: |_| Tokens::Own(&[0]),
    infer: quantize_infer,
    reference: quantize_reference,
    lower: quantize_lower,
    ..OpDef::PLAIN
};

pub(super) const OPS: &[OpDef] = &[
    BASE,
    OpDef {
        name: "QuantizedRmsNorm",
        formula: "QuantizeActivations(RmsNorm(x))",
        attributes: &[EPS],
        inputs: &[
            InputDef::required("x", Form::Tensor),
            InputDef::stated("gain", Form::Constant),
        ],
        rank: 20,
        infer: norm_quantize_infer,
        reference: |op, operands| norm_quantize_reference(Norm::Rms, op, operands),
        lower: |op, lowering| norm_phase::<Int8>(Norm::Rms, op, lowering),
        ..BASE
    },
    OpDef {
        name: "QuantizedLayerNorm",
        formula: "QuantizeActivations(LayerNorm(x))",
        attributes: &[EPS],
        inputs: &[
            InputDef::required("x", Form::Tensor),
            InputDef::stated("gain", Form::Constant),
            InputDef::optional("bias", Form::Constant),
        ],
        rank: 20,
        infer: norm_quantize_infer,
        reference: |op, operands| norm_quantize_reference(Norm::Layer, op, operands),
        lower: |op, lowering| norm_phase::<Int8>(Norm::Layer, op, lowering),
        ..BASE
    },
    OpDef {
        name: "QuantizedAddRmsNorm",
        formula: "sum = x + residual; y = QuantizeActivations(RmsNorm(sum))",
        inputs: &[
            InputDef::required("x", Form::Tensor),
            InputDef::required("residual", Form::Tensor),
            InputDef::stated("gain", Form::Constant),
        ],
        reference: |op, operands| add_norm_quantize_reference(Norm::Rms, op, operands),
        lower: |op, lowering| norm_phase::<Int8>(Norm::Rms, op, lowering),
        ..ADDED
    },
    OpDef {
        name: "QuantizedAddLayerNorm",
        formula: "sum = x + residual; y = QuantizeActivations(LayerNorm(sum))",
        inputs: &[
            InputDef::required("x", Form::Tensor),
            InputDef::required("residual", Form::Tensor),
            InputDef::stated("gain", Form::Constant),
            InputDef::optional("bias", Form::Constant),
        ],
        reference: |op, operands| add_norm_quantize_reference(Norm::Layer, op, operands),
        lower: |op, lowering| norm_phase::<Int8>(Norm::Layer, op, lowering),
        ..ADDED
    },
];

/// The defaults for norms of a residual sum.
const ADDED: OpDef = OpDef {
    attributes: &[EPS],
    outputs: &["sum", "y"],
    rank: 10,
    tokens: |_| Tokens::Own(&[0, 1]),
    in_place: &[(0, 0), (0, 1)],
    infer: add_norm_quantize_infer,
    ..BASE
};

/// The type of `x` in int8 blocks.
fn quantized(x: &Type) -> Result<Type, String> {
    match width(x, "x")? {
        Dim::Fixed(k) if k > 0 && k.is_multiple_of(INT8_BLOCK) => {
            Ok(Type::new(DType::Int8, x.shape.iter().copied()))
        }
        _ => Err(format!(
            "rows of x must be made of whole blocks of {INT8_BLOCK}, found {x}"
        )),
    }
}

fn quantize_infer(_: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    Ok(SmallVec::from_iter([quantized(operand(inputs, 0)?)?]))
}

fn norm_quantize_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    let mut types = norm_infer(op, inputs)?;
    types[0] = quantized(&types[0])?;
    Ok(types)
}

fn add_norm_quantize_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    let mut types = add_norm_infer(op, inputs)?;
    types[1] = quantized(&types[1])?;
    Ok(types)
}

fn quantize_reference(_: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    vec![quantize(operands.get(0))]
}

fn norm_quantize_reference(norm: Norm, op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    norm_reference(norm, op, operands)
        .iter()
        .map(quantize)
        .collect()
}

fn add_norm_quantize_reference(norm: Norm, op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let mut outputs = add_norm_reference(norm, op, operands);
    outputs[1] = quantize(&outputs[1]);
    outputs
}

fn quantize_lower(_: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    vec![Phase::whole(QuantizeActivations, lowering)]
}
