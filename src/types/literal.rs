//! Numbers as graph files write them.

use std::fmt;

/// A number written in a graph file.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Literal {
    /// An integer, which can be used with positions.
    Int(i32),
    /// A float, rounded to f32 where it is combined with activations.
    Float(f64),
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Int(n) => write!(f, "{n}"),
            Literal::Float(x) => write!(f, "{x:?}"),
        }
    }
}
