//! Finding a model's tokenizer, for which no weight and no graph is needed.

use std::path::{Path, PathBuf};

use super::files::{Source, is_gguf_file};
use super::graphs::demo;
use super::{ModelError, TokenizerError};
use crate::files::gguf::{GgufFile, Metadata};
use crate::files::weight_files::WeightFilesError;
use crate::text::tokenizer::Tokenizer;

/// Where a model's tokenizer comes from.
#[derive(Clone, Debug)]
pub(super) enum Vocabulary {
    /// The library itself.
    Demo,
    /// The `tokenizer.json` of a folder, if there is one.
    Folder(PathBuf),
    /// A GGUF file.
    Gguf(Metadata),
}

impl Vocabulary {
    fn of(source: &Source) -> Result<Vocabulary, ModelError> {
        let path = match source {
            Source::Demo => return Ok(Vocabulary::Demo),
            Source::Path(path) => path,
        };
        if !path.exists() {
            return Err(ModelError::NoModel {
                path: path.clone(),
                problem: "there is no such file or folder".to_string(),
            });
        }
        if is_gguf_file(path) {
            let file = GgufFile::open_header(path).map_err(WeightFilesError::File)?;
            return Ok(Vocabulary::Gguf(file.metadata().clone()));
        }
        Ok(Vocabulary::Folder(path.clone()))
    }

    /// Whether there is a tokenizer of a known kind, which costs next to nothing to know.
    pub fn check(&self) -> Result<(), TokenizerError> {
        match self {
            Vocabulary::Demo => Ok(()),
            Vocabulary::Folder(folder) if !folder.join("tokenizer.json").is_file() => {
                Err(TokenizerError::Missing {
                    problem: "the model has no tokenizer.json".to_string(),
                })
            }
            Vocabulary::Folder(_) => Ok(()),
            Vocabulary::Gguf(metadata) => Tokenizer::check_gguf(metadata),
        }
    }

    /// The tokenizer.
    pub fn build(&self) -> Result<Tokenizer, TokenizerError> {
        self.check()?;
        match self {
            Vocabulary::Demo => {
                Tokenizer::from_bytes(Path::new("demo/tokenizer.json"), demo::TOKENIZER)
            }
            Vocabulary::Folder(folder) => Tokenizer::open(&folder.join("tokenizer.json")),
            Vocabulary::Gguf(metadata) => Tokenizer::from_gguf(metadata),
        }
    }
}

/// The tokenizer of a model: of the demo, of a folder with `tokenizer.json`, or of a GGUF file, which may hold nothing but
/// its vocabulary. No weight is read, and the architecture need not be known.
pub fn open_tokenizer(source: impl Into<Source>) -> Result<Tokenizer, ModelError> {
    Ok(Vocabulary::of(&source.into())?.build()?)
}
