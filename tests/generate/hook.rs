//! Does a logits hook see every row before a token is chosen, and does only the sampler come after it?

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use smallmind::{
    Finish, GenerateError, GenerateOptions, Generation, HookResult, LogitsHook, Model, Options,
};

const GO_ON: HookResult = Ok(ControlFlow::Continue(()));

fn demo() -> Model {
    Model::open("demo", &Options::default()).unwrap()
}

fn greedy(hook: impl FnMut(&[u32], &mut [f32]) -> HookResult + Send + 'static) -> GenerateOptions {
    let options = GenerateOptions::new().max_tokens(12).greedy();
    options.logits_hook(LogitsHook::new(hook))
}

const PROMPT: [u32; 5] = [75, 73, 78, 71, 58];

fn generate(options: &GenerateOptions) -> Result<Generation, GenerateError> {
    let model = demo();
    let mut session = model.session().unwrap();
    model.generate_tokens(&mut session, &PROMPT, options, |_| true)
}

#[test]
fn a_hook_sees_the_tokens_so_far_and_the_logits_of_the_next() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let own = seen.clone();
    let options = greedy(move |tokens, logits| {
        own.lock().unwrap().push((tokens.to_vec(), logits.to_vec()));
        GO_ON
    });
    let chosen = generate(&options).unwrap().tokens;
    let without = options.logits_hook(None);
    assert_eq!(generate(&without).unwrap().tokens, chosen);

    let mut session = demo().session().unwrap();
    session.prefill(&PROMPT).unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), chosen.len());
    for ((tokens, logits), next) in seen.iter().zip(chosen) {
        assert_eq!(tokens, session.tokens());
        assert_eq!(logits, session.logits_row());
        session.step(next).unwrap();
    }
}

#[test]
fn what_a_hook_leaves_is_chosen_from_and_kept_to_itself() {
    let mut next = 96;
    let options = greedy(move |_, logits| {
        logits.fill(f32::NEG_INFINITY);
        next += 1;
        logits[next] = -3.0;
        GO_ON
    });
    let expected: Vec<u32> = (97..109).collect();
    assert_eq!(generate(&options).unwrap().tokens, expected);

    // The session's own logits stay as the model computed them.
    let model = demo();
    let mut session = model.session().unwrap();
    let options = greedy(|_, logits| {
        logits.fill(0.0);
        GO_ON
    });
    let options = options.max_tokens(1);
    let generation = model.generate_tokens(&mut session, &PROMPT, &options, |_| true);
    assert_eq!(generation.unwrap().tokens, [0]);
    let mut plain = model.session().unwrap();
    assert_eq!(session.logits(), plain.prefill(&PROMPT).unwrap());
}

#[test]
fn biases_are_added_to_what_a_hook_leaves() {
    let mut options = greedy(|_, logits| {
        logits.fill(0.0);
        GO_ON
    });
    options.sampler.logit_bias = vec![(120, 1.0)];
    assert_eq!(generate(&options).unwrap().tokens, [120; 12]);
}

#[test]
fn a_hook_may_end_the_text_or_fail() {
    let ends = greedy(|tokens, _| match tokens.len() {
        ..9 => GO_ON,
        _ => Ok(ControlFlow::Break(())),
    });
    let generation = generate(&ends).unwrap();
    assert_eq!(
        (generation.finish, generation.tokens.len()),
        (Finish::Hook, 4)
    );

    let error = generate(&greedy(|_, _| Err("no word fits".into()))).unwrap_err();
    assert_eq!(error.to_string(), "the logits hook: no word fits");
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "no word fits");
}

#[test]
fn logits_that_a_hook_makes_useless_are_an_error() {
    for (value, message) in [
        (f32::NAN, "256 of the logits are NaN or +inf"),
        (f32::INFINITY, "256 of the logits are NaN or +inf"),
        (f32::NEG_INFINITY, "all 256 logits are -inf"),
    ] {
        let options = greedy(move |_, logits| {
            logits.fill(value);
            GO_ON
        });
        let error = generate(&options).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn options_with_a_hook_can_be_compared_shown_and_sent() {
    fn sent<T: Send + Sync>(_: &T) {}
    let options = greedy(|_, _| GO_ON);
    sent(&options);
    assert_eq!(options, options.clone());
    assert_ne!(options, greedy(|_, _| GO_ON));
    assert!(format!("{options:?}").contains("LogitsHook"));
}
