//! What is each pass worth? Steps of whole models with all passes, without each one, and with none.
//!
//! A benchmark is named `model/step, threads/passes`. `decode` is a step of one token with 64 before it, `prefill` a
//! prompt of 128 tokens; both count tokens. All passes are measured first and last: how far these two results differ, and
//! the results of passes that change nothing in a model, show how large a difference must be to mean something.

mod support;

use std::path::Path;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use smallmind::model::Source;
use smallmind::rewrite::Passes;
use smallmind::{Model, Options, Session};

/// Tokens before a step of one token.
const PAST: usize = 64;
/// Tokens of a prompt.
const PROMPT: usize = 128;

/// The choices of passes: a name, and the options for it.
fn variants() -> Vec<(String, Options)> {
    let passes = Passes::builtin().expect("the built-in passes are well formed");
    let without = |name: &str| Options::new().without([name]);
    let none = Options::new().stop_after("none");
    let mut variants = vec![("all".to_string(), Options::default())];
    variants.extend(
        passes
            .names()
            .map(|name| (format!("without {name}"), without(name))),
    );
    variants.push(("none".to_string(), none));
    variants.push(("all again".to_string(), Options::default()));
    variants
}

fn open(source: &Source, options: &Options, threads: usize) -> Session {
    let options = options.clone().threads(threads);
    let model = Model::open(source.clone(), &options);
    let model = model.unwrap_or_else(|error| panic!("the model can't be opened: {error}"));
    model.session().expect("there is memory for a session")
}

/// `count` token ids that every model here has.
fn prompt(count: usize) -> Vec<u32> {
    (0..count as u32).map(|i| (i * 37 + 11) % 250).collect()
}

fn steps(criterion: &mut Criterion, name: &str, source: &Source, threads: usize) {
    for (step, tokens) in [("decode", 1), ("prefill", PROMPT)] {
        let mut group = criterion.benchmark_group(format!("{name}/{step}, {threads} threads"));
        group.throughput(Throughput::Elements(tokens as u64));
        for (passes, options) in variants() {
            let past = if tokens == 1 { PAST } else { 0 };
            let begin = || {
                let mut session = open(source, &options, threads);
                if past > 0 {
                    session.prefill(&prompt(past)).expect("the prompt fits");
                }
                session
            };
            // The model is opened only if the command line selects it.
            let mut session = None;
            let input = prompt(tokens);
            group.bench_function(BenchmarkId::from_parameter(passes), |bencher| {
                let session = session.get_or_insert_with(begin);
                bencher.iter(|| {
                    session.truncate(past)?;
                    session.prefill(&input).map(|logits| logits[0])
                });
            });
        }
        group.finish();
    }
}

fn model(criterion: &mut Criterion, name: &str, source: &Source) {
    steps(criterion, name, source, 1);
    let granted = smallmind::exec::machine::threads();
    if granted > 1 {
        steps(criterion, name, source, granted);
    }
}

fn fusions(criterion: &mut Criterion) {
    model(criterion, "demo", &Source::Demo);
    let folder = tempfile::tempdir().expect("there is room for a model");
    let path: &Path = folder.path();
    support::SMALL.write(path);
    model(criterion, "llama 256 x 4", &Source::from(path));
}

fn settings() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .nresamples(5_000)
}

criterion_group! {
    name = benches;
    config = settings();
    targets = fusions
}
criterion_main!(benches);
