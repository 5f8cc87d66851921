//! Helpers for shape rules.

use smallvec::SmallVec;

use super::definition::Op;
pub(super) use super::definition::Types;
use crate::types::{DType, Dim, Shape, Type};

/// An operand that [`Op::infer`] has checked to be present.
pub(super) fn operand<'t>(inputs: &[Option<&'t Type>], slot: usize) -> Result<&'t Type, String> {
    inputs
        .get(slot)
        .copied()
        .flatten()
        .ok_or_else(|| format!("input {slot} is absent"))
}

/// One f32 output.
pub(super) fn one(shape: Shape) -> Result<Types, String> {
    Ok(SmallVec::from_iter([Type {
        dtype: DType::F32,
        shape,
    }]))
}

/// The last dimension, which must exist.
pub(super) fn width(ty: &Type, what: &str) -> Result<Dim, String> {
    ty.width()
        .ok_or_else(|| format!("{what} must have a dimension, found {ty}"))
}

/// Fails unless `found` has the shape `expected`.
pub(super) fn expect_shape(what: &str, found: &Type, expected: &[Dim]) -> Result<(), String> {
    if found.shape[..] == *expected {
        return Ok(());
    }
    let expected = Type::new(found.dtype, expected.iter().copied());
    Err(format!("{what} must be {expected}, found {found}"))
}

/// Fails unless `found` has `rank` dimensions.
pub(super) fn expect_rank(what: &str, found: &Type, rank: usize) -> Result<(), String> {
    if found.shape.len() == rank {
        Ok(())
    } else {
        Err(format!("{what} must have {rank} dimensions, found {found}"))
    }
}

/// The shape that two operands broadcast to, by NumPy's rule.
pub(super) fn broadcast(a: &Type, b: &Type) -> Result<Shape, String> {
    let rank = a.shape.len().max(b.shape.len());
    let dim = |ty: &Type, i: usize| {
        let missing = rank - ty.shape.len();
        if i < missing {
            Dim::Fixed(1)
        } else {
            ty.shape[i - missing]
        }
    };
    let mut shape = Shape::new();
    for i in 0..rank {
        let (x, y) = (dim(a, i), dim(b, i));
        shape.push(match (x, y) {
            _ if x == y => x,
            (Dim::Fixed(1), _) => y,
            (_, Dim::Fixed(1)) => x,
            _ => return Err(format!("{a} and {b} do not broadcast")),
        });
    }
    Ok(shape)
}

/// The shape rule of an op whose output has the shape of its operand.
pub(super) fn same(_: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    one(operand(inputs, 0)?.shape.clone())
}
