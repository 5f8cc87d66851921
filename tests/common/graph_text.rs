//! Graphs in a few lines of text.
//!
//! ```text
//! x = activation 8                     [T, 8], rows of a table by token
//! q = activation 4 2                   [T, 4, 2]
//! w = weight 6 8
//! y = Linear x w - r | activation=silu
//! keys values = Cache q q
//! out y
//! ```
//!
//! `-` is an absent operand, and a number is a literal. `tokens` and `positions` exist without a line of their own.

use std::collections::HashMap;

use smallmind::graph::{Editor, Graph, Value, WeightSource};
use smallmind::ops::{Attribute, Op};
use smallmind::types::{DType, Dim, Literal, Type};

/// Rows of every table; token ids stay below it.
pub const VOCAB: usize = 11;

/// The graph that `text` describes.
pub fn graph(text: &str) -> Graph {
    let mut graph = Graph::new();
    let mut editor = graph.edit();
    let mut values: HashMap<String, Value> = HashMap::new();
    for name in ["tokens", "positions"] {
        let ty = Type::new(DType::I32, [Dim::Tokens]);
        values.insert(name.into(), editor.input(name, ty).unwrap().into());
    }
    let mut outputs = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(names) = line.strip_prefix("out ") {
            outputs.extend(names.split_whitespace().map(|name| values[name]));
        } else {
            statement(&mut editor, &mut values, line);
        }
    }
    editor.set_outputs(outputs);
    graph
}

fn statement(editor: &mut Editor<'_>, values: &mut HashMap<String, Value>, line: &str) {
    let (names, rest) = line.split_once(" = ").expect("a line is name = what");
    let (call, attributes) = rest.split_once(" | ").unwrap_or((rest, ""));
    let mut words = call.split_whitespace();
    let what = words.next().expect("something follows =");
    let words: Vec<&str> = words.collect();
    let sizes = || words.iter().map(|n| n.parse::<usize>().unwrap());
    let names: Vec<&str> = names.split_whitespace().collect();
    let node = match what {
        "weight" => weight(editor, names[0], sizes()),
        "activation" => {
            let table = weight(
                editor,
                &format!("{}.table", names[0]),
                [VOCAB, sizes().product()],
            );
            let flat = words.len() == 1;
            let gather = Op::new("Gather", &[]).unwrap();
            let name = if flat {
                names[0].to_owned()
            } else {
                format!("{}.flat", names[0])
            };
            let rows = editor
                .op(gather, &[Some(table), Some(values["tokens"])], &[&name])
                .unwrap();
            match flat {
                true => rows.into(),
                false => {
                    let shape = std::iter::once(0)
                        .chain(sizes().map(|n| n as i64))
                        .collect();
                    let op = Op::new("Reshape", &[("shape", Attribute::Ints(shape))]).unwrap();
                    editor.op(op, &[Some(rows.into())], &names).unwrap().into()
                }
            }
        }
        op => {
            let attributes: Vec<_> = attributes.split_whitespace().map(attribute).collect();
            let op =
                Op::new(op, &attributes).unwrap_or_else(|problems| panic!("{line}: {problems:?}"));
            let inputs: Vec<Option<Value>> = words
                .iter()
                .map(|word| match (*word, word.parse::<f64>()) {
                    ("-", _) => None,
                    (_, Ok(x)) => Some(editor.constant(Literal::Float(x)).into()),
                    (name, _) => Some(values[name]),
                })
                .collect();
            let id = editor.op(op, &inputs, &names);
            id.unwrap_or_else(|error| panic!("{line}: {error}")).into()
        }
    };
    for (output, name) in names.iter().enumerate() {
        values.insert((*name).into(), Value { output, ..node });
    }
}

fn weight(editor: &mut Editor<'_>, name: &str, shape: impl IntoIterator<Item = usize>) -> Value {
    let ty = Type::f32(shape.into_iter().map(Dim::Fixed));
    let source = WeightSource {
        tensor: name.into(),
    };
    editor.weight(name, source, ty).unwrap().into()
}

fn attribute(text: &str) -> (&str, Attribute) {
    let (name, value) = text.split_once('=').expect("an attribute is name=value");
    let value = if let Some(list) = value.strip_prefix('[') {
        let items = list.trim_end_matches(']').split(',');
        Attribute::Ints(items.map(|n| n.parse().unwrap()).collect())
    } else if let Ok(n) = value.parse() {
        Attribute::Int(n)
    } else if let Ok(x) = value.parse() {
        Attribute::Float(x)
    } else if let Ok(b) = value.parse() {
        Attribute::Bool(b)
    } else {
        Attribute::Text(value.to_owned().into())
    };
    (name, value)
}
