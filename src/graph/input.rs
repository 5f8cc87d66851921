//! The values that each step is given.

use super::node::{Kind, Value};
use super::store::Graph;
use crate::types::{DType, Dim, Type};

/// A value that each step is given: i32, with a name that is fixed for graph files.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Input {
    /// The ids of the step's tokens, `[T]`.
    Tokens,
    /// The tokens' positions in their sequences, `[T]`.
    Positions,
    /// The tokens whose outputs are wanted, by their numbers in the step, `[R]`: each below T, in any order.
    Wanted,
}

impl Input {
    /// All of them, in the order in which a graph has them.
    pub const ALL: [Input; 3] = [Input::Tokens, Input::Positions, Input::Wanted];

    /// Its name, which no other value of a graph file can have.
    pub const fn name(self) -> &'static str {
        match self {
            Input::Tokens => "tokens",
            Input::Positions => "positions",
            Input::Wanted => "wanted",
        }
    }

    /// Its type.
    pub fn ty(self) -> Type {
        let dim = match self {
            Input::Tokens | Input::Positions => Dim::Tokens,
            Input::Wanted => Dim::Rows,
        };
        Type::new(DType::I32, [dim])
    }
}

impl Graph {
    /// The value of an input, if the graph has the input.
    pub fn input(&self, input: Input) -> Option<Value> {
        let value = self.find(input.name())?;
        (self.node(value.node).kind == Kind::Input).then_some(value)
    }

    /// The input that a value is, if it is one.
    pub fn input_of(&self, value: Value) -> Option<Input> {
        if self.node(value.node).kind != Kind::Input {
            return None;
        }
        let name = self.name(value);
        Input::ALL.into_iter().find(|input| input.name() == &**name)
    }
}
