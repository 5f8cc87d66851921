//! Where it stands how hidden states become embeddings.

use super::{Configuration, ModelFiles};
use crate::files::folder::Folder;

/// Where a model's recipe is to be read.
#[derive(Clone, Debug)]
pub(crate) struct RecipeSource {
    /// The model's folder, if it has one.
    pub(crate) folder: Option<Folder>,
    /// GGUF's `{arch}.pooling_type`.
    pub(crate) pooling_type: Option<i64>,
}

impl RecipeSource {
    /// The source among a model's files.
    pub fn of(files: &ModelFiles) -> RecipeSource {
        let pooling_type = match &files.config {
            Configuration::Gguf(metadata) => {
                let names = files.config.architectures();
                names
                    .first()
                    .and_then(|name| metadata.integer(&format!("{name}.pooling_type")))
            }
            Configuration::Folder { .. } => None,
        };
        RecipeSource {
            folder: files.folder.clone(),
            pooling_type,
        }
    }
}
