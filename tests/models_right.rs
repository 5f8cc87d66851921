//! Do models give what another program computes for them?

mod common;

use common::{all_rows, data, difference, expected, open, run};
use smallmind::Options;

/// The bar, in units of the logits' standard deviation.
const BAR: f64 = 2e-4;

fn check(name: &str, options: &Options) {
    let expected = expected(name);
    let model = open(name, options);
    let mut session = model.session().unwrap();
    let (logits, _, greedy) = run(&mut session, &expected.input_ids, expected.greedy.len());
    let difference = difference(&logits, &expected.logits);
    assert!(difference <= BAR, "{name}: logits differ by {difference:.2e} deviations");
    assert_eq!(greedy, expected.greedy, "{name}");
}

#[test]
fn fused_graphs_give_the_expected_logits_and_tokens() {
    for name in ["demo", "gpt2", "llama", "llama-bf16", "llama-long", "llama3-rope"] {
        check(name, &all_rows());
    }
    let _ = data("demo");
}
