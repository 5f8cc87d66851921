//! The language: the one RON grammar in which graphs, rules and dumps are written.
//!
//! What belongs here: documents in which every value has a position, the form of a node, values, expressions over
//! parameters and their meaning, tables as RON, and how mistakes are reported (positions, problems, nearest names).
//! What is absent: tensors, ops, and the meaning of any document.

pub mod diagnostics;
pub mod document;
pub mod evaluate;
pub mod expression;
pub mod nearest;
pub mod node;
mod references;
pub mod table;
pub mod value;
