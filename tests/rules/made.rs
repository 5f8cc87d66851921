//! Graphs made by hand, and what must be true of each graph that a transform leaves.

use smallmind::graph::{Editor, Graph, Value, WeightSource, print, verify};
use smallmind::ops::{Attribute, Op};
use smallmind::types::{DType, Dim, Literal, Type};

use crate::common::same_bits::apply;

/// Rows of the embedding table.
pub const VOCAB: usize = 11;

/// A graph under construction with short words for its parts.
pub struct Made<'g> {
    pub editor: Editor<'g>,
    pub tokens: Value,
    pub positions: Value,
}

impl Made<'_> {
    pub fn weight(&mut self, tensor: &str, shape: &[usize]) -> Value {
        let name = format!("weight{}.{tensor}", self.editor.graph().ids().count());
        let ty = Type::f32(shape.iter().map(|&n| Dim::Fixed(n)));
        let source = WeightSource {
            tensor: tensor.into(),
        };
        self.editor.weight(&name, source, ty).unwrap().into()
    }

    pub fn number(&mut self, x: f64) -> Value {
        self.editor.constant(Literal::Float(x)).into()
    }

    pub fn op(
        &mut self,
        name: &str,
        op: &str,
        attributes: &[(&str, Attribute)],
        inputs: &[Value],
    ) -> Value {
        let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
        let op = Op::new(op, attributes).unwrap();
        let names: Vec<String> = match op.output_count() {
            1 => vec![name.into()],
            n => (0..n).map(|i| format!("{name}.{i}")).collect(),
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.editor.op(op, &inputs, &names).unwrap().into()
    }

    /// An activation [T, 8].
    pub fn embedded(&mut self) -> Value {
        let table = self.weight("embed", &[VOCAB, 8]);
        let tokens = self.tokens;
        self.op("x", "Gather", &[], &[table, tokens])
    }

    pub fn reshape(&mut self, name: &str, x: Value, shape: &[i64]) -> Value {
        self.op(name, "Reshape", &[ints("shape", shape)], &[x])
    }
}

pub fn ints<'a>(name: &'a str, list: &[i64]) -> (&'a str, Attribute) {
    (name, Attribute::Ints(list.into()))
}

pub fn build(make: impl FnOnce(&mut Made<'_>) -> Vec<Value>) -> Graph {
    let mut graph = Graph::new();
    let mut editor = graph.edit();
    let ty = || Type::new(DType::I32, [Dim::Tokens]);
    let tokens = editor.input("tokens", ty()).unwrap().into();
    let positions = editor.input("positions", ty()).unwrap().into();
    let mut made = Made {
        editor,
        tokens,
        positions,
    };
    let outputs = make(&mut made);
    made.editor.set_outputs(outputs);
    verify(&graph).unwrap();
    graph
}

/// The names of all ops, in order.
pub fn ops(graph: &Graph) -> Vec<&'static str> {
    let order = graph.order().into_iter();
    order
        .filter_map(|id| Some(graph.node(id).op()?.name()))
        .collect()
}

/// Check that the transform finds nothing to do and changes nothing.
pub fn untouched(name: &str, graph: &Graph) {
    let (after, changes) = apply(name, graph);
    assert_eq!(changes, []);
    assert_eq!(print(&after, "hf"), print(graph, "hf"));
}
