//! Ops that move elements and compute nothing.
//!
//! Weights are moved when the model is loaded; most stay views of the file until they are packed.

use smallvec::SmallVec;

use super::attributes::{Attribute, AttributeDef, AttributeKind};
use super::infer::{Types, expect_rank, one, operand};
use super::lower::{Form, Lowering, Phase};
use super::reference::Operands;
use super::tensor::{Data, Tensor};
use super::{Arity, InputDef, Lookup, Op, OpDef, Tokens, View};
use crate::kernels::shape::{Concat, Copy, Gather, Slice, Transpose};
use crate::types::{DType, Dim, Shape, Type};

/// The op that takes a part of one dimension: attributes `axis`, `start` and `end`.
pub const SLICE: &str = "Slice";

const X: &[InputDef] = &[InputDef::required("x", Form::Tensor)];

const AXIS: AttributeDef = AttributeDef::optional(
    "axis",
    AttributeKind::Int(-4, 3),
    Attribute::Int(0),
    "negative values count from the last",
);

pub(super) const OPS: &[OpDef] = &[
    OpDef {
        name: "Reshape",
        formula: "the same elements in another shape; 0 keeps a dimension, −1 stands for what is left, as in ONNX",
        attributes: &[AttributeDef::required(
            "shape",
            AttributeKind::Ints,
            "the new dimensions",
        )],
        tokens: |_| Tokens::Own(&[0]),
        in_place: &[(0, 0)],
        view: Some(View::Reshape),
        inputs: X,
        infer: reshape_infer,
        reference: reshape_reference,
        lower: reshape_lower,
        ..OpDef::PLAIN
    },
    OpDef {
        name: "Transpose",
        formula: "dimension i of the output is dimension perm[i] of x",
        attributes: &[AttributeDef::required(
            "perm",
            AttributeKind::Ints,
            "a permutation of the dimensions",
        )],
        inputs: X,
        view: Some(View::Transpose),
        infer: transpose_infer,
        reference: transpose_reference,
        lower: transpose_lower,
        ..OpDef::PLAIN
    },
    OpDef {
        name: SLICE,
        formula: "the elements start..end of one dimension; negative positions count from its end",
        attributes: &[
            AXIS,
            AttributeDef::required(
                "start",
                AttributeKind::Int(i64::MIN, i64::MAX),
                "the first element",
            ),
            AttributeDef::optional(
                "end",
                AttributeKind::Int(i64::MIN, i64::MAX),
                Attribute::Absent,
                "one past the last element; the end of the dimension if absent",
            ),
        ],
        inputs: X,
        view: Some(View::Slice),
        infer: slice_infer,
        reference: slice_reference,
        lower: slice_lower,
        ..OpDef::PLAIN
    },
    OpDef {
        name: "Concat",
        formula: "the operands joined along one dimension",
        attributes: &[AXIS],
        inputs: X,
        arity: Arity::Variadic,
        infer: concat_infer,
        reference: concat_reference,
        lower: concat_lower,
        ..OpDef::PLAIN
    },
    OpDef {
        name: "Gather",
        formula: "row ids[t] of the table, for each t",
        inputs: &[
            InputDef::required("table", Form::Table),
            InputDef::required("ids", Form::Ints),
        ],
        tokens: |_| Tokens::Own(&[1]),
        lookup: Some(Lookup { table: 0, ids: 1 }),
        infer: gather_infer,
        reference: gather_reference,
        lower: gather_lower,
        ..OpDef::PLAIN
    },
];

/// The new shape, as far as the attribute and the operand determine it. A symbolic dimension can only be kept with 0.
fn reshape_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    let x = operand(inputs, 0)?;
    let mut shape = Shape::new();
    let mut open = None;
    for (i, &n) in op.ints("shape").iter().enumerate() {
        shape.push(match n {
            0 => *x
                .shape
                .get(i)
                .ok_or_else(|| format!("dimension {i} can't be kept: x is {x}"))?,
            -1 if open.is_none() => {
                open = Some(i);
                Dim::Fixed(1)
            }
            n => Dim::Fixed(usize::try_from(n).map_err(|_| format!("{n} is not a dimension"))?),
        });
    }
    let symbols = |shape: &[Dim]| {
        let mut symbols: SmallVec<[Dim; 4]> = shape
            .iter()
            .copied()
            .filter(|d| d.fixed().is_none())
            .collect();
        symbols.sort();
        symbols
    };
    let fixed = |shape: &[Dim]| {
        shape
            .iter()
            .filter_map(|d| d.fixed())
            .try_fold(1usize, usize::checked_mul)
    };
    let wrong = || format!("{x} does not fit into {}", Type::f32(shape.clone()));
    let (from, to) = (
        fixed(&x.shape).ok_or_else(wrong)?,
        fixed(&shape).ok_or_else(wrong)?,
    );
    if let Some(open) = open {
        if to == 0 || from % to != 0 {
            return Err(wrong());
        }
        shape[open] = Dim::Fixed(from / to);
    } else if from != to {
        return Err(wrong());
    }
    if symbols(&x.shape) != symbols(&shape) {
        return Err(format!(
            "{x} does not fit into {}: T, R and S can only be kept (0)",
            Type::f32(shape)
        ));
    }
    // The elements of a weight keep their own type.
    kept(x, shape)
}

/// One output with the elements of `x`, which keep their own type.
fn kept(x: &Type, shape: Shape) -> Result<Types, String> {
    let (unit, _) = x.dtype.unit();
    let whole = |width: &Dim| width.fixed().is_some_and(|width| width % unit == 0);
    if unit > 1 && !shape.last().is_some_and(whole) {
        let to = Type::f32(shape);
        return Err(format!(
            "from {x} to {to} would cut through quantized blocks, each of {unit} elements of a row"
        ));
    }
    let dtype = x.dtype;
    Ok(SmallVec::from_iter([Type { dtype, shape }]))
}

fn transpose_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    let x = operand(inputs, 0)?;
    let perm = op.ints("perm");
    let mut seen: Vec<i64> = perm.to_vec();
    seen.sort_unstable();
    if seen.iter().copied().ne(0..x.shape.len() as i64) {
        return Err(format!(
            "perm {perm:?} is not a permutation of the dimensions of {x}"
        ));
    }
    if x.dtype.blocks().is_some() && perm.last() != Some(&(perm.len() as i64 - 1)) {
        return Err(format!(
            "perm {perm:?} of {x} would cut through quantized blocks, whose elements must stay in one row"
        ));
    }
    let shape = perm.iter().map(|&i| x.shape[i as usize]).collect();
    kept(x, shape)
}

/// The axis as the number of a dimension.
fn axis(op: &Op, rank: usize) -> Result<usize, String> {
    let axis = op.int("axis");
    let from_front = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(from_front)
        .ok()
        .filter(|&a| a < rank)
        .ok_or_else(|| format!("axis {axis} of {rank} dimensions"))
}

/// The beginning and the end of a slice of a dimension of `length` elements.
fn bounds(op: &Op, length: usize) -> Result<(usize, usize), String> {
    let place = |n: i64| {
        let n = if n < 0 {
            n.saturating_add(length as i64)
        } else {
            n
        };
        usize::try_from(n).ok().filter(|&n| n <= length)
    };
    let start = place(op.int("start"));
    let end = op.optional_int("end").map_or(Some(length), place);
    match (start, end) {
        (Some(start), Some(end)) if start < end => Ok((start, end)),
        _ => {
            let end = op
                .optional_int("end")
                .map_or("end".to_string(), |n| n.to_string());
            Err(format!(
                "{}..{end} is not part of {length} elements",
                op.int("start")
            ))
        }
    }
}

/// The axis, the first element and one past the last element of a Slice of a tensor with the given shape.
pub fn slice_bounds(op: &Op, shape: &[usize]) -> Option<(usize, usize, usize)> {
    let axis = axis(op, shape.len()).ok()?;
    let (start, end) = bounds(op, shape[axis]).ok()?;
    Some((axis, start, end))
}

fn slice_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    let x = operand(inputs, 0)?;
    let axis = axis(op, x.shape.len())?;
    let mut shape = x.shape.clone();
    shape[axis] = match shape[axis] {
        Dim::Fixed(length) => {
            let (start, end) = bounds(op, length)?;
            let (unit, _) = x.dtype.unit();
            if axis + 1 == x.shape.len() && start % unit != 0 {
                return Err(format!(
                    "{start}..{end} of {x} would cut through quantized blocks, each of {unit} elements of a row"
                ));
            }
            Dim::Fixed(end - start)
        }
        Dim::Rows => {
            return Err(format!(
                "dimension {axis} of {x} may be empty: no part of it is certain to exist"
            ));
        }
        // These dimensions are at least 1: only the last element is certain to exist.
        Dim::Tokens | Dim::Context => match (op.int("start"), op.optional_int("end")) {
            (-1, None) => Dim::Fixed(1),
            _ => {
                return Err(format!(
                    "of dimension {axis} of {x} only the last element can be taken (start -1, no end)"
                ));
            }
        },
    };
    kept(x, shape)
}

fn concat_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    let first = operand(inputs, 0)?;
    let axis = axis(op, first.shape.len())?;
    let mut length = 0usize;
    let mut dtype = first.dtype;
    for slot in 0..inputs.len() {
        let ty = operand(inputs, slot)?;
        let mut expected = first.shape.clone();
        expected[axis] = *ty.shape.get(axis).unwrap_or(&Dim::Fixed(1));
        super::infer::expect_shape(&format!("input {slot}"), ty, &expected)?;
        let Dim::Fixed(n) = expected[axis] else {
            return Err(format!("dimension {axis} of {ty} is not known"));
        };
        length = length.checked_add(n).ok_or("too long")?;
        if ty.dtype != dtype {
            dtype = DType::F32;
        }
    }
    let mut shape = first.shape.clone();
    shape[axis] = Dim::Fixed(length);
    Ok(SmallVec::from_iter([Type { dtype, shape }]))
}

fn gather_infer(_: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    let (table, ids) = (operand(inputs, 0)?, operand(inputs, 1)?);
    expect_rank("table", table, 2)?;
    expect_rank("ids", ids, 1)?;
    one(Shape::from_slice(&[ids.shape[0], table.shape[1]]))
}

/// The units of `x` (elements, or whole blocks) in the order that `index` lists, with a shape in units.
fn picked(x: &Tensor, mut shape: Vec<usize>, index: impl Iterator<Item = usize>) -> Tensor {
    match &x.data {
        Data::F32(data) => Tensor::f32(shape, index.map(|i| data[i]).collect()),
        Data::I32(data) => Tensor::i32(shape, index.map(|i| data[i]).collect()),
        // Shape inference has rejected int8 blocks.
        Data::Int8(_) => x.clone(),
        Data::Blocks(format, bytes) => {
            let size = format.bytes();
            let blocks = index.flat_map(|i| &bytes[i * size..(i + 1) * size]);
            let blocks = blocks.copied().collect();
            if let Some(width) = shape.last_mut() {
                *width *= format.elements();
            }
            Tensor::blocks(shape, *format, blocks)
        }
    }
}

/// The shape of `x` in units.
fn units(x: &Tensor) -> Vec<usize> {
    let mut shape = x.shape.clone();
    if let Some(width) = shape.last_mut() {
        *width /= x.unit();
    }
    shape
}

fn reshape_reference(op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let (x, asked) = (operands.get(0), op.ints("shape"));
    let keep = |(i, &n): (usize, &i64)| {
        if n == 0 {
            x.shape[i]
        } else {
            n.max(1) as usize
        }
    };
    let mut shape: Vec<usize> = asked.iter().enumerate().map(keep).collect();
    if let Some(open) = asked.iter().position(|&n| n == -1) {
        // Dimensions that are kept may be empty, and do not determine the open one.
        let is_kept = |i: usize| asked.get(i) == Some(&0);
        let rest = |shape: &[usize]| -> usize {
            let dims = shape.iter().enumerate();
            dims.filter(|(i, _)| !is_kept(*i)).map(|(_, n)| n).product()
        };
        shape[open] = rest(&x.shape) / rest(&shape).max(1);
    }
    vec![Tensor {
        shape,
        data: x.data.clone(),
    }]
}

fn transpose_reference(op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let x = operands.get(0);
    let from = units(x);
    let perm: Vec<usize> = op.ints("perm").iter().map(|&i| i as usize).collect();
    let shape: Vec<usize> = perm.iter().map(|&i| from[i]).collect();
    let stride = |i: usize| from[i + 1..].iter().product::<usize>();
    let index = (0..shape.iter().product::<usize>()).map(|flat| {
        let (mut rest, mut index) = (flat, 0);
        for (i, &from) in perm.iter().enumerate().rev() {
            index += rest % shape[i] * stride(from);
            rest /= shape[i];
        }
        index
    });
    vec![picked(x, shape.clone(), index)]
}

fn slice_reference(op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let x = operands.get(0);
    // Shape inference has rejected the arguments for which these would fail.
    let axis = axis(op, x.shape.len()).unwrap_or(0);
    let (start, end) = bounds(op, x.shape[axis]).unwrap_or((0, x.shape[axis]));
    let mut shape = units(x);
    // Only on the last axis is a unit more than one element.
    let unit = x.shape[axis] / shape[axis].max(1);
    let (start, end) = (start / unit, end / unit);
    let inner: usize = shape[axis + 1..].iter().product();
    let outer: usize = shape[..axis].iter().product();
    let length = shape[axis];
    let index = (0..outer).flat_map(|o| (o * length + start) * inner..(o * length + end) * inner);
    shape[axis] = end - start;
    vec![picked(x, shape, index)]
}

fn concat_reference(op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let first = operands.get(0);
    let axis = axis(op, first.shape.len()).unwrap_or(0);
    let outer: usize = first.shape[..axis].iter().product();
    let mut shape = first.shape.clone();
    shape[axis] = (0..operands.len())
        .map(|slot| operands.get(slot).shape[axis])
        .sum();
    let operands = || (0..operands.len()).map(|slot| operands.get(slot));
    if let Some(joined) = joined_blocks(operands(), axis, outer) {
        return vec![Tensor {
            shape,
            data: joined,
        }];
    }
    let mut data = Vec::new();
    for o in 0..outer {
        for x in operands() {
            let run: usize = x.shape[axis..].iter().product();
            data.extend_from_slice(&x.floats()[o * run..][..run]);
        }
    }
    vec![Tensor::f32(shape, data)]
}

/// Blocks one after another, if all operands have blocks of one format.
fn joined_blocks<'t>(
    operands: impl Iterator<Item = &'t Tensor> + Clone,
    axis: usize,
    outer: usize,
) -> Option<Data> {
    let mut blocks = operands.clone().map(|x| match &x.data {
        Data::Blocks(format, bytes) => Some((*format, bytes)),
        _ => None,
    });
    let (format, _) = blocks.clone().next()??;
    if !blocks.all(|found| found.is_some_and(|(found, _)| found == format)) {
        return None;
    }
    let mut joined = Vec::new();
    for o in 0..outer {
        for x in operands.clone() {
            let Data::Blocks(_, bytes) = &x.data else {
                return None;
            };
            let run: usize = units(x)[axis..].iter().product::<usize>() * format.bytes();
            joined.extend_from_slice(&bytes[o * run..][..run]);
        }
    }
    Some(Data::Blocks(format, joined))
}

fn gather_reference(_: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let (table, ids) = (operands.get(0), operands.get(1).ints());
    let width = table.width();
    let rows = table.floats();
    let row = |&id: &i32| rows[id as usize * width..][..width].iter().copied();
    let data = ids.iter().flat_map(row).collect();
    vec![Tensor::f32([ids.len(), width], data)]
}

fn reshape_lower(_: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    vec![Phase::whole(Copy, lowering)]
}

fn transpose_lower(op: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    let perm = op.ints("perm").iter().map(|&i| i as usize).collect();
    vec![Phase::whole(Transpose { perm }, lowering)]
}

fn slice_lower(op: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    let rank = lowering.outputs[0].shape.len();
    let axis = axis(op, rank).unwrap_or(0);
    vec![Phase::whole(
        Slice {
            axis,
            start: op.int("start"),
        },
        lowering,
    )]
}

fn concat_lower(op: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    let axis = axis(op, lowering.outputs[0].shape.len()).unwrap_or(0);
    vec![Phase::whole(Concat { axis }, lowering)]
}

fn gather_lower(_: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    vec![Phase::whole(Gather, lowering)]
}
