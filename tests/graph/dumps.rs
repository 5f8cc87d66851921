//! Does a dumped graph load again to the same graph?

use smallmind::architecture::bind::bind;
use smallmind::architecture::expand::expand;
use smallmind::architecture::syntax;
use smallmind::graph::{Graph, print, print_dot, print_ignoring};
use smallmind::model::{ModelFiles, compile};
use smallmind::rewrite::Passes;
use smallmind::{Model, Options};

use crate::common::{all_rows, data, expected, models, open, read_keys, run, source};

fn reload(text: &str, files: &ModelFiles) -> Graph {
    let file = syntax::parse("dump.ron", text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let headers = files.headers();
    let expanded =
        expand(&file, &files.config, &|_| true).unwrap_or_else(|error| panic!("{error}"));
    let mut graph =
        bind("dump.ron", &expanded, headers.as_ref()).unwrap_or_else(|error| panic!("{error}"));
    graph.edit().sweep();
    graph
}

#[test]
fn a_dump_after_any_pass_loads_to_the_same_graph() {
    let passes = Passes::builtin().unwrap();
    for name in models() {
        let keys = read_keys(&source(name));
        for pass in ["none"].into_iter().chain(passes.names()) {
            let options = Options::new().stop_after(pass);
            let files = ModelFiles::open_headers(&source(name), &options).unwrap();
            let compiled = compile(&files, &options).unwrap();
            for graph in [&compiled.decode, &compiled.prefill] {
                let text = print_ignoring(graph, "hf", &compiled.ignore, &keys);
                let again = print_ignoring(&reload(&text, &files), "hf", &compiled.ignore, &keys);
                assert_eq!(again, text, "{name} after {pass}");
            }
        }
    }
}

#[test]
fn a_model_runs_from_its_dump_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["gpt2", "llama", "gemma3", "olmo", "bert"] {
        let model = open(name, &all_rows());
        let prompt = expected(name).input_ids;
        let (logits, _, _) = run(&mut model.session().unwrap(), &prompt, 0);
        let path = folder.path().join(format!("{name}.ron"));
        let compiled = model.compiled();
        let text = print_ignoring(
            &compiled.decode,
            "hf",
            &compiled.ignore,
            &read_keys(&source(name)),
        );
        std::fs::write(&path, text).unwrap();
        let options = all_rows().graph(path);
        let again = Model::open(data(name), &options).unwrap();
        let (dumped, _, _) = run(&mut again.session().unwrap(), &prompt, 0);
        assert_eq!(
            crate::common::bits(&dumped),
            crate::common::bits(&logits),
            "{name}"
        );
    }
}

#[test]
fn a_model_runs_from_the_dump_of_its_prompt_steps_and_returns_the_wanted_rows() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["gpt2", "llama", "gemma3", "olmo"] {
        let options = Options::new().chunk(5);
        let model = open(name, &options);
        let prompt = expected(name).input_ids;
        let bits = |model: &Model| {
            let (prompt, steps, _) = run(&mut model.session().unwrap(), &prompt, 3);
            crate::common::bits(&[prompt, steps.concat()].concat())
        };
        let compiled = model.compiled();
        let keys = read_keys(&source(name));
        let text = print_ignoring(&compiled.prefill, "hf", &compiled.ignore, &keys);
        assert!(
            text.contains("TakeRows, [") && text.contains("\"wanted\"]"),
            "{text}"
        );
        let path = folder.path().join(format!("{name}.ron"));
        std::fs::write(&path, text).unwrap();
        // Rows that the graph leaves out are not returned to a caller who asks for all rows.
        for options in [options, all_rows().chunk(5)] {
            let again = Model::open(data(name), &options.graph(&path)).unwrap();
            assert_eq!(bits(&again), bits(&model), "{name}");
        }
    }
}

#[test]
fn the_fused_demo_reads_like_this() {
    let options = Options::default();
    let files = ModelFiles::open_headers(&source("demo"), &options).unwrap();
    insta::assert_snapshot!(
        "fused_demo",
        print(&compile(&files, &options).unwrap().prefill, "hf")
    );
}

#[test]
fn the_fused_llama_reads_like_this() {
    let options = Options::default();
    let files = ModelFiles::open_headers(&source("llama"), &options).unwrap();
    insta::assert_snapshot!(
        "fused_llama",
        print(&compile(&files, &options).unwrap().decode, "hf")
    );
}

#[test]
fn dot_names_every_node_and_edge() {
    let options = Options::default();
    let files = ModelFiles::open_headers(&source("demo"), &options).unwrap();
    let graph = compile(&files, &options).unwrap().decode;
    let text = print_dot(&graph);
    let edges: usize = graph
        .ids()
        .map(|id| graph.inputs(id).iter().flatten().count())
        .sum();
    assert_eq!(text.matches(" -> ").count(), edges + graph.outputs().len());
    assert_eq!(
        text.matches("shape=").count(),
        graph.ids().count() + graph.outputs().len() + 1
    );
}
