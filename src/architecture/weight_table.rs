//! The weights that a graph file declares: their names in each iteration, their tensors, and what stands in for a missing
//! tensor.

use std::fmt::Write;

use rustc_hash::FxHashMap;

use super::ast::{Alternative, Argument, Template, WeightDeclaration};
use super::parameters::SourceKind;
use crate::language::diagnostics::{Problem, unknown};
use crate::language::value::Value;

/// A Repeat that encloses the statement being expanded.
#[derive(Debug, Clone)]
pub(crate) struct Variable {
    pub name: String,
    /// The iteration, from 0; an integer.
    pub value: Value,
}

/// What a weight's name refers to in one iteration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found<'a> {
    /// The weight itself, or the one that stands in for it.
    pub declaration: &'a WeightDeclaration,
    /// The name of its tensor, without prefix.
    pub tensor: String,
    /// The rows, if only some of its rows are meant.
    pub rows: Option<Rows<'a>>,
    /// If it is missing: what would stand in for it if a condition were true.
    pub withheld: Option<&'a Alternative>,
}

impl<'a> Found<'a> {
    fn whole(declaration: &'a WeightDeclaration, tensor: String) -> Found<'a> {
        Found {
            declaration,
            tensor,
            rows: None,
            withheld: None,
        }
    }
}

/// Why nothing is known about a weight.
#[derive(Debug)]
pub(crate) enum Unresolved {
    /// What is wrong, to be reported where the weight is read.
    Reader(String),
    /// A condition has no value; `None` if that is reported elsewhere.
    Condition(Option<Problem>),
}

impl From<String> for Unresolved {
    fn from(message: String) -> Self {
        Unresolved::Reader(message)
    }
}

impl From<Option<Problem>> for Unresolved {
    fn from(problem: Option<Problem>) -> Self {
        Unresolved::Condition(problem)
    }
}

/// Bytes that nearly all names fit in, so that they are written without growing.
const USUAL_NAME: usize = 64;

/// A weight that is rows of another one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rows<'a> {
    /// The weight, whose shape tells the number of rows.
    pub weight: &'a WeightDeclaration,
    /// The index of the first row in the other weight.
    pub first: &'a Argument,
}

pub(crate) struct WeightTable<'a> {
    by_name: FxHashMap<&'a str, &'a WeightDeclaration>,
    /// The variables of each weight, by the rest of its name.
    variables: FxHashMap<&'a str, Vec<&'a [String]>>,
    kind: SourceKind,
    /// Whether the weight file has the tensor.
    has: &'a dyn Fn(&str) -> bool,
}

impl<'a> WeightTable<'a> {
    pub fn new(
        declarations: &'a [WeightDeclaration],
        kind: SourceKind,
        has: &'a dyn Fn(&str) -> bool,
    ) -> Self {
        let by_name = declarations
            .iter()
            .map(|weight| (weight.name.as_str(), weight));
        let mut variables: FxHashMap<&str, Vec<&[String]>> = FxHashMap::default();
        for weight in declarations {
            let named = variables.entry(&weight.rest).or_default();
            named.push(&weight.variables);
        }
        WeightTable {
            by_name: by_name.collect(),
            variables,
            kind,
            has,
        }
    }

    /// The weight declared under a name.
    pub fn get(&self, name: &str) -> Option<&'a WeightDeclaration> {
        self.by_name.get(name).copied()
    }

    /// All declared names.
    pub fn names(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.by_name.keys().copied()
    }

    /// Whether `rest`, with the prefix of the iteration of these variables, is a weight's canonical name.
    pub fn takes(&self, variables: &[Variable], rest: &str) -> bool {
        let names = || variables.iter().map(|variable| &variable.name);
        let mut known = self.variables.get(rest).into_iter().flatten();
        known.any(|known| known.iter().eq(names()))
    }

    /// The weight's unique name: "layer.3/q" for "layer.q" in iteration 3, "embed" for "embed".
    pub fn canonical(
        &self,
        weight: &WeightDeclaration,
        variables: &[Variable],
    ) -> Result<String, String> {
        let mut name = String::with_capacity(USUAL_NAME);
        for variable in &weight.variables {
            let value = lookup(weight, variable, variables)?;
            // Writing into a string can't fail.
            let _ = write!(name, "{variable}.{value}/");
        }
        name.push_str(&weight.rest);
        Ok(name)
    }

    /// Whether the weight file has the weight's own tensor, or the tensor that contains its rows.
    pub fn present(&self, name: &str, variables: &[Variable]) -> Result<bool, String> {
        let Some(weight) = self.get(name) else {
            return Err(unknown("weight", name, self.names()));
        };
        let tensor = self.tensor(weight, variables)?;
        let own = tensor.is_some_and(|tensor| (self.has)(&tensor));
        Ok(own || self.rows(weight, variables)?.is_some())
    }

    /// The weight as rows of another weight, if `or` says so and the file has the other weight.
    fn rows(
        &self,
        weight: &'a WeightDeclaration,
        variables: &[Variable],
    ) -> Result<Option<Found<'a>>, String> {
        let Some(or) = &weight.or else {
            return Ok(None);
        };
        let (Some(whole), Some(first)) = (self.get(&or.weight), &or.first_row) else {
            return Ok(None);
        };
        let tensor = self.tensor(whole, variables)?;
        Ok(tensor
            .filter(|tensor| (self.has)(tensor))
            .map(|tensor| Found {
                rows: Some(Rows { weight, first }),
                ..Found::whole(whole, tensor)
            }))
    }

    /// The weight, or what stands in for it if the file lacks it; `None` if it is optional and absent. A required weight that
    /// is missing is returned all the same: reading the file reports it. If weights stand in for each other and all of them are
    /// missing, the one declared first is returned. `decide` says whether a condition is true.
    pub fn resolve(
        &self,
        weight: &'a WeightDeclaration,
        variables: &[Variable],
        decide: &dyn Fn(&Argument) -> Result<bool, Option<Problem>>,
    ) -> Result<Option<Found<'a>>, Unresolved> {
        let mut chain: Vec<&'a WeightDeclaration> = Vec::new();
        let (mut current, mut optional, mut withheld) = (weight, false, None);
        let circle = loop {
            chain.push(current);
            let tensor = self.tensor(current, variables)?;
            if let Some(tensor) = tensor.filter(|tensor| (self.has)(tensor)) {
                return Ok(Some(Found::whole(current, tensor)));
            }
            let rows = self.rows(current, variables)?;
            if rows.is_some() {
                return Ok(rows);
            }
            optional |= current.optional;
            let or = current.or.as_ref().filter(|or| or.first_row.is_none());
            let Some((or, next)) = or.and_then(|or| Some((or, self.get(&or.weight)?))) else {
                break None;
            };
            if let Some(condition) = &or.condition
                && !decide(condition)?
            {
                withheld = Some(or);
                break None;
            }
            let before = chain.iter().position(|known| known.name == next.name);
            if before.is_some() {
                break before;
            }
            current = next;
        };
        if optional {
            return Ok(None);
        }
        // The last weight whose tensor has a name in files of this kind; in a circle, the weight that is declared first.
        let candidates: Vec<_> = match circle {
            Some(start) => {
                let mut circle = chain.split_off(start);
                circle.sort_by_key(|weight| weight.position);
                circle.extend(chain.into_iter().rev());
                circle
            }
            None => chain.into_iter().rev().collect(),
        };
        for candidate in &candidates {
            if let Some(tensor) = self.tensor(candidate, variables)? {
                return Ok(Some(Found {
                    withheld,
                    ..Found::whole(candidate, tensor)
                }));
            }
        }
        let (name, kind) = (&current.name, self.kind.name());
        let message = format!("the weight '{name}' has no '{kind}' tensor name");
        Err(Unresolved::Reader(message))
    }

    fn tensor(
        &self,
        weight: &WeightDeclaration,
        variables: &[Variable],
    ) -> Result<Option<String>, String> {
        self.named(weight, self.kind, variables)
    }

    /// The name of the weight's tensor in files of a kind, without prefix; `None` if it has no name there.
    pub fn named(
        &self,
        weight: &WeightDeclaration,
        kind: SourceKind,
        variables: &[Variable],
    ) -> Result<Option<String>, String> {
        let template = match kind {
            SourceKind::Hf => weight.hf.as_ref(),
            SourceKind::Gguf => weight.gguf.as_ref(),
        };
        let Some(Template {
            texts,
            variables: holes,
        }) = template
        else {
            return Ok(None);
        };
        let mut name = String::with_capacity(USUAL_NAME);
        let mut holes = holes.iter();
        for text in texts {
            name.push_str(text);
            if let Some(hole) = holes.next() {
                // Writing into a string can't fail.
                let _ = write!(name, "{}", lookup(weight, hole, variables)?);
            }
        }
        Ok(Some(name))
    }
}

fn lookup<'v>(
    weight: &WeightDeclaration,
    name: &str,
    variables: &'v [Variable],
) -> Result<&'v Value, String> {
    match variables.iter().find(|variable| variable.name == name) {
        Some(variable) => Ok(&variable.value),
        None => {
            let weight = &weight.name;
            Err(format!(
                "the weight '{weight}' exists only inside Repeat(\"{name}\", …)"
            ))
        }
    }
}
