//! An op, and a row of the table: everything about one op. A fact that another module needs is a column here, so that the
//! module asks the table instead of checking the op's name.

use std::fmt;

use smallvec::SmallVec;

use super::attributes::{Attribute, AttributeDef, AttributeKind, Attributes};
use super::lower::{Form, Lowering, Phase, WeightForm};
use super::reference::Operands;
use super::tensor::Tensor;
use crate::kernels::functions::Function;
use crate::types::{DType, Type};

/// The types of an op's outputs.
pub type Types = SmallVec<[Type; 2]>;

/// Everything about one op.
#[derive(Clone, Copy)]
pub struct OpDef {
    /// The name in ONNX or PyTorch, if there is one.
    pub name: &'static str,
    /// The formula, in a line or two.
    pub formula: &'static str,
    /// Named attributes, in the order in which positional values fill them.
    pub attributes: &'static [AttributeDef],
    /// Operands by slot.
    pub inputs: &'static [InputDef],
    /// How many operands there may be.
    pub arity: Arity,
    /// Names of the outputs, for documentation; with [`Arity::Segments`] the one name is repeated.
    pub outputs: &'static [&'static str],
    /// The distance from the machine: high for primitives, low for fused ops. A rule must not raise it.
    pub rank: u32,
    /// Whether operands 0 and 1 may be swapped without changing a bit.
    pub commutative: bool,
    /// The elementwise function that the op applies, if it is elementwise.
    pub function: Option<Applies>,
    /// The number that leaves the other operand unchanged, if there is one.
    pub neutral: Option<Neutral>,
    /// Which tokens a row of an output depends on.
    pub tokens: fn(&Op) -> Tokens,
    /// The state that the op keeps from step to step.
    pub state: Option<State>,
    /// How the output is a view of operand 0, if the op computes nothing.
    pub view: Option<View>,
    /// The table and the row numbers, if the op reads rows by number.
    pub lookup: Option<Lookup>,
    /// The op that computes several of this op in one step if they read the same operand 0: after operand 0, it has
    /// `segments` of operand 1, then as many of operand 2. It has none of the other operands of this op, and no other
    /// attribute.
    pub merged: Option<&'static str>,
    /// The two ops that together do the same as this op.
    pub split: Option<Split>,
    /// (output, operand) pairs that may share memory.
    pub in_place: &'static [(usize, usize)],
    /// The types of the outputs, or what is wrong with the operands.
    pub infer: fn(&Op, &[Option<&Type>]) -> Result<Types, String>,
    /// The meaning of the op: plain loops with the fixed order of additions.
    pub reference: fn(&Op, &Operands<'_>) -> Vec<Tensor>,
    /// The kernels that run it.
    pub lower: fn(&Op, &Lowering<'_>) -> Vec<Phase>,
}

impl OpDef {
    /// The default for rows: one output, whose rows depend on all tokens, no state, nothing special. Every row states at
    /// least its name, formula, operands, shape rule, reference and kernels.
    pub(super) const PLAIN: OpDef = OpDef {
        name: "",
        formula: "",
        attributes: &[],
        inputs: &[],
        arity: Arity::Fixed,
        outputs: &["y"],
        rank: 40,
        commutative: false,
        function: None,
        neutral: None,
        tokens: |_| Tokens::Step,
        state: None,
        view: None,
        lookup: None,
        merged: None,
        split: None,
        in_place: &[],
        infer: |_, _| Err("the op has no shape rule".to_string()),
        reference: |_, _| Vec::new(),
        lower: |_, _| Vec::new(),
    };
}

impl OpDef {
    /// The most segments that an op of [`Arity::Segments`] can have; 0 for others.
    pub fn most_segments(&self) -> usize {
        let attribute = self.attributes.iter().find(|def| def.name == SEGMENTS);
        match attribute.map(|def| def.kind) {
            Some(AttributeKind::Int(_, most)) => usize::try_from(most).unwrap_or(usize::MAX),
            _ => 0,
        }
    }
}

/// The attribute that says how many segments an op of [`Arity::Segments`] has.
pub const SEGMENTS: &str = "segments";

/// One operand of an op.
pub struct InputDef {
    /// The name in documentation and messages.
    pub name: &'static str,
    /// Whether the operand may be absent.
    pub optional: bool,
    /// Whether the absence must be written: if an optional weight is named and the file lacks it, the operand is not
    /// silently omitted.
    pub stated: bool,
    /// The form in which kernels need the operand.
    pub form: Form,
}

impl InputDef {
    /// An operand that must be there.
    pub const fn required(name: &'static str, form: Form) -> Self {
        InputDef {
            name,
            optional: false,
            stated: false,
            form,
        }
    }

    /// An operand that may be absent.
    pub const fn optional(name: &'static str, form: Form) -> Self {
        InputDef {
            name,
            optional: true,
            stated: false,
            form,
        }
    }

    /// An operand that may be absent if its absence is written.
    pub const fn stated(name: &'static str, form: Form) -> Self {
        InputDef {
            stated: true,
            ..InputDef::optional(name, form)
        }
    }
}

/// How many operands and outputs an op has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arity {
    /// As many as the definition lists.
    Fixed,
    /// Any number, at least one; each is like the first operand.
    Variadic,
    /// Given by the attribute `segments`, n: operand 0, then n of operand 1, then n of operand 2; n outputs.
    Segments,
}

/// Which tokens row `t` of an output depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tokens {
    /// Only token `t`: row `t` of these operands, and weights. The rows of an output can then be computed for some
    /// tokens only.
    Own(&'static [usize]),
    /// Only one token, which a list names: row `r` is the row of operand `x` whose number is entry `r` of operand
    /// `list`.
    Listed {
        /// The operand with a row for each token.
        x: usize,
        /// The numbers of the rows.
        list: usize,
    },
    /// Like [`Tokens::Own`], where rows have a dimension besides the tokens, which the op sums over: a vector `[T]` is
    /// one row.
    OwnRow(&'static [usize]),
    /// The tokens of the same text, even if a step has several texts: tokens up to `t` if causal, otherwise all.
    Text {
        /// Whether later tokens are invisible.
        causal: bool,
    },
    /// Any token of the step, and earlier ones.
    Step,
}

/// The keys and values that an op keeps from step to step: two tensors, a row for each position.
#[derive(Clone, Copy)]
pub struct State {
    /// The operand with this step's keys, [T, kv_heads, head_dim].
    pub keys: usize,
    /// How many of the newest positions may be read again; `None` if all of them.
    pub window: fn(&Op) -> Option<usize>,
}

/// How an output is a view of operand 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum View {
    /// The same elements in the same order with the output's shape: the same bytes.
    Reshape,
    /// Dimension i is dimension `perm[i]` of the operand, where `perm` is an attribute.
    Transpose,
    /// A part of one dimension: [`slice_bounds`](super::slice_bounds).
    Slice,
    /// The same elements, each converted to the output's type.
    Cast,
}

/// Operands of an op that reads rows of a table by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lookup {
    /// The table, [rows, …].
    pub table: usize,
    /// The numbers of the rows, each below the table's rows.
    pub ids: usize,
}

/// How an op applies a function to each element or to each pair of elements.
#[derive(Clone, Copy)]
pub enum Applies {
    /// One function.
    Always(Function),
    /// The function that the attributes of the op choose; `None` if they choose none, which the shape rule rejects.
    By(fn(&Op) -> Option<Function>),
}

/// A number that leaves the other one of two operands unchanged, to the bit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Neutral {
    /// The number.
    pub number: f32,
    /// The operands that may be the number.
    pub slots: &'static [usize],
}

/// A table that depends only on positions, and the op that applies it: `op(x, rest…)` is `apply(x, table(rest…))`. Each of
/// the two ops gets those attributes of the op that it has itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Split {
    /// The op for all operands but the first.
    pub table: &'static str,
    /// The op for the first operand and the table.
    pub apply: &'static str,
}

/// Each op has one row in the table, so two rows at the same address are the same op.
impl fmt::Debug for OpDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for OpDef {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

/// An op with the values of its attributes.
#[derive(Clone)]
pub struct Op {
    pub(super) def: &'static OpDef,
    pub(super) attributes: Attributes,
}

impl Op {
    /// The definition.
    pub fn def(&self) -> &'static OpDef {
        self.def
    }

    /// The name.
    pub fn name(&self) -> &'static str {
        self.def.name
    }

    /// The values of the attributes, in the order of the definition.
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        let at = self.def.attributes.iter().position(|a| a.name == name)?;
        self.attributes.get(at)
    }

    /// An integer attribute; 0 if it is absent.
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

    /// A float attribute; 0 if it is absent.
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

    /// A text attribute; empty if it is absent.
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

    /// Whether the op keeps keys and values from step to step.
    pub fn has_state(&self) -> bool {
        self.def.state.is_some()
    }

    /// The function that the op applies to each element or each pair of elements.
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

    /// Whether row `t` of each output depends only on row `t` of an operand of the type `operand` in `slot`, on rows `t` of the
    /// other operands and on weights, so that no other token matters.
    pub fn keeps_rows(&self, slot: usize, operand: &Type) -> bool {
        match self.tokens() {
            Tokens::Own(slots) => slots.contains(&slot),
            Tokens::OwnRow(slots) => slots.contains(&slot) && operand.shape.len() > 1,
            Tokens::Listed { .. } | Tokens::Text { .. } | Tokens::Step => false,
        }
    }

    /// Whether a row of an output depends on several rows of an operand of the type `operand`.
    pub fn mixes_rows(&self, slot: usize, operand: &Type) -> bool {
        match self.tokens() {
            Tokens::Listed { x, list } => slot != x && slot != list,
            _ => !self.keeps_rows(slot, operand),
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

    /// The number of outputs.
    pub fn output_count(&self) -> usize {
        match self.def.arity {
            Arity::Segments => self.segments(),
            Arity::Fixed | Arity::Variadic => self.def.outputs.len(),
        }
    }

    fn segments(&self) -> usize {
        usize::try_from(self.int(SEGMENTS)).unwrap_or(0)
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

    /// Types of the outputs for operands of the given types.
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

/// Printed as in a graph file, without defaults: `RmsNorm(eps: 1e-5)`.
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

impl Op {
    /// How kernels read operand `slot` if it is a weight or literal and the operands have these types. Lowering, the plan
    /// and the transforms all use this function.
    pub fn weight_form(&self, slot: usize, inputs: &[Option<&Type>]) -> WeightForm {
        let ty = |slot: usize| inputs.get(slot).copied().flatten();
        let panels = match ty(0).is_some_and(|x| x.dtype == DType::Int8) {
            true => WeightForm::Quantized,
            false => WeightForm::Packed,
        };
        match self.input_def(slot).map(|def| def.form) {
            Some(Form::Packed) => panels,
            // One matrix as files store it, [out, in].
            Some(Form::PackedOrTensor)
                if self.flag("transpose_b") && ty(slot).is_some_and(|b| b.shape.len() == 2) =>
            {
                panels
            }
            Some(Form::Table) => WeightForm::Table,
            Some(
                Form::PackedOrTensor
                | Form::Tensor
                | Form::TensorOrInt8
                | Form::Any
                | Form::Constant
                | Form::Ints
                | Form::AnyOrInts,
            )
            | None => WeightForm::Constant,
        }
    }
}
