//! How long do running texts wait for their next token while a long prompt is read beside them?

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use smallmind::{EngineOptions, Event, GenerateOptions, LogitsHook, Model, Options, RequestId};

use crate::common::{long_run, published_model};

const STREAMS: usize = 4;
/// Tokens of the long prompt.
const PROMPT: usize = 4096;

/// With SMALLMIND_TEST_GAP, in milliseconds: it wants the machine for itself.
#[test]
fn texts_wait_no_longer_than_the_gap_while_a_long_prompt_is_read() {
    let gap = Duration::from_millis(long_run("SMALLMIND_TEST_GAP", 0));
    if gap.is_zero() {
        eprintln!("skipped: SMALLMIND_TEST_GAP states no gap in milliseconds");
        return;
    }
    let Some(path) = published_model("gemma-3-270m-q4_k_m.gguf") else {
        return;
    };
    let options = Options::new().sequences(STREAMS + 1).context(2 * PROMPT);
    let model = Model::open(&path, &options).unwrap();
    let mut engine = model.engine(&EngineOptions::new().gap(gap)).unwrap();
    let vocabulary = model.vocabulary() as u32;
    let prompt = |length: u32, turn: u32| -> Vec<u32> {
        (0..length)
            .map(|at| (at * 7919 + turn * 104_729 + 1000) % vocabulary)
            .collect()
    };
    // No text ends before the prompt is read.
    let ends = model.eos_tokens().to_vec();
    let goes_on = LogitsHook::new(move |_, logits| {
        for &token in &ends {
            logits[token as usize] = f32::NEG_INFINITY;
        }
        Ok(ControlFlow::Continue(()))
    });
    let options = GenerateOptions::new().greedy().logits_hook(goes_on);
    let streams: Vec<RequestId> = (0..STREAMS as u32)
        .map(|turn| {
            let options = options.clone().max_tokens(PROMPT);
            engine.add_tokens(&prompt(32, turn), &options).unwrap()
        })
        .collect();
    let mut last: BTreeMap<RequestId, Instant> = BTreeMap::new();
    let (mut long, mut waits, mut undisturbed) = (None, Vec::new(), Vec::new());
    let mut is_read = false;
    while !is_read {
        let events = engine.step();
        let now = Instant::now();
        for event in events {
            match event {
                Event::Token { request, .. } if streams.contains(&request) => {
                    if let Some(before) = last.insert(request, now) {
                        let list = if long.is_some() {
                            &mut waits
                        } else {
                            &mut undisturbed
                        };
                        list.push(now - before);
                    }
                }
                Event::Token { request, .. } if Some(request) == long => is_read = true,
                Event::Finished { request, .. } if Some(request) == long => {}
                event => panic!("{event:?}"),
            }
        }
        if long.is_none() && undisturbed.len() >= 16 * STREAMS {
            let tokens = prompt(PROMPT as u32, 9);
            long = Some(
                engine
                    .add_tokens(&tokens, &options.clone().max_tokens(1))
                    .unwrap(),
            );
        }
    }
    let shown = |name: &str, times: &mut Vec<Duration>| {
        times.sort();
        let [p50, p95] = [50, 95].map(|part| times[times.len() * part / 100]);
        let max = times[times.len() - 1];
        println!(
            "{name}: {} waits, p50 {p50:.1?}, p95 {p95:.1?}, max {max:.1?}",
            times.len()
        );
        p95
    };
    shown("without a prompt", &mut undisturbed);
    let p95 = shown("beside the prompt", &mut waits);
    assert!(
        p95 <= gap,
        "95% of the waits are at most {p95:?}, more than {gap:?}"
    );
}
