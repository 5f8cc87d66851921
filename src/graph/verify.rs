//! The verifier: what must be true of every graph, after loading and after each pass.

use rustc_hash::FxHashSet;

use super::GraphError;
use super::node::{Kind, Name};
use super::store::Graph;

/// Checks that the graph has no cycle, that names are unique, that each op has the inputs it needs, and that the
/// recorded types are the ones that the ops infer. All problems are reported.
pub fn verify(graph: &Graph) -> Result<(), GraphError> {
    let mut problems = Vec::new();
    let order = graph.order();
    let mut in_order = vec![false; graph.id_bound()];
    for id in order.iter() {
        in_order[id.index()] = true;
    }
    for id in graph.ids().filter(|id| !in_order[id.index()]) {
        problems.push(format!("node \"{}\" is on a cycle", graph.node(id).name()));
    }
    let mut names: FxHashSet<&Name> = FxHashSet::default();
    names.reserve(order.len());
    for id in graph.ids() {
        for output in &graph.node(id).outputs {
            if !names.insert(&output.name) {
                let message = format!("the name \"{}\" is used several times", output.name);
                problems.push(message);
            }
        }
    }
    for &id in order.iter() {
        let node = graph.node(id);
        let Kind::Op(op) = &node.kind else { continue };
        let inputs = graph.inputs(id);
        match graph.infer(op, &inputs) {
            Err(error) => problems.push(format!("node \"{}\": {error}", node.name())),
            Ok(types) => {
                if types.len() != node.outputs.len()
                    || types.iter().zip(&node.outputs).any(|(t, o)| *t != o.ty)
                {
                    problems.push(format!(
                        "node \"{}\": the recorded types are not the ones that {} infers",
                        node.name(),
                        op.name()
                    ));
                }
            }
        }
    }
    if graph.outputs().is_empty() {
        problems.push("the graph has no output".to_string());
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(GraphError { problems })
    }
}
