//! Do models with quantized weights compute what their blocks stand for, with the same bits everywhere and close to floats?

use smallmind::blocks::BlockFormat;
use smallmind::files::weight_files::{Open, WeightFiles};
use smallmind::graph::Kind;
use smallmind::graph::interpreter::Interpreter;
use smallmind::kernels::simd::Isa;
use smallmind::model::{Activations, Logits};
use smallmind::types::DType;
use smallmind::{Model, Options};
use tempfile::TempDir;

use crate::common::gguf::Writer;
use crate::common::quantized::{Family, File, VOCABULARY, mixed, model, widened, written};
use crate::common::{bits, deviation};

const FAMILIES: [Family; 2] = [Family::Llama, Family::Gpt2];
const PROMPT: [u32; 11] = [3, 1, 4, 15, 9, 2, 6, 53, 5, 8, 7];
const NEXT: [u32; 3] = [70, 0, 31];

fn options(activations: Activations) -> Options {
    Options::new()
        .logits(Logits::All)
        .activations(activations)
        .threads(2)
}

/// Logits of the prompt's tokens, then of single steps.
fn logits(file: &File, options: &Options) -> Vec<f32> {
    let model = Model::open(&file.path, options).unwrap_or_else(|error| panic!("{error}"));
    let mut session = model.session().unwrap();
    let mut all = Vec::new();
    session
        .prefill_each(&PROMPT, &mut |rows| all.extend_from_slice(rows))
        .unwrap();
    for token in NEXT {
        all.extend_from_slice(session.step(token).unwrap());
    }
    all
}

/// The same, computed by the interpreter on the graph that the model runs.
fn interpreted(file: &File, options: &Options) -> Vec<f32> {
    let model = Model::open(&file.path, options).unwrap();
    let files = WeightFiles::open(&file.path, Open::Data).unwrap();
    let mut interpreter = Interpreter::new(&model.compiled().graph, &files).unwrap();
    let mut all = Vec::new();
    let prompt = PROMPT.map(|id| id as i32);
    all.extend_from_slice(&interpreter.step(&prompt)[0].floats());
    for token in NEXT {
        all.extend_from_slice(&interpreter.step(&[token as i32])[0].floats());
    }
    all
}

/// A file whose matrices are all of one format.
fn of(family: Family, format: BlockFormat) -> Writer {
    model(family, |_| Some(format))
}

fn ops(model: &Model) -> Vec<&str> {
    let graph = &model.compiled().graph;
    let order = graph.order().into_iter();
    order
        .filter_map(|id| graph.node(id).op())
        .map(|op| op.name())
        .collect()
}

#[test]
fn with_float_activations_every_format_has_the_bits_of_its_floats() {
    for family in FAMILIES {
        for format in BlockFormat::ALL {
            let blocks = of(family, format);
            let exact = logits(&written(&blocks), &options(Activations::F32));
            let floats = logits(&written(&widened(&blocks)), &options(Activations::F32));
            assert_eq!(bits(&exact), bits(&floats), "{family:?} {format}");
            assert!(exact.iter().all(|x| x.is_finite()), "{family:?} {format}");
        }
    }
}

#[test]
fn the_pass_that_quantizes_can_be_left_out_instead() {
    let file = written(&mixed(Family::Llama));
    let exact = logits(&file, &options(Activations::F32));
    let without = options(Activations::Int8).without(["quantize_activations"]);
    assert_eq!(bits(&logits(&file, &without)), bits(&exact));
    assert_ne!(
        bits(&logits(&file, &options(Activations::Int8))),
        bits(&exact)
    );
}

#[test]
fn int8_products_are_what_the_interpreter_computes() {
    for family in FAMILIES {
        for format in BlockFormat::ALL {
            let file = written(&of(family, format));
            let options = options(Activations::Int8);
            let (found, expected) = (logits(&file, &options), interpreted(&file, &options));
            assert_eq!(bits(&found), bits(&expected), "{family:?} {format}");
        }
        let file = written(&mixed(family));
        let options = options(Activations::Int8);
        let (found, expected) = (logits(&file, &options), interpreted(&file, &options));
        assert_eq!(bits(&found), bits(&expected), "{family:?} mixed");
    }
}

#[test]
fn int8_products_have_the_same_bits_on_every_machine_and_however_they_are_split() {
    for family in FAMILIES {
        let file = written(&mixed(family));
        let expected = bits(&logits(&file, &options(Activations::Int8)));
        for isa in Isa::available() {
            for threads in [1, 2, 3] {
                for chunk in [1, 7, PROMPT.len()] {
                    let options = options(Activations::Int8)
                        .isa(isa.name())
                        .threads(threads)
                        .chunk(chunk);
                    let found = bits(&logits(&file, &options));
                    assert_eq!(
                        found,
                        expected,
                        "{family:?} {} {threads} threads, chunks of {chunk}",
                        isa.name()
                    );
                }
            }
        }
    }
}

#[test]
fn every_format_has_the_same_bits_on_every_machine() {
    for format in BlockFormat::ALL {
        let file = written(&of(Family::Llama, format));
        let on = |isa: Isa| {
            let options = options(Activations::Int8).isa(isa.name());
            bits(&logits(&file, &options))
        };
        let all: Vec<_> = Isa::available().into_iter().map(on).collect();
        assert!(all.iter().all(|found| *found == all[0]), "{format}");
    }
}

#[test]
fn int8_activations_move_logits_by_little() {
    for family in FAMILIES {
        for format in BlockFormat::ALL {
            let file = written(&of(family, format));
            let exact = logits(&file, &options(Activations::F32));
            let int8 = logits(&file, &options(Activations::Int8));
            let squares = exact
                .iter()
                .zip(&int8)
                .map(|(a, b)| f64::from(a - b).powi(2));
            let error = (squares.sum::<f64>() / exact.len() as f64).sqrt() / deviation(&exact);
            assert!(
                error > 0.0 && error < 0.05,
                "{family:?} {format}: {error:.4}"
            );
        }
    }
}

#[test]
fn products_of_one_norm_share_its_blocks_and_formats_mix_in_one_step() {
    let file = written(&mixed(Family::Llama));
    let int8 = Model::open(&file.path, &options(Activations::Int8)).unwrap();
    let names = ops(&int8);
    let count = |name: &str| names.iter().filter(|found| **found == name).count();
    // Q, K and V of each layer have three different formats.
    assert_eq!(count("MergedLinear"), 2, "{names:?}");
    // The first layer's gate and up; the second layer's up has floats, so it reads floats.
    assert_eq!(count("GatedLinear"), 1, "{names:?}");
    // An op reads the floats of the second layer's inner norm.
    assert_eq!(count("QuantizedRmsNorm"), 1, "{names:?}");
    assert_eq!(count("QuantizedAddRmsNorm"), 3, "{names:?}");
    assert_eq!(count("AddRmsNorm"), 1, "{names:?}");
    // For two outputs of attention, two of the feed-forward layer, and that norm.
    assert_eq!(count("QuantizeActivations"), 5, "{names:?}");
    let exact = Model::open(&file.path, &options(Activations::F32)).unwrap();
    assert!(!ops(&exact).iter().any(|name| name.starts_with("Quantize")));
}

#[test]
fn the_plan_counts_blocks_in_their_own_bytes() {
    let writer = of(Family::Gpt2, BlockFormat::Q4_0);
    let file = written(&writer);
    let model = Model::open(&file.path, &options(Activations::Int8)).unwrap();
    let plan = model.plan();
    let file_bytes: usize = writer.tensors.iter().map(|tensor| tensor.bytes.len()).sum();
    assert_eq!(plan.weights, file_bytes);
    // The embedding is also the head: its rows are read from the head's panels, which are rounded up to 16 rows.
    let row = |rows: usize, cols: usize| rows * cols / 32 * 18;
    let layers = 2 * (row(768, 256) + row(256, 256) + 2 * row(512, 256));
    assert_eq!(
        plan.packed_weights,
        layers + row(VOCABULARY.next_multiple_of(16), 256)
    );
    assert_eq!(plan.mapped_weights, row(64, 256));
    let exact = Model::open(&file.path, &options(Activations::F32)).unwrap();
    let plan = exact.plan();
    let floats = |bytes: usize| bytes / 18 * 32 * 4;
    assert_eq!(
        plan.packed_weights,
        floats(layers + row(VOCABULARY.next_multiple_of(16), 256))
    );
    assert_eq!(plan.mapped_weights, row(64 + VOCABULARY, 256));
}

#[test]
fn a_dump_names_formats_and_loads_again_to_the_same_bits() {
    let file = written(&mixed(Family::Llama));
    let options = options(Activations::Int8);
    let model = Model::open(&file.path, &options).unwrap();
    let graph = &model.compiled().graph;
    let text = smallmind::graph::print(graph, "gguf");
    assert!(text.contains("// Q4_K\n"), "{text}");
    assert!(text.contains("// int8[T, 256]\n"), "{text}");
    let folder = TempDir::new().unwrap();
    let dump = folder.path().join("dump.ron");
    std::fs::write(&dump, text).unwrap();
    let again = options.clone().graph(dump);
    assert_eq!(bits(&logits(&file, &again)), bits(&logits(&file, &options)));
    let weights = graph
        .ids()
        .filter(|&id| matches!(graph.node(id).kind, Kind::Weight(_)));
    let again = Model::open(&file.path, &again).unwrap();
    let count = again.compiled().graph.ids();
    let count = count.filter(|&id| matches!(again.compiled().graph.node(id).kind, Kind::Weight(_)));
    assert_eq!(count.count(), weights.count());
}

/// A folder with a model of floats: a fixture of `tests/data`.
fn folder(name: &str) -> File {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    std::fs::create_dir(&path).unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(crate::common::data(name).join(file), path.join(file)).unwrap();
    }
    File { path, folder }
}

#[test]
fn weights_of_floats_become_the_blocks_that_a_file_of_blocks_has() {
    let floats = written(&model(Family::Llama, |_| None));
    for (weights, format) in [
        (DType::Blocks(BlockFormat::Q8_0), BlockFormat::Q8_0),
        (DType::Blocks(BlockFormat::Q4_0), BlockFormat::Q4_0),
        (DType::Blocks(BlockFormat::Q4K), BlockFormat::Q4K),
        (DType::Blocks(BlockFormat::Q6K), BlockFormat::Q6K),
    ] {
        // Tables keep their type.
        let blocks = written(&model(Family::Llama, |name| {
            (name != "token_embd.weight").then_some(format)
        }));
        for activations in [Activations::Int8, Activations::F32] {
            let cast = options(activations).weights(weights);
            let expected = bits(&logits(&blocks, &options(activations)));
            assert_eq!(bits(&logits(&floats, &cast)), expected, "{format}");
            let again = bits(&interpreted(&floats, &cast));
            assert_eq!(again, expected, "{format}");
            let model = Model::open(&floats.path, &cast).unwrap();
            let whole = Model::open(&blocks.path, &options(activations)).unwrap();
            assert_eq!(model.plan().packed_weights, whole.plan().packed_weights);
        }
    }
}

#[test]
fn weights_of_floats_become_halves() {
    let file = folder("llama");
    let plain = Model::open(&file.path, &options(Activations::Int8)).unwrap();
    for weights in [DType::F16, DType::BF16] {
        let cast = options(Activations::Int8).weights(weights);
        let model = Model::open(&file.path, &cast).unwrap();
        assert_eq!(model.plan().packed_weights * 2, plain.plan().packed_weights);
        let found = bits(&logits(&file, &cast));
        assert_eq!(found, bits(&interpreted(&file, &cast)), "{weights:?}");
        assert_ne!(found, bits(&logits(&file, &options(Activations::Int8))));
    }
}

#[test]
fn rows_that_are_not_blocks_of_256_get_blocks_of_32_and_others_stay() {
    // Rows of the fixtures' matrices have 64 or more elements, none of them a multiple of 256.
    for (name, weights, expected) in [
        ("llama", DType::Blocks(BlockFormat::Q4K), "Q5_0"),
        ("gpt2", DType::Blocks(BlockFormat::Q6K), "Q8_0"),
        ("gpt2", DType::Blocks(BlockFormat::Q4_0), "Q4_0"),
    ] {
        let file = folder(name);
        let cast = options(Activations::Int8).weights(weights);
        let model = Model::open(&file.path, &cast).unwrap();
        let text = smallmind::graph::print(&model.compiled().graph, "hf");
        assert!(
            text.contains(&format!("Cast(to: \"'{expected}'\")")),
            "{text}"
        );
        assert!(text.contains(&format!("// {expected}[")), "{text}");
        let (found, interpreted) = (logits(&file, &cast), interpreted(&file, &cast));
        assert_eq!(bits(&found), bits(&interpreted), "{name}");
    }
}

#[test]
fn the_last_row_alone_has_the_same_bits_as_among_all_rows() {
    for family in FAMILIES {
        let file = written(&mixed(family));
        for without in [&[][..], &["merge_linear", "gate"]] {
            let all = options(Activations::Int8).without(without.iter().copied());
            let last = all.clone().logits(Logits::Last);
            let prompt = |options: &Options| {
                let model = Model::open(&file.path, options).unwrap();
                let mut session = model.session().unwrap();
                session.prefill(&PROMPT).unwrap();
                bits(session.logits_row())
            };
            assert_eq!(prompt(&last), prompt(&all), "{family:?} {without:?}");
        }
    }
}

#[test]
fn a_dump_of_cast_weights_loads_again_without_options() {
    let file = folder("llama");
    let cast = options(Activations::Int8).weights(DType::Blocks(BlockFormat::Q4_0));
    let model = Model::open(&file.path, &cast).unwrap();
    let dump = file.folder.path().join("dump.ron");
    let text = smallmind::graph::print(&model.compiled().graph, "hf");
    std::fs::write(&dump, text).unwrap();
    let again = options(Activations::Int8).graph(dump);
    assert_eq!(bits(&logits(&file, &again)), bits(&logits(&file, &cast)));
}

#[test]
fn a_graph_that_cuts_through_blocks_is_refused_by_name() {
    let file = written(&of(Family::Llama, BlockFormat::Q8_0));
    let graph = |node: &str| {
        format!(
            "Model(ignore: [\"*\"], params: {{}}, weights: {{\"embed\": (shape: [75, 256], gguf: \"token_embd.weight\")}}, \
             nodes: [(\"x\", Gather, [\"embed\", \"tokens\"]), {node}, (\"y\", MatMul, [\"x\", \"w\"])], outputs: [\"y\"])"
        )
    };
    let path = file.folder.path().join("graph.ron");
    let refused = options(Activations::Int8).graph(path.clone());
    let open = |node: &str| {
        std::fs::write(&path, graph(node)).unwrap();
        Model::open(&file.path, &refused)
    };
    for node in [
        "(\"w\", Reshape(shape: [256, 75]), [\"embed\"])",
        "(\"t\", Transpose(perm: [1, 0]), [\"embed\"]), (\"w\", Transpose(perm: [1, 0]), [\"t\"])",
        "(\"w\", Slice(axis: 1, start: 16), [\"embed\"])",
    ] {
        let error = open(node).expect_err("blocks are cut").to_string();
        assert!(error.contains("cut through quantized blocks"), "{error}");
        assert!(error.contains("Q8_0[75, 256]"), "{error}");
    }
    // Rows may be sliced, and arithmetic results in floats.
    for node in [
        "(\"w\", Slice(axis: 0, start: 11, end: 40), [\"embed\"])",
        "(\"w\", Mul, [\"embed\", 2.0])",
    ] {
        let model = open(node).unwrap_or_else(|error| panic!("{error}"));
        let mut session = model.session().unwrap();
        assert!(session.prefill(&[3]).unwrap().iter().all(|x| x.is_finite()));
        assert_eq!(
            bits(&logits(&file, &refused)),
            bits(&interpreted(&file, &refused))
        );
    }
}
