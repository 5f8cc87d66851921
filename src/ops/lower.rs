//! From an op to the kernels that run it.

use smallvec::SmallVec;

use crate::kernels::call::{BoundKernel, Kernel, bind};
use crate::kernels::simd::Isa;
use crate::types::{DType, StepSize, Type};

/// What a kernel wants of an operand.
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
    /// i32 in the arena or a whole literal; or as [`Form::Any`].
    AnyOrInts,
}

impl Form {
    /// Whether an operand of that element type can take the form.
    pub fn accepts(self, dtype: DType) -> bool {
        match self {
            Form::TensorOrInt8 => dtype == DType::Int8 || dtype.is_float(),
            Form::Ints => dtype == DType::I32,
            // A whole literal stands for a float wherever a dense constant does.
            Form::AnyOrInts | Form::Any | Form::Constant => dtype != DType::Int8,
            Form::Tensor | Form::Packed | Form::PackedOrTensor | Form::Table => dtype.is_float(),
        }
    }

    /// What the operand must be instead, where a `constant` one (a weight or literal) or one that is not can't take
    /// the form.
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
    /// Row by row, where the file has it.
    Table,
}

/// What lowering knows of a node.
pub struct Lowering<'a> {
    /// Types of the operands by slot.
    pub inputs: &'a [Option<&'a Type>],
    /// Types of the outputs.
    pub outputs: &'a [&'a Type],
    /// How operands that are weights or literals are read, by [`Op::weight_form`](super::Op::weight_form); `None` for what depends on the tokens.
    pub weights: &'a [Option<WeightForm>],
    /// The instruction set.
    pub isa: Isa,
    /// The largest step.
    pub size: StepSize,
}

/// An operand as a kernel sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Read {
    /// The op's slot.
    pub slot: usize,
    /// How it is read; `None` where it depends on the tokens, or is absent.
    pub weight: Option<WeightForm>,
}

/// One kernel of an op. An op with several runs them one after the other, all threads waiting between.
pub struct Phase {
    /// The kernel.
    pub kernel: Box<dyn BoundKernel>,
    /// The operands it sees.
    pub inputs: SmallVec<[Read; 8]>,
    /// Whether it sees the op's outputs.
    pub outputs: bool,
    /// f32 of scratch for each thread.
    pub scratch: usize,
}

impl Phase {
    /// A phase that sees every operand and the outputs, without scratch.
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

    /// The same with `floats` f32 of scratch for each thread.
    pub fn with_scratch(mut self, floats: usize) -> Phase {
        self.scratch = floats;
        self
    }

    /// The same seeing only those operands.
    pub fn seeing(mut self, slots: &[usize]) -> Phase {
        let read = |slot: &usize| self.inputs.get(*slot).copied();
        self.inputs = slots.iter().filter_map(read).collect();
        self
    }
}
