//! Opening a model for a command that computes with it.

use smallmind::model::Source;
use smallmind::{Model, Options};

use super::failure::{Failure, warn};

/// Opens the model, and prints its warnings on stderr.
pub fn open_model(source: Source, options: &Options) -> Result<Model, Failure> {
    let model = Model::open(source, options)?;
    for warning in model.warnings() {
        warn(&warning.to_string());
    }
    Ok(model)
}
