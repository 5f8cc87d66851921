//! What a graph allows: how many token ids, and how many positions.

use crate::graph::{Graph, Input, Kind, Name, Value};
use crate::ops::{BinaryFunction, Function};
use crate::types::{Dim, Literal};

/// Limits that follow from the tables that a graph reads by token id or by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Ids below this are in every table that is indexed by token ids; `None` if there is no such table.
    pub vocabulary: Option<usize>,
    /// Positions below this are in every table that is indexed by positions; `None` if there is no such table.
    pub positions: Option<usize>,
}

/// An index as `positions` plus an offset, or `tokens`.
enum Index {
    Tokens,
    Positions(i64),
}

/// The largest offset of positions: kernels read literals as f32, in which whole numbers are exact up to here.
const LARGEST_OFFSET: i64 = 1 << 24;

/// A node whose index can't be bounded before the model runs, and why.
pub(super) type Unbounded = (Name, String);

/// The limits of `graph`, or all nodes whose index can't be bounded before the model runs.
pub(super) fn limits(graph: &Graph) -> Result<Limits, Vec<Unbounded>> {
    let mut limits = Limits {
        vocabulary: None,
        positions: None,
    };
    let mut unbounded = Vec::new();
    let least =
        |limit: &mut Option<usize>, rows: usize| *limit = Some(limit.map_or(rows, |n| n.min(rows)));
    for id in graph.order() {
        let node = graph.node(id);
        let Some((op, lookup)) = node.op().and_then(|op| Some((op, op.def().lookup?))) else {
            continue;
        };
        let inputs = graph.inputs(id);
        let input = |slot: usize| inputs.get(slot).copied().flatten();
        let (Some(table), Some(ids)) = (input(lookup.table), input(lookup.ids)) else {
            continue;
        };
        let rows = match graph.ty(table).shape.first() {
            Some(&Dim::Fixed(rows)) => rows,
            // These index the rows of the step itself: only the wanted rows are known to be in range.
            Some(Dim::Tokens) if graph.input_of(ids) != Some(Input::Wanted) => {
                let message = format!(
                    "{} needs numbers that are \"{}\": \"{}\" is not",
                    op.name(),
                    Input::Wanted.name(),
                    graph.name(ids)
                );
                unbounded.push((node.name().clone(), message));
                continue;
            }
            _ => continue,
        };
        match index(graph, ids) {
            Some(Index::Tokens) => least(&mut limits.vocabulary, rows),
            Some(Index::Positions(offset)) if offset >= 0 => {
                least(
                    &mut limits.positions,
                    rows.saturating_sub(usize::try_from(offset).unwrap_or(usize::MAX)),
                );
            }
            _ => {
                let message = format!(
                    "{} needs ids that are tokens, or positions plus a number from 0 to {LARGEST_OFFSET}: \"{}\" is neither",
                    op.name(),
                    graph.name(ids)
                );
                unbounded.push((node.name().clone(), message));
            }
        }
    }
    if unbounded.is_empty() {
        Ok(limits)
    } else {
        Err(unbounded)
    }
}

fn index(graph: &Graph, value: Value) -> Option<Index> {
    let node = graph.node(value.node);
    let op = match &node.kind {
        Kind::Input => {
            return match graph.input_of(value)? {
                Input::Tokens => Some(Index::Tokens),
                Input::Positions => Some(Index::Positions(0)),
                Input::Wanted => None,
            };
        }
        Kind::Op(op) => op,
        _ => return None,
    };
    let inputs = graph.inputs(value.node);
    let (a, b) = (
        inputs.first().copied().flatten()?,
        inputs.get(1).copied().flatten()?,
    );
    let whole = |v: Value| match graph.literal(v) {
        Some(Literal::Int(n)) => Some(i64::from(n)).filter(|n| n.abs() <= LARGEST_OFFSET),
        _ => None,
    };
    let Some(Function::Binary(function)) = op.function() else {
        return None;
    };
    let (base, offset) = match (function, whole(a), whole(b)) {
        (BinaryFunction::Add, None, Some(n)) => (a, n),
        (BinaryFunction::Add, Some(n), None) => (b, n),
        (BinaryFunction::Sub, None, Some(n)) => (a, -n),
        _ => return None,
    };
    match index(graph, base)? {
        Index::Positions(before) => {
            let sum = before + offset;
            (sum.abs() <= LARGEST_OFFSET).then_some(Index::Positions(sum))
        }
        Index::Tokens => None,
    }
}
