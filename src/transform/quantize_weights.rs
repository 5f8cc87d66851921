//! Converting weights to a narrower type than the type in their file.

use super::change::{Change, Settings, new_op};
use super::products::{Product, products};
use crate::graph::{Graph, GraphError};
use crate::ops::{Attribute, CAST};
use crate::types::{DType, Type};

/// Put a Cast to the type that the caller chose after every matrix of floats that a product reads. Gains, biases and
/// tables keep their types, and so do matrices in quantized blocks.
pub(super) fn run(graph: &mut Graph, settings: &Settings) -> Result<Vec<Change>, GraphError> {
    let Some(wanted) = settings.weights else {
        return Ok(Vec::new());
    };
    let products = products(graph);
    let mut editor = graph.edit();
    let mut changes = Vec::new();
    for Product { id, weights, .. } in products {
        for slot in weights {
            let graph = editor.graph();
            let Some(weight) = graph.inputs(id).get(slot).copied().flatten() else {
                continue;
            };
            let ty = graph.ty(weight);
            let Some(dtype) = fitting(wanted, ty).filter(|dtype| *dtype != ty.dtype) else {
                continue;
            };
            if ty.dtype.blocks().is_some() {
                continue;
            }
            let what = format!("{} becomes {dtype}", ty.dtype);
            let name = graph.name(weight).clone();
            let to = Attribute::Text(dtype.to_string().into());
            editor.at(weight.node);
            let op = new_op(CAST, &[("to", to)])?;
            let cast = editor.op(op, &[Some(weight)], &[&format!("{name}/{dtype}")])?;
            editor.rewire(id, slot, cast.into());
            changes.push(Change {
                at: name.to_string(),
                what,
            });
        }
    }
    Ok(changes)
}

/// The type that rows of this length can have: the wanted type; if the rows are not whole blocks of it, the type with blocks
/// of 32 elements that llama.cpp uses instead; `None` if they are not whole blocks of that type either.
fn fitting(wanted: DType, ty: &Type) -> Option<DType> {
    let width = ty.width()?.fixed()?;
    match wanted.blocks() {
        None => Some(wanted),
        Some(format) => format.for_rows(width).map(DType::Blocks),
    }
}
