//! Turns an expanded graph file into a graph: names become values, words become ops, types are inferred.
//!
//! Every problem is reported with its line: unknown ops and attributes, operands of the wrong number or shape, tensors that
//! the weight file lacks or has in another shape or type, and nodes and tensors that nothing reads.

use std::collections::HashSet;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::agree::{caches, missing, unread_nodes, unread_tensors};
use super::expand::{Expanded, FlatInput, FlatNode, FlatWeight};
pub use super::tensors::{Headers, find_tensor, headers};
use crate::blocks::BlockFormat;
use crate::files::weight_file::TensorHeader;
use crate::graph::{ByValue, Class, Editor, Graph, Input, Name, Value, WeightSource};
use crate::kernels::call::MAX_RANK;
use crate::language::diagnostics::{Position, Problem, Problems, nearest};
use crate::language::value::Value as Setting;
use crate::ops::{Attribute, Op, View, named_activation};
use crate::types::{DType, Dim, Literal, StepSize, Type};

/// The most elements of a value, symbolic dimensions counted as 1.
const MOST_ELEMENTS: usize = 1 << 40;
/// Expressions over weights may compute this many times as many elements as the weights have, not counting views.
const COMPUTED_FACTOR: usize = 8;
/// Elements that such expressions may compute, however small the weights are.
const COMPUTED_ALWAYS: usize = 1 << 20;
/// How many missing tensors have their nearest name looked up.
const MOST_LOOKUPS: usize = 100;

/// Build the graph. Without `headers` (no weight file is at hand) every required weight is assumed to be an F32 tensor of
/// the shape that the graph file states.
pub fn bind(file: &str, expanded: &Expanded, headers: Option<&Headers>) -> Result<Graph, Problems> {
    build(file, expanded, headers, None)
}

/// Like [`bind`], for a caller who needs only the part of the graph that `part` returns: tensors that only the rest reads may
/// be missing in the weight file. They are assumed to be F32.
pub fn bind_part(
    file: &str,
    expanded: &Expanded,
    headers: Option<&Headers>,
    part: &dyn Fn(&Graph) -> Graph,
) -> Result<Graph, Problems> {
    build(file, expanded, headers, Some(part))
}

fn build(
    file: &str,
    expanded: &Expanded,
    headers: Option<&Headers>,
    part: Option<&dyn Fn(&Graph) -> Graph>,
) -> Result<Graph, Problems> {
    let mut graph = Graph::new();
    let mut binder = Binder {
        editor: graph.edit(),
        headers,
        values: FxHashMap::default(),
        classes: ByValue::default(),
        computable: COMPUTED_ALWAYS,
        lookups: MOST_LOOKUPS,
        assumes: part.is_some(),
        missing: Vec::new(),
        problems: Vec::new(),
        reported: HashSet::new(),
    };
    binder
        .editor
        .reserve(expanded.weights.len() + expanded.nodes.len());
    for input in Input::ALL
        .into_iter()
        .filter(|&input| is_given(expanded, input))
    {
        if let Ok(value) = binder.editor.given(input) {
            binder.values.insert(input.name(), value);
            binder.classes.insert(value, Class::Activation);
        }
    }
    for weight in &expanded.weights {
        binder.weight(weight, &expanded.prefixes);
    }
    for node in &expanded.nodes {
        binder.node(node);
    }
    let mut outputs = Vec::new();
    let mut named = HashSet::new();
    for output in &expanded.outputs {
        if !named.insert(&output.name) {
            let message = format!("output \"{}\" is listed twice", output.name);
            binder.problems.push(Problem::new(output.position, message));
        }
        if let Some(value) = binder.values.get(&*output.value).copied() {
            binder.output(&output.name, output.position, value);
            outputs.push(value);
        }
    }
    binder.editor.set_outputs(outputs);
    let (mut problems, mut lacking) = (binder.problems, binder.missing);
    if let Some(part) = part.filter(|_| !lacking.is_empty()) {
        let needed = part(&graph);
        let names: HashSet<&str> = needed.ids().map(|id| &**needed.node(id).name()).collect();
        lacking.retain(|(weight, _)| names.contains(&*weight.name));
    }
    problems.extend(missing(expanded, &lacking));
    if problems.is_empty() {
        problems.extend(caches(expanded, &graph));
        problems.extend(unread_nodes(expanded));
    }
    if let Some(headers) = headers {
        problems.extend(unread_tensors(expanded, headers));
    }
    Problems::check(file, problems, graph)
}

/// Whether a graph has the input: ids and positions always, the wanted rows only if something reads them; if nothing
/// reads them, all rows are wanted.
fn is_given(expanded: &Expanded, input: Input) -> bool {
    let is_it =
        |read: &FlatInput| matches!(read, FlatInput::Value(name) if **name == *input.name());
    let mut read = expanded.nodes.iter().flat_map(|node| &node.inputs);
    let mut outputs = expanded.outputs.iter();
    input != Input::Wanted
        || read.any(is_it)
        || outputs.any(|output| *output.value == *input.name())
}

struct Binder<'a, 'g> {
    editor: Editor<'g>,
    headers: Option<&'a Headers>,
    /// Values by canonical name. A name that is missing here was reported where it should have been bound.
    values: FxHashMap<&'a str, Value>,
    /// What each value depends on; a value that is missing here is a literal.
    classes: ByValue<Class>,
    /// Elements that expressions over weights may still compute when the model is loaded.
    computable: usize,
    /// Missing tensors whose nearest name will still be looked up.
    lookups: usize,
    /// Whether weights whose tensors the file lacks are bound all the same.
    assumes: bool,
    /// Weights whose tensors the file lacks, each with a hint for its message.
    missing: Vec<(&'a FlatWeight, String)>,
    problems: Vec<Problem>,
    /// Where each problem of a node was reported.
    reported: HashSet<(Position, String)>,
}

impl<'a> Binder<'a, '_> {
    /// Reports a problem of a node; a problem that each iteration of a Repeat has is reported for the first iteration only.
    fn report(&mut self, position: Position, node: &str, message: impl Into<String>) {
        let message = message.into();
        if self.reported.insert((position, message.clone())) {
            self.problems.push(Problem::new(position, message).of(node));
        }
    }

    fn weight(&mut self, weight: &'a FlatWeight, prefixes: &[String]) {
        let dims: Vec<usize> = weight
            .dims
            .iter()
            .filter_map(|&d| usize::try_from(d).ok())
            .collect();
        let mut dtype = DType::F32;
        let mut tensor: Name = weight.tensor.as_str().into();
        if let Some(headers) = self.headers {
            match find_tensor(headers, prefixes, &weight.tensor) {
                Some(name) => {
                    tensor = name.into();
                    dtype = self.header(weight, name, &headers[name], &dims);
                }
                None => {
                    let more = match &weight.withheld {
                        Some(withheld) => format!(", and {withheld}"),
                        None => {
                            let near = self.nearest_tensor(&weight.tensor, headers, prefixes);
                            near.map_or(String::new(), |near| {
                                format!("; the nearest name is '{near}'")
                            })
                        }
                    };
                    self.missing.push((weight, more));
                    if !self.assumes {
                        return;
                    }
                }
            }
        }
        let ty = Type::new(dtype, dims.into_iter().map(Dim::Fixed));
        let computable = ty.elements(StepSize::ONE).saturating_mul(COMPUTED_FACTOR);
        self.computable = self.computable.saturating_add(computable);
        match self
            .editor
            .weight(&weight.name, WeightSource { tensor }, ty)
        {
            Ok(id) => {
                self.classes.insert(id.into(), Class::Weight);
                self.values.insert(&weight.name, id.into());
            }
            Err(error) => self
                .problems
                .push(Problem::new(weight.position, error.to_string())),
        }
    }

    /// The type of the elements of tensor `name`, which must have the shape `dims`.
    fn header(
        &mut self,
        weight: &FlatWeight,
        name: &str,
        header: &TensorHeader,
        dims: &[usize],
    ) -> DType {
        let mut report = |message| {
            let problem = Problem::new(weight.position, message);
            self.problems.push(problem.about("weight", &weight.name));
        };
        if header.shape != dims {
            report(format!(
                "tensor '{name}' must be {dims:?}, the file has {:?}",
                header.shape
            ));
        }
        header.dtype.unwrap_or_else(|| {
            let formats = BlockFormat::ALL.map(BlockFormat::name);
            report(format!(
                "tensor '{name}' is {}, expected F32, F16, BF16 or one of GGUF's {}",
                header.written,
                formats.join(", ")
            ));
            DType::F32
        })
    }

    /// The tensor that `name` may have meant, without the prefix that it has in the file.
    fn nearest_tensor<'h>(
        &mut self,
        name: &str,
        headers: &'h Headers,
        prefixes: &[String],
    ) -> Option<&'h str> {
        self.lookups = self.lookups.checked_sub(1)?;
        let bare = |full: &'h String| {
            let stripped = prefixes
                .iter()
                .filter(|p| !p.is_empty())
                .find_map(|p| full.strip_prefix(p.as_str()));
            [Some(full.as_str()), stripped].into_iter().flatten()
        };
        nearest(name, headers.keys().flat_map(bare))
    }

    fn node(&mut self, node: &'a FlatNode) {
        let label = node.names.first().map_or("", |name| name);
        let op = match self.op(node) {
            Ok(op) => op,
            Err(problems) => {
                for problem in problems {
                    self.report(node.position, label, problem);
                }
                return;
            }
        };
        if op.output_count() != node.names.len() {
            let message = format!(
                "{}: wrong number of output names: expected {}, found {}",
                op.name(),
                op.output_count(),
                node.names.len()
            );
            self.report(node.position, label, message);
            return;
        }
        let mut inputs: SmallVec<[Option<Value>; 8]> = SmallVec::new();
        for input in &node.inputs {
            inputs.push(match input {
                FlatInput::Absent => None,
                FlatInput::Missing(name) => match self.left_out(&op, inputs.len(), name) {
                    None => None,
                    Some(message) => {
                        self.report(node.position, label, message);
                        return;
                    }
                },
                FlatInput::Literal(value) => match literal(value) {
                    Ok(literal) => Some(self.editor.constant(literal).into()),
                    Err(message) => {
                        self.report(node.position, label, message);
                        return;
                    }
                },
                // What is missing was reported where it should have come from.
                FlatInput::Value(name) | FlatInput::Weight(name) => {
                    match self.values.get(&**name) {
                        Some(value) => Some(*value),
                        None => return,
                    }
                }
            });
        }
        let names: SmallVec<[&str; 2]> = node.names.iter().map(|name| &**name).collect();
        let class_of = |value: &Value| self.classes.get(*value).copied().unwrap_or(Class::Literal);
        let classes: SmallVec<[Option<Class>; 8]> = inputs
            .iter()
            .map(|input| input.as_ref().map(class_of))
            .collect();
        let class = classes
            .iter()
            .copied()
            .flatten()
            .max()
            .unwrap_or(Class::Literal);
        let misfits = self.misfits(&op, &classes, &inputs);
        let computes = class == Class::Weight
            && match op.def().view {
                Some(View::Transpose | View::Slice) => false,
                // A Reshape may have to copy.
                Some(View::Reshape | View::Cast) | None => true,
            };
        match self.editor.op(op.clone(), &inputs, &names) {
            Ok(id) => {
                misfits
                    .into_iter()
                    .for_each(|problem| self.report(node.position, label, problem));
                for (output, name) in node.names.iter().enumerate() {
                    let value = Value { node: id, output };
                    let ty = self.editor.graph().ty(value);
                    let misfit = class.misfit(ty.dtype);
                    let misfit = misfit.map(|instead| format!("{op} gives {ty}, but {instead}"));
                    let problem = misfit.or_else(|| too_large(ty, class));
                    let problem =
                        problem.or_else(|| if computes { self.compute(value) } else { None });
                    if let Some(problem) = problem {
                        // It stays unbound so that its readers, which are as large, are not reported too.
                        self.report(node.position, label, problem);
                        continue;
                    }
                    self.values.insert(name, value);
                    self.classes.insert(value, class);
                }
            }
            Err(error) => error
                .problems
                .into_iter()
                .for_each(|problem| self.report(node.position, label, problem)),
        }
    }

    /// What is wrong with leaving out operand `slot`, an optional weight that the file lacks.
    fn left_out(&self, op: &Op, slot: usize, weight: &str) -> Option<String> {
        let def = op.input_def(slot)?;
        let (op, input) = (op.name(), def.name);
        let lacks = || {
            format!(
                "{op}: input {slot} ({input}) is the weight \"{weight}\", which the weight file lacks"
            )
        };
        match (def.optional, def.stated) {
            (true, false) => None,
            (true, true) => Some(format!(
                "{}: if that is intended, write an If(\"has(…)\", …) in which a node has \"\" as this input",
                lacks()
            )),
            (false, _) => Some(lacks()),
        }
    }

    /// Operands that are weights where kernels need values that depend on the tokens, or the reverse. An op that reads only
    /// weights and literals runs without kernels.
    fn misfits(&self, op: &Op, classes: &[Option<Class>], inputs: &[Option<Value>]) -> Vec<String> {
        if !classes.contains(&Some(Class::Activation)) {
            return Vec::new();
        }
        let misfit = |(slot, (class, input)): (usize, (&Option<Class>, &Option<Value>))| {
            let (class, value, def) = ((*class)?, (*input)?, op.input_def(slot)?);
            let problem = def.form.misfit(class != Class::Activation)?;
            let graph = self.editor.graph();
            let found = match graph.literal(value) {
                Some(literal) => literal.to_string(),
                None => format!("\"{}\"", graph.name(value)),
            };
            Some(format!(
                "{}: input {slot} ({}) must be {problem}: {found} is not",
                op.name(),
                def.name
            ))
        };
        classes
            .iter()
            .zip(inputs)
            .enumerate()
            .filter_map(misfit)
            .collect()
    }

    /// Count the elements that an expression over weights computes. Reports a problem when the sum first becomes too
    /// large.
    fn compute(&mut self, value: Value) -> Option<String> {
        let ty = self.editor.graph().ty(value);
        let Some(left) = self.computable.checked_sub(ty.elements(StepSize::ONE)) else {
            self.computable = usize::MAX;
            return Some(format!(
                "{ty} is too large: a value that is computed from weights may have at most {COMPUTED_FACTOR} times as many elements as the weights"
            ));
        };
        self.computable = left;
        None
    }

    /// Checks that an output is a value that a step leaves in the arena as f32.
    fn output(&mut self, name: &str, position: Position, value: Value) {
        let graph = self.editor.graph();
        let ty = graph.ty(value);
        let message = if self.classes.get(value) != Some(&Class::Activation) {
            format!("output \"{name}\" does not depend on the tokens")
        } else if ty.dtype != DType::F32 || graph.node(value.node).op().is_none() {
            format!("output \"{name}\" must be computed floats, found {ty}")
        } else {
            return;
        };
        self.problems.push(Problem::new(position, message));
    }

    fn op(&self, node: &FlatNode) -> Result<Op, Vec<String>> {
        if &*node.op == "Activation" {
            return match (&node.positional, node.attributes.is_empty()) {
                (Some(Setting::Str(name)), true) => {
                    named_activation(name).map_err(|problem| vec![problem])
                }
                (given, _) => {
                    let given = given
                        .as_ref()
                        .map_or(String::new(), |value| format!(", found {}", value.kind()));
                    Err(vec![format!(
                        "Activation takes the function's name, Activation(\"act\"){given}"
                    )])
                }
            };
        }
        let mut given: SmallVec<[(&str, Attribute); 8]> = SmallVec::new();
        let mut problems = Vec::new();
        if node.positional.is_some() {
            problems.push(format!(
                "{}: expected named attributes, found a value without a name",
                node.op
            ));
        }
        for attribute in &node.attributes {
            match attribute_value(&attribute.value) {
                Some(value) => given.push((&*attribute.name, value)),
                None => problems.push(format!(
                    "{}: attribute '{}' can't be {}",
                    node.op,
                    attribute.name,
                    attribute.value.kind()
                )),
            }
        }
        match Op::new(&node.op, &given) {
            Ok(op) if problems.is_empty() => Ok(op),
            Ok(_) => Err(problems),
            Err(more) => Err(problems.into_iter().chain(more).collect()),
        }
    }
}

/// What is wrong with a value of this type, if it is larger than kernels support or larger than any sensible graph needs.
fn too_large(ty: &Type, class: Class) -> Option<String> {
    if class == Class::Activation && ty.shape.len() > MAX_RANK {
        return Some(format!(
            "expected a value of at most {MAX_RANK} dimensions, found {ty}"
        ));
    }
    (ty.elements(StepSize::ONE) > MOST_ELEMENTS)
        .then(|| format!("expected a value of at most {MOST_ELEMENTS} elements, found {ty}"))
}

/// A number as a literal of the graph; the error says why it can't be a literal.
pub(crate) fn literal(value: &Setting) -> Result<Literal, String> {
    match value {
        Setting::Int(n) => i32::try_from(*n)
            .map(Literal::Int)
            .map_err(|_| format!("{n} is too large for a literal")),
        Setting::Float(x) => Ok(Literal::Float(*x)),
        other => Err(format!(
            "a literal must be a number, found {}",
            other.kind()
        )),
    }
}

/// A setting as an attribute; `None` if no attribute can have such a value.
pub(crate) fn attribute_value(value: &Setting) -> Option<Attribute> {
    Some(match value {
        Setting::Null => Attribute::Absent,
        Setting::Int(n) => Attribute::Int(*n),
        Setting::Float(x) => Attribute::Float(*x),
        Setting::Bool(b) => Attribute::Bool(*b),
        Setting::Str(text) => Attribute::Text(text.clone().into()),
        Setting::List(items) => {
            Attribute::Ints(items.iter().map(Setting::as_int).collect::<Option<_>>()?)
        }
        Setting::Record(_) => return None,
    })
}
