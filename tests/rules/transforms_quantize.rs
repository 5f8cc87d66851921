//! Do the quantizing transforms quantize where products read blocks, and nowhere else?

use smallmind::blocks::BlockFormat;
use smallmind::graph::{Graph, verify};
use smallmind::transform::{self, Change, Settings};
use smallmind::types::DType;

use crate::common::graph_text::graph;
use crate::common::same_bits::apply;

fn run(name: &str, graph: &mut Graph, settings: &Settings) -> Vec<Change> {
    let def = transform::find(name).expect("a known transform");
    let changes = (def.run)(graph, settings).unwrap();
    verify(graph).unwrap();
    changes
}

fn ops(graph: &Graph) -> Vec<&'static str> {
    let order = graph.order().into_iter();
    order
        .filter_map(|id| Some(graph.node(id).op()?.name()))
        .collect()
}

fn ty(graph: &Graph, name: &str) -> String {
    graph.ty(graph.find(name).unwrap()).to_string()
}

#[test]
fn products_with_blocks_read_int8_and_share_it() {
    let mut graph = graph(
        "x = activation 64
         n = RmsNorm x
         a = weight 8 64
         qa = Cast a | to=Q4_0
         b = weight 8 64
         qb = Cast b | to=Q8_0
         f = weight 8 64
         y = MatMul n qa
         z = Linear n qb - y
         w = MatMul n f
         out z w",
    );
    let changes = run("quantize_activations", &mut graph, &Settings::default());
    let at: Vec<&str> = changes.iter().map(|change| change.at.as_str()).collect();
    assert_eq!(at, ["y", "z"]);
    assert_eq!(changes[0].what, "multiplies \"n\" as int8 blocks");
    let names = ops(&graph);
    let count = |name: &str| names.iter().filter(|op| **op == name).count();
    assert_eq!(count("QuantizeActivations"), 2, "{names:?}");
    run("common_subexpressions", &mut graph, &Settings::default());
    assert_eq!(
        ops(&graph)
            .iter()
            .filter(|op| **op == "QuantizeActivations")
            .count(),
        1
    );
    assert_eq!(ty(&graph, "n/int8"), "int8[T, 64]");
    let again = run("quantize_activations", &mut graph, &Settings::default());
    assert_eq!(again, []);
}

#[test]
fn a_step_that_mixes_blocks_and_floats_reads_floats() {
    let mut graph = graph(
        "x = activation 32
         a = weight 8 32
         qa = Cast a | to=Q8_0
         b = weight 8 32
         g = GatedLinear x qa b | activation=silu
         t = Transpose x | perm=[1,0]
         s = MatMul x x
         out g t s",
    );
    let changes = run("quantize_activations", &mut graph, &Settings::default());
    assert_eq!(changes, []);
}

#[test]
fn matrices_of_floats_that_products_read_become_narrower() {
    let text = "x = activation 256
         g = weight 256
         n = RmsNorm x g
         a = weight 32 256
         b = weight 16 32
         c = weight 8 16
         t = weight 256 8
         tt = Transpose t | perm=[1,0]
         y = MatMul n a
         z = Linear y b
         v = MatMul z c
         u = MatMul n tt
         s = Add v u
         out s";
    for (dtype, expected) in [
        (
            DType::Blocks(BlockFormat::Q4K),
            ["Q4_K[32, 256]", "Q5_0[16, 32]", "Q4_K[8, 256]"],
        ),
        (
            DType::Blocks(BlockFormat::Q6K),
            ["Q6_K[32, 256]", "Q8_0[16, 32]", "Q6_K[8, 256]"],
        ),
        (
            DType::Blocks(BlockFormat::Q4_0),
            ["Q4_0[32, 256]", "Q4_0[16, 32]", "Q4_0[8, 256]"],
        ),
        (
            DType::BF16,
            ["bf16[32, 256]", "bf16[16, 32]", "bf16[8, 256]"],
        ),
    ] {
        let mut graph = graph(text);
        let settings = Settings {
            weights: Some(dtype),
            ..Settings::default()
        };
        let changes = run("quantize_weights", &mut graph, &settings);
        let cast = |slot: &str| {
            let product = graph.find(slot).unwrap().node;
            graph.ty(graph.inputs(product)[1].unwrap()).to_string()
        };
        assert_eq!([cast("y"), cast("z"), cast("u")], expected);
        // Rows of 16 elements are not blocks of 32.
        let narrow = match dtype {
            DType::BF16 => "bf16[8, 16]",
            _ => "f32[8, 16]",
        };
        assert_eq!(cast("v"), narrow);
        assert_eq!(ty(&graph, "g"), "f32[256]");
        let at: Vec<&str> = changes.iter().map(|change| change.at.as_str()).collect();
        assert!(at.starts_with(&["a", "b"]), "{at:?}");
        assert_eq!(run("quantize_weights", &mut graph, &settings), []);
    }
}

#[test]
fn weights_keep_their_types_unless_the_caller_asks() {
    let mut graph = graph(
        "x = activation 32
         w = weight 8 32
         y = MatMul x w
         out y",
    );
    let changes = run("quantize_weights", &mut graph, &Settings::default());
    assert_eq!(changes, []);
}

#[test]
fn only_the_blocks_of_the_wanted_rows_are_computed() {
    let graph = graph(
        "x = activation 32
         n = RmsNorm x
         q = QuantizeActivations n
         w = weight 8 32
         b = Cast w | to=Q8_0
         y = Linear q b
         out y",
    );
    let (after, _) = apply("wanted_rows", &graph);
    assert_eq!(ty(&after, "q"), "int8[R, 32]");
    assert_eq!(ty(&after, "n"), "f32[R, 32]");
}

#[test]
fn blocks_that_somebody_reads_whole_are_computed_whole_and_their_rows_taken() {
    let graph = graph(
        "x = activation 32
         n = RmsNorm x
         q = QuantizeActivations n
         w = weight 8 32
         b = Cast w | to=Q8_0
         v = weight 32 32
         c = Cast v | to=Q4_0
         k = Linear q c
         kh = Reshape k | shape=[0,4,8]
         keys values = Cache kh kh
         y = Linear q b
         z = Neg y
         out z keys",
    );
    let (after, _) = apply("wanted_rows", &graph);
    assert_eq!(ty(&after, "q"), "int8[T, 32]");
    assert_eq!(ty(&after, "q/wanted"), "int8[R, 32]");
    assert_eq!(ty(&after, "y"), "f32[R, 8]");
    assert_eq!(ty(&after, "z"), "f32[R, 8]");
}
