//! An op, and a row of the table: everything about one op. A fact that another module needs is a column here, so that the module asks the
//! table and not for a name.

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
    /// ONNX's or PyTorch's name where it has one.
    pub name: &'static str,
    /// The formula, in a line or two.
    pub formula: &'static str,
    /// Named attributes, in the order in which a lone positional value fills them.
    pub attributes: &'static [AttributeDef],
    /// Operands by slot.
    pub inputs: &'static [InputDef],
    /// How many operands there may be.
    pub arity: Arity,
    /// Names of the outputs, for documentation; [`Arity::Segments`] repeats the one.
    pub outputs: &'static [&'static str],
    /// How far from the machine: primitives are high, fused ops low. A rule must not raise it.
    pub rank: u32,
    /// Whether operands 0 and 1 may trade places without changing a bit.
    pub commutative: bool,
    /// The function of each element that it is.
    pub function: Option<Applies>,
    /// The number that changes nothing.
    pub neutral: Option<Neutral>,
    /// Which tokens a row of an output depends on.
    pub tokens: fn(&Op) -> Tokens,
    /// What it keeps from step to step.
    pub state: Option<State>,
    /// How its output lies in operand 0, where it computes nothing.
    pub view: Option<View>,
    /// Where it reads rows by number.
    pub lookup: Option<Lookup>,
    /// The op that computes several of this one in one step, where they read the same operand 0: after it, `segments` of
    /// operand 1, then of operand 2. It has none of this op's other operands, and no other attribute.
    pub merged: Option<&'static str>,
    /// The two ops that it is one after the other.
    pub split: Option<Split>,
    /// (output, operand) pairs that may share memory.
    pub in_place: &'static [(usize, usize)],
    /// Types of the outputs, or what is wrong with the operands.
    pub infer: fn(&Op, &[Option<&Type>]) -> Result<Types, String>,
    /// The meaning: plain loops in the fixed order of additions.
    pub reference: fn(&Op, &Operands<'_>) -> Vec<Tensor>,
    /// The kernels that run it.
    pub lower: fn(&Op, &Lowering<'_>) -> Vec<Phase>,
}

impl OpDef {
    /// What rows begin with: one output, whose rows mix, no state, nothing special. Every row states at least its name,
    /// formula, operands, shape rule, reference and kernels.
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
    /// For documentation and messages.
    pub name: &'static str,
    /// Whether it may be absent.
    pub optional: bool,
    /// Whether its absence must be written: where an optional weight is named and the file lacks it, it is not just left out.
    pub stated: bool,
    /// What kernels want of it.
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

    /// An operand that may be absent where that is written.
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
    /// Any number from one up; all are the first operand again.
    Variadic,
    /// By the attribute `segments`, n: operand 0, then n of operand 1, then n of operand 2; n outputs.
    Segments,
}

/// Which tokens row `t` of an output depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tokens {
    /// Token `t` alone: row `t` of these operands, and weights. The rows of an output can then be computed for some
    /// tokens only.
    Own(&'static [usize]),
    /// One token alone, which a list names: row `r` is the row of operand `x` that is number `r` of operand `list`.
    Listed {
        /// The operand with a row for each token.
        x: usize,
        /// The numbers of the rows.
        list: usize,
    },
    /// As [`Tokens::Own`], where rows have a dimension besides the tokens, along which the op adds up: a vector `[T]` is one row.
    OwnRow(&'static [usize]),
    /// The tokens of its own text, however many texts a step has: those up to `t` where it is causal, else all.
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
    /// How many of the newest positions are ever read again; `None` where all are.
    pub window: fn(&Op) -> Option<usize>,
}

/// How an output lies in operand 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum View {
    /// The same elements in the same order, under the output's shape: the same bytes.
    Reshape,
    /// Dimension i is dimension `perm[i]` of the operand, by the attribute `perm`.
    Transpose,
    /// A part of one dimension: [`slice_bounds`](super::slice_bounds).
    Slice,
    /// The same elements, each in the output's type.
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

/// How an op applies a function to each element, or to each pair of elements.
#[derive(Clone, Copy)]
pub enum Applies {
    /// One function.
    Always(Function),
    /// The one that its attributes choose; `None` where there is none, which the shape rule refuses.
    By(fn(&Op) -> Option<Function>),
}

/// A number that leaves the other operand of two as it is, to the bit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Neutral {
    /// The number.
    pub number: f32,
    /// Where it may stand.
    pub slots: &'static [usize],
}

/// What depends on positions alone, and what applies it: `op(x, rest…)` is `apply(x, table(rest…))`. Each of the two
/// takes from the op the attributes that it has too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Split {
    /// The op of all operands but the first.
    pub table: &'static str,
    /// The op of the first operand and the table.
    pub apply: &'static str,
}

/// Each op has one row, so that rows are the same op if they lie at the same place.
impl PartialEq for OpDef {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

/// An op with its attributes.
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
            Tokens::Listed { .. } | Tokens::Text { .. } | Tokens::Step => false,
        }
    }

    /// Whether a row of an output depends on several rows of an operand of that type.
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

    /// How many outputs it has.
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

impl Op {
    /// How kernels read operand `slot` where it is a weight or literal, for operands of these types. Lowering, the plan
    /// and the transforms all ask here.
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
