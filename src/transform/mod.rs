//! Passes that compute: a closed rule language can't express them because they look at data, layout or the whole graph.
//!
//! What belongs here: one file per transform, each a function from a graph to the list of its changes, and the table by
//! which the pipeline names them. A transform that changed something also removes nodes that no output depends on. A
//! transform finds its ops by what the table of ops says about them: a view, a state, the op that several ops merge
//! into, the two ops that one op splits into. The few ops that a transform adds where there was none before are
//! constants of `ops`. What does not belong here: rewriting one small pattern into another (`passes/*.ron`), the order
//! of passes (`passes/pipeline.ron`), and anything that reads weights (`files/`).

mod change;
mod common_subexpressions;
mod dead_nodes;
mod fold_constants;
mod fuse_elementwise;
mod hidden_output;
mod merge_linear;
mod products;
mod quantize_activations;
mod quantize_weights;
mod rotary_tables;
mod wanted_rows;

use crate::types::Bits;
pub use change::{Change, Settings, TransformDef};
pub use wanted_rows::every_row;

static TRANSFORMS: [TransformDef; 10] = [
    TransformDef {
        name: "hidden_output",
        bits: Bits::Same,
        doc: "the hidden state that a language model's head reads is returned in place of logits, if the caller asks for it",
        run: hidden_output::run,
    },
    TransformDef {
        name: "fold_constants",
        bits: Bits::Same,
        doc: "ops on literals become literals; products with 1 and reshapes and transposes that cancel are removed",
        run: |graph, _| fold_constants::run(graph),
    },
    TransformDef {
        name: "common_subexpressions",
        bits: Bits::Same,
        doc: "values that would be computed twice from the same operands are computed once",
        run: |graph, _| common_subexpressions::run(graph),
    },
    TransformDef {
        name: "dead_nodes",
        bits: Bits::Same,
        doc: "nodes that no output depends on are removed",
        run: |graph, _| dead_nodes::run(graph),
    },
    TransformDef {
        name: "quantize_weights",
        bits: Bits::Within(QUANTIZED),
        doc: "matrices of floats that products read are converted to a narrower type, if the caller asks for it",
        run: quantize_weights::run,
    },
    TransformDef {
        name: "quantize_activations",
        bits: Bits::Within(QUANTIZED),
        doc: "activations become int8 blocks where a weight in quantized blocks multiplies them",
        run: |graph, _| quantize_activations::run(graph),
    },
    TransformDef {
        name: "rotary_tables",
        bits: Bits::Same,
        doc: "sines and cosines of the positions are computed once for all layers with the same rotation",
        run: |graph, _| rotary_tables::run(graph),
    },
    TransformDef {
        name: "merge_linear",
        bits: Bits::Same,
        doc: "linear layers that read the same value become one step",
        run: |graph, _| merge_linear::run(graph),
    },
    TransformDef {
        name: "fuse_elementwise",
        bits: Bits::Same,
        doc: "ops that work element by element, and that no rule has fused, become one loop",
        run: |graph, _| fuse_elementwise::run(graph),
    },
    TransformDef {
        name: "wanted_rows",
        bits: Bits::Same,
        doc: "only the wanted rows of outputs with a row per token are computed, as far back as rows do not mix",
        run: |graph, _| wanted_rows::run(graph),
    },
];

/// How far quantizing may move an output, relative to the largest output.
const QUANTIZED: f64 = 0.1;

/// Every transform.
pub fn all() -> &'static [TransformDef] {
    &TRANSFORMS
}

/// The transform called `name`.
pub fn find(name: &str) -> Option<&'static TransformDef> {
    all().iter().find(|def| def.name == name)
}

#[cfg(test)]
mod tests {
    use super::{all, find};

    #[test]
    fn every_transform_is_found_by_its_name() {
        for def in all() {
            assert!(find(def.name).is_some_and(|found| std::ptr::eq(found, def)));
        }
        assert!(find("fold_constant").is_none());
    }
}
