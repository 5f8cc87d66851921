//! Whether tokens see later ones, so that a text can only be read as a whole.

use crate::graph::{Dim, Graph};

/// Whether what a graph gives for a token depends on later tokens: its attention is not causal, or it mixes tokens
/// without keeping any for later steps. Such a model (an encoder) reads each text in one step that begins at position 0.
pub fn is_bidirectional(graph: &Graph) -> bool {
    let ops = || {
        let ids = graph.ids();
        ids.filter_map(|id| graph.node(id).op().map(|op| (id, op)))
    };
    let keeps = ops().any(|(_, op)| op.has_state());
    ops().any(|(id, op)| {
        let inputs = graph.inputs(id);
        let mut tokens = inputs.iter().enumerate().filter(|(_, input)| {
            input.is_some_and(|value| graph.ty(value).shape.contains(&Dim::Tokens))
        });
        let open = op.name() == "Attention" && !op.flag("causal");
        open || !keeps && tokens.any(|(slot, _)| !op.def().row_wise.contains(&slot))
    })
}
