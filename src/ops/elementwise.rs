//! Ops that work element by element.

use smallvec::SmallVec;

use super::attributes::{Attribute, AttributeDef, AttributeKind};
use super::infer::{Types, broadcast, operand, same};
use super::lower::{Form, Lowering, Phase};
use super::reference::Operands;
use super::tensor::{Data, Tensor};
use super::{InputDef, Neutral, Op, OpDef, Tokens};
use crate::kernels::elementwise::{Binary, BinaryFunction, IntBinary, Unary, UnaryFunction};
use crate::kernels::simd::Scalar;
use crate::types::{DType, Type};

/// Words for the activation that a fused op applies.
pub(super) const ACTIVATIONS: AttributeKind = AttributeKind::Choice(&[
    "none",
    "relu",
    "silu",
    "gelu",
    "gelu_tanh",
    "tanh",
    "sigmoid",
]);

/// Words for the function of a gate.
pub(super) const GATES: AttributeKind =
    AttributeKind::Choice(&["relu", "silu", "gelu", "gelu_tanh", "tanh", "sigmoid"]);

/// The function of such a word; `None` for `none`.
pub(super) fn activation(word: &str) -> Option<UnaryFunction> {
    Some(match word {
        "relu" => UnaryFunction::Relu,
        "silu" => UnaryFunction::Silu,
        "gelu" => UnaryFunction::GeluErf,
        "gelu_tanh" => UnaryFunction::GeluTanh,
        "tanh" => UnaryFunction::Tanh,
        "sigmoid" => UnaryFunction::Sigmoid,
        _ => return None,
    })
}

/// The op, with its attributes, that a model's name for its activation means: `Activation("act")` in a graph file.
/// `gelu` is the exact one, as in PyTorch and Hugging Face; `gelu_new` and `gelu_pytorch_tanh` the tanh form.
pub fn named_activation(name: &str) -> Result<Op, String> {
    let tanh = [("approximate", Attribute::word("tanh"))];
    let (op, attributes): (&str, &[(&str, Attribute)]) = match name {
        "relu" => ("Relu", &[]),
        "silu" | "swish" => ("Silu", &[]),
        "gelu" => ("Gelu", &[]),
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" | "gelu_tanh" => ("Gelu", &tanh),
        "tanh" => ("Tanh", &[]),
        "sigmoid" => ("Sigmoid", &[]),
        _ => {
            let known = [
                "relu",
                "silu",
                "swish",
                "gelu",
                "gelu_new",
                "gelu_pytorch_tanh",
                "gelu_fast",
                "tanh",
                "sigmoid",
            ];
            return Err(crate::language::nearest::unknown_of_few(
                "activation",
                name,
                known,
            ));
        }
    };
    Op::new(op, attributes).map_err(|problems| problems.join("; "))
}

const UNARY_INPUTS: &[InputDef] = &[InputDef::required("x", Form::Tensor)];
const BINARY_INPUTS: &[InputDef] = &[
    InputDef::required("a", Form::AnyOrInts),
    InputDef::required("b", Form::AnyOrInts),
];

const fn unary(name: &'static str, formula: &'static str) -> OpDef {
    OpDef {
        name,
        formula,
        inputs: UNARY_INPUTS,
        tokens: |_| Tokens::Own(&[0]),
        in_place: &[(0, 0)],
        infer: same,
        reference: unary_reference,
        lower: unary_lower,
        ..OpDef::PLAIN
    }
}

const fn binary(name: &'static str, formula: &'static str, commutative: bool) -> OpDef {
    OpDef {
        name,
        formula,
        inputs: BINARY_INPUTS,
        commutative,
        tokens: |_| Tokens::Own(&[0, 1]),
        in_place: &[(0, 0), (0, 1)],
        infer: binary_infer,
        reference: binary_reference,
        lower: binary_lower,
        ..OpDef::PLAIN
    }
}

pub(super) const OPS: &[OpDef] = &[
    binary("Add", "a + b, broadcast as NumPy does", true),
    binary("Sub", "a − b, broadcast as NumPy does", false),
    OpDef {
        neutral: Some(Neutral {
            number: 1.0,
            slots: &[0, 1],
        }),
        ..binary("Mul", "a · b, broadcast as NumPy does", true)
    },
    OpDef {
        // Above Mul, so that a quotient can become a product.
        rank: 41,
        neutral: Some(Neutral {
            number: 1.0,
            slots: &[1],
        }),
        ..binary("Div", "a / b, broadcast as NumPy does", false)
    },
    binary("Min", "a < b ? a : b, broadcast as NumPy does", false),
    binary("Max", "a > b ? a : b, broadcast as NumPy does", false),
    unary("Neg", "−x"),
    unary("Exp", "eˣ"),
    unary("Sqrt", "√x"),
    unary("Reciprocal", "1 / x"),
    unary("Rsqrt", "1 / √x"),
    unary("Sin", "sin x, x in radians"),
    unary("Cos", "cos x, x in radians"),
    OpDef {
        attributes: &[AttributeDef::required(
            "exponent",
            AttributeKind::Float,
            "−1, −0.5, 0.5, 2 or 3",
        )],
        rank: 45,
        infer: pow_infer,
        ..unary(
            "Pow",
            "xⁿ: 1 / x, 1 / √x, √x, x · x or (x · x) · x; other exponents are refused",
        )
    },
    unary("Tanh", "tanh x"),
    unary("Erf", "erf x"),
    unary("Sigmoid", "1 / (1 + e⁻ˣ)"),
    unary("Relu", "max(x, 0)"),
    unary("Silu", "x / (1 + e⁻ˣ)"),
    OpDef {
        attributes: &[AttributeDef::optional(
            "approximate",
            AttributeKind::Choice(&["none", "tanh"]),
            Attribute::word("none"),
            "the tanh form instead of the exact one",
        )],
        ..unary(
            "Gelu",
            "x/2 · (1 + erf(x/√2)); with approximate 'tanh', x/2 · (1 + tanh(√(2/π) · (x + 0.044715x³)))",
        )
    },
];

/// The functions that powers are.
fn power(exponent: f64) -> Option<UnaryFunction> {
    let functions = [
        (-1.0, UnaryFunction::Reciprocal),
        (-0.5, UnaryFunction::Rsqrt),
        (0.5, UnaryFunction::Sqrt),
        (2.0, UnaryFunction::Square),
        (3.0, UnaryFunction::Cube),
    ];
    let found = functions.iter().find(|(known, _)| *known == exponent);
    found.map(|(_, function)| *function)
}

fn pow_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    let exponent = op.float("exponent");
    if power(exponent).is_none() {
        return Err(format!(
            "exponent must be -1, -0.5, 0.5, 2 or 3, found {exponent:?}"
        ));
    }
    same(op, inputs)
}

/// The function that an op of one operand applies.
pub(super) fn unary_function(op: &Op) -> UnaryFunction {
    match op.name() {
        "Neg" => UnaryFunction::Neg,
        "Exp" => UnaryFunction::Exp,
        "Sqrt" => UnaryFunction::Sqrt,
        "Reciprocal" => UnaryFunction::Reciprocal,
        "Tanh" => UnaryFunction::Tanh,
        "Erf" => UnaryFunction::Erf,
        "Sigmoid" => UnaryFunction::Sigmoid,
        "Relu" => UnaryFunction::Relu,
        "Silu" => UnaryFunction::Silu,
        "Rsqrt" => UnaryFunction::Rsqrt,
        "Sin" => UnaryFunction::Sin,
        "Cos" => UnaryFunction::Cos,
        // Shape inference has refused exponents that are no function.
        "Pow" => power(op.float("exponent")).unwrap_or(UnaryFunction::Square),
        _ if op.text("approximate") == "tanh" => UnaryFunction::GeluTanh,
        _ => UnaryFunction::GeluErf,
    }
}

/// The function that an op of two operands applies.
pub(super) fn binary_function(op: &Op) -> BinaryFunction {
    match op.name() {
        "Add" => BinaryFunction::Add,
        "Sub" => BinaryFunction::Sub,
        "Mul" => BinaryFunction::Mul,
        "Min" => BinaryFunction::Min,
        "Max" => BinaryFunction::Max,
        _ => BinaryFunction::Div,
    }
}

/// One lane of a function.
pub(super) fn apply(function: UnaryFunction, x: f32) -> f32 {
    function.apply(Scalar, [x; 16])[0]
}

fn unary_reference(op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let x = operands.get(0);
    let function = unary_function(op);
    vec![Tensor::f32(
        x.shape.clone(),
        x.floats().iter().map(|&x| apply(function, x)).collect(),
    )]
}

fn unary_lower(op: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    vec![Phase::whole(
        Unary {
            function: unary_function(op),
        },
        lowering,
    )]
}

fn binary_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    let (a, b) = (operand(inputs, 0)?, operand(inputs, 1)?);
    let ints = a.dtype == DType::I32 && b.dtype == DType::I32;
    if ints && op.name() == "Div" {
        return Err("whole numbers do not divide here".to_string());
    }
    if !ints
        && (a.dtype == DType::I32 && !a.shape.is_empty()
            || b.dtype == DType::I32 && !b.shape.is_empty())
    {
        return Err(format!("{a} and {b} do not mix"));
    }
    let dtype = if ints { DType::I32 } else { DType::F32 };
    Ok(SmallVec::from_iter([Type {
        dtype,
        shape: broadcast(a, b)?,
    }]))
}

fn binary_reference(op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let (a, b) = (operands.get(0), operands.get(1));
    let rank = a.shape.len().max(b.shape.len());
    let dim = |t: &Tensor, i: usize| {
        if i < rank - t.shape.len() {
            1
        } else {
            t.shape[i + t.shape.len() - rank]
        }
    };
    let shape: Vec<usize> = (0..rank)
        .map(|i| if dim(a, i) == 1 { dim(b, i) } else { dim(a, i) })
        .collect();
    // The element of `t` that stands at the output's flat index.
    let at = |t: &Tensor, flat: usize| {
        let (mut rest, mut stride, mut index) = (flat, 1, 0);
        for i in (0..rank).rev() {
            let coordinate = rest % shape[i];
            rest /= shape[i];
            if dim(t, i) != 1 {
                index += coordinate * stride;
            }
            stride *= dim(t, i);
        }
        index
    };
    let count: usize = shape.iter().product();
    let function = binary_function(op);
    if let (Data::I32(x), Data::I32(y)) = (&a.data, &b.data) {
        let join = |i| function.apply_i32(x[at(a, i)], y[at(b, i)]);
        return vec![Tensor::i32(shape.clone(), (0..count).map(join).collect())];
    }
    let (x, y) = (a.floats(), b.floats());
    let join = |i| {
        let (x, y) = (x[at(a, i)], y[at(b, i)]);
        match function {
            BinaryFunction::Add => x + y,
            BinaryFunction::Sub => x - y,
            BinaryFunction::Mul => x * y,
            BinaryFunction::Div => x / y,
            BinaryFunction::Min => [y, x][usize::from(x < y)],
            BinaryFunction::Max => [y, x][usize::from(x > y)],
        }
    };
    let data = (0..count).map(join).collect();
    vec![Tensor::f32(shape, data)]
}

fn binary_lower(op: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    let function = binary_function(op);
    if lowering.outputs[0].dtype == DType::I32 {
        vec![Phase::whole(IntBinary { function }, lowering)]
    } else {
        vec![Phase::whole(Binary { function }, lowering)]
    }
}
