//! Do chains of elementwise ops become one loop where they may, and does the loop compute the same bits?

use proptest::prelude::*;
use smallmind::Options;
use smallmind::architecture::bind::bind;
use smallmind::architecture::expand::expand;
use smallmind::architecture::syntax;
use smallmind::files::weight_files::WeightFiles;
use smallmind::graph::interpreter::Interpreter;
use smallmind::graph::{Graph, print, verify};
use smallmind::kernels::simd::Isa;
use smallmind::model::{ModelFiles, Source};
use smallmind::ops::Op;
use smallmind::plan::PlanOptions;
use smallmind::transform::{self, Settings};

use crate::common::graph_text::graph;
use crate::common::random::Random;
use crate::common::random_graph::applied_ops;
use crate::common::seeded_weights::{SeededWeights, plan_options, session};

fn fuse(graph: &mut Graph) -> usize {
    let def = transform::find("fuse_elementwise").unwrap();
    let changes = (def.run)(graph, &Settings::default()).unwrap();
    verify(graph).unwrap();
    changes.len()
}

fn programs(graph: &Graph) -> Vec<String> {
    let ops = graph
        .order()
        .into_iter()
        .filter_map(|id| graph.node(id).op());
    let chains = ops.filter(|op| op.name() == "Elementwise");
    chains.map(|op| op.text("program").to_owned()).collect()
}

#[test]
fn a_graph_of_elementwise_ops_with_one_reader_outside_becomes_one_op() {
    let mut graph = graph(
        "x = activation 8
         z = activation 8
         g = weight 8
         a = Mul x g
         b = Tanh a
         c = Add b 0.5
         d = Mul c a
         e = Div d z
         y = RmsNorm e
         out y",
    );
    let before = graph.op_count();
    assert_eq!(fuse(&mut graph), 1);
    assert_eq!(
        programs(&graph),
        ["t0 = Mul(x0, x1); t1 = Tanh(t0); t2 = Add(t1, 0.5); t3 = Mul(t2, t0); t4 = Div(t3, x2)"]
    );
    assert_eq!(graph.op_count(), before - 4);
}

#[test]
fn every_function_of_the_table_joins_a_chain() {
    for (arity, operands) in [(1, "a"), (2, "a z")] {
        for op in applied_ops(arity) {
            let mut graph = graph(&format!(
                "x = activation 8\nz = activation 8\na = Neg x\ny = {op} {operands}\nout y"
            ));
            assert_eq!(fuse(&mut graph), 1, "{op}");
        }
    }
}

#[test]
fn values_that_are_read_outside_end_a_chain() {
    let mut graph = graph(
        "x = activation 8
         a = Neg x
         b = Tanh a
         c = Exp b
         d = Sqrt c
         s = Softmax b
         y = Add s d
         out y b",
    );
    assert_eq!(fuse(&mut graph), 2);
    assert_eq!(
        programs(&graph),
        [
            "t0 = Neg(x0); t1 = Tanh(t0)",
            "t0 = Exp(x0); t1 = Sqrt(t0); t2 = Add(x1, t1)"
        ]
    );
}

#[test]
fn single_ops_ints_weights_and_other_shapes_stay() {
    let text = "x = activation 8
         g = weight 8
         h = Mul g 2
         i = Add h 1
         a = Add x i
         m = ReduceMean a
         n = Neg m
         b = Mul a n
         p = Add positions positions
         q = Mul p positions
         table = weight 64 8
         r = Gather table q
         s = Softmax b
         y = Add s r
         out y";
    let mut graph = graph(text);
    let before = print(&graph, "hf");
    assert_eq!(fuse(&mut graph), 0);
    assert_eq!(print(&graph, "hf"), before);
}

#[test]
fn a_chain_has_no_more_operands_than_the_op_accepts() {
    let weights: String = (0..12).map(|n| format!("w{n} = weight 8\n")).collect();
    let sums: String = (1..12)
        .map(|n| format!("a{n} = Add a{} w{n}\n", n - 1))
        .collect();
    let mut graph = graph(&format!(
        "x = activation 8\n{weights}a0 = Add x w0\n{sums}out a11"
    ));
    assert_eq!(fuse(&mut graph), 2);
    let longest = graph.ids().map(|id| graph.inputs(id).len()).max().unwrap();
    assert_eq!(longest, 8);
}

#[test]
fn a_fused_graph_is_printed_and_loads_again() {
    let mut graph = graph(
        "x = activation 8
         a = Mul x -0.5
         b = Gelu a | approximate=tanh
         c = Pow b | exponent=3.0
         d = Add c 0.00001
         y = Div d x
         out y",
    );
    fuse(&mut graph);
    let text = print(&graph, "hf");
    assert!(text.contains(
        "Elementwise(program: \"'t0 = Mul(x0, -0.5); t1 = GeluTanh(t0); t2 = Cube(t1); \
         t3 = Add(t2, 1e-5); t4 = Div(t3, x0)'\")"
    ));
    let file = syntax::parse("dump.ron", &text).unwrap_or_else(|error| panic!("{error}"));
    // The dump has no parameters, so any configuration will do.
    let files = ModelFiles::open_headers(&Source::Demo, &Options::default()).unwrap();
    let expanded =
        expand(&file, &files.config, &|_| true).unwrap_or_else(|error| panic!("{error}"));
    let again = bind("dump.ron", &expanded, None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(print(&again, "hf"), text);
}

#[test]
fn what_is_wrong_with_a_program_is_said() {
    let x = smallmind::types::Type::f32([smallmind::types::Dim::Tokens]);
    let cases = [
        ("t0 = Mull(x0, x0)", "step 0 of the program"),
        ("t0 = Neg(x1)", "no step of the program reads x0"),
        ("t0 = Add(x0, x1)", "input 1 is absent"),
    ];
    for (program, wanted) in cases {
        let attribute = smallmind::ops::Attribute::Text(program.into());
        let op = Op::new("Elementwise", &[("program", attribute)]).unwrap();
        let error = op.infer(&[Some(&x)]).unwrap_err();
        assert!(error.contains(wanted), "{program}: {error}");
    }
}

/// A random graph of elementwise ops with shapes that broadcast, in the form of `graph_text`.
fn arbitrary(seed: u64) -> String {
    let mut random = Random(seed);
    let mut below = |n: usize| random.below(n);
    let width = [1, 6, 16, 33][below(4)];
    let mut text = format!(
        "v0 = activation 3 {width}\nv1 = activation 3 {width}\nv2 = activation 3 1\n\
         v3 = activation 1 {width}\ng = weight {width}\nh = weight 3 1\n"
    );
    let unary = applied_ops(1);
    let binary = applied_ops(2);
    let count = 4 + 2 + below(20);
    for n in 4..count {
        let mut operand = || match below(8) {
            0 => "g".to_owned(),
            1 => "h".to_owned(),
            2 => ["0.5", "-2", "0.1", "3"][below(4)].to_owned(),
            _ => format!("v{}", below(n)),
        };
        // One operand depends on the tokens, so the op runs in each step.
        let (a, b) = (operand(), operand());
        let recent = format!("v{}", n - 1 - below(n.min(4)));
        let (a, b) = match below(3) {
            0 => (a, recent),
            1 => (recent, b),
            _ => (recent.clone(), recent),
        };
        let line = match below(6) {
            0 | 1 if a.starts_with('v') => format!("{} {a}", unary[below(unary.len())]),
            2 if a.starts_with('v') => format!("Pow {a} | exponent={}", ["2.0", "3.0"][below(2)]),
            _ => format!("{} {a} {b}", binary[below(binary.len())]),
        };
        text.push_str(&format!("v{n} = {line}\n"));
    }
    let last = count - 1;
    let other = 4 + below(count - 4);
    // NaN and infinities become finite numbers, because a session refuses anything else.
    let outputs = if other == last {
        vec![last]
    } else {
        vec![other, last]
    };
    for n in &outputs {
        text.push_str(&format!("m{n} = Max v{n} -1e30\no{n} = Min m{n} 1e30\n"));
    }
    text.push_str(&match other == last {
        true => format!("out o{last}"),
        false => format!("out o{last} o{other}"),
    });
    text
}

/// Bits, without a NaN's payload.
fn bits(values: &[f32]) -> Vec<u32> {
    let bits = |x: &f32| if x.is_nan() { u32::MAX } else { x.to_bits() };
    values.iter().map(bits).collect()
}

const STEPS: [&[u32]; 3] = [&[3, 1, 4, 1, 5], &[6], &[5, 3]];

fn interpreted(graph: &Graph, weights: &SeededWeights) -> Vec<Vec<u32>> {
    let mut interpreter = Interpreter::new(graph, weights).unwrap();
    let mut all = Vec::new();
    for step in STEPS {
        let tokens: Vec<i32> = step.iter().map(|&t| t as i32).collect();
        let outputs = interpreter.step(&tokens);
        all.extend(outputs.iter().map(|tensor| bits(&tensor.floats())));
    }
    all
}

fn executed(graph: &Graph, files: &WeightFiles, threads: usize, isa: Isa) -> Vec<Vec<u32>> {
    let options = PlanOptions {
        threads,
        isa,
        ..plan_options(16, 8)
    };
    let mut session = session(graph, files, options);
    let mut all = Vec::new();
    for step in STEPS {
        session.prefill(step).unwrap();
        all.extend((0..graph.outputs().len()).map(|i| bits(session.output(i))));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn fused_and_unfused_graphs_give_the_same_bits(seed: u64, threads in 1usize..4) {
        let text = arbitrary(seed);
        let plain = graph(&text);
        let mut fused = graph(&text);
        fuse(&mut fused);
        let weights = SeededWeights::new(&plain, 7);
        let files = weights.files(&plain);
        let wanted = interpreted(&plain, &weights);
        prop_assert_eq!(&interpreted(&fused, &weights), &wanted, "{}", text);
        for isa in Isa::available() {
            for graph in [&plain, &fused] {
                let found = executed(graph, &files, threads, isa);
                prop_assert_eq!(&found, &wanted, "{} {}", isa.name(), text);
            }
        }
    }

    #[test]
    fn no_chain_is_left_to_fuse(seed: u64) {
        let mut fused = graph(&arbitrary(seed));
        fuse(&mut fused);
        prop_assert_eq!(fuse(&mut fused), 0);
    }
}
