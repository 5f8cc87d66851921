//! How long does a model take from its graph file to its plan, and which part of that?
//!
//! No weights are read: the folders contain only a configuration. A benchmark is named `part/model`; `everything` is all of
//! the other parts, together with finding and reading the files.

mod support;

use std::path::Path;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use smallmind::Options;
use smallmind::architecture::bind::bind;
use smallmind::architecture::expand::{Expanded, expand};
use smallmind::architecture::syntax;
use smallmind::graph::Graph;
use smallmind::model::{Compiled, ModelFiles, Source, builtin_graphs, compile};
use smallmind::plan::ModelPlan;
use smallmind::rewrite::{PassOptions, Passes};

fn open(source: &Source) -> ModelFiles {
    let files = ModelFiles::open_headers(source, &Options::default());
    files.unwrap_or_else(|error| panic!("the model can't be found: {error}"))
}

fn compiled(files: &ModelFiles) -> Compiled {
    let compiled = compile(files, &Options::default());
    compiled.unwrap_or_else(|error| panic!("the model can't be compiled: {error}"))
}

fn expanded(files: &ModelFiles) -> Expanded {
    let expanded = expand(&files.graph, &files.config, &|_| false);
    expanded.unwrap_or_else(|error| panic!("the graph can't be expanded: {error}"))
}

fn bound(files: &ModelFiles, expanded: &Expanded) -> Graph {
    let graph = bind(&files.graph.file, expanded, None);
    let mut graph = graph.unwrap_or_else(|error| panic!("the graph can't be bound: {error}"));
    graph.edit().sweep();
    graph
}

/// The graph after the passes.
fn passed(passes: &Passes, mut graph: Graph) -> Graph {
    let report = passes.run(&mut graph, &PassOptions::default());
    report.unwrap_or_else(|error| panic!("a pass failed: {error}"));
    graph
}

fn planned(compiled: &Compiled) -> ModelPlan {
    let plan = ModelPlan::new(&compiled.graph, compiled.plan.options().clone());
    plan.unwrap_or_else(|error| panic!("there is no plan: {error}"))
}

fn parse_files(criterion: &mut Criterion) {
    for (file, text) in builtin_graphs() {
        criterion.bench_function(&format!("parse the graph file/{file}"), |bencher| {
            bencher.iter(|| syntax::parse(&file, text));
        });
    }
    criterion.bench_function("read the passes/all", |bencher| {
        bencher.iter(Passes::builtin)
    });
}

fn model(criterion: &mut Criterion, name: &str, folder: &Path) {
    let source = Source::from(folder);
    let files = open(&source);
    let passes = Passes::builtin().expect("the built-in passes are well formed");
    let flat = expanded(&files);
    let graph = bound(&files, &flat);
    let whole = compiled(&files);
    let mut bench = |part: &str, run: &mut dyn FnMut(&mut criterion::Bencher<'_>)| {
        criterion.bench_function(&format!("{part}/{name}"), |bencher| run(bencher));
    };
    bench("everything", &mut |b| b.iter(|| compiled(&open(&source))));
    bench("find and read the files", &mut |b| b.iter(|| open(&source)));
    bench("compile", &mut |b| b.iter(|| compiled(&files)));
    bench("expand", &mut |b| b.iter(|| expanded(&files)));
    bench("bind and infer shapes", &mut |b| {
        b.iter(|| bound(&files, &flat))
    });
    bench("passes", &mut |b| {
        b.iter_batched(
            || graph.clone(),
            |graph| passed(&passes, graph),
            BatchSize::SmallInput,
        );
    });
    bench("plan", &mut |b| b.iter(|| planned(&whole)));
}

fn models(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("there is room for two files");
    let (llama, gpt2) = (folder.path().join("llama"), folder.path().join("gpt2"));
    support::SMOLLM2_135M.write_config(&llama);
    support::write_gpt2_config(&gpt2);
    model(criterion, "SmolLM2-135M", &llama);
    model(criterion, "GPT-2 124M", &gpt2);
}

fn settings() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .nresamples(5_000)
}

criterion_group! {
    name = benches;
    config = settings();
    targets = parse_files, models
}
criterion_main!(benches);
