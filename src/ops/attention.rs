//! Attention: whole, in single steps, and with its cache.
//!
//! The order of additions depends only on positions: keys are processed in blocks that begin at the absolute positions 0,
//! 64, 128, …; each block with a visible key has a largest score, a sum and an output, and these are merged from left to
//! right.

use smallvec::SmallVec;

use super::attributes::{Attribute, AttributeDef, AttributeKind};
use super::elementwise::apply;
use super::infer::{Types, expect_rank, expect_shape, one, operand, same};
use super::lower::{Form, Lowering, Phase};
use super::reference::Operands;
use super::rotary::{check_table, turn};
use super::tensor::Tensor;
use super::{InputDef, Op, OpDef, State, Tokens};
use crate::kernels::attention::{AttendCached, Attention, StoreKv, scratch_floats};
use crate::kernels::cache::Cache;
use crate::kernels::elementwise::UnaryFunction;
use crate::kernels::kv_cache::KEY_BLOCK;
use crate::kernels::matmul::AttentionScores;
use crate::kernels::shape::CausalMask;
use crate::kernels::simd::{LANES, tree};
use crate::types::{Dim, Shape, Type};

const SCALE: AttributeDef = AttributeDef::optional(
    "scale",
    AttributeKind::Float,
    Attribute::Float(1.0),
    "multiplies each score",
);
const SOFTCAP: AttributeDef = AttributeDef::optional(
    "softcap",
    AttributeKind::Float,
    Attribute::Absent,
    "scores become softcap · tanh(score / softcap)",
);
const CAUSAL: AttributeDef = AttributeDef::optional(
    "causal",
    AttributeKind::Bool,
    Attribute::Bool(true),
    "later keys are invisible",
);
const WINDOW: AttributeDef = AttributeDef::optional(
    "window",
    AttributeKind::Int(1, i64::MAX),
    Attribute::Absent,
    "how many keys a query sees, including its own; all if absent",
);
const PAIRS: AttributeDef = AttributeDef::optional(
    "pairs",
    AttributeKind::Choice(&["half", "adjacent"]),
    Attribute::word("half"),
    "as in ApplyRotary; used only with a table",
);

const K: InputDef = InputDef::required("k", Form::Tensor);
const V: InputDef = InputDef::required("v", Form::Tensor);
const Q: InputDef = InputDef::required("q", Form::Tensor);

pub(super) const OPS: &[OpDef] = &[
    OpDef {
        name: "CausalMask",
        formula: "scores [heads, T, S], −∞ where the key comes after the query or is outside its window",
        attributes: &[WINDOW],
        inputs: &[InputDef::required("scores", Form::Tensor)],
        rank: 40,
        in_place: &[(0, 0)],
        infer: mask_infer,
        reference: mask_reference,
        lower: mask_lower,
        ..OpDef::PLAIN
    },
    OpDef {
        name: "AttentionScores",
        formula: "q · k over head_dim, times scale, soft-capped, masked: [T, heads, dim] and [S, kv_heads, dim] give [heads, T, S]",
        attributes: &[SCALE, SOFTCAP, CAUSAL_OFF, WINDOW],
        inputs: &[Q, K],
        rank: 35,
        infer: scores_infer,
        reference: scores_reference,
        lower: scores_lower,
        ..OpDef::PLAIN
    },
    OpDef {
        name: "Attention",
        formula: "softmax(AttentionScores(q, k)) · v: [T, heads, dim]; heads of a group share one of k and v's heads \
                  (Vaswani et al. 2017; Ainslie et al. 2023)",
        attributes: &[SCALE, SOFTCAP, CAUSAL, WINDOW],
        inputs: &[Q, K, V],
        rank: 30,
        tokens: |op| Tokens::Text {
            causal: op.flag("causal"),
        },
        infer: whole_infer,
        reference: attention_reference,
        lower: attention_lower,
        ..OpDef::PLAIN
    },
    OpDef {
        name: "Cache",
        formula: "appends this step's k and v to the layer's cache and returns all of it: [S, kv_heads, dim] each",
        attributes: &[WINDOW],
        inputs: &[K, V],
        outputs: &["keys", "values"],
        rank: 30,
        // All positions are returned, whatever the reader uses.
        state: Some(State {
            keys: 0,
            window: |_| None,
        }),
        infer: cache_infer,
        reference: cache_reference,
        lower: cache_lower,
        ..OpDef::PLAIN
    },
    OpDef {
        name: "CachedAttention",
        formula: "Attention(q, Cache(k, v)), causal; with a rotary table, q and k are rotated by it first",
        attributes: &[SCALE, SOFTCAP, WINDOW, PAIRS],
        inputs: &[Q, K, V, InputDef::optional("table", Form::Tensor)],
        rank: 10,
        state: Some(State { keys: 1, window }),
        infer: cached_infer,
        reference: cached_reference,
        lower: cached_lower,
        ..OpDef::PLAIN
    },
];

const CAUSAL_OFF: AttributeDef = AttributeDef::optional(
    "causal",
    AttributeKind::Bool,
    Attribute::Bool(false),
    "later keys are invisible",
);

fn window(op: &Op) -> Option<usize> {
    op.optional_int("window")
        .and_then(|w| usize::try_from(w).ok())
}

fn softcap(op: &Op) -> Option<f32> {
    op.optional_float("softcap").map(|x| x as f32)
}

fn mask_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    expect_rank("scores", operand(inputs, 0)?, 3)?;
    same(op, inputs)
}

/// Checks q [T, heads, dim] against k [S, kv_heads, dim].
fn check_heads(q: &Type, k: &Type) -> Result<(), String> {
    expect_rank("q", q, 3)?;
    expect_rank("k", k, 3)?;
    if q.shape[2] != k.shape[2] {
        return Err(format!("q {q} and k {k} differ in head_dim"));
    }
    if q.shape[2].fixed().is_none() {
        return Err(format!(
            "q must be [.., heads, head_dim] with a known head_dim, found {q}"
        ));
    }
    match (q.shape[1], k.shape[1]) {
        (Dim::Fixed(heads), Dim::Fixed(kv_heads)) if kv_heads > 0 && heads % kv_heads == 0 => {
            Ok(())
        }
        (heads, kv_heads) => Err(format!(
            "{heads} query heads are not a multiple of {kv_heads} key heads"
        )),
    }
}

/// Fails if a window is given and later keys are visible: it is undefined which later keys such a window would keep.
fn check_window(op: &Op) -> Result<(), String> {
    match window(op).filter(|_| !op.flag("causal")) {
        Some(window) => Err(format!(
            "window {window} needs causal: true, because a window reaches back and never ahead"
        )),
        None => Ok(()),
    }
}

fn scores_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    check_window(op)?;
    let (q, k) = (operand(inputs, 0)?, operand(inputs, 1)?);
    check_heads(q, k)?;
    one(Shape::from_slice(&[q.shape[1], q.shape[0], k.shape[0]]))
}

fn whole_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    check_window(op)?;
    attention_infer(op, inputs)
}

fn attention_infer(_: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    let (q, k, v) = (
        operand(inputs, 0)?,
        operand(inputs, 1)?,
        operand(inputs, 2)?,
    );
    check_heads(q, k)?;
    expect_shape("v", v, &k.shape)?;
    one(q.shape.clone())
}

fn cache_infer(_: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    let (k, v) = (operand(inputs, 0)?, operand(inputs, 1)?);
    expect_rank("k", k, 3)?;
    expect_shape("v", v, &k.shape)?;
    expect_tokens("k", k)?;
    let all = Type::f32([Dim::Context, k.shape[1], k.shape[2]]);
    Ok(SmallVec::from_iter([all.clone(), all]))
}

/// Fails unless `found` is [T, heads, head_dim], where only T is unknown.
fn expect_tokens(what: &str, found: &Type) -> Result<(), String> {
    match found.shape[..] {
        [Dim::Tokens, Dim::Fixed(_), Dim::Fixed(_)] => Ok(()),
        _ => Err(format!(
            "{what} must be [T, heads, head_dim], found {found}"
        )),
    }
}

fn cached_infer(op: &Op, inputs: &[Option<&Type>]) -> Result<Types, String> {
    let (q, k) = (operand(inputs, 0)?, operand(inputs, 1)?);
    if let Some(table) = inputs[3] {
        check_table("q", q, table)?;
    }
    expect_tokens("q", q)?;
    expect_tokens("k", k)?;
    attention_infer(op, inputs)
}

/// Whether the query at `position` sees the key at `key`.
fn visible(position: usize, key: usize, causal: bool, window: Option<usize>) -> bool {
    !causal || key <= position && window.is_none_or(|w| key + w > position)
}

fn mask_reference(op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let x = operands.get(0);
    let (tokens, context) = (x.shape[1], x.shape[2]);
    let scores = x.floats();
    let masked = scores.iter().enumerate().map(|(i, &x)| {
        let (token, key) = (i / context % tokens, i % context);
        if visible(operands.past() + token, key, true, window(op)) {
            x
        } else {
            f32::NEG_INFINITY
        }
    });
    vec![Tensor::f32(x.shape.clone(), masked.collect())]
}

/// How scores are computed.
struct Rule {
    scale: f32,
    softcap: Option<f32>,
    causal: bool,
    window: Option<usize>,
    past: usize,
}

impl Rule {
    fn of(op: &Op, causal: bool, past: usize) -> Rule {
        Rule {
            scale: op.float("scale") as f32,
            softcap: softcap(op),
            causal,
            window: window(op),
            past,
        }
    }

    /// The score of one query and one key, each `[dim]`.
    fn score(&self, q: &[f32], k: &[f32]) -> f32 {
        let chain = q.iter().zip(k).fold(0f32, |sum, (q, k)| q.mul_add(*k, sum));
        let score = chain * self.scale;
        self.softcap
            .map_or(score, |cap| cap * apply(UnaryFunction::Tanh, score / cap))
    }
}

fn scores_reference(op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let (q, k) = (operands.get(0), operands.get(1));
    let rule = Rule::of(op, op.flag("causal"), operands.past());
    let (tokens, heads, dim) = (q.shape[0], q.shape[1], q.shape[2]);
    let (context, group) = (k.shape[0], heads / k.shape[1]);
    let (queries, keys) = (q.floats(), k.floats());
    let mut scores = Vec::with_capacity(heads * tokens * context);
    for head in 0..heads {
        for token in 0..tokens {
            let query = &queries[(token * heads + head) * dim..][..dim];
            for key in 0..context {
                let row = &keys[(key * k.shape[1] + head / group) * dim..][..dim];
                let seen = visible(rule.past + token, key, rule.causal, rule.window);
                scores.push(if seen {
                    rule.score(query, row)
                } else {
                    f32::NEG_INFINITY
                });
            }
        }
    }
    vec![Tensor::f32([heads, tokens, context], scores)]
}

/// Attention of q [T, heads, dim] over k and v [S, kv_heads, dim], block by block:
///
/// ```text
/// for each block of 64 positions with a visible key:
///     m_b = largest visible score; p_j = exp(score_j − m_b)
///     sum_b: p_j joins lane j mod 16, then the fixed tree
///     out_b = Σ p_j · v_j, one chain over j
///     first block: (m, sum, out) = (m_b, sum_b, out_b); after it:
///     n = max(m, m_b); a = exp(m − n); c = exp(m_b − n)
///     sum = sum · a + (sum_b · c); out = out · a + (out_b · c); m = n
/// out / sum
/// ```
fn attend(rule: &Rule, q: &Tensor, k: &Tensor, v: &Tensor) -> Tensor {
    let (heads, dim) = (q.shape[1], q.shape[2]);
    let (context, kv_heads) = (k.shape[0], k.shape[1]);
    let (queries, keys, values) = (q.floats(), k.floats(), v.floats());
    let exp = |x| apply(UnaryFunction::Exp, x);
    let mut y = Vec::with_capacity(queries.len());
    for (i, query) in queries.chunks_exact(dim).enumerate() {
        let (position, kv_head) = (rule.past + i / heads, i % heads / (heads / kv_heads));
        let row =
            |key: usize| (key * kv_heads + kv_head) * dim..(key * kv_heads + kv_head + 1) * dim;
        let mut merged: Option<(f32, f32, Vec<f32>)> = None;
        for start in (0..context).step_by(KEY_BLOCK) {
            let sees = |key: &usize| visible(position, *key, rule.causal, rule.window);
            let block: Vec<usize> = (start..context.min(start + KEY_BLOCK))
                .filter(sees)
                .collect();
            if block.is_empty() {
                continue;
            }
            let scores: Vec<f32> = block
                .iter()
                .map(|&key| rule.score(query, &keys[row(key)]))
                .collect();
            let largest = scores
                .iter()
                .fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
            let mut lanes = [0f32; LANES];
            let mut out = vec![0f32; dim];
            for (&key, score) in block.iter().zip(scores) {
                let p = exp(score - largest);
                lanes[key % LANES] += p;
                out.iter_mut()
                    .zip(&values[row(key)])
                    .for_each(|(o, v)| *o = p.mul_add(*v, *o));
            }
            let sum = tree(lanes, |a, b| a + b);
            merged = Some(match merged {
                None => (largest, sum, out),
                Some((m, total, before)) => {
                    let next = if m > largest { m } else { largest };
                    let (a, c) = (exp(m - next), exp(largest - next));
                    let out = before
                        .iter()
                        .zip(&out)
                        .map(|(o, b)| o.mul_add(a, b * c))
                        .collect();
                    (next, total.mul_add(a, sum * c), out)
                }
            });
        }
        match merged {
            Some((_, sum, out)) => y.extend(out.iter().map(|o| o / sum)),
            None => y.extend(std::iter::repeat_n(0.0, dim)),
        }
    }
    Tensor::f32(q.shape.clone(), y)
}

fn attention_reference(op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let rule = Rule::of(op, op.flag("causal"), operands.past());
    vec![attend(
        &rule,
        operands.get(0),
        operands.get(1),
        operands.get(2),
    )]
}

/// The state with this step's rows appended.
fn append(operands: &Operands<'_>, which: usize, rows: &Tensor) -> Tensor {
    let before = operands
        .state()
        .map(|state| state[which].floats())
        .unwrap_or_default();
    let mut data = before.into_owned();
    data.extend_from_slice(&rows.floats());
    let mut shape = rows.shape.clone();
    shape[0] += operands.past();
    Tensor::f32(shape, data)
}

fn cache_reference(_: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let keys = append(operands, 0, operands.get(0));
    let values = append(operands, 1, operands.get(1));
    vec![keys.clone(), values.clone(), keys, values]
}

fn cached_reference(op: &Op, operands: &Operands<'_>) -> Vec<Tensor> {
    let adjacent = op.text("pairs") == "adjacent";
    let turned = |x: &Tensor| {
        operands
            .optional(3)
            .map_or_else(|| x.clone(), |table| turn(x, table, adjacent))
    };
    let keys = append(operands, 0, &turned(operands.get(1)));
    let values = append(operands, 1, operands.get(2));
    let rule = Rule::of(op, true, operands.past());
    vec![
        attend(&rule, &turned(operands.get(0)), &keys, &values),
        keys,
        values,
    ]
}

fn mask_lower(op: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    vec![Phase::whole(CausalMask { window: window(op) }, lowering)]
}

fn scores_lower(op: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    let kernel = AttentionScores {
        scale: op.float("scale") as f32,
        causal: op.flag("causal"),
        window: window(op),
        softcap: softcap(op),
    };
    vec![Phase::whole(kernel, lowering)]
}

/// head_dim of operand 0, which shape inference has checked to be known.
fn head_dim(lowering: &Lowering<'_>) -> usize {
    lowering.inputs[0]
        .and_then(|q| q.width())
        .and_then(Dim::fixed)
        .unwrap_or(0)
}

fn attention_lower(op: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    let kernel = Attention {
        scale: op.float("scale") as f32,
        causal: op.flag("causal"),
        window: window(op),
        softcap: softcap(op),
    };
    let scratch = scratch_floats(head_dim(lowering));
    vec![Phase::whole(kernel, lowering).with_scratch(scratch)]
}

fn cache_lower(_: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    vec![Phase::whole(Cache, lowering)]
}

fn cached_lower(op: &Op, lowering: &Lowering<'_>) -> Vec<Phase> {
    let table = lowering.inputs.get(3).copied().flatten();
    let rotary = table.map(|_| op.text("pairs") == "adjacent");
    let attend = AttendCached {
        scale: op.float("scale") as f32,
        window: window(op),
        softcap: softcap(op),
        rotary,
    };
    let scratch = scratch_floats(head_dim(lowering));
    let store = Phase::whole(StoreKv { rotary }, lowering)
        .seeing(&[1, 2, 3])
        .with_scratch(scratch);
    let attend = Phase::whole(attend, lowering)
        .seeing(&[0, 3])
        .with_scratch(scratch);
    vec![
        Phase {
            outputs: false,
            ..store
        },
        attend,
    ]
}
