//! A row of the table: everything about one op. A column that another room needs stands here, so that the room asks the
//! table and not for a name.

use super::Op;
use super::attributes::AttributeDef;
use super::infer::Types;
use super::lower::{Form, Lowering, Phase};
use super::reference::Operands;
use super::tensor::Tensor;
use crate::kernels::functions::Function;
use crate::types::Type;

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

/// One operand of an op.
pub struct InputDef {
    /// For documentation and messages.
    pub name: &'static str,
    /// Whether it may be absent.
    pub optional: bool,
    /// What kernels want of it.
    pub form: Form,
}

impl InputDef {
    /// An operand that must be there.
    pub const fn required(name: &'static str, form: Form) -> Self {
        InputDef {
            name,
            optional: false,
            form,
        }
    }

    /// An operand that may be absent.
    pub const fn optional(name: &'static str, form: Form) -> Self {
        InputDef {
            name,
            optional: true,
            form,
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
    /// The same, where rows have a dimension besides the tokens, along which the op adds up: a vector [T] is one row.
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
    /// The table, [rows, width].
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
