//! A model small enough to write by hand, which tests make wrong in one place.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize_to_file};
use smallmind::{Model, ModelError, Options, Session, StepError};
use tempfile::TempDir;

/// The tensors of the file and their shapes.
pub const TENSORS: [(&str, &[usize]); 7] = [
    ("embed", &[16, 8]),
    ("table", &[32, 8]),
    ("gain", &[8]),
    ("w", &[8, 8]),
    ("up", &[12, 8]),
    ("cube", &[2, 4, 8]),
    ("head", &[16, 8]),
];

/// A folder with config.json, model.safetensors and graph.ron.
pub struct Tiny {
    folder: TempDir,
}

/// A graph file around some nodes, the first of which begins at line 6; "x" is the embedding [T, 8].
pub fn graph(nodes: &str, outputs: &str) -> String {
    let weight = |(name, shape): &(&str, &[usize])| {
        format!("\"{name}\": (shape: {shape:?}, hf: \"{name}\"), ")
    };
    let weights: String = TENSORS.iter().map(weight).collect();
    format!(
        "Model(ignore: [\"*\"], unread: [\"x\"],\nparams: {{\"heads\": Key(hf: [\"num_attention_heads\"])}},\nweights: {{{weights}}},\n\
         nodes: [\n(\"x\", Gather, [\"embed\", \"tokens\"]),\n{nodes}],\noutputs: [{outputs}])"
    )
}

impl Tiny {
    /// With these nodes, the last of which names the output "y".
    pub fn new(nodes: &str) -> Tiny {
        Tiny::with_graph(&graph(nodes, "\"y\""))
    }

    pub fn with_graph(text: &str) -> Tiny {
        let tiny = Tiny {
            folder: tempfile::tempdir().unwrap(),
        };
        tiny.write("graph.ron", text);
        tiny.write("config.json", r#"{"num_attention_heads": 2}"#);
        let bytes: Vec<(&str, &[usize], Vec<u8>)> = TENSORS
            .iter()
            .map(|&(name, shape)| (name, shape, floats(shape)))
            .collect();
        let views = bytes.iter().map(|(name, shape, data)| {
            (
                name.to_string(),
                TensorView::new(Dtype::F32, shape.to_vec(), data).unwrap(),
            )
        });
        serialize_to_file(views, None, &tiny.path("model.safetensors")).unwrap();
        tiny
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, file: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(file), contents).unwrap();
    }

    /// Options with the folder's graph file.
    pub fn options(&self) -> Options {
        Options::new()
            .graph(self.path("graph.ron"))
            .context(24)
            .chunk(8)
            .threads(2)
    }

    pub fn open(&self) -> Result<Model, ModelError> {
        Model::open(self.folder(), &self.options())
    }

    /// What is wrong, without the folder's path.
    pub fn refusal(&self) -> String {
        let error = self.open().expect_err("the model is wrong").to_string();
        error.replace(&format!("{}/", self.folder().display()), "")
    }
}

/// Small numbers as bytes of F32.
pub fn floats(shape: &[usize]) -> Vec<u8> {
    let number = |i: usize| (i * 7 % 13) as f32 / 13.0 - 0.4;
    (0..shape.iter().product())
        .flat_map(|i| number(i).to_le_bytes())
        .collect()
}

/// Runs prompt chunks, single steps and a prompt after them: every plan runs, with and without a past.
pub fn walk(session: &mut Session) -> Result<(), StepError> {
    session.prefill(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])?;
    session.step(3)?;
    session.step(15)?;
    session.prefill(&[0, 7]).map(|_| ())
}
