//! The intermediate representation: a graph of values.
//!
//! What belongs here: nodes, the one [`Editor`] through which a graph is changed, the verifier, the printers (RON that loads
//! again, and DOT), and the [`interpreter`], the oracle that runs any graph. What is absent: what an op means (`ops/`), how
//! files become graphs (`architecture/`), and which changes are good (`rewrite/`, `transform/`).

mod bidirectional;
mod by_value;
#[cfg(feature = "internals")]
mod dot;
mod edit;
mod input;
#[cfg(any(test, feature = "internals"))]
pub mod interpreter;
mod node;
mod print;
mod storage;
mod store;
mod topological_order;
mod verify;

pub use bidirectional::{is_bidirectional, keeps_sequences_apart};
pub use by_value::ByValue;
#[cfg(feature = "internals")]
pub use dot::print_dot;
pub use edit::Editor;
pub use input::Input;
pub use node::{Kind, Name, Node, NodeId, Output, Value, WeightSource};
pub use print::{print, print_ignoring};
pub use store::{Class, Graph, Order};
pub use topological_order::TopologicalOrder;
pub use verify::verify;

/// Why a graph cannot be built or changed in some way. Contains every problem found, not only the first.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[error("{}", problems.join("\n"))]
#[non_exhaustive]
pub struct GraphError {
    /// The problems, each with the name of its node.
    pub problems: Vec<String>,
}

impl GraphError {
    /// An error with one problem.
    pub fn new(problem: impl Into<String>) -> Self {
        GraphError {
            problems: vec![problem.into()],
        }
    }
}
