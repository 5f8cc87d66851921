//! Does an engine generate for each request the tokens that it would get alone, and end each as it should?

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use smallmind::{
    AddError, Cancel, Engine, EngineOptions, Event, Finish, GenerateOptions, Generation,
    LogitsHook, Model, Options, RequestId,
};

use crate::common::open;

pub fn demo(sequences: usize) -> Model {
    let options = Options::new().sequences(sequences).chunk(16);
    Model::open("demo", &options).unwrap()
}

/// Steps until nothing is left: each request's text, and how it ended.
fn finish(engine: &mut Engine) -> BTreeMap<RequestId, (String, Result<Generation, String>)> {
    let mut texts: BTreeMap<RequestId, String> = BTreeMap::new();
    let mut ended = BTreeMap::new();
    while !engine.is_idle() {
        for event in engine.step() {
            match event {
                Event::Token { request, text, .. } => {
                    texts.entry(request).or_default().push_str(&text);
                }
                Event::Finished {
                    request,
                    text,
                    generation,
                } => {
                    let all = texts.remove(&request).unwrap_or_default() + &text;
                    ended.insert(request, (all, Ok(generation)));
                }
                Event::Failed { request, error } => {
                    let all = texts.remove(&request).unwrap_or_default();
                    ended.insert(request, (all, Err(error.to_string())));
                }
                event => panic!("{event:?}"),
            }
        }
    }
    ended
}

/// The text, the tokens and the end in a session of its own.
pub fn alone(model: &Model, prompt: &str, options: &GenerateOptions) -> (String, Vec<u32>, Finish) {
    let mut session = model.session().unwrap();
    let mut text = String::new();
    let generation = model
        .generate(&mut session, prompt, options, |piece| {
            text.push_str(piece);
            true
        })
        .unwrap();
    (text, generation.tokens, generation.finish)
}

#[test]
fn each_request_gets_what_it_gets_alone() {
    let model = demo(3);
    let prompts = [
        "KING: ",
        "QUEEN:\nWhat",
        "A",
        "ROMEO: ",
        "KING: ",
        "First Citizen:\nBefore we proceed",
    ];
    let options = |number: usize| {
        let options = GenerateOptions::new()
            .max_tokens(5 + 7 * number)
            .seed(number as u64);
        match number {
            1 => options.greedy(),
            2 => options.stop(["e"]),
            4 => options.max_tokens(0),
            _ => options,
        }
    };
    let mut engine = model.engine(&EngineOptions::new()).unwrap();
    let mut ids = Vec::new();
    for (number, prompt) in prompts.iter().enumerate() {
        ids.push(engine.add(prompt, &options(number)).unwrap());
        if number == 2 {
            engine.step();
        }
    }
    // The first step's events are gone; the generations have all tokens.
    let ended = finish(&mut engine);
    for (number, prompt) in prompts.iter().enumerate() {
        let (text, tokens, ends) = alone(&model, prompt, &options(number));
        let (found, generation) = &ended[&ids[number]];
        let generation = generation.as_ref().unwrap();
        assert_eq!(
            (&generation.tokens, generation.finish),
            (&tokens, ends),
            "{prompt}"
        );
        if number > 2 {
            assert_eq!(*found, text, "{prompt}");
        }
    }
}

#[test]
fn requests_wait_their_turn_and_the_queue_is_bounded() {
    let model = demo(2);
    let mut engine = model.engine(&EngineOptions::new().queue(3)).unwrap();
    let options = GenerateOptions::new().max_tokens(3).greedy();
    let ids: Vec<_> = (0..3)
        .map(|_| engine.add("KING", &options).unwrap())
        .collect();
    let refused = engine.add("KING", &options).unwrap_err();
    assert!(
        matches!(refused, AddError::QueueFull { waiting: 3 }),
        "{refused}"
    );
    engine.step();
    assert_eq!((engine.waiting(), engine.running()), (1, 2));
    let ended = finish(&mut engine);
    assert_eq!(ended.keys().copied().collect::<Vec<_>>(), ids);
    assert_eq!(engine.pages().1, 0);
}

#[test]
fn cancelled_requests_end_and_others_continue() {
    let model = demo(2);
    let mut engine = model.engine(&EngineOptions::new()).unwrap();
    let options = GenerateOptions::new().max_tokens(20).greedy();
    let cancel = Cancel::new();
    let running = engine.add("KING", &options).unwrap();
    let stays = engine.add("QUEEN", &options).unwrap();
    let waiting = engine.add("A", &options).unwrap();
    let by_handle = engine.add("B", &options.clone().cancel(&cancel)).unwrap();
    engine.step();
    engine.cancel(running);
    engine.cancel(waiting);
    cancel.cancel();
    let ended = finish(&mut engine);
    for id in [running, waiting, by_handle] {
        assert_eq!(ended[&id].1.as_ref().unwrap().finish, Finish::Cancelled);
    }
    let (_, tokens, ends) = alone(&model, "QUEEN", &options);
    let generation = ended[&stays].1.as_ref().unwrap();
    assert_eq!((&generation.tokens, generation.finish), (&tokens, ends));
}

#[test]
fn a_hook_that_fails_ends_only_its_own_request() {
    let model = demo(2);
    let mut engine = model.engine(&EngineOptions::new()).unwrap();
    let options = GenerateOptions::new().max_tokens(4).greedy();
    let fails = LogitsHook::new(|tokens, _| match tokens.len() {
        ..6 => Ok(ControlFlow::Continue(())),
        _ => Err("no more".into()),
    });
    let failing = engine
        .add("KING", &options.clone().logits_hook(fails))
        .unwrap();
    let other = engine.add("KING", &options).unwrap();
    let ended = finish(&mut engine);
    let error = ended[&failing].1.as_ref().unwrap_err();
    assert!(error.contains("no more"), "{error}");
    let generation = ended[&other].1.as_ref().unwrap();
    assert_eq!(generation.tokens, alone(&model, "KING", &options).1);
}

#[test]
fn a_request_that_can_never_run_is_refused_with_the_numbers() {
    let options = Options::new().sequences(2).context(32);
    let model = Model::open("demo", &options).unwrap();
    let mut engine = model.engine(&EngineOptions::new()).unwrap();
    let long = "a".repeat(40);
    let error = engine
        .add(&long, &GenerateOptions::new())
        .unwrap_err()
        .to_string();
    assert!(error.contains("32"), "{error}");
    // A request that fits in part runs to the end of the context.
    let id = engine
        .add("KING", &GenerateOptions::new().max_tokens(1000).greedy())
        .unwrap();
    let ended = finish(&mut engine);
    let generation = ended[&id].1.as_ref().unwrap();
    assert_eq!(
        (generation.finish, generation.tokens.len()),
        (Finish::ContextFull, 29)
    );
    let encoder = open("bert", &Options::new());
    assert!(encoder.engine(&EngineOptions::new()).is_err());
}

#[test]
fn a_fork_continues_from_where_its_origin_is() {
    let model = demo(3);
    let mut engine = model.engine(&EngineOptions::new()).unwrap();
    let options = GenerateOptions::new().max_tokens(90).greedy();
    let origin = engine.add("KING: ", &options).unwrap();
    let mut tokens = 0;
    while tokens < 70 {
        let events = engine.step();
        tokens += events
            .iter()
            .filter(|event| matches!(event, Event::Token { .. }))
            .count();
    }
    let fork = engine
        .fork(origin, &options.clone().max_tokens(20))
        .unwrap();
    let ended = finish(&mut engine);
    let [of_origin, of_fork] =
        [origin, fork].map(|id| ended[&id].1.as_ref().unwrap().tokens.clone());
    assert_eq!(of_fork, of_origin[70..]);
    let generation = ended[&fork].1.as_ref().unwrap();
    // Six bytes of the prompt and 70 tokens: one whole block.
    assert_eq!(
        (generation.prompt_tokens, generation.reused_tokens),
        (76, 64)
    );
    assert!(matches!(
        engine.fork(origin, &options),
        Err(AddError::Gone { .. })
    ));
}
