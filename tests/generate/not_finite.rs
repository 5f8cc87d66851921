//! Does every library call that chooses from output or returns it fail if the output is not finite?
#![cfg(feature = "chat")]

use smallmind::chat::Conversation;
use smallmind::files::safetensors::TensorFile;
use smallmind::model::Logits;
use smallmind::{
    Cancel, EmbedError, EmbedOptions, GenerateOptions, Model, Options, Pooling, SamplerOptions,
    ScoreOptions, StepError,
};

use crate::common::all_rows;
use crate::common::damaged::{GAIN, POSITIONS, TOKENS, WIDTH, damage, demo_with, encoder};
use crate::common::sentences::Sentences;
use crate::common::tiny::{Tiny, graph};

fn text_of<T>(result: Result<T, impl std::fmt::Display>) -> Result<(), String> {
    result.map(|_| ()).map_err(|error| error.to_string())
}

/// A library call on a model that chooses from its logits or returns them.
type Call = fn(&Model) -> Result<(), String>;

/// Generates one text; no part of it may be returned.
fn generated(model: &Model, sampler: SamplerOptions) -> Result<(), String> {
    let options = GenerateOptions::new().sampler(sampler);
    let mut session = model.session().unwrap();
    text_of(model.generate(&mut session, "KING:", &options, |text| {
        panic!("{text:?} was chosen")
    }))
}

const CALLS: [(&str, Call); 11] = [
    ("prefill", |model| {
        text_of(model.session().unwrap().prefill(&[75, 73]))
    }),
    ("prefill_until", |model| {
        text_of(
            model
                .session()
                .unwrap()
                .prefill_until(&[75, 73], &Cancel::new()),
        )
    }),
    ("prefill_each", |model| {
        let mut given = |_: &[f32]| panic!("logits were given");
        text_of(model.session().unwrap().prefill_each(&[75], &mut given))
    }),
    ("prefill_each_until", |model| {
        let mut given = |_: &[f32]| panic!("logits were given");
        let mut session = model.session().unwrap();
        text_of(session.prefill_each_until(&[75], &Cancel::new(), &mut given))
    }),
    ("step", |model| text_of(model.session().unwrap().step(75))),
    ("generate, greedy", |model| {
        generated(model, SamplerOptions::greedy())
    }),
    ("generate, sampled", |model| {
        generated(model, SamplerOptions::default())
    }),
    ("generate_from", |model| {
        let mut session = model.session().unwrap();
        let options = GenerateOptions::default();
        let each = |text: &str| panic!("{text:?} was chosen");
        text_of(model.generate_from(&mut session, &[75], &options, each))
    }),
    ("generate_tokens", |model| {
        let mut session = model.session().unwrap();
        let options = GenerateOptions::default();
        let each = |token| panic!("{token} was chosen");
        text_of(model.generate_tokens(&mut session, &[75], &options, each))
    }),
    ("say", |model| {
        let template = model.chat_template().unwrap();
        let mut conversation = Conversation::new(model, template).unwrap();
        let options = GenerateOptions::default();
        let said = conversation.say("KING:", &options, |text| panic!("{text:?} was chosen"));
        assert!(conversation.messages().is_empty());
        text_of(said)
    }),
    ("score", |model| {
        let mut session = model.session().unwrap();
        text_of(model.score(&mut session, "KING:", &ScoreOptions::new()))
    }),
];

#[test]
fn every_library_call_refuses_logits_that_are_not_finite() {
    // All logits, or only one, which greedy choice would skip or always choose.
    for (tensor, elements, value, found) in [
        (GAIN, 0..1, f32::NAN, "256 of 256 numbers"),
        (
            TOKENS,
            90 * WIDTH..90 * WIDTH + 1,
            f32::NAN,
            "1 of 256 numbers are NaN or infinite, the first is number 90",
        ),
        (
            TOKENS,
            90 * WIDTH..91 * WIDTH,
            f32::INFINITY,
            "1 of 256 numbers are NaN or infinite, the first is number 90",
        ),
    ] {
        let folder = demo_with(tensor, elements, value);
        let model = Model::open(folder.path(), &all_rows()).unwrap();
        for (name, call) in CALLS {
            let error = call(&model).expect_err(name);
            assert!(error.contains("for token "), "{name}: {error}");
            assert!(error.contains(found), "{name}: {error}");
        }
    }
}

#[test]
fn the_error_names_the_token_however_the_prompt_is_cut() {
    let folder = demo_with(POSITIONS, 5 * WIDTH..5 * WIDTH + 1, f32::NAN);
    let prompt = [75, 73, 78, 71, 58, 10, 79, 32];
    for chunk in [1, 3, 4, 8] {
        let options = all_rows().chunk(chunk);
        let model = Model::open(folder.path(), &options).unwrap();
        let mut session = model.session().unwrap();
        session.prefill(&prompt[..5]).unwrap();
        let error = session.step(prompt[5]).unwrap_err();
        let expected = StepError::NotFinite {
            text: 0,
            token: 5,
            count: 256,
            width: 256,
            first: 0,
        };
        assert_eq!(error, expected);
        assert_eq!((session.position(), session.logits().len()), (5, 0));

        session.truncate(0).unwrap();
        let error = session.prefill_each(&prompt, &mut |_| {}).unwrap_err();
        assert_eq!(error, expected, "{chunk}");
        assert_eq!(session.position(), 5 / chunk * chunk);

        let score = model.score_tokens(&mut session, &prompt, &ScoreOptions::new());
        assert_eq!(score.unwrap_err().to_string(), expected.to_string());
    }
}

#[test]
fn a_score_names_the_token_of_the_text_not_of_the_window() {
    let tiny = Tiny::new("(\"y\", Linear, [\"x\", \"head\"]),");
    damage(tiny.folder(), "embed", 15 * 8..16 * 8, f32::NAN);
    let text: Vec<u32> = (0..20).map(|i| if i == 17 { 15 } else { i % 5 }).collect();
    for context in [8, 24] {
        let options = tiny.options().context(context).logits(Logits::All);
        let model = Model::open(tiny.folder(), &options).unwrap();
        let mut session = model.session().unwrap();
        let score = model.score_tokens(&mut session, &text, &ScoreOptions::new());
        let error = score.unwrap_err().to_string();
        assert!(
            error.contains("for token 17 (from 0) is not finite: 16 of 16"),
            "{error}"
        );
    }
}

#[test]
fn every_library_call_refuses_embeddings_that_are_not_finite() {
    let sentences = encoder();
    let model = Model::open(sentences.path(), &Options::default()).unwrap();
    let message = "token 0 (from 0) is not finite";
    let texts: [&[u32]; 2] = [&[1, 3, 2], &[1, 3, 4, 2]];
    for (name, error) in [
        ("embed", model.embed(&["zero", "one two"]).unwrap_err()),
        ("embed_tokens", model.embed_tokens(&texts).unwrap_err()),
    ] {
        // The longest text is read first.
        assert!(matches!(error, EmbedError::Text { text: 0 | 1, .. }));
        assert!(error.to_string().contains(message), "{name}: {error}");
    }
    let mut session = model.session().unwrap();
    let error = session.encode(&texts).unwrap_err().to_string();
    assert!(error.contains(message), "{error}");
    assert!(session.prefill(texts[0]).is_err());
}

#[test]
fn a_text_without_an_embedding_is_named_by_its_place() {
    let sentences = Sentences::new();
    let file = TensorFile::open(&sentences.path().join("model.safetensors")).unwrap();
    let words = file
        .names()
        .find(|name| name.ends_with("word_embeddings.weight"));
    let (words, width) = (words.unwrap().to_string(), 64);
    drop(file);
    damage(sentences.path(), &words, 5 * width..6 * width, f32::NAN);
    let model = Model::open(sentences.path(), &Options::default()).unwrap();
    let error = model.embed(&["zero", "one zero one", "zero two", "one"]);
    let error = error.unwrap_err().to_string();
    let told = "text 2 (from 0): the model's output for token 0 (from 0) is not finite: 64 of 64";
    assert!(error.starts_with(told), "{error}");
    assert_eq!(model.embed(&["zero", "one"]).unwrap().len(), 2);
}

#[test]
fn a_model_that_reads_in_order_refuses_them_too() {
    let nodes = "(\"y\", Mul, [\"x\", \"gain\"]),";
    let tiny = Tiny::with_graph(&graph(nodes, "\"y\""));
    damage(tiny.folder(), "gain", 2..3, f32::INFINITY);
    let options = tiny.options().logits(Logits::All);
    let model = Model::open(tiny.folder(), &options).unwrap();
    let error = model.embed_tokens(&[&[1, 2]]).unwrap_err().to_string();
    assert!(
        error.starts_with("text 0 (from 0): the model's output for token 0"),
        "{error}"
    );
    assert!(
        error.contains("1 of 8 numbers are NaN or infinite, the first is number 2"),
        "{error}"
    );
}

#[test]
fn hidden_states_too_large_to_be_pooled_or_normalised_are_refused() {
    for (value, normalize) in [(3e38, Some(false)), (1e25, None)] {
        let tiny = Tiny::with_graph(&graph("(\"y\", Mul, [\"x\", \"gain\"]),", "\"y\""));
        damage(tiny.folder(), "embed", 0..128, 1.0);
        damage(tiny.folder(), "gain", 0..8, value);
        let options = tiny.options().logits(Logits::All);
        let model = Model::open(tiny.folder(), &options).unwrap();
        let options = EmbedOptions::new();
        let options = options.pooling(Pooling::Mean).normalize(normalize);
        let embedder = model.embedder(&options).unwrap();
        let error = embedder.embed_tokens(&[&[1, 2]]).unwrap_err();
        assert!(
            matches!(
                error,
                EmbedError::NotFinite {
                    text: 0,
                    count: 8,
                    width: 8,
                    first: 0
                }
            ),
            "{error}"
        );
    }
}
