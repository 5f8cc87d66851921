//! What happens when the caller's options or tokens are wrong?

use smallmind::{Model, Options};

use crate::common::data;
use crate::common::tiny::{Tiny, walk};

/// Why a fixture is not opened with these options.
fn refusal(name: &str, options: &Options) -> String {
    let error = Model::open(data(name), options).err();
    error.expect("the options are wrong").to_string()
}

#[test]
fn options_out_of_range_are_refused_with_the_range() {
    let cases: [(Options, &str); 10] = [
        (
            Options::new().context(0),
            "context is 0; it must be from 1 to 16777216",
        ),
        (
            Options::new().context(1_000_000_000_000),
            "context is 1000000000000; it must be from 1 to 16777216",
        ),
        (
            Options::new().context(usize::MAX),
            "context is 18446744073709551615; it must be from 1 to 16777216",
        ),
        (
            Options::new().threads(0),
            "threads is 0; it must be from 1 to 1024",
        ),
        (
            Options::new().threads(1_000_000),
            "threads is 1000000; it must be from 1 to 1024",
        ),
        (Options::new().chunk(0), "chunk is 0; it must be 1 or more"),
        (
            Options::new().isa("sse9"),
            "unknown instruction set 'sse9': expected scalar, avx2 or avx512",
        ),
        (
            Options::new().without(["linaer"]),
            "unknown pass or rule 'linaer', did you mean 'linear'?",
        ),
        (
            Options::new().stop_after("fold"),
            "unknown pass 'fold'; known are hidden_output, fold_constants, raise_powers, raise_norm, raise_activation, raise_rotary, raise_attention, quantize_weights, quantize_activations, rotary_tables, common_subexpressions, fuse_attention, fuse_norm, quantize_norm, linear, gate, merge_linear, fuse_elementwise, dead_nodes, wanted_rows, in_place, reuse_buffers",
        ),
        (
            Options::new().graph("no/such.ron"),
            "no/such.ron: can't be read: No such file or directory (os error 2)",
        ),
    ];
    for (options, expected) in cases {
        assert_eq!(refusal("llama", &options), expected);
    }
    let long = Options::new().context(129);
    assert_eq!(
        refusal("gpt2", &long),
        "context is 129; it must be from 1 to 128, the positions that the model's tables have"
    );
    let chunk = Options::new().chunk(usize::MAX);
    assert_eq!(
        Model::open(data("llama"), &chunk).unwrap().plan().chunk,
        256
    );
}

#[test]
fn tokens_outside_the_vocabulary_are_refused_and_nothing_happens() {
    let model = crate::common::open("llama", &Options::default());
    let mut session = model.session().unwrap();
    session.prefill(&[1, 2, 3]).unwrap();
    let before = crate::common::bits(session.logits());
    for (tokens, expected) in [
        (&[4, 323][..], "token 323 is not in the vocabulary of 323"),
        (
            &[u32::MAX],
            "token 4294967295 is not in the vocabulary of 323",
        ),
        (&[], "no token was given"),
    ] {
        assert_eq!(session.prefill(tokens).unwrap_err().to_string(), expected);
        assert_eq!(
            (session.position(), crate::common::bits(session.logits())),
            (3, before.clone())
        );
    }
}

#[test]
fn many_threads_run_a_small_model() {
    let tiny = Tiny::new("(\"y\", Softmax, [\"x\"]),");
    let options = tiny.options().threads(40);
    let model = Model::open(tiny.folder(), &options).unwrap();
    walk(&mut model.session().unwrap()).unwrap();
}
