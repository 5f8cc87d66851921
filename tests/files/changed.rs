//! Is a weight file that changes while a model is loaded reported, and is the data that was read into memory kept?

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use smallmind::model::WeightAccess;
use smallmind::{Model, ModelError, Options};
use tempfile::TempDir;

use crate::common::gguf::{Stored, convert};
use crate::common::{answer, bits, data, expected};

const ACCESS: [WeightAccess; 2] = [WeightAccess::Mapped, WeightAccess::Read];

/// A copy of a model, and its weights.
fn copy() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::copy(data("llama").join(file), folder.path().join(file)).unwrap();
    }
    let weights = folder.path().join("model.safetensors");
    (folder, weights)
}

fn cut_off(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    let bytes = file.metadata().unwrap().len();
    file.set_len(bytes / 2).unwrap();
}

fn replace(path: &Path) {
    let other = path.with_extension("other");
    fs::copy(path, &other).unwrap();
    fs::rename(other, path).unwrap();
}

#[test]
fn a_change_while_a_model_is_loaded_is_an_error() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 2] = [
        ("bytes and has", cut_off),
        ("another file took its place", replace),
    ];
    for (expected, change) in changes {
        for access in ACCESS {
            for at in [0, 3] {
                let (folder, weights) = copy();
                let options = Options::new()
                    .weight_access(access)
                    .progress(move |progress| {
                        if progress.done == at {
                            change(&weights);
                        }
                        ControlFlow::Continue(())
                    });
                let error = Model::open(folder.path(), &options).unwrap_err();
                assert!(matches!(error, ModelError::Weights(_)), "{error}");
                let message = error.to_string();
                assert!(
                    message.contains("model.safetensors") && message.contains(expected),
                    "{message}"
                );
            }
        }
    }
}

#[test]
fn both_ways_to_read_weights_give_the_same_bits() {
    let expected = expected("llama");
    let folder = TempDir::new().unwrap();
    let gguf = folder.path().join("model.gguf");
    fs::write(&gguf, convert("llama", Stored::F16).bytes()).unwrap();
    for path in [data("llama"), gguf] {
        let [mapped, read] = ACCESS.map(|access| {
            let options = Options::new().weight_access(access);
            let model = Model::open(path.as_path(), &options).unwrap();
            bits(&answer(&model, &expected).0)
        });
        assert!(mapped == read);
    }
}

#[test]
fn what_was_read_into_memory_does_not_depend_on_the_file() {
    let expected = expected("llama");
    let (folder, weights) = copy();
    let options = Options::new().weight_access(WeightAccess::Read);
    let model = Model::open(folder.path(), &options).unwrap();
    let before = bits(&answer(&model, &expected).0);
    let mut saved = Vec::new();
    model.session().unwrap().save(&mut saved).unwrap();
    File::options()
        .write(true)
        .open(weights)
        .unwrap()
        .set_len(0)
        .unwrap();
    assert!(bits(&answer(&model, &expected).0) == before);
}
