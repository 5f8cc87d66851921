//! Computing only the wanted rows where no others are needed: in the head of a language model.
//!
//! The graph's input `wanted` tells each step which rows are wanted. Demand runs from the outputs backwards. An op
//! whose rows do not mix is computed only on the wanted rows if no reader needs more of it; where it reads a value that
//! is computed whole, a node in between takes the wanted rows. Whole numbers (tokens, positions) are never taken: ops
//! that read them are computed whole.

use std::collections::{HashMap, HashSet};

use super::change::{Change, new_op};
use crate::graph::{Editor, Graph, GraphError, Input, NodeId, Value, is_bidirectional};
use crate::ops::{Op, TAKE_ROWS};
use crate::types::{DType, Dim, Type};

/// Narrow every output of the graph that has a row per token, [T, …], to [R, …], and what leads to it as far as
/// possible. Where tokens see later tokens, as in an encoder, the outputs of all tokens are wanted, and nothing changes.
pub(super) fn run(graph: &mut Graph) -> Result<Vec<Change>, GraphError> {
    if is_bidirectional(graph) {
        return Ok(Vec::new());
    }
    // What nobody reads must not demand whole values.
    graph.edit().sweep();
    let order = graph.order();
    let narrow = narrowed(graph, &order);
    let mut editor = graph.edit();
    let mut taken = Taken::new();
    let mut changes = Vec::new();
    // Readers that are narrowed, of values that are not narrowed.
    for &id in order.iter().filter(|id| narrow[id.index()]) {
        for (slot, input) in editor.graph().inputs(id).into_iter().enumerate() {
            let Some(value) = input.filter(|v| !narrow[v.node.index()]) else {
                continue;
            };
            if has_rows(editor.graph().ty(value)) {
                let rows = take(&mut editor, &mut taken, &mut changes, value)?;
                editor.rewire(id, slot, rows);
            }
        }
    }
    let mut outputs = editor.graph().outputs().to_vec();
    let mut named = HashSet::new();
    for output in &mut outputs {
        let whole = *output;
        let graph = editor.graph();
        let is_op = graph.node(whole.node).op().is_some();
        if narrow[whole.node.index()] || !is_op || !has_rows(graph.ty(whole)) {
            continue;
        }
        let name = graph.name(whole).clone();
        *output = take(&mut editor, &mut taken, &mut changes, whole)?;
        // The output's name moves to the new output.
        if named.insert(whole) {
            editor.rename(whole, &format!("{name}/whole"));
            editor.rename(*output, &name);
        }
    }
    editor.set_outputs(outputs);
    for id in order.into_iter().filter(|id| narrow[id.index()]) {
        editor.refresh(id)?;
    }
    Ok(changes)
}

/// The graph before this pass changed it: no rows are taken, and every output has a row per token again.
///
/// # Errors
/// If an op cannot have so many rows, which is not so in a graph that this pass has changed.
pub fn every_row(graph: &Graph) -> Result<Graph, GraphError> {
    let mut whole = graph.clone();
    let Some(wanted) = graph.input(Input::Wanted) else {
        return Ok(whole);
    };
    let order = graph.order();
    let mut editor = whole.edit();
    let mut outputs = graph.outputs().to_vec();
    let mut named = Vec::new();
    for (take, _) in graph.users(wanted) {
        let Some(&[Some(value), _]) = graph.inputs(take).first_chunk() else {
            continue;
        };
        let rows = Value::from(take);
        for (user, slot) in graph.users(rows) {
            editor.rewire(user, slot, value);
        }
        for output in outputs.iter_mut().filter(|output| **output == rows) {
            *output = value;
            named.push((value, graph.name(rows).clone()));
        }
    }
    editor.set_outputs(outputs);
    editor.sweep();
    for (value, name) in named {
        editor.rename(value, &name);
    }
    for &id in order.iter() {
        if editor.graph().contains(id) {
            editor.refresh(id)?;
        }
    }
    Ok(whole)
}

/// The rows taken of each value that is computed whole.
type Taken = HashMap<Value, Value>;

/// Whether dimension 0 counts tokens, and the elements are floats or blocks that stand for floats.
fn has_rows(ty: &Type) -> bool {
    matches!(ty.dtype, DType::F32 | DType::Int8) && ty.shape.first() == Some(&Dim::Tokens)
}

/// Whether no dimension except the first is symbolic.
fn only_rows(ty: &Type) -> bool {
    ty.shape.iter().skip(1).all(|d| d.fixed().is_some())
}

/// Which nodes are computed only on the wanted rows, by [`NodeId::index`].
fn narrowed(graph: &Graph, order: &[NodeId]) -> Vec<bool> {
    let mut narrow = vec![false; graph.id_bound()];
    for &id in order.iter().rev() {
        let Some(op) = graph.node(id).op() else {
            continue;
        };
        let outputs = (0..graph.node(id).outputs.len()).map(|output| Value { node: id, output });
        let mut is_read = false;
        let mut fits = can_narrow(graph, id, op);
        for value in outputs {
            let users = graph.users(value);
            is_read |= !users.is_empty() || graph.is_output(value);
            // A narrowed reader reads only rows of operands that have rows: `can_narrow` has checked this.
            fits &= users.iter().all(|(user, _)| narrow[user.index()]);
        }
        narrow[id.index()] = fits && is_read;
    }
    narrow
}

/// Whether rows of the outputs can be computed from the same rows of those operands that have rows.
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

/// The wanted rows of a value that is computed whole; one node, however many readers need it.
fn take(
    editor: &mut Editor<'_>,
    taken: &mut Taken,
    changes: &mut Vec<Change>,
    value: Value,
) -> Result<Value, GraphError> {
    if let Some(rows) = taken.get(&value) {
        return Ok(*rows);
    }
    let op = new_op(TAKE_ROWS, &[])?;
    let wanted = editor.given(Input::Wanted)?;
    let name = editor.graph().name(value).clone();
    editor.at(value.node);
    let inputs = [Some(value), Some(wanted)];
    let rows = editor.op(op, &inputs, &[&format!("{name}/wanted")])?;
    taken.insert(value, rows.into());
    changes.push(Change {
        at: name.to_string(),
        what: "only the wanted rows are needed from here on".into(),
    });
    Ok(rows.into())
}
