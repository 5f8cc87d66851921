//! The weights that nodes read: which tensors they are, of which shape, and what makes those of a GGUF file of them.

use super::{Expander, FlatAttribute, FlatInput, FlatStep, FlatWeight, found};
use crate::load::ast::{Argument, Node, Operand, Step, WeightDeclaration};
use crate::load::diagnostics::Problem;
use crate::load::parameters::SourceKind;
use crate::load::resolve::argument;
use crate::load::value::Value;

/// The largest dimension of a weight.
const LARGEST_DIM: i64 = 1 << 31;
/// The most elements of a weight.
const MOST_ELEMENTS: i64 = 1 << 40;
/// The most dimensions of a weight.
const MOST_DIMS: usize = 8;

impl Expander<'_> {
    pub(super) fn weight(
        &mut self,
        node: &Node,
        operand: &Operand,
        weight: &WeightDeclaration,
    ) -> Option<FlatInput> {
        let weights = self.weights;
        let declaration = weights.get(&weight.name)?;
        let found = match weights.resolve(declaration, &self.variables) {
            Ok(None) => return Some(FlatInput::Absent),
            Ok(Some(found)) => weights
                .canonical(found.declaration, &self.variables)
                .map(|name| (name, found)),
            Err(message) => Err(message),
        };
        let (name, found) = match found {
            Ok(found) => found,
            Err(message) => {
                self.complain(node, operand.position, message);
                return None;
            }
        };
        if self.listed.insert(name.clone()) {
            let dims = self.dims(&name, found.declaration);
            let (gguf, to_gguf) = match self.converts {
                false => (None, Vec::new()),
                true => (
                    self.gguf_name(node, operand, [found.declaration, declaration]),
                    self.steps(&name, &found.declaration.to_gguf),
                ),
            };
            self.flat_weights.push(FlatWeight {
                name: name.clone(),
                dims,
                tensor: found.tensor,
                optional: found.declaration.optional,
                or: found.declaration.or.clone(),
                position: found.declaration.position,
                gguf,
                to_gguf,
            });
        }
        Some(FlatInput::Weight(name))
    }

    fn dims(&mut self, name: &str, weight: &WeightDeclaration) -> Vec<i64> {
        let mut dims = Vec::with_capacity(weight.shape.len().min(MOST_DIMS));
        if weight.shape.len() > MOST_DIMS {
            let message = format!("a weight has at most {MOST_DIMS} dimensions");
            self.report(Problem::new(weight.position, message).about("weight", name));
            return dims;
        }
        let mut elements = 1_i64;
        for dim in &weight.shape {
            match argument(dim, &self.scope()) {
                Ok(Value::Int(value @ 1..=LARGEST_DIM)) => {
                    dims.push(value);
                    elements = elements.saturating_mul(value);
                }
                Ok(other) => {
                    let message = format!(
                        "a dimension must be an integer from 1 to {LARGEST_DIM}, found {}",
                        found(&other, dim)
                    );
                    self.report(Problem::new(dim.position, message).about("weight", name));
                }
                Err(problem) => {
                    problem
                        .into_iter()
                        .for_each(|problem| self.report(problem.about("weight", name)));
                }
            }
        }
        if elements > MOST_ELEMENTS {
            let message = format!("a weight of more than {MOST_ELEMENTS} elements: {dims:?}");
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

    fn steps(&mut self, name: &str, steps: &[Step]) -> Vec<FlatStep> {
        let mut flat = Vec::with_capacity(steps.len());
        for step in steps {
            let mut value = |written: &Argument| match argument(written, &self.scope()) {
                Ok(value) => Some(value),
                Err(problem) => {
                    problem
                        .into_iter()
                        .for_each(|problem| self.report(problem.about("weight", name)));
                    None
                }
            };
            let operand = step.operand.as_ref().and_then(&mut value);
            let attribute = |(name, written): &(String, Argument)| {
                let position = written.position;
                let value = value(written)?;
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
