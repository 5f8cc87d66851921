//! What the plain reference of an op sees of one step.

use smallvec::SmallVec;

use super::tensor::Tensor;
use crate::types::Literal;

/// What the reference of an op sees.
pub struct Operands<'a> {
    inputs: SmallVec<[Option<&'a Tensor>; 8]>,
    past: usize,
    state: Option<&'a [Tensor; 2]>,
}

impl<'a> Operands<'a> {
    /// The operands of an op without state, `past` positions into the sequence.
    pub fn new(inputs: impl IntoIterator<Item = Option<&'a Tensor>>, past: usize) -> Self {
        Operands {
            inputs: inputs.into_iter().collect(),
            past,
            state: None,
        }
    }

    /// The same for an op with state: its keys and values of earlier steps, if it has any.
    pub fn with_state(mut self, state: Option<&'a [Tensor; 2]>) -> Self {
        self.state = state;
        self
    }

    /// A required operand.
    ///
    /// # Panics
    /// If it is absent, which shape inference has rejected.
    pub fn get(&self, slot: usize) -> &'a Tensor {
        self.inputs[slot].unwrap_or_else(|| unreachable!("input {slot} is absent"))
    }

    /// An operand that may be absent.
    pub fn optional(&self, slot: usize) -> Option<&'a Tensor> {
        self.inputs.get(slot).copied().flatten()
    }

    /// The number of slots.
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// Whether there are no slots.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// The number of positions before this step.
    pub fn past(&self) -> usize {
        self.past
    }

    /// The keys and values of earlier steps, [past, kv_heads, dim] each.
    pub fn state(&self) -> Option<&'a [Tensor; 2]> {
        self.state
    }
}

/// A literal as a scalar tensor.
pub fn literal_tensor(literal: Literal) -> Tensor {
    match literal {
        Literal::Int(n) => Tensor::i32([], vec![n]),
        Literal::Float(x) => Tensor::f32([], vec![x as f32]),
    }
}
