//! The intermediate representation: a graph of values.
//!
//! What belongs here: nodes, the one [`Editor`] through which a graph is changed, the verifier, the printers (RON that
//! loads again, and DOT), and the [`interpreter`], the oracle that runs any graph.  What is absent: what an op means (`ops/`), how files become graphs (`architecture/`), and which changes
//! are good (`rewrite/`, `transform/`).

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

#[cfg(feature = "internals")]
pub use dot::print_dot;
pub use edit::Editor;
pub use input::Input;
pub use node::{Kind, Name, Node, NodeId, Output, Value, WeightSource};
pub use print::{print, print_ignoring};
pub use store::{Class, Graph, Order};
pub use topological_order::TopologicalOrder;
pub use verify::verify;

/// Why a graph can't be built or changed in some way. Holds every problem found, not the first.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[error("{}", problems.join("\n"))]
#[non_exhaustive]
pub struct GraphError {
    /// What is wrong, each naming its node.
    pub problems: Vec<String>,
}

impl GraphError {
    /// An error of one problem.
    pub fn new(problem: impl Into<String>) -> Self {
        GraphError {
            problems: vec![problem.into()],
        }
    }
}
