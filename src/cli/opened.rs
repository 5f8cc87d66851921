//! Opening a model for a command. If the model does not do everything that its files ask for, a warning goes to stderr,
//! whatever the command does with the model.

use smallmind::model::{Compiled, ModelFiles, Source, compile};
use smallmind::{Model, Options, Warning};

use super::failure::{Failure, warn};

/// The model, ready to run.
pub fn open_model(source: Source, options: &Options) -> Result<Model, Failure> {
    let model = Model::open(source, options)?;
    tell(model.warnings());
    Ok(model)
}

/// Like [`open_model`], for a command that opens a model several times: what is in `told` is not told again.
pub fn open_again(
    source: Source,
    options: &Options,
    told: &mut Vec<Warning>,
) -> Result<Model, Failure> {
    let model = Model::open(source, options)?;
    for warning in model.warnings() {
        if !told.contains(warning) {
            tell(std::slice::from_ref(warning));
            told.push(warning.clone());
        }
    }
    Ok(model)
}

/// The model's files and its graph; no weights are read.
pub fn compile_model(
    source: &Source,
    options: &Options,
) -> Result<(ModelFiles, Compiled), Failure> {
    let files = ModelFiles::open_headers(source, options)?;
    let compiled = compile(&files, options)?;
    tell(&compiled.warnings);
    Ok((files, compiled))
}

/// Warn on stderr about everything that a model's files ask for but the model does not do.
pub fn tell(warnings: &[Warning]) {
    for warning in warnings {
        warn(&warning.to_string());
    }
}
