//! Elementwise: several elementwise ops as one op.

use super::attributes::{AttributeDef, AttributeKind};
use super::elementwise::{binary_tensor, binary_type, unary_tensor};
use super::infer::{Types, operand};
use super::lower::{Form, Lowering, Phase};
use super::program::{ChainInput, MOST_INPUTS, Program};
use super::reference::{Operands, literal_tensor};
use super::tensor::Tensor;
use super::{Arity, InputDef, Op, OpDef, Tokens};
use crate::kernels::elementwise_chain::ElementwiseChain;
use crate::kernels::functions::Function;
use crate::types::{DType, Literal, Type};

/// The op that runs a program of elementwise functions, the attribute `program`.
pub const ELEMENTWISE: &str = "Elementwise";

pub(super) const OPS: &[OpDef] = &[OpDef {
    name: ELEMENTWISE,
    formula: "the last result of a program over the operands x0, x1, …: t0 = Mul(x0, 0.5); t1 = Tanh(t0). Functions have \
              the names of their ops, plus GeluTanh, Square and Cube; operands broadcast as NumPy does",
    attributes: &[AttributeDef::required(
        "program",
        AttributeKind::Text,
        "steps, each of which reads only results of earlier steps",
    )],
    inputs: &[InputDef::required("x", Form::Any)],
    arity: Arity::Variadic,
    rank: 5,
    tokens: |_| Tokens::Own(&[0, 1, 2, 3, 4, 5, 6, 7]),
    in_place: &[
        (0, 0),
        (0, 1),
        (0, 2),
        (0, 3),
        (0, 4),
        (0, 5),
        (0, 6),
        (0, 7),
    ],
    infer,
    reference,
    lower,
    ..OpDef::PLAIN
}];

/// The type of the last step.
fn infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    let program = Program::parse(op.text("program"))?;
    if inputs.len() > MOST_INPUTS {
        let found = inputs.len();
        return Err(format!("at most {MOST_INPUTS} operands, found {found}"));
    }
    for slot in 0..inputs.len() {
        let ty = operand(inputs, slot)?;
        if ty.dtype == DType::I32 {
            return Err(format!("x{slot} must hold floats, found {ty}"));
        }
        if !program.inputs().any(|read| read == slot) {
            return Err(format!("no step of the program reads x{slot}"));
        }
    }
    let number = Type::f32([]);
    let mut types: Vec<Type> = Vec::with_capacity(program.steps.len());
    for (n, step) in program.steps.iter().enumerate() {
        let source = |at: usize| match step.sources.get(at) {
            Some(ChainInput::Input(slot)) => operand(inputs, *slot),
            Some(ChainInput::Result(n)) => Ok(&types[*n]),
            Some(ChainInput::Number(_)) => Ok(&number),
            None => Err(format!("operand {at} of step {n} is absent")),
        };
        let ty = match step.function {
            Function::Unary(_) => source(0)?.clone(),
            Function::Binary(function) => binary_type(function, source(0)?, source(1)?)
                .map_err(|problem| format!("step {n} of the program: {problem}"))?,
        };
        types.push(Type::f32(ty.shape));
    }
    Ok(types.pop().into_iter().collect())
}

/// The program, which shape inference has checked.
fn program(op: &Op) -> Program {
    Program::parse(op.text("program")).unwrap_or(Program { steps: Vec::new() })
}

/// Applies one function after another.
fn reference(op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let mut results: Vec<Tensor> = Vec::new();
    for step in program(op).steps {
        let numbers: Vec<Tensor> = step
            .sources
            .iter()
            .map(|source| match source {
                ChainInput::Number(x) => literal_tensor(Literal::Float(*x)),
                _ => Tensor::f32([], vec![0.0]),
            })
            .collect();
        let tensor = |at: usize| match step.sources[at] {
            ChainInput::Input(slot) => operands.get(slot),
            ChainInput::Result(n) => &results[n],
            ChainInput::Number(_) => &numbers[at],
        };
        let result = match step.function {
            Function::Unary(function) => unary_tensor(function, tensor(0)),
            Function::Binary(function) => binary_tensor(function, tensor(0), tensor(1)),
        };
        results.push(result);
    }
    results.pop().into_iter().collect()
}

fn lower(op: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    let kernel = ElementwiseChain::new(&program(op).steps);
    let scratch = kernel.scratch_floats();
    vec![Phase::whole(kernel, lowering).with_scratch(scratch)]
}
