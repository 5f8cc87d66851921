//! Cast: the same elements in another type.
//!
//! A weight may be cast to any type of weights; loading does this while packing. Values that depend on the tokens are f32 or
//! i32.

use half::{bf16, f16};
use smallvec::SmallVec;

use super::attributes::{AttributeDef, AttributeKind};
use super::infer::{Types, operand};
use super::lower::{Form, Lowering, Phase};
use super::reference::Operands;
use super::tensor::{Data, Tensor};
use super::{InputDef, Op, OpDef, Tokens, View};
use crate::blocks::BlockFormat;
use crate::kernels::cast::Cast;
use crate::types::{DType, Dim, Type};

/// The op that converts elements to the type in the attribute `to`.
pub const CAST: &str = "Cast";

pub(super) const OPS: &[OpDef] = &[OpDef {
    name: CAST,
    formula: "x converted to another type: for floats and blocks the nearest values, as files of that type store them; for \
              i32 without the fraction, limited to the range of i32, and 0 for NaN. Values that depend on the tokens \
              are f32 or i32; weights are not i32",
    attributes: &[AttributeDef::required(
        "to",
        AttributeKind::Choice(&TYPES),
        "the type's name",
    )],
    inputs: &[InputDef::required("x", Form::AnyOrInts)],
    rank: 10,
    tokens: |_| Tokens::Own(&[0]),
    view: Some(View::Cast),
    in_place: &[(0, 0)],
    infer,
    reference,
    lower,
    ..OpDef::PLAIN
}];

/// Whole numbers, and every type of weights.
const TYPES: [&str; 1 + DType::WEIGHTS.len()] = {
    let mut types = ["i32"; 1 + DType::WEIGHTS.len()];
    let mut at = 0;
    while at < DType::WEIGHTS.len() {
        types[1 + at] = DType::WEIGHTS[at];
        at += 1;
    }
    types
};

/// The type named by the attribute.
fn target(op: &Op) -> Result<DType, String> {
    let name = op.text("to");
    let known = match name == DType::I32.to_string() {
        true => Some(DType::I32),
        false => DType::named(name),
    };
    known.ok_or_else(|| format!("there is no type {name}"))
}

fn infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    let x = operand(inputs, 0)?;
    let dtype = target(op)?;
    let (unit, _) = dtype.unit();
    let whole = |width: Dim| width.fixed().is_some_and(|width| width % unit == 0);
    if !dtype.blocks().is_none_or(BlockFormat::is_written) {
        return Err(format!("blocks of {dtype} can be read but not written"));
    }
    let fits = match x.dtype {
        DType::I32 => matches!(dtype, DType::F32 | DType::I32),
        DType::F32 | DType::F16 | DType::BF16 | DType::Blocks(_) => {
            unit == 1 || x.width().is_some_and(whole)
        }
        DType::Int8 => false,
    };
    if !fits {
        return Err(format!(
            "{x} can't be {dtype}, which needs floats in rows of whole blocks of {unit}"
        ));
    }
    let shape = x.shape.iter().copied();
    Ok(SmallVec::from_iter([Type::new(dtype, shape)]))
}

fn reference(op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let x = operands.get(0);
    let shape = x.shape.clone();
    let values = x.floats();
    let rounded = |round: fn(f32) -> f32| {
        let values = values.iter().map(|&x| round(x)).collect();
        Tensor::f32(shape.clone(), values)
    };
    // Shape inference has rejected names that are not types, and formats that cannot be written.
    vec![match (target(op).unwrap_or(DType::F32), &x.data) {
        (DType::I32, Data::I32(_)) => x.clone(),
        (DType::I32, _) => Tensor::i32(shape, values.iter().map(|&x| x as i32).collect()),
        (DType::F32 | DType::Int8, _) => Tensor::f32(shape, values.into_owned()),
        (DType::F16, _) => rounded(|x| f16::from_f32(x).to_f32()),
        (DType::BF16, _) => rounded(|x| bf16::from_f32(x).to_f32()),
        (DType::Blocks(format), _) => {
            let count = values.len() / format.elements();
            let mut blocks = vec![0; count * format.bytes()];
            let _ = format.quantize(&values, &mut blocks);
            Tensor::blocks(shape, format, blocks)
        }
    }]
}

fn lower(_: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    vec![Phase::whole(Cast, lowering)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Attribute;

    fn cast(to: &'static str, x: &Tensor) -> Data {
        let op = Op::new(CAST, &[("to", Attribute::word(to))]).unwrap();
        let operands = Operands::new([Some(x)], 0);
        reference(&op, &operands).remove(0).data
    }

    #[test]
    fn floats_lose_their_fraction_and_ints_round_to_floats() {
        let floats = [1.9, -1.9, 0.5, -0.0, 3e9, -3e9, f32::NAN, f32::INFINITY];
        let ints = [1, -1, 0, 0, i32::MAX, i32::MIN, 0, i32::MAX];
        let x = Tensor::f32([8], floats.to_vec());
        assert_eq!(cast("i32", &x), Data::I32(ints.to_vec()));
        let x = Tensor::i32([3], vec![-7, 16_777_217, i32::MAX]);
        let floats = vec![-7.0, 16_777_216.0, 2_147_483_648.0];
        assert_eq!(cast("f32", &x), Data::F32(floats));
    }

    #[test]
    fn narrower_floats_are_the_nearest() {
        let x = Tensor::f32([2], vec![1.0 + 1.0 / 4096.0, 70_000.0]);
        assert_eq!(cast("f16", &x), Data::F32(vec![1.0, f32::INFINITY]));
        assert_eq!(cast("bf16", &x), Data::F32(vec![1.0, 70_144.0]));
    }

    #[test]
    fn every_name_is_the_name_of_a_type() {
        for name in TYPES {
            let op = Op::new(CAST, &[("to", Attribute::word(name))]).unwrap();
            assert!(target(&op).is_ok(), "{name}");
        }
    }
}
