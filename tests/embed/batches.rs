//! Do an encoder's outputs for a text depend on the other texts of the step?

use smallmind::exec::session::StepError;
use smallmind::kernels::simd::Isa;
use smallmind::{EmbedError, EmbedOptions, Model, Options, Session};

use crate::common::tiny::{Tiny, graph};
use crate::common::{bits, encoders, expected, open};

/// A block whose attention sees all tokens, rotated by their positions, for any number of positions.
const BLOCK: &str = r#"
    ("q", MatMul, ["x", "w"]),
    ("q", Reshape(shape: [0, "heads", 4]), ["q"]),
    ("q", Rope(base: 100, dims: 4), ["q", "positions"]),
    ("k", MatMul, ["x", "w"]),
    ("k", Reshape(shape: [0, "heads", 4]), ["k"]),
    ("k", Rope(base: 100, dims: 4), ["k", "positions"]),
    ("v", Reshape(shape: [0, "heads", 4]), ["x"]),
    ("a", Attention(scale: 0.5, causal: false), ["q", "k", "v"]),
    ("a", Reshape(shape: [0, 8]), ["a"]),
    ("y", Add, ["a", "x"]),
"#;

fn tiny() -> Tiny {
    Tiny::with_graph(&graph(BLOCK, "\"y\""))
}

fn texts(lengths: &[usize], vocabulary: usize) -> Vec<Vec<u32>> {
    let token = |text: usize, i: usize| ((i * 7 + text * 5 + i / 3) % vocabulary) as u32;
    let of_length =
        |(text, &length): (usize, &usize)| (0..length).map(|i| token(text, i)).collect();
    lengths.iter().enumerate().map(of_length).collect()
}

fn slices(texts: &[Vec<u32>]) -> Vec<&[u32]> {
    texts.iter().map(Vec::as_slice).collect()
}

/// The bits of each text alone.
fn alone(session: &mut Session, texts: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let rows = |text: &Vec<u32>| bits(session.prefill(text).unwrap());
    texts.iter().map(rows).collect()
}

/// The bits of each text, all read in one step.
fn together(session: &mut Session, texts: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let encoded = session.encode(&slices(texts)).unwrap();
    assert_eq!(encoded.texts(), texts.len());
    let rows: usize = texts.iter().map(Vec::len).sum();
    assert_eq!(encoded.rows().len(), rows * encoded.width());
    (0..texts.len()).map(|i| bits(encoded.text(i))).collect()
}

#[test]
fn texts_of_one_step_have_the_bits_that_each_has_alone() {
    let tiny = tiny();
    let ragged = texts(&[7, 1, 300, 128, 2, 65, 1], 16);
    let mut expected = None;
    for isa in Isa::available() {
        for threads in [1, 2, 3] {
            let options = tiny
                .options()
                .isa(isa.name())
                .threads(threads)
                .context(300)
                .chunk(600);
            let model = Model::open(tiny.folder(), &options).unwrap();
            let mut session = model.session().unwrap();
            let expected = expected.get_or_insert_with(|| alone(&mut session, &ragged));
            let found = together(&mut session, &ragged);
            let parts = found.iter().zip(expected.iter());
            let differ: Vec<usize> = parts
                .map(|(found, alone)| found.iter().zip(alone).filter(|(a, b)| a != b).count())
                .collect();
            let how = format!("{} with {threads} threads", isa.name());
            assert!(found == *expected, "{how}: elements that differ {differ:?}");
            // A single text, after a step of several texts, is one sequence again.
            assert!(together(&mut session, &ragged[2..3]) == expected[2..3]);
            assert!(alone(&mut session, &ragged[..1]) == expected[..1]);
        }
    }
}

#[test]
fn every_encoder_reads_texts_together() {
    for name in encoders() {
        let prompt = expected(name).input_ids;
        let parts = [&prompt[..1], &prompt[..], &prompt[3..10]].map(<[u32]>::to_vec);
        let model = open(name, &Options::default());
        let mut session = model.session().unwrap();
        let expected = alone(&mut session, &parts);
        assert!(together(&mut session, &parts) == expected, "{name}");
    }
}

#[test]
fn a_fork_has_the_texts_of_its_original() {
    let model = tiny().open().unwrap();
    let texts = texts(&[3, 4], 16);
    let mut session = model.session().unwrap();
    let rows = together(&mut session, &texts).concat();
    let fork = session.fork().unwrap();
    assert_eq!(bits(fork.logits()), rows);
    assert_eq!(fork.position(), 7);
}

#[test]
fn a_step_of_texts_may_have_more_tokens_than_the_context() {
    let tiny = tiny();
    let plan = |chunk| {
        let options = tiny.options().context(24).chunk(chunk);
        Model::open(tiny.folder(), &options).unwrap().plan()
    };
    assert_eq!(plan(None).chunk, 512);
    assert_eq!(plan(Some(100)).chunk, 100);
    assert!(plan(Some(100)).activations > plan(Some(24)).activations);
    // A decoder's step reads only one text.
    let decoder = |chunk| {
        let options = Options::new().context(24).chunk(chunk);
        open("demo", &options).plan().chunk
    };
    assert_eq!((decoder(None), decoder(Some(100))), (24, 24));
}

#[test]
fn what_does_not_fit_in_a_step_is_refused_and_leaves_the_session_unchanged() {
    let model = tiny().open().unwrap(); // 24 positions, 8 tokens a step
    let mut session = model.session().unwrap();
    session.encode(&[&[1, 2], &[3]]).unwrap();
    let before = bits(session.logits());
    let mut refused = |texts: &[&[u32]]| session.encode(texts).err().unwrap();
    assert_eq!(refused(&[]), StepError::Empty);
    assert_eq!(refused(&[&[1], &[]]), StepError::Empty);
    let (token, vocabulary) = (16, 16);
    let unknown = StepError::UnknownToken { token, vocabulary };
    assert_eq!(refused(&[&[1], &[16]]), unknown);
    let (tokens, chunk) = (9, 8);
    assert_eq!(refused(&[&[1; 9]]), StepError::NotWhole { tokens, chunk });
    let texts = 2;
    let many = StepError::TooManyTokens {
        texts,
        tokens,
        chunk,
    };
    assert_eq!(refused(&[&[1; 4], &[1; 5]]), many);
    let long = refused(&[&[1; 25]]);
    assert!(matches!(long, StepError::ContextFull { tokens: 25, .. }));
    assert_eq!(bits(session.logits()), before);
    assert_eq!(session.tokens(), [1, 2, 3]);
}

#[test]
fn models_that_read_one_text_per_step_say_so() {
    let mut demo = open("demo", &Options::default()).session().unwrap();
    let error = demo.encode(&[&[1], &[2]]).unwrap_err().to_string();
    assert_eq!(
        error,
        "2 texts were given, but this model reads texts token by token, so a step reads only one text"
    );
    // Products with weights are the same ops as products that mix tokens, until a pass has made them linear layers.
    let options = Options::new().stop_after("none");
    let mut unfused = open("bert", &options).session().unwrap();
    let error = unfused.encode(&[&[1], &[2]]).unwrap_err().to_string();
    assert!(
        error.contains("mixes tokens outside of attention"),
        "{error}"
    );
    assert_eq!(unfused.encode(&[&[1, 2]]).unwrap().texts(), 1);
}

#[test]
fn embeddings_come_in_the_callers_order_whatever_the_steps() {
    let tiny = tiny();
    let lengths: Vec<usize> = (0..40).map(|i| 1 + i * 13 % 24).collect();
    let texts = texts(&lengths, 16);
    let mut expected: Option<Vec<Vec<u32>>> = None;
    for (chunk, stop_after) in [(24, None), (40, None), (1000, None), (24, Some("none"))] {
        let mut options = tiny.options().chunk(chunk);
        options.stop_after = stop_after.map(str::to_string);
        let model = Model::open(tiny.folder(), &options).unwrap();
        let embedder = model.embedder(&EmbedOptions::default()).unwrap();
        let embeddings = embedder.embed_tokens(&slices(&texts)).unwrap();
        let found: Vec<Vec<u32>> = embeddings.iter().map(|row| bits(row)).collect();
        let one_by_one = texts.iter().map(|text| {
            let mut one = embedder.embed_tokens(&[text]).unwrap();
            bits(&one.remove(0))
        });
        assert!(one_by_one.eq(found.iter().cloned()), "steps of {chunk}");
        assert!(
            *expected.get_or_insert(found.clone()) == found,
            "steps of {chunk}"
        );
    }
}

#[test]
fn a_text_that_cannot_be_embedded_is_named_by_its_place() {
    let model = tiny().open().unwrap();
    let refused = |texts: &[&[u32]]| match model.embed_tokens(texts) {
        Err(EmbedError::Text { text, error }) => (text, error),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&[&[1], &[2], &[]]), (2, StepError::Empty));
    let (token, vocabulary) = (99, 16);
    let unknown = StepError::UnknownToken { token, vocabulary };
    assert_eq!(refused(&[&[1, 2, 3], &[99], &[4]]), (1, unknown));
    let (text, error) = refused(&[&[1], &[2; 8], &[3; 30]]);
    assert!(matches!((text, error), (2, StepError::ContextFull { .. })));
    assert!(model.embed_tokens(&[]).unwrap().is_empty());
}

#[test]
fn a_causal_graph_whose_output_is_a_hidden_state_has_embeddings() {
    use smallmind::Pooling;
    use smallmind::model::Logits;

    let causal = BLOCK.replace(
        r#"("a", Attention(scale: 0.5, causal: false), ["q", "k", "v"])"#,
        r#"(["k", "v"], Cache, ["k", "v"]), ("a", Attention(scale: 0.5), ["q", "k", "v"])"#,
    );
    assert_ne!(causal, BLOCK);
    let tiny = Tiny::with_graph(&graph(&causal, "\"y\""));
    let texts = texts(&[20, 3], 16);
    let mut rows = Vec::new();
    for (logits, pooling) in [
        (Logits::Last, Pooling::Last),
        (Logits::All, Pooling::Last),
        (Logits::All, Pooling::Mean),
        (Logits::Last, Pooling::Mean),
    ] {
        let options = tiny.options().logits(logits);
        let model = Model::open(tiny.folder(), &options).unwrap();
        assert!(!model.is_bidirectional());
        let options = EmbedOptions::new()
            .pooling(Some(pooling))
            .normalize(Some(false));
        let embedder = model.embedder(&options).unwrap();
        rows.push(embedder.embed_tokens(&slices(&texts)));
    }
    let of_all = rows.remove(2).unwrap();
    let last = rows.remove(0).unwrap();
    assert_eq!(rows.remove(0).unwrap(), last);
    assert_ne!(of_all, last);
    assert!(matches!(rows.remove(0), Err(EmbedError::LastRowOnly)));
}
