//! The language: the one RON grammar in which graphs, rules and dumps are written.
//!
//! What belongs here: documents that know where everything stands, the form of a node, values, expressions over parameters and what they
//! mean, tables as RON, and how mistakes are told (positions, problems, nearest names). What is absent: tensors, ops, and what any
//! document says.

pub mod diagnostics;
pub mod document;
pub mod evaluate;
pub mod expression;
pub mod nearest;
pub mod node;
mod references;
pub mod table;
pub mod value;
