//! The contents of a GGUF file of a folder's model, as the graph file states them: keys, and tensors that are made from the
//! folder's tensors.
//!
//! Each parameter is written under the key that GGUF files have for it. Each weight that a node reads is written as the
//! tensor that GGUF files have for it, after the steps of `to_gguf`. [`compare`] finds parameters that would be read with a
//! different value.

use std::collections::{BTreeMap, HashSet};

use crate::architecture::ast::{Argument, Definition, GgufStatement, ModelFile};
use crate::architecture::bind::{Headers, attribute_value, bind, find_tensor, literal};
use crate::architecture::expand::{Expanded, FlatWeight, expand_to};
use crate::architecture::parameters::ParameterSource;
use crate::architecture::resolve::{Parameters, argument};
use crate::architecture::weight_table::WeightTable;
use crate::graph::{Editor, Graph, Value as GraphValue, WeightSource};
use crate::language::diagnostics::{Position, Problem, Problems};
use crate::language::value::Value;
use crate::ops::Op;
use crate::types::{DType, Dim, Type};

/// The suffix that turns the path of an array into the path of its length, which can't be written as a key.
const LENGTH: &str = ".length";
/// The path of a vocabulary's size.
const TOKENS: &str = "tokenizer.ggml.tokens.length";
/// The placeholder for the architecture in keys.
const ARCHITECTURE: &str = "{arch}";

/// A GGUF file that is made from a folder.
#[derive(Debug)]
pub struct ToGguf {
    /// The value of `general.architecture`.
    pub architecture: String,
    /// The keys that the graph file states, and their values; no value is null.
    pub keys: Vec<(String, Value)>,
    /// The tensors.
    pub tensors: Vec<GgufTensor>,
    /// The expressions over the folder's weights that compute the tensors.
    pub graph: Graph,
    /// How many tokens the vocabulary must have, if that is a parameter.
    pub tokens: Option<usize>,
    /// Every parameter, with its value for the folder.
    pub params: BTreeMap<String, Value>,
}

/// A tensor of a GGUF file that is made from a folder.
#[derive(Debug)]
pub struct GgufTensor {
    /// Its name.
    pub name: String,
    /// Its dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Its elements' type before anything is quantized.
    pub dtype: DType,
    /// Its elements.
    pub elements: Elements,
}

/// Where elements come from.
#[derive(Debug)]
pub enum Elements {
    /// A value of [`ToGguf::graph`].
    Value(GraphValue),
    /// Values of parameters.
    Made(Vec<f32>),
}

/// The GGUF file that the graph file `file` makes from a folder with the parameters of `source` and weights with these
/// headers.
pub fn to_gguf(
    file: &ModelFile,
    source: &dyn ParameterSource,
    headers: &Headers,
) -> Result<ToGguf, Problems> {
    let Some(statement) = &file.gguf else {
        let message = "no GGUF file can be written: 'gguf' is missing, which names the architecture in GGUF files";
        return Err(Problems::one(
            &file.file,
            Problem::new(Position::START, message),
        ));
    };
    let has = |name: &str| find_tensor(headers, &file.prefixes, name).is_some();
    let expanded = expand_to(file, source, &has, true)?;
    // This reports what is wrong with the weights.
    bind(&file.file, &expanded, Some(headers))?;
    let weights = WeightTable::new(&file.weights, source.kind(), &has);
    let parameters = Parameters::new(file, source, &weights);
    let mut graph = Graph::new();
    let mut maker = Maker {
        statement,
        parameters: &parameters,
        problems: Vec::new(),
        keys: Vec::new(),
        written: HashSet::new(),
        tensors: Vec::new(),
        named: HashSet::new(),
    };
    let tokens = maker.keys(file, &expanded);
    let mut editor = graph.edit();
    for weight in &expanded.weights {
        if let Some(name) = find_tensor(headers, &expanded.prefixes, &weight.tensor) {
            let dtype = headers.get(name).and_then(|header| header.dtype);
            maker.weight(&mut editor, weight, name, dtype.unwrap_or(DType::F32));
        }
    }
    for (name, written) in &statement.tensors {
        maker.made(name, written);
    }
    let made = ToGguf {
        architecture: statement.architecture.clone(),
        keys: maker.keys,
        tensors: maker.tensors,
        graph,
        tokens,
        params: expanded.params,
    };
    Problems::check(&file.file, maker.problems, made)
}

struct Maker<'a> {
    statement: &'a GgufStatement,
    parameters: &'a Parameters<'a>,
    problems: Vec<Problem>,
    keys: Vec<(String, Value)>,
    /// The keys so far.
    written: HashSet<String>,
    tensors: Vec<GgufTensor>,
    /// The tensors' names so far.
    named: HashSet<String>,
}

impl Maker<'_> {
    fn problem(&mut self, position: Position, message: impl Into<String>) {
        self.problems.push(Problem::new(position, message));
    }

    fn evaluate(&mut self, written: &Argument) -> Option<Value> {
        match argument(written, self.parameters) {
            Ok(Value::Null) => None,
            Ok(value) => Some(value),
            Err(problem) => {
                self.problems.extend(problem);
                None
            }
        }
    }

    /// Writes the keys of parameters, and the keys that no parameter reads. Returns the vocabulary's size.
    fn keys(&mut self, file: &ModelFile, expanded: &Expanded) -> Option<usize> {
        let mut tokens = None;
        for param in &file.params {
            let Definition::Key { gguf, to_gguf, .. } = &param.definition else {
                continue;
            };
            let value = expanded.params.get(&param.name);
            if gguf.iter().any(|path| path == TOKENS) {
                let count = value.and_then(Value::as_int);
                tokens = count.and_then(|count| usize::try_from(count).ok());
            }
            let Some(path) = gguf.iter().find(|path| !path.ends_with(LENGTH)) else {
                continue;
            };
            let value = match to_gguf {
                Some(written) => self.evaluate(written),
                None => value.filter(|value| **value != Value::Null).cloned(),
            };
            if let Some(value) = value {
                self.key(path, value, param.position);
            }
        }
        let statement = self.statement;
        for (path, written) in &statement.keys {
            if let Some(value) = self.evaluate(written) {
                self.key(path, value, written.position);
            }
        }
        tokens
    }

    fn key(&mut self, path: &str, value: Value, position: Position) {
        let key = path.replace(ARCHITECTURE, &self.statement.architecture);
        if self.written.insert(key.clone()) {
            self.keys.push((key, value));
        } else {
            self.problem(position, format!("the key '{key}' is written twice"));
        }
    }

    /// Notes a tensor's name; false if the name is already taken.
    fn take(&mut self, name: &str, position: Position) -> bool {
        let is_new = self.named.insert(name.to_owned());
        if !is_new {
            self.problem(position, format!("the tensor '{name}' is written twice"));
        }
        is_new
    }

    /// Adds the tensor that is made from a weight; the weight's own tensor is named `tensor`.
    fn weight(&mut self, editor: &mut Editor, weight: &FlatWeight, tensor: &str, dtype: DType) {
        let Some(name) = &weight.gguf else {
            let message = "no GGUF file can be written: the weight has no 'gguf' name";
            let problem = Problem::new(weight.position, message);
            self.problems.push(problem.about("weight", &weight.name));
            return;
        };
        if !self.take(name, weight.position) {
            return;
        }
        match value_of(editor, weight, tensor, dtype) {
            Ok(value) => {
                let ty = editor.graph().ty(value);
                self.tensors.push(GgufTensor {
                    name: name.clone(),
                    shape: ty.shape.iter().filter_map(|dim| dim.fixed()).collect(),
                    dtype: ty.dtype,
                    elements: Elements::Value(value),
                });
            }
            Err((position, messages)) => {
                for message in messages {
                    let problem = Problem::new(position, message);
                    self.problems.push(problem.about("weight", &weight.name));
                }
            }
        }
    }

    /// Adds a tensor that is made from parameters.
    fn made(&mut self, name: &str, written: &Argument) {
        let Some(value) = self.evaluate(written) else {
            return;
        };
        let floats = match &value {
            Value::List(items) => items.iter().map(Value::as_number).collect(),
            _ => None::<Vec<f64>>,
        };
        let Some(floats) = floats.filter(|floats| !floats.is_empty()) else {
            let message = format!(
                "the tensor '{name}' must be a list of numbers, or none, found {}",
                value.kind()
            );
            self.problem(written.position, message);
            return;
        };
        if self.take(name, written.position) {
            self.tensors.push(GgufTensor {
                name: name.to_owned(),
                shape: vec![floats.len()],
                dtype: DType::F32,
                elements: Elements::Made(floats.into_iter().map(|x| x as f32).collect()),
            });
        }
    }
}

/// The weight after all of its `to_gguf` steps, in the editor's graph.
fn value_of(
    editor: &mut Editor,
    weight: &FlatWeight,
    tensor: &str,
    dtype: DType,
) -> Result<GraphValue, (Position, Vec<String>)> {
    let dims = weight.dims.iter().filter_map(|&d| usize::try_from(d).ok());
    let ty = Type::new(dtype, dims.map(Dim::Fixed));
    let source = WeightSource {
        tensor: tensor.into(),
    };
    let id = editor.weight(&weight.name, source, ty);
    let id = id.map_err(|error| (weight.position, vec![error.to_string()]))?;
    let mut value = GraphValue::from(id);
    for step in &weight.to_gguf {
        let fail = |messages: Vec<String>| (step.position, messages);
        let mut given = Vec::with_capacity(step.attributes.len());
        for attribute in &step.attributes {
            let found = attribute_value(&attribute.value).ok_or_else(|| {
                let kind = attribute.value.kind();
                let message = format!("{}: '{}' can't be {kind}", step.op, attribute.name);
                (attribute.position, vec![message])
            })?;
            given.push((&*attribute.name, found));
        }
        let op = Op::new(&step.op, &given).map_err(fail)?;
        let mut inputs = vec![Some(value)];
        if let Some(operand) = &step.operand {
            let operand = literal(operand).map_err(|message| fail(vec![message]))?;
            inputs.push(Some(editor.constant(operand).into()));
        }
        let id = editor.op(op, &inputs, &[&weight.name]);
        value = id.map_err(|error| fail(error.problems))?.into();
    }
    Ok(value)
}

/// Compares the parameters of the new GGUF file (`read`, with the graph file `by` for such files) with the folder's parameters
/// (`given`, with `file`): an error for each that differs, except where the graph file says that it may differ.
pub fn compare(
    file: &ModelFile,
    given: &BTreeMap<String, Value>,
    by: &ModelFile,
    read: &BTreeMap<String, Value>,
) -> Result<(), Problems> {
    let Some(statement) = &file.gguf else {
        return Ok(());
    };
    let mut problems = Vec::new();
    for param in &file.params {
        if statement.differs.iter().any(|name| name.name == param.name) {
            continue;
        }
        let Some(given) = given.get(&param.name) else {
            continue;
        };
        let architecture = &statement.architecture;
        let message = match read.get(&param.name) {
            Some(read) if is_same(given, read) => continue,
            Some(read) => format!(
                "it is {}, and a GGUF file of the architecture '{architecture}' can't express that: it would be read as {}",
                shown(given),
                shown(read)
            ),
            None => format!(
                "{}, the graph file for GGUF files of the architecture '{architecture}', has no such parameter",
                by.file
            ),
        };
        problems.push(Problem::new(param.position, message).about("parameter", &param.name));
    }
    Problems::check(&file.file, problems, ())
}

/// Whether two values are the same in a GGUF file, whose floats have 32 bits.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::List(left), Value::List(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| is_same(l, r))
        }
        _ => match (left.as_number(), right.as_number()) {
            (Some(left), Some(right)) => left as f32 == right as f32,
            _ => left == right,
        },
    }
}

/// A value for messages.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.len() {
        0..=200 => text,
        _ => value.kind().to_owned(),
    }
}
