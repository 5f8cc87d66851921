//! Merging linear layers that read the same value into one step: Q, K and V, or gate and up.

use rustc_hash::FxHashMap;

use super::change::{Change, new_op};
use crate::graph::{Class, Editor, Graph, GraphError, NodeId, Value};
use crate::ops::{Attribute, AttributeDef, OpDef, SEGMENTS, find};

/// The activations that a node multiplies, and the op that the node can be a segment of.
type Segment = (Value, &'static str);

/// Merge nodes of an op that has a merged form, if they read the same value and have no part that the merged form
/// lacks: a Linear must not have an activation or a residual. Weights and biases depend on no activation, so none of
/// the merged nodes can depend on another.
pub(super) fn run(graph: &mut Graph) -> Result<Vec<Change>, GraphError> {
    let classes = graph.classes();
    let mut groups: Vec<(Segment, Vec<NodeId>)> = Vec::new();
    let mut group_of: FxHashMap<Segment, usize> = FxHashMap::default();
    for id in graph.order() {
        if let Some(segment) = mergeable(graph, &classes, id) {
            let at = *group_of.entry(segment).or_insert_with(|| {
                groups.push((segment, Vec::new()));
                groups.len() - 1
            });
            groups[at].1.push(id);
        }
    }
    let mut editor = graph.edit();
    let mut changes = Vec::new();
    for (segment, group) in &groups {
        let most = find(segment.1).map_or(0, OpDef::most_segments);
        for members in group
            .chunks(most.max(1))
            .filter(|members| members.len() > 1)
        {
            changes.push(merge(&mut editor, *segment, members)?);
        }
    }
    if !changes.is_empty() {
        editor.sweep();
    }
    Ok(changes)
}

/// The node as a segment, if it can be a segment.
fn mergeable(graph: &Graph, classes: &[Class], id: NodeId) -> Option<Segment> {
    let op = graph.node(id).op()?;
    let merged = op.def().merged?;
    let plain = |(def, value): (&AttributeDef, &Attribute)| *value == def.default;
    let inputs = graph.inputs(id);
    let input = |slot: usize| inputs.get(slot).copied().flatten();
    let class = |v: Value| classes[v.node.index()];
    let (x, weight) = (input(0)?, input(1)?);
    let fits = op.def().attributes.iter().zip(op.attributes()).all(plain)
        && inputs.iter().skip(3).all(Option::is_none)
        && class(x) == Class::Activation
        && class(weight) != Class::Activation
        && input(2).is_none_or(|bias| class(bias) != Class::Activation);
    fits.then_some((x, merged))
}

fn merge(
    editor: &mut Editor<'_>,
    (x, merged): Segment,
    members: &[NodeId],
) -> Result<Change, GraphError> {
    let graph = editor.graph();
    let input = |id: NodeId, slot: usize| graph.inputs(id).get(slot).copied().flatten();
    let mut inputs = vec![Some(x)];
    inputs.extend(members.iter().map(|&id| input(id, 1)));
    inputs.extend(members.iter().map(|&id| input(id, 2)));
    let names: Vec<_> = members
        .iter()
        .map(|&id| graph.node(id).name().clone())
        .collect();
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    let what = format!(
        "{} read \"{}\": one {merged} of {} segments",
        names.join(", "),
        graph.name(x),
        names.len()
    );
    let op = new_op(merged, &[(SEGMENTS, Attribute::Int(members.len() as i64))])?;
    editor.at(members[0]);
    let node = editor.op(op, &inputs, &names)?;
    for (output, &id) in members.iter().enumerate() {
        editor.replace(id.into(), Value { node, output })?;
    }
    Ok(Change {
        at: names[0].to_string(),
        what,
    })
}
