//! The model of a command: MODEL, `-m MODEL` or `-hf NAME`, the same for every command.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use smallmind::model::Source;

use super::failure::{Failure, usage};
use super::hub;

/// The model. If `-m` or `-hf` names it, the first argument that is not an option is the command's next argument.
#[derive(Args, Default)]
pub struct ModelArguments {
    /// A model's folder or GGUF file, or `demo`; commands that need no weights also accept a config.json or a vocabulary
    #[arg(value_name = "MODEL")]
    first: Option<OsString>,
    /// MODEL, as an option
    #[arg(short, long = "model", value_name = "MODEL", conflicts_with = "hf")]
    model: Option<PathBuf>,
    /// -hf NAME: a model of the Hugging Face Hub instead of MODEL; ORG/NAME, ORG/NAME:Q8_0 or ORG/NAME:FILE.gguf
    #[arg(long, value_name = "NAME")]
    hf: Option<String>,
}

/// The name of a model.
pub enum ModelName {
    /// A folder or file, or the demo.
    Path(PathBuf),
    /// A model of the Hugging Face Hub.
    Hub(String),
}

impl ModelArguments {
    /// The model, and the first argument if it is not the model.
    pub fn split(self) -> (Option<ModelName>, Option<OsString>) {
        match (self.model, self.hf) {
            (Some(path), _) => (Some(ModelName::Path(path)), self.first),
            (None, Some(name)) => (Some(ModelName::Hub(name)), self.first),
            (None, None) => (self.first.map(|path| ModelName::Path(path.into())), None),
        }
    }

    /// The model, which must be named, and the first argument if it is not the model.
    pub fn needed(self) -> Result<(ModelName, Option<OsString>), Failure> {
        match self.split() {
            (Some(model), rest) => Ok((model, rest)),
            (None, _) => usage("no model is named: give MODEL, -m MODEL or -hf NAME"),
        }
    }

    /// The model of a command that has no argument after it.
    pub fn only(self) -> Result<ModelName, Failure> {
        let (model, rest) = self.needed()?;
        nothing_more(rest)?;
        Ok(model)
    }
}

/// Refuses an argument that is left over.
pub fn nothing_more(rest: Option<OsString>) -> Result<(), Failure> {
    match rest {
        None => Ok(()),
        Some(rest) => usage(format!("unexpected argument '{}'", rest.display())),
    }
}

impl ModelName {
    /// The embedded demo.
    pub fn demo() -> ModelName {
        ModelName::Path("demo".into())
    }

    /// Where the model is; a model of the Hub is fetched.
    pub fn path(&self) -> Result<PathBuf, Failure> {
        match self {
            ModelName::Path(path) => Ok(path.clone()),
            ModelName::Hub(name) => hub::fetched(name),
        }
    }

    /// What to open; a model of the Hub is fetched.
    pub fn source(&self) -> Result<Source, Failure> {
        let path = self.path()?;
        Ok(path
            .to_str()
            .map_or_else(|| Source::from(&path), Source::from))
    }

    /// The name as it is on the command line.
    pub fn shown(&self) -> String {
        match self {
            ModelName::Path(path) => path.display().to_string(),
            ModelName::Hub(name) => name.clone(),
        }
    }
}
