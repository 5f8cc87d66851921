//! Int8 activations for products with quantized weights.

use super::change::{Change, new_op};
use super::products::{Product, products};
use crate::graph::{Graph, GraphError};
use crate::kernels::quantized::INT8_BLOCK;
use crate::ops::QUANTIZE_ACTIVATIONS;
use crate::types::{DType, Dim};

/// Put a QuantizeActivations before every product whose weights are all in quantized blocks. Products that read the same
/// value each get their own: another pass merges common subexpressions.
pub(super) fn run(graph: &mut Graph) -> Result<Vec<Change>, GraphError> {
    let products = products(graph);
    let mut editor = graph.edit();
    let mut changes = Vec::new();
    for Product { id, x, weights } in products {
        let graph = editor.graph();
        let floats = graph.ty(x).dtype == DType::F32;
        let whole = |width: Dim| width.fixed().is_some_and(|k| k.is_multiple_of(INT8_BLOCK));
        let blocks = |slot: &usize| {
            let weight = graph.inputs(id).get(*slot).copied().flatten();
            weight.is_some_and(|weight| graph.ty(weight).dtype.blocks().is_some())
        };
        if !floats || !graph.ty(x).width().is_some_and(whole) || !weights.iter().all(blocks) {
            continue;
        }
        let op = new_op(QUANTIZE_ACTIVATIONS, &[])?;
        let (name, product) = (graph.name(x).clone(), graph.node(id).name().clone());
        editor.at(x.node);
        let quantized = editor.op(op, &[Some(x)], &[&format!("{name}/int8")])?;
        editor.rewire(id, 0, quantized.into());
        changes.push(Change {
            at: product.to_string(),
            what: format!("multiplies \"{name}\" as int8 blocks"),
        });
    }
    Ok(changes)
}
