//! Returning the hidden state that a language model's head reads, in place of logits.
//!
//! The head is the last matrix product on the way to an output with a column for each token of the vocabulary. Between the
//! two there are only ops that work element by element on the head's product (bias, scale, soft cap), change its shape, or
//! take some of its rows. A head that no output depends on any more is removed, and so is its weight unless something else
//! reads it: a table of embeddings that is also the head stays a table.

use super::change::{Change, Settings};
use crate::graph::{Class, Graph, GraphError, NodeId, Value, is_bidirectional};
use crate::ops::{ELEMENTWISE, Form, Op, QUANTIZE_ACTIVATIONS, Tokens};
use crate::types::DType;

/// If the caller wants hidden states: replace each output that a head computes by the head's input, and remove what no output
/// depends on any more. Other outputs stay.
pub(super) fn run(graph: &mut Graph, settings: &Settings) -> Result<Vec<Change>, GraphError> {
    let Some(vocabulary) = settings.without_head_of else {
        return Ok(Vec::new());
    };
    let classes = graph.classes();
    let mut outputs = graph.outputs().to_vec();
    let mut changes = Vec::new();
    for output in &mut outputs {
        let columns = columns(graph, *output);
        if columns < vocabulary {
            continue;
        }
        let name = graph.name(*output).clone();
        let Some(hidden) = head_input(graph, &classes, *output, vocabulary) else {
            // The width of hidden states may be anything.
            if columns > vocabulary || is_bidirectional(graph) {
                continue;
            }
            return Err(GraphError::new(format!(
                "output \"{name}\" has a column for each of {vocabulary} tokens, but it is not a matrix product whose \
                 input could be returned as the hidden state"
            )));
        };
        let Some(hidden) = floats(graph, hidden) else {
            return Err(GraphError::new(format!(
                "output \"{name}\": its head reads int8 blocks, \"{}\", and no node computes the same hidden state as \
                 floats",
                graph.name(hidden)
            )));
        };
        let what = format!(
            "the output is the hidden state \"{}\" instead",
            graph.name(hidden)
        );
        let at = name.to_string();
        changes.push(Change { at, what });
        *output = hidden;
    }
    if !changes.is_empty() {
        let mut editor = graph.edit();
        editor.set_outputs(outputs);
        editor.sweep();
    }
    Ok(changes)
}

/// The elements of a row, if their number is fixed; otherwise 0.
fn columns(graph: &Graph, value: Value) -> usize {
    let width = graph.ty(value).width();
    width.and_then(|width| width.fixed()).unwrap_or(0)
}

/// The operand of the head that computes `output`; `None` if there is no head with at least `vocabulary` columns.
fn head_input(graph: &Graph, classes: &[Class], output: Value, vocabulary: usize) -> Option<Value> {
    let mut value = output;
    loop {
        let op = graph.node(value.node).op()?;
        let operand = only_operand(graph, classes, value.node)?;
        if is_product(graph, classes, value.node, op) {
            return (columns(graph, value) >= vocabulary).then_some(operand);
        }
        let is_elementwise = op.function().is_some() || op.name() == ELEMENTWISE;
        let takes_rows = matches!(op.tokens(), Tokens::Listed { .. });
        if !is_elementwise && !takes_rows && op.def().view.is_none() {
            return None;
        }
        value = operand;
    }
}

/// The only operand that depends on the tokens, apart from whole numbers; `None` if there are several or none.
fn only_operand(graph: &Graph, classes: &[Class], id: NodeId) -> Option<Value> {
    let depends = |value: &Value| {
        classes[value.node.index()] == Class::Activation && graph.ty(*value).dtype != DType::I32
    };
    let inputs = graph.inputs(id);
    let mut operands = inputs.iter().copied().flatten().filter(depends);
    let operand = operands.next()?;
    operands.all(|other| other == operand).then_some(operand)
}

/// Whether the op multiplies its first operand with a matrix of weights.
fn is_product(graph: &Graph, classes: &[Class], id: NodeId, op: &Op) -> bool {
    let inputs = graph.inputs(id);
    let mut operands = inputs.iter().enumerate().skip(1);
    operands.any(|(slot, value)| {
        let form = op.input_def(slot).map(|def| def.form);
        let is_matrix = matches!(form, Some(Form::Packed | Form::PackedOrTensor));
        let is_weight = |value: &Value| classes[value.node.index()] != Class::Activation;
        is_matrix && value.as_ref().is_some_and(is_weight)
    })
}

/// The value as floats: for activations that a separate op has quantized, what that op reads.
fn floats(graph: &Graph, value: Value) -> Option<Value> {
    if graph.ty(value).dtype == DType::F32 {
        return Some(value);
    }
    let op = graph.node(value.node).op()?;
    let quantized = op.name() == QUANTIZE_ACTIVATIONS;
    let read = graph.inputs(value.node).first().copied().flatten();
    read.filter(|_| quantized)
}
