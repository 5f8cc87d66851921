//! Whether tokens see later ones, so that a text can only be read as a whole, and whether a step can read several sequences.

use super::{Graph, NodeId, Output};
use crate::ops::Tokens;
use crate::types::{Dim, Type};

/// Whether the outputs for a token depend on later tokens: attention is not causal, or an op mixes tokens without
/// keeping any for later steps. Such a model (an encoder) reads each text in one step that begins at position 0.
pub fn is_bidirectional(graph: &Graph) -> bool {
    let ops = || {
        let ids = graph.ids();
        ids.filter_map(|id| graph.node(id).op().map(|op| (id, op)))
    };
    let keeps = ops().any(|(_, op)| op.has_state());
    ops().any(|(id, op)| {
        let inputs = graph.inputs(id);
        let types = inputs.iter().map(|input| input.map(|v| graph.ty(v)));
        let mixes = |(slot, ty): (usize, Option<&Type>)| {
            ty.is_some_and(|ty| ty.shape.iter().any(is_rows) && op.mixes_rows(slot, ty))
        };
        let open = op.tokens() == Tokens::Text { causal: false };
        // A value for each pair of tokens depends on both.
        let pairs = |output: &Output| output.ty.shape.iter().filter(|dim| is_rows(dim)).count() > 1;
        let makes_pairs = graph.node(id).outputs.iter().any(pairs);
        open || !keeps && (makes_pairs || types.enumerate().any(mixes))
    })
}

/// Whether a step can read several sequences side by side: no op mixes tokens of several sequences, no value has a number for
/// each pair of tokens, and no value is as long as one sequence's context.
pub fn keeps_sequences_apart(graph: &Graph) -> bool {
    let keeps_apart = |id: NodeId| {
        let Some(op) = graph.node(id).op() else {
            return true;
        };
        let mixes = |output: &Output| {
            let shape = &output.ty.shape;
            shape.contains(&Dim::Context) || shape.iter().skip(1).any(|dim| *dim == Dim::Tokens)
        };
        if graph.node(id).outputs.iter().any(mixes) {
            return false;
        }
        let mut inputs = graph.inputs(id).into_iter().enumerate();
        inputs.all(|(slot, input)| match input {
            Some(value) if graph.ty(value).shape.contains(&Dim::Tokens) => {
                let ty = graph.ty(value);
                let is_apart = matches!(op.tokens(), Tokens::Text { .. } | Tokens::Listed { .. });
                let keeps = is_apart || op.has_state() || op.keeps_rows(slot, ty);
                ty.shape.first() == Some(&Dim::Tokens) && keeps
            }
            _ => true,
        })
    };
    graph.ids().all(keeps_apart)
}

/// Whether a dimension counts tokens: all tokens, or the wanted ones.
fn is_rows(dim: &Dim) -> bool {
    matches!(dim, Dim::Tokens | Dim::Rows)
}
