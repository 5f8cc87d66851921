//! Opening a model for a command that computes with it.

use smallmind::model::Source;
use smallmind::{Model, Options};

use super::failure::{Failure, note};

/// The model; what it does not do as its files mean it is told on stderr.
pub fn open_model(source: Source, options: &Options) -> Result<Model, Failure> {
    let model = Model::open(source, options)?;
    for warning in model.warnings() {
        note(&format!("warning: {warning}"));
    }
    Ok(model)
}
