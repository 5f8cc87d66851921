//! The weights that nodes read: each is listed once, or cut out of the weight that has its rows, together with the steps that
//! turn it into the tensor of a GGUF file.

use smallvec::smallvec;

use super::{Expander, FlatAttribute, FlatInput, FlatNode, FlatStep, FlatWeight, Stopped, found};
use crate::architecture::ast::{
    Alternative, Argument, ArgumentKind, Node, Operand, Step, WeightDeclaration,
};
use crate::architecture::parameters::SourceKind;
use crate::architecture::resolve::argument;
use crate::architecture::weight_table::{Rows, Unresolved};
use crate::graph::Name;
use crate::language::diagnostics::Problem;
use crate::language::value::Value;
use crate::ops::SLICE;

/// The largest dimension of a weight.
const LARGEST_DIM: i64 = 1 << 31;
/// The most elements of a weight.
const MOST_ELEMENTS: i64 = 1 << 40;
/// The most dimensions of a weight.
const MOST_DIMS: usize = 8;

/// A weight and the weight that it stands in for, in the order in which a GGUF file looks for their names: first the
/// weight that was found, except that of two weights that stand in for each other, the one declared first comes first.
fn in_order<'w>(
    found: &'w WeightDeclaration,
    read: &'w WeightDeclaration,
) -> [&'w WeightDeclaration; 2] {
    let is_mutual = found.or.as_ref().is_some_and(|or| or.weight == read.name);
    match is_mutual && read.position < found.position {
        true => [read, found],
        false => [found, read],
    }
}

impl<'a> Expander<'a> {
    /// The weight that an operand of `node` names, or what stands in for it; none if a problem was noted.
    pub(super) fn weight(
        &mut self,
        node: &Node,
        operand: &Operand,
        declaration: &'a WeightDeclaration,
    ) -> Result<Option<FlatInput>, Stopped> {
        let weights = self.weights;
        let decide = |condition: &Argument| self.decide(condition);
        let found = match weights.resolve(declaration, &self.variables, &decide) {
            Ok(None) => {
                let name = weights.canonical(declaration, &self.variables);
                name.map(FlatInput::Missing).map(Err)
            }
            Ok(Some(found)) => weights
                .canonical(found.declaration, &self.variables)
                .map(|name| Ok((Name::from(name), found))),
            Err(Unresolved::Reader(message)) => Err(message),
            Err(Unresolved::Condition(problem)) => {
                if let Some(problem) = problem {
                    self.report(problem.about("weight", &declaration.name));
                }
                return Ok(None);
            }
        };
        let (name, found) = match found {
            Ok(Ok(found)) => found,
            Ok(Err(missing)) => return Ok(Some(missing)),
            Err(message) => {
                self.complain(node, operand.position, message);
                return Ok(None);
            }
        };
        if self.listed.insert(name.clone()) {
            let dims = self.dims(&name, found.declaration);
            let (gguf, to_gguf) = match self.converts {
                false => (None, Vec::new()),
                true => (
                    self.gguf_name(node, operand, in_order(found.declaration, declaration)),
                    self.steps(&name, &found.declaration.to_gguf),
                ),
            };
            let withheld = found.withheld.map(|or| self.withheld(or));
            self.flat_weights.push(FlatWeight {
                name: name.clone(),
                dims,
                tensor: found.tensor,
                optional: found.declaration.optional,
                withheld,
                or: found.declaration.or.as_ref().map(|or| or.weight.clone()),
                position: found.declaration.position,
                gguf,
                to_gguf,
            });
        }
        match found.rows {
            None => Ok(Some(FlatInput::Weight(name))),
            Some(rows) => self.rows(node, name, &rows),
        }
    }

    /// Whether a condition holds; the error is none if it is reported elsewhere.
    fn decide(&self, condition: &Argument) -> Result<bool, Option<Problem>> {
        match argument(condition, &self.scope())? {
            Value::Bool(holds) => Ok(holds),
            other => {
                let message = format!("expected true or false, found {}", found(&other, condition));
                Err(Some(Problem::new(condition.position, message)))
            }
        }
    }

    /// Why the weight that `or` names does not stand in.
    fn withheld(&self, or: &Alternative) -> String {
        let mut why = Vec::new();
        if let Some(condition) = &or.condition
            && let ArgumentKind::Formula(formula) = &condition.kind
        {
            let references = formula.expression.references();
            why.extend(
                references
                    .iter()
                    .filter_map(|name| self.parameters.origin(&name.name)),
            );
            if why.is_empty() {
                why.push(format!("\"{}\" does not hold", formula.text));
            }
        }
        format!(
            "\"{}\" may not stand in for it, as {}",
            or.weight,
            why.join(" and ")
        )
    }

    /// A weight as rows of the weight with the unique name `whole`: a node that cuts the rows out, under the weight's own unique
    /// name. Its position is the position of `reader`, the first node that reads it.
    fn rows(
        &mut self,
        reader: &Node,
        whole: Name,
        rows: &Rows<'_>,
    ) -> Result<Option<FlatInput>, Stopped> {
        let weight = rows.weight;
        let name = match self.weights.canonical(weight, &self.variables) {
            Ok(name) => Name::from(name),
            Err(message) => {
                self.problem(weight.position, message);
                return Ok(None);
            }
        };
        if !self.listed.insert(name.clone()) {
            return Ok(Some(FlatInput::Value(name)));
        }
        self.spend(4, weight.position)?;
        let dims = self.dims(&name, weight);
        let first = match self.value(&name, rows.first) {
            Some(Value::Int(first @ 0..=LARGEST_DIM)) => Some(first),
            Some(other) => {
                let message = format!(
                    "the first row must be an integer from 0 to {LARGEST_DIM}, found {}",
                    found(&other, rows.first)
                );
                self.report(Problem::new(rows.first.position, message).about("weight", &name));
                None
            }
            None => None,
        };
        // If either is missing, a problem was noted, and no node reads the weight.
        let (Some(first), Some((&count, row))) = (first, dims.split_first()) else {
            return Ok(None);
        };
        let end = first + count;
        // It was listed just now, or for an earlier reader.
        let holder = self
            .flat_weights
            .iter()
            .rev()
            .find(|known| known.name == whole);
        let holder = holder.map(|holder| holder.dims.clone()).unwrap_or_default();
        let holds = |(&rows, of): (&i64, &[i64])| end <= rows && of == row;
        if !holder.split_first().is_some_and(holds) {
            let message =
                format!("{dims:?} can't be rows {first} to {end} of \"{whole}\" {holder:?}");
            self.report(Problem::new(rows.first.position, message).about("weight", &name));
            return Ok(None);
        }
        let attribute = |name: &str, value| FlatAttribute {
            name: name.into(),
            value: Value::Int(value),
            position: rows.first.position,
        };
        let attributes = [("axis", 0), ("start", first), ("end", end)];
        self.nodes.push(FlatNode {
            names: smallvec![name.clone()],
            written: [weight.name.clone()].into(),
            op: SLICE.into(),
            positional: None,
            attributes: attributes
                .map(|(name, value)| attribute(name, value))
                .into(),
            inputs: vec![FlatInput::Weight(whole)],
            position: reader.position,
        });
        Ok(Some(FlatInput::Value(name)))
    }

    /// The value of an argument of the weight with the unique name `weight`; none if a problem was noted.
    fn value(&mut self, weight: &str, written: &Argument) -> Option<Value> {
        match argument(written, &self.scope()) {
            Ok(value) => Some(value),
            Err(problem) => {
                if let Some(problem) = problem {
                    self.report(problem.about("weight", weight));
                }
                None
            }
        }
    }

    fn dims(&mut self, name: &str, weight: &WeightDeclaration) -> Vec<i64> {
        let mut dims = Vec::with_capacity(weight.shape.len().min(MOST_DIMS));
        if weight.shape.len() > MOST_DIMS {
            let message = format!("expected a weight of at most {MOST_DIMS} dimensions");
            self.report(Problem::new(weight.position, message).about("weight", name));
            return dims;
        }
        let mut elements = 1_i64;
        for dim in &weight.shape {
            match self.value(name, dim) {
                Some(Value::Int(value @ 1..=LARGEST_DIM)) => {
                    dims.push(value);
                    elements = elements.saturating_mul(value);
                }
                Some(other) => {
                    let message = format!(
                        "a dimension must be an integer from 1 to {LARGEST_DIM}, found {}",
                        found(&other, dim)
                    );
                    self.report(Problem::new(dim.position, message).about("weight", name));
                }
                None => {}
            }
        }
        if elements > MOST_ELEMENTS {
            let message =
                format!("expected a weight of at most {MOST_ELEMENTS} elements, found {dims:?}");
            self.report(Problem::new(weight.position, message).about("weight", name));
        }
        dims
    }

    /// The first name that one of the weights has in GGUF files.
    fn gguf_name(
        &mut self,
        node: &Node,
        operand: &Operand,
        weights: [&WeightDeclaration; 2],
    ) -> Option<String> {
        for weight in weights {
            match self
                .weights
                .named(weight, SourceKind::Gguf, &self.variables)
            {
                Ok(None) => {}
                Ok(name) => return name,
                Err(message) => self.complain(node, operand.position, message),
            }
        }
        None
    }

    fn steps(&mut self, weight: &str, steps: &[Step]) -> Vec<FlatStep> {
        let mut flat = Vec::with_capacity(steps.len());
        for step in steps {
            let operand = step.operand.as_ref();
            let operand = operand.and_then(|written| self.value(weight, written));
            let attribute = |(name, written): &(Name, Argument)| {
                let position = written.position;
                let value = self.value(weight, written)?;
                let name = name.clone();
                Some(FlatAttribute {
                    name,
                    value,
                    position,
                })
            };
            let attributes = step.attributes.iter().filter_map(attribute).collect();
            flat.push(FlatStep {
                op: step.op.clone(),
                operand,
                attributes,
                position: step.position,
            });
        }
        flat
    }
}
