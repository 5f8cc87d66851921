//! GGUF files made from folders.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::Value as Json;
use smallmind::convert::{Quantization, QuantizeError};
use smallmind::exec::pool::Pool;
use smallmind::files::gguf::GgufFile;
use smallmind::files::map::Mapped;
use smallmind::types::DType;
use tempfile::TempDir;

use super::data;

/// The GGUF file of a folder.
pub fn written(folder: &Path, target: DType) -> Result<Vec<u8>, QuantizeError> {
    let mut out = Vec::new();
    let quantization = Quantization::plan(folder, target, None)?;
    let pool = Pool::new(1).unwrap();
    quantization.write(&mut out, &pool, |_| ControlFlow::Continue(()))?;
    Ok(out)
}

/// The file of [`written`], opened.
pub fn file(folder: &Path, target: DType) -> GgufFile {
    let bytes = written(folder, target).unwrap_or_else(|error| panic!("{error}"));
    GgufFile::from_bytes(Path::new("made.gguf"), Mapped::from_vec(bytes)).unwrap()
}

/// What is said about the GGUF file of a folder before it is written.
pub fn warnings(folder: &Path) -> Vec<String> {
    let quantization = Quantization::plan(folder, DType::F32, None).unwrap();
    let warnings = quantization.warnings().iter();
    warnings.map(ToString::to_string).collect()
}

/// Why a folder is refused.
pub fn refusal(folder: &Path) -> String {
    match written(folder, DType::F32) {
        Ok(_) => panic!("the folder must be refused"),
        Err(error) => error.to_string(),
    }
}

/// A fixture with changes to its config.json (null removes a field).
pub fn changed(name: &str, changes: Json) -> TempDir {
    let folder = TempDir::new().unwrap();
    let text = fs::read_to_string(data(name).join("config.json")).unwrap();
    let mut config: Json = serde_json::from_str(&text).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let weights = "model.safetensors";
    fs::copy(data(name).join(weights), folder.path().join(weights)).unwrap();
    folder
}
