//! What the tests share: models to run, their expected outputs, and comparisons.
#![allow(dead_code)] // Each test program uses a part.

#[cfg(feature = "chat")]
pub mod converted;
pub mod damaged;
pub mod gguf;
pub mod graph_text;
#[cfg(feature = "hub")]
pub mod hub;
pub mod markers;
pub mod quantized;
pub mod random;
pub mod random_graph;
pub mod safetensors_file;
pub mod same_bits;
pub mod seeded_weights;
pub mod sentences;
pub mod tiny;
pub mod variants;
pub mod zeros;

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::LazyLock;

use safetensors_file::{Elements, NewTensor, write_tensors};
use smallmind::architecture::config_keys;
use smallmind::files::safetensors::TensorFile;
use smallmind::model::{Logits, ModelFiles, Source};
use smallmind::{Model, Options, Session};

/// How far logits may be from another program's logits, in units of the standard deviation of the expected logits.
pub const BAR: f64 = 2e-4;

/// A folder of `tests/data` with what another program computed for a model; the demo's folder has nothing else.
struct Folder {
    name: String,
    is_encoder: bool,
}

/// All such folders, by name.
static FOLDERS: LazyLock<Vec<Folder>> = LazyLock::new(|| {
    let entries = std::fs::read_dir(data("")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| data(name).join("expected.safetensors").is_file())
        .filter(|name| cfg!(feature = "demo") || name != "demo")
        .collect();
    names.sort();
    let folders = names.into_iter().map(|name| {
        let expected = TensorFile::open_header(&data(&name).join("expected.safetensors")).unwrap();
        Folder {
            is_encoder: expected.get("last_hidden_state").is_some(),
            name,
        }
    });
    folders.collect()
});

/// All models of `tests/data`.
pub fn models() -> impl Iterator<Item = &'static str> {
    FOLDERS.iter().map(|folder| folder.name.as_str())
}

/// Models that generate text.
pub fn decoders() -> impl Iterator<Item = &'static str> {
    models().filter(|name| !is_encoder(name))
}

/// Models that read a text whole.
pub fn encoders() -> impl Iterator<Item = &'static str> {
    models().filter(|name| is_encoder(name))
}

fn is_encoder(name: &str) -> bool {
    let mut folders = FOLDERS.iter();
    folders.any(|folder| folder.name == name && folder.is_encoder)
}

/// What another program computed for a model.
pub struct Expected {
    pub input_ids: Vec<u32>,
    /// Logits [tokens, vocabulary], or an encoder's last hidden state [tokens, width].
    pub rows: Vec<f32>,
    /// The tokens that greedy choice appends; empty for encoders.
    pub greedy: Vec<u32>,
}

/// Logits of the prompt and of the greedy steps, and the greedy tokens.
pub fn answer(model: &Model, expected: &Expected) -> (Vec<f32>, Vec<Vec<f32>>, Vec<u32>) {
    let mut session = model.session().unwrap();
    run(&mut session, &expected.input_ids, expected.greedy.len())
}

/// Writes a safetensors file of floats: name, shape and values of each tensor.
pub fn write_f32<N: AsRef<str>>(path: &Path, tensors: &[(N, Vec<usize>, Vec<f32>)]) {
    let new = tensors.iter().map(|(name, shape, values)| NewTensor {
        name: name.as_ref(),
        shape,
        elements: Elements::F32(values),
    });
    write_tensors(path, &new.collect::<Vec<_>>());
}

pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// The keys of a model's configuration whose values are in its graph.
pub fn read_keys(source: &Source) -> Vec<String> {
    let files = ModelFiles::open_headers(source, &Options::new()).unwrap();
    config_keys::read_keys(&files.graph, &files.config).unwrap()
}

/// A model folder of `tests/data`, or the embedded demo.
pub fn source(name: &str) -> Source {
    if name == "demo" {
        Source::Demo
    } else {
        Source::Path(data(name))
    }
}

pub fn expected(name: &str) -> Expected {
    let file = TensorFile::open(&data(name).join("expected.safetensors")).unwrap();
    let ids = |tensor: &str| {
        file.read_i64(tensor)
            .unwrap()
            .iter()
            .map(|&id| u32::try_from(id).unwrap())
            .collect()
    };
    let is_encoder = is_encoder(name);
    let rows = if is_encoder {
        "last_hidden_state"
    } else {
        "logits"
    };
    Expected {
        input_ids: ids("input_ids"),
        rows: file.read_f32(rows).unwrap(),
        greedy: if is_encoder {
            Vec::new()
        } else {
            ids("greedy")
        },
    }
}

/// Options that compute all rows of logits.
pub fn all_rows() -> Options {
    Options::new().logits(Logits::All)
}

pub fn open(name: &str, options: &Options) -> Model {
    Model::open(source(name), options).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The logits of every prompt token [tokens, vocabulary], and the logits of each greedy step.
pub fn run(
    session: &mut Session,
    prompt: &[u32],
    steps: usize,
) -> (Vec<f32>, Vec<Vec<f32>>, Vec<u32>) {
    let mut logits = Vec::new();
    session
        .prefill_each(prompt, &mut |rows| logits.extend_from_slice(rows))
        .unwrap();
    let mut last = session.logits_row().to_vec();
    let mut rows = Vec::new();
    let mut greedy = Vec::new();
    for _ in 0..steps {
        let token = argmax(&last);
        greedy.push(token);
        last = session.step(token).unwrap().to_vec();
        rows.push(last.clone());
    }
    (logits, rows, greedy)
}

/// The index of the largest value; the lowest index if several are equal.
pub fn argmax(row: &[f32]) -> u32 {
    let best = (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
    best as u32
}

pub fn deviation(values: &[f32]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    (values
        .iter()
        .map(|&x| (f64::from(x) - mean).powi(2))
        .sum::<f64>()
        / n)
        .sqrt()
}

/// The largest difference, in units of the expected values' standard deviation.
pub fn difference(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let pairs = found.iter().zip(expected);
    let largest = pairs
        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs())
        .fold(0.0, |a: f64, b| if b <= a { a } else { b });
    largest / deviation(expected)
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// How much of something a test does: the number in an environment variable, which long checks set, or `usual`.
pub fn long_run<N: FromStr<Err: Debug>>(variable: &str, usual: N) -> N {
    let number = std::env::var(variable);
    number.map_or(usual, |number| number.parse().unwrap())
}

/// The folder of published models, which are not part of this repository; `None`, with a message, if there is none.
pub fn published_models() -> Option<PathBuf> {
    let folder = std::env::var_os("SMALLMIND_TEST_MODELS").filter(|folder| !folder.is_empty());
    if folder.is_none() {
        eprintln!("skipped: SMALLMIND_TEST_MODELS names no folder of models");
    }
    folder.map(PathBuf::from)
}

/// A published model's file in that folder; `None`, with a message, if it is not there.
pub fn published_model(file: &str) -> Option<PathBuf> {
    let path = published_models()?.join(file);
    let found = path.is_file();
    if !found {
        eprintln!("skipped: {} is not a file", path.display());
    }
    found.then_some(path)
}
