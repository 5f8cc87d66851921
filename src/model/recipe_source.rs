//! Where to read how hidden states become embeddings.

use super::{Configuration, ModelError, ModelFiles};
use crate::architecture::parameters::ParameterSource;
use crate::files::folder::Folder;
use crate::language::diagnostics::{Position, Problem, Problems};
use crate::language::value::Value;

/// The files from which a model's recipe is read.
#[derive(Clone, Debug)]
pub(crate) struct RecipeSource {
    /// The model's folder, if it has one.
    pub(crate) folder: Option<Folder>,
    /// GGUF's `{arch}.pooling_type`.
    pub(crate) pooling_type: Option<i64>,
}

impl RecipeSource {
    /// The source among a model's files.
    ///
    /// # Errors
    /// If the GGUF file's pooling is not a number.
    pub fn of(files: &ModelFiles) -> Result<RecipeSource, ModelError> {
        let mut pooling_type = None;
        if let Configuration::Gguf(metadata) = &files.config
            && let Some(name) = files.config.architectures().first()
        {
            let key = format!("{name}.pooling_type");
            pooling_type = match metadata.get(&key) {
                None => None,
                Some(Value::Int(number)) => Some(number),
                Some(other) => {
                    let message = format!("'{key}' is {}, expected an integer", other.kind());
                    let problem = Problem::new(Position::START, message);
                    return Err(Problems::one(files.config.describe(), problem).into());
                }
            };
        }
        Ok(RecipeSource {
            folder: files.folder.clone(),
            pooling_type,
        })
    }
}
