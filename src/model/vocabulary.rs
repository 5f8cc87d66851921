//! Finding a model's tokenizer, which needs no weights and no graph.

use super::file_names::TOKENIZER;
use super::lacking::instead_of_tokenizer;
use super::source::{Place, Source, gguf_in_memory};
use super::{ModelError, TokenizerError};
use crate::files::folder::Folder;
use crate::files::gguf::{GgufFile, Metadata, models_among};
use crate::files::weight_files::WeightFilesError;
use crate::kernels::float_environment::FloatEnvironment;
use crate::text::tokenizer::{Tokenizer, estimate_file};

/// Where a model's tokenizer comes from.
#[derive(Clone, Debug)]
pub(super) enum Vocabulary {
    /// The `tokenizer.json` of a folder, if there is one.
    Folder(Folder),
    /// A GGUF file.
    Gguf(Metadata),
}

impl Vocabulary {
    fn of(source: &Source) -> Result<Vocabulary, ModelError> {
        // A tokenizer alone is enough: the folder needs no config.json.
        if let Source::Path(path) = source
            && path.is_dir()
        {
            let folder = Folder::Disk(path.clone());
            if folder.has(TOKENIZER) || models_among(&folder.names()).is_empty() {
                return Ok(Vocabulary::Folder(folder));
            }
        }
        Ok(match Place::of(source)? {
            Place::Folder(folder) => Vocabulary::Folder(folder),
            Place::Config(path) => Vocabulary::Folder(Folder::Disk(path)),
            Place::Gguf(path) => {
                let file = GgufFile::open_header(&path).map_err(WeightFilesError::File)?;
                Vocabulary::Gguf(file.metadata().clone())
            }
            Place::GgufBytes(folder) => {
                let file = gguf_in_memory(&folder).map_err(WeightFilesError::File)?;
                Vocabulary::Gguf(file.metadata().clone())
            }
        })
    }

    /// Checks that there is a tokenizer of a known kind, which costs next to nothing.
    pub fn check(&self) -> Result<(), TokenizerError> {
        match self {
            Vocabulary::Folder(folder) if !folder.has(TOKENIZER) => Err(TokenizerError::Missing {
                problem: format!(
                    "the model has no {TOKENIZER}{}",
                    instead_of_tokenizer(folder)
                ),
            }),
            Vocabulary::Folder(_) => Ok(()),
            Vocabulary::Gguf(metadata) => Tokenizer::check_gguf(metadata),
        }
    }

    /// The approximate size of the tokenizer in bytes; 0 if there is no tokenizer.
    pub fn estimate(&self) -> usize {
        match self {
            Vocabulary::Folder(folder) => folder.size(TOKENIZER).map_or(0, estimate_file),
            Vocabulary::Gguf(metadata) => Tokenizer::estimate_gguf(metadata),
        }
    }

    /// The tokenizer.
    pub fn build(&self) -> Result<Tokenizer, TokenizerError> {
        self.check()?;
        match self {
            Vocabulary::Folder(folder) => Tokenizer::open_in(folder, TOKENIZER),
            Vocabulary::Gguf(metadata) => Tokenizer::from_gguf(metadata),
        }
    }
}

/// The tokenizer of the demo, of a folder with `tokenizer.json`, or of a GGUF file, which may contain only its vocabulary.
/// No weight is read, and the architecture need not be known.
///
/// # Errors
/// If there is no model, or its tokenizer is missing or can't be used.
pub fn open_tokenizer(source: impl Into<Source>) -> Result<Tokenizer, ModelError> {
    let _environment = FloatEnvironment::set_default();
    Ok(Vocabulary::of(&source.into())?.build()?)
}
