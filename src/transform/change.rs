//! What a transform is, what it did, and the changes that several transforms make.

use crate::graph::{Editor, Graph, GraphError, Value};
use crate::ops::{Attribute, Op};
use crate::types::{Bits, DType};

/// A transform, as the pipeline names it.
pub struct TransformDef {
    /// The name in `passes/pipeline.ron`.
    pub name: &'static str,
    /// What it does to the model's output.
    pub bits: Bits,
    /// What it does, in a sentence.
    pub doc: &'static str,
    /// Changes the graph and says what it changed. After an error the graph may be changed in part.
    pub run: fn(&mut Graph, &Settings) -> Result<Vec<Change>, GraphError>,
}

/// The caller's settings for transforms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The type to which matrices of floats are converted; `None` keeps their type.
    pub weights: Option<DType>,
    /// The number of tokens in the vocabulary, if outputs that are logits must become the hidden states that the head reads;
    /// `None` keeps all outputs.
    pub without_head_of: Option<usize>,
}

/// One thing that a transform did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The name of the changed value, as it was before the change.
    pub at: String,
    /// What was done, as a sentence.
    pub what: String,
}

/// An op from the table of ops; a problem with its attributes becomes an error of the graph.
pub(super) fn new_op(name: &str, attributes: &[(&str, Attribute)]) -> Result<Op, GraphError> {
    Op::new(name, attributes).map_err(|problems| GraphError { problems })
}

/// Whether [`redirect`] is possible: the types are equal, and no output of the graph would lose its name.
pub(super) fn redirectable(graph: &Graph, from: Value, to: Value) -> bool {
    let free = || !graph.is_output(to) && graph.node(to.node).op().is_some();
    graph.ty(from) == graph.ty(to) && (!graph.is_output(from) || free())
}

/// Makes all readers of `from` read `to` instead. `to` keeps its name, unless `from` is an output of the graph: then
/// `to` takes the name of `from`. If this is not [`redirectable`], returns false and changes nothing.
pub(super) fn redirect(
    editor: &mut Editor<'_>,
    from: Value,
    to: Value,
) -> Result<bool, GraphError> {
    if !redirectable(editor.graph(), from, to) {
        return Ok(false);
    }
    if editor.graph().is_output(from) {
        editor.replace(from, to)?;
    } else {
        for (user, slot) in editor.graph().users(from) {
            editor.rewire(user, slot, to);
        }
    }
    Ok(true)
}

/// Whether some node or the graph itself reads the value.
pub(super) fn is_read(graph: &Graph, value: Value) -> bool {
    graph.is_output(value) || graph.has_users(value)
}
