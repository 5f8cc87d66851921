//! Attention, fused and in parts, and the cache: nine heads of 64 over three heads of keys and values.

use criterion::{Criterion, Throughput};
use smallmind::kernels::attention::{AttendCached, Attention, StoreKv, scratch_floats};
use smallmind::kernels::cache::Cache;
use smallmind::kernels::matmul::AttentionScores;

use super::case::{Case, Input, bench, count, floats};

const HEADS: usize = 9;
const KV_HEADS: usize = 3;
const DIM: usize = 64;
/// Elements of the keys, or of the values, of one position.
const KV: usize = KV_HEADS * DIM;
const SCALE: f32 = 0.125;

/// The measured steps: name, tokens, positions before them.
const STEPS: [(&str, usize, usize); 2] =
    [("1 token at 1024", 1, 1023), ("512 tokens at 0", 512, 0)];

/// Every kernel of attention.
pub fn all(criterion: &mut Criterion) {
    for (name, tokens, past) in STEPS {
        let context = past + tokens;
        scores(criterion, name, tokens, past);
        attention(criterion, name, tokens, past);
        attend_cached(criterion, name, tokens, past);
        // Keys and values are read and written.
        bench(
            criterion,
            "StoreKv",
            name,
            StoreKv {
                rotary: Some(false),
            },
            floats(4 * tokens * KV),
            || {
                let table = Input::tensor(&[tokens, DIM], 3);
                let inputs = vec![keys(tokens, 1), keys(tokens, 2), table];
                Case::new(tokens, inputs, &[])
                    .past(past)
                    .cache(KV_HEADS, DIM, context)
                    .scratch(DIM)
            },
        );
        // The step's own keys and values are read and written, then all are read.
        let counts = floats(4 * (tokens + context) * KV);
        bench(criterion, "Cache", name, Cache, counts, || {
            let whole = [context, KV_HEADS, DIM];
            let case = Case::new(
                tokens,
                vec![keys(tokens, 1), keys(tokens, 2)],
                &[&whole, &whole],
            );
            case.past(past).cache(KV_HEADS, DIM, context)
        });
    }
}

/// The throughput unit of a walk of all heads over the visible keys, `products` times: operations, or, for one token, the
/// bytes of the keys, or of keys and values.
fn counts(tokens: usize, past: usize, products: usize) -> Throughput {
    // Token t sees past + t + 1 positions.
    let pairs = tokens * past + tokens * (tokens + 1) / 2;
    match tokens {
        1 => floats(products * pairs * KV),
        _ => count(2 * products * pairs * HEADS * DIM),
    }
}

fn queries(tokens: usize) -> Input {
    Input::tensor(&[tokens, HEADS, DIM], 7)
}

fn keys(positions: usize, seed: u32) -> Input {
    Input::tensor(&[positions, KV_HEADS, DIM], seed)
}

fn scores(criterion: &mut Criterion, name: &str, tokens: usize, past: usize) {
    let kernel = AttentionScores {
        scale: SCALE,
        causal: true,
        window: None,
        softcap: None,
    };
    bench(
        criterion,
        "AttentionScores",
        name,
        kernel,
        counts(tokens, past, 1),
        || {
            let context = past + tokens;
            let inputs = vec![queries(tokens), keys(context, 1)];
            Case::new(tokens, inputs, &[&[HEADS, tokens, context]]).past(past)
        },
    );
}

fn attention(criterion: &mut Criterion, name: &str, tokens: usize, past: usize) {
    let kernel = Attention {
        scale: SCALE,
        causal: true,
        window: None,
        softcap: None,
    };
    bench(
        criterion,
        "Attention",
        name,
        kernel,
        counts(tokens, past, 2),
        || {
            let context = past + tokens;
            let inputs = vec![queries(tokens), keys(context, 1), keys(context, 2)];
            let case = Case::new(tokens, inputs, &[&[tokens, HEADS, DIM]]);
            case.past(past).scratch(scratch_floats(DIM))
        },
    );
}

fn attend_cached(criterion: &mut Criterion, name: &str, tokens: usize, past: usize) {
    for (rotary, form) in [(None, ""), (Some(false), ", rotary")] {
        let kernel = AttendCached {
            scale: SCALE,
            window: None,
            softcap: None,
            rotary,
        };
        let name = format!("{name}{form}");
        bench(
            criterion,
            "AttendCached",
            &name,
            kernel,
            counts(tokens, past, 2),
            || {
                let inputs = vec![queries(tokens), Input::tensor(&[tokens, DIM], 3)];
                let case = Case::new(tokens, inputs, &[&[tokens, HEADS, DIM]]).past(past);
                case.cache(KV_HEADS, DIM, past + tokens)
                    .scratch(scratch_floats(DIM))
            },
        );
    }
}
