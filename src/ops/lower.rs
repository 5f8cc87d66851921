//! From an op to the kernels that run it.

use smallvec::SmallVec;

use crate::kernels::call::{BoundKernel, Kernel, bind};
use crate::kernels::simd::Isa;
use crate::types::{DType, StepSize, Type};

/// The form in which a kernel needs an operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// An f32 tensor in the arena.
    Tensor,
    /// An f32 tensor in the arena, or one of int8 blocks.
    TensorOrInt8,
    /// An f32 tensor in the arena, or a weight or literal as dense f32.
    Any,
    /// A weight or literal as dense f32.
    Constant,
    /// A weight packed into panels of 16 rows.
    Packed,
    /// A weight packed into panels, or an f32 tensor in the arena.
    PackedOrTensor,
    /// A weight read row by row.
    Table,
    /// i32 in the arena.
    Ints,
    /// i32 in the arena or a whole literal; otherwise like [`Form::Any`].
    AnyOrInts,
}

impl Form {
    /// Whether an operand with elements of type `dtype` can have this form.
    pub fn accepts(self, dtype: DType) -> bool {
        match self {
            Form::TensorOrInt8 => dtype == DType::Int8 || dtype.is_float(),
            Form::Ints => dtype == DType::I32,
            // A whole literal may be used as a float wherever a dense constant is.
            Form::AnyOrInts | Form::Any | Form::Constant => dtype != DType::Int8,
            Form::Tensor | Form::Packed | Form::PackedOrTensor | Form::Table => dtype.is_float(),
        }
    }

    /// What the operand must be instead, if an operand that is `constant` (a weight or literal), or one that is not,
    /// cannot have this form.
    pub fn misfit(self, constant: bool) -> Option<&'static str> {
        match self {
            Form::Tensor | Form::TensorOrInt8 | Form::Ints => {
                constant.then_some("a value that depends on the tokens")
            }
            Form::Constant | Form::Packed | Form::Table => (!constant).then_some("a weight"),
            Form::Any | Form::AnyOrInts | Form::PackedOrTensor => None,
        }
    }
}

/// How a kernel reads a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WeightForm {
    /// Dense f32.
    Constant,
    /// In panels of 16 rows: F16 and BF16 in their own type, everything else in f32.
    Packed,
    /// In panels of 16 rows of quantized blocks.
    Quantized,
    /// Row by row, from the file.
    Table,
}

/// What lowering knows about a node.
pub struct Lowering<'a> {
    /// Types of the operands by slot.
    pub inputs: &'a [Option<&'a Type>],
    /// Types of the outputs.
    pub outputs: &'a [&'a Type],
    /// How operands that are weights or literals are read, from [`Op::weight_form`](super::Op::weight_form); `None` for
    /// values that depend on the tokens.
    pub weights: &'a [Option<WeightForm>],
    /// The instruction set.
    pub isa: Isa,
    /// The largest step.
    pub size: StepSize,
}

/// An operand as a kernel reads it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Read {
    /// The slot of the op.
    pub slot: usize,
    /// How the operand is read if it is a weight; `None` if it depends on the tokens or is absent.
    pub weight: Option<WeightForm>,
}

/// One kernel of an op. An op with several phases runs them one after another, and all threads wait in between.
pub struct Phase {
    /// The kernel.
    pub kernel: Box<dyn BoundKernel>,
    /// The operands that the kernel sees.
    pub inputs: SmallVec<[Read; 8]>,
    /// Whether the kernel sees the outputs of the op.
    pub outputs: bool,
    /// Floats of scratch for each thread.
    pub scratch: usize,
}

impl Phase {
    /// A phase that sees all operands and outputs, without scratch.
    pub fn whole<K: Kernel>(kernel: K, lowering: &Lowering<'_>) -> Phase {
        let weight = |slot: usize| lowering.weights.get(slot).copied().flatten();
        let read = |slot| Read {
            slot,
            weight: weight(slot),
        };
        let inputs = (0..lowering.inputs.len()).map(read).collect();
        Phase {
            kernel: bind(kernel, lowering.isa),
            inputs,
            outputs: true,
            scratch: 0,
        }
    }

    /// The same phase with `floats` f32 of scratch for each thread.
    pub fn with_scratch(mut self, floats: usize) -> Phase {
        self.scratch = floats;
        self
    }

    /// The same phase, which sees only these operands.
    pub fn seeing(mut self, slots: &[usize]) -> Phase {
        let read = |slot: &usize| self.inputs.get(*slot).copied();
        self.inputs = slots.iter().filter_map(read).collect();
        self
    }
}
