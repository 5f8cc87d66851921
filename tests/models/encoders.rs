//! How do sessions of a model behave that reads only whole texts?

use std::path::PathBuf;

use smallmind::{GenerateError, GenerateOptions, Model, Options, StepError};

use crate::common::{all_rows, bits, data, difference, expected, open};

#[test]
fn each_prefill_is_a_text_of_its_own() {
    let model = open("bert", &Options::default());
    let prompt = expected("bert").input_ids;
    let other = &prompt[3..9];
    let alone = bits(model.session().unwrap().prefill(other).unwrap());
    let mut session = model.session().unwrap();
    session.prefill(&prompt).unwrap();
    assert_eq!(bits(session.prefill(other).unwrap()), alone);
    assert_eq!(session.tokens(), other);
    // Each step is a text too.
    session.prefill(&prompt).unwrap();
    let stepped = bits(session.step(7).unwrap());
    assert_eq!(bits(session.prefill(&[7]).unwrap()), stepped);
    assert_eq!(session.position(), 1);
}

#[test]
fn every_row_is_returned_whatever_the_options() {
    let expected = expected("bert");
    let model = open("bert", &Options::default());
    let mut session = model.session().unwrap();
    let rows = session.prefill(&expected.input_ids).unwrap();
    assert!(difference(rows, &expected.rows) < 2e-4);
}

#[test]
fn a_step_fits_the_longest_text_unless_told_otherwise() {
    let model = open("bert", &Options::default());
    assert_eq!(
        (model.context(), model.session().unwrap().chunk()),
        (128, 512)
    );
    let options = Options::new().chunk(8);
    let mut session = open("bert", &options).session().unwrap();
    session.prefill(&[1, 2, 3]).unwrap();
    let refused = session.prefill(&[1; 9]).unwrap_err();
    assert_eq!(
        refused,
        StepError::NotWhole {
            tokens: 9,
            chunk: 8
        }
    );
    assert_eq!(session.tokens(), [1, 2, 3]);
    assert_eq!(session.logits().len(), 3 * session.logits_width());
}

#[test]
fn a_text_is_not_continued() {
    let model = open("bert", &Options::default());
    let mut session = model.session().unwrap();
    let options = GenerateOptions::default();
    let result = model.generate_tokens(&mut session, &[1, 2], &options, |_| true);
    assert!(matches!(result, Err(GenerateError::Bidirectional)));
}

/// The built-in graph with its attention in primitives.
fn spelled_out(folder: &tempfile::TempDir) -> PathBuf {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/graphs/bert.ron");
    let whole = std::fs::read_to_string(file).unwrap();
    let attention = r#"("a", Attention(scale: "1 / sqrt(head)", causal: false), ["q", "k", "v"]),"#;
    let primitives = r#"
        ("q", Transpose(perm: [1, 0, 2]), ["q"]),
        ("k", Transpose(perm: [1, 0, 2]), ["k"]),
        ("s", MatMul, ["q", "k"]),
        ("s", Div, ["s", Num("sqrt(head)")]),
        ("p", Softmax, ["s"]),
        ("v", Transpose(perm: [1, 0, 2]), ["v"]),
        ("a", MatMul(transpose_b: false), ["p", "v"]),
        ("a", Transpose(perm: [1, 0, 2]), ["a"]),"#;
    let text = whole.replace(attention, primitives);
    assert_ne!(text, whole);
    let path = folder.path().join("spelled_out.ron");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn attention_in_primitives_is_read_whole_too() {
    let folder = tempfile::tempdir().unwrap();
    let expected = expected("bert");
    for stop_after in [None, Some("none".to_string())] {
        let mut options = all_rows().graph(spelled_out(&folder));
        options.stop_after = stop_after;
        let model = Model::open(data("bert"), &options).unwrap();
        assert!(model.is_bidirectional());
        let mut session = model.session().unwrap();
        let rows = session.prefill(&expected.input_ids).unwrap();
        assert!(difference(rows, &expected.rows) < 2e-4);
    }
}

#[test]
fn models_of_text_are_not_bidirectional() {
    for name in crate::common::decoders() {
        assert!(
            !open(name, &Options::default()).is_bidirectional(),
            "{name}"
        );
    }
}
