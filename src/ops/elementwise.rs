//! Elementwise ops: those functions in the table of functions (`kernels/functions.rs`) that are ops by themselves, and the
//! ops whose attribute chooses the function.

use smallvec::SmallVec;

use super::attributes::{Attribute, AttributeDef, AttributeKind};
use super::definition::Applies;
use super::infer::{Types, broadcast, operand, same};
use super::lower::{Form, Lowering, Phase};
use super::reference::Operands;
use super::tensor::{Data, Tensor};
use super::{InputDef, Neutral, Op, OpDef, Tokens};
use crate::kernels::elementwise::{Binary, IntBinary, Unary};
use crate::kernels::functions::{BinaryFunction, Function, UnaryFunction};
use crate::kernels::simd::Scalar;
use crate::language::nearest;
use crate::types::{DType, Type};

/// How many functions are activations, and how many are ops by themselves.
const COUNTS: (usize, usize) = {
    let (mut activations, mut ops, mut at) = (0, 0, 0);
    while at < UnaryFunction::ALL.len() {
        let row = UnaryFunction::ALL[at].row();
        activations += !row.activation.is_empty() as usize;
        ops += row.is_op as usize;
        at += 1;
    }
    (activations, ops)
};

/// `none`, then the word of every activation.
const WORDS: [&str; 1 + COUNTS.0] = {
    let mut words = ["none"; 1 + COUNTS.0];
    let (mut count, mut at) = (1, 0);
    while at < UnaryFunction::ALL.len() {
        if let [word, ..] = UnaryFunction::ALL[at].row().activation {
            words[count] = word;
            count += 1;
        }
        at += 1;
    }
    words
};

/// Words for the activation that a fused op applies.
pub(super) const ACTIVATIONS: AttributeKind = AttributeKind::Choice(&WORDS);

/// Words for the function of a gate.
pub(super) const GATES: AttributeKind = AttributeKind::Choice(WORDS.split_at(1).1);

/// The function that the word means; `None` for `none`.
pub(super) fn activation(word: &str) -> Option<UnaryFunction> {
    let mut all = UnaryFunction::ALL.iter().copied();
    all.find(|function| function.row().activation.first() == Some(&word))
}

/// The op, with its attributes, that a model means by the name of its activation: `Activation("act")` in a graph file.
/// `gelu` is the exact form, as in PyTorch and Hugging Face; `gelu_new` and `gelu_pytorch_tanh` are the tanh form.
pub fn named_activation(name: &str) -> Result<Op, String> {
    let names = |function: &UnaryFunction| function.row().activation;
    let mut all = UnaryFunction::ALL.iter().copied();
    match all.find(|function| names(function).contains(&name)) {
        Some(function) => op_of(Function::Unary(function)),
        None => {
            let known = UnaryFunction::ALL.iter().flat_map(names).copied();
            Err(nearest::unknown_of_few("activation", name, known))
        }
    }
}

/// The op that computes only this function.
fn op_of(function: Function) -> Result<Op, String> {
    let op = |name: &str, attributes: &[(&str, Attribute)]| {
        Op::new(name, attributes).map_err(|problems| problems.join("; "))
    };
    for def in OPS {
        match def.function {
            Some(Applies::Always(known)) if known == function => return op(def.name, &[]),
            Some(Applies::Always(_)) | None => {}
            // The function is chosen by a word in one of the attributes of the op.
            Some(Applies::By(_)) => {
                for attribute in def.attributes {
                    let AttributeKind::Choice(words) = attribute.kind else {
                        continue;
                    };
                    for word in words {
                        let chosen = op(def.name, &[(attribute.name, Attribute::word(word))])?;
                        if chosen.function() == Some(function) {
                            return Ok(chosen);
                        }
                    }
                }
            }
        }
    }
    Err(format!("no op computes {} alone", function.name()))
}

const BINARY_INPUTS: &[InputDef] = &[
    InputDef::required("a", Form::AnyOrInts),
    InputDef::required("b", Form::AnyOrInts),
];

const UNARY: OpDef = OpDef {
    inputs: &[InputDef::required("x", Form::Tensor)],
    tokens: |_| Tokens::Own(&[0]),
    in_place: &[(0, 0)],
    infer: unary_infer,
    reference: unary_reference,
    lower: unary_lower,
    ..OpDef::PLAIN
};

const fn unary(function: UnaryFunction) -> OpDef {
    OpDef {
        name: function.row().name,
        formula: function.row().formula,
        function: Some(Applies::Always(Function::Unary(function))),
        ..UNARY
    }
}

const fn binary(function: BinaryFunction) -> OpDef {
    let row = function.row();
    OpDef {
        name: row.name,
        formula: row.formula,
        inputs: BINARY_INPUTS,
        // The rank of a quotient is higher than the rank of a product, so that a quotient can become a product.
        rank: match function {
            BinaryFunction::Div => 41,
            _ => 40,
        },
        commutative: row.commutative,
        neutral: match row.neutral {
            Some((number, slots)) => Some(Neutral { number, slots }),
            None => None,
        },
        function: Some(Applies::Always(Function::Binary(function))),
        tokens: |_| Tokens::Own(&[0, 1]),
        in_place: &[(0, 0), (0, 1)],
        infer: binary_infer,
        reference: binary_reference,
        lower: binary_lower,
        ..OpDef::PLAIN
    }
}

/// Ops whose attribute chooses the function.
const CHOSEN: [OpDef; 2] = [
    OpDef {
        name: "Pow",
        formula: "xⁿ: 1 / x, 1 / √x, √x, x · x or (x · x) · x; other exponents are refused",
        attributes: &[AttributeDef::required(
            "exponent",
            AttributeKind::Float,
            "−1, −0.5, 0.5, 2 or 3",
        )],
        rank: 45,
        function: Some(Applies::By(power)),
        infer: pow_infer,
        ..UNARY
    },
    OpDef {
        name: "Gelu",
        formula: "x/2 · (1 + erf(x/√2)); with approximate 'tanh', x/2 · (1 + tanh(√(2/π) · (x + 0.044715x³)))",
        attributes: &[AttributeDef::optional(
            "approximate",
            AttributeKind::Choice(&["none", "tanh"]),
            Attribute::word("none"),
            "the tanh form instead of the exact one",
        )],
        function: Some(Applies::By(gelu)),
        ..UNARY
    },
];

const TABLE: [OpDef; BinaryFunction::ALL.len() + COUNTS.1 + CHOSEN.len()] = {
    let mut rows = [OpDef::PLAIN; BinaryFunction::ALL.len() + COUNTS.1 + CHOSEN.len()];
    let (mut count, mut at) = (0, 0);
    while at < BinaryFunction::ALL.len() {
        rows[count] = binary(BinaryFunction::ALL[at]);
        (count, at) = (count + 1, at + 1);
    }
    at = 0;
    while at < UnaryFunction::ALL.len() {
        if UnaryFunction::ALL[at].row().is_op {
            rows[count] = unary(UnaryFunction::ALL[at]);
            count += 1;
        }
        at += 1;
    }
    at = 0;
    while at < CHOSEN.len() {
        rows[count] = CHOSEN[at];
        (count, at) = (count + 1, at + 1);
    }
    rows
};

pub(super) const OPS: &[OpDef] = &TABLE;

/// The functions that are powers.
fn power(op: &Op) -> Option<Function> {
    let functions = [
        (-1.0, UnaryFunction::Reciprocal),
        (-0.5, UnaryFunction::Rsqrt),
        (0.5, UnaryFunction::Sqrt),
        (2.0, UnaryFunction::Square),
        (3.0, UnaryFunction::Cube),
    ];
    let exponent = op.float("exponent");
    let found = functions.iter().find(|(known, _)| *known == exponent);
    found.map(|(_, function)| Function::Unary(*function))
}

fn gelu(op: &Op) -> Option<Function> {
    match op.text("approximate") {
        "none" => Some(Function::Unary(UnaryFunction::GeluErf)),
        "tanh" => Some(Function::Unary(UnaryFunction::GeluTanh)),
        _ => None,
    }
}

fn pow_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    if op.function().is_none() {
        let exponent = op.float("exponent");
        return Err(format!(
            "exponent must be -1, -0.5, 0.5, 2 or 3, found {exponent:?}"
        ));
    }
    same(op, inputs)
}

fn unary_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    unary_function(op).ok_or("no function of one operand is chosen")?;
    same(op, inputs)
}

/// The function that an op of one operand applies.
fn unary_function(op: &Op) -> Option<UnaryFunction> {
    match op.function() {
        Some(Function::Unary(function)) => Some(function),
        Some(Function::Binary(_)) | None => None,
    }
}

/// The function that an op of two operands applies.
fn binary_function(op: &Op) -> Option<BinaryFunction> {
    match op.function() {
        Some(Function::Binary(function)) => Some(function),
        Some(Function::Unary(_)) | None => None,
    }
}

/// Applies the function to one lane.
pub(super) fn apply(function: UnaryFunction, x: f32) -> f32 {
    function.apply(Scalar, [x; 16])[0]
}

fn unary_reference(op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let functions = unary_function(op).into_iter();
    functions
        .map(|f| unary_tensor(f, operands.get(0)))
        .collect()
}

fn unary_lower(op: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    let kernels = unary_function(op).map(|function| Unary { function });
    let phases = kernels.into_iter();
    phases
        .map(|kernel| Phase::whole(kernel, lowering))
        .collect()
}

fn binary_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    let function = binary_function(op).ok_or("no function of two operands is chosen")?;
    let ty = binary_type(function, operand(inputs, 0)?, operand(inputs, 1)?)?;
    Ok(SmallVec::from_iter([ty]))
}

/// The type of `function(a, b)`.
pub(super) fn binary_type(function: BinaryFunction, a: &Type, b: &Type) -> Result<Type, String> {
    let ints = a.dtype == DType::I32 && b.dtype == DType::I32;
    if ints && function.row().ints.is_none() {
        return Err("whole numbers have no such function: cast them to f32 first".to_string());
    }
    if !ints
        && (a.dtype == DType::I32 && !a.shape.is_empty()
            || b.dtype == DType::I32 && !b.shape.is_empty())
    {
        return Err(format!("{a} and {b} do not mix"));
    }
    let dtype = if ints { DType::I32 } else { DType::F32 };
    Ok(Type {
        dtype,
        shape: broadcast(a, b)?,
    })
}

/// Applies the function to each element.
pub(super) fn unary_tensor(function: UnaryFunction, x: &Tensor) -> Tensor {
    let data = x.floats().iter().map(|&x| apply(function, x)).collect();
    Tensor::f32(x.shape.clone(), data)
}

fn binary_reference(op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let functions = binary_function(op).into_iter();
    let tensor = |f| binary_tensor(f, operands.get(0), operands.get(1));
    functions.map(tensor).collect()
}

/// Applies the function to each pair of elements, with NumPy's broadcasting.
pub(super) fn binary_tensor(function: BinaryFunction, a: &Tensor, b: &Tensor) -> Tensor {
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
    // The element of `t` for the flat index `flat` of the output.
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
    let row = function.row();
    if let (Data::I32(x), Data::I32(y), Some(join)) = (&a.data, &b.data, row.ints) {
        let data = (0..count).map(|i| join(x[at(a, i)], y[at(b, i)])).collect();
        return Tensor::i32(shape, data);
    }
    let (x, y) = (a.floats(), b.floats());
    let join = |i| (row.scalar)(x[at(a, i)], y[at(b, i)]);
    let data = (0..count).map(join).collect();
    Tensor::f32(shape, data)
}

fn binary_lower(op: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    let whole_numbers = lowering.outputs[0].dtype == DType::I32;
    let functions = binary_function(op).into_iter();
    let phase = |function: BinaryFunction| match function.row().ints.filter(|_| whole_numbers) {
        Some(function) => Phase::whole(IntBinary { function }, lowering),
        None => Phase::whole(Binary { function }, lowering),
    };
    functions.map(phase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_that_is_an_op_or_an_activation_has_its_op() {
        for &function in UnaryFunction::ALL {
            let row = function.row();
            if row.is_op || !row.activation.is_empty() {
                let op = op_of(Function::Unary(function)).unwrap();
                assert_eq!(op.function(), Some(Function::Unary(function)));
            }
        }
        for &function in BinaryFunction::ALL {
            let op = op_of(Function::Binary(function)).unwrap();
            assert_eq!(op.function(), Some(Function::Binary(function)));
        }
    }

    #[test]
    fn every_word_of_an_activation_is_a_function() {
        let [none, words @ ..] = &WORDS;
        assert_eq!(activation(none), None);
        for word in words {
            assert!(activation(word).is_some(), "{word}");
            assert!(named_activation(word).is_ok(), "{word}");
        }
    }
}
