//! The products of a graph whose weights kernels read in panels.

use smallvec::SmallVec;

use crate::graph::{Class, Graph, NodeId, Value};
use crate::ops::WeightForm;
use crate::types::Type;

/// A product of activations with one or more matrices [n, k].
pub(super) struct Product {
    /// The node.
    pub id: NodeId,
    /// The activations, operand 0.
    pub x: Value,
    /// The operand slots of the matrices, which depend on no activation.
    pub weights: SmallVec<[usize; 2]>,
}

/// All products, in order.
pub(super) fn products(graph: &Graph) -> Vec<Product> {
    let classes = graph.classes();
    let product = |id: NodeId| {
        let op = graph.node(id).op()?;
        let inputs = graph.inputs(id);
        let types: SmallVec<[Option<&Type>; 8]> =
            inputs.iter().map(|v| v.map(|v| graph.ty(v))).collect();
        let x = inputs.first().copied().flatten()?;
        if classes[x.node.index()] != Class::Activation {
            return None;
        }
        let matrix = |slot: &usize| {
            let packed = match op.weight_form(*slot, &types) {
                WeightForm::Packed | WeightForm::Quantized => true,
                WeightForm::Constant | WeightForm::Table => false,
            };
            let weight = inputs.get(*slot).copied().flatten();
            packed && weight.is_some_and(|weight| classes[weight.node.index()] == Class::Weight)
        };
        let weights: SmallVec<[usize; 2]> = (1..inputs.len()).filter(matrix).collect();
        (!weights.is_empty()).then_some(Product { id, x, weights })
    };
    graph.order().into_iter().filter_map(product).collect()
}
