//! Is the head found where there is one, and only there?

use smallmind::graph::{Graph, verify};
use smallmind::transform::{self, Settings};

use super::made::ops;
use crate::common::graph_text::{VOCAB, graph};
use crate::common::same_bits::apply;

/// The name of the output after the pass, or what is wrong.
fn output(graph: &mut Graph) -> Result<String, String> {
    let def = transform::find("hidden_output").expect("a known transform");
    let settings = Settings {
        without_head_of: Some(VOCAB),
        ..Settings::default()
    };
    let changes = (def.run)(graph, &settings).map_err(|error| error.to_string())?;
    verify(graph).unwrap();
    let name = graph.name(graph.outputs()[0]).to_string();
    match changes.as_slice() {
        [] => Ok(format!("{name}, unchanged")),
        [change] => {
            let expected = format!("the output is the hidden state \"{name}\" instead");
            assert_eq!(change.what, expected);
            Ok(name)
        }
        _ => panic!("{changes:?}"),
    }
}

/// A causal model's last norm, then these lines.
fn after_a_norm(lines: &str) -> Graph {
    graph(&format!(
        "heads = activation 4 16
         a = CachedAttention heads heads heads
         x = Reshape a | shape=[0,64]
         gain = weight 64
         n = RmsNorm x gain
         w = weight {VOCAB} 64
         b = weight {VOCAB}
         {lines}"
    ))
}

#[test]
fn what_follows_the_head_is_removed_with_it() {
    for lines in [
        "y = MatMul n w\n out y",
        "y = Linear n w b\n out y",
        "turned = Transpose w | perm=[1,0]\n y = MatMul n turned | transpose_b=false\n out y",
        "l = MatMul n w\n s = Add l b\n out s",
        "l = MatMul n w\n s = Mul l 0.5\n d = Div s 30\n t = Tanh d\n y = Mul 30 t\n out y",
        "l = MatMul n w\n y = Elementwise l b | program=t0=Add(x0,x1)\n out y",
        "q = Cast w | to=Q8_0\n i = QuantizeActivations n\n y = Linear i q\n out y",
        "l = MatMul n w\n y = Mul l l\n out y",
    ] {
        let mut graph = after_a_norm(lines);
        assert_eq!(output(&mut graph).unwrap(), "n", "{lines}");
        assert_eq!(ops(&graph).last(), Some(&"RmsNorm"), "{lines}");
        assert!(graph.find("w").is_none() && graph.find("b").is_none());
        assert_eq!(output(&mut graph).unwrap(), "n, unchanged");
    }
}

#[test]
fn hidden_states_stay() {
    for lines in [
        "out n",
        "wide = weight 10 64\n y = MatMul n wide\n out y",
        // Wider than the vocabulary, as those of models whose tokens are bytes.
        "y = Add n x\n out y",
    ] {
        let mut graph = after_a_norm(lines);
        let found = output(&mut graph).unwrap();
        assert!(found.ends_with(", unchanged"), "{lines}: {found}");
    }
}

#[test]
fn logits_that_no_head_makes_are_refused() {
    for (lines, message) in [
        (
            "l = MatMul n w\n y = Softmax l\n out y",
            "is not a matrix product",
        ),
        (
            "l = MatMul n w\n r = Linear n w - l\n out r",
            "is not a matrix product",
        ),
        (
            "q = Cast w | to=Q8_0\n i = QuantizedRmsNorm x gain\n y = Linear i q\n out y",
            "its head reads int8 blocks, \"i\"",
        ),
    ] {
        let error = output(&mut after_a_norm(lines)).unwrap_err();
        assert!(error.contains(message), "{lines}: {error}");
    }
}

#[test]
fn nothing_changes_unless_it_is_asked_for() {
    let (_, changes) = apply("hidden_output", &after_a_norm("y = MatMul n w\n out y"));
    assert_eq!(changes, []);
}
