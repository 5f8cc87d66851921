//! The ops: one table that says everything about each.
//!
//! What belongs here: an [`OpDef`] per op, with its attributes, operands, shape rule, plain reference and the kernel
//! that runs it, in one file per family; and the [`mod@reference`] interpreter, the oracle that runs any graph with them.
//! Adding an op is an entry in its family's table, a kernel and a test; one that applies a function to each element is a
//! row of the functions' table (`kernels/functions.rs`). No other room names an op, or decides again what a row says.
//! What does not belong: SIMD (`kernels/`), and which ops become which (`passes/*.ron`).

mod attention;
mod attributes;
mod blocks;
mod cast;
mod chain;
mod definition;
mod elementwise;
mod infer;
mod linear;
mod lower;
mod norm;
pub mod program;
mod quantized;
pub mod reference;
mod rotary;
mod shape;
mod tensor;

use std::fmt;

use smallvec::SmallVec;

pub use attributes::{Attribute, AttributeDef, AttributeKind, Attributes};
pub use cast::CAST;
pub use chain::ELEMENTWISE;
pub use definition::{
    Applies, Arity, InputDef, Lookup, Neutral, OpDef, Split, State, Tokens, View,
};
pub use elementwise::named_activation;
pub use infer::Types;
pub use lower::{Form, Lowering, Phase, Read, WeightForm};
pub use quantized::QUANTIZE_ACTIVATIONS;
pub use shape::{SLICE, slice_bounds};
pub use tensor::{Data, Tensor};

pub use crate::kernels::functions::{BinaryFunction, Function, UnaryFunction};
use crate::types::Type;

/// The tables of all families, in the order in which the reference page lists them.
static FAMILIES: [&[OpDef]; 9] = [
    elementwise::OPS,
    cast::OPS,
    chain::OPS,
    shape::OPS,
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

/// The op of that name.
pub fn find(name: &str) -> Option<&'static OpDef> {
    table().find(|def| def.name == name)
}

/// An op with its attributes.
#[derive(Clone)]
pub struct Op {
    def: &'static OpDef,
    attributes: Attributes,
}

impl Op {
    /// The op `name` with those attributes; the others take their defaults. Every problem is reported.
    pub fn new(name: &str, given: &[(&str, Attribute)]) -> Result<Op, Vec<String>> {
        let Some(def) = find(name) else {
            return Err(vec![crate::language::nearest::unknown(
                "op",
                name,
                table().map(|d| d.name),
            )]);
        };
        let attributes = attributes::complete(def.name, def.attributes, given)?;
        Ok(Op { def, attributes })
    }

    /// The definition.
    pub fn def(&self) -> &'static OpDef {
        self.def
    }

    /// The name.
    pub fn name(&self) -> &'static str {
        self.def.name
    }

    /// The attributes' values, in the definition's order.
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// An attribute's value.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        let at = self.def.attributes.iter().position(|a| a.name == name)?;
        self.attributes.get(at)
    }

    /// An integer attribute; 0 where it is absent.
    pub fn int(&self, name: &str) -> i64 {
        self.optional_int(name).unwrap_or(0)
    }

    /// An integer attribute that may be absent.
    pub fn optional_int(&self, name: &str) -> Option<i64> {
        match self.attribute(name) {
            Some(Attribute::Int(n)) => Some(*n),
            _ => None,
        }
    }

    /// A float attribute; 0 where it is absent.
    pub fn float(&self, name: &str) -> f64 {
        self.optional_float(name).unwrap_or(0.0)
    }

    /// A float attribute that may be absent.
    pub fn optional_float(&self, name: &str) -> Option<f64> {
        match self.attribute(name) {
            Some(Attribute::Float(x)) => Some(*x),
            _ => None,
        }
    }

    /// A boolean attribute.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.attribute(name), Some(Attribute::Bool(true)))
    }

    /// A text attribute; empty where it is absent.
    pub fn text(&self, name: &str) -> &str {
        match self.attribute(name) {
            Some(Attribute::Text(text)) => text,
            _ => "",
        }
    }

    /// A list attribute.
    pub fn ints(&self, name: &str) -> &[i64] {
        match self.attribute(name) {
            Some(Attribute::Ints(list)) => list,
            _ => &[],
        }
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

    /// Whether the op keeps keys and values from step to step.
    pub fn has_state(&self) -> bool {
        self.def.state.is_some()
    }

    /// The function of each element, or of each pair, that the op is.
    pub fn function(&self) -> Option<Function> {
        match self.def.function? {
            Applies::Always(function) => Some(function),
            Applies::By(function) => function(self),
        }
    }

    /// Which tokens a row of an output depends on.
    pub fn tokens(&self) -> Tokens {
        (self.def.tokens)(self)
    }

    /// Whether row `t` of an operand of that type, with weights and rows `t` of the others, decides row `t` of each
    /// output, so that no other token is seen.
    pub fn keeps_rows(&self, slot: usize, operand: &Type) -> bool {
        match self.tokens() {
            Tokens::Own(slots) => slots.contains(&slot),
            Tokens::OwnRow(slots) => slots.contains(&slot) && operand.shape.len() > 1,
            Tokens::Text { .. } | Tokens::Step => false,
        }
    }

    /// How many operand slots the op has, if its attributes fix it.
    pub fn slots(&self) -> Option<usize> {
        match self.def.arity {
            Arity::Fixed => Some(self.def.inputs.len()),
            Arity::Variadic => None,
            Arity::Segments => Some(1 + 2 * self.segments()),
        }
    }

    /// How many outputs it has.
    pub fn output_count(&self) -> usize {
        match self.def.arity {
            Arity::Segments => self.segments(),
            Arity::Fixed | Arity::Variadic => self.def.outputs.len(),
        }
    }

    fn segments(&self) -> usize {
        usize::try_from(self.int("segments")).unwrap_or(0)
    }

    /// The definition of operand `slot`.
    pub fn input_def(&self, slot: usize) -> Option<&'static InputDef> {
        match self.def.arity {
            Arity::Fixed => self.def.inputs.get(slot),
            Arity::Variadic => self.def.inputs.first(),
            Arity::Segments if slot == 0 => self.def.inputs.first(),
            Arity::Segments if slot <= self.segments() => self.def.inputs.get(1),
            Arity::Segments => self
                .def
                .inputs
                .get(2)
                .filter(|_| slot <= 2 * self.segments()),
        }
    }

    /// Types of the outputs for operands of those types.
    pub fn infer(&self, inputs: &[Option<&Type>]) -> Result<Types, String> {
        if let Some(slots) = self.slots()
            && inputs.len() > slots
        {
            return Err(format!(
                "{} takes at most {slots} inputs, found {}",
                self.name(),
                inputs.len()
            ));
        }
        let slots = self.slots().unwrap_or(inputs.len()).max(1);
        for slot in 0..slots {
            let Some(def) = self.input_def(slot) else {
                continue;
            };
            let ty = inputs.get(slot).copied().flatten();
            match ty {
                None if !def.optional => {
                    return Err(format!(
                        "{} needs input {slot} ({}), which is absent",
                        self.name(),
                        def.name
                    ));
                }
                Some(ty) if !def.form.accepts(ty.dtype) => {
                    return Err(format!(
                        "{}: input {slot} ({}) can't be {ty}",
                        self.name(),
                        def.name
                    ));
                }
                _ => {}
            }
        }
        let mut padded: SmallVec<[Option<&Type>; 8]> = inputs.into();
        padded.resize(slots.max(inputs.len()), None);
        (self.def.infer)(self, &padded).map_err(|problem| format!("{}: {problem}", self.name()))
    }
}

impl PartialEq for Op {
    fn eq(&self, other: &Self) -> bool {
        self.def.name == other.def.name && self.attributes == other.attributes
    }
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As a graph file writes it, defaults left out: `RmsNorm(eps: 1e-5)`.
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.def.name)?;
        let mut separator = "(";
        for (def, value) in self.def.attributes.iter().zip(&self.attributes) {
            if *value != def.default {
                write!(f, "{separator}{}: {value}", def.name)?;
                separator = ", ";
            }
        }
        if separator != "(" {
            f.write_str(")")
        } else {
            Ok(())
        }
    }
}
