//! Turns a graph file and a model's parameters into a flat list of nodes: Repeats are unrolled, Ifs decided, attributes
//! computed and names made unique.
//!
//! A node that binds "x" in iteration 3 of `Repeat("layer", …)` is named "layer.3/x", or "layer.3/x#2" if that name is taken;
//! outside a Repeat the names are "x" and "x#2". Names written in this form stay unchanged, so that a dump loads again.

mod weights;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use super::ast::{
    Argument, ArgumentKind, Formula, ModelFile, Node, Operand, OperandKind, Output, Statement,
};
use super::parameters::ParameterSource;
use super::resolve::{Parameters, argument, formula};
use super::weight_table::{Variable, WeightTable};
use crate::graph::{Input, Name};
use crate::language::diagnostics::{Position, Problem, Problems, unknown};
use crate::language::evaluate::{Failure, Scope};
use crate::language::value::Value;

/// A graph file for one model: everything is computed except the meaning of the ops.
#[derive(Debug, Clone, PartialEq)]
pub struct Expanded {
    /// Every parameter.
    pub params: BTreeMap<String, Value>,
    /// The weights that nodes read, once each, in the order of their first reader.
    pub weights: Vec<FlatWeight>,
    /// The nodes; each reads only graph inputs, weights and nodes before it.
    pub nodes: Vec<FlatNode>,
    /// What the model returns.
    pub outputs: Vec<FlatOutput>,
    /// Tensors of the weight file that need no reader; `*` stands for any text.
    pub ignore: Vec<String>,
    /// Prefixes that the weight file may put before every tensor's name.
    pub prefixes: Vec<String>,
    /// Names, as they are written, of nodes that may stay without a reader.
    pub unread: Vec<Output>,
}

/// A weight that some node reads. Only for optional weights and weights with an `or` is it certain that the file has the tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct FlatWeight {
    /// Its unique name: "layer.3/q", "embed".
    pub name: Name,
    /// Its shape, each at least 1 and at most 2^31, together at most 2^40 elements.
    pub dims: Vec<i64>,
    /// Its tensor's name in the file, without prefix.
    pub tensor: String,
    /// Whether the file may lack it.
    pub optional: bool,
    /// The declared name of the weight that would have stood in for it, whole or with some of its rows.
    pub or: Option<String>,
    /// Why none of the weights that may stand in for it does.
    pub withheld: Option<String>,
    /// Where it is declared.
    pub position: Position,
    /// The name of the tensor of a GGUF file that is made from its tensor; a weight that stands in for another and has no such
    /// name uses the other's. `None` unless a GGUF file is made.
    pub gguf: Option<String>,
    /// What is done to its tensor to make the tensor of a GGUF file. Empty unless a GGUF file is made.
    pub to_gguf: Vec<FlatStep>,
}

/// What is done to a tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct FlatStep {
    /// The op, whose first input is the tensor.
    pub op: Name,
    /// The op's second input, a number.
    pub operand: Option<Value>,
    /// The attributes with names.
    pub attributes: Vec<FlatAttribute>,
    /// Where it is in the file.
    pub position: Position,
}

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub struct FlatNode {
    /// The unique names of its outputs.
    pub names: SmallVec<[Name; 1]>,
    /// The names of its outputs in the graph file.
    pub written: Arc<[String]>,
    /// Its op.
    pub op: Name,
    /// The attribute without a name.
    pub positional: Option<Value>,
    /// The attributes with names.
    pub attributes: Vec<FlatAttribute>,
    /// Its inputs.
    pub inputs: Vec<FlatInput>,
    /// Where it is in the file.
    pub position: Position,
}

/// An attribute of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct FlatAttribute {
    /// Its name.
    pub name: Name,
    /// Its value.
    pub value: Value,
    /// Where the value is in the file.
    pub position: Position,
}

/// An input of a node.
#[derive(Debug, Clone, PartialEq)]
pub enum FlatInput {
    /// The unique name of a node's output, or a graph input.
    Value(Name),
    /// The unique name of a weight.
    Weight(Name),
    /// An integer or float.
    Literal(Value),
    /// An optional input left out.
    Absent,
    /// The unique name of an optional weight that the file lacks.
    Missing(String),
}

/// Something that the model returns.
#[derive(Debug, Clone, PartialEq)]
pub struct FlatOutput {
    /// Its name in the graph file.
    pub name: String,
    /// The unique name of the node's output or graph input.
    pub value: Name,
    /// Where it is in the file.
    pub position: Position,
}

/// The most iterations of one Repeat.
const MOST_ITERATIONS: i64 = 4096;
/// The most nodes after expansion: 64 in each of [`MOST_ITERATIONS`]. The largest published models have a hundredth of this;
/// a graph of this size compiles in seconds.
const MOST_NODES: usize = 1 << 18;
/// The most visited statements, inputs and attribute values together.
const MOST_WORK: usize = 4_000_000;

/// Expands a graph file for one model. `has` says whether the weight file has a tensor, under any prefix; it decides
/// optional weights, `or`, and `has(…)` in expressions. A required weight that the file lacks is not reported here.
pub fn expand(
    file: &ModelFile,
    source: &dyn ParameterSource,
    has: &dyn Fn(&str) -> bool,
) -> Result<Expanded, Problems> {
    expand_to(file, source, has, false)
}

/// The same; with `converts`, also with the steps that turn tensors into the tensors of a GGUF file.
pub(crate) fn expand_to(
    file: &ModelFile,
    source: &dyn ParameterSource,
    has: &dyn Fn(&str) -> bool,
    converts: bool,
) -> Result<Expanded, Problems> {
    let weights = WeightTable::new(&file.weights, source.kind(), has);
    let parameters = Parameters::new(file, source, &weights);
    let params = parameters.all();
    let mut expander = Expander {
        parameters: &parameters,
        weights: &weights,
        converts,
        variables: Vec::new(),
        prefix: String::new(),
        bindings: FxHashMap::default(),
        taken: FxHashMap::default(),
        listed: FxHashSet::default(),
        work: 0,
        complained: FxHashSet::default(),
        problems: parameters.take_problems(),
        flat_weights: Vec::new(),
        nodes: Vec::new(),
    };
    for name in Input::ALL.map(Input::name) {
        expander.bindings.insert(name.to_owned(), name.into());
        expander.taken.insert(name.into(), 2);
    }
    for requirement in &file.require {
        if expander.condition(&requirement.condition) == Some(false) {
            let (position, why) = (requirement.condition.position, &requirement.why);
            let text = &requirement.condition.text;
            expander.problem(position, format!("{why} (\"{text}\" does not hold)"));
        }
    }
    let outputs = match expander.statements(&file.nodes) {
        Ok(()) => expander.outputs(file),
        Err(Stopped) => Vec::new(),
    };
    let Expander {
        problems,
        flat_weights,
        nodes,
        ..
    } = expander;
    let expanded = Expanded {
        params: params
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        weights: flat_weights,
        nodes,
        outputs,
        ignore: file.ignore.clone(),
        prefixes: file.prefixes.clone(),
        unread: file.unread.clone(),
    };
    Problems::check(&file.file, problems, expanded)
}

/// The file asks for more than any sensible file would; the problem has been noted.
struct Stopped;

struct Expander<'a> {
    parameters: &'a Parameters<'a>,
    weights: &'a WeightTable<'a>,
    /// Whether tensors of a GGUF file are to be made.
    converts: bool,
    variables: Vec<Variable>,
    /// The variables as written before names: "layer.3/".
    prefix: String,
    /// From names as written to unique names, the newest binding of each.
    bindings: FxHashMap<String, Name>,
    /// Unique names that are taken, each with the number to try when the name is wanted again.
    taken: FxHashMap<Name, usize>,
    /// Unique names of the weights in `flat_weights`, and of weights that are rows of one.
    listed: FxHashSet<Name>,
    work: usize,
    /// Places with a problem: a mistake in a Repeat is reported once.
    complained: FxHashSet<Position>,
    problems: Vec<Problem>,
    flat_weights: Vec<FlatWeight>,
    nodes: Vec<FlatNode>,
}

/// Parameters, and the variables of the enclosing Repeats.
struct Iteration<'a> {
    parameters: &'a Parameters<'a>,
    weights: &'a WeightTable<'a>,
    variables: &'a [Variable],
}

impl Scope for Iteration<'_> {
    fn value(&self, name: &str) -> Result<Option<&Value>, Failure> {
        match self.variables.iter().find(|variable| variable.name == name) {
            Some(variable) => Ok(Some(&variable.value)),
            None => self.parameters.value(name),
        }
    }

    fn has(&self, weight: &str) -> Result<bool, String> {
        self.weights.present(weight, self.variables)
    }

    fn names(&self) -> Vec<&str> {
        let variables = self.variables.iter().map(|variable| variable.name.as_str());
        variables.chain(self.parameters.names()).collect()
    }
}

/// A value that is not what it should be, and the expression that computed it.
fn found(value: &Value, written: &Argument) -> String {
    let value = match value {
        Value::List(_) | Value::Record(_) => value.kind().to_owned(),
        Value::Str(text) if text.len() > 100 => "a long string".to_owned(),
        value => value.to_string(),
    };
    match &written.kind {
        ArgumentKind::Formula(formula) => format!("{value} in \"{}\"", formula.text),
        _ => value,
    }
}

impl Expander<'_> {
    fn scope(&self) -> Iteration<'_> {
        Iteration {
            parameters: self.parameters,
            weights: self.weights,
            variables: &self.variables,
        }
    }

    fn report(&mut self, problem: Problem) {
        let position = Position {
            line: problem.line,
            column: problem.column,
        };
        if self.complained.insert(position) {
            self.problems.push(problem);
        }
    }

    fn problem(&mut self, position: Position, message: impl Into<String>) {
        self.report(Problem::new(position, message));
    }

    fn spend(&mut self, work: usize, position: Position) -> Result<(), Stopped> {
        self.work = self.work.saturating_add(work);
        if self.work > MOST_WORK {
            self.problem(
                position,
                format!("the graph has more than {MOST_WORK} nodes, inputs and attributes"),
            );
            return Err(Stopped);
        }
        Ok(())
    }

    /// A condition's value; none if a problem was noted.
    fn condition(&mut self, condition: &Formula) -> Option<bool> {
        match formula(condition, &self.scope()) {
            Ok(Value::Bool(value)) => Some(value),
            Ok(other) => {
                let text = &condition.text;
                let message = format!("\"{text}\" must be true or false, found {}", other.kind());
                self.problem(condition.position, message);
                None
            }
            Err(problem) => {
                problem.into_iter().for_each(|problem| self.report(problem));
                None
            }
        }
    }

    fn statements(&mut self, statements: &[Statement]) -> Result<(), Stopped> {
        for statement in statements {
            match statement {
                Statement::Node(node) => self.node(node)?,
                Statement::If { condition, yes, no } => {
                    self.spend(1, condition.position)?;
                    match self.condition(condition) {
                        Some(true) => self.statements(yes)?,
                        Some(false) => self.statements(no)?,
                        None => [yes, no].into_iter().for_each(|arm| self.bind_all(arm)),
                    }
                }
                Statement::Repeat {
                    position,
                    variable,
                    count,
                    body,
                } => {
                    let written = count;
                    let count = match argument(written, &self.scope()) {
                        Ok(Value::Int(count @ 0..=MOST_ITERATIONS)) => count,
                        Ok(other) => {
                            let message = format!(
                                "Repeat needs an integer from 0 to {MOST_ITERATIONS}, found {}",
                                found(&other, written)
                            );
                            self.problem(written.position, message);
                            self.bind_all(body);
                            0
                        }
                        Err(problem) => {
                            problem.into_iter().for_each(|problem| self.report(problem));
                            self.bind_all(body);
                            0
                        }
                    };
                    for index in 0..count {
                        self.spend(1, *position)?;
                        let outside = self.prefix.len();
                        self.prefix.push_str(&format!("{variable}.{index}/"));
                        self.variables.push(Variable {
                            name: variable.clone(),
                            value: Value::Int(index),
                        });
                        let result = self.statements(body);
                        self.variables.pop();
                        self.prefix.truncate(outside);
                        result?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Binds every name in statements that could not be read because of a problem, so that their readers are not reported too.
    fn bind_all(&mut self, statements: &[Statement]) {
        for statement in statements {
            match statement {
                Statement::Node(node) => node.names.iter().for_each(|name| {
                    self.bind(name);
                }),
                Statement::If { yes, no, .. } => {
                    self.bind_all(yes);
                    self.bind_all(no);
                }
                Statement::Repeat { body, .. } => self.bind_all(body),
            }
        }
    }

    fn node(&mut self, node: &Node) -> Result<(), Stopped> {
        let mut values: SmallVec<[Option<Value>; 4]> = SmallVec::new();
        for argument in node
            .positional
            .iter()
            .chain(node.attributes.iter().map(|(_, value)| value))
        {
            values.push(self.attribute(node, argument));
        }
        let size = values
            .iter()
            .flatten()
            .map(|value| value.measure().0)
            .sum::<usize>();
        self.spend(
            1 + node.names.len() + node.inputs.len() + size,
            node.position,
        )?;
        if self.nodes.len() >= MOST_NODES {
            self.problem(
                node.position,
                format!("the graph has more than {MOST_NODES} nodes"),
            );
            return Err(Stopped);
        }
        let mut values = values.into_iter();
        let positional = node
            .positional
            .as_ref()
            .and_then(|_| values.next().flatten());
        let attributes =
            node.attributes
                .iter()
                .zip(values)
                .filter_map(|((name, argument), value)| {
                    Some(FlatAttribute {
                        name: name.clone(),
                        value: value?,
                        position: argument.position,
                    })
                });
        let attributes = attributes.collect();
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for operand in &node.inputs {
            inputs.extend(self.input(node, operand)?);
        }
        let names = node.names.iter().map(|name| self.bind(name)).collect();
        self.nodes.push(FlatNode {
            names,
            written: node.names.clone(),
            op: node.op.clone(),
            positional,
            attributes,
            inputs,
            position: node.position,
        });
        Ok(())
    }

    /// The node's name in messages: the unique name it has or would have at its first binding.
    fn of(&self, node: &Node, problem: Problem) -> Problem {
        let name = node.names.first().map_or("", String::as_str);
        problem.of(format!("{}{name}", self.prefix))
    }

    fn complain(&mut self, node: &Node, position: Position, message: impl Into<String>) {
        let problem = self.of(node, Problem::new(position, message));
        self.report(problem);
    }

    fn attribute(&mut self, node: &Node, value: &Argument) -> Option<Value> {
        match argument(value, &self.scope()) {
            Ok(value) => Some(value),
            Err(problem) => {
                if let Some(problem) = problem {
                    let problem = self.of(node, problem);
                    self.report(problem);
                }
                None
            }
        }
    }

    fn input(&mut self, node: &Node, operand: &Operand) -> Result<Option<FlatInput>, Stopped> {
        let name = match &operand.kind {
            OperandKind::Absent => return Ok(Some(FlatInput::Absent)),
            OperandKind::Literal(literal) => {
                return Ok(match self.attribute(node, literal) {
                    Some(value @ (Value::Int(_) | Value::Float(_))) => {
                        Some(FlatInput::Literal(value))
                    }
                    Some(other) => {
                        let message = format!("a literal must be a number, found {}", other.kind());
                        self.complain(node, operand.position, message);
                        None
                    }
                    None => None,
                });
            }
            OperandKind::Name(name) => name,
        };
        if let Some(canonical) = self.bindings.get(name) {
            return Ok(Some(FlatInput::Value(canonical.clone())));
        }
        if let Some(weight) = self.weights.get(name) {
            return self.weight(node, operand, weight);
        }
        let message = self.unknown(name);
        self.complain(node, operand.position, message);
        Ok(None)
    }

    fn unknown(&self, name: &str) -> String {
        let mut candidates: Vec<&str> = self.bindings.keys().map(String::as_str).collect();
        candidates.extend(self.weights.names());
        candidates.sort_unstable();
        unknown("name", name, candidates)
    }

    /// Gives `name` its newest meaning: a unique name, which is returned.
    fn bind(&mut self, name: &str) -> Name {
        let mut text = format!("{}{name}", self.prefix);
        let length = text.len();
        let first = self.taken.get(text.as_str()).copied().unwrap_or(2);
        let mut number = first;
        while self.taken.contains_key(text.as_str()) || self.is_weight(&text) {
            text.truncate(length);
            // Writing into a string can't fail.
            let _ = write!(text, "#{number}");
            number += 1;
        }
        let unique: Name = text.as_str().into();
        if number > first {
            self.taken.insert(text[..length].into(), number);
        }
        self.taken.entry(unique.clone()).or_insert(2);
        match self.bindings.get_mut(name) {
            Some(newest) => *newest = unique.clone(),
            None => {
                self.bindings.insert(name.to_owned(), unique.clone());
            }
        }
        unique
    }

    fn is_weight(&self, unique: &str) -> bool {
        let inside = unique.strip_prefix(&self.prefix).unwrap_or(unique);
        self.weights.takes(&[], unique) || self.weights.takes(&self.variables, inside)
    }

    fn outputs(&mut self, file: &ModelFile) -> Vec<FlatOutput> {
        let mut outputs = Vec::with_capacity(file.outputs.len());
        for output in &file.outputs {
            let position = output.position;
            match self.bindings.get(&output.name) {
                Some(value) => outputs.push(FlatOutput {
                    name: output.name.clone(),
                    value: value.clone(),
                    position,
                }),
                None => {
                    let name = &output.name;
                    let message = match self.weights.get(name) {
                        Some(_) => {
                            format!("'{name}' is a weight; an output must depend on the tokens")
                        }
                        None => self.unknown(name),
                    };
                    self.problem(position, message);
                }
            }
        }
        outputs
    }
}
