//! The wanted rows of a step.

use smallvec::SmallVec;

use super::infer::{Types, expect_shape, operand};
use super::lower::{Form, Lowering, Phase};
use super::reference::Operands;
use super::tensor::{Data, Tensor};
use super::{InputDef, Lookup, Op, OpDef, Tokens};
use crate::kernels::take_rows::TakeRows;
use crate::types::{Dim, Type};

/// The op that selects rows by a list: its operands are the value and the list.
pub const TAKE_ROWS: &str = "TakeRows";

pub(super) const OPS: &[OpDef] = &[OpDef {
    name: TAKE_ROWS,
    formula: "row rows[r] of x, for each r: the wanted rows of the step",
    inputs: &[
        InputDef::required("x", Form::TensorOrInt8),
        InputDef::required("rows", Form::Ints),
    ],
    tokens: |_| Tokens::Listed { x: 0, list: 1 },
    lookup: Some(Lookup { table: 0, ids: 1 }),
    infer: take_rows_infer,
    reference: take_rows_reference,
    lower: take_rows_lower,
    ..OpDef::PLAIN
}];

fn take_rows_infer(_: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    let (x, rows) = (operand(inputs, 0)?, operand(inputs, 1)?);
    let Some((Dim::Tokens, inner)) = x.shape.split_first() else {
        return Err(format!("x must have a row for each token, found {x}"));
    };
    expect_shape("rows", rows, &[Dim::Rows])?;
    let shape = std::iter::once(Dim::Rows).chain(inner.iter().copied());
    Ok(SmallVec::from_iter([Type::new(x.dtype, shape)]))
}

fn take_rows_reference(_: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let (x, rows) = (operands.get(0), operands.get(1).ints());
    let mut shape = x.shape.clone();
    let tokens = std::mem::replace(&mut shape[0], rows.len());
    let data = match &x.data {
        Data::F32(data) => Data::F32(taken(data, tokens, rows)),
        Data::I32(data) => Data::I32(taken(data, tokens, rows)),
        Data::Int8(words) => Data::Int8(taken(words, tokens, rows)),
        // These depend only on weights, which have no row for a token.
        Data::Blocks(format, bytes) => Data::Blocks(*format, taken(bytes, tokens, rows)),
    };
    vec![Tensor { shape, data }]
}

/// The rows of `data`, which has `tokens` rows, that the list names.
fn taken<T: Copy>(data: &[T], tokens: usize, rows: &[i32]) -> Vec<T> {
    let length = data.len() / tokens.max(1);
    let row = |&row: &i32| data[row as usize * length..][..length].iter().copied();
    rows.iter().flat_map(row).collect()
}

fn take_rows_lower(_: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    vec![Phase::whole(TakeRows, lowering)]
}
