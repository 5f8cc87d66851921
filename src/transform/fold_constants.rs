//! Computing ops whose operands are all literals, and removing ops that change nothing.
//!
//! A sum with 0 stays, as it turns −0 into +0. Expressions over weights stay too: they run when the model is loaded.

use super::change::{Change, is_read, redirect};
use crate::graph::{Editor, Graph, GraphError, NodeId, Value};
use crate::ops::reference::{Operands, literal_tensor};
use crate::ops::{Attribute, Data, Neutral, Op, Tensor, View};
use crate::types::{DType, Literal, Type};

/// Fold every op, operands before the ops that read them, so that one run folds everything.
pub(super) fn run(graph: &mut Graph) -> Result<Vec<Change>, GraphError> {
    let order = graph.order();
    let mut editor = graph.edit();
    let mut changes = Vec::new();
    for id in order {
        let graph = editor.graph();
        let Some(op) = graph.node(id).op().filter(|op| may_fold(graph, id, op)) else {
            continue;
        };
        let (op, at) = (op.clone(), graph.node(id).name().to_string());
        if let Some(what) = fold(&mut editor, id, &op)? {
            changes.push(Change { at, what });
        }
    }
    if !changes.is_empty() {
        editor.sweep();
    }
    Ok(changes)
}

/// Whether [`fold`] may apply to a node that has readers.
fn may_fold(graph: &Graph, id: NodeId, op: &Op) -> bool {
    let by_kind = op.def().view.is_some() || op.def().neutral.is_some();
    let is_literal = |v: &Option<Value>| v.is_none_or(|v| graph.literal(v).is_some());
    (by_kind || graph.inputs(id).iter().all(is_literal)) && is_read(graph, id.into())
}

/// Fold one op. Returns what was done.
fn fold(editor: &mut Editor<'_>, id: NodeId, op: &Op) -> Result<Option<String>, GraphError> {
    if let Some(literal) = computed(editor.graph(), id, op) {
        editor.at(id);
        let constant = editor.constant(literal);
        redirect(editor, id.into(), constant.into())?;
        return Ok(Some(format!("{} of literals is {literal}", op.name())));
    }
    match op.def().view {
        Some(View::Reshape) => reshape(editor, id, op),
        Some(View::Transpose) => transpose(editor, id, op),
        Some(View::Cast) => cast(editor, id),
        Some(View::Slice) => Ok(None),
        None => neutral(editor, id, op),
    }
}

/// The literal that the op computes, if its operands are literals, its result is one number, and a graph file can contain
/// that number. An output of the graph must stay an op.
fn computed(graph: &Graph, id: NodeId, op: &Op) -> Option<Literal> {
    let [output] = &graph.node(id).outputs[..] else {
        return None;
    };
    if !output.ty.shape.is_empty() || graph.is_output(id.into()) {
        return None;
    }
    let inputs = graph.inputs(id);
    let literal = |v: &Option<Value>| v.and_then(|v| graph.literal(v)).map(literal_tensor);
    let tensors: Vec<Tensor> = inputs.iter().map(literal).collect::<Option<_>>()?;
    let results = (op.def().reference)(op, &Operands::new(tensors.iter().map(Some), 0));
    let (dtype, literal) = match &results.first()?.data {
        Data::F32(data) => {
            let x = data.first().filter(|x| x.is_finite())?;
            (DType::F32, Literal::Float(f64::from(*x)))
        }
        Data::I32(data) => (DType::I32, Literal::Int(*data.first()?)),
        Data::Blocks(..) | Data::Int8(_) => return None,
    };
    (output.ty == Type::new(dtype, [])).then_some(literal)
}

/// x · 1, 1 · x and x / 1 are x, to the bit.
fn neutral(editor: &mut Editor<'_>, id: NodeId, op: &Op) -> Result<Option<String>, GraphError> {
    let Some(Neutral { number, slots }) = op.def().neutral else {
        return Ok(None);
    };
    let graph = editor.graph();
    let is_neutral = |v: Value| match graph.literal(v) {
        Some(Literal::Int(n)) => n as f32 == number,
        Some(Literal::Float(x)) => x as f32 == number,
        None => false,
    };
    let x = match graph.inputs(id)[..] {
        [Some(x), Some(b)] if is_neutral(b) && slots.contains(&1) => x,
        [Some(a), Some(x)] if is_neutral(a) && slots.contains(&0) => x,
        _ => return Ok(None),
    };
    let what = format!("{} by {number} is removed", op.name());
    Ok(redirect(editor, id.into(), x)?.then_some(what))
}

/// The operand of a node with a single operand, and that operand's operand if both nodes have the same op.
fn chain(graph: &Graph, id: NodeId) -> Option<(Value, Option<(Value, Op)>)> {
    let x = first_input(graph, id)?;
    let inner = graph.node(x.node).op();
    let same = inner.filter(|op| {
        graph
            .node(id)
            .op()
            .is_some_and(|o| o.def().view == op.def().view)
    });
    Some((
        x,
        same.and_then(|op| Some((first_input(graph, x.node)?, op.clone()))),
    ))
}

fn first_input(graph: &Graph, id: NodeId) -> Option<Value> {
    graph.inputs(id).first().copied().flatten()
}

/// A reshape to the shape that its operand already has, or a reshape of a reshape.
fn reshape(editor: &mut Editor<'_>, id: NodeId, op: &Op) -> Result<Option<String>, GraphError> {
    let Some((x, inner)) = chain(editor.graph(), id) else {
        return Ok(None);
    };
    if redirect(editor, id.into(), x)? {
        return Ok(Some(
            "Reshape to the shape of its operand is removed".into(),
        ));
    }
    let Some((x, _)) = inner else {
        return Ok(None);
    };
    if redirect(editor, id.into(), x)? {
        return Ok(Some("Reshape there and back is removed".into()));
    }
    let graph = editor.graph();
    let Some(shape) = reshape_attribute(graph.ty(x), graph.ty(id.into())) else {
        return Ok(None);
    };
    let op = changed(op, "shape", Attribute::Ints(shape))?;
    replace(editor, id, op, x)?;
    Ok(Some("Reshape of a Reshape becomes one".into()))
}

/// A cast to the type that its operand already has.
fn cast(editor: &mut Editor<'_>, id: NodeId) -> Result<Option<String>, GraphError> {
    let Some(x) = first_input(editor.graph(), id) else {
        return Ok(None);
    };
    let what = "Cast to the type of its operand is removed".to_string();
    Ok(redirect(editor, id.into(), x)?.then_some(what))
}

/// The attribute of a Reshape from one type to the other: a symbolic dimension must stay at its index.
fn reshape_attribute(from: &Type, to: &Type) -> Option<Box<[i64]>> {
    let dim = |(i, d): (usize, &crate::types::Dim)| match d.fixed() {
        Some(0) => None,
        Some(n) => i64::try_from(n).ok(),
        None => (from.shape.get(i) == Some(d)).then_some(0),
    };
    to.shape.iter().enumerate().map(dim).collect()
}

/// A transpose that moves nothing, or a transpose of a transpose.
fn transpose(editor: &mut Editor<'_>, id: NodeId, op: &Op) -> Result<Option<String>, GraphError> {
    let is_identity = |perm: &[i64]| perm.iter().copied().eq(0..perm.len() as i64);
    let Some((x, inner)) = chain(editor.graph(), id) else {
        return Ok(None);
    };
    if is_identity(op.ints("perm")) {
        let what = "Transpose that moves nothing is removed".to_string();
        return Ok(redirect(editor, id.into(), x)?.then_some(what));
    }
    let Some((x, inner)) = inner else {
        return Ok(None);
    };
    let composed = |&i: &i64| inner.ints("perm").get(usize::try_from(i).ok()?).copied();
    let Some(perm) = op
        .ints("perm")
        .iter()
        .map(composed)
        .collect::<Option<Box<[i64]>>>()
    else {
        return Ok(None);
    };
    if is_identity(&perm) && redirect(editor, id.into(), x)? {
        return Ok(Some("Transpose there and back is removed".into()));
    }
    let op = changed(op, "perm", Attribute::Ints(perm))?;
    replace(editor, id, op, x)?;
    Ok(Some("Transpose of a Transpose becomes one".into()))
}

/// The op with another value of an attribute.
fn changed(op: &Op, attribute: &str, value: Attribute) -> Result<Op, GraphError> {
    op.with(attribute, value)
        .map_err(|problems| GraphError { problems })
}

/// Replace a node that has one output by `op` with the operand `x`; the op takes the output's name.
fn replace(editor: &mut Editor<'_>, id: NodeId, op: Op, x: Value) -> Result<(), GraphError> {
    let name = editor.graph().node(id).name().clone();
    editor.at(id);
    let new = editor.op(op, &[Some(x)], &[&name])?;
    editor.replace(id.into(), new.into())
}
