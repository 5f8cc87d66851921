//! Computing only the last token's row where only it is needed: the head of a language model.
//!
//! Demand runs from the outputs backwards. An op whose rows do not mix is computed only on the last row if no reader needs
//! more of it; where it reads a value that is computed whole, a Slice is put in between. Whole numbers (tokens, positions)
//! are never sliced, and neither are int8 blocks: the readers of such a whole value are computed whole too.

use std::collections::{HashMap, HashSet};

use super::change::{Change, new_op};
use crate::graph::{Editor, Graph, GraphError, NodeId, Value};
use crate::ops::{Attribute, Op, SLICE};
use crate::types::{DType, Dim, Type};

/// Narrow every output of the graph that has a row for each token, [T, …], to [1, …], and the nodes that lead to it as far
/// as possible.
pub(super) fn run(graph: &mut Graph) -> Result<Vec<Change>, GraphError> {
    // Nodes without readers must not demand whole values.
    graph.edit().sweep();
    let order = graph.order();
    let last = narrowed(graph, &order);
    let mut editor = graph.edit();
    let mut slices = Slices::new();
    let mut changes = Vec::new();
    // Narrowed nodes that read values that are not narrowed.
    for &id in order.iter().filter(|id| last[id.index()]) {
        for (slot, input) in editor.graph().inputs(id).into_iter().enumerate() {
            let Some(value) = input.filter(|v| !last[v.node.index()]) else {
                continue;
            };
            if has_rows(editor.graph().ty(value)) {
                let slice = slice(&mut editor, &mut slices, &mut changes, value)?;
                editor.rewire(id, slot, slice);
            }
        }
    }
    let mut outputs = editor.graph().outputs().to_vec();
    let mut named = HashSet::new();
    for output in &mut outputs {
        let whole = *output;
        let graph = editor.graph();
        let is_op = graph.node(whole.node).op().is_some();
        if last[whole.node.index()] || !is_op || !has_rows(graph.ty(whole)) {
            continue;
        }
        let name = graph.name(whole).clone();
        *output = slice(&mut editor, &mut slices, &mut changes, whole)?;
        // The output's name moves to the new output.
        if named.insert(whole) {
            editor.rename(whole, &format!("{name}/whole"));
            editor.rename(*output, &name);
        }
    }
    editor.set_outputs(outputs);
    for id in order.into_iter().filter(|id| last[id.index()]) {
        editor.refresh(id)?;
    }
    Ok(changes)
}

/// The slice of each value that is computed whole and whose last row is wanted.
type Slices = HashMap<Value, Value>;

/// Whether dimension 0 counts tokens and the elements are floats, or blocks that stand for floats.
fn has_rows(ty: &Type) -> bool {
    matches!(ty.dtype, DType::F32 | DType::Int8) && ty.shape.first() == Some(&Dim::Tokens)
}

/// Whether no dimension except the first is symbolic.
fn only_rows(ty: &Type) -> bool {
    ty.shape.iter().skip(1).all(|d| d.fixed().is_some())
}

/// Which nodes are computed only on the last row, by [`NodeId::index`].
fn narrowed(graph: &Graph, order: &[NodeId]) -> Vec<bool> {
    let mut whole = vec![false; graph.id_bound()];
    loop {
        let last = narrowed_but(graph, order, &whole);
        let cut = |value: &Value| {
            let ty = graph.ty(*value);
            ty.dtype == DType::Int8 && has_rows(ty) && !last[value.node.index()]
        };
        let cuts = |id: &&NodeId| last[id.index()] && graph.inputs(**id).iter().flatten().any(cut);
        let found: Vec<NodeId> = order.iter().filter(cuts).copied().collect();
        if found.is_empty() {
            return last;
        }
        found.iter().for_each(|id| whole[id.index()] = true);
    }
}

/// The same, but ignoring that int8 blocks can't be sliced; the nodes in `whole` stay whole.
fn narrowed_but(graph: &Graph, order: &[NodeId], whole: &[bool]) -> Vec<bool> {
    let mut last = vec![false; graph.id_bound()];
    for &id in order.iter().rev() {
        let Some(op) = graph.node(id).op().filter(|_| !whole[id.index()]) else {
            continue;
        };
        let outputs = (0..graph.node(id).outputs.len()).map(|output| Value { node: id, output });
        let mut wanted = false;
        let mut narrow = can_narrow(graph, id, op);
        for value in outputs {
            let users = graph.users(value);
            wanted |= !users.is_empty() || graph.is_output(value);
            // Of a value with rows, a narrowed reader needs only the last row: `can_narrow` checks that.
            narrow &= users.iter().all(|(user, _)| last[user.index()]);
        }
        last[id.index()] = narrow && wanted;
    }
    last
}

/// Whether the last row of the outputs can be computed from the last rows of the operands that have rows.
fn can_narrow(graph: &Graph, id: NodeId, op: &Op) -> bool {
    let outputs = &graph.node(id).outputs;
    if !outputs.iter().all(|o| has_rows(&o.ty) && only_rows(&o.ty)) {
        return false;
    }
    let inputs = graph.inputs(id);
    let operands = || {
        let operand = |(slot, v): (usize, &Option<Value>)| Some((slot, graph.ty((*v)?)));
        inputs.iter().enumerate().filter_map(operand)
    };
    let fits = |(slot, ty): (usize, &Type)| {
        let is_fixed = ty.shape.iter().all(|d| d.fixed().is_some());
        is_fixed || op.keeps_rows(slot, ty) && has_rows(ty) && only_rows(ty)
    };
    operands().any(|(_, ty)| has_rows(ty)) && operands().all(fits)
}

/// The last row of a value that is computed whole; one node, however many readers it has.
fn slice(
    editor: &mut Editor<'_>,
    slices: &mut Slices,
    changes: &mut Vec<Change>,
    value: Value,
) -> Result<Value, GraphError> {
    if let Some(slice) = slices.get(&value) {
        return Ok(*slice);
    }
    let op = new_op(
        SLICE,
        &[("axis", Attribute::Int(0)), ("start", Attribute::Int(-1))],
    )?;
    let name = editor.graph().name(value).clone();
    editor.at(value.node);
    let slice = editor.op(op, &[Some(value)], &[&format!("{name}/last")])?;
    slices.insert(value, slice.into());
    changes.push(Change {
        at: name.to_string(),
        what: "only the last row is needed from here on".into(),
    });
    Ok(slice.into())
}
