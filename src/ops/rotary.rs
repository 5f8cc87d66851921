//! Rotary position embedding (Su et al. 2021), as one op and as its two parts.

use super::attributes::{Attribute, AttributeDef, AttributeKind};
use super::infer::{Types, expect_rank, expect_shape, one, operand, same};
use super::lower::{Form, Lowering, Phase};
use super::reference::Operands;
use super::tensor::Tensor;
use super::{InputDef, Op, OpDef, Split, Tokens};
use crate::kernels::math::sin_cos_f32;
use crate::kernels::rotary::{ApplyRotary, Rope, RopeScaling, RotaryTable, inverse_frequencies};
use crate::types::{Dim, Shape, Type};

const PAIRS: AttributeDef = AttributeDef::optional(
    "pairs",
    AttributeKind::Choice(&["half", "adjacent"]),
    Attribute::word("half"),
    "which dimensions are rotated together: i and i + dims/2 (half, the default), or 2i and 2i + 1",
);

const BASE: AttributeDef = AttributeDef::required(
    "base",
    AttributeKind::Float,
    "θ, the base of the frequencies",
);
const DIMS: AttributeDef = AttributeDef::required(
    "dims",
    AttributeKind::Int(2, 1 << 16),
    "how many dimensions of a head are rotated",
);
const ROPE_TYPE: AttributeDef = AttributeDef::optional(
    "rope_type",
    AttributeKind::Choice(&["default", "linear", "llama3"]),
    Attribute::word("default"),
    "how frequencies are scaled for long contexts",
);
const FACTOR: AttributeDef = AttributeDef::optional(
    "factor",
    AttributeKind::Float,
    Attribute::Float(1.0),
    "for linear and llama3 scaling",
);
const LOW: AttributeDef = AttributeDef::optional(
    "low_freq_factor",
    AttributeKind::Float,
    Attribute::Float(1.0),
    "for llama3 scaling",
);
const HIGH: AttributeDef = AttributeDef::optional(
    "high_freq_factor",
    AttributeKind::Float,
    Attribute::Float(4.0),
    "for llama3 scaling",
);
const ORIGINAL: AttributeDef = AttributeDef::optional(
    "original_context",
    AttributeKind::Int(1, i64::MAX),
    Attribute::Int(8192),
    "number of positions in the first training, for llama3 scaling",
);

const ROTARY_TABLE: &str = "RotaryTable";
const APPLY_ROTARY: &str = "ApplyRotary";

pub(super) const OPS: &[OpDef] = &[
    OpDef {
        name: "Rope",
        formula: "each pair (a, b) of a head's first `dims` dimensions is rotated by the angle position · base^(−2i/dims): \
                  (a cos − b sin, b cos + a sin). Frequencies are divided by `factors`, if given",
        attributes: &[BASE, DIMS, PAIRS, ROPE_TYPE, FACTOR, LOW, HIGH, ORIGINAL],
        inputs: &[
            InputDef::required("x", Form::Tensor),
            InputDef::required("positions", Form::Ints),
            InputDef::optional("factors", Form::Constant),
        ],
        rank: 30,
        split: Some(Split {
            table: ROTARY_TABLE,
            apply: APPLY_ROTARY,
        }),
        tokens: |_| Tokens::Own(&[0, 1]),
        in_place: &[(0, 0)],
        infer: rope_infer,
        reference: rope_reference,
        lower: rope_lower,
        ..OpDef::PLAIN
    },
    OpDef {
        name: ROTARY_TABLE,
        formula: "the cosines, then the sines, of each position times each frequency",
        attributes: &[BASE, DIMS, ROPE_TYPE, FACTOR, LOW, HIGH, ORIGINAL],
        inputs: &[
            InputDef::required("positions", Form::Ints),
            InputDef::optional("factors", Form::Constant),
        ],
        outputs: &["table"],
        rank: 10,
        tokens: |_| Tokens::Own(&[0]),
        infer: table_infer,
        reference: table_reference,
        lower: table_lower,
        ..OpDef::PLAIN
    },
    OpDef {
        name: APPLY_ROTARY,
        formula: "each head, rotated by the row of the table for its position",
        attributes: &[PAIRS],
        inputs: &[
            InputDef::required("x", Form::Tensor),
            InputDef::required("table", Form::Tensor),
        ],
        rank: 10,
        tokens: |_| Tokens::Own(&[0, 1]),
        in_place: &[(0, 0)],
        infer: apply_infer,
        reference: apply_reference,
        lower: apply_lower,
        ..OpDef::PLAIN
    },
];

/// The scaling that the attributes describe.
fn scaling(op: &Op) -> Result<RopeScaling, String> {
    Ok(match op.text("rope_type") {
        "default" => RopeScaling::Default,
        "linear" => RopeScaling::Linear {
            factor: op.float("factor"),
        },
        "llama3" => RopeScaling::Llama3 {
            factor: op.float("factor"),
            low_freq_factor: op.float("low_freq_factor"),
            high_freq_factor: op.float("high_freq_factor"),
            original_context: op.int("original_context") as f64,
        },
        other => return Err(format!("rope_type '{other}' has no scaling")),
    })
}

fn frequencies(op: &Op) -> Vec<f32> {
    // Shape inference has rejected attributes without a scaling.
    let scaling = scaling(op).unwrap_or(RopeScaling::Default);
    inverse_frequencies(op.float("base"), op.int("dims") as usize, &scaling)
}

fn check_frequencies(op: &Op, factors: Option<&Type>) -> Result<usize, String> {
    let dims = op.int("dims");
    if dims % 2 != 0 {
        return Err(format!("dims must be even, found {dims}"));
    }
    let factor = match scaling(op)? {
        RopeScaling::Default => 1.0,
        RopeScaling::Linear { factor } | RopeScaling::Llama3 { factor, .. } => factor,
    };
    if factor <= 0.0 {
        return Err(format!("factor must be positive, found {factor}"));
    }
    if op.float("base") <= 0.0 {
        return Err(format!("base must be positive, found {}", op.float("base")));
    }
    if let Some(factors) = factors {
        expect_shape("factors", factors, &[Dim::Fixed(dims as usize / 2)])?;
    }
    Ok(dims as usize)
}

fn rope_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    let (x, positions) = (operand(inputs, 0)?, operand(inputs, 1)?);
    let dims = check_frequencies(op, inputs[2])?;
    expect_rank("x", x, 3)?;
    expect_shape("positions", positions, &x.shape[..1])?;
    fits(x, dims)?;
    same(op, inputs)
}

fn fits(x: &Type, dims: usize) -> Result<(), String> {
    match x.shape[2] {
        Dim::Fixed(width) if width >= dims => Ok(()),
        width => Err(format!(
            "can't rotate {dims} dimensions in heads of {width}"
        )),
    }
}

fn table_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    let positions = operand(inputs, 0)?;
    expect_rank("positions", positions, 1)?;
    let dims = check_frequencies(op, inputs[1])?;
    one(Shape::from_slice(&[positions.shape[0], Dim::Fixed(dims)]))
}

fn apply_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    check_table("x", operand(inputs, 0)?, operand(inputs, 1)?)?;
    same(op, inputs)
}

/// Checks that a rotary table [T, dims] can rotate the heads of x [T, heads, head_dim].
pub(super) fn check_table(what: &str, x: &Type, table: &Type) -> Result<(), String> {
    expect_rank(what, x, 3)?;
    expect_rank("table", table, 2)?;
    if table.shape[0] != x.shape[0] {
        return Err(format!("{what} {x} and table {table} differ in rows"));
    }
    match table.shape[1] {
        Dim::Fixed(dims) if dims % 2 == 0 => fits(x, dims),
        dims => Err(format!("{dims} is not an even number of dimensions")),
    }
}

fn rope_reference(op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let table = rows(op, operands.get(1), operands.optional(2));
    vec![turn(
        operands.get(0),
        &table,
        op.text("pairs") == "adjacent",
    )]
}

fn table_reference(op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    vec![rows(op, operands.get(0), operands.optional(1))]
}

fn apply_reference(op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    vec![turn(
        operands.get(0),
        operands.get(1),
        op.text("pairs") == "adjacent",
    )]
}

/// The table [positions, dims]: cosines, then sines.
fn rows(op: &Op, positions: &Tensor, factors: Option<&Tensor>) -> Tensor {
    let mut frequencies = frequencies(op);
    if let Some(factors) = factors {
        frequencies
            .iter_mut()
            .zip(factors.floats().iter())
            .for_each(|(f, factor)| *f /= factor);
    }
    let mut data = Vec::new();
    for &position in positions.ints() {
        let turns = || frequencies.iter().map(|f| sin_cos_f32(position as f32 * f));
        data.extend(turns().map(|(_, cos)| cos));
        data.extend(turns().map(|(sin, _)| sin));
    }
    Tensor::f32([positions.ints().len(), 2 * frequencies.len()], data)
}

/// x [tokens, heads, head_dim] rotated by table [tokens, 2n]: a' = a·cos − b·sin and b' = b·cos + a·sin, with the second
/// product fused into the sum.
pub(super) fn turn(x: &Tensor, table: &Tensor, adjacent: bool) -> Tensor {
    let (heads, width) = (x.shape[1], x.shape[2]);
    let (rows, pairs) = (table.floats(), table.width() / 2);
    let mut data = x.floats().into_owned();
    for (i, head) in data.chunks_exact_mut(width).enumerate() {
        let (cos, sin) = rows[i / heads * 2 * pairs..][..2 * pairs].split_at(pairs);
        for pair in 0..pairs {
            let (i, j) = if adjacent {
                (2 * pair, 2 * pair + 1)
            } else {
                (pair, pair + pairs)
            };
            let (a, b) = (head[i], head[j]);
            head[i] = (-b).mul_add(sin[pair], a * cos[pair]);
            head[j] = a.mul_add(sin[pair], b * cos[pair]);
        }
    }
    Tensor::f32(x.shape.clone(), data)
}

fn rope_lower(op: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    let kernel = Rope {
        inv_freq: frequencies(op),
        adjacent: op.text("pairs") == "adjacent",
    };
    vec![Phase::whole(kernel, lowering).with_scratch(op.int("dims") as usize)]
}

fn table_lower(op: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    vec![Phase::whole(
        RotaryTable {
            inv_freq: frequencies(op),
        },
        lowering,
    )]
}

fn apply_lower(op: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    vec![Phase::whole(
        ApplyRotary {
            adjacent: op.text("pairs") == "adjacent",
        },
        lowering,
    )]
}
