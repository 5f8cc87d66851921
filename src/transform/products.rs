//! The products of a graph with weights that kernels read in panels.

use smallvec::SmallVec;

use crate::graph::{Class, Graph, NodeId, Value};
use crate::ops::Form;

/// A product of activations with one or more matrices [n, k].
pub(super) struct Product {
    /// The node.
    pub id: NodeId,
    /// The activations, operand 0.
    pub x: Value,
    /// The slots of the matrices, which depend on no activation.
    pub weights: SmallVec<[usize; 2]>,
}

/// All of them, in order.
pub(super) fn products(graph: &Graph) -> Vec<Product> {
    let classes = graph.classes();
    let product = |id: NodeId| {
        let op = graph.node(id).op()?;
        let inputs = graph.inputs(id);
        let x = inputs.first().copied().flatten()?;
        if classes[x.node.index()] != Class::Activation {
            return None;
        }
        let matrix = |slot: &usize| {
            let form = op.input_def(*slot).map(|def| def.form);
            let weight = inputs.get(*slot).copied().flatten();
            weight.is_some_and(|weight| {
                let is_matrix = graph.ty(weight).shape.len() == 2;
                let packed = match form {
                    Some(Form::Packed) => true,
                    Some(Form::PackedOrTensor) => op.flag("transpose_b"),
                    _ => false,
                };
                packed && is_matrix && classes[weight.node.index()] == Class::Weight
            })
        };
        let weights: SmallVec<[usize; 2]> = (1..inputs.len()).filter(matrix).collect();
        (!weights.is_empty()).then_some(Product { id, x, weights })
    };
    graph.order().into_iter().filter_map(product).collect()
}
