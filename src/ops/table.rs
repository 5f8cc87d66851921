//! The table of all ops, and how an op is found by its name.

use super::attributes::{self, Attribute};
use super::definition::{Op, OpDef};
use super::{
    attention, cast, chain, elementwise, linear, norm, quantized, rotary, shape, take_rows,
};
use crate::language::nearest;

/// The tables of all families, in the order in which the reference page lists them.
static FAMILIES: [&[OpDef]; 10] = [
    elementwise::OPS,
    cast::OPS,
    chain::OPS,
    shape::OPS,
    take_rows::OPS,
    norm::OPS,
    linear::OPS,
    quantized::OPS,
    rotary::OPS,
    attention::OPS,
];

/// Every op.
pub fn table() -> impl Iterator<Item = &'static OpDef> {
    FAMILIES.iter().copied().flatten()
}

/// The op called `name`.
pub fn find(name: &str) -> Option<&'static OpDef> {
    table().find(|def| def.name == name)
}

impl Op {
    /// The op `name` with the given attributes; other attributes get their defaults. Every problem is reported.
    pub fn new(name: &str, given: &[(&str, Attribute)]) -> Result<Op, Vec<String>> {
        let Some(def) = find(name) else {
            return Err(vec![nearest::unknown("op", name, table().map(|d| d.name))]);
        };
        let attributes = attributes::complete(def.name, def.attributes, given)?;
        Ok(Op { def, attributes })
    }

    /// The same op with one attribute changed.
    pub fn with(&self, name: &str, value: Attribute) -> Result<Op, Vec<String>> {
        let known = self.def.attributes.iter().zip(&self.attributes);
        let mut given: Vec<_> = known
            .map(|(def, value)| (def.name, value.clone()))
            .collect();
        given.retain(|(known, _)| *known != name);
        given.push((name, value));
        Op::new(self.def.name, &given)
    }
}
