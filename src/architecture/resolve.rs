//! A graph file's parameters, computed when first asked for.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;

use super::ast::{Argument, ArgumentKind, Definition, Formula, ModelFile, Param};
use super::parameters::{ParameterSource, SourceKind};
use super::syntax::PREDEFINED;
use super::weight_table::WeightTable;
use crate::language::diagnostics::Problem;
use crate::language::evaluate::{Failure, Scope};
use crate::language::value::Value;

/// How many parameters may wait for each other.
const DEEPEST_CHAIN: usize = 16;
/// How many scalars all parameters may hold together.
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
                        "a list that fills the memory",
                    )));
                }
                values.push(value);
            }
            Value::list(values).map_err(|message| Some(Problem::new(argument.position, message)))
        }
    }
}

pub(crate) struct Parameters<'a> {
    params: &'a [Param],
    source: &'a dyn ParameterSource,
    weights: &'a WeightTable<'a>,
    index: HashMap<&'a str, usize>,
    /// Each parameter's value, none if a problem was noted instead; unset until asked for.
    cells: Vec<OnceCell<Option<Value>>>,
    predefined: [Value; 4],
    /// The parameters being computed, each asked for by the one before.
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
                hf, gguf, default, ..
            } => {
                let paths = match self.source.kind() {
                    SourceKind::Hf => hf.clone(),
                    SourceKind::Gguf => self.with_architecture(param, gguf)?,
                };
                for path in &paths {
                    match self.source.get(path) {
                        None | Some(Value::Null) => {}
                        Some(value) => return Some(value),
                    }
                }
                match default {
                    Some(default) => default,
                    None => {
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

    fn with_architecture(&self, param: &Param, paths: &[String]) -> Option<Vec<String>> {
        const HOLE: &str = "{arch}";
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
                    format!("{from} has no text 'general.architecture' for {HOLE}"),
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
                    format!("parameters need each other: {}", names.join(" → ")),
                );
                return Err(Failure::Elsewhere);
            }
            if active.len() >= DEEPEST_CHAIN {
                self.note(
                    param,
                    format!("more than {DEEPEST_CHAIN} parameters need each other in a row"),
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
