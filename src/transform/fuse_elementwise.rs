//! Running ops that work element by element, and that no rule has fused, as one tiled loop.

use std::collections::BTreeSet;

use super::change::{Change, new_op};
use crate::graph::{Class, Editor, Graph, GraphError, NodeId, Value};
use crate::ops::program::{ChainInput, MOST_INPUTS, MOST_STEPS, Program, Step};
use crate::ops::{Attribute, ELEMENTWISE, Op};
use crate::types::{DType, Literal};

/// Replace each group of two or more ops by an Elementwise op. Only the last value of a group is read outside the group, and
/// all of its values have the same shape; so no path can leave the group and come back. Last values are searched from the
/// outputs backwards, which makes groups as large as possible.
pub(super) fn run(graph: &mut Graph) -> Result<Vec<Change>, GraphError> {
    // A reader that has no readers itself must not end a chain.
    graph.edit().sweep();
    let classes = graph.classes();
    let order = graph.order();
    let mut taken: BTreeSet<NodeId> = BTreeSet::new();
    let mut groups: Vec<Group> = Vec::new();
    for &root in order.iter().rev() {
        let fits = |id: NodeId| is_elementwise(graph, &classes, id);
        if taken.contains(&root) || !fits(root) {
            continue;
        }
        let group = Group::grow(graph, root, |id| !taken.contains(&id) && fits(id));
        if group.members.len() > 1 {
            taken.extend(&group.members);
            groups.push(group);
        }
    }
    let mut places = vec![0; graph.id_bound()];
    for (place, id) in order.iter().enumerate() {
        places[id.index()] = place;
    }
    let mut changes = Vec::with_capacity(groups.len());
    let mut editor = graph.edit();
    // From first to last in the order of the graph. A value that another group replaces loses its node and its name, so
    // each group's operands are looked up only when the group is replaced.
    for group in groups.into_iter().rev() {
        changes.push(group.fuse(&mut editor, &places)?);
    }
    if !changes.is_empty() {
        editor.sweep();
    }
    Ok(changes)
}

/// Whether the op can be a step of a program.
fn is_elementwise(graph: &Graph, classes: &[Class], id: NodeId) -> bool {
    let node = graph.node(id);
    let is_known = node.op().is_some_and(|op| op.function().is_some());
    let floats = |v: &Value| graph.ty(*v).dtype != DType::I32 || graph.literal(*v).is_some();
    is_known
        && classes[id.index()] == Class::Activation
        && graph.ty(id.into()).dtype == DType::F32
        && graph.inputs(id).iter().flatten().all(floats)
}

/// A number that a program can contain.
fn number(graph: &Graph, value: Value) -> Option<f64> {
    match graph.literal(value)? {
        Literal::Int(n) => Some(f64::from(n)),
        Literal::Float(x) => Some(x).filter(|x| x.is_finite()),
    }
}

/// Ops that become one op.
struct Group {
    /// The op whose value is read outside the group.
    root: NodeId,
    members: BTreeSet<NodeId>,
}

impl Group {
    /// The ops that lead only to `root`, as many as fit into a program.
    fn grow(graph: &Graph, root: NodeId, fits: impl Fn(NodeId) -> bool) -> Group {
        let mut members = BTreeSet::from([root]);
        let mut waiting = vec![root];
        while let Some(reader) = waiting.pop() {
            for value in graph.inputs(reader).into_iter().flatten() {
                let id = value.node;
                let inside = |(user, _): &(NodeId, usize)| members.contains(user);
                let joins = !members.contains(&id)
                    && fits(id)
                    && graph.ty(value) == graph.ty(root.into())
                    && !graph.is_output(value)
                    && graph.users(value).iter().all(inside)
                    && members.len() < MOST_STEPS;
                if !joins {
                    continue;
                }
                members.insert(id);
                if operands(graph, &members).len() > MOST_INPUTS {
                    members.remove(&id);
                    continue;
                }
                // Another reader of one of its operands may have been visited before it was a member.
                waiting.push(id);
                waiting.extend(members.iter().copied().filter(|m| *m != id));
            }
        }
        Group { root, members }
    }

    /// Replace the group by an Elementwise op. `places` are the nodes' places in the order, by [`NodeId::index`].
    fn fuse(&self, editor: &mut Editor<'_>, places: &[usize]) -> Result<Change, GraphError> {
        let graph = editor.graph();
        let mut members: Vec<NodeId> = self.members.iter().copied().collect();
        members.sort_by_key(|id| places[id.index()]);
        let mut inputs: Vec<Option<Value>> = Vec::new();
        let mut steps = Vec::with_capacity(members.len());
        for &id in &members {
            let mut source = |value: Value| {
                if let Some(n) = members.iter().position(|&member| member == value.node) {
                    return ChainInput::Result(n);
                }
                if let Some(x) = number(graph, value) {
                    return ChainInput::Number(x);
                }
                let slot = inputs.iter().position(|input| *input == Some(value));
                ChainInput::Input(slot.unwrap_or_else(|| {
                    inputs.push(Some(value));
                    inputs.len() - 1
                }))
            };
            let sources = graph.inputs(id).into_iter().flatten();
            let sources = sources.map(&mut source).collect();
            if let Some(function) = graph.node(id).op().and_then(Op::function) {
                steps.push(Step { function, sources });
            }
        }
        let program = Program { steps };
        let op = new_op(
            ELEMENTWISE,
            &[("program", Attribute::Text(program.to_string().into()))],
        )?;
        let name = graph.node(self.root).name().clone();
        let what = format!("{} ops become one loop: {program}", members.len());
        editor.at(self.root);
        let fused = editor.op(op, &inputs, &[&name])?;
        editor.replace(self.root.into(), fused.into())?;
        Ok(Change {
            at: name.to_string(),
            what,
        })
    }
}

/// The values that the members read from outside, without numbers that a program can contain.
fn operands(graph: &Graph, members: &BTreeSet<NodeId>) -> BTreeSet<Value> {
    let read = members.iter().flat_map(|&id| graph.inputs(id));
    read.flatten()
        .filter(|v| !members.contains(&v.node) && number(graph, *v).is_none())
        .collect()
}
