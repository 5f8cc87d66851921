//! A graph file's parameters, each computed when it is first asked for.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, HashSet};

use super::ast::{Argument, ArgumentKind, Definition, Formula, ModelFile, Param};
use super::parameters::{ParameterSource, SourceKind};
use super::syntax::PREDEFINED;
use super::used::{ARCHITECTURE, taken_apart};
use super::weight_table::WeightTable;
use crate::language::diagnostics::Problem;
use crate::language::evaluate::{Failure, Scope};
use crate::language::value::Value;

/// How many parameters may wait for each other.
const DEEPEST_CHAIN: usize = 16;
/// How many scalars all parameters together may contain.
const LARGEST_TOTAL: usize = 1 << 22;

/// A formula's value; the error is none if it is reported elsewhere.
pub(crate) fn formula(formula: &Formula, scope: &dyn Scope) -> Result<Value, Option<Problem>> {
    formula
        .expression
        .evaluate(scope)
        .map_err(|failure| match failure {
            Failure::Elsewhere => None,
            Failure::Here(error) => {
                let text = &formula.text;
                let position = formula.position.advance(text, error.offset);
                Some(Problem::new(
                    position,
                    format!("{} in \"{text}\"", error.message),
                ))
            }
        })
}

/// An argument's value; the error is none if it is reported elsewhere.
pub(crate) fn argument(argument: &Argument, scope: &dyn Scope) -> Result<Value, Option<Problem>> {
    match &argument.kind {
        ArgumentKind::Constant(value) => Ok(value.clone()),
        ArgumentKind::Formula(text) => formula(text, scope),
        ArgumentKind::List(items) => {
            let mut values = Vec::with_capacity(items.len());
            let mut total = 0_usize;
            for item in items {
                let value = self::argument(item, scope)?;
                total = total.saturating_add(value.measure().0);
                if total > LARGEST_TOTAL {
                    return Err(Some(Problem::new(
                        argument.position,
                        format!("the list holds more than {LARGEST_TOTAL} values"),
                    )));
                }
                values.push(value);
            }
            Value::list(values).map_err(|message| Some(Problem::new(argument.position, message)))
        }
    }
}

/// Whether a value depends on no name.
fn is_constant(argument: &Argument) -> bool {
    match &argument.kind {
        ArgumentKind::Constant(_) => true,
        ArgumentKind::Formula(formula) => formula.expression.references().is_empty(),
        ArgumentKind::List(items) => items.iter().all(is_constant),
    }
}

/// The number or boolean that a list repeats, or else the list.
fn one_of_equal(items: Vec<Value>) -> Value {
    match items.first() {
        Some(first @ (Value::Int(_) | Value::Float(_) | Value::Bool(_)))
            if items.iter().all(|item| item == first) =>
        {
            first.clone()
        }
        _ => Value::List(items),
    }
}

/// Whether a value of `value`'s kind can't be right where a value of `wanted`'s kind is expected.
fn is_impossible(value: &Value, wanted: &Value) -> bool {
    let kind = |value: &Value| match value {
        Value::Bool(_) => Some(0),
        Value::Int(_) | Value::Float(_) => Some(1),
        Value::Str(_) => Some(2),
        Value::Null | Value::List(_) | Value::Record(_) => None,
    };
    match (kind(value), kind(wanted)) {
        (Some(value), Some(wanted)) => value != wanted,
        _ => false,
    }
}

pub(crate) struct Parameters<'a> {
    params: &'a [Param],
    source: &'a dyn ParameterSource,
    weights: &'a WeightTable<'a>,
    index: HashMap<&'a str, usize>,
    /// The parameters that are lists or records.
    taken_apart: HashSet<String>,
    /// Each parameter's value, `None` if a problem was noted instead; unset until it is asked for.
    cells: Vec<OnceCell<Option<Value>>>,
    predefined: [Value; 4],
    /// The parameters being computed, each asked for by the previous one.
    active: RefCell<Vec<usize>>,
    /// Scalars in all values so far.
    total: Cell<usize>,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Parameters<'a> {
    pub fn new(
        file: &'a ModelFile,
        source: &'a dyn ParameterSource,
        weights: &'a WeightTable<'a>,
    ) -> Self {
        let names = file.params.iter().enumerate();
        Parameters {
            params: &file.params,
            source,
            weights,
            index: names
                .map(|(index, param)| (param.name.as_str(), index))
                .collect(),
            taken_apart: taken_apart(file),
            cells: file.params.iter().map(|_| OnceCell::new()).collect(),
            predefined: [
                Value::Str(source.kind().name().to_owned()),
                Value::Str("T".to_owned()),
                Value::Str("S".to_owned()),
                Value::Null,
            ],
            active: RefCell::default(),
            total: Cell::new(0),
            problems: RefCell::default(),
        }
    }

    /// Every parameter that has a value, all computed.
    pub fn all(&self) -> Vec<(&'a str, Value)> {
        let mut values = Vec::with_capacity(self.params.len());
        for param in self.params {
            if let Ok(Some(value)) = self.value(&param.name) {
                values.push((param.name.as_str(), value.clone()));
            }
        }
        values
    }

    /// The problems noted since the last call.
    pub fn take_problems(&self) -> Vec<Problem> {
        self.problems.take()
    }

    fn note(&self, param: &Param, message: String) {
        let problem = Problem::new(param.position, message).about("parameter", &param.name);
        self.problems.borrow_mut().push(problem);
    }

    /// The parameter's value; none if a problem was noted here or elsewhere.
    fn compute(&self, param: &Param) -> Option<Value> {
        let given = match &param.definition {
            Definition::Given(given) => given,
            Definition::Key {
                hf,
                gguf,
                default,
                null,
                ..
            } => {
                let paths = match self.source.kind() {
                    SourceKind::Hf => hf.clone(),
                    SourceKind::Gguf => self.with_architecture(param, gguf)?,
                };
                let mut is_null = None;
                for path in &paths {
                    match self.source.get(path) {
                        None => {}
                        Some(Value::Null) => is_null = is_null.or(Some(path)),
                        Some(value) => return self.fitting(param, path, value, default.as_ref()),
                    }
                }
                match (is_null, null, default) {
                    (Some(_), Some(null), _) => null,
                    (Some(path), None, _) => {
                        let from = self.source.describe();
                        let message = format!(
                            "'{path}' is null in {from}, and the parameter does not say what null means: add 'null: …' (the default counts only where the key is absent)"
                        );
                        self.note(param, message);
                        return None;
                    }
                    (None, _, Some(default)) => default,
                    (None, _, None) => {
                        let from = self.source.describe();
                        let tried = match paths.is_empty() {
                            true => format!("no '{}' path", self.source.kind().name()),
                            false => format!("none of '{}' is there", paths.join("', '")),
                        };
                        let message = format!("no value in {from}: {tried}, and it has no default");
                        self.note(param, message);
                        return None;
                    }
                }
            }
        };
        match argument(given, self) {
            Ok(value) => Some(value),
            Err(problem) => {
                let problem = problem.map(|problem| problem.about("parameter", &param.name));
                self.problems.borrow_mut().extend(problem);
                None
            }
        }
    }

    /// The value at a path, in the type that the parameter wants. GGUF files write numbers and booleans in types of their own
    /// choice, and may write a number that is the same for the whole model once for each layer. The default tells the type if
    /// it is a constant.
    fn fitting(
        &self,
        param: &Param,
        path: &str,
        value: Value,
        default: Option<&Argument>,
    ) -> Option<Value> {
        if self.source.kind() != SourceKind::Gguf {
            return Some(value);
        }
        let value = match value {
            Value::List(items) if !self.taken_apart.contains(&param.name) => one_of_equal(items),
            value => value,
        };
        let default = default.filter(|default| is_constant(default));
        let wanted = default.and_then(|default| argument(default, self).ok());
        match (value, wanted) {
            (Value::Int(0), Some(Value::Bool(_))) => Some(Value::Bool(false)),
            (Value::Int(1), Some(Value::Bool(_))) => Some(Value::Bool(true)),
            (Value::Bool(value), Some(Value::Int(_))) => Some(Value::Int(value.into())),
            (value, Some(wanted)) if is_impossible(&value, &wanted) => {
                let (from, found, wanted) = (self.source.describe(), value.kind(), wanted.kind());
                self.note(
                    param,
                    format!("'{path}' is {found} in {from}, expected {wanted}"),
                );
                None
            }
            (value, _) => Some(value),
        }
    }

    /// The part of the configuration that decides a parameter's value; `None` if the configuration does not decide it.
    pub fn origin(&self, name: &str) -> Option<String> {
        let param = self.params.get(*self.index.get(name)?)?;
        let Definition::Key { hf, gguf, .. } = &param.definition else {
            return None;
        };
        let paths = match self.source.kind() {
            SourceKind::Hf => hf.clone(),
            SourceKind::Gguf => self.with_architecture(param, gguf)?,
        };
        let from = self.source.describe();
        let said = paths
            .iter()
            .find_map(|path| Some((path, self.source.get(path)?)));
        match said {
            Some((path, value)) => Some(format!("{from} says {path} is {value}")),
            None => {
                let value = self.value(name).ok()??;
                Some(format!(
                    "{from} has no {}, which means {value}",
                    paths.first()?
                ))
            }
        }
    }

    fn with_architecture(&self, param: &Param, paths: &[String]) -> Option<Vec<String>> {
        const HOLE: &str = ARCHITECTURE;
        if !paths.iter().any(|path| path.contains(HOLE)) {
            return Some(paths.to_vec());
        }
        match self.source.get("general.architecture") {
            Some(Value::Str(name)) => {
                Some(paths.iter().map(|path| path.replace(HOLE, &name)).collect())
            }
            _ => {
                let from = self.source.describe();
                self.note(
                    param,
                    format!("{from} does not say which text stands for {HOLE}: 'general.architecture' is missing or is not a text"),
                );
                None
            }
        }
    }
}

impl Scope for Parameters<'_> {
    fn value(&self, name: &str) -> Result<Option<&Value>, Failure> {
        if let Some(at) = PREDEFINED.iter().position(|known| *known == name) {
            return Ok(self.predefined.get(at));
        }
        let found = self.index.get(name).copied();
        let Some((index, param, cell)) =
            found.and_then(|index| Some((index, self.params.get(index)?, self.cells.get(index)?)))
        else {
            return Ok(None);
        };
        if cell.get().is_none() {
            let active = self.active.borrow().clone();
            if let Some(start) = active.iter().position(|known| *known == index) {
                let cycle = active.iter().skip(start).chain([&index]);
                let names: Vec<_> = cycle
                    .filter_map(|index| Some(self.params.get(*index)?.name.as_str()))
                    .collect();
                self.note(
                    param,
                    format!("parameters depend on each other: {}", names.join(" → ")),
                );
                return Err(Failure::Elsewhere);
            }
            if active.len() >= DEEPEST_CHAIN {
                self.note(
                    param,
                    format!("a chain of more than {DEEPEST_CHAIN} parameters, each of which depends on the next"),
                );
                return Err(Failure::Elsewhere);
            }
            self.active.borrow_mut().push(index);
            let mut value = self.compute(param);
            self.active.borrow_mut().pop();
            let total = self.total.get() + value.as_ref().map_or(0, |value| value.measure().0);
            self.total.set(total);
            if total > LARGEST_TOTAL && value.take().is_some() {
                self.note(
                    param,
                    format!("the parameters hold more than {LARGEST_TOTAL} values"),
                );
            }
            // Only this call sets the cell: a second one inside `compute` would have found the cycle.
            let _ = cell.set(value);
        }
        match cell.get() {
            Some(Some(value)) => Ok(Some(value)),
            _ => Err(Failure::Elsewhere),
        }
    }

    fn has(&self, weight: &str) -> Result<bool, String> {
        self.weights.present(weight, &[])
    }

    fn names(&self) -> Vec<&str> {
        self.index.keys().copied().chain(PREDEFINED).collect()
    }
}
